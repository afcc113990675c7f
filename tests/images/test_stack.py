"""The stack of docker/compose.yaml under load, from the first start to one from its volumes alone.

Real reviews, where they are.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from threading import Event

import pytest

from checkout import ROOT
from container_builders import Storage
from endless.judgement import StallClock, Tally, judged
from endless.work import Reviews
from seqd.client import Client
from seqd.errors import RedisUnreachable
from seqd.settings import Settings
from seqd_schemas import ITEM_RESULT, Item
from stack_builders import Stack, missing_parts, running_stack
from worker_fixtures import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(1_800),
]

NEXT = "localhost/seqd:next"
REVIEWS = ROOT.parent / "shared" / "data" / "imdb" / "train.jsonl.gz"
MADE_UP = ("A wonderful film, moving and beautifully acted.", "Dull, badly written, a waste.")

#: Reviews of the job in the middle of which all is killed: a quick machine does 6,000 in 2 s.
IN_FILE = 150_000

#: Items that wait at most: enough for two workers, and so few that a fault does not outlast them.
AHEAD = 6_000

#: A worker compiles its kernels when it first starts, on a share of a core.
READY_S, DEADLINE_S = 300.0, 600.0


@pytest.fixture
def stack(
    storage: Storage, cpu: str, redis_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    if why := missing_parts():
        pytest.skip(why)
    # Without the one that trains: it would take its share of the cores.
    monkeypatch.setenv("STACK_TRAINERS", "0")
    tmp_path.chmod(0o755)
    with running_stack(storage, tmp_path, cpu, redis_image) as stack:
        yield stack


class Load:
    """A job of reviews that goes on until it is finished, and how many of them are done."""

    def __init__(self, settings: Settings) -> None:
        self._is_over, self._sent = Event(), 0
        self._client, self._watcher = Client(settings=settings), Client(settings=settings)
        self._done = StallClock(lambda: self._watcher.job(self._job.job_id).record().counts.done)
        self._job = self._client.classify(self._items(), model="imdb_lstm")

    @classmethod
    @contextmanager
    def put_on(cls, settings: Settings) -> Iterator["Load"]:
        load = cls(settings)
        try:
            with load._done:
                load.wait_for_more(200)
                yield load
        finally:
            load._is_over.set()
            load._client.close()
            load._watcher.close()

    def wait_for_more(self, items: int) -> None:
        wanted = self._done.value + items
        wait_until(lambda: self._done.value >= wanted, f"{items} more are done", DEADLINE_S)

    def finish(self) -> Tally:
        """Send no more, wait for the end of the job, and count what came."""
        self._is_over.set()
        self._job.wait(timeout_s=DEADLINE_S)
        return judged(self._job.results(), self._sent)

    def _items(self) -> Iterator[Item]:
        for text in cycle(texts()):
            while self._sent - self._done.value > AHEAD and not self._is_over.wait(0.01):
                continue
            if self._is_over.is_set():
                return
            self._sent += 1
            yield Item(custom_id=f"row-{self._sent}", text=text)


def test_nothing_is_lost_while_workers_go_and_come_and_all_of_it_is_killed(
    stack: Stack, storage: Storage, tmp_path: Path
):
    storage.build("cpu", NEXT, REVISION="fedcba9876543210")
    stack.compose("up", "-d", "--wait", timeout_s=READY_S)
    _wait_until_ready(stack, 2)

    settings = Settings(data_dir=tmp_path / "client", redis_url=stack.url("client"))
    with Load.put_on(settings) as load:
        _drain_one(stack)
        load.wait_for_more(200)
        _scale(stack, 3)
        load.wait_for_more(200)
        _kill_one(stack)
        load.wait_for_more(200)
        _upgrade(stack)
        load.wait_for_more(200)
        came = load.finish()

    assert came.is_clean, came
    came = _kill_all_amid_a_job(stack, tmp_path)
    assert came.is_clean, came


def _drain_one(stack: Stack) -> None:
    """Drain a worker, whose container then waits; have it work again."""
    first = stack.containers("worker")[0]
    target = f"cpu:0@{first.host}"
    _cli(stack, "workers", "drain", target, "--wait")
    wait_until(lambda: f"drained {target}" in " ".join(_states(stack)), "it waits")
    _cli(stack, "workers", "uncordon", target, "--wait")


def _scale(stack: Stack, workers: int) -> None:
    command = ("up", "-d", "--no-deps", "--no-recreate", "--scale", f"worker={workers}", "worker")
    stack.compose(*command)
    _wait_until_ready(stack, workers)


def _kill_one(stack: Stack) -> None:
    """Kill all that is in a container; it is started again, as `restart` in the file says."""
    second = stack.containers("worker")[1]
    os.kill(second.pid, signal.SIGKILL)

    def is_started_again() -> bool:
        found = [one for one in stack.containers("worker") if one.name == second.name]
        return any(one.pid not in (0, second.pid) for one in found)

    wait_until(is_started_again, "Podman has started it again")
    _wait_until_ready(stack, 3)


def _upgrade(stack: Stack) -> None:
    """Start as many workers of the next image, and stop the old ones when those are ready."""
    old = stack.containers("worker")
    stack.image = NEXT
    _scale(stack, len(old) + 2)
    for one in old:
        stack.storage.podman("stop", "--time", "45", one.name)
        stack.storage.podman("rm", one.name)
    assert {one.image for one in stack.containers("worker")} == {NEXT}


def _kill_all_amid_a_job(stack: Stack, tmp_path: Path) -> Tally:
    """Have the stack start from its volumes alone, amid a job; return what came of that."""
    wanted = [f"review-{number}" for number in range(1, IN_FILE + 1)]
    rows = [{"id": one, "text": text} for one, text in zip(wanted, cycle(texts()), strict=False)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (stack.input / "reviews.jsonl").write_text(lines)
    killed = [one.name for one in stack.containers()]
    job_id = _cli(stack, "classify", "/input/reviews.jsonl", "--detach").split()[-1]
    with _Watch(stack, tmp_path, job_id) as watch:
        wait_until(lambda: watch.clock.value > 0, "the job is under way", DEADLINE_S)
        stack.storage.podman("kill", *killed)
        # By itself, and last: the others depend on Redis, and Podman removes several at once.
        stack.storage.podman("rm", *killed[1:])
        stack.storage.podman("rm", killed[0])
        done = watch.clock.value
        assert done < IN_FILE, "the job was over before the stack was killed"
        stack.compose("up", "-d", "--wait", timeout_s=READY_S)
        wait_until(lambda: watch.clock.value > done, "the job goes on", DEADLINE_S)

    results = _cli(stack, "jobs", "results", job_id).splitlines()
    came = (ITEM_RESULT.validate_json(line) for line in results if line.startswith("{"))
    return judged(came, IN_FILE, ids=wanted)


class _Watch:
    """How much of a job is done, as far as there is a Redis to ask."""

    def __init__(self, stack: Stack, folder: Path, job_id: str) -> None:
        self._stack, self._folder, self._job_id = stack, folder, job_id
        self._client: Client | None = None
        self._value = 0
        self.clock = StallClock(self._done)

    def __enter__(self) -> "_Watch":
        self.clock.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.clock.__exit__(None, None, None)
        self._close()

    def _done(self) -> int:
        try:
            self._client = self._client or self._connected()
            if self._client is not None:
                counts = self._client.job(self._job_id).record().counts
                self._value = counts.succeeded + counts.errored
        except RedisUnreachable:
            self._close()  # the next one may have another address
        return self._value

    def _connected(self) -> Client | None:
        url = self._stack.url("client")
        if not url:
            return None
        settings = Settings(
            data_dir=self._folder / "watch", redis_url=url, redis_timeout_s=3.0, outage_s=1.0
        )
        return Client(settings=settings)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


def _cli(stack: Stack, *arguments: str) -> str:
    return stack.compose("run", "--rm", "-T", "--no-deps", "cli", *arguments).out


def _states(stack: Stack) -> list[str]:
    """Return the state of each worker and its name, as `workers list` has them."""
    listed = json.loads(_cli(stack, "workers", "list", "--json"))
    return [f"{one['state']} {one['worker']}" for one in listed["workers"]]


def texts() -> list[str]:
    """Return real reviews, where they are."""
    if not REVIEWS.is_file():
        return [*MADE_UP]
    return [text for _, text in Reviews.of_file(REVIEWS, None).read()]


def _wait_until_ready(stack: Stack, workers: int) -> None:
    """Wait until so many workers take work, by what the ledger has of them."""
    with Client(settings=Settings(redis_url=stack.url("client"))) as client:

        def are_ready() -> bool:
            states = [str(one.state) for one in client.workers() if one.models_loaded]
            return len([state for state in states if state in ("ready", "busy")]) >= workers

        wait_until(are_ready, f"{workers} workers are ready", READY_S)
