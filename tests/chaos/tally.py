"""Counts what came out of a job against what went in: each item, its place, and its label.

Pure, and small for a job of any size: a byte an item.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chaos.loads import Load
from seqd_schemas import Classification, ItemFailure, ItemSuccess


@dataclass
class Tally:
    """Items of one job, or of several together."""

    items_in: int = 0
    items_out: int = 0
    #: Items without any result.
    lost: int = 0
    #: Results beyond the first of their item.
    doubled: int = 0
    #: Results that stand where another item's is due, or that belong to no item.
    misplaced: int = 0
    #: Errors, and labels other than the one that was due.
    wrong: int = 0
    #: Labels that a person gave as well, of `judged` that a person looked at.
    right: int = 0
    judged: int = 0

    @property
    def is_clean(self) -> bool:
        """True when every item came out once, in its place, as it should."""
        return self.items_in == self.items_out > 0 and not any(
            (self.lost, self.doubled, self.misplaced, self.wrong)
        )

    def add(self, other: "Tally") -> None:
        """Count another job in."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)


def tally_of(results: Iterable[ItemSuccess | ItemFailure], load: Load) -> Tally:
    """Read all results of a job."""
    tally = Tally(items_in=load.items)
    seen = bytearray(load.items)
    for position, result in enumerate(results):
        tally.items_out += 1
        place = load.place(result.custom_id)
        tally.misplaced += place != position
        if place is None:
            continue
        tally.doubled += seen[place]
        seen[place] = 1
        label = _label(result)
        tally.wrong += label != load.label(place)
        truth = load.truth(place)
        if truth is not None:
            tally.judged += 1
            tally.right += label == truth
    tally.lost = seen.count(0)
    return tally


def _label(result: ItemSuccess | ItemFailure) -> str | None:
    if isinstance(result, ItemSuccess) and isinstance(result.output, Classification):
        return result.output.label
    return None
