"""What is measured of plugins' own tasks: figures by the type of output, not by the task's name.

Whatever gives `Labels` is measured alike. Of each item a few counts are kept, whose sums give each
figure. So the interval of the difference of two versions is by one paired bootstrap of the items,
whatever the figure (Efron 1979; for texts Koehn 2004).
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from pydantic import ValidationError

from seqd.analysis.comparison import Difference, MetricId, difference_of
from seqd.analysis.evaluation import Report, class_figures, figure_of, share_of
from seqd.analysis.statistics import (
    RESAMPLES,
    SEED,
    Floats,
    fisher_interval,
    pearson,
    ratio_interval,
    spearman,
)
from seqd.validation import fault_sentence
from seqd_schemas import MAX_LABELS, MAX_SPANS, EvaluatedMetric, Labels, Score, Span, Spans, Text

#: Groups of items that are resampled at most: of more items several are one, drawn at random.
_MOST_GROUPS: Final = 10_000

#: Resamples that are drawn at a time.
_BLOCK: Final = 50

#: Items below which a difference has no interval. Of two versions that are the same a bootstrap
#: called the second one better in 29% of pairs of 2 items, 5% of 5 and 7% of 8, where 2.5% are due.
LEAST_ITEMS: Final = 20

#: Parts the labels of a text, as a cell of CSV has them.
SEPARATOR: Final = "|"

_LABEL_CHARS: Final = 256
_TEXT_CHARS: Final = 1_048_576
_LARGEST: Final = 1e30

_Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a set of items, by counts of each."""

    #: The figure by sums of counts, which the last axis has; NaN where it is not defined.
    of: Callable[[Floats], Floats]
    #: The figure with its interval, by the counts of each item → (items, counts).
    evaluated: Callable[[Floats], EvaluatedMetric]


@dataclass(frozen=True, slots=True)
class OutputMeasure:
    """What is measured of outputs of one type."""

    output: type[Labels | Score | Spans | Text]
    truth_field: str
    #: Return a true output as a file has it. Raises ValueError, which says what is allowed.
    truth: Callable[[object], object]
    #: The counts of an item, by its true output and the one that was given; the first is 1.
    counts: Callable[[object, object], Sequence[float]]
    figures: Mapping[MetricId, Figure]
    #: The labels of an output that has some, as often as each is in it.
    labels: Callable[[frozenset[object]], Counter[str]] | None = None
    #: Further figures of one version, by the counts of each item.
    more: Callable[[Floats], dict[str, EvaluatedMetric]] | None = None

    @property
    def metrics(self) -> tuple[MetricId, ...]:
        """The figures by which two versions are compared."""
        return tuple(self.figures)

    def answers(self) -> "OutputAnswers":
        """Begin to keep the answers of one version."""
        return OutputAnswers(self)

    def pair(self) -> "OutputPair":
        """Begin to keep the answers of two."""
        return OutputPair(self)


class OutputAnswers:
    """A version's outputs, `add`ed in the order of the items: the counts of each."""

    def __init__(self, measure: OutputMeasure) -> None:
        self._measure = measure
        self._counts = array("d")
        self._width = 1
        #: By item: 1 where it has a true output and an answer.
        self._is_kept = bytearray()
        self._true, self._given, self._right = Counter[str](), Counter[str](), Counter[str]()
        self.errored = self.unlabelled = 0

    def add(self, truth: object | None, output: object | None) -> None:
        """Keep the next item; None stands for no true output, and for an error."""
        self.errored += output is None
        self.unlabelled += output is not None and truth is None
        is_kept = truth is not None and output is not None
        self._is_kept.append(is_kept)
        if not is_kept:
            return
        counts = self._measure.counts(truth, output)
        self._width = len(counts)
        self._counts.extend(counts)
        labels = self._measure.labels
        if labels is not None:
            true, given = cast("frozenset[object]", truth), _things(output)
            self._true.update(labels(true))
            self._given.update(labels(given))
            self._right.update(labels(true & given))

    def kept(self) -> _Flags:
        """Return which items have a true output and an answer."""
        return np.frombuffer(bytes(self._is_kept), dtype=np.bool_)

    def counts(self) -> Floats:
        """Return the counts of the items that are kept → (items, counts)."""
        return np.array(self._counts, np.float64).reshape(-1, self._width)

    def report(self) -> Report:
        """Return the figures; one whose denominator is zero is left out."""
        counts = self.counts()
        if not len(counts):
            raise ValueError("no item has both a true output and an answer")
        sums = counts.sum(axis=0)
        metrics: dict[str, EvaluatedMetric] = {
            name: figure.evaluated(counts)
            for name, figure in self._measure.figures.items()
            if not np.isnan(figure.of(sums))
        }
        if self._measure.more is not None:
            metrics |= self._measure.more(counts)
        labels = sorted({*self._true, *self._given}, key=lambda one: (-self._true[one], one))
        classes = tuple(
            class_figures(one, self._right[one], self._true[one], self._given[one])
            for one in labels
        )
        # The mean over the labels that occur among the true ones.
        f1s = [one.f1 or 0.0 for one in classes if one.items]
        if f1s:
            metrics["f1_macro"] = EvaluatedMetric(value=sum(f1s) / len(f1s))
        return Report(len(counts), self.unlabelled, self.errored, metrics, classes)


class OutputPair:
    """The outputs of two versions of the same items, in the same order."""

    def __init__(self, measure: OutputMeasure) -> None:
        self._figures = measure.figures
        self.first, self.second = OutputAnswers(measure), OutputAnswers(measure)

    def compare(self) -> tuple[dict[MetricId, Difference], None]:
        """Return the figures of two versions on the items that both answered.

        Raises ValueError where there is no such item.
        """
        kept = self.first.kept(), self.second.kept()
        of_both = kept[0] & kept[1]
        if not of_both.any():
            raise ValueError("no item has a true output and two answers")
        one, other = self.first.counts()[of_both[kept[0]]], self.second.counts()[of_both[kept[1]]]
        resampled = _resampled(one, other) if len(one) >= LEAST_ITEMS else None
        metrics: dict[MetricId, Difference] = {}
        for name, figure in self._figures.items():
            before, after = float(figure.of(one.sum(axis=0))), float(figure.of(other.sum(axis=0)))
            if math.isnan(before) or math.isnan(after):
                continue
            interval = None
            if resampled is not None:
                differences = figure.of(resampled[1]) - figure.of(resampled[0])
                low, high = np.nanquantile(differences, (0.025, 0.975))
                interval = float(low), float(high)
            metrics[name] = difference_of(before, after, interval, "bootstrap", len(one))
        return metrics, None


def _resampled(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return the sums of both versions' counts in each resample → (resamples, counts)."""
    random = np.random.default_rng(SEED)
    both = np.concatenate((first, second), axis=1)
    if len(both) > _MOST_GROUPS:
        bounds = np.linspace(0, len(both), _MOST_GROUPS, endpoint=False).astype(np.int64)
        both = np.add.reduceat(both[random.permutation(len(both))], bounds)
    groups = len(both)
    sums = [
        random.multinomial(groups, np.full(groups, 1 / groups), size=_BLOCK) @ both
        for _ in range(RESAMPLES // _BLOCK)
    ]
    found = np.concatenate(sums)
    return found[:, : first.shape[1]], found[:, first.shape[1] :]


def _true_labels(value: object) -> frozenset[object]:
    """Return the labels of a list, or of a text that has `|` between them; `[]` is none."""
    parts = value
    if isinstance(value, str):
        parts = [] if value.strip() == "[]" else value.split(SEPARATOR)
    if not isinstance(parts, Sequence) or not all(isinstance(one, str) for one in parts):
        raise ValueError('allowed: a list of labels, such as ["a", "b"], or a text such as a|b')
    labels = frozenset(stripped for one in parts if (stripped := one.strip()))
    if len(labels) > MAX_LABELS or any(len(one) > _LABEL_CHARS for one in labels):
        raise ValueError(f"allowed: {MAX_LABELS:,} labels of {_LABEL_CHARS} characters each")
    return cast("frozenset[object]", labels)


def _true_score(value: object) -> float:
    """Return a number, or what a text says of one."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not abs(number) <= _LARGEST:  # as of nan, too
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError("allowed: a finite number, such as 3.5") from None
    return number


def _true_text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_CHARS:
        raise ValueError(f"allowed: a text of up to {_TEXT_CHARS:,} characters")
    return value


def _things(output: object) -> frozenset[object]:
    """Return what counts of labels or spans: names, or start, end and label; no scores."""
    if isinstance(output, Spans):
        return cast("frozenset[object]", span_keys(output))
    return frozenset(one.label for one in cast("Labels", output).labels)


def _of_sets(truth: object, output: object) -> tuple[float, ...]:
    true, given = cast("frozenset[object]", truth), _things(output)
    return 1, len(true & given), len(true), len(given), true == given


def _of_spans(truth: object, output: object) -> Sequence[float]:
    overlap = overlap_of(cast("frozenset[tuple[int, int, str]]", truth), cast("Spans", output))
    return *_of_sets(truth, output), *overlap


def _of_score(truth: object, output: object) -> Sequence[float]:
    true, given = cast("float", truth), cast("Score", output).score
    return 1, abs(given - true), (given - true) ** 2, true, given


def _of_text(truth: object, output: object) -> Sequence[float]:
    reference, text = cast("str", truth), cast("Text", output).text
    return 1, reference.strip() == text.strip(), *ngram_counts(reference, text)


def _ratio(part: int, *wholes: int, times: float = 1.0, most: float = math.inf) -> Figure:
    """Return the figure that is one sum over others, NaN over zero."""

    def of(sums: Floats) -> Floats:
        whole = sum(sums[..., at] for at in wholes)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(times * sums[..., part] / whole, dtype=np.float64)

    def evaluated(counts: Floats) -> EvaluatedMetric:
        parts, whole = times * counts[:, part], counts[:, wholes].sum(axis=1)
        return figure_of(
            float(of(counts.sum(axis=0))), ratio_interval(parts, whole, most), "normal"
        )

    return Figure(of, evaluated)


def _share(part: int) -> Figure:
    """Return the figure that is the share of items of which a count is 1."""

    def evaluated(counts: Floats) -> EvaluatedMetric:
        return share_of(int(counts[:, part].sum()), len(counts))

    return Figure(_ratio(part, 0).of, evaluated)


def _root(square: Figure) -> Figure:
    """Return the figure that is the root of another."""

    def evaluated(counts: Floats) -> EvaluatedMetric:
        found = square.evaluated(counts)
        ends = None if found.low is None or found.high is None else (found.low, found.high)
        roots = None if ends is None else (math.sqrt(ends[0]), math.sqrt(ends[1]))
        return figure_of(math.sqrt(found.value), roots, "normal")

    return Figure(lambda sums: np.sqrt(square.of(sums)), evaluated)


def _chrf(sums: Floats) -> Floats:
    return chrf_of(sums[..., 2:])


def _correlations(counts: Floats) -> dict[str, EvaluatedMetric]:
    """Return how well scores go with the true numbers, where both are not always the same."""
    true, given = counts[:, 3], counts[:, 4]
    found: dict[str, EvaluatedMetric] = {}
    r, rho = pearson(true, given), spearman(true, given)
    if r is not None:
        found["pearson"] = figure_of(r, fisher_interval(r, len(counts), 1.0), "fisher")
    if rho is not None:
        # Bonett and Wright 2000: ranks have a larger variance than Fisher's.
        interval = fisher_interval(rho, len(counts), 1.0 + rho**2 / 2)
        found["spearman"] = figure_of(rho, interval, "fisher")
    return found


#: Characters of the longest n-grams of chrF, and how many times as much recall counts.
_ORDER: Final = 6
_BETA: Final = 2.0


def ngram_counts(reference: str, text: str) -> list[int]:
    """Return the n-grams that a text has, its reference has, and both have, each by n from 1.

    Spaces count for nothing.
    """
    true, given = "".join(reference.split()), "".join(text.split())
    pairs = [(_ngrams(given, n), _ngrams(true, n)) for n in range(1, _ORDER + 1)]
    return [
        *(of_given.total() for of_given, _ in pairs),
        *(of_true.total() for _, of_true in pairs),
        *((of_given & of_true).total() for of_given, of_true in pairs),
    ]


def chrf_of(counts: Floats) -> Floats:
    """Return chrF (Popović 2015) of sums of `ngram_counts`, which the last axis has.

    The n-grams of all items are summed by n. Precision P and recall R are the means over those n of
    which both sides have some; chrF is (1 + beta²) P R / (beta² P + R), from 0 to 1.
    """
    given, true, shared = (counts[..., at : at + _ORDER] for at in (0, _ORDER, 2 * _ORDER))
    known = (given > 0) & (true > 0)
    orders = np.maximum(known.sum(axis=-1), 1)
    precision = (np.where(known, shared, 0) / np.maximum(given, 1)).sum(axis=-1) / orders
    recall = (np.where(known, shared, 0) / np.maximum(true, 1)).sum(axis=-1) / orders
    below = _BETA**2 * precision + recall
    found = (1 + _BETA**2) * precision * recall / np.where(below > 0, below, 1)
    return np.asarray(found, dtype=np.float64)


def _ngrams(text: str, length: int) -> Counter[str]:
    return Counter(text[at : at + length] for at in range(len(text) - length + 1))


#: Start, end and label.
SpanKey = tuple[int, int, str]


def spans_of(value: object) -> frozenset[object]:
    """Return the spans of a list of objects with start, end and label; `[]` is none.

    Raises ValueError.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_SPANS:
        raise ValueError(
            f"allowed: a list of up to {MAX_SPANS:,} spans, each as "
            '{"start": 0, "end": 4, "label": "NAME"}'
        )
    return frozenset(_key(_span(one)) for one in value)


def overlap_of(truth: frozenset[SpanKey], output: Spans) -> tuple[int, int]:
    """Return twice the characters that both have under one label, and those of each, summed."""
    true_parts, given_parts = _covered(truth), _covered(span_keys(output))
    shared = sum(_shared(parts, given_parts.get(one, [])) for one, parts in true_parts.items())
    return 2 * shared, _characters(true_parts) + _characters(given_parts)


def span_keys(output: Spans) -> frozenset[SpanKey]:
    """Return what of its spans counts: start, end and label."""
    return frozenset(map(_key, output.spans))


def _span(value: object) -> Span:
    try:
        return Span.model_validate(value, extra="ignore")
    except ValidationError as error:
        raise ValueError(fault_sentence(error, whole="a span", shows_value=False)) from None


def _key(span: Span) -> SpanKey:
    return span.start, span.end, span.label


def _covered(spans: Iterable[SpanKey]) -> dict[str, list[tuple[int, int]]]:
    """Return the parts that spans of each label cover, ascending and apart from each other."""
    parts = defaultdict[str, list[tuple[int, int]]](list)
    for start, end, label in sorted(spans):
        known = parts[label]
        if known and start <= known[-1][1]:
            known[-1] = (known[-1][0], max(end, known[-1][1]))
        else:
            known.append((start, end))
    return parts


def _characters(parts: Mapping[str, list[tuple[int, int]]]) -> int:
    return sum(end - start for known in parts.values() for start, end in known)


def _shared(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> int:
    """Return the characters that are in both lists of parts."""
    at = other = shared = 0
    while at < len(first) and other < len(second):
        (start, end), (begin, stop) = first[at], second[other]
        shared += max(0, min(end, stop) - max(start, begin))
        if end <= stop:
            at += 1
        else:
            other += 1
    return shared


_SETS: Final[Mapping[MetricId, Figure]] = {
    "f1_micro": _ratio(1, 2, 3, times=2.0, most=1.0),
    "precision_micro": _ratio(1, 3, most=1.0),
    "recall_micro": _ratio(1, 2, most=1.0),
    "exact_match": _share(4),
}

#: By the `type` of the output.
OUTPUT_MEASURES: Final[Mapping[str, OutputMeasure]] = {
    "labels": OutputMeasure(
        Labels,
        "labels",
        _true_labels,
        _of_sets,
        _SETS,
        labels=lambda things: Counter(map(str, things)),
    ),
    "score": OutputMeasure(
        Score,
        "score",
        _true_score,
        _of_score,
        {
            "mean_absolute_error": _ratio(1, 0),
            "root_mean_square_error": _root(_ratio(2, 0)),
        },
        more=_correlations,
    ),
    "spans": OutputMeasure(
        Spans,
        "spans",
        spans_of,
        _of_spans,
        {**_SETS, "overlap_f1": _ratio(5, 6, most=1.0)},
        labels=lambda spans: Counter(cast("tuple[int, int, str]", one)[2] for one in spans),
    ),
    "text": OutputMeasure(
        Text,
        "reference",
        _true_text,
        _of_text,
        {
            "exact_match": _share(1),
            "chrf": Figure(
                _chrf, lambda counts: EvaluatedMetric(value=float(_chrf(counts.sum(axis=0))))
            ),
        },
    ),
}
