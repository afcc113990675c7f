"""What a handle on a model does, as exchanges: it reads the catalog, and orders changes.

The store is beside the workers. A change is an order in Redis that a worker carries out; whoever
ordered it waits for the answer, and is raised the error that the worker met.
"""

from collections.abc import Mapping
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final

from seqd.admission import find_model, resolve_version
from seqd.errors import (
    InvalidRequest,
    NoFitWorker,
    OrderUnfinished,
    WrongState,
    error_of,
    wire_text,
)
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange, Pause, script
from seqd.ledger.submissions import new_job_id
from seqd.local.caller import caller
from seqd.serving import is_drained, uncordon_command
from seqd.validation import shown
from seqd_schemas import MAX_ERROR_RATE, route_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from seqd_schemas import (
        CatalogEntry,
        ModelOrder,
        ModelPause,
        OrderAction,
        OrderAnswer,
        ServiceChange,
        VersionCounts,
    )

#: Seconds after which an order is cancelled that no worker has taken; each looks twice a second.
TAKE_S: Final = 10.0

#: Seconds for which an answer is waited for beside those in which workers load the version: until
#: the change is published, and until another worker goes on where one has died.
ANSWER_S: Final = 45.0

#: Seconds between two looks for the answer.
_LOOK_S: Final = 0.1

#: The label of the version in service.
_PRODUCTION: Final = "production"


def entries_found(ledger: LedgerParts) -> "Exchange[list[CatalogEntry]]":
    """Return the catalog's entries of models with a version, sorted by name."""
    catalog = yield from ledger.fleet.catalog.steps()
    return [entry for entry in catalog.values() if entry.versions]


def entry_found(ledger: LedgerParts, name: str) -> "Exchange[CatalogEntry]":
    """Return the catalog's entry of a model. Raises UnknownModel, and InvalidRequest."""
    if not isinstance(name, str) or "@" in name:
        raise InvalidRequest(
            f"model is {shown(name)}; allowed: a model's name without a version, such as 'topics'."
        )
    return find_model(name, (yield from ledger.fleet.catalog.steps()))


def model_paused(
    ledger: LedgerParts, name: str, reason: str, *, disables: bool
) -> "Exchange[ModelPause]":
    """Pause or disable a model, and return the rule; see `Client.pause_model`."""
    from seqd.ledger.audit import audited
    from seqd_schemas import ModelPause

    yield from entry_found(ledger, name)
    rule = ModelPause(
        model=name,
        disabled=disables,
        reason=wire_text(reason)[:500],
        by=wire_text(caller())[:500],
        at_ms=(yield from ledger.fleet.now_ms.steps()),
    )
    act = "models.disable" if disables else "models.pause"
    pausing = ledger.model_pauses.pause.steps(rule)
    yield from audited(ledger.audit, pausing, act, name, {"reason": reason})
    return rule


def model_resumed(ledger: LedgerParts, name: str) -> Exchange[bool]:
    """Let a model's jobs go on, and wake workers for them; see `Client.resume_model`."""
    from seqd.ledger.audit import audited

    if name not in (yield from ledger.model_pauses.all.steps()):
        return False
    resuming = ledger.model_pauses.resume.steps(name)
    was_paused = yield from audited(ledger.audit, resuming, "models.resume", name)
    catalog = yield from ledger.fleet.catalog.steps()
    if was_paused and name in catalog:
        entry = catalog[name]
        for task in entry.all_tasks:
            yield from script("wake", route_of(task, entry.made_with))
    return was_paused


class ModelSteps:
    """A model as the catalog had it when it was last looked at."""

    def __init__(self, ledger: LedgerParts, entry: "CatalogEntry") -> None:
        self.ledger = ledger
        self.entry = entry

    @property
    def in_service(self) -> int | None:
        """The version in service; None where there is none."""
        return self.entry.labels.get(_PRODUCTION)

    def refresh(self) -> "Exchange[None]":
        """Look at what is published now. Raises UnknownModel when the model is gone."""
        self.entry = yield from entry_found(self.ledger, self.entry.model)

    def history(self) -> "Exchange[list[ServiceChange]]":
        """Return the last changes of the version in service, 20 at most, oldest first.

        It looks at what is published now, as `refresh` does.
        """
        yield from self.refresh()
        return list(self.entry.history)

    def promote(
        self, version: int | str, *, reason: str = "", warm_timeout_s: float = 60.0
    ) -> "Exchange[OrderAnswer]":
        """Put a version, by its number or a label, in service; returns when new jobs get it.

        Workers that have the model loaded load the version first, for `warm_timeout_s` seconds at
        most; `notes` of the answer say which have not. Raises ServiceChanged where another version
        is in service than this handle knows of: `refresh` it, and decide anew. Raises WrongState
        where the version is there already, UnknownModel, NoFitWorker where a worker cannot run it
        or none can carry it out, OrderUnfinished, RedisNoPermission, and what else a worker meets.
        """
        return self.promoted(version, reason, warm_timeout_s, {})

    def promoted(
        self,
        version: int | str,
        reason: str,
        warm_timeout_s: float,
        gate: Mapping[str, float],
    ) -> "Exchange[OrderAnswer]":
        """Do what `promote` does; `gate` has the figures that it is done for."""
        from seqd_schemas import OrderAction

        number = self._version(version)
        if number == self.in_service:
            raise WrongState(
                f"{self.entry.model}@{number} is in service already; nothing is changed"
            )
        order = self._order(OrderAction.PROMOTE, reason, warm_timeout_s, version=number)
        return (yield from self._ordered(order.model_copy(update={"gate": dict(gate)})))

    def rollback(
        self, *, reason: str = "", warm_timeout_s: float = 60.0
    ) -> "Exchange[OrderAnswer]":
        """Put the version in service that was there before; called again, the one before that.

        While a canary or a shadow goes on, that ends, and the version in service stays. Raises
        WrongState where none was, and what `promote` does.
        """
        from seqd_schemas import OrderAction

        if self.entry.rollout is not None:  # also where it has ended meanwhile: that is told then
            return (yield from self.rollout_ended(reason, self.entry.rollout.version))
        order = self._order(OrderAction.ROLLBACK, reason, warm_timeout_s)
        return (yield from self._ordered(order))

    def canary(
        self,
        version: int | str,
        share: float,
        *,
        max_error_rate: float = MAX_ERROR_RATE,
        reason: str = "",
        warm_timeout_s: float = 60.0,
    ) -> "Exchange[OrderAnswer]":
        """Have a version answer a share of the items of new jobs on the model, such as 0.05.

        Each result of such a job names its version. What the candidate cannot answer the version in
        service does. It ends by itself where more than `max_error_rate` of its items fail with it
        alone; by `promote`, `rollback` and `end_rollout`. `rollout_counts` has what both did.
        Raises InvalidRequest for a share that is none, and what `promote` does.
        """
        from seqd_schemas import OrderAction

        return self.try_version(
            OrderAction.CANARY, version, share, max_error_rate, reason, warm_timeout_s
        )

    def shadow(
        self,
        version: int | str,
        share: float,
        *,
        max_error_rate: float = MAX_ERROR_RATE,
        reason: str = "",
        warm_timeout_s: float = 60.0,
    ) -> "Exchange[OrderAnswer]":
        """Have a version compute a share of the items, too; the version in service answers.

        `rollout_counts` has how often its answer is another one. See `canary`.
        """
        from seqd_schemas import OrderAction

        return self.try_version(
            OrderAction.SHADOW, version, share, max_error_rate, reason, warm_timeout_s
        )

    def try_version(
        self,
        action: "OrderAction",
        version: int | str,
        share: float,
        max_error_rate: float,
        reason: str,
        warm_timeout_s: float,
    ) -> "Exchange[OrderAnswer]":
        """Have a canary or a shadow begun."""
        from seqd_schemas import OrderAction

        fields = {
            "share": _checked_share("share", share, is_above_0=True),
            "max_error_rate": _checked_share("max_error_rate", max_error_rate),
        }
        if action is OrderAction.CANARY and fields["share"] == 1.0:
            raise InvalidRequest("share is 1, which is all items: `promote` puts it in service.")
        number = self._version(version)
        if number == self.in_service:
            raise WrongState(
                f"{self.entry.model}@{number} is in service already, and answers all items; "
                "nothing is changed"
            )
        order = self._order(action, reason, warm_timeout_s, version=number)
        return (yield from self._ordered(order.model_copy(update=fields)))

    def end_rollout(self, *, reason: str = "") -> "Exchange[OrderAnswer]":
        """End a canary or a shadow; the version in service answers all items, of open jobs, too.

        Raises WrongState where there is none, and what `promote` does.
        """
        return self.rollout_ended(reason)

    def rollout_ended(self, reason: str, version: int | None = None) -> "Exchange[OrderAnswer]":
        """Have the canary or shadow ended that goes on, of `version` where that is given."""
        from seqd_schemas import OrderAction

        order = self._order(OrderAction.END_ROLLOUT, reason, 0.0, version=version)
        return (yield from self._ordered(order))

    def rollout_counts(self) -> "Exchange[list[VersionCounts]]":
        """Return what the versions of the roll-out did that goes on; an empty list without one.

        It looks at what is published now, as `refresh` does.
        """
        yield from self.refresh()
        rollout = self.entry.rollout
        if rollout is None:
            return []
        return (yield from self.ledger.rollouts.of.steps(self.entry.model, rollout.id))

    def label(self, version: int | str, label: str) -> "Exchange[OrderAnswer]":
        """Move a label to a version. Raises InvalidRequest, and what `promote` does."""
        from seqd_schemas import OrderAction

        return (yield from self._move(OrderAction.LABEL, version, label))

    def unlabel(self, version: int | str, label: str) -> "Exchange[OrderAnswer]":
        """Take a label away from a version; raises InvalidRequest where it has it not."""
        from seqd_schemas import OrderAction

        return (yield from self._move(OrderAction.UNLABEL, version, label))

    def remove(self, version: int) -> "Exchange[OrderAnswer]":
        """Have a version removed; a worker knows whether it is there, and may go."""
        from seqd_schemas import OrderAction

        order = self._order(OrderAction.REMOVE, "", 0.0, version=version)
        return (yield from self._carried_out(order))

    def _move(
        self, action: "OrderAction", version: int | str, label: str
    ) -> "Exchange[OrderAnswer]":
        number = self._version(version)
        order = self._order(action, "", 0.0, version=number, label=checked_label(label))
        return (yield from self._ordered(order))

    def _version(self, version: int | str) -> int:
        is_version = isinstance(version, int | str) and not isinstance(version, bool)
        if not is_version:
            raise InvalidRequest(
                f"version is {shown(version)}; allowed: a version's number, or a label such as "
                "'latest'."
            )
        return resolve_version(self.entry, version)

    def _order(
        self,
        action: "OrderAction",
        reason: str,
        warm_timeout_s: float,
        *,
        version: int | None = None,
        label: str | None = None,
    ) -> "ModelOrder":
        from seqd_schemas import MAX_WARM_S, ModelOrder

        is_number = isinstance(warm_timeout_s, int | float) and not isinstance(warm_timeout_s, bool)
        if not is_number or not 0 <= warm_timeout_s <= MAX_WARM_S:
            raise InvalidRequest(
                f"warm_timeout_s is {shown(warm_timeout_s)}; allowed: 0 to {MAX_WARM_S:,} seconds."
            )
        return ModelOrder(
            order_id=new_job_id(),
            action=action.value,
            model=self.entry.model,
            version=version,
            label=label,
            expected=self.in_service,
            by=wire_text(caller())[:500],
            why=wire_text(reason)[:500],
            warm_s=float(warm_timeout_s),
            ordered_at_ms=time_ns() // 1_000_000,
        )

    def _ordered(self, order: "ModelOrder") -> "Exchange[OrderAnswer]":
        """Place an order, wait for the answer, and look at what is published then."""
        answer = yield from self._carried_out(order)
        # What a worker publishes may come a moment later.
        latest = {name: at for name, at in self.entry.labels.items() if name == "latest"}
        yield from self.refresh()
        self.entry = self.entry.model_copy(update={"labels": {**latest, **answer.labels}})
        return answer

    def _carried_out(self, order: "ModelOrder") -> "Exchange[OrderAnswer]":
        """Place an order and wait for the answer. Raises the error that it tells of."""
        from seqd.ledger.audit import audited

        version = "" if order.version is None else f"@{order.version}"
        details = {
            "label": order.label,
            "share": order.share,
            "to": order.new_name,
            "reason": order.why,
        }
        return (
            yield from audited(
                self.ledger.audit,
                answered(self.ledger, order),
                f"models.{order.action}",
                f"{order.model}{version}",
                details,
            )
        )


def answered(ledger: LedgerParts, order: "ModelOrder") -> "Exchange[OrderAnswer]":
    """Place an order and return its answer. Raises the error that it tells of.

    Raises NoFitWorker where no worker takes it, and OrderUnfinished where one was still at it when
    the time was over.
    """
    workers = yield from ledger.fleet.workers.steps()
    if all(map(is_drained, workers)):
        way = (
            f"End the drain with {uncordon_command(workers)}"
            if workers
            else "Start one with `seqd up`"
        )
        raise NoFitWorker(
            f"{'every worker is drained' if workers else 'no worker is up'}, and the model store "
            f"is beside the workers: nothing was changed. {way}, and say it again"
        )
    orders, began_s = ledger.orders, monotonic()
    yield from orders.place.steps(order, TAKE_S)
    while True:
        answer, worker = yield from orders.answer_to.steps(order.order_id)
        if answer is not None and answer.failure is not None:
            raise error_of(answer.failure)
        if answer is not None:
            return answer
        waited_s = monotonic() - began_s
        is_over = waited_s >= TAKE_S + order.warm_s + ANSWER_S
        if is_over or (not worker and waited_s >= TAKE_S):
            outcome = yield from orders.cancel.steps(order.order_id)
            if outcome != "answered" and not worker:
                raise NoFitWorker(_nobody_took(order))
            if outcome != "answered" and is_over:
                raise OrderUnfinished(_unfinished(order, worker, waited_s))
        yield Pause(_LOOK_S)


def _checked_share(name: str, share: float, *, is_above_0: bool = False) -> float:
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    if not is_number or not 0.0 <= share <= 1.0 or (is_above_0 and share == 0.0):
        bounds = "a number above 0 and at most 1" if is_above_0 else "a number from 0 to 1"
        raise InvalidRequest(f"{name} is {shown(share)}; allowed: {bounds}, such as 0.05.")
    return float(share)


def checked_label(label: str) -> str:
    """Return a label that can be moved. Raises InvalidRequest."""
    from pydantic import TypeAdapter

    from seqd_schemas import Label

    if not _takes(TypeAdapter(Label), label):
        raise InvalidRequest(
            f"label is {shown(label)}; allowed: up to 40 of a-z 0-9 _ - with a letter in front."
        )
    if label in ("latest", _PRODUCTION):
        moved = "always the highest version" if label == "latest" else "moved by `promote`"
        raise InvalidRequest(f"the label {label} is {moved}; set another label.")
    return label


def _takes(kind: "TypeAdapter[str]", value: object) -> bool:
    """Return whether a value is of a type of the wire format, such as `Label`."""
    from pydantic import ValidationError

    try:
        kind.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _nobody_took(order: "ModelOrder") -> str:
    what = order.model if order.version is None else f"{order.model}@{order.version}"
    return (
        f"no worker that is up has {what} in a store that it may write: the order was cancelled "
        f"after {TAKE_S:g} s, and nothing was changed. `seqd status` shows the workers"
    )


def _unfinished(order: "ModelOrder", worker: str, waited_s: float) -> str:
    return (
        f"{worker} has taken the order and not answered within {waited_s:.0f} s; it may be at it "
        f"still, or dead. What came of it: seqd models history {order.model}"
    )
