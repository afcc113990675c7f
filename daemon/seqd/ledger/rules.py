"""Operators' rules: who is cordoned, drained or to be restarted, and which workers serve a model.

Rules of a kind stand in one small hash until they are removed, so they hold while a worker is down,
and before it first starts. A number beside them counts their changes: whoever looks often reads
that alone. A notice has workers look at once. An order is carried out once, by one worker.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

from seqd.errors import InvalidRequest, QuotaExceeded
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Part,
    StreamEntry,
    Whole,
    command,
    exchange,
    pipeline,
    script,
)
from seqd.ledger.fleet import readable
from seqd.ledger.scripts import as_int, as_list, as_text
from seqd_schemas import (
    MAX_CORDON_RULES,
    MAX_MODEL_ORDERS,
    MAX_PLACEMENTS,
    CordonAction,
    CordonRule,
    PlacementRule,
    to_stored,
)

if TYPE_CHECKING:
    from seqd_schemas import ModelOrder, OrderAnswer, WireModel

_Rule = TypeVar("_Rule", bound="WireModel")

#: Seconds for which a notice is waited for, at most. A client of the release before gives none.
NOTICE_S = 5.0

#: Seconds for which another worker may take an order whose worker has died.
_OPEN_S: Final = 60.0

#: Seconds for which an answer is kept.
_ANSWER_TTL_S: Final = 600.0


class Rules(Part):
    """The rules of a kind on one server under one key prefix."""

    #: The end of the key, and its field that counts the changes, '' for none.
    name: str
    version_field = ""

    @property
    def key(self) -> str:
        """The hash with the rules."""
        return f"{self._keys.prefix}:{self.name}"

    @exchange
    def version(self) -> Exchange[bytes | None]:
        """Return what changes with each change of the rules; None before the first."""
        return cast(bytes | None, (yield from command("HGET", self.key, self.version_field)))

    def stored(self, kind: type[_Rule]) -> Exchange[list[_Rule]]:
        """Return the rules that stand; one that a later version has written is left out."""
        rows = cast(dict[bytes, bytes], (yield from command("HGETALL", self.key)))
        rows.pop(self.version_field.encode(), None)
        return readable(kind, [rows[name] for name in sorted(rows)])

    def change_stored(
        self, most: int, pairs: Iterable[tuple[str, str]], too_many: str
    ) -> Exchange[int]:
        """Set rules by field, '' removes one: all or none; return how many this has changed.

        Raises InvalidRequest where too many would stand, with what is to be said of that number.
        """
        arguments = [part for pair in pairs for part in pair]
        called = yield from script("set_rules", self.name, self.version_field, most, *arguments)
        stand, *changed = as_list(called)
        if as_int(stand) < 0:
            raise InvalidRequest(f"{as_int(changed[0])} {too_many}")
        return len(changed)


class Cordons(Rules):
    """The rules on workers."""

    name = "cordons"
    version_field = "version"

    @exchange
    def rules(self) -> Exchange[list[CordonRule]]:
        """Return the rules that stand, the oldest first."""
        return sorted((yield from self.stored(CordonRule)), key=lambda rule: rule.at_ms)

    @exchange
    def change(
        self, *, add: Sequence[CordonRule] = (), remove: Iterable[CordonRule] = ()
    ) -> Exchange[int]:
        """Add rules, in the place of those with the same target, and remove others: all or none.

        Returns how many of them this has changed. Raises InvalidRequest where too many would stand.
        """
        pairs = [(_field_of(rule), to_stored(rule)) for rule in add]
        pairs += [(_field_of(rule), "") for rule in remove]
        too_many = (
            f"rules would stand; allowed: {MAX_CORDON_RULES}. Remove those that are not needed any "
            "more (`seqd workers list` shows them, `seqd workers uncordon` removes them), or mean "
            "many workers by one --label."
        )
        return (yield from self.change_stored(MAX_CORDON_RULES, pairs, too_many))


class Placements(Rules):
    """The rules on models."""

    name = "placements"
    version_field = ":version"  # a name that no model can have

    @exchange
    def rules(self) -> Exchange[dict[str, PlacementRule]]:
        """Return the rules that stand, by model, in alphabetical order."""
        return {rule.model: rule for rule in (yield from self.stored(PlacementRule))}

    @exchange
    def place(self, rule: PlacementRule) -> Exchange[bool]:
        """Set the rule of a model, in the place of the one before; False where it stood already.

        Raises InvalidRequest where too many models would be placed.
        """
        too_many = (
            f"models would be placed; allowed: {MAX_PLACEMENTS}. Remove those that need no "
            "placement any more: `seqd models place` lists all, `seqd models place NAME "
            "--anywhere` removes one."
        )
        pairs = [(rule.model, to_stored(rule))]
        return (yield from self.change_stored(MAX_PLACEMENTS, pairs, too_many)) == 1

    @exchange
    def remove(self, model: str) -> Exchange[bool]:
        """Remove the rule of a model; False where it had none."""
        return (yield from self.change_stored(MAX_PLACEMENTS, [(model, "")], "")) == 1


def _field_of(rule: CordonRule) -> str:
    return f"restart:{rule.target}" if rule.action is CordonAction.RESTART else rule.target


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
        words = (order_id, worker, int(lease_s * 1000), int(_OPEN_S * 1000))
        return Taking(as_int((yield from script("take_order", *words))))

    @exchange
    def answer(self, answer: "OrderAnswer") -> Exchange[bool]:
        """Write the answer of the worker that holds an order; False where it does not hold it."""
        words = (answer.order_id, answer.worker, to_stored(answer), int(_ANSWER_TTL_S * 1000))
        return as_text((yield from script("end_order", *words))) == "ended"
