"""Which records are logged, and how those are counted that are not."""

import io
import logging

from seqd.log_lines import (
    MOST_OTHERS,
    MOST_WARNINGS,
    BoundedHandler,
    Repeats,
)


def a_record(
    message: str = "failed for %d",
    *arguments: object,
    line: int = 1,
    level: int = logging.ERROR,
    error: BaseException | None = None,
    name: str = "seqd.test",
    subject: str = "",
) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord(name, level, "a.py", line, message, arguments, exc_info)
    record.subject = subject
    return record


def raised_here(message: str = "no") -> Exception:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


def raised_there() -> Exception:
    try:
        raise ValueError("no")
    except ValueError as error:
        return error


def admitted(repeats: Repeats, records: list[logging.LogRecord], now_s: float = 0.0) -> int:
    return sum(repeats.admit(record, now_s) for record in records)


def test_a_fault_is_logged_once_a_window_and_then_counted():
    repeats = Repeats(window_s=60)
    faults = [a_record("failed for %d", n, error=raised_here(f"item {n}")) for n in range(12_346)]

    assert admitted(repeats, faults) == 1
    assert list(repeats.ended(59.9)) == []
    (count,) = repeats.ended(60.0)

    assert count.getMessage() == "… 12,345 more like it in 60 s: failed for 0: ValueError"
    assert (count.levelno, count.name) == (logging.ERROR, "seqd.test")
    assert admitted(repeats, faults[:2], 60.0) == 1


def test_faults_of_another_place_type_model_or_call_are_other_faults():
    here = raised_here()
    records = [
        a_record(error=here),
        a_record(error=raised_there()),
        a_record(error=here, line=2),
        a_record(error=here, subject="echo@2"),
        a_record(error=KeyError("no")),
    ]

    assert admitted(Repeats(), records + records) == len(records)


def test_lines_without_a_traceback_may_come_a_few_times():
    warnings = [a_record(level=logging.WARNING) for _ in range(100)]
    prints = [a_record(level=logging.INFO, line=2) for _ in range(5_000)]
    jobs = [a_record(level=logging.INFO, name="seqd.jobs") for _ in range(5_000)]

    repeats = Repeats()

    assert admitted(repeats, warnings) == MOST_WARNINGS
    assert admitted(repeats, prints) == MOST_OTHERS
    assert admitted(repeats, jobs) == 5_000


def test_a_count_is_written_when_the_handler_is_closed():
    stream = io.StringIO()
    handler = BoundedHandler(stream)
    for _ in range(3):
        handler.handle(a_record("failed", error=raised_here()))

    handler.close()

    assert stream.getvalue().endswith("… 2 more like it in 1 s: failed: ValueError\n")
