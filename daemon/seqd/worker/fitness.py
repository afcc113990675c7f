"""What this worker can run now: which versions of its models, and what it cannot run and why.

A version is taken to be fit while it is in the store, until it cannot be loaded or its plugin
raises for all that it is given. Then the worker leaves its queue, says so in its status, tries it
again after a back-off, and comes back once that succeeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import RLock
from time import monotonic

from seqd.errors import wire_text
from seqd.kinds import TRAIN
from seqd.models.model_records import Signature
from seqd.models.store import ModelStore
from seqd.models.stored_versions import STARTER_VERSION
from seqd_schemas import (
    MAX_UNFIT,
    MAX_VERSIONS,
    UnfitCode,
    UnfitVersion,
    queues_of_model,
)

#: Seconds for which the versions in the store are not listed again while work goes on: listing
#: takes 50 us a route. An idle worker lists them at each wakeup.
RESCAN_S = 1.0

#: Seconds until what failed is tried again; doubles with each failure, up to the longest wait.
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0

#: A version of a model; None for its trainings.
Key = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something that cannot be run. Times are on the monotonic clock."""

    code: UnfitCode
    message: str
    since_s: float
    due_s: float


class Fitness:
    """What one worker can run now. Used by the thread that works and the one that publishes."""

    def __init__(
        self,
        routes: Sequence[str],
        store: ModelStore,
        is_loaded: Callable[[str, int], bool] = lambda name, version: False,
        is_served: Callable[[str], bool] = lambda name: True,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """What `is_loaded` can be run while the store is away.

        The items of a model that is not `is_served` are left to others; trainings are not.
        """
        self._store = store
        self._routes = tuple(routes)
        self._is_loaded = is_loaded
        self._is_served = is_served
        self._clock = clock
        self._plugins = {plugin for _, plugin in map(_split, routes)}
        #: The models that are made with those, each with its own.
        self._models: dict[str, str] = {}
        self._lock = RLock()
        self._versions: dict[str, tuple[int, ...]] = {}
        #: What changes with what each model serves: who edits them by hand publishes nothing.
        self._serving: list[tuple[Signature, ...]] = []
        #: Versions of each model that are about to go: work on them is done, no new job gets one.
        self._retiring: dict[str, frozenset[int]] = {}
        #: True until `refresh` has said so.
        self._has_changed = False
        #: Folder of each model whose versions were there and went away with it.
        self._away: dict[str, _Entry] = {}
        self._unfit: dict[Key, _Entry] = {}
        #: Failures in a row, kept until something succeeds.
        self._failures: dict[Key, int] = {}
        #: Both as they are now; None when something has changed.
        self._queues: tuple[str, ...] | None = None
        self._fit_versions: dict[str, tuple[int, ...]] | None = None
        self._listed_s = float("-inf")
        self._publish: Callable[[], object] = lambda: None
        self.refresh(0.0)

    def on_change(self, publish: Callable[[], object]) -> None:
        """Have `publish` called when something has become unfit, or fit again."""
        self._publish = publish

    def refresh(self, max_age_s: float = RESCAN_S) -> bool:
        """List the store's versions if that was not done lately.

        True where they have changed since the last call, or their labels have.
        """
        with self._lock:
            self._look(max_age_s)
            has_changed, self._has_changed = self._has_changed, False
            return has_changed

    def queues(self) -> tuple[str, ...]:
        """Return the queues that can be claimed from: of routes, and of versions that are fit."""
        with self._lock:
            self._look(RESCAN_S)
            if self._queues is None or self._unfit:  # trainings come back when they are due
                self._queues = tuple(self._queues_now())
            return self._queues

    def placement_has_changed(self) -> None:
        """Ask anew which models are served here."""
        with self._lock:
            self._forget()

    def left_out(self) -> tuple[str, ...]:
        """Return the models that could be run and whose items are left to others, sorted."""
        with self._lock:
            return tuple(sorted(name for name in self._models if not self._is_served(name)))

    def is_away(self) -> bool:
        """Return True while versions that were there have gone with their folder."""
        return bool(self._away)

    def is_away_now(self) -> bool:
        """Return as `is_away` does, by a look at the folders at this moment."""
        with self._lock:
            self._look(0.0)
            return bool(self._away)

    def versions(self) -> Mapping[str, tuple[int, ...]]:
        """Return the versions that can be run, by model; of a plugin's own without any, none."""
        with self._lock:
            if self._fit_versions is None or self._away:
                self._fit_versions = {
                    name: self._fit(name)[-MAX_VERSIONS:]
                    for name in self._models
                    if name in self._plugins or self._versions.get(name)
                }
            return self._fit_versions

    def offered(self) -> Mapping[str, Sequence[int]]:
        """Return those of `versions` that new jobs may get: none that is about to go."""
        return {
            name: [one for one in versions if one not in self._retiring.get(name, ())]
            for name, versions in self.versions().items()
        }

    def unfit(self, now_ms: int) -> tuple[UnfitVersion, ...]:
        """Return what cannot be run, the longest unfit first; `now_ms` is the server's time."""
        with self._lock:
            rows = dict(self._unfit)
            for name, entry in self._away.items():
                rows |= {key: entry for key in self._unfit_or_away(name) if key not in rows}
            now_s = self._clock()
        entries = [
            UnfitVersion(
                model=name,
                version=version,
                code=entry.code,
                message=wire_text(entry.message),
                since_ms=max(0, now_ms - int((now_s - entry.since_s) * 1000)),
            )
            for (name, version), entry in rows.items()
        ]
        entries.sort(key=lambda entry: (entry.since_ms, entry.model, entry.version or 0))
        return tuple(entries[:MAX_UNFIT])

    def mark(
        self, name: str, version: int | None, code: UnfitCode, message: str, took_s: float = 0.0
    ) -> float:
        """Leave a queue; return the seconds until it is tried again.

        A try that took `took_s` is not repeated before ten times that, so that it costs the
        worker's other models little.
        """
        key = name, version
        with self._lock:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            wait_s = min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 30), LONGEST_WAIT_S)
            wait_s = max(wait_s, 10 * took_s)
            earlier = self._unfit.get(key)
            now_s = self._clock()
            since_s = now_s if earlier is None else earlier.since_s
            self._unfit[key] = _Entry(code, message, since_s, now_s + wait_s)
            self._forget()
        self._publish()
        return wait_s

    def failures(self, name: str, version: int | None) -> int:
        """Return how often in a row a version has failed, its tries among it."""
        return self._failures.get((name, version), 0)

    def reopen(self, name: str, version: int | None) -> None:
        """Come back to a queue, on trial: the next failure waits longer, until one succeeds."""
        with self._lock:
            self._unfit.pop((name, version), None)
            self._forget()
        self._publish()

    def worked(self, name: str, version: int | None) -> None:
        """Forget what failed of a version: it works."""
        if not self._failures:  # nearly always, and this is asked after each claim
            return
        with self._lock:
            self._failures.pop((name, version), None)
            was_unfit = self._unfit.pop((name, version), None) is not None
            self._forget()
        if was_unfit:
            self._publish()

    def due(self) -> list[tuple[str, int]]:
        """Return the versions that are to be tried again now."""
        if not self._unfit:
            return []
        with self._lock:
            now_s = self._clock()
            return [
                (name, version)
                for (name, version), entry in self._unfit.items()
                if version is not None and entry.due_s <= now_s
            ]

    def code_of(self, name: str, version: int) -> UnfitCode | None:
        """Return why a version is unfit; None for one that is not."""
        entry = self._unfit.get((name, version))
        return None if entry is None else entry.code

    def _look(self, max_age_s: float) -> None:
        now_s = self._clock()
        if now_s - self._listed_s < max_age_s:
            return
        self._listed_s = now_s
        before = dict(self._versions), set(self._away), self._serving, dict(self._retiring)
        self._find_models()
        for name in self._models:
            self._list(name, now_s)
        self._serving = [self._store.serving_signature(name) for name in self._models]
        self._retiring = {name: self._store.retiring(name) for name in self._models}
        if before != (self._versions, set(self._away), self._serving, self._retiring):
            self._has_changed = True
            self._forget()

    def _find_models(self) -> None:
        try:
            found = self._store.made_with(self._plugins)
        except OSError:  # `_list` says so of each model
            found = {}
        # One whose folder is away is known still: it comes back.
        known = {name: one for name, one in self._models.items() if self._versions.get(name)}
        self._models = dict(sorted({**known, **found}.items()))

    def _forget(self) -> None:
        self._queues = self._fit_versions = None

    def _list(self, name: str, now_s: float) -> None:
        before = self._versions.get(name, ())
        try:
            found = tuple(self._store.numbers(name))
            is_away = before[-1:] > (STARTER_VERSION,) and not self._store.has_folder(name)
            why = "is not there any more"
        except OSError as error:
            found, is_away, why = (), True, f"cannot be read: {error.strerror}"
        if not is_away:
            self._versions[name] = found
            self._away.pop(name, None)
            for one, version in list(self._unfit):
                # A worker that lacks a version just does not list it.
                if one == name and version is not None and version not in found:
                    del self._unfit[one, version]
        elif name not in self._away:
            self._versions.setdefault(name, found)
            message = f"{self._store.folder_of(name)} {why}, and all versions in it"
            self._away[name] = _Entry(UnfitCode.UNREADABLE, message, now_s, now_s)

    def _fit(self, name: str) -> tuple[int, ...]:
        if self._device_is_sick():
            return ()
        barred = self._unfit_or_away(name)
        return tuple(one for one in self._versions.get(name, ()) if (name, one) not in barred)

    def _unfit_or_away(self, name: str) -> set[Key]:
        away = self._versions.get(name, ()) if name in self._away else ()
        return set(self._unfit) | {
            (name, one) for one in away if one != STARTER_VERSION and not self._is_loaded(name, one)
        }

    def _device_is_sick(self) -> bool:
        return any(entry.code is UnfitCode.DEVICE_FAULT for entry in self._unfit.values())

    def _queues_now(self) -> list[str]:
        if self._device_is_sick():
            return []
        now_s = self._clock()
        queues = []
        for route in self._routes:
            task, plugin = _split(route)
            if task == TRAIN:
                closed = self._unfit.get((plugin, None))
                if closed is None or closed.due_s <= now_s:
                    queues.append(route)
                continue
            if self._is_served(plugin):
                queues.append(route)
            for name, made_with in self._models.items():
                if made_with == plugin and self._is_served(name):
                    queues += queues_of_model(route, name, self._fit(name))
        return queues


def _split(route: str) -> tuple[str, str]:
    task, _, name = route.partition(".")
    return task, name
