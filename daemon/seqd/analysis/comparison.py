"""Whether one version is better than another: both on the same items, and how sure that is.

`Answers` keeps a version's answers in a few bytes an item; `compare_answers` pairs those of two.
`is_better` is the rule by which a second version counts as better than a first. The records are no
wire records: they never leave the process.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from seqd.analysis.evaluation import LEAST_PROBABILITY
from seqd.analysis.paired import (
    Codes,
    Floats,
    LabelCells,
    cohens_kappa,
    mcnemar_exact,
    mean_interval,
    newcombe_interval,
)
from seqd.analysis.wilson import Interval
from seqd.errors import InvalidRequest
from seqd_schemas import Classification, ItemFailure, ItemSuccess

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

#: Figures of which less is better.
LOSSES: Final = frozenset(
    {"log_loss", "bits_per_char", "mean_absolute_error", "root_mean_square_error"}
)

#: What a gain may lack of what is asked for: 0.9 less 0.8 is not quite 0.1.
_ROUNDING: Final = 1e-12

#: Code of a label or a true label that is not there.
_NONE: Final = -1


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


class LabelCodes:
    """Numbers for labels, from 0, in the order in which they come."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        #: The labels by their numbers.
        self.names: list[str] = []

    def code(self, label: str | None) -> int:
        """Return a label's number, -1 for none."""
        if label is None:
            return _NONE
        code = self._codes.get(label)
        if code is None:
            code = self._codes[label] = len(self.names)
            self.names.append(label)
        return code


class Answers:
    """A version's answers, `add`ed in the order of the items; 24 bytes an item."""

    def __init__(self, codes: LabelCodes) -> None:
        """Keep answers; those of two versions to be compared share the `codes`."""
        self._codes = codes
        self._truths = array("i")
        self._labels = array("i")
        self._scores = array("d")
        self._chances = array("d")
        self._classes: dict[str, None] = {}
        #: True while each answer has had all classes' probabilities, so that all are known.
        self.knows_classes = True

    def add(self, truth: str | None, prediction: Classification | None) -> None:
        """Keep the next item's true label, and its answer; None stands for an error."""
        self._truths.append(self._codes.code(truth))
        if prediction is None:
            self._keep(None, 0.0, math.nan)
            return
        probabilities = prediction.probabilities or {}
        if not probabilities:
            self.knows_classes = False
        for label in probabilities or (prediction.label,):
            self._classes.setdefault(label)
        self._keep(prediction.label, prediction.score, probabilities.get(truth or "", math.nan))

    def given(self, index: int) -> GivenLabel | None:
        """Return the answer to an item, from 0; None for an error."""
        code = self._labels[index]
        if code == _NONE:
            return None
        return GivenLabel(label=self._codes.names[code], score=self._scores[index])

    def differs(self, other: "Answers", index: int) -> bool:
        """Return whether a labelled item has two answers with different labels."""
        mine, others = self._labels[index], other._labels[index]
        return self._truths[index] != _NONE and mine != others and _NONE not in (mine, others)

    def truth(self, index: int) -> str | None:
        """Return the true label of an item, from 0."""
        code = self._truths[index]
        return None if code == _NONE else self._codes.names[code]

    @property
    def items(self) -> int:
        """The number of items so far."""
        return len(self._truths)

    @property
    def classes(self) -> set[str]:
        """The classes that are known so far: all, or else those that it gave."""
        return set(self._classes)

    @property
    def errored(self) -> int:
        """The number of items with an error so far."""
        return self._labels.count(_NONE)

    def truths(self) -> Codes:
        """Return the codes of the true labels."""
        return np.array(self._truths, np.int64)

    def labels(self) -> Codes:
        """Return the codes of the labels that were given."""
        return np.array(self._labels, np.int64)

    def losses(self) -> Floats:
        """Return the negative logarithm of each true label's probability; NaN where not known."""
        chances = np.array(self._chances, np.float64)
        return -np.log(np.maximum(chances, LEAST_PROBABILITY))

    def _keep(self, label: str | None, score: float, chance: float) -> None:
        self._labels.append(self._codes.code(label))
        self._scores.append(score)
        self._chances.append(chance)


def prediction_of(result: ItemSuccess | ItemFailure) -> Classification | None:
    """Return the classification of a result; None of an error."""
    output = result.output if isinstance(result, ItemSuccess) else None
    return output if isinstance(output, Classification) else None


def changed_item(first: Answers, second: Answers, custom_id: str, text: str) -> ChangedItem | None:
    """Return the last item of the second's answers where its label changed; None where not."""
    index = second.items - 1
    if index >= first.items or not second.differs(first, index):
        return None
    truth, one, other = second.truth(index), first.given(index), second.given(index)
    if truth is None or one is None or other is None:
        return None
    return ChangedItem(custom_id=custom_id, text=text, truth=truth, first=one, second=other)


def compare_answers(
    first: Answers, second: Answers, codes: LabelCodes
) -> tuple[dict[MetricId, Difference], AnswersCompared]:
    """Return the figures of two versions on the items that both answered, and how answers differ.

    Both were given the same items in the same order. Raises ValueError where no item has a true
    label and two answers.
    """
    truth, labels, other_labels = first.truths(), first.labels(), second.labels()
    answered = (labels != _NONE) & (other_labels != _NONE)
    kept = answered & (truth != _NONE)
    if not kept.any():
        raise ValueError("no item has a true label and two answers")
    columns = (truth[kept], labels[kept], other_labels[kept])
    losses = first.losses()[kept], second.losses()[kept]
    names = codes.names
    known = {code for code, name in enumerate(names) if name in first.classes | second.classes}
    same = columns[1] == columns[2]
    right = _right_and_wrong(*columns)
    compared = AnswersCompared(
        unlabelled=int((answered & ~kept).sum()),
        errored=int((~answered).sum()),
        errored_first=first.errored,
        errored_second=second.errored,
        unknown_items=int((~np.isin(columns[0], list(known))).sum()),
        right=right,
        mcnemar_p=mcnemar_exact(right.first_only, right.second_only),
        agreement=float(same.mean()),
        kappa=cohens_kappa(columns[1], columns[2]),
        changed=int((~same).sum()),
        labels=_label_sets([names[code] for code in np.unique(columns[0])], first, second),
    )
    return _metrics(columns, losses, right), compared


def compared_texts(first: float, second: float, characters: int) -> dict[MetricId, Difference]:
    """Return how two versions that write text differ in bits a character, which may be infinite.

    A text is one item: its figure has no interval.
    """
    return {"bits_per_char": _difference(first, second, None, None, characters)}


def verdict_of(comparison: Comparison, metric: MetricId, by: float = 0.0) -> Verdict:
    """Return whether the second version is better than the first, and why; see `is_better`."""
    found = comparison.metrics.get(metric)
    if found is None:
        raise InvalidRequest(_no_metric(comparison, metric))
    gain = -found.difference if metric in LOSSES else found.difference
    reason = _objection(comparison, metric, gain, by)
    shown = f"{metric} is better by {gain:.4f}"
    return Verdict(
        metric=metric, by=by, gain=gain, is_better=reason is None, reason=reason or shown
    )


def is_better(comparison: Comparison, metric: MetricId, by: float = 0.0) -> bool:
    """Return whether the second version is better than the first.

    It is when all of this holds: its figure is better, by `by` at least; where the difference has a
    95% interval, the whole of it is on the better side of 0; it gives no more errors than the
    first; and, by log loss, it lacks no class of the data that the first has. Raises
    InvalidRequest for a figure that the comparison has not.
    """
    return verdict_of(comparison, metric, by).is_better


def _objection(comparison: Comparison, metric: MetricId, gain: float, by: float) -> str | None:
    """Return why the second version is not better; None where it is."""
    found, answers = comparison.metrics[metric], comparison.answers
    if gain <= 0.0:
        return f"{metric} is {'the same' if gain == 0.0 else f'worse by {-gain:.4f}'}"
    if gain < by - _ROUNDING:
        return f"{metric} is better by {gain:.4f}; {by:g} is asked for"
    if found.interval is not None and not _excludes_zero(found.interval):
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


def _excludes_zero(interval: Interval) -> bool:
    return interval[0] > 0.0 or interval[1] < 0.0


def _no_metric(comparison: Comparison, metric: MetricId) -> str:
    there = ", ".join(comparison.metrics)
    if metric == "log_loss" and comparison.answers is not None:
        return (
            "log_loss is not known: a version gives no probabilities, or has no class of the true "
            f"labels. Known: {there}"
        )
    return f"{metric} is no figure of these versions; known: {there}"


def _metrics(
    columns: tuple[Codes, Codes, Codes], losses: tuple[Floats, Floats], right: RightAndWrong
) -> dict[MetricId, Difference]:
    items = len(columns[0])
    cells = LabelCells.of(*columns)
    f1 = cells.macro_f1(cells.counts)
    interval = newcombe_interval(right.both, right.first_only, right.second_only, right.neither)
    found: dict[MetricId, Difference] = {
        "accuracy": _difference(
            (right.both + right.first_only) / items,
            (right.both + right.second_only) / items,
            interval,
            "newcombe",
            items,
        ),
        "f1_macro": _difference(*f1, cells.macro_f1_interval(), "bootstrap", items),
    }
    known = ~(np.isnan(losses[0]) | np.isnan(losses[1]))
    if known.any():
        one, other = losses[0][known], losses[1][known]
        spread = mean_interval(other - one)
        found["log_loss"] = _difference(
            float(one.mean()), float(other.mean()), spread, "normal", int(known.sum())
        )
    return found


def _difference(
    first: float,
    second: float,
    interval: Interval | None,
    method: Literal["newcombe", "bootstrap", "normal"] | None,
    items: int,
) -> Difference:
    return Difference(
        first=first,
        second=second,
        difference=0.0 if first == second else second - first,  # two infinite ones, too
        interval=interval,
        method=None if interval is None else method,
        items=items,
    )


def _right_and_wrong(truth: Codes, first: Codes, second: Codes) -> RightAndWrong:
    one, other = first == truth, second == truth
    return RightAndWrong(
        both=int((one & other).sum()),
        first_only=int((one & ~other).sum()),
        second_only=int((~one & other).sum()),
        neither=int((~one & ~other).sum()),
    )


def _label_sets(truths: Sequence[str], first: Answers, second: Answers) -> LabelSets | None:
    if not (first.knows_classes and second.knows_classes):
        return None
    one, other, true = first.classes, second.classes, set(truths)
    return LabelSets(
        unknown_to_both=_sorted(true - one - other),
        unknown_to_first=_sorted((true - one) & other),
        unknown_to_second=_sorted((true - other) & one),
        only_first=_sorted(one - other),
        only_second=_sorted(other - one),
    )


def _sorted(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(labels))
