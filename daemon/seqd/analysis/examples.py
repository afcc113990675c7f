"""The items that a version was surest of, right and wrong: a few of many, as they come."""

import heapq
from dataclasses import dataclass

from seqd_schemas import MAX_EXAMPLE_CHARS, MAX_EXAMPLES, Classification, EvaluatedExample


@dataclass(frozen=True, slots=True, order=True)
class _Ranked:
    score: float
    #: The later of two with the same score is the smaller one, and goes first.
    minus_number: int
    example: EvaluatedExample


class HighestScored:
    """The right and the wrong answers with the highest scores, `MAX_EXAMPLES` of each."""

    def __init__(self) -> None:
        self._kept: dict[bool, list[_Ranked]] = {True: [], False: []}
        self._number = 0

    def add(self, custom_id: str, text: str, truth: object | None, given: object | None) -> None:
        """Take one answer; one without a true label is left out. Of the text the start is kept."""
        self._number += 1
        if not isinstance(truth, str) or not isinstance(given, Classification):
            return
        kept = self._kept[truth == given.label]
        if len(kept) == MAX_EXAMPLES and given.score <= kept[0].score:
            return
        example = EvaluatedExample(
            custom_id=custom_id,
            text=text[:MAX_EXAMPLE_CHARS],
            truth=truth,
            predicted=given.label,
            score=given.score,
        )
        heapq.heappush(kept, _Ranked(given.score, -self._number, example))
        if len(kept) > MAX_EXAMPLES:
            heapq.heappop(kept)

    def right(self) -> tuple[EvaluatedExample, ...]:
        """Return the right answers, the highest score first; of equal ones the earlier."""
        return self._sorted(is_right=True)

    def wrong(self) -> tuple[EvaluatedExample, ...]:
        """Return the wrong answers, the highest score first; of equal ones the earlier."""
        return self._sorted(is_right=False)

    def _sorted(self, *, is_right: bool) -> tuple[EvaluatedExample, ...]:
        ranked = sorted(self._kept[is_right], reverse=True)
        return tuple(one.example for one in ranked)
