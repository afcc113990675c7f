"""What a drill came to: a row of the table."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from endless.judgement import Tally, judged
from seqd_schemas import ItemFailure, ItemSuccess

HEADINGS = ("drill", "items", "stall s", "lost", "doubled", "failed")

#: The first two lines of the table, as Markdown.
HEAD = f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}"


@dataclass
class DrillResult(Tally):
    """One row of the table of drills."""

    name: str = ""
    #: Longest time without any progress, from the fault on.
    stall_s: float = 0.0
    #: Seconds that the Sentinels took for a failover, which the stall includes.
    failover_s: float = 0.0

    def row(self, *before: object) -> str:
        """Return the row as Markdown, behind other cells than the name, where there are any.

        What came out of order counts as failed.
        """
        counts = (self.lost, self.doubled, self.failed + self.misplaced)
        cells = (*(before or (self.name,)), f"{self.items:,}", f"{self.stall_s:.1f}", *counts)
        return f"| {' | '.join(map(str, cells))} |"


def table(results: Iterable[DrillResult]) -> str:
    """Return the table of drills as Markdown."""
    return "\n".join([HEAD, *(result.row() for result in results)])


def counted(
    name: str,
    items: int,
    results: Iterable[ItemSuccess | ItemFailure],
    stall_s: float,
    ids: Sequence[str] | None = None,
    label: Callable[[int], str] | None = None,
) -> DrillResult:
    """Return the result of a drill from what was sent, as `judged` takes it, and what came back."""
    tally = judged(results, items, ids=ids, label=label)
    return DrillResult(**vars(tally), name=name, stall_s=stall_s)
