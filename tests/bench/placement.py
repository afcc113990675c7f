"""A dozen models on two workers whose memory holds half of them each, under a mixed load.

Clients hand in jobs of some reviews each, one after the other, of a model drawn at random: the
first is asked for most. Each side is a daemon of its own: one in which workers load whatever comes,
and one in which they leave to others what those have in memory.
"""

import random
import shutil
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.case import Case, option
from bench.daemon import Daemon
from bench.report import latencies, row, say
from bench.texts import TEST_FILE, reviews_of
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft, read_manifest
from seqd.settings import Settings
from seqd_schemas import WorkerStatus

PLUGIN = "imdb_lstm"

#: Bytes of one version of the starter in memory, and room beside those that are to fit.
VERSION_BYTES = 17_300_000


@dataclass
class Measured:
    """What one run of a daemon gave."""

    loads_a_minute: float = 0.0
    items_per_s: float = 0.0
    waits_ms: list[float] = field(default_factory=list)


@dataclass
class Placement(Case):
    """Load a dozen models on two workers that hold half of them, with and without leaving."""

    what = "loads of models a minute under a mixed load, where each worker holds half of them"

    models: int = option(12, "named models, all copies of the shipped classifier")
    fits: int = option(6, "models that one worker's memory holds")
    clients: int = option(6, "clients, each with one job at a time")
    items: int = option(64, "reviews of a job")
    pause_s: float = option(0.05, "mean pause of a client between two jobs")
    before_s: float = option(
        20.0, "seconds before the measurement, in which models find their place"
    )
    seconds: float = option(60.0, "seconds of the measurement")
    rounds: int = option(1, "rounds; sides take turns")

    def measure(self) -> None:
        self._texts = [text for text, _ in reviews_of(self.file_or(TEST_FILE), 2_000).rows]
        self._names = [f"model_{number:02}" for number in range(self.models)]
        self._copy_starter()
        sides = {"loads whatever comes": "0", "leaves to others": "2"}
        found: dict[str, list[Measured]] = {name: [] for name in sides}
        for number in range(self.rounds):
            for name in sides if number % 2 == 0 else reversed(sides):
                say(f"round {number + 1} of {self.rounds}: {name}")
                with ExitStack() as stack:
                    found[name].append(self._run(stack, sides[name]))
        titles = {"loads a minute": "loads_a_minute", "items a second": "items_per_s"}
        for title, attribute in titles.items():
            rows = [
                row(name, "a second", [getattr(one, attribute) for one in found[name]])
                for name in sides
            ]
            self.report.add(title, rows)
        self.report.add(
            f"a job of {self.items} reviews",
            latencies=[
                latencies(name, [wait for one in found[name] for wait in one.waits_ms])
                for name in sides
            ],
        )

    def _copy_starter(self) -> None:
        from seqd_imdb_lstm import seqd_register_models

        (described,) = [one for one in seqd_register_models() if one.name == PLUGIN]
        assert described.starter is not None
        manifest = read_manifest(described.starter)
        store = ModelStore(Settings(data_dir=self.folder / "data").store_dir, {})
        for name in self._names:
            folder = store.new_folder(name, "bench")
            for file in manifest.files:
                shutil.copyfile(described.starter / file, folder / file)
            store.publish(
                folder,
                VersionDraft(
                    model=name,
                    plugin=PLUGIN,
                    plugin_version=manifest.plugin_version,
                    parameters=manifest.parameters,
                    metrics=manifest.metrics,
                    data=manifest.data,
                    created_at_ms=1,
                ),
            )

    def _run(self, stack: ExitStack, wait_s: str) -> Measured:
        budget = int((self.fits + 0.5) * VERSION_BYTES)
        daemon = Daemon(
            stack,
            self.folder / "data",
            self.slots,
            SEQD_MODEL_CACHE_BYTES=str(budget),
            SEQD_UNLOAD_WAIT_S=wait_s,
            SEQD_ENABLED_PLUGINS=PLUGIN,
            SEQD_HEARTBEAT_S="1",
        )
        load = Load(daemon, self._names, self._texts, self.items, self.pause_s)
        threads = [
            threading.Thread(target=load.run, args=(seed,), daemon=True)
            for seed in range(self.clients)
        ]
        for thread in threads:
            thread.start()
        time.sleep(self.before_s)
        began, before, done = time.monotonic(), loads_of(daemon), load.done
        load.waits_ms.clear()
        time.sleep(self.seconds)
        seconds = time.monotonic() - began
        loads, items = loads_of(daemon) - before, load.done - done
        waits = list(load.waits_ms)
        load.stop.set()
        for thread in threads:
            thread.join()
        return Measured(60 * loads / seconds, items * self.items / seconds, waits)


class Load:
    """Clients that each have one job at a time; a thread runs one of them."""

    def __init__(
        self, daemon: Daemon, models: list[str], texts: list[str], items: int, pause_s: float
    ) -> None:
        self.stop = threading.Event()
        #: Jobs that have completed, and what each of them took.
        self.done = 0
        self.waits_ms: list[float] = []
        self._daemon, self._models, self._texts = daemon, models, texts
        self._items, self._pause_s = items, pause_s
        self._lock = threading.Lock()

    def run(self, seed: int) -> None:
        """Hand jobs in, one after the other, until `stop` is set."""
        draw = random.Random(seed)
        weights = [1 / (place + 1) for place in range(len(self._models))]
        with self._daemon.client() as client:
            while not self.stop.is_set():
                (model,) = draw.choices(self._models, weights)
                began = time.monotonic()
                client.classify(draw.sample(self._texts, self._items), model=model).wait()
                with self._lock:
                    self.done += 1
                    self.waits_ms.append(1000 * (time.monotonic() - began))
                self.stop.wait(draw.expovariate(1 / self._pause_s) if self._pause_s else 0)


def loads_of(daemon: Daemon) -> int:
    """Return how often workers have loaded a version, as they published it last."""
    with daemon.client() as client:
        workers: list[WorkerStatus] = client.workers()
        return sum(worker.model_loads for worker in workers)
