"""What metrics cost: counting in a worker's child, and a scrape of the exporter in Redis.

    .venv/bin/python tests/bench/metrics_cost.py [--rounds 40] [--jobs 100000] [--json]

Counting: a worker's child runs in this process, with a model that does nothing. Rounds with and
without counting take turns, and the processor time of the thread that works is compared within each
pair; then what is called for a unit is timed alone. Scrapes: the processor time of Redis, as it
says itself, of reads of the fleet with many jobs open. No `SEQD_` variable is looked at.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

Figures = dict[str, float]

#: Rounds: what they are called, slices of the worker, jobs in each, and texts of each job, which
#: are one unit. Small units are claimed together, where several wait.
ROUNDS = (("together", 1, 200, 1), ("alone", 50, 1, 1), ("of 512 texts", 1, 8, 512))

#: Claims of which counting is timed alone.
ALONE = 20_000

#: Between two scrapes.
SCRAPE_S = 15.0


@contextmanager
def a_child(services: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Give a child of a worker, which this thread runs, with its counts and its memory."""
    from dataclasses import replace

    from seqd.testing.in_process.models import registry_of, stub_of
    from seqd.testing.in_process.orders import Orders
    from seqd.worker import child
    from seqd.worker.context import open_context
    from seqd.worker.metrics.counting import WorkCounts
    from seqd.worker.metrics.memory import CounterMemory
    from seqd_schemas import Classification

    child.LINGER_S = 0.0  # a round ends with its last job
    settings = services.settings.model_copy(update={"worker": "bench", "heartbeat_s": 10.0})
    stubs = {"imdb_lstm": stub_of(lambda text: "positive")}
    registry = registry_of(stubs, Orders(lambda: None), settings)
    memory = CounterMemory.create()
    counts = WorkCounts(memory)
    context = replace(open_context(settings, lambda silent_s: None, registry), counts=counts)
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


def pairs(services: Any, rounds: int) -> Figures:
    """Measure rounds with counting and without, in turn, and what counting takes alone."""
    found: Figures = {}
    with a_child(services) as (loop, counts, memory), services.client() as client:
        for what, slices, jobs, texts in ROUNDS:
            ratios, units_s = [], {True: list[float](), False: list[float]()}
            for number in range(rounds + 1):
                took = {}
                for is_on in (True, False) if number % 2 else (False, True):
                    counts._memory = memory if is_on else None
                    took[is_on] = processor_s(loop, client, slices, jobs, texts)
                if number:  # the first is for nothing
                    ratios.append(took[True] / took[False])
                    for is_on, each_s in units_s.items():
                        each_s.append(took[is_on] / (slices * jobs))
            counts._memory = memory
            alone_us = counted_alone_us(counts, jobs if texts == 1 else 1, texts)
            least_s = min(units_s[False])  # what others of the machine take only adds
            found |= {
                f"{what}: processor time of a unit, us": 1e6 * least_s,
                f"{what}: with counting, ratio of the least": min(units_s[True]) / least_s,
                f"{what}: of pairs, median": median(ratios),
                f"{what}: lowest": min(ratios),
                f"{what}: highest": max(ratios),
                f"{what}: counting alone, us a unit": alone_us,
                f"{what}: share of the unit": alone_us / (1e6 * least_s),
            }
    return found


def counted_alone_us(counts: Any, units: int, texts: int) -> float:
    """Return what counting a unit takes, of a claim of so many."""
    from seqd.ledger.units import Unit
    from seqd.worker.context import WorkerStats
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


def scrapes(services: Any, jobs: int, count: int) -> Figures:
    """Measure what reading the fleet takes of Redis's processor, with so many jobs open."""
    from seqd.ledger import Ledger, connect

    redis = connect(services.redis_url)
    ledger, keys = Ledger(redis, services.settings, lambda route: None), services.settings.keys
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
    while not ledger.backlog.recount(begins=not redis.exists(keys.work_left_recount())):
        pass
    before, began, began_cpu = _cpu_s(redis), time.perf_counter(), time.thread_time()
    for _ in range(count):
        ledger.figures.read()
    took_s, cpu_s = time.perf_counter() - began, _cpu_s(redis) - before
    own_s = time.thread_time() - began_cpu
    redis.close()
    return {
        "jobs open": jobs,
        "scrape: ms": 1_000 * took_s / count,
        "scrape: ms of the exporter": 1_000 * own_s / count,
        "scrape: ms of Redis": 1_000 * cpu_s / count,
        f"scrape each {SCRAPE_S:g} s: share of Redis": cpu_s / count / SCRAPE_S,
    }


def _cpu_s(redis: Any) -> float:
    told = redis.info("cpu")
    return float(told["used_cpu_user"] + told["used_cpu_sys"])


def measured(rounds: int, jobs: int, count: int) -> Figures:
    """Measure all."""
    from seqd.testing import running_services
    from seqd.testing.in_process.server import server_for_tests

    with (
        server_for_tests() as server,
        running_services({"imdb_lstm": lambda text: "positive"}, server=server) as services,
    ):
        services.stop_worker()
        found = pairs(services, rounds)
        return found | scrapes(services, jobs, count)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="What metrics cost.")
    parser.add_argument("--rounds", type=int, default=40, help="pairs, after one to warm up")
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs that are open")
    parser.add_argument("--scrapes", type=int, default=100, help="reads of the fleet")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    for variable in [name for name in os.environ if name.startswith("SEQD_")]:
        del os.environ[variable]
    found = measured(options.rounds, options.jobs, options.scrapes)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for what, figure in found.items():
        print(f"{what:<44}{figure:>12.4f}")


if __name__ == "__main__":
    main()
