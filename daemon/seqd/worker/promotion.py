"""Changes what is in service of a model, or tried beside that, and removes versions, by orders.

Workers load the versions first, by the label `candidate`, so that no item waits for that, and the
call ends when new jobs get them.

Versions that are to go are marked in the store first, then it is waited until workers publish them
no more, then the open jobs are looked at, and then they go. A job that was handed in at any time is
seen by that look, or was refused.
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from seqd.errors import (
    InvalidRequest,
    NoFitWorker,
    SeqdError,
    ServiceChanged,
    UnknownModel,
    VersionInUse,
    WrongState,
)
from seqd.ledger.job_filter import JobFilter
from seqd.models.model_records import CANDIDATE, PRODUCTION, check_label, version_before
from seqd.serving import served_routes
from seqd_schemas import MAX_ERROR_RATE, JobRecord, JobState, Rollout, ServiceChange

if TYPE_CHECKING:
    from seqd.hookspecs import Artifact
    from seqd.ledger import Ledger
    from seqd.models.store import ModelStore
    from seqd_schemas import CatalogEntry, ModelOrder, WorkerStatus

#: Seconds between two looks at what the workers have loaded.
_LOOK_S = 0.1

#: Seconds after the end of a roll-out in which a rollback may be meant for that.
_JUST_ENDED_S = 300.0

#: Seconds for which it is waited until a change is published, and retired versions no more.
_PUBLISH_S: Final = 15.0


def _nothing(*said: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ModelWork:
    """What it takes to change a model beside workers that serve it."""

    ledger: "Ledger"
    store: "ModelStore"
    #: Publishes what this worker can run.
    publish: Callable[[], None] = _nothing
    #: Is told what is not as it should be.
    warn: Callable[[str], None] = _nothing
    #: Called at each look; ends the work by an error.
    go_on: Callable[[], None] = _nothing

    def wait_waking(self, name: str, deadline_s: float, is_done: Callable[[], bool]) -> bool:
        """Wake the workers of a model, which then look at the store, until something is done.

        False where it is not at `deadline_s`, a time of the monotonic clock.
        """
        plugin = self.store.plugin_of(name)
        woken_s = float("-inf")
        while not is_done():
            self.go_on()
            if time.monotonic() >= deadline_s:
                return False
            if time.monotonic() - woken_s >= 1:  # an idle worker looks at the store at each wakeup
                woken_s = time.monotonic()
                for route in served_routes(plugin, self.ledger.fleet.catalog().get(name)):
                    self.ledger.work.wake(route)
            time.sleep(_LOOK_S)
        return True

    def wait_until_published(self, name: str, is_meant: "Callable[[CatalogEntry], bool]") -> None:
        """Wait until new jobs get what was changed, by the catalog entry of the model.

        Warns where no worker publishes it in `_PUBLISH_S` seconds.
        """

        def is_published() -> bool:
            entry = self.ledger.fleet.catalog().get(name)
            return entry is not None and is_meant(entry)

        if not self.wait_waking(name, time.monotonic() + _PUBLISH_S, is_published):
            self.warn(
                "No worker has published this yet: jobs of clients get the version that is "
                "published. `seqd status` shows the workers; do they use this store?"
            )


class Change:
    """A change of what is in service, of which the workers are told before it is made."""

    def __init__(self, store: "ModelStore", name: str, version: int) -> None:
        self.store, self.name, self.version = store, name, version

    @property
    def ref(self) -> str:
        """Return the version as `name@3`."""
        return f"{self.name}@{self.version}"

    @property
    def kept_loaded(self) -> Sequence[str]:
        """What a worker that has the model is to have in memory, as `name@3`."""
        return (self.ref,)


class Promotion(Change):
    """A version that is to be put in service in place of the one that the client has seen there."""

    def __init__(
        self, store: "ModelStore", order: "ModelOrder", version: int, goes_back_from: str = ""
    ) -> None:
        """`goes_back_from` is the version in service, of a rollback.

        Raises WrongState where the version is in service already.
        """
        super().__init__(store, order.model, version)
        self._order, self._goes_back_from = order, goes_back_from
        running = store.rollout(self.name)
        #: The roll-out by which the version is tried meanwhile.
        self._tried = running if running is not None and running.version == version else None
        if store.labels(self.name).get(PRODUCTION) == version:
            raise WrongState(f"{self.ref} is in service already; nothing is changed")

    def is_overtaken(self) -> bool:
        """Return True when another version is in service than the one that it is to follow.

        Also when the version was tried, and that was aborted meanwhile.
        """
        is_other = self.store.labels(self.name).get(PRODUCTION) != self._order.expected
        return is_other or self._is_aborted()

    def _is_aborted(self) -> bool:
        return self._tried is not None and self.store.is_aborted(self.name, self._tried.id)

    def make(self) -> None:
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
        self.store.drop_label(self.name, CANDIDATE, self.version)

    def is_published(self, entry: "CatalogEntry") -> bool:
        """Return True where the version is published as the one in service."""
        return entry.labels.get(PRODUCTION) == self.version


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


class RolloutBegin(Change):
    """A version that is to be tried beside the one in service."""

    def __init__(self, store: "ModelStore", order: "ModelOrder") -> None:
        """Take what a client ordered.

        Raises WrongState where the version is in service, or none is, and ServiceChanged where
        another one is than the client has seen.
        """
        name, version, share = order.model, order.version, order.share
        assert version is not None and share is not None, "a roll-out has both"
        super().__init__(store, name, version)
        self._order_id = order.order_id
        serving = store.labels(name).get(PRODUCTION)
        if serving is None:
            raise WrongState(
                f"no version of {name} is in service, beside which one could be tried. Put it in "
                f"service: seqd models promote {name}@{version}"
            )
        if serving == version:
            raise WrongState(
                f"{name}@{version} is in service already, and answers all items; nothing is changed"
            )
        if order.expected != serving:
            raise ServiceChanged(
                f"{name}@{serving} is in service, and not what the client has seen: nothing is "
                "changed. Look at it anew, and say it again"
            )
        reason = f": {order.why}" if order.why else ""
        bound = order.max_error_rate
        self.rollout = Rollout(
            id=secrets.token_hex(8),
            kind=order.action,
            version=version,
            serving=serving,
            share=share,
            max_error_rate=MAX_ERROR_RATE if bound is None else bound,
            by=order.by,
            why=f"{order.action} of {name}@{version} with {percent(share)} of the items{reason}",
            at_ms=time.time_ns() // 1_000_000,
        )

    @property
    def kept_loaded(self) -> Sequence[str]:
        """Both versions."""
        return (self.ref, f"{self.name}@{self.rollout.serving}")

    def is_overtaken(self) -> bool:
        """Return True when another version is in service than the one that it is to be beside."""
        return self.store.labels(self.name).get(PRODUCTION) != self.rollout.serving

    def make(self) -> None:
        """Begin it, with a line in the history; raises as `ModelStore.begin_rollout` does."""
        self.store.begin_rollout(self.name, self.rollout, self._order_id)

    def is_published(self, entry: "CatalogEntry") -> bool:
        """Return True where the roll-out is published."""
        return entry.rollout is not None and entry.rollout.id == self.rollout.id


#: What is made when the workers that have the model are ready for it.
AnyChange = Promotion | RolloutBegin


def abort(store: "ModelStore", order: "ModelOrder") -> Rollout:
    """End the roll-out of a model that goes on, of the order's version where it has one.

    The version in service answers all items again, of jobs that were handed in before, too. Returns
    the roll-out; raises WrongState where there is none, or another version is tried.
    """
    name, version = order.model, order.version
    rollout = store.rollout(name)
    if rollout is None:
        raise WrongState(
            f"no version of {name} is tried beside the one in service; nothing is changed"
        )
    if version not in (None, rollout.version):
        raise WrongState(
            f"{name}@{rollout.version} is tried, and not {name}@{version}; nothing is changed"
        )
    said = f"{rollout.kind} of {name}@{rollout.version} aborted"
    reason = f"{said}: {order.why}" if order.why else said
    if not store.end_rollout(name, rollout, order.by, reason, order.order_id):
        raise WrongState(f"the {rollout.kind} of {name}@{rollout.version} has ended meanwhile")
    return rollout


def make_warm(
    work: ModelWork,
    change: AnyChange,
    deadline_s: float,
    trial: "Callable[[Artifact], None] | None" = None,
) -> None:
    """Have the workers load what a change needs, make it, and wait until new jobs get it.

    `deadline_s` is a time of the monotonic clock, after which it is made though workers have not
    loaded that. `trial` is called where no worker has loaded the version, and raises where it
    cannot be. Raises NoFitWorker where a worker cannot run the version, what `trial` does, and what
    the change does.
    """
    fleet = work.ledger.fleet

    def is_warm_or_late() -> bool:
        return change.is_overtaken() or not _cold_workers(fleet.workers(), change)

    with labelled_candidate(change):
        if not work.wait_waking(change.name, deadline_s, is_warm_or_late):
            cold = ", ".join(_cold_workers(fleet.workers(), change))
            work.warn(f"Not loaded yet, so that first items there wait for it: {cold}")
        if trial is not None and not any(
            change.ref in one.models_loaded for one in fleet.workers()
        ):
            _try(partial(trial, change.store.open(change.name, change.version)), work.go_on)
        change.make()
    work.publish()
    work.wait_until_published(change.name, change.is_published)


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


def move_label(
    store: "ModelStore", model: str, version: int, label: str, by: str, *, is_removed: bool
) -> None:
    """Move a label to a version, or take it away from it.

    Raises InvalidRequest, also for the label that `promote` and `rollback` move, and what
    `ModelStore.set_label` does.
    """
    check_label(label)
    if label == PRODUCTION:
        raise InvalidRequest(
            f"the label {PRODUCTION} is the version in service; put one there with "
            "`seqd models promote NAME@VERSION`"
        )
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
def labelled_candidate(change: AnyChange) -> Iterator[None]:
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


def _cold_workers(workers: "list[WorkerStatus]", change: AnyChange) -> list[str]:
    """Return the workers that have the model in memory, but not all that the change needs.

    Raises NoFitWorker where one says that it cannot run the version. Those that an operator's rule
    keeps from claiming answer no items: neither is asked of them.
    """
    cold = []
    for one in workers:
        if one.cordon is not None:
            continue
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


def percent(share: float) -> str:
    """Return 0.05 as `5%`, with the digits that it has and no more."""
    return f"{100 * share:.6g}%"


#: Open jobs that are looked at.
_MOST_JOBS: Final = 10_000

#: Seconds in which a client that has read the catalog before has handed its job in.
_SUBMIT_S: Final = 0.5

_OPEN: Final = frozenset(state.value for state in JobState if not state.is_terminal)


def remove_version(work: ModelWork, name: str, version: int) -> None:
    """Remove a version. Raises VersionInUse where an open job runs on it, and as `remove` does."""
    work.store.check_removable(name, version)
    with retired(work, name, [version]) as jobs:
        users = [job.job_id for job in jobs if version in job.versions]
        if users:
            raise VersionInUse(
                f"{name}@{version} is what job {users[0]} runs on: it is not removed. Wait for its "
                "end, or cancel it"
            )
        work.store.remove(name, version)


@contextmanager
def retired(work: ModelWork, name: str, versions: Collection[int]) -> Iterator[list[JobRecord]]:
    """Have no new job get versions in the block; yield the open jobs of the model.

    Versions that are still there at its end new jobs get again. Raises VersionInUse where there are
    too many jobs.
    """
    fleet = work.ledger.fleet

    def is_out() -> bool:
        entry = fleet.catalog().get(name)
        published = () if entry is None else entry.versions
        is_published = any(one.version in versions for one in published)
        return not is_published or not fleet.workers()

    try:
        work.store.retire(name, versions)
        work.publish()
        work.wait_waking(name, time.monotonic() + _PUBLISH_S, is_out)
        time.sleep(_SUBMIT_S)
        yield open_jobs(work.ledger, name)
    finally:
        work.store.keep(name, versions)


def open_jobs(ledger: "Ledger", name: str) -> list[JobRecord]:
    """Return the open jobs of a model; raises VersionInUse where there are too many to know."""
    jobs = ledger.jobs.newest(_MOST_JOBS, JobFilter(states=_OPEN, model=name))
    if jobs.stopped_at_ms is not None:
        raise VersionInUse(
            f"there are too many jobs to know whether one of them runs on {name}; try again when "
            "there are fewer"
        )
    return list(jobs)
