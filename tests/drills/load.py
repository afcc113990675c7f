"""Load for drills: a job that lasts until the drill is over, watched all the time.

`doubled` counts items that came twice. Where nothing breaks, as in a drain or a rolling restart, it
counts items that were computed twice as well: of the light plugin by what it notes of each call, of
a real model by the units that were started more than once. What a worker has in hand when it breaks
can only be computed again.
"""

import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count, cycle
from pathlib import Path
from threading import Event

from checkout import python_path
from cli_builders import clean_environment
from drills.result import DrillResult, StallClock, counted
from fake_gpu_fixtures import Machine, fake_machine
from seqd.client import Client
from seqd.ledger import connect
from seqd.local.endpoint import redis_url_of
from seqd.settings import Settings
from seqd_schemas import Item
from up_builders import Up, running_up
from worker_fixtures import PLUGIN, wait_until

#: Milliseconds that the light plugin takes for an item.
ITEM_MS = 4.0

DEADLINE_S = 240.0

#: Two slots; real models take long to load on a busy machine.
SLOTS, READY_S = "cpu:0,cpu:1", 150.0
GPU_SLOTS = "all@gpu:0,all@gpu:1"

#: So long that nothing that is lost would come back by itself in time.
LEASE_S = 60.0


@dataclass(frozen=True)
class Model:
    """What the load runs on: the light plugin, or a real model and real texts for it."""

    name: str = "echo"
    reviews: Path | None = None

    @property
    def ahead(self) -> int:
        """Items that wait at most: about a second's work, so that there always is some."""
        return 1_000 if self.reviews is None else 20_000

    def texts(self) -> Iterator[str]:
        """Yield texts without an end."""
        if self.reviews is None:
            return (f"text {number}" for number in count())
        with gzip.open(self.reviews, "rt", encoding="utf-8") as file:
            return cycle([str(json.loads(line)["text"]) for line in file])


class Load:
    """A job that goes on until it is finished, and what is seen of it."""

    def __init__(self, settings: Settings, folder: Path, model: Model) -> None:
        self._settings = settings
        self._calls = folder / "calls"
        self._model = model
        self._is_over = Event()
        self._sent = 0
        self._client = Client(settings=settings)
        self._watcher = Client(settings=settings)
        self.clock = StallClock(lambda: self.done())
        parameters = {"delay_ms": ITEM_MS, "calls": str(self._calls)}
        self._job = self._client.classify(
            self._items(),
            model=model.name,
            parameters=None if model.reviews else parameters,
        )

    def done(self) -> int:
        """Return how many items have an end."""
        counts = self._watcher.job(self._job.job_id).record().counts
        return counts.succeeded + counts.errored

    def wait_for_more(self, items: int) -> None:
        """Wait until so many more items are done."""
        wanted = self.clock.value + items
        wait_until(lambda: self.clock.value >= wanted, f"{items} more are done", DEADLINE_S)

    def finish(self, name: str, *, is_breakdown: bool = False) -> DrillResult:
        """Send no more, wait for the end of the job, and count what came.

        After a breakdown items may have been computed twice, if only they came once.
        """
        self._is_over.set()
        self._job.wait(timeout_s=DEADLINE_S)
        sent = [f"row-{number}" for number in range(1, self._sent + 1)]
        result = counted(name, sent, self._job.results(), self.clock.stall_s)
        if is_breakdown:
            return result
        return replace(result, doubled=result.doubled + self._computed_twice())

    def close(self) -> None:
        """Leave, also when the drill has failed."""
        self._is_over.set()
        for client in (self._client, self._watcher):
            client.close()

    def _items(self) -> Iterator[Item]:
        for text in self._model.texts():
            while self._sent - self.clock.value > self._model.ahead:
                if self._is_over.wait(0.01):
                    break
            if self._is_over.is_set():
                return
            self._sent += 1
            yield Item(custom_id=f"row-{self._sent}", text=text)

    def _computed_twice(self) -> int:
        if self._model.reviews is None:
            calls = Counter(self._calls.read_text(encoding="utf-8").splitlines())
            return sum(times - 1 for times in calls.values())
        keys = self._settings.keys
        with connect(redis_url_of(self._settings)) as redis:
            starts = redis.hgetall(keys.attempts(self._job.job_id))
            sizes = redis.hgetall(keys.sizes(self._job.job_id))
        unit_items = self._job.record().unit_items
        return sum(
            (int(times) - 1) * int(sizes.get(unit, unit_items))
            for unit, times in starts.items()
            if unit != b"ingest"
        )


def two_slots(folder: Path, model: Model) -> AbstractContextManager[Up]:
    """Run a `seqd up` with two slots for the model until the block ends."""
    plugins = "light" if model.reviews is None else model.name
    return running_up(folder, plugins=plugins, slots=SLOTS, ready_s=READY_S, lease_s=LEASE_S)


@contextmanager
def two_gpus(folder: Path) -> Iterator[tuple[Up, Machine]]:
    """Run a `seqd up` on two GPUs of a fake driver until the block ends."""
    machine = fake_machine(folder).add(2)
    with running_up(
        folder, slots=GPU_SLOTS, ready_s=READY_S, lease_s=LEASE_S, others=machine.variables
    ) as up:
        yield up, machine


@contextmanager
def loaded(settings: Settings, folder: Path, model: Model | None = None) -> Iterator[Load]:
    """Put load on a fleet; yields when its workers are well under way."""
    load = Load(settings, folder, model or Model())
    try:
        with load.clock:
            load.wait_for_more(200)
            load.clock.start_over()
            yield load
    finally:
        load.close()


def seqd(up: Up, *arguments: str) -> str:
    """Run a command on a `seqd up`; return what it prints."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "seqd", *arguments],
        env=clean_environment(
            SEQD_DATA_DIR=str(up.settings.data_dir), PYTHONPATH=python_path(PLUGIN)
        ),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + up.screen()
    return ended.stdout
