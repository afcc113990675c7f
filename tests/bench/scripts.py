"""How long each script of the ledger holds up Redis, with many jobs and large ones there."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.case import Case, option
from bench.report import Figure, fact, latencies, say
from bench.script_cases import CASES
from bench.script_world import UNIT_ITEMS, Cost, WatchedRedis, World
from seqd.ledger import connect
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings

#: A script that only writes a mebibyte under new names: it shows what the machine alone takes for
#: memory that a process touches for the first time.
_FRESH_MEMORY = """
local value = string.rep('x', 16384)
for n = 1, 64 do redis.call('SET', 'fresh:' .. ARGV[1] .. ':' .. n, value) end
"""
_FRESH_CALLS = 200


@dataclass
class Scripts(Case):
    """Call every script of the ledger in its worst case, and time it on the server."""

    what = "the longest call of each script of the ledger, by the server's own clock"

    jobs: int = option(100_000, "small jobs that are there")
    items: int = option(1_000_000, "items of a large job")
    repeats: int = option(3, "times that each case is run")
    limit_ms: float = option(20.0, "longer calls are pointed out")
    only: str = option("", "part of the names of the cases to run; all by default")

    def measure(self) -> None:
        costs = defaultdict[tuple[str, str], list[Cost]](list)
        with open_world(self.folder, self.jobs, self.items // UNIT_ITEMS) as world:
            say(f"making {self.jobs:,} jobs")
            world.fill()
            for scripts, what, run in CASES:
                if self.only not in f"{' '.join(scripts)}: {what}":
                    continue
                for number in range(self.repeats):
                    say(f"{what}, {number + 1} of {self.repeats}")
                    world.watched_redis.costs.clear()
                    run(world)
                    world.clear_up()
                    for cost in world.watched_redis.costs:
                        costs[cost.script, what].append(cost)
            memory = world.redis.info("memory")["used_memory"]
            fresh = [_fresh_memory_ms(world, number) for number in range(_FRESH_CALLS)]
        self.report.setup["memory at the end"] = f"{memory / 1e6:,.0f} MB"
        self._add(costs)
        control = latencies("64 SETs of 16 KiB under new names", fresh)
        self.report.add("the machine alone", latencies=[control])

    def _add(self, costs: dict[tuple[str, str], list[Cost]]) -> None:
        worst = dict[str, tuple[float, str]]()
        for (script, what), calls in costs.items():
            longest = max(cost.ms for cost in calls)
            worst[script] = max(worst.get(script, (0.0, "")), (longest, what))
        rows = [_row(script, worst[script][1], costs) for script in sorted(worst)]
        self.report.add("longest call of a script", latencies=rows)
        counts = [
            fact(script, "count", max(
                cost.commands for (name, _), calls in costs.items() for cost in calls
                if name == script
            ))
            for script in sorted(worst)
        ]  # fmt: skip
        self.report.add("most commands of a call", facts=counts)
        longest = {name: worst[name][0] for name in sorted(worst)}
        on_processor = {row["name"].partition(":")[0]: row["on the processor"] for row in rows}
        for what, found in (("by the clock", longest), ("on the processor", on_processor)):
            over = [name for name, ms in found.items() if ms > self.limit_ms]
            named = ", ".join(over) or "no script"
            self.report.notes.append(f"longer than {self.limit_ms:g} ms {what}: {named}")


def _fresh_memory_ms(world: World, number: int) -> float:
    """Return what a call of `_FRESH_MEMORY` took by the server's clock."""
    world.redis.config_resetstat()
    world.redis.eval(_FRESH_MEMORY, 0, str(number))
    row = world.redis.info("commandstats")["cmdstat_eval"]
    return float(row["usec"]) / 1000


def _row(script: str, what: str, costs: dict[tuple[str, str], list[Cost]]) -> Figure:
    """Return a script's figures of the case in which its longest call was.

    The time on the processor is the longest of all its cases: a busy machine adds less to it.
    """
    figures = latencies(f"{script}: {what}", [cost.ms for cost in costs[script, what]])
    of_all = [cost.cpu_ms for (name, _), calls in costs.items() if name == script for cost in calls]
    return {**figures, "on the processor": max(of_all)}


@contextmanager
def open_world(folder: Path, jobs: int, units: int) -> Iterator[World]:
    """Start an embedded server, and give a world on it that is not filled yet."""
    # Accounts are charged for large jobs that cases leave, and `clear_up` takes away past them.
    limits = {"max_tenant_items": 10**12, "max_tenant_bytes": 10**15}
    settings = Settings(data_dir=folder, redis_url=None, prefix="bench", lease_s=3_600, **limits)
    with (
        EmbeddedServer(settings) as server,
        connect(server.url) as redis,
        # Not cut off and sent again, however long a call takes.
        WatchedRedis.from_url(server.url, protocol=2, socket_timeout=300, retry=None) as watched,
    ):
        watched.watch(server.pid)
        at_server = settings.model_copy(update={"redis_url": server.url})
        yield World(redis, watched, at_server, jobs, units)
