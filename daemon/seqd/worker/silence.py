"""Ends a child whose plugin hangs: it does not ask whether to stop, or computes for too long.

A thread of its own looks, which waits for no Redis: a plugin is ended at its limit, also in an
outage. Of a plugin that lets no thread run, `liveness` has the watchdog. How long is too long for
the items in hand, `unit_budgets` knows.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from threading import Event, Thread
from time import monotonic

from seqd.local.run_delay import RunDelay
from seqd.worker.unit_budgets import Budget

#: Seconds between two looks, at most; fewer for a limit of less than four of them.
LOOK_EVERY_S = 1.0


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hang:
    """That a plugin hangs: for how long it has been silent, or computed."""

    seconds: float
    #: What its items were expected to take, of one that goes on asking whether to stop; None of one
    #: that is silent.
    expected_s: float | None = None

    def __str__(self) -> str:
        if self.expected_s is None:
            return f"The plugin did not ask whether to stop for {self.seconds:.0f} s"
        return (
            f"The plugin computed for {self.seconds:.0f} s at items that should take "
            f"{self.expected_s:.2g} s, as earlier ones did (SEQD_UNIT_BUDGET_FACTOR)"
        )


def kill_this_process(hang: Hang) -> None:
    """Kill this process: nothing gentler stops a thread."""
    log.critical("plugin hung: %s; ending this child", hang)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class _Budgeted:
    """A block with a budget, and what was counted of it."""

    budget: Budget
    computed_s: float = 0.0
    silent_s: float = 0.0


class Silence:
    """For how long the plugin that computes has not asked whether to stop, and has computed."""

    def __init__(
        self,
        max_silent_s: float,
        end: Callable[[Hang], None],
        least_s: float = inf,
        delay: RunDelay | None = None,
    ) -> None:
        """`end` is called for a hang; `least_s` is the least time that a budget allows."""
        self._max_silent_s = max_silent_s
        self._end = end
        self._look_every_s = min(LOOK_EVERY_S, max_silent_s / 4, least_s / 4)
        self._computing = 0
        self._budgeted: _Budgeted | None = None
        self._delay = delay or RunDelay()
        self._is_heard = False
        self._closed = Event()

    def start(self) -> None:
        """Look from now on, to the end of the process or until it is closed."""
        Thread(target=self._keep_looking, name="seqd-silence", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def hear(self) -> None:
        """Take a sign of life."""
        self._is_heard = True

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Have the plugin give signs of life in the block."""
        self._is_heard = True
        self._computing += 1
        try:
            yield
        finally:
            self._computing -= 1

    @contextmanager
    def within(self, budget: Budget | None) -> Iterator[None]:
        """Have the plugin keep to a budget in the block, if there is one."""
        self._budgeted = None if budget is None else _Budgeted(budget)
        try:
            yield
        finally:
            self._budgeted = None

    def _keep_looking(self) -> None:
        silent_s, looked_at = 0.0, monotonic()
        while not self._closed.wait(self._look_every_s):
            now = monotonic()
            # Of a machine or worker that was frozen for longer, the plugin is not to blame.
            passed_s, looked_at = min(now - looked_at, 2 * self._look_every_s), now
            is_heard, self._is_heard = self._is_heard, False
            silent_s = 0.0 if is_heard or not self._computing else silent_s + passed_s
            hang = Hang(silent_s) if silent_s > self._max_silent_s else None
            hang = hang or self._over_budget(passed_s, is_heard=is_heard)
            if hang is not None:
                self._end(hang)
                silent_s = 0.0

    def _over_budget(self, passed_s: float, *, is_heard: bool) -> Hang | None:
        """Return that the plugin is over its budget; None where it is not, or has none.

        A loop uses its processor, a deadlock uses none, so neither processor time nor its absence
        tells a hang from work. What counts is the time that has passed, less what the process has
        waited for a processor or a disk: neither a machine with ten times as much to run nor a file
        server that is away makes anything a hang.
        """
        block = self._budgeted
        if block is None:
            return None
        waited_s = passed_s if self._delay.waits_for_disk() else self._delay.since_last_s()
        counted_s = max(0.0, passed_s - waited_s)
        block.computed_s += counted_s
        block.silent_s = 0.0 if is_heard else block.silent_s + counted_s
        if block.silent_s > block.budget.silent_s:
            return Hang(block.silent_s)
        if block.computed_s > block.budget.unit_s:
            return Hang(block.computed_s, block.budget.expected_s)
        return None
