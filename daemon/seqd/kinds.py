"""The table of kinds: what a job of each kind does, what comes out, and how it is called.

A kind of job is added here, in `seqd_schemas.jobs`, and where client and command have a shortcut
for it. A task that a plugin has named is added nowhere: jobs of the kind `run` name it, and what it
takes and gives is in the model's catalog entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from seqd_schemas import Classification, Generation, JobKind, NamedOutput, NamedTask, TrainedVersion

#: The task by which a version is made; every other one uses one.
TRAIN: Final = "train"
#: Tasks that use a version and have a kind of job of their own.
CLASSIFY: Final = "classify"
GENERATE: Final = "generate"


@dataclass(frozen=True, slots=True)
class Kind:
    """What jobs of one kind share."""

    #: What the model does; None where each job names the task.
    task: NamedTask | None
    #: What a result has; None where the task says so, or there are no results.
    output: type[NamedOutput] | None
    #: What an item is that is done, and what several of them are called.
    done: str
    items: str = "items"
    #: False for one training, which has no items.
    has_items: bool = True
    #: True where a text may be empty: a text can be continued from nothing.
    allows_empty: bool = False
    #: Seconds of a slot for an item of a model that was never measured.
    item_s: float = 0.05

    @property
    def trains(self) -> bool:
        """True where the job makes versions."""
        return self.task == TRAIN


KINDS: Final[Mapping[JobKind, Kind]] = {
    CLASSIFY: Kind(CLASSIFY, Classification, "classified"),
    GENERATE: Kind(GENERATE, Generation, "continued", allows_empty=True, item_s=1.0),
    "run": Kind(None, None, "done"),
    TRAIN: Kind(TRAIN, None, "trained", has_items=False, item_s=600.0),
    "sweep": Kind(TRAIN, TrainedVersion, "trained", items="combinations", item_s=600.0),
}

#: The first kind of each task.
_OF_TASK: Final[Mapping[str | None, Kind]] = {
    kind.task: kind for kind in reversed([*KINDS.values()])
}

#: Tasks with a kind of their own, which use a version: a plugin may name others.
SERVED_TASKS: Final[tuple[NamedTask, ...]] = tuple(
    kind.task for kind in KINDS.values() if kind.task is not None and not kind.trains
)


def kind_of_task(task: str) -> Kind:
    """Return the kind of jobs that do a task."""
    return _OF_TASK.get(task, KINDS["run"])
