"""What the versions of a roll-out did: items, errors, other answers, and how long batches took.

Workers add to it behind their commits. So what a worker has done that dies in between is missing:
the counts say how a candidate does, and are no account of the items.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, log2
from typing import cast

from seqd.ledger.exchange import Command, Exchange, Part, command, exchange, pipeline
from seqd_schemas import VersionCounts

#: Seconds for which the counts of a roll-out are kept after the last of them: 90 days.
KEPT_S = 90 * 24 * 3600

#: Buckets of a batch's milliseconds for each doubling, and the highest: 2^(80/4) ms are 17 minutes.
BUCKETS_A_DOUBLING = 4
_HIGHEST_BUCKET = 80


@dataclass
class VersionWork:
    """What a worker did with one version in one claim."""

    version: int
    items: int = 0
    errors: int = 0
    differing: int = 0
    #: Seconds of each batch.
    batches_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, int]:
        """Return the numbers to be added, by field."""
        found = {
            "items": self.items,
            "errors": self.errors,
            "differing": self.differing,
            "batches": len(self.batches_s),
            "busy_us": round(1e6 * sum(self.batches_s)),
        }
        for seconds in self.batches_s:
            doublings = log2(max(1000 * seconds, 1))
            bucket = f"le:{min(ceil(BUCKETS_A_DOUBLING * doublings), _HIGHEST_BUCKET)}"
            found[bucket] = found.get(bucket, 0) + 1
        return {f"{self.version} {what}": number for what, number in found.items() if number}


class RolloutCounts(Part):
    """The counts of roll-outs under one key prefix."""

    @exchange
    def add(
        self, model: str, rollout_id: str, *work: VersionWork
    ) -> Exchange[Mapping[int, VersionCounts]]:
        """Add what a worker did; return `items` and `errors` of its versions so far."""
        figures: dict[str, int] = {}
        for one in work:
            both = {f"{one.version} items": 0, f"{one.version} errors": 0}
            figures |= both | one.figures()
        key = self._keys.rollout(model, rollout_id)
        asked = [Command(("HINCRBY", key, name, number)) for name, number in figures.items()]
        *totals, _ = yield from pipeline([*asked, Command(("EXPIRE", key, KEPT_S))])
        row = {
            name.encode(): str(total).encode() for name, total in zip(figures, totals, strict=True)
        }
        return {one.version: _counts_of(row, one.version) for one in work}

    @exchange
    def of(self, model: str, rollout_id: str) -> Exchange[list[VersionCounts]]:
        """Return the counts of each version of a roll-out that did something, ascending."""
        key = self._keys.rollout(model, rollout_id)
        row = cast(dict[bytes, bytes], (yield from command("HGETALL", key)))
        versions = {int(name.split()[0]) for name in row if name.split()[0].isdigit()}
        return [_counts_of(row, version) for version in sorted(versions)]


def _counts_of(row: Mapping[bytes, bytes], version: int) -> VersionCounts:
    def number(what: str) -> int:
        return int(row.get(f"{version} {what}".encode(), b"0"))

    buckets = [number(f"le:{bucket}") for bucket in range(_HIGHEST_BUCKET + 1)]
    return VersionCounts(
        version=version,
        items=number("items"),
        errors=number("errors"),
        differing=number("differing"),
        batches=number("batches"),
        busy_s=number("busy_us") / 1e6,
        p50_ms=_quantile_ms(buckets, 0.50),
        p99_ms=_quantile_ms(buckets, 0.99),
    )


def _quantile_ms(buckets: list[int], share: float) -> float:
    """Return the upper end of the bucket in which the quantile of all batches lies."""
    wanted, so_far = share * sum(buckets), 0
    for bucket, count in enumerate(buckets):
        so_far += count
        if count and so_far >= wanted:
            upper_ms: float = 2.0 ** (bucket / BUCKETS_A_DOUBLING)
            return round(upper_ms, 1)
    return 0.0
