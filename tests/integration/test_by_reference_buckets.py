"""Jobs by reference whose file, or whose folder of results, is at a URL of S3."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli_builders import here_in
from s3_fixtures import Bucket, S3Server
from seqd.client import Client, FileSource, JobFailed, JobHandle
from seqd.errors import InvalidInput
from seqd_schemas import JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes]

LINES = 200
SLOWLY = {"delay_ms": 5.0}


def texts(count: int = LINES) -> list[str]:
    return [f"text {number}" for number in range(count)]


def jsonl(lines: list[str]) -> bytes:
    records = (json.dumps({"custom_id": f"c{n}", "text": one}) for n, one in enumerate(lines))
    return "".join(f"{record}\n" for record in records).encode()


def worker(cluster: Cluster, bucket: Bucket, **settings: object) -> LiveWorker:
    roots = {"input_roots": (bucket.url,), "output_roots": (f"{bucket.url}/",)}
    return cluster.start_ready(**{**roots, **settings})


def handed_in(client: Client, path: str, out: str, **options: object) -> JobHandle:  # type: ignore[type-arg]
    source = FileSource(path=path)
    return client.classify(source, model="echo", output_folder=out, **options)  # type: ignore[arg-type]


def parts_of(bucket: Bucket, out: str = "out") -> list[dict[str, object]]:
    """Return what stands in the parts that the manifest lists, held against its digests."""
    manifest = json.loads(bucket.read(f"{out}/manifest.json"))
    rows = list[dict[str, object]]()
    for part in manifest["parts"]:
        content = bucket.read(f"{out}/{part['name']}")
        assert sha256(content).hexdigest() == part["sha256"]
        rows += [json.loads(line) for line in content.splitlines()]
    assert manifest["items"] == len(rows)
    listed = {f"{out}/{part['name']}" for part in manifest["parts"]}
    assert set(bucket.names(f"{out}/")) == listed | {f"{out}/manifest.json", f"{out}/.seqd-job"}
    return rows


def assert_whole(job: JobHandle, bucket: Bucket, lines: list[str]) -> None:  # type: ignore[type-arg]
    """Assert that each line has its result once, in order, for readers of both kinds."""
    rows = parts_of(bucket)
    assert [row["custom_id"] for row in rows] == [f"c{n}" for n in range(len(lines))]
    assert [row["output"]["label"] for row in rows] == lines  # type: ignore[index]
    assert [result.unwrap().label for result in job.results()] == lines


def wait_for_parts(bucket: Bucket, count: int) -> None:
    wait_until(lambda: len(bucket.names("out/part-")) >= count, f"{count} parts are written")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_workers_read_a_pattern_in_a_bucket_and_leave_results_in_it(
    empty_cluster: Cluster, bucket: Bucket, form: str
) -> None:
    worker(empty_cluster, bucket)
    for number in (1, 2, 0):
        some = texts()[number * 70 : (number + 1) * 70]
        lines = some if form == "csv" else [json.dumps({"text": one}) for one in some]
        head = ["text"] if form == "csv" else []
        content = "\n".join(head + lines).encode()
        if form == "parquet":
            pq.write_table(pa.table({"text": some}), table := io.BytesIO(), row_group_size=20)
            content = table.getvalue()
        bucket.put(f"in/part-{number}.{form}", content)
    bucket.put(f"in/part-1-b.{form}", b"")
    bucket.put(f"in/part-1/inner.{form}", b"is in another folder")
    bucket.put(f"in/.part-3.{form}", b"hidden")
    bucket.put("in/one[1].jsonl", jsonl(texts(3)))
    bucket.put("in/one1.jsonl", jsonl(texts(5)))

    url = bucket.url
    job = handed_in(empty_cluster.client(), f"{url}/in/part-*.{form}", f"{url}/out")

    assert job.wait(timeout_s=60).counts.succeeded == LINES
    rows, first = parts_of(bucket), {"csv": "line-2", "parquet": "row-1"}.get(form, "line-1")
    assert [row["output"]["label"] for row in rows] == texts()  # type: ignore[index]
    assert rows[70]["custom_id"] == f"part-1.{form}:{first}"
    assert [result.unwrap().label for result in job.results(offset=21, limit=9)] == texts()[21:30]
    named = handed_in(empty_cluster.client(), f"{url}/in/one[1].jsonl", f"{url}/out-of-one")
    assert named.wait(timeout_s=60).counts.succeeded == 3
    part = bucket.names("out/part-")[0]
    bucket.put(part, bucket.read(part).replace(b"text", b"tixt"))
    with pytest.raises(InvalidInput, match=f"{url}/{part} is not what the workers wrote"):
        list(job.results())


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_with_all_in_a_bucket(
    empty_cluster: Cluster, bucket: Bucket
) -> None:
    workers = [worker(empty_cluster, bucket) for _ in range(2)]
    bucket.put("in.jsonl", jsonl(texts()))
    job = handed_in(
        empty_cluster.client(), f"{bucket.url}/in.jsonl", f"{bucket.url}/out", parameters=SLOWLY
    )
    wait_for_parts(bucket, 3)
    workers[0].kill_child()
    wait_for_parts(bucket, 9)
    workers[1].kill()

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(job, bucket, texts())


@pytest.mark.slow
def test_a_bucket_that_does_not_answer_for_a_while_is_waited_for(
    empty_cluster: Cluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in.jsonl", jsonl(["held", *texts(30)]))
    with TcpProxy(bucket.server.url) as line:
        with monkeypatch.context() as env:
            env.setenv("AWS_ENDPOINT_URL_S3", line.url)
            one = worker(empty_cluster, bucket, unfit_grace_s=300.0)
        job = handed_in(empty_cluster.client(), f"{bucket.url}/in.jsonl", f"{bucket.url}/out")
        wait_until(lambda: job.record().units == 4, "all units are added")
        line.refuse()
        (empty_cluster.settings.data_dir / "cured").touch()
        wait_until(lambda: "does not answer" in one.log(), "it has tried")
        line.accept()

        assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(job, bucket, ["held", *texts(30)])


@pytest.mark.slow
def test_an_item_that_kills_its_worker_is_found_and_stands_in_the_parts(
    empty_cluster: Cluster, bucket: Bucket
) -> None:
    worker(empty_cluster, bucket, max_attempts=1)
    bucket.put("in.jsonl", jsonl([*texts(10), "kill", *texts(10)]))

    job = handed_in(empty_cluster.client(), f"{bucket.url}/in.jsonl", f"{bucket.url}/out")

    assert job.wait(timeout_s=60).counts.errored == 1
    assert parts_of(bucket)[10]["error"]["code"] == "worker_crashed"  # type: ignore[index]
    assert [result.ok for result in job.results()] == [n != 10 for n in range(21)]


@pytest.mark.slow
def test_what_has_no_result_is_done_by_a_retry_in_the_same_folder(
    empty_cluster: Cluster, bucket: Bucket, tmp_path: Path
) -> None:
    worker(empty_cluster, bucket)
    client, calls = empty_cluster.client(), tmp_path / "calls"
    lines = [*texts(12), "uncured", *texts(12)]
    bucket.put("in.jsonl", jsonl(lines))
    noting = {"parameters": {"calls": str(calls)}}
    job = handed_in(client, f"{bucket.url}/in.jsonl", f"{bucket.url}/out", **noting)
    assert job.wait(timeout_s=60).counts.errored == 1
    (empty_cluster.settings.data_dir / "cured").touch()
    calls.unlink()

    retry = client.retry(job.job_id)

    assert retry.wait(timeout_s=60).counts.succeeded == len(lines)
    assert calls.read_text().split("\n") == ["uncured", ""]
    assert_whole(retry, bucket, lines)


@pytest.mark.slow
def test_an_object_that_is_put_anew_under_a_job_ends_it(
    empty_cluster: Cluster, bucket: Bucket
) -> None:
    worker(empty_cluster, bucket)
    bucket.put("in.jsonl", content := jsonl(["held", *texts(199)]))
    job = handed_in(empty_cluster.client(), f"{bucket.url}/in.jsonl", f"{bucket.url}/out")
    wait_until(lambda: job.record().units == 25, "all units are added")

    bucket.put("in.jsonl", content.replace(b"text 190", b"tixt 190"))
    empty_cluster.workers[0].kill_child()  # which has all of it in memory
    (empty_cluster.settings.data_dir / "cured").touch()

    with pytest.raises(JobFailed, match=r"s3://\S+/in\.jsonl was changed while it was") as failed:
        job.wait(timeout_s=60)
    assert failed.value.failure.code == "invalid_input"


@pytest.fixture(scope="module")
def stocked(s3_server: S3Server) -> Bucket:
    """A bucket with files of each kind, and two folders that are not empty."""
    made = s3_server.bucket("stocked")
    made.put("in.jsonl", jsonl(texts(5)))
    made.put("in.jsonl.gz", b"\x1f\x8b")
    made.put("in.parquet", b"PAR1")
    made.put("empty.jsonl", b"")
    made.put("full/mine.txt", b"mine")
    made.put("taken/.seqd-job", b"job-1")
    return made


@pytest.fixture(scope="module")
def reading(module_cluster: Cluster, stocked: Bucket) -> Iterator[Cluster]:
    """A cluster whose worker may use that bucket."""
    with pytest.MonkeyPatch.context() as env:
        for name, value in stocked.server.environment.items():
            env.setenv(name, value)
        (without,) = module_cluster.workers
        without.stop()
        urls = (module_cluster.settings.data_dir.parent, stocked.url)
        module_cluster.start_ready(input_roots=urls, output_roots=urls)
        yield module_cluster


@pytest.mark.parametrize(
    ("path", "out", "code", "said"),
    [
        ("{}/in.jsonl", "gs://a/b", "invalid_input", r"^gs://a/b is a URL; allowed: a path, or s3"),
        (
            "{}/in.jsonl",
            "s3://key:se/cret@b/c",
            "invalid_input",
            r"^s3://\*\*\*@b/c is a URL",
        ),
        ("http://a/b.jsonl", "{}/out", "invalid_input", r"^http://a/b\.jsonl is a URL; allowed: a"),
        ("{}/in.jsonl", "{}/../out", "invalid_input", r"/\.\./out is a URL; allowed: a path, or s"),
        ("{}/in.jsonl", "s3://stocked/seqd2", "invalid_input", r"is outside the folders that jobs"),
        ("s3://other/in.jsonl", "{}/out", "invalid_input", r"is outside the folders that jobs may"),
        ("{}/no.jsonl", "{}/out", "invalid_input", r"s3://stocked/seqd/no\.jsonl does not exist\."),
        ("{}/no-*.jsonl", "{}/out", "invalid_input", r"no-\*\.jsonl fits 0 files; allowed: 1 to"),
        ("{}/empty.jsonl", "{}/out", "invalid_input", r"seqd/empty\.jsonl is empty; at least one"),
        ("{}/in.jsonl.gz", "{}/out", "invalid_input", r"is compressed, or a folder, which workers"),
        ("{}/in.parquet", "{}/out", "invalid_input", r"s3://\S+parquet is no Parquet file that"),
        ("{}/in.jsonl", "{}/full", "output_exists", r"is not empty: it holds mine\.txt\. Name a"),
        ("{}/in.jsonl", "{}/taken", "output_exists", r"taken holds the results of job job-1\. N"),
    ],
)
def test_what_cannot_be_done_fails_the_job_before_anything_is_computed(
    reading: Cluster, stocked: Bucket, path: str, out: str, code: str, said: str
) -> None:
    url = stocked.url

    job = handed_in(reading.client(), path.format(url), out.format(url))

    with pytest.raises(JobFailed, match=said) as failed:
        job.wait(timeout_s=60)
    assert failed.value.failure.code == code
    assert stocked.names("out/part-") == []


def test_a_url_is_read_by_reference_alone(reading: Cluster, stocked: Bucket) -> None:
    source = FileSource(path=f"{stocked.url}/in.jsonl")

    job = reading.client().classify(source, model="echo")

    with pytest.raises(JobFailed, match="workers read s3:// of a job that names a folder for its"):
        job.wait(timeout_s=60)


def test_a_command_leaves_a_folder_in_a_bucket_and_goes_on_with_it(
    reading: Cluster,
    stocked: Bucket,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    run = here_in(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("SEQD_REDIS_URL", reading.commands.redis_url or "")
    monkeypatch.setenv("SEQD_PREFIX", reading.settings.prefix)
    stocked.put("typed.jsonl", jsonl(lines := [*texts(12), "uncured"]))
    url = f"{stocked.url}/typed"
    command = ("classify", f"{stocked.url}/typed.jsonl", "-m", "echo", "--output-folder", f"{url}/")

    first = run(*command)
    (reading.settings.data_dir / "cured").touch()
    resumed = run(*command, "--resume")

    assert first.status == 2
    assert f"The results, part by part: {url}/manifest.json" in first.out
    assert resumed.status == 0
    assert [row["output"]["label"] for row in parts_of(stocked, "typed")] == lines  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ("reader", "output_unwritable", r"may not be written with the credentials .*\(AccessDenie"),
        ("nobody", "invalid_input", r"may not be read with the credentials of this host \(\w+\): "),
        ("nowhere", "store_unreachable", r"does not answer \(\w+\)\. Workers try it again for SEQ"),
        ("obliging", "output_unwritable", r"puts an object whatever the condition \(If-None-Match"),
    ],
)
def test_a_bucket_that_workers_cannot_use_is_told_with_a_reason(
    empty_cluster: Cluster,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    variables: str,
    code: str,
    said: str,
    tmp_path: Path,
) -> None:
    bucket.put("in.jsonl", jsonl(texts(5)))
    (tmp_path / "in.jsonl").write_bytes(jsonl(texts(5)))
    with obliging() as url:
        of = {
            "reader": bucket.server.reader,
            "nobody": {"AWS_SECRET_ACCESS_KEY": "wrong"},
            "nowhere": {"AWS_ENDPOINT_URL_S3": "http://u:secret@127.0.0.1:9"},
            "obliging": {"AWS_ENDPOINT_URL_S3": url},
        }
        with monkeypatch.context() as env:
            for name, value in of[variables].items():
                env.setenv(name, value)
            worker(empty_cluster, bucket, unfit_grace_s=0.0, input_roots=(bucket.url, tmp_path))
        path = tmp_path if variables == "obliging" else bucket.url

        job = handed_in(empty_cluster.client(), f"{path}/in.jsonl", f"{bucket.url}/out")

        with pytest.raises(JobFailed) as failed:
            job.wait(timeout_s=60)
    assert failed.value.failure.code == code
    assert re.search(said, str(failed.value))
    assert "secret" not in str(failed.value)


class Obliging(BaseHTTPRequestHandler):
    """Holds nothing, and puts whatever it is given, as servers do that know no conditions."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(404, b"")

    def do_GET(self) -> None:
        is_listing = "list-type" in self.path
        self.answer(200, b"<ListBucketResult/>") if is_listing else self.answer(404, NO_KEY)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, b"")

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing."""


NO_KEY = b"<Error><Code>NoSuchKey</Code></Error>"


@contextmanager
def obliging() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Obliging) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
