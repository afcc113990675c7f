"""Loads to play: when which jobs arrive, of which model, and how many items each has.

Each is made by a function with a fixed seed, so that it is the same in every run. Times are
seconds from the begin.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Arrival:
    """A job that arrives."""

    at_s: float
    #: Such as `classify.imdb_lstm@3`.
    queue: str
    items: int


@dataclass(frozen=True)
class Load:
    """Jobs in the order of their arrival, and what a slot needs for them."""

    name: str
    arrivals: tuple[Arrival, ...]
    #: Queue → seconds of an item, as it is; the signal knows only what was measured.
    item_s: dict[str, float]
    #: Queue → items of a unit.
    unit_items: dict[str, int]
    length_s: int

    @property
    def work_s(self) -> float:
        """Seconds of one slot for all of it."""
        return sum(arrival.items * self.item_s[arrival.queue] for arrival in self.arrivals)


REVIEWS = "classify.imdb_lstm@3"
TEXTS = "generate.char_lstm@1"


def loads() -> list[Load]:
    """Return all of them."""
    return [burst(), wave(), one_huge_job(), trickle(), several_models()]


def burst() -> Load:
    """Return 40 jobs within a minute, nothing for 40 minutes, and the same once more."""
    random = Random(1)
    arrivals = [
        Arrival(start + random.uniform(0, 60), REVIEWS, random.randint(500, 3_000))
        for start in (120, 2_700)
        for _ in range(40)
    ]
    return _load("burst", arrivals, {REVIEWS: 0.05}, {REVIEWS: 200}, 5_400)


def wave() -> Load:
    """Return a day in four hours: from no job at all to one every three seconds, and back."""
    arrivals = list(_wave(Random(2), length_s=14_400, most_per_s=1 / 3))
    return _load("daily wave", arrivals, {REVIEWS: 0.05}, {REVIEWS: 200}, 14_400 + 1_800)


def one_huge_job() -> Load:
    """Return a single job of 100,000 items: 83 minutes of a slot."""
    return _load(
        "one huge job", [Arrival(60, REVIEWS, 100_000)], {REVIEWS: 0.05}, {REVIEWS: 200}, 5_400
    )


def trickle() -> Load:
    """Return a small job every 20 s, more or less, for an hour: a twentieth of a slot."""
    random, at_s, arrivals = Random(4), 30.0, list[Arrival]()
    while at_s < 3_600:
        arrivals.append(Arrival(at_s, REVIEWS, random.randint(10, 30)))
        at_s += random.expovariate(1 / 20)
    return _load("trickle", arrivals, {REVIEWS: 0.05}, {REVIEWS: 200}, 5_400)


def several_models() -> Load:
    """Return reviews, and texts that are slow: units of 10 s beside such of 48 s.

    No trainings: their slots are no replicas of this Deployment.
    """
    random = Random(5)
    arrivals = list(_wave(random, length_s=3_600, most_per_s=1 / 10))
    arrivals += [Arrival(random.uniform(0, 3_600), TEXTS, random.randint(5, 60)) for _ in range(60)]
    item_s = {REVIEWS: 0.05, TEXTS: 1.5}
    return _load("several models", arrivals, item_s, {REVIEWS: 200, TEXTS: 32}, 6_600)


def _wave(random: Random, *, length_s: int, most_per_s: float) -> Iterator[Arrival]:
    at_s = 0.0
    while at_s < length_s:
        at_s += random.expovariate(most_per_s)
        share = (1 - math.cos(2 * math.pi * at_s / length_s)) / 2
        if at_s < length_s and random.random() < share:
            yield Arrival(at_s, REVIEWS, random.randint(100, 800))


def _load(
    name: str,
    arrivals: list[Arrival],
    item_s: dict[str, float],
    unit_items: dict[str, int],
    length_s: int,
) -> Load:
    ordered = tuple(sorted(arrivals, key=lambda arrival: arrival.at_s))
    return Load(name, ordered, item_s, unit_items, length_s)
