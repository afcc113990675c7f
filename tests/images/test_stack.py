"""The stack of docker/compose.yaml under load, from the first start to one from its volumes alone.

Real reviews, where they are. STACK_REVIEWS=25000 sends so many in each job and more; STACK_TABLE
names a file for the table that docker/README.md has.
"""

import gzip
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from threading import Event

import pytest

from checkout import ROOT
from container_builders import Storage
from drills.result import DrillResult, counted, table
from endless.judgement import StallClock
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

#: Reviews of each of the two jobs at least.
WANTED = int(os.environ.get("STACK_REVIEWS", "6000"))

#: Reviews of the job in the middle of which all is killed: a quick machine does 6,000 in 2 s.
IN_FILE = max(WANTED, 150_000)

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


def test_nothing_is_lost_while_workers_go_and_come_and_all_of_it_is_killed(
    stack: Stack, storage: Storage, tmp_path: Path
):
    storage.build("cpu", NEXT, REVISION="fedcba9876543210")
    rows = []

    started_s = _seconds_of(lambda: stack.compose("up", "-d", "--wait", timeout_s=READY_S))
    _wait_until_ready(stack, 2)
    with _Load(stack, tmp_path) as load:
        rows.append(load.drill("drain", lambda: _drain_one(stack)))
        rows.append(load.drill("a worker joins", lambda: _scale(stack, 3)))
        rows.append(load.drill("kill", lambda: _kill_one(stack)))
        rows.append(load.drill("rolling upgrade", lambda: _upgrade(stack)))
        result = load.finish("all of these, one job")
    rows.append(_kill_all_amid_a_job(stack, tmp_path))

    said = f"{table([*rows, result])}\n\nup -d --wait: {started_s:.0f} s\n"
    print(said)
    if path := os.environ.get("STACK_TABLE"):
        Path(path).write_text(said)
    for row in (*rows, result):
        assert row.is_clean, said
    assert result.items >= WANTED


class _Load:
    """A job that goes on until it is finished: real reviews, again and again."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        settings = Settings(data_dir=folder / "client", redis_url=stack.url("client"))
        self._clients = [Client(settings=settings) for _ in range(2)]
        self._is_over = Event()
        self._sent = 0
        self.clock = StallClock(lambda: self._done())
        self._job = self._clients[0].classify(self._items())

    def __enter__(self) -> "_Load":
        self.clock.__enter__()
        self.wait_for_more(200)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.clock.__exit__(None, None, None)
        for client in self._clients:
            client.close()

    def wait_for_more(self, items: int) -> None:
        """Wait until so many more items are done."""
        wanted = self.clock.value + items
        wait_until(lambda: self.clock.value >= wanted, f"{items} more are done", DEADLINE_S)

    def drill(self, name: str, act: Callable[[], object]) -> DrillResult:
        """Do something to the stack; return the longest stall of it and of what came after."""
        before = self.clock.value
        self.clock.start_over()
        act()
        self.wait_for_more(200)
        items = self.clock.value - before
        row = DrillResult(name=name, stall_s=self.clock.stall_s, items=items)
        print(row.row(), flush=True)
        return row

    def finish(self, name: str) -> DrillResult:
        """Send what is left of the wanted number, and count what came."""
        wait_until(lambda: self._sent >= WANTED, "all are sent", DEADLINE_S)
        self._is_over.set()
        self._job.wait(timeout_s=DEADLINE_S)
        stall_s = self.clock.stall_s  # before the results are read, when nothing is done any more
        return counted(name, self._sent, self._job.results(), stall_s)

    def _done(self) -> int:
        counts = self._clients[1].job(self._job.job_id).record().counts
        return counts.succeeded + counts.errored

    def _items(self) -> Iterator[Item]:
        for text in _texts():
            while self._sent - self.clock.value > AHEAD:
                if self._is_over.wait(0.01):
                    break
            if self._is_over.is_set():
                return
            self._sent += 1
            yield Item(custom_id=f"row-{self._sent}", text=text)


def _drain_one(stack: Stack) -> None:
    """Drain a worker, whose container then waits; have it work again."""
    first = stack.containers("worker")[0]
    target = f"cpu:0@{first.host}"
    _cli(stack, "workers", "drain", target, "--wait")
    wait_until(lambda: f"drained {target}" in " ".join(_states(stack)), "it waits", 60)
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

    wait_until(is_started_again, "Podman has started it again", 60)
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


def _kill_all_amid_a_job(stack: Stack, tmp_path: Path) -> DrillResult:
    """Have the stack start from its volumes alone, amid a job; return what came of that."""
    wanted = [f"review-{number}" for number in range(1, IN_FILE + 1)]
    texts = islice(_texts(), IN_FILE)
    rows = [{"id": one, "text": text} for one, text in zip(wanted, texts, strict=True)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (stack.input / "reviews.jsonl").write_text(lines)
    killed = [one.name for one in stack.containers()]
    job_id = _cli(stack, "classify", "/input/reviews.jsonl", "--detach").split()[-1]
    with _Watch(stack, tmp_path, job_id) as watch:
        wait_until(lambda: watch.clock.value > 0, "the job is under way", DEADLINE_S)
        watch.clock.start_over()
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
    name = "all killed, started from the volumes"
    return counted(name, IN_FILE, came, watch.clock.stall_s, ids=wanted)


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


def _texts() -> Iterator[str]:
    """Yield texts without an end: real reviews, where they are."""
    if not REVIEWS.is_file():
        return cycle(MADE_UP)
    with gzip.open(REVIEWS, "rt", encoding="utf-8") as file:
        return cycle([str(json.loads(line)["text"]) for line in file])


def _wait_until_ready(stack: Stack, workers: int) -> None:
    """Wait until so many workers take work, by what the ledger has of them."""
    with Client(settings=Settings(redis_url=stack.url("client"))) as client:

        def are_ready() -> bool:
            states = [str(one.state) for one in client.workers() if one.models_loaded]
            return len([state for state in states if state in ("ready", "busy")]) >= workers

        wait_until(are_ready, f"{workers} workers are ready", READY_S)


def _seconds_of(act: Callable[[], object]) -> float:
    began_s = time.monotonic()
    act()
    return time.monotonic() - began_s
