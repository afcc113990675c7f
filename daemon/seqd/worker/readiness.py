"""What a child says of itself: to probes by a file, and to the fleet when its record has changed.

The file is written when its content changes. What a name means in the store is looked up when the
store has changed, not at each write, for the labels are on a disk that may be slow.
"""

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from threading import Event, Lock, Thread

from seqd.errors import SeqdError
from seqd.kinds import TRAIN
from seqd.local.probes import readiness_said
from seqd.local.run_files import READINESS, Readiness, RunFolder, write_readiness
from seqd.models.model_records import CANDIDATE
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.leases import CLOSE_S
from seqd.worker.logs import try_now
from seqd_schemas import ModelReference, UnfitCode, WorkerState

log = logging.getLogger(__name__)


class ReadinessNotes:
    """The file of one child. Used by the thread that works and the one that publishes."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._path = RunFolder(settings.data_dir).file(context.identity.name, READINESS)
        self._lock = Lock()
        self._written: Readiness | None = None
        routes = [route.partition(".") for route in context.routes]
        #: The plugins' models of the routes: those that serve, and those that are trained.
        self._plugins_served = {name for task, _, name in routes if task != TRAIN}
        self._trains = {name for task, _, name in routes if task == TRAIN}
        #: The models that the slot serves.
        self._serves = set(self._plugins_served)
        #: The version that each name means; None where the store has none, or damaged labels.
        self._in_service: dict[str, int | None] = {}
        #: The version that the label `candidate` of a model stands for, where it has one.
        self._candidates: dict[str, int] = {}
        #: The version that was loaded, or tried, last for what is kept warm: `topics`, the version
        #: in service, or `topics@candidate`, which is about to follow it.
        self._warmed: dict[str, int] = {}
        #: Looks, and looks and loads when nothing was new.
        self._looks = 0
        self._settled: tuple[int, int] | None = None

    def loading_order(self, in_use: Collection[str] = ()) -> list[str]:
        """Return the models to load at the start, those that are kept at the end.

        Beside those the plugins' own, which are there from the first day, and of the others those
        that are `in_use`. What is loaded last is the last to be unloaded when memory is short.
        """
        is_kept = self._context.placement.is_kept
        due = [
            name
            for name in self._serving()
            if name in self._plugins_served or name in in_use or is_kept(name)
        ]
        return sorted(due, key=lambda name: (is_kept(name), name))

    def version_in_service(self, name: str) -> int | None:
        """Return the version that a model's bare name means; None where it has none."""
        return self._in_service.get(name)

    def placement_has_changed(self) -> None:
        """Forget what was loaded of models that are not served here any more."""
        self._settled = None
        serves = self._context.placement.serves
        for ref in list(self._warmed):
            if not serves(ModelReference.parse(ref).name):
                del self._warmed[ref]

    def _serving(self) -> set[str]:
        return {name for name in self._serves if self._context.placement.serves(name)}

    def look(self) -> None:
        """Look up again what the names mean in the store."""
        with suppress(OSError):  # its status says that the store is away
            self._serves = set(self._context.store.made_with(self._plugins_served))
        for name in (*self._serves, *self._trains):
            self._in_service[name] = self._meant(name)
            candidate = self._meant(f"{name}@{CANDIDATE}") if name in self._serves else None
            self._candidates.pop(name, None)
            if candidate is None:  # when there is one again, it may have been unloaded meanwhile
                self._warmed.pop(f"{name}@{CANDIDATE}", None)
            else:
                self._candidates[name] = candidate
        self._looks += 1  # behind all of it: other threads ask `has_new` meanwhile

    def note_warmed_up(self) -> None:
        """Note that what is in service has been loaded, or tried; no candidate has been yet."""
        kept = self._kept_warm().items()
        self._warmed |= {ref: one for ref, one in kept if not ref.endswith(f"@{CANDIDATE}")}

    def newly_in_service(self) -> list[str]:
        """Return what is to be kept warm and has not been loaded yet, `name@version`, once each.

        What could not be loaded is unfit, and tried again as such; what had to make room for
        others is not loaded again here, for they would take turns.
        """
        new = []
        for ref, version in self._kept_warm().items():
            if self._warmed.get(ref) != version:
                self._warmed[ref] = version
                name = ModelReference.parse(ref).name
                if not self._context.cache.holds(name, version):
                    new.append(f"{name}@{version}")
        return new

    def has_new(self) -> bool:
        """Return True when something is to be kept warm that has not been loaded, nor tried.

        Asked at each claim; without another look or load there is nothing new.
        """
        now = self._looks, self._context.cache.loads
        if now == self._settled:
            return False
        has_new = any(self._warmed.get(ref) != one for ref, one in self._kept_warm().items())
        self._settled = None if has_new else now
        return has_new

    def cold(self) -> list[str]:
        """Return the models that are kept here and whose version is not in memory."""
        return [
            f"{name}@{version}"
            for name, version in list(self._warmed.items())
            if self._context.placement.is_kept(ModelReference.parse(name).name)
            and not self._context.cache.holds(name, version)
        ]

    def _kept_warm(self) -> dict[str, int]:
        """Return the versions whose first item is not to wait until they are loaded.

        Those in service, and those about to be, of the models that are kept here and of those of
        which a version is in memory now.
        """
        loaded = {ModelReference.parse(ref).name for ref in self._context.cache.names()}
        kept: dict[str, int] = {}
        for name in self._serving():
            if name not in loaded and not self._context.placement.is_kept(name):
                continue
            version, candidate = self._in_service.get(name), self._candidates.get(name)
            if version is not None:
                kept[name] = version
            if candidate is not None:
                kept[f"{name}@{CANDIDATE}"] = candidate
        return kept

    def _meant(self, ref: str) -> int | None:
        try:
            return self._context.store.resolve(ref)[1]
        except (SeqdError, OSError):  # its status says why it is unfit
            return None

    def write(self, state: str) -> None:
        """Write the file if it would change. Raises nothing: what fails is logged."""
        readiness = self._now(state)
        with self._lock:
            if readiness == self._written and self._path.exists():
                return
            try:
                is_ready = readiness_said("", readiness).is_yes
                write_readiness(self._path, readiness, is_ready=is_ready)
                self._written = readiness
            except OSError as error:
                self._written = None
                log.warning(
                    "readiness not written to %s: %s; probes say that it is not ready, until the "
                    "next heartbeat that can write it",
                    self._path,
                    error,
                )

    def _now(self, state: str) -> Readiness:
        unfit = {(one.model, one.version): one for one in self._context.fitness.unfit(0)}
        sick = next((one for one in unfit.values() if one.code is UnfitCode.DEVICE_FAULT), None)
        loaded = set(self._context.cache.names())
        why_not = ""
        if state not in (WorkerState.READY, WorkerState.BUSY):
            why_not = f"is {state}; {_told(loaded)}"
        elif sick is not None:
            why_not = f"claims nothing: {sick.message}"
        warm, cold = dict[str, str](), dict[str, str]()
        for name in sorted(self._serves | self._trains):
            serves = name in self._serves and self._context.placement.serves(name)
            version = self._in_service.get(name) if serves else None
            ref = f"{name} (trains)" if not serves else f"{name}@{version}"
            barred = unfit.get((name, version))
            if serves and version is None:
                cold[name] = "its store has no version of it"
            elif barred is not None:
                cold[name] = f"{barred.code}: {barred.message}"
            elif serves and ref not in loaded:
                cold[name] = f"version {version} is not loaded; {_told(loaded)}"
            else:
                warm[name] = ref
        return Readiness(
            lease_s=self._settings.lease_s,
            why_not=why_not,
            required=self._settings.required_models,
            warm=warm,
            cold=cold,
        )


def _told(loaded: Collection[str]) -> str:
    return f"loaded: {', '.join(sorted(loaded)) or 'none'}"


#: Seconds after a change at which it is published, with all that has changed by then.
NEWS_AFTER_S = 0.05


class StateNews:
    """Publishes a worker's record a moment after it has changed: most claims end before.

    A claim of one review takes less time than to publish twice that it is there. Safe to share
    between threads. What cannot be published costs nothing: the next heartbeat has it.
    """

    def __init__(self, publish: Callable[[], None], after_s: float = NEWS_AFTER_S) -> None:
        """`publish` writes the worker's record as it is now."""
        self._publish = publish
        self._after_s = after_s
        self._lock = Lock()
        self._has_changed = Event()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="seqd-news", daemon=True)

    def start(self) -> None:
        """Publish from now on, also what was noted before."""
        self._thread.start()

    def note(self) -> None:
        """Have the worker's record published soon; returns at once."""
        if not self._has_changed.is_set():  # else the thread need not be woken
            self._has_changed.set()

    def publish_now(self) -> None:
        """Publish the worker's record, for who is to find it as it is now."""
        with self._lock:
            self._publish()

    def close(self) -> None:
        """End its thread and wait for that; what has changed by then is not published."""
        self._closed.set()
        self._has_changed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while self._has_changed.wait() and not self._closed.wait(self._after_s):
            self._has_changed.clear()
            try_now("worker status not published", self.publish_now, is_repeated=True)
