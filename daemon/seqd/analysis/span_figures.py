"""How good spans are: F1 of those that are exact, and of the characters that they cover."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError

from seqd.analysis.intervals import OnlineRatio
from seqd.analysis.task_report import SetCounts, TaskReport, by_normal
from seqd_schemas import MAX_SPANS, Span, Spans

#: Start, end and label.
SpanKey = tuple[int, int, str]


class SpanFigures:
    """Counts spans beside true ones, in memory that grows with the labels alone."""

    def __init__(self) -> None:
        self._counts = SetCounts()
        self._overlap = OnlineRatio()

    def truth(self, value: object) -> frozenset[SpanKey]:
        """Return the spans of a list of objects with start, end and label; `[]` is none."""
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_SPANS:
            raise ValueError(
                f"allowed: a list of up to {MAX_SPANS:,} spans, each as "
                '{"start": 0, "end": 4, "label": "NAME"}'
            )
        return frozenset(_key(_span(one)) for one in value)

    def add(self, truth: frozenset[SpanKey], output: Spans) -> None:
        """Count one item. A span is right whose start, end and label are."""
        given = span_keys(output)
        self._counts.add(_labels(truth), _labels(given), _labels(truth & given))
        self._overlap.add(*overlap_of(truth, given))

    def report(self) -> TaskReport:
        """Return F1 of exact spans, and as `overlap_f1` that of characters in spans of a label."""
        metrics = self._counts.metrics()
        if self._overlap.value is not None:
            metrics["overlap_f1"] = by_normal(self._overlap.value, self._overlap.interval())
        return TaskReport(self._counts.items, metrics, self._counts.classes())


def overlap_of(truth: frozenset[SpanKey], given: frozenset[SpanKey]) -> tuple[int, int]:
    """Return twice the characters that both have under one label, and those of each, summed."""
    true_parts, given_parts = _covered(truth), _covered(given)
    shared = sum(_shared(parts, given_parts.get(one, [])) for one, parts in true_parts.items())
    return 2 * shared, _characters(true_parts) + _characters(given_parts)


def span_keys(output: Spans) -> frozenset[SpanKey]:
    """Return what of its spans counts: start, end and label."""
    return frozenset(map(_key, output.spans))


def _span(value: object) -> Span:
    try:
        return Span.model_validate(value, extra="ignore")
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "a span"
        message = fault["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {message}") from None


def _key(span: Span) -> SpanKey:
    return span.start, span.end, span.label


def _labels(spans: Iterable[SpanKey]) -> Counter[str]:
    return Counter(label for _, _, label in spans)


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
