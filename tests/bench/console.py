"""What pages of the console take with a million jobs and a thousand workers, and a tab left open.

Jobs that have ended are copies of a few that the ledger has ended itself, with times of a week.
Workers are records alone, which are published as often as real ones publish theirs.
"""

import itertools
import time
from dataclasses import dataclass
from shutil import which
from statistics import median
from threading import Event as Flag
from threading import Thread

import httpx

from bench.case import Case, option
from bench.report import fact, latencies, percentile, say
from bench.script_world import World
from bench.scripts import open_world
from builders import (
    a_catalog_entry,
    a_classify_job,
    a_failure,
    a_train_job,
    a_training_result,
    a_worker_status,
    an_epoch,
)
from gateway_builders import Gateway as RunningGateway
from gateway_builders import variables_of
from held_ports import Holder, hold_port
from ledger_fixtures import note_minute
from seqd.settings import Settings
from seqd_schemas import WorkerStatus, queue_of, route_of

MODELS = ("imdb_lstm", "char_lstm", "markov")
TENANTS = ("north", "south", "east")

#: The version that all jobs use.
VERSION = 0

#: Jobs that one command of the preparation writes, and over how long they were handed in.
_AT_ONCE = 5_000
_WEEK_MS = 7 * 24 * 3_600 * 1_000

#: Items of the job whose results are shown.
_RESULTS = 1_000

#: What a page may take.
_AIM_MS = 100

#: Seconds between two looks at a tab that is left open.
_LOOK_S = 10.0


@dataclass
class Console(Case):
    """Ask for each page of the console in turn; watch one in a browser, if it is asked for."""

    what = "pages of the console, with many jobs, workers and dead letters"

    jobs: int = option(1_000_000, "jobs that have ended")
    workers: int = option(1_000, "workers that are up")
    failures: int = option(9_000, "dead letters, all of one cause")
    epochs: int = option(2_000, "epochs of the training that is shown")
    rounds: int = option(20, "times that each page is asked for; pages take turns")
    watched_min: float = option(0.0, "minutes for which a tab stays open (needs Chromium)")

    def measure(self) -> None:
        week = Week(self.stack.enter_context(open_world(self.folder, 0, 0)))
        say(f"making {self.jobs:,} jobs, {self.workers:,} workers, {self.failures:,} dead letters")
        pages = week.fill(self)
        memory = week.world.redis.info("memory")["used_memory"]
        self.report.setup["memory of Redis"] = f"{memory / 1e6:,.0f} MB"
        stop = Flag()
        heart = Thread(target=week.beat, args=(self.workers, stop))
        heart.start()
        self.stack.callback(heart.join)
        self.stack.callback(stop.set)
        address = self._gateway(week.world.settings)
        self._ask(address, pages)
        if self.watched_min:
            self._watch(address, week)

    def _gateway(self, settings: Settings) -> str:
        log = self.folder / "gateway.log"
        gateway = RunningGateway(hold_port(Holder()), variables_of(settings), log)
        self.stack.callback(gateway.kill)
        gateway.start()
        return gateway.address

    def _ask(self, address: str, pages: dict[str, str]) -> None:
        times_ms = {name: list[float]() for name in pages}
        with httpx.Client(base_url=address, timeout=60.0) as client:
            for number in range(self.rounds + 1):
                say(f"round {number} of {self.rounds}" if number else "warming up")
                for name, path in pages.items():
                    began_s = time.perf_counter()
                    client.get(path).raise_for_status()
                    if number:
                        times_ms[name].append((time.perf_counter() - began_s) * 1_000)
        rows = [latencies(f"{name}, {pages[name]}", values) for name, values in times_ms.items()]
        self.report.add("a page", latencies=rows)
        over = [name for name, values in times_ms.items() if percentile(values, 50) > _AIM_MS]
        self.report.notes.append(
            f"above {_AIM_MS} ms at the median: {', '.join(over) or 'no page'}"
        )

    def _watch(self, address: str, week: "Week") -> None:
        """Leave a tab open at the first page, and look at what it holds; jobs come and go."""
        from playwright.sync_api import sync_playwright

        heap, nodes, listeners = list[float](), list[float](), list[float]()
        with sync_playwright() as playwright:
            path = which("chromium") or which("chromium-headless-shell")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            tab = browser.new_page(base_url=address)
            tab.goto("/")
            session = tab.context.new_cdp_session(tab)
            until_s = time.monotonic() + 60 * self.watched_min
            while time.monotonic() < until_s:
                week.change()
                tab.wait_for_timeout(_LOOK_S * 1_000)
                session.send("HeapProfiler.collectGarbage")
                heap.append(session.send("Runtime.getHeapUsage")["usedSize"])
                counters = session.send("Memory.getDOMCounters")
                nodes.append(counters["nodes"])
                listeners.append(counters["jsEventListeners"])
            said = tab.locator("#connection").inner_text()
            browser.close()
        tenth = max(1, len(heap) // 10)
        parts = {"in its first tenth": slice(tenth), "in its last": slice(-tenth, None)}
        held = (("JavaScript's heap", "bytes", heap), ("nodes", "count", nodes),
                ("listeners", "count", listeners))  # fmt: skip
        self.report.add(
            f"a tab that is open for {self.watched_min:g} min, at its end {said}",
            facts=[
                fact(f"{name}, {when}", unit, median(values[part]))
                for name, unit, values in held
                for when, part in parts.items()
            ],
        )


@dataclass
class Week:
    """A ledger as it is after a busy week."""

    world: World

    def fill(self, case: Console) -> dict[str, str]:
        """Make what a case asks for; return the paths of its pages, by what they show."""
        ledger = self.world.ledger
        self.world.fill()
        ledger.fleet.publish_catalog([a_catalog_entry(model=model) for model in MODELS], {})
        self._fail(case.failures)
        training, ended = self._train(case.epochs), self._end(case.jobs)
        (classified,) = self._hand_in(1, "north", items=_RESULTS)
        self.world.complete(self.world.claimed(VERSION), items=_RESULTS)
        waiting = self._hand_in(300, "north")[0]
        for minute in range(60, 0, -1):
            note_minute(ledger, ledger.fleet.now_ms() - minute * 60_000, minute * 100, minute)
        some = ledger.failures.newest(1)[0]
        return {
            "now": "/",
            "jobs": "/jobs",
            "jobs, of a state": "/jobs?state=failed",
            "jobs, of a tenant": "/jobs?tenant=east",
            "jobs, by metadata": "/jobs?text=batch%3Deast",
            "jobs, by the beginning of an id": f"/jobs?text={ended}",
            "a job that waits": f"/jobs/{waiting}",
            "a training": f"/jobs/{training}",
            "results": f"/jobs/{classified}/results",
            "one of them": f"/jobs/{classified}/results?item=item-7",
            "models": "/models",
            "a model": "/models/imdb_lstm",
            "try": "/try?model=imdb_lstm",
            "workers": "/workers",
            "a worker": "/workers/" + _status(0, 0).worker,
            "plugins": "/plugins",
            "dead letters": "/failures",
            "a dead letter": f"/failures/{some.id}",
            "webhooks": "/webhooks",
            "keys": "/keys",
        }

    def beat(self, workers: int, stop: Flag) -> None:
        """Publish workers' records, each as often as a worker does, until it is told to stop."""
        fleet, every_s = self.world.ledger.fleet, self.world.settings.heartbeat_s / workers
        for beat in itertools.count():
            for number in range(workers):
                fleet.publish_worker(_status(number, beat))
                if beat and stop.wait(every_s):
                    return

    def change(self) -> None:
        """Have some jobs come, and the oldest of those that wait go."""
        self._hand_in(3, "south")
        self.world.complete(self.world.claimed(VERSION))

    def _fail(self, count: int) -> None:
        failure = a_failure(message="The model's file is damaged: its digest is another one.")
        self._hand_in(count, "south")
        while claim := self.world.claim(version=VERSION):
            for unit in claim.units:
                self.world.ledger.work.fail_job(unit, failure)

    def _train(self, epochs: int) -> str:
        """Run a training to its end; return it."""
        work = self.world.ledger.work
        (name,) = self.world.small_jobs(1, a_train_job(tenant="north"), version=None)
        claim = work.claim("worker", [queue_of(route_of("train", "imdb_lstm"), None)])
        assert claim is not None
        (unit,) = claim.units
        for epoch in range(1, epochs + 1):
            metrics = {"loss": 0.7 / epoch**0.5, "validation_accuracy": 0.9 - 0.4 / epoch**0.5}
            work.publish(unit, an_epoch(name, epoch=epoch, epochs=epochs, metrics=metrics))
        work.commit_training(unit, a_training_result())
        return name

    def _end(self, count: int) -> str:
        """Write jobs that have ended, as the ledger would have; return how their ids begin."""
        kinds = [self._ended(tenant) for tenant in TENANTS]
        keys, now_ms = self.world.keys, self.world.ledger.fleet.now_ms()
        for first in range(0, count, _AT_ONCE):
            rows, ends = self.world.redis.pipeline(transaction=False), dict[str, float]()
            for number in range(first, min(count, first + _AT_ONCE)):
                at_ms = now_ms - _WEEK_MS * (count - number) // count
                name = f"{at_ms:011x}{number:010x}"
                # One in 20,000 is of a tenant that hands in little.
                kind = kinds[2 if number % 20_000 == 0 else number % 2]
                rows.hset(keys.job(name), mapping={**kind, b"created": at_ms, b"ended": at_ms + 9})
                ends[name] = at_ms
            rows.zadd(keys.jobs(), ends)
            rows.execute()
        return f"{now_ms - _WEEK_MS:011x}"[:6]

    def _ended(self, tenant: str) -> dict[bytes, bytes]:
        """Return the record of a job that a tenant has handed in, and that has completed."""
        (name,) = self._hand_in(1, tenant)
        self.world.complete(self.world.claimed(VERSION))
        return self.world.redis.hgetall(self.world.keys.job(name))

    def _hand_in(self, count: int, tenant: str, items: int = 1) -> list[str]:
        request = a_classify_job(tenant=tenant, metadata={"batch": tenant})
        return self.world.small_jobs(count, request, version=VERSION, items=items)


def _status(number: int, beat: int) -> WorkerStatus:
    """Return what one of many workers says at a beat of its heart."""
    slot, host, versions = f"gpu:{number % 8}", f"host{number // 8}", dict.fromkeys(MODELS, (0,))
    return a_worker_status(
        worker=f"{slot}@{host}-{number:06x}",
        slot=slot,
        host=host,
        models_loaded=tuple(f"{model}@0" for model in MODELS),
        loaded_bytes={f"{model}@0": 10_000_000 + beat for model in MODELS},
        versions=versions,
        run_tasks={},
    )
