"""Figures of the whole fleet, one row a minute, for lines of the last hour.

Gateways note them. Of those that do so in one minute the first one counts: the minute is the id of
its entry.
"""

from dataclasses import asdict, dataclass
from typing import Final, cast

from redis.exceptions import ResponseError

from seqd.ledger.exchange import (
    Exchange,
    Part,
    StreamEntry,
    command,
    entry_ms,
    exchange,
    permitted,
)

MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the whole fleet at one moment."""

    items_per_s: float
    errors_per_min: float
    waiting_items: int
    busy_workers: int


class Minutes(Part):
    """The rows on one server under one key prefix."""

    @exchange
    def note(self, at_ms: int, figures: Figures) -> Exchange[None]:
        """Note figures for the minute of a moment, unless others were noted for it already."""
        minute_ms = at_ms - at_ms % MINUTE_MS
        row = [word for pair in asdict(figures).items() for word in pair]
        kept = ("MINID", minute_ms - _HOUR_MS)
        try:
            yield from command("XADD", self._keys.minutes(), *kept, f"{minute_ms}-0", *row)
        except ResponseError as error:
            if "equal or smaller" not in str(error):  # than the last id: the minute is there
                raise

    @exchange
    def last_hour(self, now_ms: int) -> Exchange[list[tuple[int, Figures]]]:
        """Return the minutes of the last hour that were noted, in order, each with its begin."""
        asked = command("XRANGE", self._keys.minutes(), now_ms - _HOUR_MS, "+")
        entries = cast(list[StreamEntry], (yield from permitted(asked, [])))
        return [(entry_ms(entry_id), _figures_of(row)) for entry_id, row in entries]


def _figures_of(row: dict[bytes, bytes]) -> Figures:
    numbers = {name.decode(): float(number) for name, number in row.items()}
    return Figures(
        numbers.get("items_per_s", 0.0),
        numbers.get("errors_per_min", 0.0),
        int(numbers.get("waiting_items", 0)),
        int(numbers.get("busy_workers", 0)),
    )
