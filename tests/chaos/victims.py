"""Finds the worker that a fault hits, and the moment for it.

A worker spends nearly all its time computing, so kills at random moments would hardly ever
meet it while it starts, claims or commits. Some kills are therefore aimed: the set of leases
that a worker holds grows with its claim and shrinks with its commit, and is looked at a
thousand times a second.
"""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

import redis

from chaos.environment import Environment
from chaos.processes import children_of, lives
from seqd_schemas import WorkerState, WorkerStatus

#: By then a worker that was killed is there again, whatever came before.
PRESENT_S = 60.0
#: How long to wait for an aimed kill's moment before any moment will do.
AIM_S = 5.0


class Moment(StrEnum):
    """What a worker does when it is hit."""

    ANY = "at any moment"
    START = "while it starts"
    CLAIM = "just after a claim"
    COMMIT = "just after a commit"


#: Shares of the kills of whole workers.
GROUP_MOMENTS = {Moment.ANY: 5, Moment.START: 1, Moment.CLAIM: 2, Moment.COMMIT: 2}
#: Of a child alone: one that starts has said nothing yet of which process it is.
CHILD_MOMENTS = {Moment.ANY: 3, Moment.CLAIM: 1, Moment.COMMIT: 1}


class NoVictim(Exception):
    """No worker does what the fault needs: the job may have ended."""


class Victims:
    """The workers of an environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def group(self, choice: random.Random) -> tuple[int, Moment]:
        """Wait for the moment; returns a worker's process group, and the moment that it was."""
        moment = _draw(choice, GROUP_MOMENTS)
        if moment is Moment.START:
            group = self._starting(choice)
        else:
            group = self._group_of(self._aimed(choice, moment))
        return (group, moment) if group else (self._any_group(choice), Moment.ANY)

    def child(self, choice: random.Random) -> tuple[int, Moment]:
        """Wait for the moment; returns a worker's child process, and the moment that it was."""
        moment = _draw(choice, CHILD_MOMENTS)
        worker = self._aimed(choice, moment)
        return (worker.pid, moment) if worker else (self._any_child(choice), Moment.ANY)

    def busy(self, choice: random.Random) -> WorkerStatus:
        """Wait for a worker that works; raises NoVictim when there is none for long."""
        deadline = time.monotonic() + AIM_S
        while time.monotonic() < deadline:
            busy = [worker for worker in self._up() if worker.state is WorkerState.BUSY]
            if busy:
                return choice.choice(busy)
            time.sleep(0.02)
        raise NoVictim(f"no worker was busy for {AIM_S:g} s")

    def leases(self, worker: WorkerStatus) -> list[tuple[str, str]]:
        """Return the job and the unit of each lease that a worker holds."""
        with redis.Redis.from_url(self._environment.url) as client:
            members = client.smembers(self._environment.settings.keys.worker_leases(worker.worker))
        pairs = (member.decode().split(" ", 1) for member in members)
        return [(job, unit) for job, unit in pairs]

    def _up(self) -> list[WorkerStatus]:
        with suppress(redis.RedisError):
            return [worker for worker in self._environment.client.workers() if lives(worker.pid)]
        return []

    def _any_group(self, choice: random.Random) -> int:
        """Return any worker, whatever it does: starts, waits, computes."""
        return _any_of(self._groups, choice)

    def child_below(self, up_pid: int) -> int:
        """Wait for a worker's child on the host of one `seqd up`."""

        def children() -> list[int]:
            groups = children_of(up_pid)  # anew each time: a worker may have been replaced
            return [one.pid for one in self._up() if self._group_of(one) in groups]

        return _any_of(children, random.Random(0))

    def _groups(self) -> list[int]:
        """Return the process groups of all workers; the embedded Redis is none."""
        pids = [pid for up_pid in self._environment.up_pids for pid in children_of(up_pid)]
        return [pid for pid in pids if pid != self._environment.redis_pid]

    def _any_child(self, choice: random.Random) -> int:
        """Return the child of any worker that has said that it is there."""
        return _any_of(lambda: [worker.pid for worker in self._up()], choice)

    def _starting(self, choice: random.Random) -> int | None:
        """Wait for a worker that has not said yet that it is there."""
        deadline = time.monotonic() + AIM_S
        while time.monotonic() < deadline:
            known = {self._group_of(worker) for worker in self._up()}
            starting = [pid for pid in self._groups() if pid not in known]
            if starting:
                time.sleep(choice.uniform(0.0, 1.0))
                return choice.choice(starting)
            time.sleep(0.05)
        return None

    def _aimed(self, choice: random.Random, moment: Moment) -> WorkerStatus | None:
        """Wait until a busy worker claims or commits; None when it does not, or none is aimed."""
        if moment is Moment.ANY:
            return None
        try:
            worker = self.busy(choice)
        except NoVictim:
            return None
        key = self._environment.settings.keys.worker_leases(worker.worker)
        deadline = time.monotonic() + AIM_S
        with redis.Redis.from_url(self._environment.url) as client:
            before = client.scard(key)
            while time.monotonic() < deadline:
                now = client.scard(key)
                if (now > before) if moment is Moment.CLAIM else (now < before):
                    return worker
                before = now
                time.sleep(0.001)
        return None

    @staticmethod
    def _group_of(worker: WorkerStatus | None) -> int | None:
        with suppress(ProcessLookupError):
            return os.getpgid(worker.pid) if worker else None
        return None


def _any_of(candidates: Callable[[], list[int]], choice: random.Random) -> int:
    deadline = time.monotonic() + PRESENT_S
    while time.monotonic() < deadline:
        if pids := candidates():
            return choice.choice(pids)
        time.sleep(0.02)
    raise NoVictim(f"no worker was there for {PRESENT_S:g} s")


def _draw(choice: random.Random, shares: dict[Moment, int]) -> Moment:
    return choice.choices(list(shares), list(shares.values()))[0]
