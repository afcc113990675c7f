"""The faults of the chaos run, and the seeded order in which they come.

Each fault is one method of `Faults`, done to real processes by real signals, and to a real
Redis. Each gives a few words on what it did.
"""

import os
import random
import shutil
import signal
import time
from contextlib import suppress

import redis

from chaos.environment import LEASE_S, Environment
from chaos.victims import NoVictim, Victims
from seqd_schemas import WorkerStatus

#: How often each fault comes in the main run.
COUNTS = {
    "kill_group": 20,
    "kill_child": 5,
    "cut_connections": 5,
    "kill_redis": 3,
    "read_only": 2,
    "take_store": 2,
    "freeze": 1,
    "double_wakeups": 1,
    "delete_wakeups": 1,
}

#: By then another worker has done what a frozen one held; a run goes on without that, too.
LONGEST_FREEZE_S = 6 * LEASE_S
#: Time for what a worker had sent before it was stopped to reach Redis.
SETTLE_S = 0.1
#: Longest wait for the embedded server, and bounds of what lasts a while.
REVIVAL_S = 30.0
READ_ONLY_S = (1.0, 6.0)
STORE_AWAY_S = (3.0, 8.0)
#: How long to wait for a wakeup that waits, so that there is one to double or to delete.
WAKEUP_S = 5.0


def schedule(choice: random.Random, counts: dict[str, int]) -> list[str]:
    """Return the names of all faults in a seeded order."""
    names = [name for name, count in counts.items() for _ in range(count)]
    choice.shuffle(names)
    return names


class Faults:
    """What can be done to an environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._victims = Victims(environment)
        #: Most memory that a server that was killed had used.
        self.redis_peak_mb = 0.0

    def do(self, name: str, choice: random.Random) -> str:
        """Do one fault by its name in `COUNTS`; returns what was done to whom.

        Raises NoVictim, having done nothing, when there was nobody to do it to.
        """
        return str(getattr(self, name)(choice))

    def kill_group(self, choice: random.Random) -> str:
        """End a worker and its child, as a node loss does."""
        group, moment = self._victims.group(choice)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        return f"group {group} {moment}"

    def kill_child(self, choice: random.Random) -> str:
        """End a worker's child alone, as the out-of-memory killer does."""
        pid, moment = self._victims.child(choice)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return f"child {pid} {moment}"

    def freeze(self, choice: random.Random) -> str:
        """Stop a worker that holds leases until another has done its work, then let it go on.

        What it does then is what a zombie does: it commits what is no longer its own.
        """
        worker, group, held = self._stopped(choice)
        began = time.monotonic()
        try:
            while time.monotonic() - began < LONGEST_FREEZE_S:
                done = sum(self._is_done(job, unit) for job, unit in held)
                if done == len(held) and time.monotonic() - began > LEASE_S:
                    break
                time.sleep(0.1)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)
        frozen_s = time.monotonic() - began
        return f"{worker.slot} for {frozen_s:.1f} s; others did {done} of its {len(held)} units"

    def cut_connections(self, choice: random.Random) -> str:
        """Close every client's connection at once, as a network blip does."""
        with self._redis() as client:
            return f"{client.execute_command('CLIENT', 'KILL', 'TYPE', 'normal')} connections"

    def kill_redis(self, choice: random.Random) -> str:
        """End the embedded server without warning; `seqd up` starts it again."""
        with self._redis() as client:
            peak_mb = client.info("memory")["used_memory_peak"] / 1e6
        self.redis_peak_mb = max(self.redis_peak_mb, peak_mb)
        began, pid = time.monotonic(), self._environment.redis_pid
        os.kill(pid, signal.SIGKILL)
        while not self._answers():
            if time.monotonic() - began > REVIVAL_S:
                raise TimeoutError(f"the embedded Redis was not back after {REVIVAL_S:g} s")
            time.sleep(0.05)
        return f"process {pid}, back after {time.monotonic() - began:.1f} s"

    def read_only(self, choice: random.Random) -> str:
        """Make the server a replica of nothing for a while, as in the middle of a failover."""
        span_s = choice.uniform(*READ_ONLY_S)
        with self._redis() as client:
            client.replicaof("127.0.0.1", "1")
            try:
                time.sleep(span_s)
            finally:
                client.replicaof("NO", "ONE")
        return f"for {span_s:.1f} s"

    def take_store(self, choice: random.Random) -> str:
        """Take the second host's model store away while its child starts anew."""
        store = self._environment.second_store
        away = store.with_name("away")
        store.rename(away)
        try:
            # What a child has in memory needs no store; the next one does.
            child = self._victims.child_below(self._environment.up_pids[1])
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            span_s = choice.uniform(*STORE_AWAY_S)
            time.sleep(span_s)
        finally:
            if store.exists():  # A worker may have made an empty one.
                shutil.rmtree(store)
            away.rename(store)
        return f"for {span_s:.1f} s, child {child} killed meanwhile"

    def double_wakeups(self, choice: random.Random) -> str:
        """Send every waiting Celery message a second time."""
        with self._redis() as client:
            queues = self._waiting_queues(client)
            messages = [(key, body) for key in queues for body in client.lrange(key, 0, -1)]
            for key, body in messages:
                client.rpush(key, body)
            return f"{len(messages)} messages"

    def delete_wakeups(self, choice: random.Random) -> str:
        """Delete every Celery message, waiting or taken."""
        with self._redis() as client:
            queues = self._waiting_queues(client)
            taken = [*client.scan_iter("*unacked*")]
            with client.pipeline() as together:
                for key in queues:
                    together.llen(key)
                if keys := [*queues, *taken]:
                    together.delete(*keys)
                replies = together.execute()
            return f"{sum(replies[: len(queues)])} messages, and the record of those taken"

    def _stopped(self, choice: random.Random) -> tuple[WorkerStatus, int, list[tuple[str, str]]]:
        """Stop a worker in the middle of a unit; returns what it holds."""
        deadline = time.monotonic() + LONGEST_FREEZE_S
        while time.monotonic() < deadline:
            worker = self._victims.busy(choice)
            with suppress(ProcessLookupError):
                group = os.getpgid(worker.pid)
                os.killpg(group, signal.SIGSTOP)
                time.sleep(SETTLE_S)
                if held := self._victims.leases(worker):
                    return worker, group, held
                os.killpg(group, signal.SIGCONT)
        raise NoVictim(f"no worker held a lease for {LONGEST_FREEZE_S:g} s")

    def _is_done(self, job: str, unit: str) -> bool:
        with self._redis() as client:
            return bool(client.hexists(self._environment.settings.keys.output(job), unit))

    def _waiting_queues(self, client: redis.Redis) -> list[bytes]:
        """Wait a while for a message that no worker has taken; returns the queues that have one."""
        deadline = time.monotonic() + WAKEUP_S
        while True:
            queues = list(client.scan_iter(f"{self._environment.settings.prefix}:wakeup.*"))
            if queues or time.monotonic() > deadline:
                return queues
            time.sleep(0.001)

    def _answers(self) -> bool:
        with suppress(redis.RedisError), self._redis() as client:
            return bool(client.ping())
        return False

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._environment.url)
