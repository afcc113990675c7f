"""What metrics cost: counting in a worker's child, and a scrape of the exporter in Redis.

Counting: a worker's child runs in this process, with a model that does nothing. Rounds with and
without counting take turns, and the processor time of the thread that works is compared within each
pair; then what is called for a unit is timed alone. Scrapes: the processor time of Redis, as it
says itself, of reads of the fleet with many jobs open.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.case import Case, option
from bench.report import Figure, fact, ratios, row, say

#: Rounds: what they are called, slices of the worker, jobs in each, and texts of each job, which
#: are one unit. Small units are claimed together, where several wait.
ROUNDS = (("together", 1, 200, 1), ("alone", 50, 1, 1), ("of 512 texts", 1, 8, 512))

#: Claims of which counting is timed alone.
ALONE = 20_000

#: Between two scrapes.
SCRAPE_S = 15.0


@dataclass
class Metrics(Case):
    """Time a worker's child that counts for metrics beside one that does not, and scrapes."""

    what = "processor time of counting for metrics, and of a scrape of the exporter"

    rounds: int = option(40, "pairs, after one to warm up")
    jobs: int = option(100_000, "jobs that are open")
    scrapes: int = option(100, "reads of the fleet")

    def measure(self) -> None:
        from seqd.testing import running_services
        from seqd.testing.in_process.server import server_for_tests

        server = self.stack.enter_context(server_for_tests())
        models = {"imdb_lstm": lambda text: "positive"}
        services = self.stack.enter_context(running_services(models, server=server))
        services.stop_worker()
        with a_child(services) as (loop, counts, memory), services.client() as client:
            for what, slices, jobs, texts in ROUNDS:
                say(f"a unit {what}")
                took: dict[bool, list[float]] = {True: [], False: []}
                for number in range(self.rounds + 1):
                    for is_on in (True, False) if number % 2 else (False, True):
                        counts._memory = memory if is_on else None
                        spent_s = processor_s(loop, client, slices, jobs, texts)
                        took[is_on] += [spent_s] if number else []  # the first is for nothing
                counts._memory = memory
                rows = [row("with counting / without", "times", ratios(took[True], took[False]))]
                least_us = 1e6 * min(took[False]) / (slices * jobs)  # what others take only adds
                alone_us = counted_alone_us(counts, jobs if texts == 1 else 1, texts)
                facts = [
                    fact("processor time of a unit, us", "count", least_us),
                    fact("counting alone, us a unit", "count", alone_us),
                    fact("share of the unit", "share", alone_us / least_us),
                ]
                self.report.add(f"a unit {what}", rows, facts=facts)
        say(f"scrapes with {self.jobs:,} jobs open")
        self.report.add("a scrape", facts=scrapes(services, self.jobs, self.scrapes))


@contextmanager
def a_child(services: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Give a child of a worker, which this thread runs, with its counts and its memory."""
    from dataclasses import replace

    from seqd.testing.in_process.models import registry_of, stub_of
    from seqd.testing.in_process.orders import Orders
    from seqd.worker import child
    from seqd.worker.channel import Channel
    from seqd.worker.context import open_context
    from seqd.worker.counting import WorkCounts
    from seqd_schemas import Classification

    child.LINGER_S = 0.0  # a round ends with its last job
    settings = services.settings.model_copy(update={"worker": "bench", "heartbeat_s": 10.0})
    stubs = {"imdb_lstm": stub_of(lambda text: "positive")}
    registry = registry_of(stubs, Orders(lambda: None), settings)
    memory = Channel.create()
    counts = WorkCounts(memory)
    context = replace(open_context(settings, registry=registry), counts=counts)
    loop = child.WorkLoop(context, settings)
    loop.warm_up()
    label = Classification(label="positive", score=1.0, truncated=False)
    (name,) = context.cache.names()
    model, _, version = name.partition("@")
    loaded = context.cache.get(model, int(version))
    loaded.classify = lambda items, parameters, run: [label] * len(items)
    yield loop, counts, memory
    loop.close()
    context.ledger.redis.close()


def processor_s(loop: Any, client: Any, slices: int, jobs: int, texts: int) -> float:
    """Return what the worker's thread takes of a processor, in each slice for so many jobs."""
    took_s = 0.0
    for _ in range(slices):
        for _ in range(jobs):
            client.classify(["a fine text"] * texts, model="imdb_lstm")
        began = time.thread_time()
        loop.run_slice()  # to the end of the last of them
        took_s += time.thread_time() - began
    return took_s


def counted_alone_us(counts: Any, units: int, texts: int) -> float:
    """Return what counting a unit takes, of a claim of so many."""
    from seqd.ledger.units import Unit
    from seqd.worker.counting import WorkerStats
    from seqd_schemas import Classification, ItemSuccess

    label = Classification(label="a", score=1.0, truncated=False)
    results = [ItemSuccess(custom_id=str(n), output=label) for n in range(texts)]
    claimed = [Unit(f"j{n}", "0", 1, 0, b"", started_job=True) for n in range(units)]
    names, stats = [unit.job_id for unit in claimed], WorkerStats()
    rounds = max(1, ALONE // units)
    began = time.thread_time()
    for _ in range(rounds):
        counts.begin("classify", "imdb_lstm", claimed, 0.0, stats)
        counts.stage("compute", 0.01)
        counts.items([results] * units)
        counts.jobs_ended(names)
        counts.end(stats, None)
    return 1e6 * (time.thread_time() - began) / (rounds * units)


def scrapes(services: Any, jobs: int, count: int) -> list[Figure]:
    """Measure what reading the fleet takes of Redis's processor, with so many jobs open."""
    from seqd.ledger import Ledger, connect
    from seqd.ledger.figures import fleet_figures

    redis = connect(services.redis_url)
    ledger, keys = Ledger(redis, services.settings), services.settings.keys
    with services.client() as client:
        first = client.classify(["a"], model="imdb_lstm").job_id
    row = redis.hgetall(keys.job(first))
    for start in range(1, jobs, 1_000):
        with redis.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + 1_000, jobs)):
                pipe.hset(keys.job(f"j{number}"), mapping=row)
                pipe.zadd(keys.open_jobs(), {f"j{number}": int(row[b"created"]) + number})
                pipe.hset(keys.tenant(f"t{number % 1_000}"), mapping={"jobs": 1, "items": 1})
                pipe.zadd(keys.tenants(), {f"t{number % 1_000}": number})
            pipe.execute()
    redis.hincrby(keys.work_left(), row[b"queue"].decode(), jobs - 1)
    before, began, began_cpu = _cpu_s(redis), time.perf_counter(), time.thread_time()
    for _ in range(count):
        ledger.transport.run(fleet_figures(ledger))
    took_s, cpu_s = time.perf_counter() - began, _cpu_s(redis) - before
    own_s = time.thread_time() - began_cpu
    redis.close()
    return [
        fact("whole", "ms", 1_000 * took_s / count),
        fact("of the exporter", "ms", 1_000 * own_s / count),
        fact("of Redis", "ms", 1_000 * cpu_s / count),
        fact(f"share of Redis, each {SCRAPE_S:g} s", "share", cpu_s / count / SCRAPE_S),
    ]


def _cpu_s(redis: Any) -> float:
    told = redis.info("cpu")
    return float(told["used_cpu_user"] + told["used_cpu_sys"])
