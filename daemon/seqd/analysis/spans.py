"""Spans beside true ones: what counts of each, and the characters that both cover."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError

from seqd.validation import fault_sentence
from seqd_schemas import MAX_SPANS, Span, Spans

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
