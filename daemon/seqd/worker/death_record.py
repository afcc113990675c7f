"""What a worker tells of the deaths of its children, in its record.

The child publishes that record, and the parent knows the deaths: it puts them into a file, which
the next child reads, and into the record, in case that child comes late or never. The file is of
the worker's place, so that the next worker there reads it, too.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
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
    """The last deaths in a place, and how many there were of each worker there."""

    model_config = ConfigDict(frozen=True)

    deaths: tuple[ChildDeath, ...] = ()
    counts_of: dict[str, dict[DeathCause, int]] = {}


#: A name that nobody gave; see `Slot.new_worker_name`. A given one may end in its host's number.
_MADE = re.compile(r".+@.+-[0-9a-f]{6}")


class DeathsFile:
    """The file of a place, for the parents that write it and the children that read it.

    Workers that somebody has named have one each.
    """

    def __init__(self, settings: Settings, worker: str) -> None:
        whose = place_of(worker) if _MADE.fullmatch(worker) else worker
        self._path = RunFolder(settings.data_dir).file(whose, DEATHS)

    def write(self, deaths: Deaths) -> None:
        """Put them there, in one step; a disk that has no room is logged."""
        draft = self._path.with_name(f"{self._path.name}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(deaths.model_dump_json(), encoding="utf-8")
            draft.replace(self._path)
        except OSError as error:
            log.warning("the next child will not tell of deaths before it: %s", error)

    def deaths(self) -> Deaths:
        """Return them as they are now; none where there is no file.

        A worker that is replaced ends after the next one has started, and its children may die
        until then.
        """
        try:
            return Deaths.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):  # nobody has died, or a full disk had no room
            return Deaths()


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
        #: Those of this process: a full disk may have no room for them.
        self._own: tuple[ChildDeath, ...] = ()
        self._counts = Counter[DeathCause]()

    def note(self, death: Death, pid: int) -> None:
        """Add a death, for the next child to publish; publish it as well."""
        now_ms, name = self._now_ms(), self._identity.name
        message = wire_text(death.message)
        if len(message) > MAX_DEATH_CHARS:
            message = f"{message[: MAX_DEATH_CHARS - 1]}…"
        new = ChildDeath(at_ms=now_ms, cause=death.cause, message=message, pid=max(0, pid))
        self._own = (*self._own, new)[-MAX_DEATHS:]
        self._counts[death.cause] += 1
        known, counts = self._file.deaths(), dict(self._counts)
        last = _last([*known.deaths, *self._own])
        self._file.write(Deaths(deaths=last, counts_of={**known.counts_of, name: counts}))
        try_now("a death is not published", lambda: self._publish(last, counts, now_ms))

    def take_over(self, *, was_asked_to_end: bool) -> None:
        """Take over what is known of the deaths of workers that were here before, at boot.

        An orderly restart mends no cause of death, so what is of the last hour goes on to be told.
        One that did not leave the fleet, and had not been asked to end, has died as a whole.
        """
        fleet, name = self._ledger.fleet, self._identity.name
        known = list(self._file.deaths().deaths)
        for last in filter(self._is_gone, fleet.last_of_place(name)):
            known += last.deaths  # where its file is gone, as with a container
            if not was_asked_to_end:
                known.append(_killed(last))
            if last.worker != name:
                fleet.forget_worker(last.worker)
        since_ms = self._now_ms() - RECENT_MS
        taken = Deaths(deaths=_last(one for one in known if one.at_ms > since_ms))
        if taken != self._file.deaths():
            self._file.write(taken)

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

    def _publish(
        self, deaths: tuple[ChildDeath, ...], counts: Mapping[DeathCause, int], now_ms: int
    ) -> None:
        fleet, name = self._ledger.fleet, self._identity.name
        known = next((one for one in fleet.workers() if one.worker == name), None)
        # None where its children have died before one could publish it.
        status = known or status_without_child(
            self._identity, self._settings, self._plugins, now_ms
        )
        is_starting = status.state is WorkerState.STARTING
        update = {
            "deaths": deaths,
            "death_counts": dict(counts),
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
