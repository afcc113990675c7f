"""Runs sides in turn, so that a busy moment of the machine meets all of them, and sums up.

Pure apart from calling the sides. A ratio is taken within a round, between neighbours in time,
and only then summed up; a ratio of two medians would mix moments.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Side = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of some rounds' figures."""

    median: float
    lowest: float
    highest: float


def spread(values: Sequence[float]) -> Spread:
    """Sum up at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def in_turn(
    sides: Mapping[str, Side], rounds: int, on_round: Callable[[int], None] = lambda number: None
) -> dict[str, list[float]]:
    """Run each side once a round; gives what each returned, by its name, in the rounds' order.

    Every other round goes backwards, so that no side always comes right behind the same one.
    `on_round` is told each round's number, from 1, before it begins.
    """
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        on_round(number)
        names = list(sides) if number % 2 else list(sides)[::-1]
        for name in names:
            figures[name].append(sides[name]())
    return figures


def rates(amount: float, seconds: Sequence[float]) -> list[float]:
    """Give amounts a second, round by round."""
    return [amount / took_s for took_s in seconds]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Give how many times theirs ours is, round by round; both have the same rounds."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least `share` (0 to 1) of all values do not exceed."""
    ranked = sorted(values)
    # Rounded first: 0.99 * 100 is a little more than 99 in binary.
    place = -int(-round(share * len(ranked), 9) // 1)
    return ranked[max(0, min(len(ranked), place) - 1)]
