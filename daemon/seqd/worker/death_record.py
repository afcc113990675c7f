"""What a worker tells of the deaths of its children, in its record.

The child publishes that record, and the parent knows the deaths: it puts them into a file, which
the next child reads, and into the record, in case that child comes late or never.
"""

import logging
import os
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from time import time

from pydantic import BaseModel, ConfigDict, ValidationError

from seqd.errors import REDIS_ERRORS, wire_text
from seqd.ledger import Ledger
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.units import Death
from seqd.local.process_states import process_state
from seqd.local.run_files import DEATHS, RunFolder
from seqd.serving import RECENT_MS, place_of
from seqd.settings import Settings
from seqd.worker.context import Identity, status_without_child
from seqd.worker.logs import try_now
from seqd_schemas import (
    MAX_DEATH_CHARS,
    MAX_DEATHS,
    ChildDeath,
    DeathCause,
    PluginStatus,
    WorkerState,
    WorkerStatus,
)

log = logging.getLogger(__name__)


class Deaths(BaseModel):
    """The last deaths, and how many there were, as the file has them."""

    model_config = ConfigDict(frozen=True)

    deaths: tuple[ChildDeath, ...] = ()
    counts: dict[DeathCause, int] = {}


class DeathsFile:
    """The file, for the parent that writes it and the child that reads it."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._settings = settings
        self._worker = worker
        self._path = RunFolder(settings.data_dir).file(worker, DEATHS)
        self._read: Deaths | None = None

    def write(self, deaths: Deaths) -> None:
        """Put them there; a disk that has no room is logged."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(deaths.model_dump_json(), encoding="utf-8")
        except OSError as error:
            log.warning("the next child will not tell of deaths before it: %s", error)

    def deaths(self) -> Deaths:
        """Return them, as they were when this process first asked; none where there is no file.

        It changes with the death of the process that asks.
        """
        if self._read is None:
            try:
                self._read = Deaths.model_validate_json(self._path.read_bytes())
            except (OSError, ValidationError):  # nobody has died, or a full disk had no room
                self._read = Deaths()
        return self._read

    def told(self, now_ms: int) -> tuple[ChildDeath, ...]:
        """Return the last deaths, with those that the worker before has left in this place by now.

        A worker that is replaced ends after the next one has started, and its children may die
        until then.
        """
        left = DeathsFile(self._settings, place_of(self._worker)).deaths().deaths
        recent = (one for one in left if one.at_ms > now_ms - RECENT_MS)
        return _last([*recent, *self.deaths().deaths])

    def remove(self) -> None:
        """Remove it, at boot."""
        self._path.unlink(missing_ok=True)

    def rename_to(self, other: "DeathsFile") -> None:
        """Give it the name of another, in whose place it is; where there is none, do nothing."""
        with suppress(OSError):  # nobody has died
            self._path.replace(other._path)


class DeathRecord:
    """The deaths of a worker's children since it started, in its parent."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        identity: Identity,
        plugins: tuple[PluginStatus, ...],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._identity = identity
        self._plugins = plugins
        self._file = DeathsFile(settings, identity.name)
        #: What a worker leaves that ends in order, under a name that the next one here knows.
        self._kept = DeathsFile(settings, place_of(identity.name))
        self._deaths = deque[ChildDeath](maxlen=MAX_DEATHS)
        self._counts = Counter[DeathCause]()

    def note(self, death: Death, pid: int) -> None:
        """Add a death, for the next child to publish; publish it as well."""
        now_ms = self._now_ms()
        message = wire_text(death.message)
        if len(message) > MAX_DEATH_CHARS:
            message = f"{message[: MAX_DEATH_CHARS - 1]}…"
        self._deaths.append(
            ChildDeath(at_ms=now_ms, cause=death.cause, message=message, pid=max(0, pid))
        )
        self._counts[death.cause] += 1
        told = Deaths(deaths=tuple(self._deaths), counts=dict(self._counts))
        self._file.write(told)
        try_now("a death is not published", lambda: self._publish(told, now_ms))

    def take_over(self, *, was_asked_to_end: bool) -> None:
        """Take over what is known of the deaths of workers that were here before.

        One that did not leave the fleet, and had not been asked to end, has died as a whole.
        """
        fleet, name = self._ledger.fleet, self._identity.name
        for last in filter(self._is_gone, fleet.last_of_place(name)):
            self._deaths.extend(last.deaths)
            if not was_asked_to_end:
                self._deaths.append(_killed(last))
            if last.worker != name:
                fleet.forget_worker(last.worker)

    def begin(self) -> None:
        """Have the file say what was taken over, and what the one before kept, at boot.

        An orderly restart mends no cause of death, so what is of the last hour goes on to be told.
        """
        since_ms = self._now_ms() - RECENT_MS
        known = [*self._kept.deaths().deaths, *self._deaths]
        self._deaths = deque(_last(one for one in known if one.at_ms > since_ms), MAX_DEATHS)
        self._file.remove()
        if self._deaths:
            self._file.write(Deaths(deaths=tuple(self._deaths)))

    def _is_gone(self, last: WorkerStatus) -> bool:
        """Return True for a worker of this place that is no more.

        One of our name is, but for what this process has published. One of another name may be
        about to make room: its process tells.
        """
        if last.worker == self._identity.name:
            return last.pid != os.getpid()
        is_here = last.host == self._identity.host
        state = process_state(last.pid, last.pid_start_ticks) if is_here else None
        return state is not None and not state.is_there

    def keep(self) -> None:
        """Leave the file to the next worker here, when the node has stopped."""
        self._file.rename_to(self._kept)

    def _publish(self, told: Deaths, now_ms: int) -> None:
        fleet, name = self._ledger.fleet, self._identity.name
        known = next((one for one in fleet.workers() if one.worker == name), None)
        # None where its children have died before one could publish it.
        status = known or status_without_child(
            self._identity, self._settings, self._plugins, now_ms
        )
        is_starting = status.state is WorkerState.STARTING
        update = {
            "deaths": told.deaths,
            "death_counts": told.counts,
            "state": WorkerState.STARTING,
            "started_at_ms": status.started_at_ms if is_starting else now_ms,
            "models_loaded": (),
            "loaded_bytes": {},
            "stopped_pid": None,
            "seen_at_ms": now_ms,
        }
        fleet.publish_worker(status.model_copy(update=update))

    def _now_ms(self) -> int:
        """Return the time on the server's clock; on this machine's while Redis is away."""
        try:
            with waiting_at_most(0):
                return self._ledger.fleet.now_ms()
        except REDIS_ERRORS:
            return int(time() * 1_000)


def _last(deaths: Iterable[ChildDeath]) -> tuple[ChildDeath, ...]:
    """Return the last deaths, each once, the latest last."""
    known = {one.model_dump_json(): one for one in deaths}
    return tuple(sorted(known.values(), key=lambda one: one.at_ms))[-MAX_DEATHS:]


def _killed(last: WorkerStatus) -> ChildDeath:
    at = datetime.fromtimestamp(last.seen_at_ms / 1000, UTC)
    return ChildDeath(
        at_ms=last.seen_at_ms,
        cause=DeathCause.WORKER_KILLED,
        message=f"The parent process of {last.worker} ended without an order after "
        f"{at:%H:%M:%S} UTC, when it was last heard of.",
        pid=last.pid,
    )
