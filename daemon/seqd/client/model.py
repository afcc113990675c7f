"""A model of the fleet: which version of it is in service, changes of that, and a comparison.

`ModelSteps` does it as exchanges, which the handles `ModelHandle` and `AsyncModelHandle` run: it
reads the catalog, and orders changes. The store is beside the workers. A change is an order in
Redis that a worker carries out; whoever ordered it waits for the answer, and is raised the error
that the worker met.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import ValidationError

from seqd.admission import find_model, resolve_version
from seqd.client.faces import Awaiting, Blocking, call
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
from seqd.validation import faults_of, shown
from seqd_schemas import MAX_ERROR_RATE, MAX_WARM_S, ModelOrder, OrderAction, route_of

if TYPE_CHECKING:
    from seqd.analysis.comparison import Comparison
    from seqd.client.sending import Sender
    from seqd.client.sources import Record
    from seqd_schemas import (
        CatalogEntry,
        ModelPause,
        OrderAnswer,
        ParameterValue,
        Rollout,
        ServiceChange,
        VersionCounts,
        VersionSummary,
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

#: What the fields of an order are called that somebody gives, and what is allowed.
_ALLOWED: Final = {
    "share": ("share", "a number above 0 and at most 1, such as 0.05"),
    "max_error_rate": ("max_error_rate", "a number from 0 to 1, such as 0.05"),
    "warm_s": ("warm_timeout_s", f"0 to {MAX_WARM_S:,} seconds"),
    "label": ("label", "up to 40 of a-z 0-9 _ - with a letter in front"),
}

#: What a version is named by.
_A_VERSION: Final = "a version's number, or a label such as 'latest'"

#: What an order is about, by its action; a worker can do nothing without.
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    OrderAction.PROMOTE: ("version",),
    OrderAction.CANARY: ("version", "share"),
    OrderAction.SHADOW: ("version", "share"),
    OrderAction.LABEL: ("version", "label"),
    OrderAction.UNLABEL: ("version", "label"),
    OrderAction.REMOVE: ("version",),
}


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


@dataclass(eq=False)
class ModelSteps:
    """A model as the catalog had it when it was last looked at."""

    ledger: LedgerParts
    entry: "CatalogEntry"
    #: That of the client, for `compare`.
    sender: "Sender | None" = None

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
        return self.ordered(OrderAction.PROMOTE, reason, warm_timeout_s, version=version)

    def rollback(
        self, *, reason: str = "", warm_timeout_s: float = 60.0
    ) -> "Exchange[OrderAnswer]":
        """Put the version in service that was there before; called again, the one before that.

        While a canary or a shadow goes on, that ends, and the version in service stays. Raises
        WrongState where none was, and what `promote` does.
        """
        rollout = self.entry.rollout
        if rollout is not None:  # also where it has ended meanwhile: that is told then
            return self.ordered(OrderAction.END_ROLLOUT, reason, version=rollout.version)
        return self.ordered(OrderAction.ROLLBACK, reason, warm_timeout_s)

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

        Each result of such a job names its version. What the candidate cannot answer, the version
        in service answers. The canary ends by itself where more than `max_error_rate` of its items
        fail with the candidate alone, and by `promote`, `rollback` and `end_rollout`.
        `rollout_counts` has what both did. Raises InvalidRequest for a share that is none, and what
        `promote` does.
        """
        rates = {"share": share, "max_error_rate": max_error_rate}
        return self.ordered(OrderAction.CANARY, reason, warm_timeout_s, version=version, **rates)

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
        rates = {"share": share, "max_error_rate": max_error_rate}
        return self.ordered(OrderAction.SHADOW, reason, warm_timeout_s, version=version, **rates)

    def end_rollout(self, *, reason: str = "") -> "Exchange[OrderAnswer]":
        """End a canary or a shadow; the version in service answers all items, of open jobs, too.

        Raises WrongState where there is none, and what `promote` does.
        """
        return self.ordered(OrderAction.END_ROLLOUT, reason)

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
        _refuse_kept(label)
        return self.ordered(OrderAction.LABEL, version=version, label=label)

    def unlabel(self, version: int | str, label: str) -> "Exchange[OrderAnswer]":
        """Take a label away from a version; raises InvalidRequest where it is of another."""
        _refuse_kept(label)
        return self.ordered(OrderAction.UNLABEL, version=version, label=label)

    def compare(
        self,
        first: int | str,
        second: int | str,
        data: "Iterable[Record]",
        *,
        text_field: str = "text",
        label_field: str = "label",
        label_map: Mapping[str, str] | None = None,
        parameters: "Mapping[str, ParameterValue] | None" = None,
    ) -> "Exchange[Comparison]":
        """Return how a version does beside another: both classify the same labelled records.

        Each has a job of its own, one after the other; all of `data` is held in memory. `label_map`
        has the model's names for labels that the data calls otherwise. `verdict_of` of
        `seqd.analysis.comparison` decides by the result. Raises InvalidRequest for one version
        twice and for a model that does not classify, InvalidData where no label is a class of
        either, and what a client's `classify` and waiting for a job do.
        """
        from seqd.client.comparing import compared, labelled

        assert self.sender is not None
        records = labelled(data, text_field, label_field, label_map or {})
        versions = f"{self.entry.model}@{first}", f"{self.entry.model}@{second}"
        return compared(self.sender, self.entry, versions, records, parameters or {})

    def remove(self, version: int) -> "Exchange[OrderAnswer]":
        """Have a version removed; a worker knows whether it is there, and may go."""
        order = self._order(OrderAction.REMOVE, version=version, warm_s=0.0)
        _refuse_none(order)
        return self._carried_out(order)

    def ordered(
        self,
        action: OrderAction,
        reason: str = "",
        warm_timeout_s: float = 0.0,
        *,
        version: int | str | None = None,
        **fields: object,
    ) -> "Exchange[OrderAnswer]":
        """Order a change, wait for the answer, and look at what is published then.

        `fields` are those of a `ModelOrder` that only some actions have.
        """
        order = self._order(action, why=wire_text(reason)[:500], warm_s=warm_timeout_s, **fields)
        if action is OrderAction.CANARY and order.share == 1.0:
            raise InvalidRequest("share is 1, which is all items: `promote` puts it in service.")
        if action is OrderAction.END_ROLLOUT and isinstance(version, int):
            # It may be published no more, such as one that is damaged, and is ended all the same.
            order = order.model_copy(update={"version": version})
        elif version is not None:
            order = order.model_copy(update={"version": self._version(version)})
        _refuse_none(order)
        is_tried = action in (OrderAction.CANARY, OrderAction.SHADOW)
        if order.version == self.in_service and (is_tried or action is OrderAction.PROMOTE):
            answers = ", and answers all items" if is_tried else ""
            raise WrongState(
                f"{self.entry.model}@{order.version} is in service already{answers}; nothing is "
                "changed"
            )
        answer = yield from self._carried_out(order)
        # What a worker publishes may come a moment later.
        latest = {name: at for name, at in self.entry.labels.items() if name == "latest"}
        yield from self.refresh()
        self.entry = self.entry.model_copy(update={"labels": {**latest, **answer.labels}})
        return answer

    def _version(self, version: int | str) -> int:
        is_version = isinstance(version, int | str) and not isinstance(version, bool)
        if not is_version:
            raise InvalidRequest(f"version is {shown(version)}; allowed: {_A_VERSION}.")
        return resolve_version(self.entry, version)

    def _order(self, action: OrderAction, **fields: object) -> ModelOrder:
        asked = {
            "order_id": new_job_id(),
            "action": action.value,
            "model": self.entry.model,
            "expected": self.in_service,
            "by": wire_text(caller())[:500],
            "ordered_at_ms": time_ns() // 1_000_000,
        }
        try:
            return ModelOrder.model_validate(asked | fields, strict=True)
        except ValidationError as error:
            fault = faults_of(error)[0]
            name, allowed = _ALLOWED.get(fault.field, (fault.field, fault.allowed))
            raise InvalidRequest(f"{name} is {fault.value}; allowed: {allowed}.") from None

    def _carried_out(self, order: ModelOrder) -> "Exchange[OrderAnswer]":
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


def answered(ledger: LedgerParts, order: ModelOrder) -> "Exchange[OrderAnswer]":
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
                what = order.model if order.version is None else f"{order.model}@{order.version}"
                raise NoFitWorker(
                    f"no worker that is up has {what} in a store that it may write: the order was "
                    f"cancelled after {TAKE_S:g} s, and nothing was changed. `seqd status` shows "
                    "the workers"
                )
            if outcome != "answered" and is_over:
                raise OrderUnfinished(
                    f"{worker} has taken the order and not answered within {waited_s:.0f} s; it "
                    "may be at it still, or dead. What came of it: seqd models history "
                    f"{order.model}"
                )
        yield Pause(_LOOK_S)


def _refuse_none(order: ModelOrder) -> None:
    """Raise InvalidRequest for an order that lacks what its action is about."""
    for field in _NEEDED.get(order.action, ()):
        if getattr(order, field) is None:
            name, allowed = _ALLOWED.get(field, (field, _A_VERSION))
            raise InvalidRequest(f"{name} is None; allowed: {allowed}.")


def _refuse_kept(label: str) -> None:
    """Raise InvalidRequest for a label that nobody moves by its name."""
    if label == "latest":
        raise InvalidRequest("the label latest is always the highest version; set another label.")
    if label == _PRODUCTION:
        raise InvalidRequest(
            f"the label {label} is the version in service, which `promote` sets: seqd models "
            "promote NAME@VERSION"
        )


class ModelMethods:
    """What the handles of both clients have."""

    #: What its methods do stands in `steps`.
    has_steps: ClassVar = True

    def __init__(self, transport: Any, steps: ModelSteps) -> None:
        self._transport = transport
        #: What the handle does, as exchanges.
        self.steps = steps

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, in_service={self.in_service})"

    @property
    def entry(self) -> "CatalogEntry":
        """All that is published of the model."""
        return self.steps.entry

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.model

    @property
    def plugin(self) -> str:
        """The plugin's model that it is made with, `imdb_lstm` for `topics`."""
        return self.entry.made_with

    @property
    def versions(self) -> "tuple[VersionSummary, ...]":
        """Its versions, ascending; the newest of them."""
        return self.entry.versions

    @property
    def in_service(self) -> int | None:
        """The version that the bare name means; None where there is none."""
        return self.steps.in_service

    @property
    def labels(self) -> dict[str, int]:
        """Its labels, with the versions that they stand for."""
        return dict(self.entry.labels)

    @property
    def rollout(self) -> "Rollout | None":
        """The canary or shadow that goes on; None without one."""
        return self.entry.rollout

    refresh = call(ModelSteps.refresh)
    history = call(ModelSteps.history)
    promote = call(ModelSteps.promote)
    rollback = call(ModelSteps.rollback)
    canary = call(ModelSteps.canary)
    shadow = call(ModelSteps.shadow)
    end_rollout = call(ModelSteps.end_rollout)
    rollout_counts = call(ModelSteps.rollout_counts)
    label = call(ModelSteps.label)
    unlabel = call(ModelSteps.unlabel)
    compare = call(ModelSteps.compare)


class ModelHandle(Blocking, ModelMethods):
    """A model as workers had published it when the handle was made, changed, or refreshed.

    Changes are carried out by a worker whose store has the model. They need the rights of an
    operator where Redis has users: `seqd redis acl --role operator`.
    """


class AsyncModelHandle(Awaiting, ModelMethods):
    """A model as workers had published it when the handle was made, changed, or refreshed.

    Changes are carried out by a worker whose store has the model. They need the rights of an
    operator where Redis has users: `seqd redis acl --role operator`.
    """
