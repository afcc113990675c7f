"""Model orders in Redis: a client writes one, a worker takes it and answers, the client reads that.

An order is a hash with a time to live; an index lists those that are open. Whoever takes one holds
a lease on it: where it dies, another worker carries the order out again.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

from seqd.errors import QuotaExceeded
from seqd.ledger.exchange import Command, Exchange, Part, command, exchange, pipeline, script
from seqd.ledger.fleet import readable
from seqd.ledger.scripts import as_int, as_text
from seqd_schemas import MAX_MODEL_ORDERS, to_stored

if TYPE_CHECKING:
    from seqd_schemas import ModelOrder, OrderAnswer

#: Seconds for which another worker may take an order whose worker has died.
OPEN_S: Final = 60.0

#: Seconds for which an answer is kept.
ANSWER_TTL_S: Final = 600.0


class Taking(IntEnum):
    """What came of taking an order."""

    REFUSED = 0
    """It is another worker's, or open no more."""
    HELD = 1
    """The worker holds it."""
    TAKEN_OVER = 2
    """The worker holds it, after another one that may have done a part."""


class ModelOrders(Part):
    """The orders on one server under one key prefix."""

    @exchange
    def place(self, order: "ModelOrder", wait_s: float) -> Exchange[None]:
        """Write an order, which waits so long for a worker. Raises QuotaExceeded."""
        words = (order.order_id, to_stored(order), int(wait_s * 1000), MAX_MODEL_ORDERS)
        if as_int((yield from script("place_order", *words))) == 0:
            raise QuotaExceeded(
                f"{MAX_MODEL_ORDERS} changes of models are open, which is as many as may. Nothing "
                "was changed. Try again when workers have carried them out.",
                retry_after_s=5.0,
            )

    @exchange
    def cancel(self, order_id: str) -> Exchange[str]:
        """Cancel an order that no worker holds.

        Returns `ended`, or why not: `answered`, `taken`, or `gone`.
        """
        return as_text((yield from script("end_order", order_id, "", "", 0)))

    @exchange
    def answer_to(self, order_id: str) -> "Exchange[tuple[OrderAnswer | None, str]]":
        """Return the answer, None without one, and the worker that has taken it, '' for none."""
        from seqd_schemas import OrderAnswer

        words = ("HMGET", self._keys.model_order(order_id), "answer", "worker")
        answer, worker = cast(list[bytes | None], (yield from command(*words)))
        found = [] if answer is None else readable(OrderAnswer, [answer])
        return next(iter(found), None), (worker or b"").decode(errors="replace")

    @exchange
    def open(self) -> "Exchange[list[ModelOrder]]":
        """Return the orders that are open, those first that end first."""
        from seqd_schemas import ModelOrder

        last = MAX_MODEL_ORDERS - 1
        ids = yield from command("ZRANGE", self._keys.model_orders(), 0, last)
        keys = [self._keys.model_order(one.decode()) for one in cast(list[bytes], ids)]
        rows = yield from pipeline(Command(("HGET", key, "order")) for key in keys)
        return readable(ModelOrder, [row for row in cast(list[bytes | None], rows) if row])

    @exchange
    def take(self, order_id: str, worker: str, lease_s: float) -> Exchange[Taking]:
        """Take an order, or keep it, for so long."""
        words = (order_id, worker, int(lease_s * 1000), int(OPEN_S * 1000))
        return Taking(as_int((yield from script("take_order", *words))))

    @exchange
    def answer(self, answer: "OrderAnswer") -> Exchange[bool]:
        """Write the answer of the worker that holds an order; False where it does not hold it."""
        words = (answer.order_id, answer.worker, to_stored(answer), int(ANSWER_TTL_S * 1000))
        return as_text((yield from script("end_order", *words))) == "ended"
