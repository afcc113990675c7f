"""What a worker writes to its log: bounded where faults repeat, and forged by nobody."""

import json
import re

import pytest

from seqd import __version__
from seqd.ledger import connect
from seqd_schemas import ItemSuccess
from worker_fixtures import SLOT, Cluster, LiveWorker, wait_until

pytestmark = pytest.mark.processes

#: Of a job whose every item raises: twice what one traceback and its count take.
MOST_BYTES = 12_000

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+ \S")


def lines_without_a_time(log: str) -> list[str]:
    """Return the lines that are neither the first of a record nor indented behind it."""
    return [line for line in log.splitlines() if not LINE.match(line) and line[:2] != "  "]


def log_of_end(worker: LiveWorker) -> str:
    worker.stop()
    return worker.whole_log()


@pytest.mark.slow
def test_a_plugin_that_raises_for_each_item_is_logged_in_full_once_with_a_count(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready()
    before = len(worker.whole_log())
    client = empty_cluster.client()

    job = client.classify((f"{n}" if n % 8 else "raise" for n in range(2_000)), model="echo")
    errored = job.wait().counts.errored

    assert errored == 250
    log = log_of_end(worker)[before:]
    assert len(log.encode()) <= MOST_BYTES, log[:20_000]
    # Once for a batch, once for an item alone.
    assert log.count("ValueError: this text was made to break the plugin\n") == 2
    counts = re.findall(r"ERROR seqd.worker.computing … ([0-9,]+) more like it in \d+ s: (.+)", log)
    assert [count for count, _ in counts] == ["249", "249"]
    assert counts[1][1] == (
        f"plugin of model=echo@1 failed for item index=0: ValueError job={job.job_id} model=echo@1"
    )


@pytest.mark.slow
def test_a_field_of_the_inbox_cannot_forge_a_line(empty_cluster: Cluster) -> None:
    forged = "x\n2026-01-01 00:00:00,000 CRITICAL seqd.jobs forged\x1b[2J\u2028"
    worker = empty_cluster.start_ready()
    settings = empty_cluster.settings
    redis = connect(str(settings.redis_url))

    redis.xadd(settings.keys.inbox(), {"id": "j1", "job": "{}", forged: forged})
    redis.xadd(settings.keys.inbox(), {"id": forged, "job": forged})
    wait_until(lambda: redis.xlen(settings.keys.inbox()) == 0, "both entries are answered")
    redis.close()

    log = log_of_end(worker)
    assert lines_without_a_time(log) == []
    assert "CRITICAL seqd.jobs forged" not in re.sub(r"\\n2026.*", "", log)
    assert "x\\n2026-01-01 00:00:00,000 CRITICAL seqd.jobs forged\\x1b[2J\\u2028" in log


@pytest.mark.slow
def test_what_a_plugin_prints_is_logged_line_by_line_escaped_and_bounded(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready()

    job = empty_cluster.client().classify(["print"], model="echo")
    (result,) = job.results()

    assert isinstance(result, ItemSuccess)
    about = f" job={job.job_id} unit=0 model=echo@1"
    log = log_of_end(worker)
    # C code writes past Python, and `seqd up` escapes that.
    assert lines_without_a_time(log) == ["past Python"]
    printed = re.findall(rf" INFO seqd\.printed (.*?)(?:{about})?\n", log)
    # The line that has not ended is logged when the process ends, about no work any more.
    assert log.count(about) >= len(printed) - 1
    assert "".join(printed[:-4]) == "printed\\x1b[2J " + "x" * 10_000
    assert printed[-4:] == [
        "written",
        "to stdout in bytes\\xff",
        "2026-01-01 00:00:00,000 CRITICAL seqd.jobs forged",
        "and no end of the line",
    ]
    assert re.search(r" WARNING py\.warnings .*UserWarning: deprecated\\n2026", log)
    assert " ERROR seqd.worker.logs thread seqd-light of the child ends\n  Traceback" in log
    assert "\n  ZeroDivisionError: division by zero\n" in log


@pytest.mark.slow
def test_a_plugin_that_prints_without_an_end_does_not_fill_the_disk(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready()

    empty_cluster.client().classify(["print"] * 2_000, model="echo").wait()

    log = log_of_end(worker)
    assert len(log) < 1_000 * 2_200
    assert re.search(r" INFO seqd\.printed … [0-9,]+ more like it in \d+ s: printed", log)


@pytest.mark.slow
def test_a_worker_begins_its_log_with_who_it_is_and_writes_json_where_that_is_set(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready("w1", log_format="json")
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    job = empty_cluster.client().classify(["raise"], model="echo", metadata=trace)
    assert job.wait().counts.errored == 1

    lines = [json.loads(line) for line in log_of_end(worker).splitlines()]

    assert {(line["worker"], line["slot"]) for line in lines} == {("w1", SLOT.name)}
    first = lines[0]["message"]
    assert first.startswith(f"worker starts: worker=w1 slot={SLOT.name} host=")
    assert f" seqd={__version__} python=" in first and re.search(r" plugins=\S*\blight@", first)
    (error,) = (line for line in lines if "failed for item" in line["message"])
    named = {name: error[name] for name in ("job", "unit", "model", "trace", "level")}
    assert named == {
        "job": job.job_id,
        "unit": "0",
        "model": "echo@1",
        "trace": "a" * 32,
        "level": "ERROR",
    }
    assert error["exception"][-1] == "ValueError: this text was made to break the plugin"


@pytest.mark.slow
def test_a_unit_that_killed_its_worker_is_logged_with_the_cause_when_it_is_taken_up(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready(max_attempts=2)
    job = empty_cluster.client().classify(["kill"], model="echo")
    assert job.wait().counts.errored == 1

    assert (
        f" WARNING seqd.worker.child again, since a worker died or went silent with it: unit=0 "
        f"job={job.job_id} attempt=2 crashes=1: signal: The worker's process was ended by SIGKILL"
    ) in log_of_end(worker)


def test_a_log_never_holds_the_password_of_redis(
    empty_cluster: Cluster,
) -> None:
    url = str(empty_cluster.settings.redis_url)
    wrong = url.replace("redis://", "redis://:tOpSeCrEt@", 1) if "@" not in url else url

    worker = empty_cluster.start("w1", redis_url=re.sub(":[^:/@]*@", ":tOpSeCrEt@", wrong))
    worker.wait_for_end()

    assert "tOpSeCrEt" not in worker.whole_log()
    # For whoever reads the end of the log, such as `seqd up`.
    last_line = worker.whole_log().splitlines()[-1]
    assert last_line.startswith("error[redis_refused]: Redis at ")
