"""Outages of Redis: who waits for the end of one, for how long, and what the log says of it.

A restart, a failover, a frozen server and a full one pass by themselves. Each command is sent again
until then, by the retry policy of `connect`, so that whoever reads, waits or commits goes on where
it was and knows nothing of it. An `Outage` says how long that may take. All threads that share a
client share it: an outage has one beginning, one end, and one line in the log for each.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from random import random
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from seqd.log_context import acting_for

if TYPE_CHECKING:
    from seqd.settings import Settings

log = logging.getLogger(__name__)

#: What the log says to do about a right that is missing.
HOW_TO_SEE_RIGHTS = "`seqd redis acl --role worker --check` says which rights are missing"

#: Seconds after which an outage is one: a connection that broke is made anew within less.
SHORTEST_S = 0.5

#: Longest wait between two tries: who waits goes on this soon after the end of an outage.
LONGEST_WAIT_S = 0.5
FIRST_WAIT_S = 0.05

#: Seconds without another refusal after which an outage is over of which nobody tries again what
#: was refused. Reads that succeed are no sign: a replica answers them.
QUIET_S = 5.0

#: The same of a right that was taken away: what a heartbeat alone needs is refused seldom.
QUIET_AFTER_DENIAL_S = 60.0


class Trouble(Enum):
    """Why a command could not be done, where the reason passes by itself."""

    BREAK = "no answer"
    #: A server that answers and takes no writes just now, such as a replica, or loads its data.
    REFUSED = "refused"
    #: No memory, or no disk. It may take long, and whoever waits holds up what could make room.
    FULL = "full"
    #: The user's rights were changed. It lasts until somebody gives them back.
    DENIED = "denied"
    #: The user's password was changed, or the user is gone. It lasts as long.
    LOCKED_OUT = "locked out"


#: What is no outage of the server, but something that was taken away from its user.
_TAKEN_AWAY = (Trouble.DENIED, Trouble.LOCKED_OUT)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a block of `waiting_at_most` allows; nothing is bounded outside of one."""

    deadline: float = inf
    #: Of a command that nothing bounds its policy says how many.
    retries: int = 1_000
    gives_up: Callable[[], bool] = lambda: False


_UNBOUNDED = _Bounds()
_bounds: ContextVar[_Bounds] = ContextVar("seqd_outage_bounds", default=_UNBOUNDED)


@contextmanager
def waiting_at_most(seconds: float, *, retries: int = 1) -> Iterator[None]:
    """Wait for the end of an outage no longer than this, in this thread during the block.

    For steps that are worth less than the time, such as news of a training. A connection that broke
    is made anew all the same, `retries` times; with 0 no command is sent twice.
    """
    outer = _bounds.get()
    deadline = min(monotonic() + seconds, outer.deadline)
    with _bounded(_Bounds(deadline, min(retries, outer.retries), outer.gives_up)):
        yield


@contextmanager
def waiting_unless(gives_up: Callable[[], bool]) -> Iterator[None]:
    """Wait for the end of an outage, in this thread during the block, until `gives_up` is True."""
    with _bounded(replace(_bounds.get(), gives_up=gives_up)):
        yield


@contextmanager
def _bounded(bounds: _Bounds) -> Iterator[None]:
    token = _bounds.set(bounds)
    try:
        yield
    finally:
        _bounds.reset(token)


def seconds_left() -> float | None:
    """Return the seconds that a block of `waiting_at_most` has left; None outside of one."""
    deadline = _bounds.get().deadline
    return None if deadline == inf else deadline - monotonic()


def unbounded_context() -> Context:
    """Return a copy of the context for a task that others share.

    No block bounds its waits, and it acts for nobody.
    """
    context = copy_context()
    context.run(_bounds.set, _UNBOUNDED)
    context.run(acting_for.set, {})
    return context


@dataclass(frozen=True, slots=True)
class GivenUp:
    """When an outage had lasted for so long that somebody gave up, and what was wrong."""

    at: float
    reason: str


class Outage:
    """Bears with the outages of one server. Safe to share between threads."""

    def __init__(
        self,
        *,
        limit_s: float = 0.0,
        full_s: float = 0.0,
        promise: str = "",
        has_answered: bool = False,
        is_proven: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`limit_s` is how long an outage is waited for, `full_s` how long a full server is.

        `promise` goes into the log's line on the beginning of an outage; without one nothing is
        logged. `has_answered` says that the address is known to be right, `is_proven` that a
        connection was there already, if in another process.
        """
        self.limit_s = limit_s
        self.full_s = full_s
        self.clock = clock
        #: Of the server, for the log.
        self.address = ""
        #: False until the first answer: an address without a server may be a wrong one.
        self.has_answered = has_answered
        #: False until the first answer: a certificate that is refused, or a name that no Sentinel
        #: knows, may be a wrong setting. Later somebody mends it elsewhere, and it is waited for.
        self.is_proven = is_proven
        #: Asked before each wait: True ends all waiting, such as when a worker drains.
        self.gives_up: Callable[[], bool] = lambda: False
        #: When it was last given up after its full time.
        self.given_up: GivenUp | None = None
        #: True of who has worked with the rights of its user, and goes on when it has them again.
        self.bears_denial = False
        self._promise = promise
        self._lock = Lock()
        self._since: float | None = None
        self._refused_at = -inf
        self._is_break = True
        self._is_said = False
        self._taken_away: set[Trouble] = set()
        self._quiet_s = QUIET_S

    @property
    def is_on(self) -> bool:
        """True from the first failure to the next success."""
        return self._since is not None

    def seconds(self) -> float:
        """Return for how long there has been no success, 0 without an outage."""
        since = self._since
        return 0.0 if since is None else self.clock() - since

    def begin(self, trouble: Trouble, error: Exception) -> float:
        """Note a failure; return when the outage began, by its clock."""
        with self._lock:
            now = self.clock()
            if self._since is None:
                self._since, self._is_said, self._quiet_s = now, False, QUIET_S
                self._taken_away.clear()
            self._is_break = trouble is Trouble.BREAK
            if not self._is_break:
                self._refused_at = now
            if trouble in _TAKEN_AWAY:
                self._quiet_s = QUIET_AFTER_DENIAL_S
            # That a right was returned may go unnoticed here, so what is taken next is news.
            is_known = trouble in self._taken_away if trouble in _TAKEN_AWAY else self._is_said
            if not is_known:
                self._say_when_due(trouble, str(error).rstrip("."), now - self._since)
            return self._since

    def _say_when_due(self, trouble: Trouble, reason: str, seconds: float) -> None:
        if trouble in _TAKEN_AWAY:
            self._is_said = True
            self._taken_away.add(trouble)
            log.error(
                "Redis at %s denies what worked before: %s; it is tried until it works again. %s",
                self.address,
                reason,
                HOW_TO_SEE_RIGHTS,
            )
        elif (trouble is Trouble.BREAK and not self.has_answered) or (
            trouble is Trouble.FULL and not self.full_s
        ):
            return  # nobody waits: whoever asked is told at once
        elif self._promise and seconds >= SHORTEST_S:
            self._is_said = True
            what = "takes no writes" if trouble is Trouble.FULL else "is away"
            log.warning("Redis at %s %s: %s; %s", self.address, what, reason, self._promise)

    def end(self, *, is_repeat: bool) -> None:
        """Note a success; of what had failed before where `is_repeat`."""
        with self._lock:
            if self._since is None:
                return
            quiet_s = self.clock() - self._refused_at
            if not (is_repeat or self._is_break or quiet_s > self._quiet_s):
                return
            if self._is_said:
                seconds = self.clock() - self._since
                log.info("Redis at %s is back after %.1f s", self.address, seconds)
            self._since = None


def outage_to_wait_for(settings: "Settings") -> Outage:
    """Return the outage of a client that waits for its end as long as the settings say."""
    limit_s = settings.outage_s
    promise = f"waiting for it, for {limit_s:g} s at most (SEQD_OUTAGE_S)" if limit_s else ""
    return Outage(limit_s=limit_s, promise=promise)


class Attempts:
    """The attempts at one step in an outage: whether there is another, and the wait before it."""

    def __init__(self, outage: Outage, retries: int) -> None:
        """`retries` are made in any case where the connection broke."""
        self._outage = outage
        self._retries = retries
        self._failures = 0
        self._began_at = outage.clock()

    def wait_s(self, trouble: Trouble, error: Exception) -> float | None:
        """Return the seconds until the next attempt; None where the step has had its time."""
        self._failures += 1
        outage, bounds = self._outage, _bounds.get()
        if trouble in _TAKEN_AWAY and not outage.bears_denial:
            return None  # no outage: it has never worked, and stays so
        since = outage.begin(trouble, error)
        if bounds.gives_up():
            return None
        retries = min(self._retries, bounds.retries)
        if not (trouble is Trouble.BREAK and self._failures <= retries):
            now, deadline = outage.clock(), self._deadline(trouble, since)
            if now >= deadline and trouble is Trouble.BREAK:
                outage.given_up = GivenUp(now, str(error))
            if now >= min(deadline, bounds.deadline) or outage.gives_up():
                return None
        # At random: all that an outage has stopped must not come back at the same moment.
        wait_s = FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 10) * random()
        return min(LONGEST_WAIT_S, wait_s)

    def _deadline(self, trouble: Trouble, since: float) -> float:
        outage = self._outage
        if trouble is Trouble.FULL:
            return self._began_at + outage.full_s
        if trouble is Trouble.BREAK and not outage.has_answered:
            return -inf
        return min(since, self._began_at) + outage.limit_s
