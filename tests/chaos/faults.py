"""The faults of the chaos run, and the seeded order in which they come.

Each fault is one method of `Stage`, done to real processes by real signals, and to a real Redis.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from redis_fixtures import PrivateServer
from seqd_schemas import WorkerState, WorkerStatus

#: How often each fault comes in the main run.
COUNTS = {
    "kill_group": 20,
    "kill_child": 5,
    "cut_connections": 5,
    "kill_redis": 3,
    "freeze": 1,
    "double_bells": 1,
    "delete_bells": 1,
}

#: Longer than the lease of the run, so that a frozen worker wakes up as a zombie.
FREEZE_S = 8.0


@dataclass
class Stage:
    """What the faults are done to."""

    server: PrivateServer
    prefix: str
    workers: Callable[[], list[WorkerStatus]]

    def kill_group(self, choice: random.Random) -> str:
        """End a worker and its child, as a node loss does."""
        pid = self._busy(choice)
        group = os.getpgid(pid)
        os.killpg(group, signal.SIGKILL)
        return f"group {group}"

    def kill_child(self, choice: random.Random) -> str:
        """End a worker's child alone, as the out-of-memory killer does."""
        pid = self._busy(choice)
        os.kill(pid, signal.SIGKILL)
        return f"child {pid}"

    def freeze(self, choice: random.Random) -> str:
        """Stop a worker past its lease, then let it go on: a zombie."""
        group = os.getpgid(self._busy(choice))
        os.killpg(group, signal.SIGSTOP)
        time.sleep(FREEZE_S)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)
        return f"group {group} for {FREEZE_S:g} s"

    def cut_connections(self, choice: random.Random) -> str:
        """Close every client's connection at once, as a network blip does."""
        with self._redis() as client:
            return f"{client.execute_command('CLIENT', 'KILL', 'TYPE', 'normal')} connections"

    def kill_redis(self, choice: random.Random) -> str:
        """End the server without warning; it comes back with its append-only file."""
        self.server.kill()
        time.sleep(choice.uniform(0.1, 1.0))
        self.server.start()
        return "with AOF"

    def double_bells(self, choice: random.Random) -> str:
        """Send every waiting Celery message a second time."""
        with self._redis() as client:
            keys = list(client.scan_iter(f"{self.prefix}:bell.*"))
            for key in keys:
                for message in client.lrange(key, 0, -1):
                    client.rpush(key, message)
            return f"{len(keys)} queues"

    def delete_bells(self, choice: random.Random) -> str:
        """Delete every Celery message, waiting or taken."""
        with self._redis() as client:
            keys = [*client.scan_iter(f"{self.prefix}:bell.*"), *client.scan_iter("*unacked*")]
            return f"{client.delete(*keys) if keys else 0} keys"

    def _busy(self, choice: random.Random) -> int:
        """Wait for a worker that works; gives its child's process."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(redis.RedisError):
                busy = [worker for worker in self.workers() if worker.state is WorkerState.BUSY]
                living = [worker.pid for worker in busy if Path(f"/proc/{worker.pid}").exists()]
                if living:
                    return choice.choice(sorted(living))
            time.sleep(0.05)
        raise TimeoutError("no worker was busy for 60 s")

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.server.url)


def schedule(choice: random.Random, counts: dict[str, int]) -> list[str]:
    """Give the names of all faults in a seeded order."""
    names = [name for name, count in counts.items() for _ in range(count)]
    choice.shuffle(names)
    return names


def resident_mb(pid: int) -> float:
    """Give a process's resident memory; 0 when it is gone."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    return 0.0


def end(program: "subprocess.Popen[bytes]") -> None:
    """Ask a program to end, and make it end."""
    program.terminate()
    try:
        program.wait(60)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
