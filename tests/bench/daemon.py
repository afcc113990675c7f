"""Programs that a benchmark starts: a `seqd up` of its own, commands on it, and the peers.

Whatever runs on the machine already is not touched. All are ended on the way out, on Ctrl-C, and by
the kernel when the benchmark is killed (on Linux).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import checkout
from seqd.client import Client
from seqd.errors import RedisUnreachable, SeqdError
from seqd.local.child import last_lines
from seqd.local.endpoint import ENDPOINT_NAME, Endpoint, read_endpoint, server_folder
from seqd.local.parent_death import launch_command
from seqd.local.slots import parse_slots
from seqd.settings import Settings
from seqd_schemas import FileSource, JobRecord, WorkerState

TESTS = Path(__file__).parent.parent
#: What the peers call the parameters of the tutorial's network, and of a step of its training.
_SIZES = {"words": "vocabulary_size", "longest": "max_tokens", "embedding": "embedding_dim",
          "units": "units", "batch": "batch_size"}  # fmt: skip
#: Seconds until workers are ready, and until they have told what they did.
_READY_S, _PUBLISHED_S = 120.0, 30.0
#: A worker has 30 s to finish its unit.
_END_S = 60.0
_POLL_S = 0.05


class Ran(NamedTuple):
    """A command: its seconds, its job, what workers did, and the processor time of each program."""

    seconds: float
    record: JobRecord
    work: dict[str, float]
    cpu_s: dict[str, float]

    @property
    def slot_s(self) -> float:
        """From the job's first claim to its end."""
        return max(1, (self.record.ended_at_ms or 0) - (self.record.started_at_ms or 0)) / 1000


@contextmanager
def running(
    module: str, log: Path, variables: Mapping[str, str], *options: str, pipe: int | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run `python -m MODULE …` for the time of a `with` block; output goes to a file, or a pipe."""
    # TensorFlow's notes on the processor are not what a log's end should show.
    own = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": checkout.python_path(TESTS)}
    with log.open("wb") as file:
        program = subprocess.Popen(
            launch_command([sys.executable, "-m", module, *options], signal.SIGTERM),
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or file,
            stderr=file,
            env={**os.environ, **own, **variables},
            text=True,
            start_new_session=True,  # A Ctrl-C reaches the benchmark alone, which then ends it.
        )
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()


def failure(what: str, log: Path) -> SeqdError:
    """Return an error that shows the end of a program's log."""
    return SeqdError(f"{what}. Its log ends with:\n" + "\n".join(last_lines(log, 12)))


class Peer(NamedTuple):
    """A running program that speaks `bench.peers.protocol`."""

    program: "subprocess.Popen[str]"
    log: Path

    def begin(self, do: str, **arguments: object) -> None:
        """Ask without waiting, so that several can work at once."""
        assert self.program.stdin is not None
        with suppress(BrokenPipeError):  # `answer` tells of one that has ended.
            self.program.stdin.write(json.dumps([do, arguments]) + "\n")
            self.program.stdin.flush()

    def answer(self) -> Any:
        """Wait for an answer. Raises SeqdError when the program has ended."""
        assert self.program.stdout is not None
        line = self.program.stdout.readline()
        if not line:
            raise failure(f"{self.log.stem} has ended", self.log)
        return json.loads(line)

    def ask(self, do: str, **arguments: object) -> Any:
        """Ask and wait. Raises as `answer`."""
        self.begin(do, **arguments)
        return self.answer()


class Daemon:
    """A running daemon with an embedded server, every worker of it ready, and commands on it."""

    def __init__(
        self,
        stack: ExitStack,
        data_dir: Path,
        slots: str,
        python_path: str = "",
        **variables: str,
    ) -> None:
        """Start it. Raises SeqdError, with the end of the log, when it does not get ready."""
        data_dir.mkdir(parents=True, exist_ok=True)
        self.slots, self.settings = parse_slots(slots), Settings(data_dir=data_dir)
        self.variables = {
            "SEQD_DATA_DIR": str(data_dir),
            "PYTHONPATH": checkout.python_path(after=python_path),
            **variables,
        }
        self._items = 0
        log, options = data_dir / "up.log", ("up", "--slots", slots, "--redis-port", "0")
        self._up = stack.enter_context(running("seqd", log, self.variables, *options))
        deadline = time.monotonic() + _READY_S
        while self._ready_workers() < len(self.slots):
            if self._up.poll() is not None or time.monotonic() > deadline:
                raise failure(f"`seqd up --slots {slots}` did not get ready", log)
            time.sleep(_POLL_S)

    def _ready_workers(self) -> int:
        try:
            with self.client() as client:
                return sum(worker.state is WorkerState.READY for worker in client.workers())
        except RedisUnreachable:
            return 0  # The server is still starting.

    def client(self) -> Client:
        return Client(settings=self.settings)

    @property
    def endpoint(self) -> Endpoint:
        """Where its server is."""
        found = read_endpoint(server_folder(self.settings) / ENDPOINT_NAME)
        assert found is not None, "the server's address is written before its workers start"
        return found

    def tutorial_sizes(self) -> dict[str, int]:
        """Read the sizes of the tutorial's network from what the workers publish of its preset."""
        with self.client() as client:
            preset = client.catalog()["imdb_lstm"].presets["tutorial"]
        return {name: int(str(preset[parameter])) for name, parameter in _SIZES.items()}

    def train(self, data: Path, model: str, preset: str, **parameters: int) -> tuple[int, float]:
        """Train a preset; returns the version's number, and the seconds that it took."""
        with self.client() as client:
            source = FileSource(path=str(data.absolute()))
            job = client.train(source, model=model, preset=preset, parameters={**parameters})
            training = job.wait().training
        assert training is not None, "a training that completed has made a version"
        return training.version, training.seconds

    def classify(self, path: Path, model: str, count: int) -> "Ran":
        """Run `seqd classify` on a file. Raises SeqdError unless so many results come back."""
        work, used, before = self._work(), self._cpu_s(), os.times()
        log = self.settings.data_dir / "classify.log"
        options = ("--model", model, "--force", "--out", str(log.with_name("results.jsonl")))
        began = time.perf_counter()
        with running("seqd", log, self.variables, "classify", str(path), *options) as program:
            program.wait()
            seconds, after = time.perf_counter() - began, os.times()
        self._items += count
        with self.client() as client:
            record = client.jobs(1)[0]
        if record.counts.done != count:
            raise failure(f"Of {count:,} items {record.counts.done:,} came back", log)
        done = {name: now - work[name] for name, now in self._work().items()}
        own = after.children_user + after.children_system
        cpu_s = {name: now - used[name] for name, now in self._cpu_s().items()}
        client_s = own - before.children_user - before.children_system
        return Ran(seconds, record, done, {"client": client_s, **cpu_s})

    def told(self, *arguments: str) -> Any:
        """Run `seqd … --json`, and return what it prints."""
        command = [sys.executable, "-m", "seqd", *arguments, "--json"]
        environment = {**os.environ, **self.variables}
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, env=environment).stdout)

    def _work(self) -> dict[str, float]:
        """Add up what its workers have done, once they tell of all that was classified."""
        deadline = time.monotonic() + _PUBLISHED_S
        while True:
            with self.client() as client:
                totals = [worker.work.model_dump() for worker in client.workers()]
            work = {name: sum(total[name] for total in totals) for name in totals[0]}
            if work["items"] >= self._items:
                return work
            if time.monotonic() > deadline:
                raise SeqdError(f"The workers tell of {work['items']:,} of {self._items:,} items.")
            time.sleep(_POLL_S)

    def memory_bytes(self) -> dict[str, int]:
        """Return what Redis has in use, and what the workers' processes have for themselves."""
        with self.client() as client:
            used = client.overview().memory.used_bytes
        server = self.endpoint.pid
        of_server = {server, *descendants_of(server)}
        workers = {self._up.pid, *descendants_of(self._up.pid)} - of_server
        return {"redis": used, "workers": sum(map(_private_bytes, workers))}

    def _cpu_s(self) -> dict[str, float]:
        """Return the processor time of the server and of the workers since their start."""
        server = self.endpoint.pid
        # Redis writes its files by a fork, whose memory is its own.
        of_server = {server, *descendants_of(server)}
        workers = {self._up.pid, *descendants_of(self._up.pid)} - of_server
        return {"redis": _cpu_s_of([server]), "workers": _cpu_s_of(workers)}


def _cpu_s_of(pids: Iterable[int]) -> float:
    """Sum up processor time, as Linux tells in /proc; a process that has ended counts for 0."""
    stats = filter(None, (_read(pid, "stat") for pid in pids))
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def _private_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # It has ended.
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def descendants_of(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that these have, and so on."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    parents = {child: int(stat[1]) for child in pids if (stat := _read(child, "stat"))}
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= new
    return found


def _read(pid: int, name: str) -> list[str]:
    """Return the words of /proc/PID/NAME, of `stat` those behind the program's name."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []  # It has ended.
