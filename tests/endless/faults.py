"""The faults of an endless run, and the seeded order in which they come.

Each is one method of `Faults`, done to real processes by real signals, and to a real Redis; it
gives a few words on what it did. A worker spends nearly all its time computing, so kills at random
moments would hardly ever meet it while it starts, claims or commits. Some kills are therefore
aimed: the set of leases that a worker holds grows with its claim and shrinks with its commit, and
is looked at a thousand times a second.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import TypeVar

import redis

from checkout import python_path
from cli_builders import clean_environment
from endless.fleet import LEASE_S, Fleet
from seqd_schemas import WorkerState, WorkerStatus

#: How often each fault comes in the main run.
COUNTS = {
    "kill_group": 20,
    "kill_child": 5,
    "cut_connections": 5,
    "kill_redis": 3,
    "read_only": 2,
    "take_store": 2,
    "drain": 2,
    "freeze": 1,
    "double_wakeups": 1,
    "delete_wakeups": 1,
}

#: By then another worker has done what a frozen one held.
FREEZE_S = 3 * LEASE_S
#: Time for what a worker had sent before it was stopped to reach Redis.
SETTLE_S = 0.1
#: Longest wait for a drain, which waits for the unit in hand.
DRAIN_S = 120.0
#: Longest wait for the embedded server, and bounds of what lasts a while.
REVIVAL_S = 30.0
READ_ONLY_S = (1.0, 6.0)
STORE_AWAY_S = (3.0, 8.0)
#: How long to wait for a wakeup that waits, so that there is one to double or to delete.
WAKEUP_S = 5.0
#: By then a worker that was killed is there again, whatever came before.
PRESENT_S = 60.0
#: How long to wait for an aimed kill's moment before any moment will do.
AIM_S = 5.0

T = TypeVar("T")


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


def schedule(choice: random.Random, counts: dict[str, int]) -> list[str]:
    """Return the names of all faults in a seeded order."""
    names = [name for name, count in counts.items() for _ in range(count)]
    choice.shuffle(names)
    return names


class Faults:
    """What can be done to a fleet."""

    def __init__(self, fleet: Fleet, choice: random.Random) -> None:
        self._fleet = fleet
        self._choice = choice

    def do(self, name: str) -> str:
        """Do one fault by its name in `COUNTS`; returns what was done to whom.

        Raises NoVictim, having done nothing, when there was nobody to do it to.
        """
        return str(getattr(self, name)())

    def kill_group(self) -> str:
        """End a worker and its child, as a node loss does."""
        moment = self._draw(GROUP_MOMENTS)
        found = self._starting() if moment is Moment.START else _group(self._aimed(moment))
        group = found or self._any_of(self._groups)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        return f"group {group} {moment if found else Moment.ANY}"

    def kill_child(self) -> str:
        """End a worker's child alone, as the out-of-memory killer does."""
        moment = self._draw(CHILD_MOMENTS)
        found = self._aimed(moment)
        worker = found or self._any_of(self._fleet.workers)
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        return f"child {worker.pid} {moment if found else Moment.ANY}"

    def freeze(self) -> str:
        """Stop a worker that holds leases until another has done its work, then let it go on.

        What it does then is what a zombie does: it commits what is no longer its own.
        """
        worker, group = self._stopped()
        try:
            time.sleep(FREEZE_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)
        return f"{worker.slot} for {FREEZE_S:g} s"

    def drain(self) -> str:
        """Drain a worker, as an operator does, and let it work again."""
        worker = self._busy()
        target = f"{worker.slot}@{worker.host}"
        self._workers("drain", target, "--wait", "--yes", "--reason", "a fault")
        self._workers("uncordon", target)
        return target

    def cut_connections(self) -> str:
        """Close every client's connection at once, as a network blip does."""
        with self._redis() as client:
            return f"{client.execute_command('CLIENT', 'KILL', 'TYPE', 'normal')} connections"

    def kill_redis(self) -> str:
        """End the embedded server without warning; `seqd up` starts it again."""
        began, pid = time.monotonic(), self._fleet.first.up.endpoint().pid
        os.kill(pid, signal.SIGKILL)
        while not self._answers():
            if time.monotonic() - began > REVIVAL_S:
                raise TimeoutError(f"the embedded Redis was not back after {REVIVAL_S:g} s")
            time.sleep(0.05)
        return f"process {pid}, back after {time.monotonic() - began:.1f} s"

    def read_only(self) -> str:
        """Make the server a replica of nothing for a while, as in the middle of a failover."""
        span_s = self._choice.uniform(*READ_ONLY_S)
        with self._redis() as client:
            client.replicaof("127.0.0.1", "1")
            try:
                time.sleep(span_s)
            finally:
                client.replicaof("NO", "ONE")
        return f"for {span_s:.1f} s"

    def take_store(self) -> str:
        """Take the second host's model store away while its child starts anew."""
        second = self._fleet.second
        store = second.up.settings.store_dir
        away = store.with_name("away")
        store.rename(away)
        try:
            # What a child has in memory needs no store; the next one does.
            child = self._any_of(
                lambda: [one for one in self._fleet.workers() if _group(one) in second.workers()]
            )
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            span_s = self._choice.uniform(*STORE_AWAY_S)
            time.sleep(span_s)
        finally:
            if store.exists():  # A worker may have made an empty one.
                shutil.rmtree(store)
            away.rename(store)
        return f"for {span_s:.1f} s, child {child.pid} killed meanwhile"

    def double_wakeups(self) -> str:
        """Send every waiting Celery message a second time."""
        with self._redis() as client:
            queues = self._waiting_queues(client)
            messages = [(key, body) for key in queues for body in client.lrange(key, 0, -1)]
            for key, body in messages:
                client.rpush(key, body)
            return f"{len(messages)} messages"

    def delete_wakeups(self) -> str:
        """Delete every Celery message, waiting or taken."""
        with self._redis() as client:
            queues = self._waiting_queues(client)
            taken = [*client.scan_iter("*unacked*")]
            if keys := [*queues, *taken]:
                client.delete(*keys)
            return f"the messages of {len(queues)} queues, and the record of those taken"

    def _workers(self, *arguments: str) -> None:
        data_dir = str(self._fleet.first.up.settings.data_dir)
        subprocess.run(
            [sys.executable, "-P", "-m", "seqd", "workers", *arguments],
            env=clean_environment(SEQD_DATA_DIR=data_dir, PYTHONPATH=python_path()),
            stdout=subprocess.DEVNULL,
            timeout=DRAIN_S,
            check=True,
        )

    def _draw(self, shares: dict[Moment, int]) -> Moment:
        return self._choice.choices(list(shares), list(shares.values()))[0]

    def _groups(self) -> list[int]:
        """Return all workers, whatever they do: start, wait, compute."""
        return [*self._fleet.first.workers(), *self._fleet.second.workers()]

    def _any_of(self, candidates: Callable[[], Sequence[T]]) -> T:
        """Wait until there is one."""
        deadline = time.monotonic() + PRESENT_S
        while time.monotonic() < deadline:
            if found := candidates():
                return self._choice.choice(found)
            time.sleep(0.02)
        raise NoVictim(f"no worker was there for {PRESENT_S:g} s")

    def _busy(self) -> WorkerStatus:
        """Wait for a worker that works; raises NoVictim when there is none for long."""
        deadline = time.monotonic() + AIM_S
        while time.monotonic() < deadline:
            busy = [one for one in self._fleet.workers() if one.state is WorkerState.BUSY]
            if busy:
                return self._choice.choice(busy)
            time.sleep(0.02)
        raise NoVictim(f"no worker was busy for {AIM_S:g} s")

    def _stopped(self) -> tuple[WorkerStatus, int]:
        """Stop a worker in the middle of a unit; return it and its process group."""
        deadline = time.monotonic() + PRESENT_S
        while time.monotonic() < deadline:
            worker = self._busy()
            with suppress(ProcessLookupError), self._redis() as client:
                group = os.getpgid(worker.pid)
                os.killpg(group, signal.SIGSTOP)
                time.sleep(SETTLE_S)
                if client.scard(self._fleet.settings.keys.worker_leases(worker.worker)):
                    return worker, group
                os.killpg(group, signal.SIGCONT)
        raise NoVictim(f"no worker held a lease for {PRESENT_S:g} s")

    def _starting(self) -> int | None:
        """Wait for a worker that has not said yet that it is there."""
        deadline = time.monotonic() + AIM_S
        while time.monotonic() < deadline:
            known = {_group(worker) for worker in self._fleet.workers()}
            starting = [group for group in self._groups() if group not in known]
            if starting:
                time.sleep(self._choice.uniform(0.0, 1.0))
                return self._choice.choice(starting)
            time.sleep(0.05)
        return None

    def _aimed(self, moment: Moment) -> WorkerStatus | None:
        """Wait until a busy worker claims or commits; None when it does not, or none is aimed."""
        if moment is Moment.ANY:
            return None
        with suppress(NoVictim), self._redis() as client:
            worker = self._busy()
            key = self._fleet.settings.keys.worker_leases(worker.worker)
            deadline, before = time.monotonic() + AIM_S, client.scard(key)
            while time.monotonic() < deadline:
                now = client.scard(key)
                if (now > before) if moment is Moment.CLAIM else (now < before):
                    return worker
                before = now
                time.sleep(0.001)
        return None

    def _waiting_queues(self, client: redis.Redis) -> list[bytes]:
        """Wait a while for a message that no worker has taken; returns the queues that have one."""
        deadline = time.monotonic() + WAKEUP_S
        while True:
            queues = list(client.scan_iter(f"{self._fleet.settings.prefix}:wakeup.*"))
            if queues or time.monotonic() > deadline:
                return queues
            time.sleep(0.001)

    def _answers(self) -> bool:
        with suppress(redis.RedisError), self._redis() as client:
            return bool(client.ping())
        return False

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._fleet.url)


def _group(worker: WorkerStatus | None) -> int | None:
    with suppress(ProcessLookupError):
        return os.getpgid(worker.pid) if worker else None
    return None
