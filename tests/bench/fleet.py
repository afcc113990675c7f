"""What a fleet of a thousand workers costs one Redis, at rest and with work for all of them.

The workers are light ones (`light_workers`): real connections and the code of a worker's parent and
child, but no processes and no model. They share this machine with Redis, so a claim's time is that
of a busy client, too; what Redis itself takes stands beside it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from subprocess import PIPE

from bench.case import option
from bench.daemon import Peer, running
from bench.report import fact, latencies, say
from bench.workers import SETTLED_S, Workers
from worker_fixtures import Cluster

#: Workers of one process. Celery's transport waits by `select`, which takes no file above 1,023,
#: and a worker has up to seven.
_OF_A_PROCESS = 128
#: How many commands are told by name, those of scripts among them.
_NAMED = 12
_LOOK_S = 0.1

#: Calls and microseconds of each command.
_Calls = Mapping[str, tuple[int, int]]


@dataclass
class Fleet(Workers):
    """Count what many workers without a model cost Redis, at rest and as all claim at once."""

    what = "connections, commands and claims of many workers that have no model"

    workers: int = option(1_000, "light workers")
    units: int = option(20_000, "of one item each, of a job that all of them claim from")

    def measure(self) -> None:
        cluster = self._cluster()
        before = self._connections()
        peers = self._start(cluster)
        time.sleep(SETTLED_S)
        self._add("at rest", {"connections": self._connections() - before}, "count", 1)
        self._measure("idle", cluster.settings.prefix)
        self._measure_claims(cluster, peers)

    def _start(self, cluster: Cluster) -> list[Peer]:
        """Start the workers, in all processes at once; return these when all are ready."""
        say(f"starting {self.workers:,} workers")
        settings, peers = cluster.settings, list[Peer]()
        for first in range(0, self.workers, _OF_A_PROCESS):
            log = self.folder / f"workers-{first}.log"
            program = running(
                "gevent.monkey", log, {}, "--module", "bench.light_workers", pipe=PIPE
            )
            peer = Peer(self.stack.enter_context(program), log)
            peer.ask(
                "prepare",
                redis_url=settings.redis_url,
                prefix=settings.prefix,
                data_dir=str(settings.data_dir),
            )
            peer.begin("start", first=first, count=min(_OF_A_PROCESS, self.workers - first))
            peers.append(peer)
        for peer in peers:
            peer.answer()
        return peers

    def _measure_claims(self, cluster: Cluster, peers: list[Peer]) -> None:
        """Hand one job in, of which all workers claim units until it is done."""
        for peer in peers:
            peer.ask("claims")  # those so far are forgotten
        totals, calls, began_s = self._totals(), self._calls(), time.monotonic()
        job = cluster.client().classify((f"text {at}" for at in range(self.units)), model="echo")
        while not job.record().state.is_terminal:
            time.sleep(_LOOK_S)
        took_s = time.monotonic() - began_s
        totals_after, calls_after = self._totals(), self._calls()
        assert job.record().counts.succeeded == self.units, job.record()
        claims_ms, empty_ms = list[float](), list[float]()
        for peer in peers:
            of_peer = peer.ask("claims")
            claims_ms += of_peer["with units"]
            empty_ms += of_peer["empty"]
        facts = [
            fact(name, "a second", (totals_after[name] - totals[name]) / took_s) for name in totals
        ]
        facts += [
            fact("units", "a second", self.units / took_s),
            fact("claims that got units", "count", len(claims_ms)),
            fact("claims that found none", "count", len(empty_ms)),
        ]
        waits = {
            "a claim, as its worker waits for it": claims_ms,
            "one that finds nothing": empty_ms,
        }
        rows = [latencies(name, times_ms) for name, times_ms in waits.items() if times_ms]
        self.report.add("all workers, one job", facts=facts, latencies=rows)
        self._add_calls(calls, calls_after)

    def _calls(self) -> _Calls:
        """Return the calls of each command so far, also of those in scripts."""
        rows = self._redis.info("commandstats").items()
        return {name.removeprefix("cmdstat_"): (row["calls"], row["usec"]) for name, row in rows}

    def _add_calls(self, before: _Calls, after: _Calls) -> None:
        """Add the commands on which Redis has spent the most time."""
        spent = dict[str, tuple[int, int]]()
        for name, (calls, us) in after.items():
            calls_before, us_before = before.get(name, (0, 0))
            spent[name] = calls - calls_before, us - us_before
        most = sorted(spent, key=lambda name: -spent[name][1])[:_NAMED]
        facts = [
            fact(f"{name}, {spent[name][0]:,} calls", "ms", spent[name][1] / 1000) for name in most
        ]
        self.report.add("what Redis did meanwhile", facts=facts)
