"""Two versions on the same items: what a comparison says, and whether the second is better.

`verdict_of` has the rule by which a second version counts as better than a first. The records are
no wire records: they never leave the process.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from seqd.analysis.sweeps import is_less_better
from seqd.analysis.wilson import Interval
from seqd.errors import InvalidRequest

MetricId = Literal[
    "accuracy",
    "f1_macro",
    "log_loss",
    "bits_per_char",
    "f1_micro",
    "precision_micro",
    "recall_micro",
    "exact_match",
    "overlap_f1",
    "chrf",
    "mean_absolute_error",
    "root_mean_square_error",
]

#: Figures of versions that classify, and of those that write text, by which two are compared.
CLASSIFY_METRICS: Final[tuple[MetricId, ...]] = ("accuracy", "f1_macro", "log_loss")
TEXT_METRICS: Final[tuple[MetricId, ...]] = ("bits_per_char",)

#: Figures of plugins' own tasks; which of them goes by the type of output.
TASK_METRICS: Final[tuple[MetricId, ...]] = (
    "f1_micro",
    "precision_micro",
    "recall_micro",
    "chrf",
    "exact_match",
    "overlap_f1",
    "mean_absolute_error",
    "root_mean_square_error",
)

#: All of them; the first that two versions have decides where none is named.
METRICS: Final[tuple[MetricId, ...]] = (*CLASSIFY_METRICS, *TEXT_METRICS, *TASK_METRICS)

#: What a gain may lack of what is asked for: 0.9 less 0.8 is not quite 0.1.
_ROUNDING: Final = 1e-12


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Record):
    """One figure of both versions, and how the second differs from the first."""

    first: float = Field(description="The first version's figure.")
    second: float = Field(description="The second version's figure.")
    difference: float = Field(description="The second's less the first's.")
    interval: tuple[float, float] | None = Field(
        description="95% interval of the difference, paired; None where it cannot be told."
    )
    method: Literal["newcombe", "bootstrap", "normal"] | None = Field(
        description="How the interval was computed: Newcombe's method 10, 2,000 resamples with a "
        "fixed seed, or the normal distribution."
    )
    items: int = Field(ge=0, description="Items, or characters, that the figures are of.")


class RightAndWrong(_Record):
    """Items by who is right."""

    both: int = Field(ge=0, description="Items that both versions are right about.")
    first_only: int = Field(ge=0, description="Items that the first alone is right about.")
    second_only: int = Field(ge=0, description="Items that the second alone is right about.")
    neither: int = Field(ge=0, description="Items that both are wrong about.")


class LabelSets(_Record):
    """Labels that are not known everywhere, each sorted."""

    unknown_to_both: tuple[str, ...] = Field(description="True labels that no version has.")
    unknown_to_first: tuple[str, ...] = Field(description="True labels that the second alone has.")
    unknown_to_second: tuple[str, ...] = Field(description="True labels that the first alone has.")
    only_first: tuple[str, ...] = Field(description="Classes of the first that the second lacks.")
    only_second: tuple[str, ...] = Field(description="Classes of the second that the first lacks.")


class GivenLabel(_Record):
    """One version's answer."""

    label: str = Field(description="The label that it gave.")
    score: float = Field(description="Its score.")


class ChangedItem(_Record):
    """A labelled item to which the two versions give different labels."""

    custom_id: str = Field(description="The item's name.")
    text: str = Field(description="The first 200 characters of its text.")
    truth: str = Field(description="Its true label.")
    first: GivenLabel = Field(description="The first version's answer.")
    second: GivenLabel = Field(description="The second version's answer.")


class AnswersCompared(_Record):
    """What two versions that classify answered, item by item."""

    unlabelled: int = Field(ge=0, description="Items left out, since they have no true label.")
    errored: int = Field(ge=0, description="Items left out, since a version gave an error.")
    errored_first: int = Field(ge=0, description="Of all items, those that the first errored on.")
    errored_second: int = Field(ge=0, description="Of all items, those the second errored on.")
    unknown_items: int = Field(
        ge=0, description="Items whose true label no version has; both are wrong about them."
    )
    right: RightAndWrong = Field(description="Items by who is right.")
    mcnemar_p: float = Field(ge=0, le=1, description="Two-sided p of McNemar's exact test.")
    agreement: float = Field(ge=0, le=1, description="Share of items with the same label by both.")
    kappa: float | None = Field(
        description="Cohen's kappa of the two versions' labels; None where both give one label."
    )
    changed: int = Field(ge=0, description="Items whose labels differ.")
    labels: LabelSets | None = Field(
        description="Labels that are not known everywhere; None where a version does not tell its "
        "classes, as it gives no probabilities."
    )


class VersionFacts(_Record):
    """One of the two versions."""

    ref: str = Field(description="Its full name, such as `topics@3`.")
    items_per_s: float | None = Field(
        description="Items a second of its job, from the first claim to the end, by all workers "
        "that took part; None of a job that was too short or was paused."
    )
    size_bytes: int | None = Field(
        description="Bytes of its files; None where the store is not on this machine."
    )
    memory_bytes: int | None = Field(
        default=None,
        description="Bytes of memory that it takes loaded; None where no worker that is up has it.",
    )


class Comparison(_Record):
    """Two versions on the same data."""

    task: str = Field(description="What both do.")
    data: str = Field(description="Name of the data.")
    items: int = Field(ge=0, description="Labelled items with two answers; characters of a text.")
    first: VersionFacts = Field(description="The first version.")
    second: VersionFacts = Field(description="The second version.")
    metrics: dict[MetricId, Difference] = Field(description="Figures of both, by name.")
    answers: AnswersCompared | None = Field(
        description="Answers of versions that classify; None of versions that write text."
    )
    changes: tuple[ChangedItem, ...] = Field(description="The first of the items that changed.")
    output: str | None = Field(
        default=None, description="Of a plugin's own task, the `type` of its outputs."
    )
    errored: tuple[int, int] | None = Field(
        default=None, description="Of a plugin's own task, items that each version errored on."
    )


class Verdict(_Record):
    """Whether the second version is better, and why."""

    metric: MetricId = Field(description="The figure that decides.")
    by: float = Field(ge=0, description="The least gain that was asked for.")
    gain: float = Field(description="How much better the second's figure is; below 0: worse.")
    is_better: bool = Field(description="Whether the second version is better.")
    reason: str = Field(description="Why, in a sentence.")


def difference_of(
    first: float,
    second: float,
    interval: Interval | None,
    method: Literal["newcombe", "bootstrap", "normal"] | None,
    items: int,
) -> Difference:
    """Return a figure of both versions; `method` is that of the interval, where it has one."""
    return Difference(
        first=first,
        second=second,
        difference=0.0 if first == second else second - first,  # two infinite ones, too
        interval=interval,
        method=None if interval is None else method,
        items=items,
    )


def verdict_of(comparison: Comparison, metric: MetricId, by: float = 0.0) -> Verdict:
    """Return whether the second version is better than the first, and why.

    It is when all of this holds: its figure is better, by `by` at least; where the difference has a
    95% interval, the whole of it is on the better side of 0; it gives no more errors than the
    first; and, by log loss, it lacks no class of the data that the first has. Raises
    InvalidRequest for a figure that the comparison has not.
    """
    found = comparison.metrics.get(metric)
    if found is None:
        raise InvalidRequest(_no_metric(comparison, metric))
    gain = -found.difference if is_less_better(metric) else found.difference
    reason = _objection(comparison, metric, gain, by)
    shown = f"{metric} is better by {gain:.4f}"
    return Verdict(
        metric=metric, by=by, gain=gain, is_better=reason is None, reason=reason or shown
    )


def _objection(comparison: Comparison, metric: MetricId, gain: float, by: float) -> str | None:
    """Return why the second version is not better; None where it is."""
    found, answers = comparison.metrics[metric], comparison.answers
    if gain <= 0.0:
        return f"{metric} is {'the same' if gain == 0.0 else f'worse by {-gain:.4f}'}"
    if gain < by - _ROUNDING:
        return f"{metric} is better by {gain:.4f}; {by:g} is asked for"
    if found.interval is not None and found.interval[0] <= 0.0 <= found.interval[1]:
        return (
            f"{metric} is better by {gain:.4f}, which may be chance: the 95% interval of the "
            f"difference, {found.interval[0]:+.4f} to {found.interval[1]:+.4f}, has 0 in it"
        )
    if found.interval is None and (answers is not None or comparison.output is not None):
        items = "one item" if found.items == 1 else f"{found.items} items"
        return f"{metric} is better by {gain:.4f} on {items}, which may be chance"
    if metric == "log_loss" and answers is not None and answers.labels is not None:
        # Items of such a class are not in the loss, so a version that lacks it would gain by that.
        lacking = answers.labels.unknown_to_second
        if lacking:
            return f"log_loss leaves out the items of its missing class {lacking[0]!r}"
    errored = comparison.errored
    if answers is not None:
        errored = answers.errored_first, answers.errored_second
    if errored is not None and errored[1] > errored[0]:
        return (
            f"it gives an error on {errored[1]:,} of the items, and {comparison.first.ref} on "
            f"{errored[0]:,}"
        )
    return None


def _no_metric(comparison: Comparison, metric: MetricId) -> str:
    there = ", ".join(comparison.metrics)
    if metric == "log_loss" and comparison.answers is not None:
        return (
            "log_loss is not known: a version gives no probabilities, or has no class of the true "
            f"labels. Known: {there}"
        )
    return f"{metric} is no figure of these versions; known: {there}"
