"""Small jobs, one text each, beside plain Celery's one task a text.

Several client processes hand in and read at once, on both sides; both have the same Redis, its
append-only file on, and as many worker processes. Also what one job of many texts comes to. With a
model that does nothing, which shows the daemon alone, and with the shipped classifier.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.case import Case, option
from bench.daemon import TESTS, Daemon, Peer, running
from bench.report import Side, in_turn, ratios, row, say, warm_up
from bench.texts import TEST_FILE, Reviews, reviews_of
from seqd.errors import SeqdError
from seqd.ledger.wakeup import broker_settings
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft
from seqd.settings import Settings
from seqd_schemas import DataFingerprint

MODEL = "imdb_lstm@0"
#: A model of the endless run, which gives each text back: all that is timed is the daemon.
ECHO, PLUGIN = "pace", TESTS / "endless" / "plugin"
_CELERY = ("-A", "bench.peers.celery_tasks", "worker", "-l", "ERROR", "--without-gossip",
           "--without-mingle", "-c")  # fmt: skip


@dataclass
class Jobs(Case):
    """Run small jobs of one text each beside plain Celery."""

    what = "small jobs of one text each, beside plain Celery with one task and result a text"

    light_jobs: int = option(20_000, "one-text jobs of the model of no work")
    review_jobs: int = option(10_000, "one-review jobs of the shipped classifier")
    texts: int = option(200_000, "texts of the one large job")
    tasks: int = option(2_000, "Celery's tasks")
    clients: int = option(4, "client processes")
    window: int = option(1_000, "jobs that a client has open at a time")
    rounds: int = option(5, "rounds; sides take turns")

    def measure(self) -> None:
        for name in ("light_jobs", "review_jobs", "tasks"):  # Each client takes the same share.
            share = max(1, round(getattr(self, name) / self.clients))
            self.report.setup[name.replace("_", " ")] = share * self.clients
            setattr(self, name, share * self.clients)
        reviews = reviews_of(self.file_or(TEST_FILE), self.review_jobs)
        self.report.setup["reviews from"] = reviews.source
        real = reviews.write(self.folder / "reviews.jsonl")
        numbers = Reviews([(f"text {number}", "") for number in range(1_000)], "numbers")
        light = numbers.write(self.folder / "light.jsonl")
        say("starting the daemon, Celery's worker and the clients")
        publish_echo(Settings(data_dir=self.folder / "data"))
        daemon = self.daemon(self.slots, python_path=str(PLUGIN))
        address = celery_beside(self, daemon)

        def clients(texts: Path, count: int, number: int) -> list[Peer]:
            variables = {"SEQD_DATA_DIR": daemon.variables["SEQD_DATA_DIR"]}
            made = {"texts": str(texts), "count": count // number}
            return [self.peer("one_client", variables, **made) for _ in range(number)]

        lights = clients(light, self.light_jobs, self.clients)
        reals = clients(real, self.review_jobs, self.clients)
        one = clients(light, self.texts, 1)
        celery = [self.peer("peers.celery_tasks", address) for _ in range(self.clients)]
        each, tasks = {"do": "each", "window": self.window}, self.tasks // self.clients
        sides: dict[str, Side] = {
            name: partial(rate, peers, count, **asked)
            for name, peers, count, asked in (
                (f"seqd, {self.light_jobs:,} jobs, model that does nothing", lights,
                 self.light_jobs, {**each, "model": ECHO}),
                (f"seqd, {self.review_jobs:,} jobs, one review each", reals,
                 self.review_jobs, {**each, "model": MODEL}),
                (f"seqd, one job of {self.texts:,} texts", one,
                 self.texts, {"do": "together", "model": ECHO}),
                (f"Celery, {self.tasks:,} tasks with results", celery,
                 self.tasks, {"do": "run", "count": tasks}),
            )
        }  # fmt: skip
        warm_up(sides)
        *own, other = in_turn(sides, self.rounds).items()
        rows = [row(name, "a second", speed) for name, speed in (*own, other)]
        self.report.add("texts a second, each with its result read", rows)
        beside = [row(f"{name} / Celery", "times", ratios(speed, other[1])) for name, speed in own]
        self.report.add("how many times as fast", beside)


def celery_beside(case: Case, daemon: Daemon) -> dict[str, str]:
    """Start a worker of plain Celery on a daemon's Redis; gives Celery's variables for others."""
    broker = broker_settings(daemon.endpoint.url, daemon.settings)["broker_url"]
    address = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"), str(broker))
    options = (*_CELERY, str(len(daemon.slots)))
    case.stack.enter_context(running("celery", case.folder / "celery.log", address, *options))
    return address


def rate(peers: list[Peer], texts: int, do: str, **arguments: object) -> float:
    """Let all work at once; gives texts a second. Raises SeqdError when a result went wrong."""
    began = time.perf_counter()
    for peer in peers:
        peer.begin(do, **arguments)
    lost = sum(peer.answer() for peer in peers)
    took_s = time.perf_counter() - began
    if lost:
        raise SeqdError(f"{lost:,} results of a round went wrong; it counts for nothing.")
    return texts / took_s


def publish_echo(settings: Settings) -> None:
    """Lay a version of a model that does nothing into the store."""
    store = ModelStore(settings.store_dir, {})
    files = store.new_folder(ECHO, "bench")
    (files / "echo.json").write_text("{}")  # as the plugin calls it
    data = DataFingerprint(description="nothing", records=1, sha256="0" * 64)
    draft: dict[str, Any] = {"parameters": {}, "metrics": {}, "data": data, "created_at_ms": 1}
    store.publish(files, VersionDraft(model=ECHO, plugin_version="1.0", **draft))
