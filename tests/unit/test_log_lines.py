"""How a record becomes lines: forged by nobody, bounded, and without passwords."""

import logging
import re

from seqd.log_lines import FORMAT, LineFormatter
from seqd.settings import load_settings

FORGED = "x\n2026-01-01 00:00:00,000 CRITICAL seqd.jobs all is lost\x1b[31m"
SHOWN = "x\\n2026-01-01 00:00:00,000 CRITICAL seqd.jobs all is lost\\x1b[31m"


def written(message: object, *arguments: object, error: BaseException | None = None) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord(
        "seqd.test", logging.INFO, "test.py", 1, message, arguments, exc_info
    )
    return LineFormatter(FORMAT).format(record)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


class HidesItsMessage(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_traceback_is_indented_and_each_message_in_it_is_one_line():
    cause = raised(ValueError(FORGED))
    try:
        raise KeyError("second") from cause
    except KeyError as caught:
        lines = written("failed", error=caught).splitlines()

    assert lines[0].endswith("INFO seqd.test failed")
    assert all(line.startswith("  ") for line in lines[1:])
    assert f"  ValueError: {SHOWN}" in lines
    assert lines[-1] == "  KeyError: 'second'"
    assert "  The above exception was the direct cause of the following exception:" in lines
    assert sum("Traceback (most recent call last):" in line for line in lines) == 2
    assert any(
        re.fullmatch(r' +File ".*test_log_lines\.py", line \d+, in raised', x) for x in lines
    )


def test_notes_and_groups_are_shown():
    group = ExceptionGroup("several", [ValueError("one"), TypeError("two\nlines")])
    group.add_note("a note\nof two lines")

    lines = written("failed", error=group).splitlines()

    assert lines[1:] == [
        "  ExceptionGroup: several (2 sub-exceptions)",
        "  a note\\nof two lines",
        "    | ValueError: one",
        "    | TypeError: two\\nlines",
    ]


def test_a_record_is_bounded_whatever_raised_it():
    def recurse(depth: int) -> None:
        recurse(depth + 1)

    try:
        recurse(0)
    except RecursionError as error:
        error.args = ("x" * 10_000_000,)
        text = written("%s", "y" * 10_000_000, error=error)

    assert len(text) < 20_000
    assert "x" * 2_000 + "… (9,998,000 more characters)" in text


def test_a_record_that_cannot_be_shown_says_so():
    assert written("%d items", "many").endswith(
        "%d items (its arguments cannot be shown: TypeError: %d format: a real number is required, "
        "not str)"
    )
    hidden = written("failed", error=HidesItsMessage())
    assert hidden.endswith("HidesItsMessage: (its message cannot be shown: RuntimeError)")


def test_a_password_is_masked_wherever_it_stands():
    load_settings(redis_url="redis://:hunter%2F2x@host/0")

    text = written("%s", "hunter/2x", error=raised(OSError("at redis://u:other@h/0")))

    assert text.splitlines()[0].endswith(" ***")
    assert text.endswith("OSError: at redis://u:***@h/0")
