"""Breaks one place after the other in a copy, runs its tests, and keeps what came out.

Each outcome is written down at once, so that a run that was stopped goes on where it was.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from mutation.coverage import Coverage
from mutation.places import Place
from mutation.project import QUICK, Project, TestRun, run_tests

#: Seconds that the chosen tests take together on the source as it is: in pytest's own process, and
#: those with workers; and how many of them there are.
_HERE_S, _HERE_TESTS = 30.0, 300
_APART_S, _APART_TESTS = 40.0, 8
#: Beyond what the chosen tests take: the start of pytest, and a busy machine. A test that hangs is
#: ended by its own limit, so this one is for what even that does not end.
_PATIENCE, _START_S = 5.0, 180.0
#: A test that takes longer has found something.
_TEST_S = 40

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+(?: \[.*?\])?)", re.M)
_PASSED = re.compile(r"^\d+ passed", re.M)
_CHANCE = re.compile(r"ResourceWarning|Unraisable|Timeout")
_UNREADABLE = re.compile(r"Error compiling script|SyntaxError|user_script:\d+: '[^']+' expected")


class Outcome(StrEnum):
    """What became of a broken place."""

    CAUGHT = "caught"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    #: No quick test enters its block.
    UNREACHED = "unreached"
    #: What came out is no program.
    INVALID = "invalid"


@dataclass(frozen=True)
class Verdict:
    """One place and its outcome."""

    id: str
    area: str
    path: str
    line: int
    rule: str
    before: str
    after: str
    outcome: Outcome
    #: The test that noticed.
    by: str
    #: Tests that ran, of those that enter the block.
    ran: int
    related: int
    seconds: float
    doubt: str


class Run:
    """Verdicts on places, kept in a file; those that are there are not asked for again."""

    def __init__(self, copy: Project, coverage: Coverage, file: Path) -> None:
        self._copy = copy
        self._coverage = coverage
        self._file = file
        self.verdicts = read_verdicts(file)
        self._edits = 0

    def over(self, places: Sequence[Place], ends_at: float = float("inf")) -> Iterator[Verdict]:
        """Yield a verdict on each place that has none, until a time by the monotonic clock."""
        for place in places:
            if place.id in self.verdicts:
                continue
            if time.monotonic() > ends_at:
                return
            verdict = self._judge(place)
            self.verdicts[place.id] = verdict
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(verdict)) + "\n")
            yield verdict

    def _judge(self, place: Place) -> Verdict:
        began = time.monotonic()
        here, apart = self._coverage.related(place.blocks())
        chosen = [
            _within(here, _HERE_S, _HERE_TESTS),
            _within(apart, _APART_S, _APART_TESTS),
        ]
        self._write(place, place.edit.apply(place.source))
        try:
            outcome, by, ran = self._outcome(chosen)
        finally:
            self._write(place, place.source)
        return Verdict(
            place.id, place.area, place.path, place.line, place.edit.rule, place.before,
            place.after, outcome, by, ran, len(here) + len(apart),
            round(time.monotonic() - began, 1), place.doubt,
        )  # fmt: skip

    def _outcome(self, chosen: list[dict[str, float]]) -> tuple[Outcome, str, int]:
        """Run the quick tests and, if none of them notices, those with workers."""
        if not any(chosen):
            return Outcome.UNREACHED, "", 0
        ran = 0
        for tests in filter(None, chosen):
            ended = self._run(tests)
            ran += len(tests)
            if ended.status is None:
                return Outcome.TIMED_OUT, "", ran
            if ended.status != 0 and _UNREADABLE.search(ended.output):
                return Outcome.INVALID, "", ran
            failed = _FAILED.search(ended.output)
            if failed and self._is_sure(failed[1], ended.output, is_here=tests is chosen[0]):
                return Outcome.CAUGHT, failed[1], ran
            if not failed and ended.status != 0 and not _PASSED.search(ended.output):
                return Outcome.CAUGHT, "no test can be imported", ran
        return Outcome.SURVIVED, "", ran

    def _is_sure(self, test: str, output: str, *, is_here: bool) -> bool:
        """Return True for a failure that cannot be chance, or that comes again.

        A busy machine fails a test with workers now and then, and a socket that an earlier test
        has left fails whichever test runs when it is collected.
        """
        if is_here and not _CHANCE.search(output):
            return True
        return _FAILED.search(self._run({test: _TEST_S}).output) is not None

    def _run(self, tests: dict[str, float]) -> TestRun:
        limit_s = _START_S + _PATIENCE * sum(tests.values())
        options = ["-x", "--timeout", str(_TEST_S), "--hypothesis-profile", "quick", "-m", QUICK]
        return run_tests(self._copy.root, [*options, *tests], limit_s)

    def _write(self, place: Place, source: bytes) -> None:
        """Write a file with a time of its own: by it Python knows what it has compiled."""
        path = self._copy.root / place.path
        path.write_bytes(source)
        self._edits += 1
        at_s = time.time() - 1_000_000 + 2 * self._edits
        os.utime(path, (at_s, at_s))


def read_verdicts(file: Path) -> dict[str, Verdict]:
    """Return what earlier runs have written down, by place."""
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: Verdict(**row | {"outcome": Outcome(row["outcome"])}) for row in rows}


def _within(tests: dict[str, float], most_s: float, most: int) -> dict[str, float]:
    """Return the first tests that together take no longer, none of them a large part of it."""
    chosen, total_s = dict[str, float](), 0.0
    for test, seconds in tests.items():
        if len(chosen) < most and seconds <= most_s / 4 and total_s + seconds <= most_s:
            chosen[test] = seconds
            total_s += seconds
    return chosen or dict(list(tests.items())[:1])
