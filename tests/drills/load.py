"""Load for drills: a job that lasts until the drill is over, watched all the time.

`doubled` counts items that came twice. Where nothing breaks, as in a drain or a rolling restart, it
counts items that the light plugin computed twice as well, by what that notes of each call. What a
worker has in hand when it breaks can only be computed again.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from checkout import python_path
from cli_builders import clean_environment
from drills.result import DrillResult, counted
from endless.judgement import StallClock
from endless.work import Reviews
from fake_gpu_fixtures import Machine, fake_machine
from seqd.client import Client
from seqd.settings import Settings
from seqd_schemas import Item
from up_builders import Up, running_up
from worker_fixtures import PLUGIN, wait_until

#: Milliseconds that the light plugin takes for an item.
ITEM_MS = 4.0

DEADLINE_S = 600.0

#: Two slots; real models take long to load on a busy machine.
SLOTS, READY_S = "cpu:0,cpu:1", 150.0
GPU_SLOTS = "all@gpu:0,all@gpu:1"

#: So long that nothing that is lost would come back by itself in time.
LEASE_S = 60.0


class Load:
    """A job that goes on until it is finished, and what is seen of it."""

    def __init__(
        self, settings: Settings, folder: Path, texts: Sequence[str] = (), ahead: int = 1_000
    ) -> None:
        """Work is done by the light plugin, and by `imdb_lstm` where there are `texts`.

        These are sent again and again; `ahead` items wait at most: about a second's work.
        """
        self._calls = folder / "calls"
        self._texts, self._ahead = texts, ahead
        self._is_over = Event()
        self.sent = 0
        self._client = Client(settings=settings)
        self._watcher = Client(settings=settings)
        self.clock = StallClock(lambda: self.done())
        parameters = {"delay_ms": ITEM_MS, "calls": str(self._calls)}
        self._job = self._client.classify(
            self._items(),
            model="imdb_lstm" if texts else "echo",
            parameters=None if texts else parameters,
        )

    def done(self) -> int:
        """Return how many items have an end."""
        return self._watcher.job(self._job.job_id).record().counts.done

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
        # The light plugin's label is the text.
        label = None if self._texts else "text {}".format
        stall_s = self.clock.stall_s  # before the results are read, when nothing is done any more
        result = counted(name, self.sent, self._job.results(), stall_s, label=label)
        if not is_breakdown and not self._texts:
            calls = Counter(self._calls.read_text(encoding="utf-8").splitlines())
            result.doubled += sum(times - 1 for times in calls.values())
        return result

    def close(self) -> None:
        """Leave, also when the drill has failed."""
        self._is_over.set()
        for client in (self._client, self._watcher):
            client.close()

    def _items(self) -> Iterator[Item]:
        while True:
            while self.sent - self.clock.value > self._ahead:
                if self._is_over.wait(0.01):
                    break
            if self._is_over.is_set():
                return
            text = self._texts[self.sent % len(self._texts)] if self._texts else f"text {self.sent}"
            self.sent += 1
            yield Item(custom_id=f"row-{self.sent}", text=text)


@contextmanager
def two_slots(folder: Path, reviews: Path | None = None) -> Iterator[tuple[Up, Load]]:
    """Run a `seqd up` with two slots under load until the block ends."""
    plugins, texts, ahead = "light", list[str](), 1_000
    if reviews is not None:
        plugins, ahead = "imdb_lstm", 20_000
        texts = [text for _, text in Reviews.of_file(reviews, None).read()]
    with (
        running_up(folder, plugins=plugins, slots=SLOTS, ready_s=READY_S, lease_s=LEASE_S) as up,
        loaded(up.settings, folder, texts, ahead) as load,
    ):
        yield up, load


@contextmanager
def two_gpus(folder: Path) -> Iterator[tuple[Up, Machine]]:
    """Run a `seqd up` on two GPUs of a fake driver until the block ends."""
    machine = fake_machine(folder).add(2)
    with running_up(
        folder, slots=GPU_SLOTS, ready_s=READY_S, lease_s=LEASE_S, others=machine.variables
    ) as up:
        yield up, machine


@contextmanager
def loaded(
    settings: Settings, folder: Path, texts: Sequence[str] = (), ahead: int = 1_000
) -> Iterator[Load]:
    """Put load on a fleet; yields when its workers are well under way."""
    load = Load(settings, folder, texts, ahead)
    try:
        with load.clock:
            load.wait_for_more(200)
            load.clock.start_over()
            yield load
    finally:
        load.close()


def seqd(up: Up, *arguments: str, may_fail: bool = False) -> str:
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
    assert may_fail or ended.returncode == 0, ended.stderr + up.screen()
    return ended.stdout
