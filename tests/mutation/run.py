"""Breaks one place after the other in copies, runs its tests, and keeps what came out.

Each outcome is written down at once, so that a run that was stopped goes on where it was.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from mutation.coverage import Coverage
from mutation.places import Place
from mutation.project import QUICK, Project, TestRun, run_tests, side_by_side

#: Seconds that the chosen tests take together on the source as it is: in pytest's own process, and
#: those with workers; and how many of them there are.
_HERE_S, _HERE_TESTS = 20.0, 300
_APART_S, _APART_TESTS = 30.0, 12
#: Beyond what the chosen tests take: the start of pytest, and a busy machine. A test that hangs is
#: ended by its own limit, so this one is for what even that does not end.
_PATIENCE, _START_S = 5.0, 180.0
#: A test that takes longer has found something.
_TEST_S = 40

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?::.+?|\S+)(?: - .*)?$", re.M)
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


FOUND = (Outcome.CAUGHT, Outcome.TIMED_OUT)


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

    def __init__(
        self, copies: Sequence[Project], coverage: Coverage, file: Path, *, again: bool = False
    ) -> None:
        """Keep verdicts in a file; those on places that nobody noticed only if not `again`."""
        self._at_once = len(copies)
        self._idle = SimpleQueue[Project]()
        for copy in copies:
            self._idle.put(copy)
        self._coverage = coverage
        self._file = file
        self.verdicts = {
            name: verdict
            for name, verdict in read_verdicts(file).items()
            if not again or verdict.outcome in FOUND
        }
        self._edits = count()

    def over(self, places: Sequence[Place], ends_at: float = float("inf")) -> Iterator[Verdict]:
        """Yield a verdict on each place that has none, until a time by the monotonic clock.

        As many places are broken at once as there are copies.
        """

        def judge(place: Place) -> Verdict | None:
            return self._judge(place) if time.monotonic() < ends_at else None

        new = [place for place in places if place.id not in self.verdicts]
        for verdict in filter(None, side_by_side(judge, new, self._at_once)):
            self.verdicts[verdict.id] = verdict
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(verdict)) + "\n")
            yield verdict

    def _judge(self, place: Place) -> Verdict:
        began = time.monotonic()
        here, apart = self._coverage.related(place.blocks(self._coverage))
        chosen = [
            _within(here, _HERE_S, _HERE_TESTS),
            _within(apart, _APART_S, _APART_TESTS),
        ]
        copy = self._idle.get()
        self._write(copy, place, place.edit.apply(place.source))
        try:
            outcome, by, ran = self._outcome(copy, chosen)
        finally:
            self._write(copy, place, place.source)
            self._idle.put(copy)
        return Verdict(
            place.id, place.area, place.path, place.line, place.edit.rule, place.before,
            place.after, outcome, by, ran, len(here) + len(apart),
            round(time.monotonic() - began, 1), place.doubt,
        )  # fmt: skip

    def _outcome(self, copy: Project, chosen: list[dict[str, float]]) -> tuple[Outcome, str, int]:
        """Run the quick tests and, if none of them notices, those with workers."""
        if not any(chosen):
            return Outcome.UNREACHED, "", 0
        ran = 0
        for tests in filter(None, chosen):
            ended = self._run(copy, tests)
            ran += len(tests)
            if ended.status is None:
                return Outcome.TIMED_OUT, "", ran
            if ended.status != 0 and _UNREADABLE.search(ended.output):
                return Outcome.INVALID, "", ran
            failed = _FAILED.search(ended.output)
            is_here = tests is chosen[0] and not _CHANCE.search(ended.output)
            if failed and (is_here or self._fails_again(copy, failed[1])):
                return Outcome.CAUGHT, failed[1], ran
            if not failed and ended.status != 0 and not _PASSED.search(ended.output):
                return Outcome.CAUGHT, "no test can be imported", ran
        return Outcome.SURVIVED, "", ran

    def _fails_again(self, copy: Project, test: str) -> bool:
        """Return True for a failure that is no chance.

        A busy machine fails a test with workers now and then, and a socket that an earlier test
        has left fails whichever test runs when it is collected.
        """
        return _FAILED.search(self._run(copy, {test: _TEST_S}).output) is not None

    def _run(self, copy: Project, tests: dict[str, float]) -> TestRun:
        limit_s = _START_S + _PATIENCE * sum(tests.values())
        options = ["-x", "--timeout", str(_TEST_S), "--hypothesis-profile", "quick", "-m", QUICK]
        return run_tests(copy.root, [*options, *tests], limit_s)

    def _write(self, copy: Project, place: Place, source: bytes) -> None:
        """Write a file with a time of its own: by it Python knows what it has compiled."""
        path = copy.root / place.path
        path.write_bytes(source)
        at_s = time.time() - 1_000_000 + 2 * next(self._edits)
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
