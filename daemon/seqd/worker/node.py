"""A worker's parent process: boots, listens for wakeups, drains. It never computes.

`boot` checks that the slot can run anything at all, `serve` runs Celery until a signal ends it,
`drain` releases what the child still held.
"""

import logging
import multiprocessing
import os
import platform
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic, sleep, time
from typing import TYPE_CHECKING

from billiard import active_children
from celery import Celery
from celery.signals import worker_ready

from seqd import __version__
from seqd.errors import DeviceLost, InvalidSettings
from seqd.ledger.acl import Role
from seqd.ledger.outage import Outage, waiting_at_most
from seqd.ledger.rights import check_rights, check_server
from seqd.ledger.units import Death
from seqd.local.device_check import check_device
from seqd.local.kernel_folder import keep_kernels
from seqd.local.process_states import start_ticks_of
from seqd.local.run_files import DRAINING, READINESS, RunFolder
from seqd.local.slots import Slot
from seqd.masking import without_password
from seqd.models.registry import Registry
from seqd.models.shared_store import shared_store
from seqd.models.trial_load import trial_of
from seqd.settings import ROOTS, Settings, load_settings
from seqd.targets import drain_for, rule_for, unknown_served
from seqd.worker.background import Reconciler, StoreMirror
from seqd.worker.broker import create_app
from seqd.worker.channel import Channel, HeartbeatFile
from seqd.worker.context import (
    Identity,
    identify,
    open_ledger,
    open_store,
    publish_catalog,
    queues_of,
    runnable_routes,
    status_without_child,
)
from seqd.worker.cordon import DrainedWait, RuleWatch, cordon_of
from seqd.worker.death_record import DeathRecord, DeathsFile
from seqd.worker.deaths import MAX_STACKS, DeathFile, MemoryWatch, ThreadStack, one_line
from seqd.worker.device_watch import DeviceWatch
from seqd.worker.drain import DrainFlag
from seqd.worker.end_signals import EndSignals, Listener
from seqd.worker.inbox import Inbox
from seqd.worker.logs import (
    log_and_continue,
    log_whatever_is_written,
    name_worker_of_log,
    try_now,
    write_directly_again,
)
from seqd.worker.orders import ModelOrderWatch
from seqd.worker.pool import child_ended
from seqd.worker.watchdog import ChildKeeper, Watchdog
from seqd_schemas import CordonAction, DeathCause, PluginState, wakeup_queue

if TYPE_CHECKING:
    from seqd.worker.metrics import MetricsEndpoint

log = logging.getLogger(__name__)

#: Seconds for which a worker that was announced is expected to publish itself: most of it are
#: imports of plugins.
ANNOUNCED_S = 120.0

#: Seconds that a worker whose device is lost has to end by itself.
LOST_END_S = 20.0

_LOST_LOOK_S = 0.5

_WITH_DEVICE = (
    "The worker's device was lost, and its process with it; the units go on elsewhere, and are not "
    "to blame."
)


def run_node(settings: Settings, slot: Slot, name: str = "") -> int:
    """Run one worker until SIGTERM, SIGINT, SIGQUIT or SIGHUP; return the exit status.

    `settings.redis_url` must be set. Raises InvalidSettings when the slot can run nothing;
    UnusableSlot, DeviceUnavailable and DeviceLost by what becomes of its device.
    """
    log_whatever_is_written("the worker", settings)
    try:
        return _run(settings, slot, name)
    finally:
        # What is said of the end is for whoever reads the end of the log.
        write_directly_again()


def _run(settings: Settings, slot: Slot, name: str) -> int:
    identity = identify(slot, name, settings.labels)
    name_worker_of_log(identity.name, identity.slot.name)
    _set_environment(settings, identity)
    settings = load_settings()
    node = Node(settings, identity)
    log.info("%s", start_line(identity, settings, node.registry))
    if settings.serves:
        with suppress(OSError):  # a folder that cannot be listed is told of where it is needed
            for line in unknown_served(settings.serves, node.known_models()):
                log.warning("%s", line)
    if not node.may_begin():
        return os.EX_OK
    node.boot()
    try:
        return node.serve()
    finally:
        node.drain()


class Node:
    """The parent of one worker."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        # Only its boot waits: who restarts workers would do so later and later in an outage.
        self._outage = Outage(
            limit_s=settings.outage_s,
            promise="workers keep what they have done, and go on when it is back",
            has_answered=True,
        )
        self._ledger = open_ledger(settings, self._outage)
        self._settings = settings
        self._identity = identity
        self._drain = DrainFlag(settings, identity.name)
        self._heartbeat = HeartbeatFile(settings, identity.name)
        self._run_folder = RunFolder(settings.data_dir)
        self._run_folder.remove_left_behind(time())
        if settings.supervised:  # whoever else starts one may give it the name of one that is up
            try_now("worker not published", self._announce, is_repeated=True)
        shared = shared_store(settings)
        mirrors = [] if shared is None else [StoreMirror(shared)]
        for mirror in mirrors:
            mirror.try_once()  # before the registry: its models may be required
        self.registry = Registry.load(settings)
        self._store = open_store(settings, self.registry, shared)
        self._routes = runnable_routes(identity.slot, self.registry.models)
        self._inbox = Inbox(self._ledger, settings, identity.name)
        self._reconciler = Reconciler(
            self._ledger,
            settings,
            identity.name,
            self._routes,
            lambda: queues_of(self._routes, self._store),
            self._publish_catalog,
            self._inbox.note_round,
        )
        untried = "a job that names the version has a worker load it, without a trial"
        trials = partial(trial_of, self.registry, untried=untried)
        self._orders = ModelOrderWatch(
            self._ledger, settings, self._store, trials, identity.name, self._publish_catalog
        )
        self._deaths = DeathFile(settings, identity.name)
        self._death_record = DeathRecord(settings, self._ledger, identity, self.registry.statuses)
        self._memory = MemoryWatch()
        self._device_watch = DeviceWatch(identity.slot, self._end_for_lost_device)
        channel = Channel.create()
        os.environ["SEQD_CHANNEL"] = channel.path
        self._metrics = _metrics(settings, identity, channel)
        watchdog = Watchdog(settings, channel, self._deaths)
        self._app = create_app(settings.redis_url or "", settings, self._outage)
        self._signals: EndSignals | None = None
        #: What runs from its start to its end, in the order in which it starts.
        self._tasks = (
            watchdog,
            ChildKeeper(settings, watchdog, self._deaths, self._ledger, identity.name),
            self._memory,
            # Before Celery, which ends when Redis is full: it may be the inbox that fills it.
            self._inbox,
            *mirrors,
            self._orders,
            RuleWatch(self._ledger, identity.place, channel, self._orders, self._drain_by_rule),
        )

    def known_models(self) -> set[str]:
        """Return the names of all models that there are here, with versions or without."""
        return {*self.registry.models, *self._store.models()}

    def _announce(self) -> None:
        """Publish that a worker is coming, which may bring a model that no other has.

        It is silent while it imports its plugins. Of deaths it tells those in its place.
        """
        fleet = self._ledger.fleet
        rule = rule_for(self._ledger.cordons.rules(), self._identity.place)
        phase = "drained" if rule is not None and rule.action is CordonAction.DRAIN else "cordoned"
        status = status_without_child(self._identity, self._settings, (), fleet.now_ms())
        update = {
            "pid": os.getpid(),
            "pid_start_ticks": start_ticks_of("self"),
            "deaths": DeathsFile(self._settings, self._identity.name).deaths().deaths,
            "cordon": None if rule is None else cordon_of(rule, phase),
        }
        fleet.publish_worker(status.model_copy(update=update), ANNOUNCED_S)

    def may_begin(self) -> bool:
        """Wait while an operator's drain means this worker; False when it is asked to end first.

        Before anything is checked or loaded: its device may be out for repair.
        """
        rule = drain_for(self._ledger.cordons.rules(), self._identity.place)
        if rule is None:
            return True
        self._release_former()
        self._drain.lower()
        waiting = DrainedWait(
            self._ledger, self._settings, self._identity, self.registry, self._heartbeat
        )
        return waiting.wait(rule)

    def boot(self) -> None:
        """Check that there is something to run and a server to listen on, with all rights on it.

        A server that is away is waited for, and a full one for as long as it is full. Raises
        InvalidSettings, OtherFormat, RedisNoPermission with all rights that are missing,
        RedisRefused, RedisUnreachable, and what `check_device` does.
        """
        if self._metrics is not None:
            self._metrics.start()
        if not self._routes:
            tasks = ", ".join(self._identity.slot.tasks)
            raise InvalidSettings(
                f"Slot {self._identity.slot.name} can run nothing: no ready model does {tasks} on "
                f"a {self._identity.slot.kind}. `seqd plugins list` shows the plugins and reasons."
            )
        check_device(self._identity.slot)
        _check_semaphores()
        check_server(
            self._ledger.redis,
            allow_eviction=self._settings.allow_eviction,
            allow_volatile=self._settings.allow_volatile,
        )
        # Before any script: one that is denied half-way has done one half.
        check_rights(self._ledger.redis, Role.WORKER, self._settings.keys)
        self._ledger.fleet.check_format()
        self._inbox.make_room()
        # Else it ends, and who restarts it learns no more by that. Not before: a full Redis answers
        # what is in the inbox with that, and must not be waited for.
        self._outage.full_s = inf
        # Before the inbox is opened: its jobs are checked against the catalog.
        self._publish_catalog()
        self._release_former()
        self._run_folder.remove_files_of(self._identity.name)
        self._outage.limit_s = self._outage.full_s = 0.0
        self._outage.bears_denial = True

    def serve(self) -> int:
        """Listen until a signal ends it; return the exit status. Raises what ends its device."""
        listener = _listener(self._app, self._identity, self._routes)
        self._signals = EndSignals(listener, self._begin_drain)
        self._signals.install()
        self._device_watch.start()
        worker_ready.connect(self._on_ready, weak=False)
        child_ended.connect(self._on_child_ended, weak=False)
        for task in self._tasks:
            task.start()
        listener.start()
        error = self._drain.error()
        if error is not None:
            raise error
        return int(listener.exitcode or 0)

    def _release_former(self) -> None:
        """Release what the last worker of this name held, and note how it ended.

        So nobody waits until its leases end. That counts as a crash of its units, since one of them
        may have killed it. A drain flag that still stands says otherwise: it had been asked to end,
        and could not tell the ledger.
        """
        was_asked_to_end = self._drain.is_raised()
        self._ledger.work.release_worker(self._identity.name, crashed=not was_asked_to_end)
        self._death_record.take_over(was_asked_to_end=was_asked_to_end)

    def drain(self) -> None:
        """Release what the child still held, and remove the worker from the fleet."""
        self._device_watch.close()
        _end_children()
        for task in (self._reconciler, *self._tasks):
            task.close()
        self._run_folder.remove_files_of(self._identity.name, but=(DRAINING,))
        with waiting_at_most(0):
            if log_and_continue("leases not released", self._leave_fleet):
                self._drain.lower()
            else:  # the flag stays up, for `_release_former`
                log.warning("leases not released: they run out, or its next start releases them")
        log.info("stopped worker=%s", self._identity.name)

    def _on_ready(self, **_: object) -> None:
        self._reconciler.start()
        log.info("listening worker=%s routes=%s", self._identity.name, ",".join(self._routes))

    def _drain_by_rule(self, why: str) -> None:
        if self._signals is not None:
            self._signals.request(why)

    def _publish_catalog(self) -> None:
        publish_catalog(self._ledger, self.registry, self._store, self._identity.name)
        self._ledger.fleet.publish_limits(self._settings)

    def _leave_fleet(self) -> None:
        self._ledger.work.release_worker(self._identity.name, crashed=False)
        self._ledger.fleet.forget_worker(self._identity.name)

    def _on_child_ended(self, pid: int, exit_code: int | None, **_: object) -> None:
        """Release a dead child's work now, not when its leases run out.

        It is called before the next child is started, so nothing of that one's.
        """
        # Whatever it could run, it does not run now. Its successor says so anew.
        readiness = self._run_folder.file(self._identity.name, READINESS)
        log_and_continue("readiness not removed", lambda: readiness.unlink(missing_ok=True))
        if exit_code == 0 and self._drain.is_raised():
            return
        name = self._identity.name
        death, stacks = self._deaths.death_of(pid, exit_code, self._memory)
        has_lost_device = self._device_watch.has_lost_device()
        if has_lost_device:
            death, stacks = Death(DeathCause.DEVICE_LOST, _WITH_DEVICE), ()
        log.error("child died worker=%s pid=%d cause=%s: %s", name, pid, death.cause, death.message)
        _log_stacks(pid, stacks)
        log_and_continue(
            "leases not released",
            lambda: self._ledger.work.release_worker(
                # What a lost device takes with it is no fault of the units.
                name,
                crashed=not has_lost_device,
                death=death,
            ),
        )
        self._death_record.note(death, pid)
        if self._metrics is not None:
            self._metrics.child_died(death.cause)

    def _end_for_lost_device(self, error: DeviceLost) -> None:
        """End this worker now: its child may hang in the driver, and computes nothing that counts.

        Called in the thread of the watch, which a node that cannot end does not outlive.
        """
        log.critical("this worker ends: %s", error)
        log_and_continue("the drain flag is not raised", lambda: self._drain.raise_(error))
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = monotonic() + LOST_END_S
        while monotonic() < deadline:
            _end_children()  # Celery may start another meanwhile
            sleep(_LOST_LOOK_S)
        log.critical("this worker did not end within %g s, and is ended", LOST_END_S)
        os._exit(error.exit_status)

    def _begin_drain(self) -> None:
        log_and_continue("the drain flag is not raised", self._drain.raise_)
        self._reconciler.request_stop()
        self._inbox.request_stop()
        self._orders.request_stop()
        log.info("draining worker=%s", self._identity.name)


def _log_stacks(pid: int, stacks: Sequence[ThreadStack]) -> None:
    """Log where the threads of a child stood, first the one that worked."""
    for stack in stacks[:1]:
        log.error("stack of pid=%d thread=%s: %s", pid, stack.name, one_line(stack.frames))
    # Not as errors: of those alike, a log takes few a minute.
    for stack in stacks[1:MAX_STACKS]:
        log.info("stack of pid=%d thread=%s: %s", pid, stack.name, one_line(stack.frames))
    if len(stacks) > MAX_STACKS:
        log.info("stack of pid=%d: %d more threads", pid, len(stacks) - MAX_STACKS)


def _metrics(settings: Settings, identity: Identity, channel: Channel) -> "MetricsEndpoint | None":
    """Return what serves the metrics; None without a port. Raises InvalidSettings."""
    if not settings.worker_metrics_port:
        return None
    try:
        from seqd.worker.metrics import MetricsEndpoint
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            "SEQD_WORKER_METRICS_PORT needs prometheus-client, which is not installed: "
            "pip install 'seqd[exporter]'"
        ) from error
    return MetricsEndpoint(settings, identity, channel)


def _listener(app: Celery, identity: Identity, routes: tuple[str, ...]) -> Listener:
    return Listener(
        app=app,
        hostname=identity.name,
        queues=[wakeup_queue(route) for route in routes],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
        quiet=True,
    )


def _end_children() -> None:
    """End a child that Celery left behind, as it does when it is stopped while it starts."""
    for child in active_children():
        os.kill(child.pid, signal.SIGKILL)


def _set_environment(settings: Settings, identity: Identity) -> None:
    """Pin the device before the child exists, and name the worker to the child."""
    os.environ.update(identity.slot.environment())
    os.environ.update(
        # billiard starts the child by `python -c`, which looks into the working folder first.
        PYTHONSAFEPATH="1",
        SEQD_REDIS_URL=settings.redis_url or "",
        SEQD_SLOT=identity.slot.name,
        SEQD_WORKER=identity.name,
        SEQD_SERVES=",".join(settings.serves),
        SEQD_DEVICE="" if identity.slot.gpu is None else identity.slot.gpu.written(),
    )
    why_not = keep_kernels(settings.data_dir)
    if why_not:
        log.warning("compiled kernels are not kept, so each start compiles them: %s", why_not)
    for name in ROOTS:
        if (roots := getattr(settings, name)) is not None:
            os.environ[f"SEQD_{name.upper()}"] = os.pathsep.join(map(str, roots))


def _check_semaphores() -> None:
    """Raise InvalidSettings where no semaphore can be made, which a parent and its child share."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        raise InvalidSettings(
            f"No semaphore can be made here ({error.strerror}): a worker's processes share some "
            "in /dev/shm. Mount a tmpfs there; Podman does unless told --read-only-tmpfs=false"
        ) from error


def start_line(identity: Identity, settings: Settings, registry: Registry) -> str:
    """Return the first line of the log: who a worker is, what it serves, and from where."""
    slot, redis = identity.slot, settings.redis_url or ""
    fields = {
        "worker": identity.name,
        "slot": slot.name,
        "host": identity.host,
        "device": "cpu" if slot.gpu is None else f"{slot.gpu.name}({slot.gpu.uuid})",
        "threads": slot.threads,
        "tasks": ",".join(slot.tasks),
        "seqd": __version__,
        "python": platform.python_version(),
        "plugins": _plugins(registry),
        "serves": ",".join(settings.serves or ()) or "all",
        "store": settings.store_url or settings.store_dir,
        "redis": without_password(redis),
        "prefix": settings.prefix,
        "data_dir": settings.data_dir,
        "log": settings.log_format,
    }
    return f"worker starts: {' '.join(f'{name}={value}' for name, value in fields.items())}"


def _plugins(registry: Registry) -> str:
    """Return the plugins with their versions, those that are not ready with their state."""
    named = (
        f"{one.name}@{one.version}" + ("" if one.state is PluginState.READY else f"({one.state})")
        for one in registry.statuses
    )
    return ",".join(named) or "none"
