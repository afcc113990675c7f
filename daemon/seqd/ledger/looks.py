"""What a worker looks at again and again, in one call, and the notice that it waits for between."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, cast

from seqd.ledger.exchange import Exchange, Part, StreamEntry, Whole, command, exchange, script
from seqd.ledger.scripts import as_int, as_list

#: Seconds for which a notice is waited for, at most. A client of the release before gives none.
NOTICE_S = 5.0


class Look(NamedTuple):
    """What a worker has seen."""

    #: The time on the server's clock.
    now_ms: int
    #: Whether another worker reconciles for the fleet.
    is_led: bool
    #: Whether the catalog lacks one of the models that were asked for.
    lacks_model: bool
    inbox_entries: int
    #: How many orders on models are open.
    orders: int
    #: What changes with each change of operators' rules: on workers, and on models.
    rules: tuple[object, object]


class Looks(Part):
    """The looks of one worker."""

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        self._last_notice = "0-0"

    @exchange
    def look(
        self, worker: str, models: Collection[str] = (), queues: Sequence[str] = ()
    ) -> Exchange[Look]:
        """Return what there is to be seen; wake a worker where queues have claimable units."""
        reply = as_list((yield from script("look", worker, len(models), *models, *queues)))
        now_ms, is_led, lacks, entries, orders = map(as_int, reply[:5])
        rules = reply[5], reply[6]
        return Look(now_ms, is_led == 1, lacks == 1, entries, orders, rules)

    @exchange
    def give_notice(self) -> Exchange[None]:
        """Have all workers look at once."""
        yield from command("XADD", self._keys.notices(), "MAXLEN", 1, "*", "n", "")

    @exchange
    def wait_for_notice(self) -> Exchange[None]:
        """Wait for a notice since the last one, `NOTICE_S` seconds at most. Used by one thread."""
        # Less than the connection waits for an answer.
        wait_s = min(NOTICE_S, self._ledger.settings.redis_timeout_s / 2)
        key = self._keys.notices()
        words = ("XREAD", "BLOCK", int(wait_s * 1_000), "STREAMS", key, self._last_notice)
        reply = yield from command(*words)
        for _, entries in cast(list[tuple[bytes, list[StreamEntry]]], reply or []):
            self._last_notice = entries[-1][0].decode()
