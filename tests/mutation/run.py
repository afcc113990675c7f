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

from mutation.places import Place
from mutation.project import QUICK, Project, TestRun, run_tests, side_by_side

#: Of all tests of a place. A test that hangs is ended by its own limit, so this one is for what
#: even that does not end.
_LIMIT_S = 3600.0
#: A test that takes longer has found something.
_TEST_S = 40

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?::.+?|\S+)(?: - .*)?$", re.M)
_PASSED = re.compile(r"^\d+ passed", re.M)
_UNREADABLE = re.compile(r"Error compiling script|SyntaxError|user_script:\d+: '[^']+' expected")


class Outcome(StrEnum):
    """What became of a broken place."""

    CAUGHT = "caught"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
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
    seconds: float
    doubt: str


class Run:
    """Verdicts on places, kept in a file; those that are there are not asked for again."""

    def __init__(self, copies: Sequence[Project], file: Path, *, again: bool = False) -> None:
        """Keep verdicts in a file; those on places that nobody noticed only if not `again`."""
        self._at_once = len(copies)
        self._idle = SimpleQueue[Project]()
        for copy in copies:
            self._idle.put(copy)
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
        copy = self._idle.get()
        self._write(copy, place, place.edit.apply(place.source))
        try:
            outcome, by = self._outcome(copy, copy.tests_of(place.area, place.path))
        finally:
            self._write(copy, place, place.source)
            self._idle.put(copy)
        return Verdict(
            place.id, place.area, place.path, place.line, place.edit.rule, place.before,
            place.after, outcome, by, round(time.monotonic() - began, 1), place.doubt,
        )  # fmt: skip

    def _outcome(self, copy: Project, tests: list[str]) -> tuple[Outcome, str]:
        """Run the tests until one fails twice: some fail by chance on a busy machine."""
        by_chance: list[str] = []
        while True:
            ended = self._run(copy, [*tests, *(f"--deselect={test}" for test in by_chance)])
            if ended.status is None:
                return Outcome.TIMED_OUT, ""
            if ended.status != 0 and _UNREADABLE.search(ended.output):
                return Outcome.INVALID, ""
            failed = _FAILED.search(ended.output)
            if failed is None:
                is_program = ended.status == 0 or _PASSED.search(ended.output)
                return (Outcome.SURVIVED, "") if is_program else (Outcome.CAUGHT, "no test starts")
            if _FAILED.search(self._run(copy, [failed[1]]).output):
                return Outcome.CAUGHT, failed[1]
            by_chance.append(failed[1])

    def _run(self, copy: Project, tests: list[str]) -> TestRun:
        options = ["-x", "--timeout", str(_TEST_S), "--hypothesis-profile", "quick", "-m", QUICK]
        return run_tests(copy.root, [*options, *tests], _LIMIT_S)

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
