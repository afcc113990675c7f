"""Watchdog of the embedded Redis: starts it again when it has died, and ends it when it hangs.

Its clients connect again by themselves, since port, password and file stay. What it had
acknowledged comes back: it hands each write to the operating system before it answers, so a
killed process loses nothing, and a machine that goes down a second at most.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic

from seqd.errors import SeqdError
from seqd.local.child import deaths_in_a_row, end_in_words, restart_wait_s
from seqd.local.redis_server import Answer, EmbeddedServer

log = logging.getLogger(__name__)

#: Seconds between two questions to a server that answers.
ASK_EVERY_S = 1.0

#: Seconds without any answer after which that is reported.
SILENT_S = 10.0

#: Seconds without any answer after which the process is killed. No script of the ledger and no
#: rewrite of the file holds a server up for so long; a slow disk may, for less.
HUNG_S = 60.0


class ServerEvent(StrEnum):
    """What happened to the embedded server."""

    DIED = "died"
    """Its process ended; another follows."""
    FAILED = "failed"
    """It could not be started, or ended before it answered; it is tried again."""
    READY = "ready"
    """It answers, after it had died or been silent."""
    SILENT = "silent"
    """It runs and answers nothing."""


@dataclass(frozen=True, slots=True)
class ServerChange:
    """One thing that happened to the embedded server."""

    event: ServerEvent
    pid: int
    log: Path
    detail: str


class RedisWatchdog:
    """Looks after a server that has been started. Called from the thread that started it.

    The first death is answered at once, the ones that follow it after `restart_wait_s`,
    until the server has lived long enough. It is tried for ever: nothing else can bring the jobs
    back.
    """

    def __init__(
        self,
        server: EmbeddedServer,
        on_change: Callable[[ServerChange], None],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._server = server
        self._on_change = on_change
        self._clock = clock
        now_s = clock()
        self._ready_since_s: float | None = now_s
        self._heard_s = self._ask_at_s = now_s
        #: Since when it has been away, by death or silence.
        self._away_since_s: float | None = None
        self._deaths_in_a_row = 0
        #: When to start it again; None while a process runs.
        self._due_s: float | None = None

    @property
    def is_up(self) -> bool:
        """True while it answers, as far as is known."""
        return self._away_since_s is None

    def look(self) -> None:
        """Do what is due; takes less than a second. Raises nothing that the server does."""
        now_s = self._clock()
        if self._due_s is not None:
            if now_s >= self._due_s:
                self._start()
        elif (status := self._server.exit_status()) is not None:
            self._note_end(status)
        elif now_s >= self._ask_at_s:
            try:
                self._server.rotate_log()
            except OSError as error:
                log.warning("%s could not be set aside: %s", self._server.log, error)
            self._ask()

    def _note_end(self, status: int) -> None:
        how = end_in_words(status)
        if self._ready_since_s is None:
            reason = " ".join(self._server.log_tail(1))
            self._try_later(ServerEvent.FAILED, f"{how} before it answered: {reason}")
        else:
            self._try_later(ServerEvent.DIED, how)

    def _try_later(self, event: ServerEvent, why: str) -> None:
        now_s = self._clock()
        lived_s = 0.0 if self._ready_since_s is None else now_s - self._ready_since_s
        deaths = deaths_in_a_row(self._deaths_in_a_row, lived_s)
        wait_s = 0.0 if deaths == 1 else restart_wait_s(deaths - 1)
        self._deaths_in_a_row = deaths
        self._ready_since_s = None
        self._away_since_s = self._away_since_s or now_s
        self._due_s = now_s + wait_s
        when = f"in {wait_s:g} s" if wait_s else "now"
        self._tell(event, f"{why}; starts again {when}")
        if not wait_s:
            self._start()

    def _start(self) -> None:
        self._due_s = None
        self._heard_s = self._ask_at_s = self._clock()
        try:
            self._server.launch()
        except (OSError, SeqdError) as error:
            self._try_later(ServerEvent.FAILED, str(error))

    def _ask(self) -> None:
        answer = self._server.answer()
        now_s = self._clock()
        if answer is not Answer.NONE:
            self._heard_s = now_s
        if answer is Answer.READY or self._ready_since_s is not None:
            self._ask_at_s = now_s + ASK_EVERY_S
        if answer is Answer.READY:
            self._ready_since_s = self._ready_since_s or now_s
            if self._away_since_s is not None:
                away_s, self._away_since_s = now_s - self._away_since_s, None
                self._tell(ServerEvent.READY, f"away for {away_s:.1f} s")
        elif now_s - self._heard_s >= SILENT_S and self.is_up:
            self._away_since_s = self._heard_s
            self._tell(
                ServerEvent.SILENT,
                f"no answer for {SILENT_S:g} s; killed and started again after {HUNG_S:g} s",
            )
        elif now_s - self._heard_s >= HUNG_S:
            self._server.kill()
            self._try_later(ServerEvent.DIED, f"no answer for {HUNG_S:g} s, so it was killed")

    def _tell(self, event: ServerEvent, detail: str) -> None:
        change = ServerChange(event, self._server.pid, self._server.log, detail)
        self._note_in_log(change)
        self._on_change(change)

    def _note_in_log(self, change: ServerChange) -> None:
        """Add a line to the server's log, where its own lines cannot tell of a SIGKILL."""
        now = datetime.now(UTC).strftime("%d %b %Y %H:%M:%S")
        try:
            with change.log.open("a", encoding="utf-8") as file:
                file.write(f"{change.pid}:seqd {now} # {change.event}: {change.detail}\n")
        except OSError as error:
            log.warning("%s could not be written: %s", change.log, error)
