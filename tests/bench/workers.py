"""What a worker costs Redis, idle and busy: connections, commands, bytes, processor time.

Real workers on a plugin that only waits, with the settings that are the default. Commands are those
that come in by a connection, as MONITOR shows them; what scripts run besides is in Redis's own
count. Figures are of one worker, on the average; the benchmark's own connections are left out.
"""

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psutil
from redis import Redis

from bench.case import Case, option
from bench.report import fact, say
from redis_fixtures import PrivateServer, installed_servers
from seqd.local.slots import parse_slot
from worker_fixtures import BY_DEFAULT, Cluster, cluster_on

#: Milliseconds of an item of a busy worker; a unit has eight, so it takes 0.8 s.
ITEM_MS = 100.0
#: Until what workers do at their start is over.
SETTLED_S = 15.0
#: How many commands are told by name.
_NAMED = 10


@dataclass
class Workers(Case):
    """Count what a worker costs Redis, idle and busy."""

    what = "connections, commands and bytes of one worker, the average of several"

    workers: int = option(10, "real workers")
    seconds: float = option(60.0, "of each measurement")

    def measure(self) -> None:
        cluster = self._cluster()
        before = self._connections()
        # One after the other: all at once they take minutes of a small machine.
        for number in range(1, self.workers + 1):
            say(f"worker {number} of {self.workers}")
            cluster.start(f"cpu:0@host{number}", parse_slot("cpu:0")).wait_until_ready()
        time.sleep(SETTLED_S)
        at_rest = {"connections": self._connections() - before, "bytes of memory": _memory(cluster)}
        self._add("at rest", at_rest, "count", 1)
        self._measure("idle", cluster.settings.prefix)
        texts = [f"text {at}" for at in range(round(self.workers * (self.seconds + 60) * 40))]
        job = cluster.client().classify(texts, model="echo", parameters={"delay_ms": ITEM_MS})
        time.sleep(SETTLED_S)
        self._measure("busy", cluster.settings.prefix)
        assert not job.record().state.is_terminal, "the job was too short"
        job.cancel()

    def _cluster(self) -> Cluster:
        """Return a cluster on a server of its own, to which the benchmark is connected."""
        redises = [one for one in installed_servers() if one.kind == "redis"]
        server = PrivateServer(max(redises, key=lambda one: one.version), self.folder)
        self.stack.callback(server.stop)
        server.start()
        self._redis = self.stack.enter_context(Redis.from_url(server.url))
        cluster = self.stack.enter_context(cluster_on(server, self.folder, **BY_DEFAULT))
        cluster.client().workers()
        return cluster

    def _measure(self, how: str, prefix: str) -> None:
        """Count for a while what comes and goes, then, which costs bytes, the commands by name."""
        before = self._totals()
        time.sleep(self.seconds)
        after = self._totals()
        each = {name: after[name] - before[name] for name in before}
        self._add(how, each | self._commands(prefix), "a second", self.seconds)

    def _totals(self) -> dict[str, float]:
        found = self._redis.info()
        return {
            "bytes received": found["total_net_input_bytes"],
            "bytes sent": found["total_net_output_bytes"],
            "commands, with those of scripts": found["total_commands_processed"],
            "milliseconds of Redis": 1_000 * (found["used_cpu_user"] + found["used_cpu_sys"]),
        }

    def _commands(self, prefix: str) -> dict[str, float]:
        """Return how many commands come in for a while, by name and what their key begins with."""
        names, until_s = Counter[str](), time.monotonic() + self.seconds
        with self._redis.monitor() as monitor:
            while time.monotonic() < until_s:
                command = monitor.next_command()
                if command["client_type"] != "lua":
                    key = re.search(rf"{prefix}:([^: ]+)", command["command"])
                    name = command["command"].split()[0].upper()
                    names[f"{name} {key[1]}" if key else name] += 1
        return {"commands": names.total(), **dict(names.most_common(_NAMED))}

    def _connections(self) -> int:
        return int(self._redis.info("clients")["connected_clients"])

    def _add(self, title: str, totals: Mapping[str, float], unit: str, seconds: float) -> None:
        """Add a section: one worker's part of each total."""
        share = self.workers * seconds
        rows = [fact(name, unit, total / share) for name, total in totals.items()]
        self.report.add(f"one worker, {title}", facts=rows)


def _memory(cluster: Cluster) -> float:
    """Return the memory of all processes of workers, each page once."""
    trees = [psutil.Process(worker.pid) for worker in cluster.workers]
    each = [one for tree in trees for one in (tree, *tree.children(recursive=True))]
    return float(sum(one.memory_full_info().pss for one in each))
