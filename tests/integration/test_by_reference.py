"""Jobs by reference: workers read a file and write parts of the results, each item once."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli_builders import here_in
from inbox_builders import Producer
from seqd.client import Client, FileSource, InvalidRequest, JobFailed, JobHandle, WrongState
from seqd.errors import InvalidInput
from seqd.ledger import connect
from seqd.ledger.blobs import json_lines
from seqd_schemas import Classification, ItemSuccess, JobState
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes]

LINES = 200
SLOWLY = {"delay_ms": 5.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files are read, and folders written."""
    return tmp_path


@pytest.fixture
def place(module_cluster: Cluster, tmp_path: Path) -> Path:
    """The same of the cluster that tests share in which no worker dies."""
    place = module_cluster.settings.data_dir.parent / tmp_path.name
    place.mkdir()
    return place


def worker(cluster: Cluster, folder: Path, **settings: object) -> LiveWorker:
    roots = {"input_roots": (folder,), "output_roots": (folder,)}
    return cluster.start_ready(**{**roots, **settings})


def texts(count: int = LINES) -> list[str]:
    return [f"text {number}" for number in range(count)]


def file_of(folder: Path, lines: list[str], name: str = "in.jsonl") -> Path:
    path = folder / name
    records = (json.dumps({"custom_id": f"c{n}", "text": one}) for n, one in enumerate(lines))
    path.write_text("\n".join(records) + "\n")
    return path


def handed_in(client: Client, path: Path, out: Path, **options: object) -> JobHandle:  # type: ignore[type-arg]
    source = FileSource(path=str(path))
    return client.classify(source, model="echo", output_folder=str(out), **options)  # type: ignore[arg-type]


def parts_of(out: Path) -> list[dict[str, object]]:
    """Return what stands in the parts that the manifest lists, held against its digests."""
    manifest = json.loads((out / "manifest.json").read_text())
    rows = list[dict[str, object]]()
    for part in manifest["parts"]:
        content = (out / part["name"]).read_bytes()
        assert sha256(content).hexdigest() == part["sha256"]
        found = [json.loads(line) for line in content.splitlines()]
        assert len(found) == part["items"]
        rows += found
    assert manifest["items"] == len(rows)
    assert manifest["errored"] == sum("error" in row for row in rows)
    listed = {part["name"] for part in manifest["parts"]}
    assert {path.name for path in out.iterdir()} == listed | {"manifest.json", ".seqd-job"}
    return rows


def assert_whole(job: JobHandle, out: Path, lines: list[str]) -> None:  # type: ignore[type-arg]
    """Assert that each line has its result once, in order, for readers of both kinds."""
    ids = [f"c{n}" for n in range(len(lines))]
    rows = parts_of(out)
    assert [row["custom_id"] for row in rows] == ids
    results = list(job.results())
    assert [result.custom_id for result in results] == ids
    assert [result.output.label for result in results if result.ok] == [
        line for line, row in zip(lines, rows, strict=True) if "output" in row
    ]


def wait_for_parts(out: Path, count: int) -> None:
    wait_until(lambda: len(list(out.glob("part-*"))) >= count, f"{count} parts are written")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.jsonl", "\n".join(json.dumps({"text": one}) for one in texts())),
        ("a.txt", "\n\n".join(texts())),
        ("a.csv", "id,text\r\n" + "".join(f'{n},"text {n}"\r\n' for n in range(LINES))),
    ],
)
def test_workers_read_a_file_and_leave_its_results_in_a_folder(
    module_cluster: Cluster, place: Path, name: str, written: str
) -> None:
    path, out = place / name, place / "out"
    path.write_text(written)

    job = handed_in(module_cluster.client(), path, out)

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert [row["output"]["label"] for row in parts_of(out)] == texts()  # type: ignore[index]
    assert [result.unwrap().label for result in job.results()] == texts()
    assert [result.unwrap().label for result in job.results(offset=21, limit=9)] == texts()[21:30]
    with connect(module_cluster.settings.redis_url) as redis:
        keys = module_cluster.settings.keys
        assert redis.exists(keys.input(job.job_id), keys.failed(job.job_id)) == 0
        assert all(row.startswith(b"@") for row in redis.hvals(keys.output(job.job_id)))


def a_table(path: Path, lines: list[str | None], name: str = "text", **more: object) -> Path:
    """Write a file of Parquet in row groups that are no units."""
    rows = pa.array(lines, None if lines else pa.string())
    columns = {"custom_id": [f"c{n}" for n in range(len(lines))], name: rows}
    pq.write_table(pa.table({**columns, **more}), path, row_group_size=30)
    return path


def test_rows_of_parquet_are_read_and_no_other_columns(
    module_cluster: Cluster, place: Path
) -> None:
    lines = texts()
    path = a_table(place / "in.parquet", [*lines[:7], None, *lines[8:]], other=[b"x"] * LINES)
    out = place / "out"

    job = handed_in(module_cluster.client(), path, out)

    assert job.wait(timeout_s=60).counts.errored == 1
    rows = parts_of(out)
    assert [row["custom_id"] for row in rows] == [f"c{n}" for n in range(LINES)]
    assert [row["output"]["label"] for row in rows if "output" in row] == lines[:7] + lines[8:]  # type: ignore[index]
    assert rows[7]["error"]["message"].startswith("row 8: ")  # type: ignore[index]


@pytest.mark.slow
def test_a_killed_worker_costs_no_row_of_parquet(empty_cluster: Cluster, folder: Path) -> None:
    workers = [worker(empty_cluster, folder) for _ in range(2)]
    for number in range(2):
        lines = texts()[number * 100 : (number + 1) * 100]
        pq.write_table(pa.table({"text": lines}), folder / f"in-{number}.parquet", row_group_size=7)
    out = folder / "out"

    job = handed_in(empty_cluster.client(), folder / "in-*.parquet", out, parameters=SLOWLY)
    wait_for_parts(out, 5)
    workers[0].kill_child()
    wait_for_parts(out, 14)
    workers[1].kill()

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    rows = parts_of(out)
    assert [row["output"]["label"] for row in rows] == texts()  # type: ignore[index]
    assert [row["custom_id"] for row in rows[99:101]] == [
        "in-0.parquet:row-100",
        "in-1.parquet:row-1",
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "is no Parquet file that can be"),
        (lambda path: a_table(path, ["a"], "body"), "has no column 'text'; it has: custom_id, bod"),
        (lambda path: a_table(path, [1]), "the column 'text' of .* holds int64; allowed: strings"),
        (lambda path: a_table(path, []), "holds no entry; at least one is due"),
        (
            lambda path: path.write_bytes(b"PAR1" + bytes(900) + path.read_bytes()[904:]),
            "is damaged behind row 0",
        ),
    ],
    ids=["truncated", "no column", "no text", "empty", "damaged"],
)
def test_a_file_of_parquet_that_will_not_do_fails_the_job(
    module_cluster: Cluster, place: Path, written: Callable[[Path], object], said: str
) -> None:
    written(path := a_table(place / "in.parquet", texts()))

    job = handed_in(module_cluster.client(), path, place / "out")

    with pytest.raises(JobFailed, match=said) as failed:
        job.wait(timeout_s=60)
    assert failed.value.failure.code == "invalid_input"


@pytest.mark.parametrize("end", ["\n", "", "\n\n"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_files_whose_names_fit_a_pattern_are_read_as_one_in_the_order_of_their_names(
    module_cluster: Cluster, place: Path, form: str, end: str
) -> None:
    for number in (1, 2, 0):
        some = texts(LINES)[number * 70 : (number + 1) * 70]
        lines = some if form == "csv" else [json.dumps({"text": one}) for one in some]
        head = ["text"] if form == "csv" else []
        (place / f"part-{number}.{form}").write_text("\n".join(head + lines) + end)
    (place / f"part-1-b.{form}").touch()
    (place / f".part-3.{form}").write_text("hidden")
    out = place / "out"

    job = handed_in(module_cluster.client(), place / f"part-*.{form}", out)

    assert job.wait(timeout_s=60).counts.succeeded == LINES
    rows, first = parts_of(out), 2 if form == "csv" else 1
    assert [row["output"]["label"] for row in rows] == texts()  # type: ignore[index]
    assert [row["custom_id"] for row in rows[69:71]] == [
        f"part-0.{form}:line-{69 + first}",
        f"part-1.{form}:line-{first}",
    ]


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
    empty_cluster: Cluster, folder: Path, step: str, name: str
) -> None:
    dies, out = empty_cluster.settings.data_dir / "dies", folder / "out"
    dies.write_text(f"{step} {name}")
    killed = worker(empty_cluster, folder)
    lines = ["held", *texts(30)]
    job = handed_in(empty_cluster.client(), file_of(folder, lines), out)
    wait_until(lambda: job.record().units == 4, "all units are added")
    (out / "part-00000099.jsonl").touch()

    (empty_cluster.settings.data_dir / "cured").touch()

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert not dies.exists(), "it was killed"
    assert "SIGKILL" in killed.log()
    assert_whole(job, out, lines)


@pytest.mark.slow
def test_a_folder_that_is_away_for_a_while_is_waited_for_and_never_made_anew(
    empty_cluster: Cluster, folder: Path
) -> None:
    first, out, away = worker(empty_cluster, folder), folder / "out", folder / "away"
    lines = ["held", *texts(30)]
    job = handed_in(empty_cluster.client(), file_of(folder, lines), out)
    wait_until(lambda: job.record().units == 4, "all units are added")
    out.rename(away)
    first.kill()
    (empty_cluster.settings.data_dir / "cured").touch()

    second = worker(empty_cluster, folder, unfit_grace_s=300.0)
    wait_until(lambda: "could not be written here" in second.log(), "it has tried")
    faults = empty_cluster.settings.keys.faults(job.job_id)
    with connect(empty_cluster.settings.redis_url) as redis:
        wait_until(lambda: redis.hexists(faults, "ingest"), "it has tried to go on with the file")

    assert not out.exists()
    away.rename(out)
    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(job, out, lines)


@pytest.mark.slow
def test_a_part_that_was_written_and_not_committed_is_taken_as_it_is(
    empty_cluster: Cluster, folder: Path
) -> None:
    client, out = empty_cluster.client(), folder / "out"
    path = file_of(folder, ["held", *texts(30)])
    first = worker(empty_cluster, folder)
    job = handed_in(client, path, out)
    wait_until(lambda: job.record().units == 4, "all units are added")
    output = Classification(label="x", score=1.0, truncated=False)
    earlier = [ItemSuccess(custom_id=f"c{n}", output=output) for n in range(8)]
    (out / "part-00000000.jsonl").write_bytes(b"".join(json_lines(earlier)))

    (empty_cluster.settings.data_dir / "cured").touch()

    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    assert [row["output"]["label"] for row in parts_of(out)[:8]] == ["x"] * 8  # type: ignore[index]
    assert [result.unwrap().label for result in job.results(limit=8)] == ["x"] * 8
    assert "Traceback" not in first.log()


@pytest.mark.slow
def test_a_part_that_is_taken_away_before_the_end_ends_the_job(
    empty_cluster: Cluster, folder: Path
) -> None:
    worker(empty_cluster, folder)
    out = folder / "out"
    job = handed_in(empty_cluster.client(), file_of(folder, [*texts(8), "held"]), out)
    wait_until(lambda: job.record().units_done == 1, "a unit is done")

    (out / "part-00000000.jsonl").unlink()
    (empty_cluster.settings.data_dir / "cured").touch()

    with pytest.raises(JobFailed, match=r"part-00000000\.jsonl, which the workers wrote, is gone"):
        job.wait(timeout_s=60)


@pytest.mark.slow
def test_a_retry_computes_what_has_no_result_and_nothing_else(
    empty_cluster: Cluster, folder: Path
) -> None:
    worker(empty_cluster, folder)
    client, out, calls = empty_cluster.client(), folder / "out", folder / "calls"
    lines = [*texts(12), "uncured", *texts(12)]
    path = file_of(folder, lines)
    noting = {"parameters": {"calls": str(calls)}}
    job = handed_in(client, path, out, **noting)
    assert job.wait(timeout_s=60).counts.errored == 1
    assert json.loads((out / "manifest.json").read_text())["errors"] == {"plugin_error": 1}
    (empty_cluster.settings.data_dir / "cured").touch()
    calls.unlink()
    (out / "part-of-mine.jsonl").touch()
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
    (out / "part-of-mine.jsonl").unlink()
    assert left.left_because.startswith(f"Job {job.job_id} has its items in a file")
    assert_whole(retry, out, lines)
    assert [result.unwrap().label for result in job.merged_results()] == lines
    with pytest.raises(WrongState, match="no failed items"):
        client.retry(retry.job_id)


@pytest.mark.slow
def test_a_cancelled_job_keeps_its_parts_and_a_retry_does_the_rest(
    empty_cluster: Cluster, folder: Path
) -> None:
    worker(empty_cluster, folder)
    client, out, calls = empty_cluster.client(), folder / "out", folder / "calls"
    path = file_of(folder, texts())
    options = {"parameters": {**SLOWLY, "calls": str(calls)}}
    job = handed_in(client, path, out, **options)
    wait_for_parts(out, 5)

    job.cancel()
    done = [result.custom_id for result in job.results()]

    assert done == [f"c{n}" for n in range(len(done))]
    assert not (out / "manifest.json").exists()
    retry = client.retry(job.job_id)
    assert retry.wait(timeout_s=60).state is JobState.COMPLETED
    assert_whole(retry, out, texts())
    computed = calls.read_text().split("\n")
    assert len(computed) < LINES + LINES // 2


@pytest.mark.slow
def test_another_header_of_a_file_ends_its_job(empty_cluster: Cluster, folder: Path) -> None:
    worker(empty_cluster, folder)
    out, path = folder / "out", folder / "in.csv"
    path.write_text("text,note\nheld,held\n" + "".join(f"text {n},note {n}\n" for n in range(99)))
    job = handed_in(empty_cluster.client(), path, out)
    wait_until(lambda: job.record().units == 13, "all units are added")
    times = path.stat()
    path.write_text(path.read_text().replace("text,note", "note,text"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    (empty_cluster.settings.data_dir / "cured").touch()

    with pytest.raises(JobFailed, match=r"in\.csv was changed while it was read"):
        job.wait(timeout_s=60)


@pytest.mark.slow
def test_a_file_that_is_changed_under_a_job_ends_it(empty_cluster: Cluster, folder: Path) -> None:
    worker(empty_cluster, folder)
    out, path = folder / "out", file_of(folder, ["held", *texts(199)])
    job = handed_in(empty_cluster.client(), path, out)
    wait_until(lambda: job.record().units == 25, "all units are added")
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"text 90", b"tixt 90"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    (empty_cluster.settings.data_dir / "cured").touch()

    with pytest.raises(JobFailed, match=r"in\.jsonl was changed while it was read") as failed:
        job.wait(timeout_s=60)
    assert failed.value.failure.code == "invalid_input"
    assert not (out / "manifest.json").exists()


def test_what_readers_find_changed_or_gone_is_told(module_cluster: Cluster, place: Path) -> None:
    out = place / "out"
    job = handed_in(module_cluster.client(), file_of(place, texts(20)), out)
    job.wait(timeout_s=60)
    part = out / "part-00000001.jsonl"

    part.write_text(part.read_text().replace("text", "tixt"))
    with pytest.raises(InvalidInput, match=f"{part} is not what the workers wrote"):
        list(job.results())
    part.unlink()
    with pytest.raises(InvalidInput, match=f"{part}, which has results of the job, cannot be read"):
        list(job.results())


def _not_empty(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").touch()


def _no_rights(folder: Path) -> None:
    (folder / "out").touch()


@pytest.mark.parametrize(
    ("name", "out", "prepare", "said"),
    [
        ("in.jsonl", "{}/out", _not_empty, r"/out is not empty: it holds mine\.txt\. Name a new"),
        ("in.jsonl", "{}/out", _no_rights, r"/out cannot be written to by the workers \(Not a dir"),
        ("in.jsonl", "{}/no/out", None, r"cannot be written to by the workers \(No such file"),
        ("in.jsonl", "/elsewhere", None, r"/elsewhere is outside the folders that jobs may write"),
        ("in.jsonl", "out", None, r"^out is a relative path; allowed: an absolute one"),
        ("in.jsonl", "s3://a/b", None, r"^s3://a/b is a URL"),
        ("in-*.jsonl", "{}/out", None, r"in-\*\.jsonl fits 0 files; allowed: 1 to 10,000"),
        ("in.jsonl*", "{}/out", None, r"is compressed, or a folder, which workers cannot read"),
        ("lost*", "{}/out", None, r"gone\.jsonl does not exist"),
        ("in.jsonl.gz", "{}/out", None, r"is compressed, or a folder, which workers cannot read"),
        ("empty.jsonl", "{}/out", None, r"holds no entry; at least one is due"),
    ],
)
def test_what_cannot_be_done_fails_the_job_before_anything_is_computed(
    module_cluster: Cluster,
    place: Path,
    name: str,
    out: str,
    prepare: Callable[[Path], None] | None,
    said: str,
) -> None:
    file_of(place, texts(5))
    (place / "empty.jsonl").write_text("\n\n")
    (place / "in.jsonl.gz").write_bytes(b"\x1f\x8b")
    (place / "lost.jsonl").symlink_to("gone.jsonl")
    if prepare:
        prepare(place)

    source = FileSource(path=str(place / name))
    job = module_cluster.client().classify(source, model="echo", output_folder=out.format(place))

    with pytest.raises(JobFailed, match=said):
        job.wait(timeout_s=60)
    assert not list(place.glob("out/part-*"))


def test_two_jobs_do_not_share_a_folder(module_cluster: Cluster, place: Path) -> None:
    client, out, path = module_cluster.client(), place / "out", file_of(place, texts(20))
    first = handed_in(client, path, out)
    first.wait(timeout_s=60)

    second = handed_in(client, path, out)

    with pytest.raises(JobFailed, match=f"holds the results of job {first.job_id}") as failed:
        second.wait(timeout_s=60)
    assert failed.value.failure.code == "output_exists"
    assert_whole(first, out, texts(20))


def test_a_folder_is_taken_over_only_by_who_asks_for_the_same(
    module_cluster: Cluster, place: Path
) -> None:
    client, out, path = module_cluster.client(), place / "out", file_of(place, texts(20))
    first = handed_in(client, path, out)
    first.wait(timeout_s=60)
    asked = first.record().job.model_dump(mode="json", exclude_defaults=True)
    others = {"kind": "classify", "continues": first.job_id, "tenant": "other"}

    with connect(module_cluster.settings.redis_url) as redis:
        producer = Producer(redis, module_cluster.settings.keys)
        second = client.job(producer.add(asked | others))
        wait_until(lambda: producer.waiting() == 0, "it is taken")

    with pytest.raises(JobFailed, match="asks for something else, or for another tenant"):
        second.wait(timeout_s=60)
    assert_whole(first, out, texts(20))


def test_input_that_looks_like_a_reference_is_none(module_cluster: Cluster, place: Path) -> None:
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
    with pytest.raises(InvalidRequest, match="output_folder is for a job of items whose input is"):
        module_cluster.client().classify(["a"], model="echo", output_folder="/out")


def test_a_command_leaves_a_folder_and_goes_on_with_it(
    module_cluster: Cluster,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = here_in(place, capsys, monkeypatch)
    monkeypatch.setenv("SEQD_REDIS_URL", module_cluster.commands.redis_url or "")
    monkeypatch.setenv("SEQD_PREFIX", module_cluster.settings.prefix)
    lines = [*texts(12), "uncured"]
    file_of(place, lines)
    file_of(place, lines, "other.jsonl")
    command = ("classify", "in.jsonl", "-m", "echo", "--output-folder", "out")

    first = run(*command)
    again = run(*command)
    (module_cluster.settings.data_dir / "cured").touch()
    other = run("classify", "other.jsonl", *command[2:], "--resume")
    resumed = run(*command, "--resume")
    refused = run(*command, "--out", "r.jsonl")

    assert first.status == 2
    assert "12 classified by echo@1" in first.out
    assert "1 have an error instead, in their place" in first.out
    assert f"The results, part by part: {place}/out/manifest.json" in first.out
    assert again.status != 0
    assert "holds the results of job" in again.err
    assert other.status == 2
    assert "the file, the model or an option is another than in the command that" in other.err
    assert resumed.status == 0
    assert [row["output"]["label"] for row in parts_of(place / "out")] == lines  # type: ignore[index]
    assert refused.status == 2
    assert "--output-folder takes the results as workers write them" in refused.err
