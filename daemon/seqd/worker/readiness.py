"""Writes down what a child can run, for probes: its state, its loaded models, and what is unfit.

The file is written when its content changes. What a name means in the store is looked up when the
store has changed, not at each write, for the labels are on a disk that may be slow.
"""

import logging
import os
from threading import Lock
from time import monotonic

from seqd.errors import SeqdError
from seqd.local.readiness import ModelReadiness, Readiness, Unfitness, write_readiness
from seqd.local.run_files import READINESS, RunFolder
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd_schemas import WorkerState

log = logging.getLogger(__name__)

#: Seconds between two lines in the log on a file that cannot be written.
WARN_EVERY_S = 60.0


class ReadinessNotes:
    """The file of one child. Used by the thread that works and the one that publishes."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._path = RunFolder(settings.data_dir).file(context.identity.name, READINESS)
        self._lock = Lock()
        self._written: Readiness | None = None
        self._warned_s = -WARN_EVERY_S
        self._serves, self._trains = _models_of(context.routes)
        #: The version that each name means; None where the store has none, or damaged labels.
        self._in_service: dict[str, int | None] = {}
        #: The version of each required model that was loaded, or tried, last.
        self._warmed: dict[str, int | None] = {}

    def serving_order(self) -> list[str]:
        """Return the models that the slot serves, those that are required at the end.

        What is loaded last is the last to be unloaded when memory is short.
        """
        required = set(self._settings.required_models)
        return sorted(self._serves, key=lambda name: (name in required, name))

    def look(self) -> None:
        """Look up again what the names mean in the store."""
        for name in (*self._serves, *self._trains):
            try:
                self._in_service[name] = self._context.store.resolve(name)[1]
            except (SeqdError, OSError):  # its status says why it is unfit
                self._in_service[name] = None

    def newly_in_service(self) -> list[str]:
        """Return the required models whose version in service has not been loaded yet, once each.

        What could not be loaded is unfit, and tried again as such; what had to make room for
        others is not loaded again here, for they would take turns.
        """
        new = []
        for name in self._settings.required_models:
            version = self._in_service.get(name)
            if name in self._serves and version is not None and self._warmed.get(name) != version:
                self._warmed[name] = version
                if not self._context.cache.holds(name, version):
                    new.append(name)
        return new

    def has_new(self) -> bool:
        """Return True when a required model has another version in service than was loaded."""
        return any(
            self._in_service.get(name) not in (None, self._warmed.get(name))
            for name in self._settings.required_models
            if name in self._serves
        )

    def cold(self) -> list[str]:
        """Return the required models that the slot serves and whose version is not in memory."""
        return [
            f"{name}@{version}"
            for name, version in self._warmed.items()
            if version is not None and not self._context.cache.holds(name, version)
        ]

    def write(self, state: WorkerState) -> None:
        """Write the file if it would change. Raises nothing: what fails is logged once a minute."""
        readiness = self._now(state)
        with self._lock:
            if readiness == self._written and self._path.exists():
                return
            try:
                write_readiness(self._path, readiness)
                self._written = readiness
            except OSError as error:
                self._written = None
                if monotonic() - self._warned_s >= WARN_EVERY_S:
                    self._warned_s = monotonic()
                    log.warning(
                        "readiness not written to %s: %s; probes say that it is not ready, until "
                        "the next heartbeat that can write it",
                        self._path,
                        error,
                    )

    def _now(self, state: WorkerState) -> Readiness:
        loaded: dict[str, list[int]] = {}
        for ref in self._context.cache.names():
            name, _, version = ref.partition("@")
            loaded.setdefault(name, []).append(int(version))
        return Readiness(
            pid=os.getpid(),
            state=(WorkerState.READY if state is WorkerState.BUSY else state).value,
            lease_s=self._settings.lease_s,
            required=self._settings.required_models,
            models={
                name: ModelReadiness(
                    serves=name in self._serves,
                    trains=name in self._trains,
                    in_service=self._in_service.get(name),
                    loaded=tuple(sorted(loaded.get(name, ()))),
                )
                for name in sorted(self._serves | self._trains)
            },
            unfit=tuple(
                Unfitness(one.model, one.version, one.code, one.message)
                for one in self._context.fitness.unfit(0)
            ),
        )


def _models_of(routes: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Return the models of the routes: those that serve, and those that are trained."""
    serves: set[str] = set()
    trains: set[str] = set()
    for route in routes:
        task, _, name = route.partition(".")
        (trains if task == "train" else serves).add(name)
    return serves, trains
