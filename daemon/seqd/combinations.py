"""The combinations of a sweep: which there are, what each is called, and which came out best. Pure.

Used on both sides: by the client and the inbox, which check each combination before a job is
taken, by the worker, which trains them, and by the command line. Trains and sends nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from seqd_schemas import Item, ParameterValue, SweepJob, TrainJob

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


@dataclass(frozen=True, slots=True)
class Combination:
    """One value for each swept parameter."""

    #: Its `custom_id`, such as `embedding_dim=8,dropout=0.2`.
    name: str
    values: dict[str, ParameterValue]

    def item(self) -> Item:
        """Give it as it travels: an item with the values as JSON."""
        return Item(custom_id=self.name, text=json.dumps(self.values))


def combinations_of(job: SweepJob) -> list[Combination]:
    """Give a sweep's combinations, the last parameter changing fastest; of a retry, its own."""
    found = (
        Combination(_name_of(values, number), values)
        for number, values in enumerate(_grid_points(job.grid))
    )
    return [one for one in found if job.only is None or one.name in job.only]


def training_of(job: SweepJob, combination: Combination) -> TrainJob:
    """Give the training of one combination; the preset comes first, then what is fixed."""
    shared = {name: getattr(job, name) for name in ("model", "preset", "source", "held_out")}
    return TrainJob(**shared, parameters={**job.parameters, **combination.values})


def shown(value: ParameterValue) -> str:
    """Show a value as `--set` takes it: JSON, or a plain text without quotes."""
    if isinstance(value, str) and _BARE.fullmatch(value) and not _is_json(value):
        return value
    return json.dumps(value)


def deciding_figure(metric: str | None, found: Sequence[Mapping[str, float]]) -> str | None:
    """Name the figure by which versions are compared, `metric` if given; None if not all have it.

    `found` are the versions' figures.
    """
    names = _PREFERRED if metric is None else (metric,)
    shared = (name for name in names if found and all(name in figures for figures in found))
    return next(shared, None)


def is_less_better(figure: str) -> bool:
    """True of a figure such as a loss. Told by its name."""
    return any(word in figure for word in _LESS_IS_BETTER)


def best_of(metric: str | None, figures: Mapping[int, Mapping[str, float]]) -> int | None:
    """Give the best of some versions, by their figures; of equals, the first in order.

    None where there is none, or a version lacks the figure that decides.
    """
    name = deciding_figure(metric, list(figures.values()))
    if name is None:
        return None
    sign = -1.0 if is_less_better(name) else 1.0
    return max(figures, key=lambda version: sign * figures[version][name])


def _grid_points(
    grid: Mapping[str, Sequence[ParameterValue]],
) -> Iterator[dict[str, ParameterValue]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


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
