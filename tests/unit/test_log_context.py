"""What a record is about: the work in hand, as text and as JSON, whatever the record holds."""

import io
import json
import logging
import threading
from datetime import datetime

import hypothesis
import pytest
from hypothesis import strategies as st

from seqd import log_context
from seqd.escaping import printable
from seqd.log_context import LoggedWork, LoggedWorker, name_worker, trace_of, working_on
from seqd.log_lines import FORMAT, BoundedHandler, JsonFormatter, LineFormatter

WORK = LoggedWork(("j1",), unit="7", model="echo@1", trace="ab" * 16)

#: What the text may hold, which a line of JSON must not be broken by.
HOSTILE = st.text(max_size=200) | st.sampled_from(['"}\n{"job": "j2"}', "\x1b[2J", "\ud800", "\0"])


def a_record(message: str, name: str = "seqd.test", *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.INFO, "test.py", 1, message, arguments, None)


def logged(*records: logging.LogRecord, as_json: bool = False) -> list[str]:
    """Return what a handler writes of records, in their order."""
    stream = io.StringIO()
    handler = BoundedHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter(FORMAT))
    for record in records:
        handler.handle(record)
    handler.close()
    return stream.getvalue().splitlines()


@pytest.fixture
def named():
    name_worker(LoggedWorker("w1", "cpu:0", "here"))
    yield
    log_context._process.worker = None


def test_what_is_logged_in_a_unit_ends_with_the_job_it_is_about():
    with working_on(WORK):
        (inside,) = logged(a_record("it broke"))
        (of_redis,) = logged(a_record("Redis is away", "seqd.ledger.outage"))
    (outside,) = logged(a_record("it broke"))

    assert inside.endswith(f" INFO seqd.test it broke job=j1 unit=7 model=echo@1 trace={'ab' * 16}")
    assert outside.endswith(" INFO seqd.test it broke")
    assert of_redis.endswith(" seqd.ledger.outage Redis is away")


def test_a_message_of_ours_that_names_its_job_is_left_as_it_is_and_one_that_is_printed_not():
    with working_on(LoggedWork(("j1",))):
        ours, printed = logged(a_record("unit=2 job=j2"), a_record("job=j2", "seqd.printed"))

    assert ours.endswith("unit=2 job=j2")
    assert printed.endswith("job=j2 job=j1")


def test_what_a_library_logs_in_another_thread_is_about_the_work_in_hand():
    lines: list[str] = []

    def log() -> None:
        lines.extend(logged(a_record("loaded", "keras"), a_record("a heartbeat", "seqd.worker")))

    with working_on(LoggedWork(("j1", "j2"))):
        thread = threading.Thread(target=log)
        thread.start()
        thread.join()

    assert [line.partition("INFO ")[2] for line in lines] == [
        "keras loaded jobs=j1,j2",
        "seqd.worker a heartbeat",
    ]


def test_a_record_as_json_says_who_wrote_it_and_what_it_is_about(named):
    record = a_record("loaded %s", "keras", "weights")
    try:
        raise ValueError("no\nno")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)

    with working_on(WORK):
        (line,) = logged(record, as_json=True)

    fields = json.loads(line)
    assert datetime.fromisoformat(fields.pop("at")).utcoffset() is not None
    exception = fields.pop("exception")
    assert exception[0] == "Traceback (most recent call last):"
    assert exception[-1] == "ValueError: no\\nno"
    assert fields == {
        "level": "INFO",
        "logger": "keras",
        "message": "loaded weights",
        "worker": "w1",
        "slot": "cpu:0",
        "host": "here",
        "pid": record.process,
        "job": "j1",
        "unit": "7",
        "model": "echo@1",
        "trace": "ab" * 16,
    }


@hypothesis.given(HOSTILE, HOSTILE, HOSTILE)
@hypothesis.settings(hypothesis.settings.get_profile("quick"))
def test_a_hostile_record_is_one_line_of_json(message, argument, model):
    with working_on(LoggedWork(("j1",), model=model)):
        written = logged(a_record(message, "keras"), a_record("%s", "x", argument), as_json=True)

    assert len(written) == 2
    for line in written:
        assert json.loads(line)["job"] == "j1"
        assert printable(line.encode().decode()) == line


def test_errors_that_differ_in_job_and_number_are_counted_as_one_with_their_jobs():
    records = []
    for number in range(100):
        record = a_record("failed for item %d of job=%s", "seqd.test", number, f"j{number % 40}")
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        records.append(record)

    *_, count = logged(*records)

    assert count.partition(" seqd.test ")[2] == (
        "… 80 more like it in 1 s, of 40 jobs: failed for item 0 of job=j0"
    )


@pytest.mark.parametrize(
    ("metadata", "trace"),
    [
        ({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "a" * 32),
        ({"traceparent": "no", "trace_id": "run.5"}, "run.5"),
        ({"trace_id": "a b"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_trace_of_a_job_is_what_its_metadata_names(metadata, trace):
    assert trace_of(metadata) == trace
