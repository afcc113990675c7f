"""One training as the worker sees it: a job of its own, or one combination of a sweep.

What a training leaves on the disk, checkpoints and versions, goes by its run's name, which leads
back to its job here. Called by `trainings`, `sweeps` and what they work with.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from seqd.errors import UnknownJob
from seqd.ledger.blobs import unpack_results
from seqd.ledger.jobs import Jobs
from seqd.ledger.work import Unit
from seqd_schemas import (
    Event,
    ItemSuccess,
    JobState,
    SweepJob,
    TrainJob,
    job_of_run,
    run_id_of,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a training."""

    #: What is trained.
    job: TrainJob
    unit: Unit
    #: The sweep that it is part of, and the combination's `custom_id`; None of a job of its own.
    sweep: SweepJob | None = None
    name: str | None = None

    @property
    def number(self) -> int | None:
        """Its number in the sweep, None of a job of its own."""
        return None if self.sweep is None else int(self.unit.name)

    @property
    def id(self) -> str:
        """What its checkpoints and its version go by."""
        return run_id_of(self.unit.job_id, self.number)


def state_of_run(run_id: str, jobs: Jobs) -> JobState | None:
    """Give how far a training is; None of a job that the ledger does not know.

    A combination that was committed is completed or failed, whatever became of its sweep; of
    one that was not, the sweep's state says whether it may still be.
    """
    job_id, number = job_of_run(run_id)
    try:
        # Before the output: nothing is committed any more to a job that has ended.
        state = jobs.get(job_id).state
    except UnknownJob:
        return None
    blob = None if number is None else jobs.outputs(job_id, [number])[0]
    if blob is None:
        return state
    succeeded = all(isinstance(result, ItemSuccess) for result in unpack_results(blob))
    return JobState.COMPLETED if succeeded else JobState.FAILED


def events_so_far(job_id: str, jobs: Jobs) -> Iterator[Event]:
    """Give what a job's caller has been told up to now."""
    after = "0-0"
    while events := jobs.events(job_id, after, block=False):
        yield from events
        after = events[-1].id or after
