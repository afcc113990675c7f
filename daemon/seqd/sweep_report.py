"""What a sweep came to: its versions in the combinations' order, the errors, and the best. Pure.

Made from a sweep's request and results, whole or by now. Read by the table, the picture and the
JSON of the command line.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from seqd.combinations import best_of, deciding_figure
from seqd_schemas import (
    ItemFailure,
    ItemSuccess,
    JobRecord,
    SweepJob,
    TrainedVersion,
)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """A sweep's outcome."""

    model: str
    #: The swept parameters, in the grid's order.
    parameters: tuple[str, ...]
    #: Versions with the names of their combinations, in the grid's order.
    trained: dict[str, TrainedVersion]
    failed: tuple[ItemFailure, ...]
    #: The figure that decides which is best; None where the versions lack it.
    figure: str | None
    #: Name of the best combination; None where none can be told.
    best: str | None

    def as_json(self) -> dict[str, object]:
        """Give it for programs."""
        best = None if self.best is None else self.trained[self.best]
        return {
            "model": self.model,
            "figure": self.figure,
            "best": best,
            "trained": [{"custom_id": name, **_plain(one)} for name, one in self.trained.items()],
            "failed": list(self.failed),
        }


def sweep_job_of(record: JobRecord) -> SweepJob:
    """Give the request of a job that is known to be a sweep."""
    if not isinstance(record.job, SweepJob):
        raise TypeError(f"job {record.job_id} is no sweep, but a job of kind {record.kind}")
    return record.job


def report_of(job: SweepJob, results: Iterable[ItemSuccess | ItemFailure]) -> SweepReport:
    """Sum up a sweep's results, which are in the combinations' order."""
    trained: dict[str, TrainedVersion] = {}
    failed: list[ItemFailure] = []
    for result in results:
        if isinstance(result, ItemFailure):
            failed.append(result)
        elif isinstance(result.output, TrainedVersion):
            trained[result.custom_id] = result.output
    figures = {one.version: one.metrics for one in trained.values()}
    best = best_of(job.metric, figures)
    names = (name for name, one in trained.items() if one.version == best)
    return SweepReport(
        model=job.model,
        parameters=tuple(job.grid),
        trained=trained,
        failed=tuple(failed),
        figure=deciding_figure(job.metric, list(figures.values())),
        best=next(names, None),
    )


def _plain(version: TrainedVersion) -> dict[str, object]:
    return version.model_dump(mode="json", exclude={"type", "model"})
