"""Puts a version in service in place of another, as an order asks for.

Workers load the version first, by the label `candidate`, so that no item waits for that, and the
call ends when new jobs get it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

from seqd.errors import (
    InvalidRequest,
    NoFitWorker,
    SeqdError,
    ServiceChanged,
    UnknownModel,
    WrongState,
)
from seqd.models.model_records import CANDIDATE, PRODUCTION, check_label, version_before
from seqd.serving import served_routes
from seqd_schemas import ServiceChange

if TYPE_CHECKING:
    from seqd.hookspecs import Artifact
    from seqd.ledger import Ledger
    from seqd.models.store import ModelStore
    from seqd_schemas import CatalogEntry, ModelOrder, WorkerStatus

#: Seconds between two looks at what the workers have loaded.
_LOOK_S = 0.1

#: Seconds after the end of a roll-out in which a rollback may be meant for that.
_JUST_ENDED_S = 300.0

#: Seconds for which it is waited until the change is published.
_PUBLISH_S = 15.0


class Change(Protocol):
    """A change of what is in service, of which the workers are told before it is made."""

    store: "ModelStore"
    name: str
    version: int

    @property
    def ref(self) -> str:
        """Return the version as `name@3`."""

    @property
    def kept_loaded(self) -> Sequence[str]:
        """What a worker that has the model is to have in memory, as `name@3`."""

    def is_overtaken(self) -> bool:
        """Return True when another version is in service than before the change."""


class Promotion:
    """A version that is to be put in service in place of the one that the client has seen there."""

    def __init__(
        self, store: "ModelStore", order: "ModelOrder", version: int, goes_back_from: str = ""
    ) -> None:
        """`goes_back_from` is the version in service, of a rollback.

        Raises WrongState where the version is in service already.
        """
        self.store, self.name, self.version = store, order.model, version
        self._order, self._goes_back_from = order, goes_back_from
        running = store.rollout(self.name)
        #: The roll-out by which the version is tried meanwhile.
        self._tried = running if running is not None and running.version == version else None
        if store.labels(self.name).get(PRODUCTION) == version:
            raise WrongState(f"{self.ref} is in service already; nothing is changed")

    @property
    def ref(self) -> str:
        """Return the version as `name@3`."""
        return f"{self.name}@{self.version}"

    @property
    def kept_loaded(self) -> Sequence[str]:
        """The version alone."""
        return (self.ref,)

    def is_overtaken(self) -> bool:
        """Return True when another version is in service than the one that it is to follow.

        Also when the version was tried, and that was aborted meanwhile.
        """
        is_other = self.store.labels(self.name).get(PRODUCTION) != self._order.expected
        return is_other or self._is_aborted()

    def _is_aborted(self) -> bool:
        return self._tried is not None and self.store.is_aborted(self.name, self._tried.id)

    def put_in_service(self) -> None:
        """Put the version in service, with a line in the history.

        Raises ServiceChanged where somebody was faster, and as `ModelStore.open` does.
        """
        if self._is_aborted():
            raise ServiceChanged(
                f"{self.ref} was tried meanwhile, and that was aborted; nothing is changed. Look "
                f"at it with `seqd models history {self.name}`, and say it again"
            )
        order, back = self._order, self._goes_back_from
        change = ServiceChange(
            at_ms=time.time_ns() // 1_000_000,
            by=order.by,
            from_version=order.expected,
            to_version=self.version,
            why=order.why or (f"back from {back}" if back else ""),
            is_rollback=bool(back),
            gate=order.gate,
            order_id=order.order_id,
        )
        self.store.put_in_service(self.name, change)


def rollback_of(store: "ModelStore", order: "ModelOrder") -> Promotion:
    """Return the promotion of the version that was in service before the one there now.

    Raises WrongState where none was, UnknownModel where that version is gone.
    """
    name, current = store.resolve(order.model)
    changes = store.history(name)
    _refuse_after_rollout(name, current, changes)
    before = version_before(changes, current)
    if before is None:
        raise WrongState(
            f"{name}@{current} is the first version of {name} in service that is known: there is "
            f"none to go back to. `seqd models promote {name}@VERSION` puts any other in service"
        )
    if before not in store.numbers(name):
        raise UnknownModel(
            f"{name}@{before} was in service before {name}@{current}, and is gone. Put another one "
            f"in service: seqd models promote {name}@VERSION"
        )
    return Promotion(store, order, before, goes_back_from=f"{name}@{current}")


def _refuse_after_rollout(name: str, current: int, changes: Sequence[ServiceChange]) -> None:
    """Raise WrongState for a rollback that was meant for a roll-out which has just ended."""
    last = changes[-1] if changes else None
    if last is None or last.rollout is None or last.from_version != last.to_version:
        return
    age_s = time.time() - last.at_ms / 1000
    is_begin = last.at_ms == last.rollout.at_ms
    if not is_begin and age_s < _JUST_ENDED_S:
        raise WrongState(
            f"the {last.rollout.kind} of {name}@{last.rollout.version} ended {max(0.0, age_s):.0f} "
            f"s ago, by {last.by}, and {name}@{current} answers all items; nothing is changed. To "
            f"put another version in service: seqd models promote {name}@VERSION"
        )


def put_in_service_warm(
    ledger: "Ledger",
    change: Promotion,
    deadline_s: float,
    warn: Callable[[str], None],
    go_on: Callable[[], None],
    publish: Callable[[], None],
    trial: "Callable[[Artifact], None] | None",
) -> None:
    """Have the workers load a version, put it in service, and wait until new jobs get it.

    `deadline_s` is a time of the monotonic clock, after which it is put there though workers have
    not loaded it. `warn` is told what is not as it should be; `go_on` is called at each look, and
    ends the work by an error; `publish` is called once the version is there. `trial` is called
    where no worker has loaded the version, and raises where it cannot be. Raises NoFitWorker where
    a worker cannot run the version, what `trial` does, and what `Promotion.put_in_service` does.
    """
    with labelled_candidate(change):
        wait_until_warm(ledger, change, deadline_s, warn, go_on)
        if trial is not None and not _is_loaded(ledger, change):
            _try(partial(trial, change.store.open(change.name, change.version)), go_on)
        change.put_in_service()
        change.store.drop_label(change.name, CANDIDATE, change.version)
    publish()
    wait_until_published(
        ledger,
        change.store,
        change.name,
        lambda entry: entry.labels.get(PRODUCTION) == change.version,
        warn,
        go_on,
    )


def _is_loaded(ledger: "Ledger", change: Promotion) -> bool:
    return any(change.ref in one.models_loaded for one in ledger.fleet.workers())


def _try(trial: Callable[[], None], go_on: Callable[[], None]) -> None:
    """Load a version, which takes seconds, and go on meanwhile."""
    pool = ThreadPoolExecutor(1, "seqd-trial")
    try:
        trying = pool.submit(trial)
        while not trying.done():
            go_on()
            wait([trying], _LOOK_S)
        trying.result()
    finally:
        pool.shutdown(wait=False)


def wait_until_warm(
    ledger: "Ledger",
    change: Change,
    deadline_s: float,
    warn: Callable[[str], None],
    go_on: Callable[[], None],
) -> None:
    """Wait until the workers that have a model loaded have loaded what a change needs.

    The version has the label `candidate` meanwhile. At `deadline_s`, a time of the monotonic clock,
    `warn` is told who has not. Raises NoFitWorker where a worker cannot run the version.
    """

    def is_warm_or_late() -> bool:
        return change.is_overtaken() or not _cold_workers(ledger.fleet.workers(), change)

    if not wait_waking(ledger, change.store, change.name, deadline_s, is_warm_or_late, go_on):
        cold = ", ".join(_cold_workers(ledger.fleet.workers(), change))
        warn(f"Not loaded yet, so that first items there wait for it: {cold}")


def wait_until_published(
    ledger: "Ledger",
    store: "ModelStore",
    name: str,
    is_meant: "Callable[[CatalogEntry], bool]",
    warn: Callable[[str], None],
    go_on: Callable[[], None] = lambda: None,
) -> None:
    """Wait until new jobs get what was changed, by the catalog entry of the model.

    Warns where no worker publishes it in `_PUBLISH_S` seconds.
    """

    def is_published() -> bool:
        entry = ledger.fleet.catalog().get(name)
        return entry is not None and is_meant(entry)

    if not wait_waking(ledger, store, name, time.monotonic() + _PUBLISH_S, is_published, go_on):
        warn(
            "No worker has published this yet: jobs of clients get the version that is published. "
            "`seqd status` shows the workers; do they use this store?"
        )


def check_movable(label: str) -> None:
    """Raise InvalidRequest for a label that is none, or that `promote` and `rollback` move."""
    check_label(label)
    if label == PRODUCTION:
        raise InvalidRequest(
            f"the label {PRODUCTION} is the version in service; put one there with "
            "`seqd models promote NAME@VERSION`"
        )


def move_label(
    store: "ModelStore", model: str, version: int, label: str, by: str, *, is_removed: bool
) -> None:
    """Move a label to a version, or take it away from it.

    Raises InvalidRequest, and what `ModelStore.set_label` does.
    """
    check_movable(label)
    running = store.rollout(model) if label == CANDIDATE else None
    if running is not None:
        raise InvalidRequest(
            f"{model}@{running.version} is tried, and has the label {label} meanwhile; nothing is "
            f"changed. End that first: seqd models rollback {model}"
        )
    if not is_removed:
        store.set_label(model, label, version, by)
        return
    if store.labels(model).get(label) != version:
        raise InvalidRequest(f"{model}@{version} has no label {label!r}; nothing is changed")
    store.drop_label(model, label, version)


@contextmanager
def labelled_candidate(change: Change) -> Iterator[None]:
    """Label a version `candidate`, so that the workers load it.

    Where the block fails, the label stands again where it stood before.
    """
    store, name = change.store, change.name
    before, tried = store.labels(name).get(CANDIDATE), store.rollout(name)
    store.set_label(name, CANDIDATE, change.version)
    try:
        yield
    except BaseException:
        with suppress(SeqdError):
            labels = store.labels(name)
            has_ended = tried is not None and store.rollout(name) != tried
            is_over = has_ended or before == labels.get(PRODUCTION)
            if before is None or is_over or labels.get(CANDIDATE) != change.version:
                store.drop_label(name, CANDIDATE, change.version)
            else:
                store.set_label(name, CANDIDATE, before)
        raise


def wait_waking(
    ledger: "Ledger",
    store: "ModelStore",
    name: str,
    deadline_s: float,
    is_done: Callable[[], bool],
    go_on: Callable[[], None],
) -> bool:
    """Wake the workers of a model, which then look at the store, until something is done.

    False where it is not at `deadline_s`, a time of the monotonic clock.
    """
    plugin = store.plugin_of(name)
    woken_s = float("-inf")
    while not is_done():
        go_on()
        if time.monotonic() >= deadline_s:
            return False
        if time.monotonic() - woken_s >= 1:  # an idle worker looks at the store at each wakeup
            woken_s = time.monotonic()
            for route in served_routes(plugin, ledger.fleet.catalog().get(name)):
                ledger.work.wake(route)
        time.sleep(_LOOK_S)
    return True


def _cold_workers(workers: "list[WorkerStatus]", change: Change) -> list[str]:
    """Return the workers that have the model in memory, but not all that the change needs.

    Raises NoFitWorker where one says that it cannot run the version.
    """
    cold = []
    for one in workers:
        for unfit in one.unfit:
            if (unfit.model, unfit.version) == (change.name, change.version):
                raise NoFitWorker(
                    f"{one.worker} cannot run {change.ref}: {unfit.code}: {unfit.message}. Nothing "
                    "is changed."
                )
        loaded = [ref for ref in one.models_loaded if ref.partition("@")[0] == change.name]
        if loaded and not set(change.kept_loaded) <= set(loaded):
            cold.append(one.worker)
    return cold
