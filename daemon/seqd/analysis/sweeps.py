"""A sweep's combinations: which there are, what each is called, and which is the best.

The client, the ledger and the worker must agree on them, so that they are computed here alone.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from seqd_schemas import (
    Item,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    ParameterValue,
    SweepJob,
    TrainedVersion,
    TrainJob,
)

#: Longest name of a combination, as of any `custom_id`.
_NAME_CHARS = 128

#: A text that is shown without quotes, unless it could be read as JSON.
_BARE = re.compile(r"[A-Za-z0-9_./:+-]+")

#: What decides which version is best, where the sweep does not say: the first that all have.
_PREFERRED = (
    "validation_accuracy",
    "validation_loss",
    "validation_bits_per_char",
    "accuracy",
    "loss",
    "bits_per_char",
)

#: Words in the name of a figure of which less is better.
_LESS_IS_BETTER = ("loss", "error", "perplexity", "bits_per_char")

#: Words in the name of one of which more is; of others, such as a count, nobody knows.
_MORE_IS_BETTER = ("accuracy", "precision", "recall", "f1", "auc")


@dataclass(frozen=True, slots=True)
class Combination:
    """One value for each swept parameter."""

    #: Its `custom_id`, such as `embedding_dim=8,dropout=0.2`.
    name: str
    values: dict[str, ParameterValue]

    def item(self) -> Item:
        """Return the combination as an item of the job, its values as JSON."""
        return Item(custom_id=self.name, text=json.dumps(self.values))


def combinations_of(job: SweepJob) -> list[Combination]:
    """Return a sweep's combinations, the last parameter changing fastest; of a retry, its own."""
    points = (dict(zip(job.grid, values, strict=True)) for values in product(*job.grid.values()))
    combinations = (
        Combination(_name_of(values, number), values) for number, values in enumerate(points)
    )
    return [one for one in combinations if job.only is None or one.name in job.only]


def training_of(job: SweepJob, combination: Combination) -> TrainJob:
    """Return the training of one combination: its values go over the sweep's own parameters."""
    names = ("format", "model", "plugin", "preset", "source", "held_out")
    shared = {name: getattr(job, name) for name in names}
    return TrainJob(**shared, parameters={**job.parameters, **combination.values})


def shown(value: ParameterValue) -> str:
    """Return a value as `--set` takes it: JSON, or a plain text without quotes."""
    if isinstance(value, str) and _BARE.fullmatch(value) and not _is_json(value):
        return value
    return json.dumps(value)


def deciding_figure(metric: str | None, versions: Sequence[Mapping[str, float]]) -> str | None:
    """Return the figure by which versions are compared, `metric` if given; None if not all have it.

    `versions` are the figures of each.
    """
    names = _PREFERRED if metric is None else (metric,)
    shared = (name for name in names if versions and all(name in one for one in versions))
    return next(shared, None)


def is_less_better(figure: str) -> bool:
    """Return whether a figure is one such as a loss, judged by its name."""
    return any(word in figure for word in _LESS_IS_BETTER)


def better_of(figure: str, first: float, second: float) -> int | None:
    """Return 0 or 1, for the better one of two values of a figure; None where none is known."""
    is_less = is_less_better(figure)
    if first == second or not (is_less or any(word in figure for word in _MORE_IS_BETTER)):
        return None
    return int((second < first) is is_less)


def best_of(metric: str | None, figures: Mapping[int, Mapping[str, float]]) -> int | None:
    """Return the best of some versions, by their figures; of equals, the first in order.

    None where there is none, or a version lacks the figure that decides.
    """
    name = deciding_figure(metric, list(figures.values()))
    if name is None:
        return None
    sign = -1.0 if is_less_better(name) else 1.0
    return max(figures, key=lambda version: sign * figures[version][name])


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep came to, whole or by now, in the order of its combinations."""

    model: str
    #: The swept parameters, in the grid's order.
    parameters: tuple[str, ...]
    #: Versions by the names of their combinations.
    trained: dict[str, TrainedVersion]
    failed: tuple[ItemFailure, ...]
    #: The figure that decides which is best; None where the versions lack it.
    figure: str | None
    #: Name of the best combination; None where the versions lack the figure.
    best: str | None

    def as_json(self) -> dict[str, object]:
        """Return the report for programs, with wire records inside."""
        best = None if self.best is None else self.trained[self.best]
        return {
            "model": self.model,
            "figure": self.figure,
            "best": best,
            "trained": [
                {"custom_id": name, **one.model_dump(mode="json", exclude={"type", "model"})}
                for name, one in self.trained.items()
            ],
            "failed": list(self.failed),
        }


def sweep_job_of(record: JobRecord) -> SweepJob:
    """Return the request of a job of kind `sweep`. Raises TypeError for another job."""
    if not isinstance(record.job, SweepJob):
        raise TypeError(f"job {record.job_id} is no sweep, but a job of kind {record.kind}")
    return record.job


def report_of(job: SweepJob, results: Iterable[ItemSuccess | ItemFailure]) -> SweepReport:
    """Return what results, in the order of the combinations, come to."""
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


def _name_of(values: Mapping[str, ParameterValue], number: int) -> str:
    name = ",".join(f"{shown(parameter)}={shown(value)}" for parameter, value in values.items())
    if len(name) <= _NAME_CHARS:
        return name
    # No whole name has this character, since JSON escapes it; the number makes it the only one.
    end = f"…{number}"
    return name[: _NAME_CHARS - len(end)] + end


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
