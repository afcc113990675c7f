"""The table of checks: which there are of each part of a plugin, and what each means.

A check is a function that is given its subject and raises `CheckFailed` or `DoesNotApply`. An id
is that of a clause of the contract (`seqd.hookspecs.model`) or follows its scheme: a letter for
what it is about, and a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Final, Generic, TypeVar

from seqd.testing.checks.report import CheckResult, CheckState


class Part(StrEnum):
    """What of a model is checked; each part has a subject of its own."""

    #: What importing the plugin gives, without loading a model.
    DESCRIPTION = "description"
    #: `Model.train`.
    TRAINING = "training"
    #: A version in memory: one that the checks have trained, the starter, the plugin's code alone,
    #: or the author's folder.
    TRAINED = "trained"
    STARTER = "starter"
    BUILT_IN = "built-in"
    FOLDER = "folder"

    @property
    def is_version(self) -> bool:
        """True for a version that is served."""
        return self not in (Part.DESCRIPTION, Part.TRAINING)


SubjectT = TypeVar("SubjectT")


@dataclass(frozen=True, slots=True)
class Check(Generic[SubjectT]):
    """One check."""

    id: str
    #: What holds where the check passes, in one sentence.
    meaning: str
    run: Callable[[SubjectT], None]
    #: A check that takes this many times the usual limit.
    limit_factor: float = 1.0

    def result(self, model: str, part: Part, state: CheckState, why: str = "") -> CheckResult:
        """Return its result for a part of a model."""
        return CheckResult(
            id=self.id, model=model, part=part, meaning=self.meaning, state=state, why=why
        )


#: The check that a call comes back at all: where it fails, no other of its part applies.
FIRST: Final = "P1"

#: Ids of checks that are gone; authors' expected failures may go on naming them.
RETIRED: Final = frozenset({"O1", "O4"})

#: The modules with the checks of a part, in the order in which they run; P1 is the first.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "description": ("description_checks",),
    "training": ("training_checks",),
    "version": ("outcome_checks", "process_checks"),
}


def checks_of(part: Part) -> Sequence["Check[object]"]:
    """Return the checks of a part, in the order in which they run."""
    name = "version" if part.is_version else part.value
    found: list[Check[object]] = []
    for module in GROUPS[name]:
        found += import_module(f"seqd.testing.checks.{module}").CHECKS.checks
    return found


def known_ids() -> set[str]:
    """Return the ids of all checks."""
    return {
        check.id
        for part in (Part.DESCRIPTION, Part.TRAINING, Part.BUILT_IN)
        for check in checks_of(part)
    }


class Checks(Generic[SubjectT]):
    """The checks of one module: its functions register themselves, in their order."""

    def __init__(self) -> None:
        self.checks: list[Check[SubjectT]] = []

    def add(
        self,
        check_id: str,
        meaning: str,
        *,
        limit_factor: float = 1.0,
    ) -> Callable[[Callable[[SubjectT], None]], Callable[[SubjectT], None]]:
        """Register a function as a check, above which it stands."""

        def register(function: Callable[[SubjectT], None]) -> Callable[[SubjectT], None]:
            self.checks.append(Check(check_id, meaning, function, limit_factor))
            return function

        return register
