"""Jobs by reference: workers read a file and write parts of the results, each item once.

Files and results are in a folder, or in a bucket of S3.
"""

import asyncio
import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from async_builders import an_async_client, run
from builders import a_classify_job
from cli_builders import here_in
from inbox_builders import Producer
from s3_fixtures import Answering, Bucket, S3Server, obliging_server, serving, silent_server
from seqd.batch.on_ray import RayJob
from seqd.client import Client, FileSource, InvalidRequest, JobFailed, JobHandle, WrongState
from seqd.errors import InvalidInput, OutputExists, SeqdError
from seqd.inputs.parts import PartFolder
from seqd.ledger import connect
from seqd.ledger.blobs import json_lines
from seqd_schemas import Classification, ItemSuccess, JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes]

LINES = 200
SLOWLY = {"delay_ms": 5.0}
SECRET = "AWS_SECRET_ACCESS_KEY"


@dataclass(frozen=True)
class Folder:
    """A folder in which files are read, and results written."""

    root: Path

    def path(self, name: str) -> str:
        return str(self.root / name)

    def put(self, name: str, content: bytes) -> None:
        """Write a file; one that was there keeps its times."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        times = path.stat() if path.exists() else None
        path.write_bytes(content)
        if times is not None:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def names(self, folder: str) -> set[str]:
        return {path.name for path in (self.root / folder).glob("*")}

    def remove(self, name: str) -> None:
        (self.root / name).unlink()


@dataclass(frozen=True)
class InBucket:
    """The same in a bucket."""

    bucket: Bucket
    folder: str = ""

    @property
    def root(self) -> str:
        return self.bucket.url

    def path(self, name: str) -> str:
        return f"{self.bucket.url}/{self.folder}{name}"

    def put(self, name: str, content: bytes) -> None:
        self.bucket.put(self.folder + name, content)

    def read(self, name: str) -> bytes:
        return self.bucket.read(self.folder + name)

    def names(self, folder: str) -> set[str]:
        start = f"{self.folder}{folder}/"
        return {name.removeprefix(start) for name in self.bucket.names(start)}

    def remove(self, name: str) -> None:
        self.bucket.remove(self.folder + name)


Place = Folder | InBucket

places = pytest.mark.parametrize("place", ["folder", "bucket"], indirect=True)
own_places = pytest.mark.parametrize("own_place", ["folder", "bucket"], indirect=True)


@pytest.fixture(scope="module")
def stocked(s3_server: S3Server, module_cluster: Cluster) -> Iterator[Bucket]:
    """A bucket that the worker which the tests share may use."""
    made = s3_server.bucket("stocked")
    with pytest.MonkeyPatch.context() as env:
        for name, value in s3_server.environment.items():
            env.setenv(name, value)
        (without,) = module_cluster.workers
        without.stop()
        roots = (module_cluster.settings.data_dir.parent, made.url)
        module_cluster.start_ready(input_roots=roots, output_roots=roots)
        yield made


@pytest.fixture
def place(request: pytest.FixtureRequest, module_cluster: Cluster, tmp_path: Path) -> Place:
    """A place of the cluster that tests share in which no worker dies."""
    if getattr(request, "param", "folder") == "bucket":
        return InBucket(request.getfixturevalue("stocked"), f"{tmp_path.name}/")
    root = module_cluster.settings.data_dir.parent / tmp_path.name
    root.mkdir()
    return Folder(root)


@pytest.fixture
def own_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place of the test's own."""
    if getattr(request, "param", "folder") == "bucket":
        return InBucket(request.getfixturevalue("bucket"))
    return Folder(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files are read, and folders written."""
    return tmp_path


def worker(cluster: Cluster, root: Path | str, **settings: object) -> LiveWorker:
    roots = {"input_roots": (root,), "output_roots": (root,)}
    return cluster.start_ready(**{**roots, **settings})


def texts(count: int = LINES) -> list[str]:
    return [f"text {number}" for number in range(count)]


def jsonl(lines: list[str]) -> bytes:
    records = (json.dumps({"custom_id": f"c{n}", "text": one}) for n, one in enumerate(lines))
    return "".join(f"{record}\n" for record in records).encode()


def unnamed(form: str, lines: list[str], end: str = "\n") -> bytes:
    """Return a file of texts without identifiers."""
    if form == "parquet":
        pq.write_table(pa.table({"text": lines}), table := io.BytesIO(), row_group_size=7)
        return table.getvalue()
    rows = ["text", *lines] if form == "csv" else [json.dumps({"text": one}) for one in lines]
    return ("\n".join(rows) + end).encode()


def handed_in(client: Client, place: Place, name: str = "in.jsonl", **options: object) -> JobHandle:  # type: ignore[type-arg]
    """Hand a job in on a file, whose results go into the folder `out`."""
    source, out = FileSource(path=place.path(name)), place.path("out")
    return client.classify(source, model="echo", output_folder=out, **options)  # type: ignore[arg-type]


def parts_of(place: Place) -> list[dict[str, object]]:
    """Return what stands in the parts that the manifest lists, held against its digests."""
    manifest = json.loads(place.read("out/manifest.json"))
    rows = list[dict[str, object]]()
    for part in manifest["parts"]:
        content = place.read(f"out/{part['name']}")
        assert sha256(content).hexdigest() == part["sha256"]
        found = [json.loads(line) for line in content.splitlines()]
        assert len(found) == part["items"]
        rows += found
    assert manifest["items"] == len(rows)
    assert manifest["errored"] == sum("error" in row for row in rows)
    listed = {part["name"] for part in manifest["parts"]}
    assert place.names("out") == listed | {"manifest.json", ".seqd-job"}
    return rows


def labels_of(rows: list[dict[str, object]]) -> list[str]:
    """Return the labels of the rows that have an output."""
    return [row["output"]["label"] for row in rows if "output" in row]  # type: ignore[index]


def assert_whole(job: JobHandle, place: Place, lines: list[str]) -> None:  # type: ignore[type-arg]
    """Assert that each line has its result once, in order, for readers of both kinds."""
    rows = parts_of(place)
    assert [row["custom_id"] for row in rows] == [f"c{n}" for n in range(len(lines))]
    assert labels_of(rows) == lines
    assert [result.unwrap().label for result in job.results()] == lines


def wait_for_parts(place: Place, count: int) -> None:
    def are_written() -> bool:
        return sum(name.startswith("part-") for name in place.names("out")) >= count

    wait_until(are_written, f"{count} parts are written")


def cure(cluster: Cluster) -> None:
    """Let the worker go on with what it holds, and do what it could not."""
    (cluster.settings.data_dir / "cured").touch()


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.txt", "\n\n".join(texts())),
        ("a.csv", "id,text\r\n" + "".join(f'{n},"text {n}"\r\n' for n in range(LINES))),
    ],
)
def test_workers_read_a_file_and_leave_its_results_in_a_folder(
    module_cluster: Cluster, place: Place, name: str, written: str
) -> None:
    place.put(name, written.encode())

    job = handed_in(module_cluster.client(), place, name)

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert labels_of(parts_of(place)) == texts()
    assert [result.unwrap().label for result in job.results()] == texts()
    with connect(module_cluster.settings.redis_url) as redis:
        keys = module_cluster.settings.keys
        assert redis.exists(keys.input(job.job_id), keys.failed(job.job_id)) == 0
        assert all(row.startswith(b"@") for row in redis.hvals(keys.output(job.job_id)))


def a_table(place: Place, lines: list[object], name: str = "text", **more: object) -> None:
    """Write a file of Parquet in row groups that are no units."""
    rows = pa.array(lines, None if lines else pa.string())
    columns = {"custom_id": [f"c{n}" for n in range(len(lines))], name: rows}
    pq.write_table(pa.table({**columns, **more}), table := io.BytesIO(), row_group_size=30)
    place.put("in.parquet", table.getvalue())


def test_rows_of_parquet_are_read_and_no_other_columns(
    module_cluster: Cluster, place: Place
) -> None:
    lines = texts()
    a_table(place, [*lines[:7], None, *lines[8:]], other=[b"x"] * LINES)

    job = handed_in(module_cluster.client(), place, "in.parquet")

    assert job.wait(timeout_s=60).counts.errored == 1
    rows = parts_of(place)
    assert [row["custom_id"] for row in rows] == [f"c{n}" for n in range(LINES)]
    assert labels_of(rows) == lines[:7] + lines[8:]
    assert rows[7]["error"]["message"].startswith("row 8: ")  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own_place", "form"), [("folder", "parquet"), ("bucket", "jsonl")], indirect=["own_place"]
)
def test_a_killed_worker_costs_nothing(empty_cluster: Cluster, own_place: Place, form: str) -> None:
    workers = [worker(empty_cluster, own_place.root) for _ in range(2)]
    for number in range(2):
        lines = texts()[number * 100 : (number + 1) * 100]
        own_place.put(f"in-{number}.{form}", unnamed(form, lines))

    job = handed_in(empty_cluster.client(), own_place, f"in-*.{form}", parameters=SLOWLY)
    wait_for_parts(own_place, 5)
    workers[0].kill_child()
    wait_for_parts(own_place, 14)
    workers[1].kill()

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    rows, row = parts_of(own_place), "row" if form == "parquet" else "line"
    assert labels_of(rows) == texts()
    assert [one["custom_id"] for one in rows[99:101]] == [
        f"in-0.{form}:{row}-100",
        f"in-1.{form}:{row}-1",
    ]
    assert [result.unwrap().label for result in job.results()] == texts()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda place: cut(place, slice(-9)), "is no Parquet file that can be"),
        (lambda place: a_table(place, ["a"], "body"), "has no column 'text'; it has: custom_id, b"),
        (
            lambda place: a_table(place, [1]),
            "the column 'text' of .* holds int64; allowed: strings",
        ),
        (lambda place: a_table(place, []), "holds no entry; at least one is due"),
        (lambda place: cut(place, slice(904, None), b"PAR1" + bytes(900)), "is damaged behind row"),
    ],
    ids=["truncated", "no column", "no text", "empty", "damaged"],
)
def test_a_file_of_parquet_that_will_not_do_fails_the_job(
    module_cluster: Cluster, place: Place, spoil: Callable[[Place], object], said: str
) -> None:
    a_table(place, [*texts()])
    spoil(place)

    job = handed_in(module_cluster.client(), place, "in.parquet")

    with pytest.raises(JobFailed, match=said) as failed:
        job.wait(timeout_s=60)
    assert failed.value.failure.code == "invalid_input"


def cut(place: Place, kept: slice, begin: bytes = b"") -> None:
    place.put("in.parquet", begin + place.read("in.parquet")[kept])


@places
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_files_whose_names_fit_a_pattern_are_read_as_one_in_the_order_of_their_names(
    module_cluster: Cluster, place: Place, form: str
) -> None:
    for number, end in ((1, ""), (2, "\n"), (0, "\n\n")):
        some = texts()[number * 70 : (number + 1) * 70]
        place.put(f"part-{number}.{form}", unnamed(form, some, end))
    place.put(f"part-1-b.{form}", b"")
    place.put(f"part-1/inner.{form}", b"is in another folder")
    place.put(f".part-3.{form}", b"hidden")

    job = handed_in(module_cluster.client(), place, f"part-*.{form}")

    assert job.wait(timeout_s=60).counts.succeeded == LINES
    rows = parts_of(place)
    row, first = {"csv": ("line", 2), "parquet": ("row", 1)}.get(form, ("line", 1))
    assert labels_of(rows) == texts()
    assert [one["custom_id"] for one in rows[69:71]] == [
        f"part-0.{form}:{row}-{69 + first}",
        f"part-1.{form}:{row}-{first}",
    ]
    assert [result.unwrap().label for result in job.results(offset=21, limit=9)] == texts()[21:30]


@places
def test_a_file_whose_name_looks_like_a_pattern_is_read(
    module_cluster: Cluster, place: Place
) -> None:
    place.put("one[1].jsonl", jsonl(texts(3)))
    place.put("one1.jsonl", jsonl(texts(5)))

    job = handed_in(module_cluster.client(), place, "one[1].jsonl")

    assert job.wait(timeout_s=60).counts.succeeded == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("os.link", ".part-00000001"),  # before the part is there
        ("os.remove", ".part-00000001"),  # between the part and the commit
        ("os.rename", ".manifest.json"),  # before the manifest is there
        ("os.remove", "part-00000099"),  # between the manifest and the end of the job
    ],
)
def test_a_worker_that_is_killed_at_a_step_of_the_writing_costs_nothing(
    empty_cluster: Cluster, own_place: Place, step: str, name: str
) -> None:
    dies = empty_cluster.settings.data_dir / "dies"
    dies.write_text(f"{step} {name}")
    killed = worker(empty_cluster, own_place.root)
    job, lines = held_at_its_first_unit(empty_cluster, own_place)
    own_place.put("out/part-00000099.jsonl", b"")

    cure(empty_cluster)

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert not dies.exists(), "it was killed"
    assert "SIGKILL" in killed.log()
    assert_whole(job, own_place, lines)


def held_at_its_first_unit(cluster: Cluster, place: Place) -> tuple[JobHandle, list[str]]:  # type: ignore[type-arg]
    """Hand a job of four units in whose first one is held until `cure`; its lines."""
    lines = ["held", *texts(30)]
    place.put("in.jsonl", jsonl(lines))
    job = handed_in(cluster.client(), place)
    wait_until(lambda: job.record().units == 4, "all units are added")
    return job, lines


@pytest.mark.slow
def test_a_folder_that_is_away_for_a_while_is_waited_for_and_never_made_anew(
    empty_cluster: Cluster, own_place: Place, tmp_path: Path
) -> None:
    first, out, away = worker(empty_cluster, tmp_path), tmp_path / "out", tmp_path / "away"
    job, lines = held_at_its_first_unit(empty_cluster, own_place)
    out.rename(away)
    first.kill()
    cure(empty_cluster)

    second = worker(empty_cluster, tmp_path, unfit_grace_s=300.0)
    wait_until(lambda: "could not be written here" in second.log(), "it has tried")
    faults = empty_cluster.settings.keys.faults(job.job_id)
    with connect(empty_cluster.settings.redis_url) as redis:
        wait_until(lambda: redis.hexists(faults, "ingest"), "it has tried to go on with the file")

    assert not out.exists()
    away.rename(out)
    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(job, own_place, lines)


@pytest.mark.slow
def test_a_bucket_that_does_not_answer_for_a_while_is_waited_for(
    empty_cluster: Cluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TcpProxy(bucket.server.url) as line:
        with monkeypatch.context() as env:
            env.setenv("AWS_ENDPOINT_URL_S3", line.url)
            one = worker(empty_cluster, bucket.url, unfit_grace_s=300.0)
        job, lines = held_at_its_first_unit(empty_cluster, InBucket(bucket))
        line.refuse()
        cure(empty_cluster)
        wait_until(lambda: "does not answer" in one.log(), "it has tried")
        line.accept()

        assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(job, InBucket(bucket), lines)


@pytest.mark.slow
def test_credentials_that_are_wrong_are_read_anew_until_they_are_right(
    empty_cluster: Cluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place, lines = InBucket(bucket), texts(30)
    place.put("in.jsonl", jsonl(lines))
    key, secret = (bucket.server.writer[name] for name in ("AWS_ACCESS_KEY_ID", SECRET))
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = old\n")
    with monkeypatch.context() as env:
        env.delenv("AWS_ACCESS_KEY_ID")
        env.delenv(SECRET)
        env.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        one = worker(empty_cluster, bucket.url, unfit_grace_s=300.0)
    job = handed_in(empty_cluster.client(), place)
    wait_until(lambda: "may not be read" in one.log(), "it has tried")

    file.write_text(file.read_text().replace("old", secret))

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(job, place, lines)


@pytest.mark.slow
def test_a_part_that_was_written_and_not_committed_is_taken_as_it_is(
    empty_cluster: Cluster, own_place: Place
) -> None:
    first = worker(empty_cluster, own_place.root)
    job, _ = held_at_its_first_unit(empty_cluster, own_place)
    output = Classification(label="x", score=1.0, truncated=False)
    earlier = [ItemSuccess(custom_id=f"c{n}", output=output) for n in range(8)]
    own_place.put("out/part-00000000.jsonl", b"".join(json_lines(earlier)))

    cure(empty_cluster)

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert labels_of(parts_of(own_place))[:8] == ["x"] * 8
    assert [result.unwrap().label for result in job.results(limit=8)] == ["x"] * 8
    assert "Traceback" not in first.log()


@pytest.mark.slow
def test_a_part_that_is_taken_away_before_the_end_ends_the_job(
    empty_cluster: Cluster, own_place: Place
) -> None:
    worker(empty_cluster, own_place.root)
    own_place.put("in.jsonl", jsonl([*texts(8), "held"]))
    job = handed_in(empty_cluster.client(), own_place)
    wait_until(lambda: job.record().units_done == 1, "a unit is done")

    own_place.remove("out/part-00000000.jsonl")
    cure(empty_cluster)

    with pytest.raises(JobFailed, match=r"part-00000000\.jsonl, which the workers wrote, is gone"):
        job.wait(timeout_s=60)


@pytest.mark.slow
def test_an_item_that_kills_its_worker_is_found_and_stands_in_the_parts(
    empty_cluster: Cluster, own_place: Place
) -> None:
    worker(empty_cluster, own_place.root, max_attempts=1)
    own_place.put("in.jsonl", jsonl([*texts(10), "kill", *texts(10)]))

    job = handed_in(empty_cluster.client(), own_place)

    assert job.wait(timeout_s=60).counts.errored == 1
    assert parts_of(own_place)[10]["error"]["code"] == "worker_crashed"  # type: ignore[index]
    assert [result.ok for result in job.results()] == [n != 10 for n in range(21)]


@pytest.mark.slow
@own_places
def test_a_retry_computes_what_has_no_result_and_nothing_else(
    empty_cluster: Cluster, own_place: Place, tmp_path: Path
) -> None:
    worker(empty_cluster, own_place.root)
    client, calls = empty_cluster.client(), tmp_path / "calls"
    lines = [*texts(12), "uncured", *texts(12)]
    own_place.put("in.jsonl", jsonl(lines))
    job = handed_in(client, own_place, parameters={"calls": str(calls)})
    assert job.wait(timeout_s=60).counts.errored == 1
    assert json.loads(own_place.read("out/manifest.json"))["errors"] == {"plugin_error": 1}
    cure(empty_cluster)
    calls.unlink()
    own_place.put("out/part-of-mine.jsonl", b"")
    (left,) = client.replay(job=job.job_id)
    empty_cluster.operator().pause_model("echo")
    cancelled = client.retry(job.job_id)
    cancelled.cancel()
    of_both = [result.ok for result in job.merged_results()]
    empty_cluster.operator().resume_model("echo")

    retry = client.retry(cancelled.job_id)

    assert of_both == [line != "uncured" for line in lines]
    assert retry.wait(timeout_s=60).counts.succeeded == len(lines)
    assert calls.read_text().split("\n") == ["uncured", ""]
    assert [use.items for use in empty_cluster.operator().tenant_usage()] == [len(lines) + 1]
    own_place.remove("out/part-of-mine.jsonl")
    assert left.left_because.startswith(f"Job {job.job_id} has its items in a file")
    assert_whole(retry, own_place, lines)
    assert [result.unwrap().label for result in job.merged_results()] == lines
    with pytest.raises(WrongState, match="no failed items"):
        client.retry(retry.job_id)


@pytest.mark.slow
def test_a_cancelled_job_keeps_its_parts_and_a_retry_does_the_rest(
    empty_cluster: Cluster, own_place: Place, tmp_path: Path
) -> None:
    worker(empty_cluster, own_place.root)
    client, calls = empty_cluster.client(), tmp_path / "calls"
    own_place.put("in.jsonl", jsonl(texts()))
    job = handed_in(client, own_place, parameters={**SLOWLY, "calls": str(calls)})
    wait_for_parts(own_place, 5)

    job.cancel()
    done = [result.custom_id for result in job.results()]

    assert done == [f"c{n}" for n in range(len(done))]
    assert "manifest.json" not in own_place.names("out")
    retry = client.retry(job.job_id)
    assert retry.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(retry, own_place, texts())
    computed = calls.read_text().split("\n")
    assert len(computed) < LINES + LINES // 2


ROWS = "text,note\nheld,held\n" + "".join(f"text {n},note {n}\n" for n in range(199))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own_place", "name", "content", "before", "after"),
    [
        ("folder", "in.csv", ROWS.encode(), b"text,note", b"note,text"),
        ("folder", "in.jsonl", jsonl(["held", *texts(199)]), b"text 190", b"tixt 190"),
        ("bucket", "in.jsonl", jsonl(["held", *texts(199)]), b"text 190", b"tixt 190"),
    ],
    ids=["header", "line", "object"],
    indirect=["own_place"],
)
def test_a_file_that_is_changed_under_a_job_ends_it(
    empty_cluster: Cluster,
    own_place: Place,
    name: str,
    content: bytes,
    before: bytes,
    after: bytes,
) -> None:
    worker(empty_cluster, own_place.root)
    own_place.put(name, content)
    job = handed_in(empty_cluster.client(), own_place, name)
    wait_until(lambda: job.record().units == 25, "all units are added")

    own_place.put(name, content.replace(before, after))
    empty_cluster.workers[0].kill_child()  # which has all of it in memory
    cure(empty_cluster)

    with pytest.raises(JobFailed, match=rf"{name} was changed while it was read") as failed:
        job.wait(timeout_s=60)
    assert failed.value.failure.code == "invalid_input"
    assert "manifest.json" not in own_place.names("out")


@places
def test_what_readers_find_changed_or_gone_is_told(module_cluster: Cluster, place: Place) -> None:
    place.put("in.jsonl", jsonl(texts(20)))
    job = handed_in(module_cluster.client(), place)
    job.wait(timeout_s=60)
    name, part = "out/part-00000001.jsonl", re.escape(place.path("out/part-00000001.jsonl"))

    place.put(name, place.read(name).replace(b"text", b"tixt"))
    with pytest.raises(InvalidInput, match=f"{part} is not what the workers wrote"):
        list(job.results())
    place.remove(name)
    with pytest.raises(InvalidInput, match=f"{part}, which has results of the job, cannot be read"):
        list(job.results())


#: What stands where these jobs are handed in; `lost.jsonl` leads nowhere.
GIVEN = {
    "in.jsonl": jsonl(texts(5)),
    "in.jsonl.gz": b"\x1f\x8b",
    "in.parquet": b"PAR1",
    "empty.jsonl": b"",
    "blank.jsonl": b"\n\n",
    "file": b"",
    "full/mine.txt": b"mine",
    "taken/.seqd-job": b"job-1",
}

EVERYWHERE: list[tuple[str, str, str]] = [
    ("{}/in.jsonl", "{}/full", r"/full is not empty: it holds mine\.txt\. Name a new"),
    ("{}/in.jsonl", "{}/taken", r"/taken holds the results of job job-1\. N"),
    ("{}/in-*.jsonl", "{}/out", r"in-\*\.jsonl fits 0 files; allowed: 1 to 10,000"),
    ("{}/no.jsonl", "{}/out", r"/no\.jsonl does not exist\."),
    ("{}/in.jsonl.gz", "{}/out", r"is compressed, or a folder, .* or leave the output folder out"),
    ("{}/in.parquet", "{}/out", r"in\.parquet is no Parquet file that"),
]
UNUSABLE: list[tuple[str, str, str, str]] = [
    *((where, *row) for where in ("folder", "bucket") for row in EVERYWHERE),
    ("folder", "{}/in.jsonl", "{}/file", r"/file cannot be written to by the workers \(Not a dir"),
    ("folder", "{}/in.jsonl", "{}/no/out", r"cannot be written to by the workers \(No such file"),
    ("folder", "{}/in.jsonl", "/elsewhere", r"/elsewhere is outside the folders that jobs may wri"),
    ("folder", "{}/in.jsonl", "out", r"^out is a relative path; allowed: an absolute one"),
    ("folder", "{}/in.jsonl*", "{}/out", r"is compressed, or a folder, which workers cannot read"),
    ("folder", "{}/lost*", "{}/out", r"gone\.jsonl does not exist"),
    ("folder", "{}/blank.jsonl", "{}/out", r"holds no entry; at least one is due"),
    ("bucket", "{}/in.jsonl", "s3://stocked/seqd2", r"is outside the folders that jobs"),
    ("bucket", "s3://other/in.jsonl", "{}/out", r"is outside the folders that jobs may"),
    ("bucket", "{}/empty.jsonl", "{}/out", r"/empty\.jsonl is empty; at least one"),
]


@pytest.mark.parametrize(("place", "path", "out", "said"), UNUSABLE, indirect=["place"])
def test_what_cannot_be_done_fails_the_job_before_anything_is_computed(
    module_cluster: Cluster, place: Place, path: str, out: str, said: str
) -> None:
    for name, content in GIVEN.items():
        place.put(name, content)
    if isinstance(place, Folder):
        (place.root / "lost.jsonl").symlink_to("gone.jsonl")
    url = place.path("").rstrip("/")

    source = FileSource(path=path.format(url))
    job = module_cluster.client().classify(source, model="echo", output_folder=out.format(url))

    with pytest.raises(JobFailed, match=said) as failed:
        job.wait(timeout_s=60)
    is_taken = out in ("{}/full", "{}/taken")
    assert (failed.value.failure.code == "output_exists") is is_taken
    assert not [name for name in place.names("out") if name.startswith("part-")]


@pytest.mark.parametrize(
    ("path", "out", "said"),
    [
        ("/in.jsonl", "gs://a/b", "gs://a/b"),
        ("/in.jsonl", "s3://a/../b", "s3://a/../b"),
        ("/in.jsonl", "s3://key:se/cret@b/c", "s3://***@b/c"),
        ("https://ana:secret@a/b.jsonl", "/out", "https://***@a/b.jsonl"),
    ],
)
def test_a_url_that_names_nothing_in_a_bucket_is_refused_before_it_is_stored(
    module_cluster: Cluster, path: str, out: str, said: str
) -> None:
    client = module_cluster.client()

    with pytest.raises(InvalidInput) as refused:
        client.classify(FileSource(path=path), model="echo", output_folder=out)

    told = f"{said} is a URL; allowed: a path, or s3://BUCKET/FOLDER/NAME"
    assert str(refused.value) == told


class Slow(Answering):
    """Denies everything, once it may answer."""

    asked, may_answer = Event(), Event()

    def answered(self) -> tuple[int, bytes]:
        self.asked.set()
        self.may_answer.wait(20)
        return 403, b""


@pytest.mark.slow
def test_a_part_that_takes_long_to_read_holds_up_nobody_else_of_an_event_loop(
    empty_cluster: Cluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    InBucket(bucket).put("in.jsonl", jsonl(texts(5)))
    worker(empty_cluster, bucket.url)
    done = handed_in(empty_cluster.client(), InBucket(bucket))
    done.wait(timeout_s=60)

    async def goes_on_meanwhile() -> bool:
        async with an_async_client(empty_cluster) as client:
            first = asyncio.create_task(anext(aiter(client.job(done.job_id).results())))
            while not Slow.asked.is_set():
                await asyncio.sleep(0.01)
            is_waiting = not first.done()
            Slow.may_answer.set()
            with pytest.raises(SeqdError, match="may not be read"):
                await first
            return is_waiting

    with serving(Slow) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        assert run(goes_on_meanwhile())


def test_a_folder_is_taken_over_only_by_who_asks_for_the_same(
    module_cluster: Cluster, place: Place
) -> None:
    client = module_cluster.client()
    place.put("in.jsonl", jsonl(texts(20)))
    first = handed_in(client, place)
    first.wait(timeout_s=60)
    asked = first.record().job.model_dump(mode="json", exclude_defaults=True)
    others = {"kind": "classify", "continues": first.job_id, "tenant": "other"}

    second = handed_in(client, place)
    with connect(module_cluster.settings.redis_url) as redis:
        producer = Producer(redis, module_cluster.settings.keys)
        third = client.job(producer.add(asked | others))
        wait_until(lambda: producer.waiting() == 0, "it is taken")

    with pytest.raises(JobFailed, match=f"holds the results of job {first.job_id}"):
        second.wait(timeout_s=60)
    with pytest.raises(JobFailed, match="asks for something else, or for another tenant"):
        third.wait(timeout_s=60)
    assert_whole(first, place, texts(20))


def test_input_that_looks_like_a_reference_is_none(module_cluster: Cluster) -> None:
    client, operator = module_cluster.client(), module_cluster.operator()
    operator.pause_model("echo")
    jobs = [client.classify([one], model="echo") for one in ("looks", "is well")]
    with connect(module_cluster.settings.redis_url) as redis:
        looks = b'@9 {"first_index":0,"size":1,"offset":0,"line":0,"size_bytes":9,"checksum":1}'
        redis.hset(module_cluster.settings.keys.input(jobs[0].job_id), "0", looks)

    operator.resume_model("echo")

    assert [one.wait(timeout_s=60).state for one in jobs[1:]] == [JobState.COMPLETED]
    with pytest.raises(JobFailed):
        jobs[0].wait(timeout_s=60)


def test_a_folder_is_asked_for_with_a_file_alone(module_cluster: Cluster) -> None:
    client = module_cluster.client()
    with pytest.raises(InvalidRequest, match="output_folder is for a job of items whose input is"):
        client.classify(["a"], model="echo", output_folder="/out")


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.jsonl.gz"])
def test_a_job_without_a_folder_reads_a_url_too(
    module_cluster: Cluster, stocked: Bucket, name: str
) -> None:
    lines = texts()
    content = unnamed("csv" if "csv" in name else "jsonl", lines)
    stocked.put(f"plain/{name}", gzip.compress(content) if name.endswith(".gz") else content)

    job = module_cluster.client().classify(
        FileSource(path=f"{stocked.url}/plain/{name}"), model="echo"
    )

    assert [result.unwrap().label for result in job.results()] == lines


def test_a_command_trains_on_a_url(
    module_cluster: Cluster,
    stocked: Bucket,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    run = here_in(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("SEQD_REDIS_URL", module_cluster.commands.redis_url or "")
    monkeypatch.setenv("SEQD_PREFIX", module_cluster.settings.prefix)
    stocked.put("train.jsonl", b'{"text": "a", "label": "x"}\n' * 3)
    command = ("train", "echo", "--as", "of_url", "--data")

    done = run(*command, f"{stocked.url}/train.jsonl", "--json")
    outside = run(*command, "s3://other/train.jsonl")
    missing = run(*command, f"{stocked.url}/no.jsonl")

    assert (done.status, json.loads(done.out)["model"]) == (0, "of_url"), done.err
    assert "s3://other/train.jsonl is outside the folders that jobs may read" in outside.err
    assert f"{stocked.url}/no.jsonl does not exist. Check the URL" in missing.err


@places
def test_a_command_leaves_a_folder_and_goes_on_with_it(
    module_cluster: Cluster,
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    run = here_in(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("SEQD_REDIS_URL", module_cluster.commands.redis_url or "")
    monkeypatch.setenv("SEQD_PREFIX", module_cluster.settings.prefix)
    (module_cluster.settings.data_dir / "cured").unlink(missing_ok=True)
    lines, out = [*texts(12), "uncured"], place.path("out")
    for name in ("in.jsonl", "other.jsonl"):
        place.put(name, jsonl(lines))
    command = ("classify", place.path("in.jsonl"), "-m", "echo", "--output-folder", f"{out}/")

    first = run(*command)
    again = run(*command)
    cure(module_cluster)
    other = run("classify", place.path("other.jsonl"), *command[2:], "--resume")
    resumed = run(*command, "--resume")
    refused = run(*command, "--out", "r.jsonl")
    misnamed = run(*command[:-1], place.path("other"), "--text-field", "body")

    assert first.status == 2
    assert "12 classified by echo@1" in first.out
    assert "1 have an error instead, in their place:\n  c12  plugin_error: " in first.out
    assert "Once their cause is mended: seqd jobs retry" in first.out
    assert f"The results, part by part: {out}/manifest.json" in first.out
    assert again.status != 0
    assert "holds the results of job" in again.err
    assert other.status == 2
    assert "the file, the model or an option is another than in the command that" in other.err
    assert resumed.status == 0
    assert labels_of(parts_of(place)) == lines
    assert refused.status == 2
    assert "--output-folder takes the results as workers write them" in refused.err
    assert misnamed.status == 2
    told = misnamed.out[misnamed.out.index("13 have an error") :].splitlines()
    assert told[0] == "13 have an error instead, in their place, the first ones:"
    assert [line.split(": ")[0] for line in told[1:4]] == [
        f"  c{n}  invalid_input" for n in (0, 1, 2)
    ]
    assert "body" in told[1]
    assert told[4].startswith("None has a result. Where an option is the cause")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ("reader", "output_unwritable", r"may not be written with the credentials .*\(AccessDenie"),
        ("nobody", "store_unreachable", r"\(SignatureDoesNotMatch\): .*they have not expired"),
        ("silent", "store_unreachable", r"may not be read .* \(403\): .*they have not expired"),
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
    for where in (InBucket(bucket), Folder(tmp_path)):
        where.put("in.jsonl", jsonl(texts(5)))
    with obliging_server() as obliging, silent_server() as silent:
        of = {
            "reader": bucket.server.reader,
            "nobody": {SECRET: "wrong"},
            "nowhere": {"AWS_ENDPOINT_URL_S3": "http://u:secret@127.0.0.1:9"},
            "obliging": {"AWS_ENDPOINT_URL_S3": obliging},
            "silent": {"AWS_ENDPOINT_URL_S3": silent},
        }
        with monkeypatch.context() as env:
            for name, value in of[variables].items():
                env.setenv(name, value)
            roots = (bucket.url, tmp_path)
            worker(empty_cluster, bucket.url, unfit_grace_s=0.0, input_roots=roots)
        source = FileSource(path=f"{tmp_path if variables == 'obliging' else bucket.url}/in.jsonl")

        job = empty_cluster.client().classify(
            source, model="echo", output_folder=f"{bucket.url}/out"
        )

        with pytest.raises(JobFailed) as failed:
            job.wait(timeout_s=60)
    assert failed.value.failure.code == code
    assert re.search(said, str(failed.value))
    assert "secret" not in str(failed.value)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may be made, beside a file; without a daemon."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "in.jsonl").write_text('{"text": "A wonderful film."}\n')
    return tmp_path / "out"


def job_into(out: Path) -> RayJob:
    source = FileSource(path=str(out.parent / "in.jsonl"))
    job = a_classify_job(
        model="imdb_lstm@0", source=source, output_folder=str(out), format=3, engine="ray"
    )
    return RayJob(job, resumes=False)


class Page(Answering):
    """Answers as a server of pages does."""

    def answered(self) -> tuple[int, bytes]:
        return 404, b""


def test_an_address_where_no_head_listens_is_refused_and_no_folder_is_taken(out: Path) -> None:
    with serving(Page) as url:
        of_pages = url.removeprefix("http://").rstrip("/")
        told = []
        for address in (of_pages, "127.0.0.1:1"):
            with pytest.raises(InvalidRequest) as raised, job_into(out).connected(address):
                pass
            told.append(str(raised.value))

    assert f"No cluster of Ray answers at {of_pages} (what listens there is no head" in told[0]
    assert "No cluster of Ray answers at 127.0.0.1:1 (" in told[1]
    assert not out.exists()


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("j1", "job j1, which a daemon's workers computed. Name a new folder"),
        (f"ray-{'0' * 24}", "another file, model or option. Name a new folder"),
    ],
)
def test_a_folder_of_another_job_is_refused_by_whose_it_is(
    out: Path, owner: str, said: str
) -> None:
    PartFolder.claim(str(out), owner, ())

    with pytest.raises(OutputExists) as refused:
        job_into(out)

    assert str(refused.value) == f"{out} holds the results of {said}"


@pytest.mark.parametrize(
    ("owner", "manifest", "said"),
    [
        (f"ray-{'0' * 24}", "", "a job that --engine ray computed. Name a new folder"),
        ("j1", '{"errored": 0}', "job j1, which is complete. Name a new folder"),
        ("j1", '{"errored": 2}', "job j1. Name a new folder; or, once that has ended, have done "
         "what it left undone: seqd jobs retry j1"),
    ],
)  # fmt: skip
def test_workers_refuse_a_folder_of_another_job_by_what_can_be_done(
    out: Path, owner: str, manifest: str, said: str
) -> None:
    PartFolder.claim(str(out), owner, ())
    if manifest:
        (out / "manifest.json").write_text(manifest)

    with pytest.raises(OutputExists) as refused:
        PartFolder.claim(str(out), "j2", ())

    assert str(refused.value) == f"{out} holds the results of {said}"
