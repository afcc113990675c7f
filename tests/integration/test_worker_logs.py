"""What a worker writes to its log: bounded where faults repeat, and forged by nobody."""

import json
import re

import pytest

from seqd import __version__
from seqd.ledger import connect
from seqd_schemas import ItemSuccess
from worker_fixtures import SLOT, Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Of a job whose every item raises: twice what one traceback and its count take.
MOST_BYTES = 12_000

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+ \S")


def lines_without_a_time(log: str) -> list[str]:
    """Return the lines that are neither the first of a record nor indented behind it."""
    return [line for line in log.splitlines() if not LINE.match(line) and line[:2] != "  "]


def records_of(log: str) -> list[str]:
    """Return its records, each with the indented lines behind its first."""
    return re.findall(r"^\S.*\n(?:  .*\n)*", log, re.M)


def without_printed(log: str) -> str:
    return "".join(record for record in records_of(log) if " seqd.printed " not in record)


def test_a_log_is_forged_by_nobody_and_has_each_fault_of_a_plugin_once_with_a_count(
    empty_cluster: Cluster,
) -> None:
    worker, settings = empty_cluster.start_ready(), empty_cluster.settings
    client = empty_cluster.client()

    # A field of the inbox that would forge a line.
    forged = "x\n2026-01-01 00:00:00,000 CRITICAL seqd.jobs forged\x1b[2J\u2028"
    with connect(str(settings.redis_url)) as redis:
        redis.xadd(settings.keys.inbox(), {"id": "j1", "job": "{}", forged: forged})
        redis.xadd(settings.keys.inbox(), {"id": forged, "job": forged})
        wait_until(lambda: redis.xlen(settings.keys.inbox()) == 0, "both entries are answered")
    # A plugin that raises for many items, fewer than what takes a busy machine the minute after
    # which a fault is told again, and one that prints all that can be printed.
    raising = client.classify((f"{n}" if n % 8 else "raise" for n in range(400)), model="echo")
    assert raising.wait().counts.errored == 50
    printing = client.classify(["print"], model="echo")
    (result,) = printing.results()
    assert isinstance(result, ItemSuccess)
    worker.stop()
    log = worker.whole_log()

    # C code writes past Python, and `seqd up` escapes that.
    assert lines_without_a_time(log) == ["past Python"]
    assert "CRITICAL seqd.jobs forged" not in re.sub(r"\\n2026.*", "", without_printed(log))
    assert "x\\n2026-01-01 00:00:00,000 CRITICAL seqd.jobs forged\\x1b[2J\\u2028" in log

    of_raising = "".join(record for record in records_of(log) if f" job={raising.job_id}" in record)
    assert len(of_raising.encode()) <= MOST_BYTES, of_raising[:20_000]
    # Once for a batch, once for an item alone.
    assert log.count("ValueError: this text was made to break the plugin\n") == 2
    counts = re.findall(r"ERROR seqd.worker.computing … ([0-9,]+) more like it in \d+ s: (.+)", log)
    assert [count for count, _ in counts] == ["49", "49"]
    assert counts[1][1] == (
        "plugin of model=echo@1 failed for item index=0: ValueError "
        f"job={raising.job_id} model=echo@1"
    )

    about = f" job={printing.job_id} unit=0 model=echo@1"
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


def test_a_log_in_json_begins_with_who_it_is_names_the_work_and_is_not_filled_by_a_plugin(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready("w1", log_format="json")
    client = empty_cluster.client()
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    job = client.classify(["raise"], model="echo", metadata=trace)
    assert job.wait().counts.errored == 1
    client.classify(["print"] * 400, model="echo").wait()
    worker.stop()
    log = worker.whole_log()

    lines = [json.loads(line) for line in log.splitlines() if line != "past Python"]

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
    assert len(log) < 1_000 * 2_200
    printed = [line["message"] for line in lines if line["logger"] == "seqd.printed"]
    assert any(re.match(r"… [0-9,]+ more like it in \d+ s: printed", one) for one in printed)


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
