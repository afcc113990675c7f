"""The bench's own daemon: `seqd up` with an embedded server, in a folder that goes with it.

Whatever runs on the machine already is not touched: no SEQD_ variable of the caller is handed
on, the server has a free port of the loopback address. Ended in every case: on the way out, on
Ctrl-C, and by the kernel when the bench is killed (on Linux).
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from seqd.bench import usage
from seqd.bench.peer import end_program
from seqd.client import Client
from seqd.errors import InvalidSettings, RedisUnreachable, SeqdError
from seqd.server.endpoint import ENDPOINT_NAME, Endpoint, read_endpoint, server_folder
from seqd.settings import Settings
from seqd.slots import Slot, cores, parse_slots
from seqd.supervisor import launch_command
from seqd.supervisor.logs import last_lines
from seqd_schemas import WorkerState, WorkTotals

READY_S = 120.0
#: Longest that one command may take: a million reviews take minutes.
_COMMAND_S = 7_200.0
#: A worker has 30 s to finish its unit, so that much and a little for the server.
_STOP_S = 60.0
#: Workers publish what they have done with each change of their state, and every heartbeat.
_PUBLISHED_S = 30.0
_POLL_S = 0.05
_LOG_LINES = 12


class OwnSettings(Settings):
    """Settings that nobody's environment has a say in: a client of them finds this daemon."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """See pydantic-settings: values that are passed, and the defaults."""
        return (init_settings,)


def serving_slots() -> str:
    """Name one serving slot a core, as `--slots` takes them."""
    return ",".join(f"cpu:{number}" for number in range(cores()))


def clean_environment(slots: Sequence[Slot] = ()) -> dict[str, str]:
    """Give the caller's variables without settings of seqd; GPUs are hidden if no slot has one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEQD_")}
    # TensorFlow's notes on the processor are not what a log's end should show.
    kept["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if slots and all(slot.kind == "cpu" for slot in slots):
        kept["CUDA_VISIBLE_DEVICES"] = "-1"
    return kept


@dataclass(frozen=True, slots=True)
class CommandRun:
    """How a command of ours went."""

    seconds: float
    usage: usage.Usage


class BenchDaemon:
    """A running daemon, and commands run on it."""

    def __init__(
        self,
        data_dir: Path,
        slots: tuple[Slot, ...],
        up: "subprocess.Popen[bytes]",
        environment: Mapping[str, str],
    ) -> None:
        self.slots = slots
        self.data_dir = data_dir
        self.environment = dict(environment)
        self.settings = OwnSettings(data_dir=data_dir)
        self._up = up

    @property
    def endpoint(self) -> Endpoint:
        """Where its server is."""
        found = read_endpoint(server_folder(self.settings) / ENDPOINT_NAME)
        if found is None:
            raise RedisUnreachable("The bench's own Redis server is gone; run the bench again.")
        return found

    def client(self) -> Client:
        """Open a client of it."""
        return Client(settings=self.settings)

    def command(self, *arguments: str, allowed: Sequence[int] = (0,)) -> CommandRun:
        """Run `seqd …` to its end; gives seconds from its start to its end, and what it used.

        Raises SeqdError with the end of what it said when its status is another one.
        """
        said = self.data_dir / "command.log"
        cpu_s = _cpu_s_of_ended_children()
        with said.open("wb") as log:
            began = time.perf_counter()
            program = _start([*_SEQD, *arguments], self.environment, log)
        try:
            with usage.PeakWatch(program.pid) as watch:
                status = program.wait(_COMMAND_S)
                took_s = time.perf_counter() - began
        except subprocess.TimeoutExpired:
            raise SeqdError(
                f"`seqd {arguments[0]}` was not done within {_COMMAND_S:g} s; try a smaller number."
            ) from None
        finally:
            end_program(program, _STOP_S)
        used = usage.Usage(_cpu_s_of_ended_children() - cpu_s, watch.peak_bytes)
        if status not in allowed:
            tail = "\n".join(last_lines(said, _LOG_LINES))
            raise SeqdError(f"`seqd {arguments[0]}` ended with status {status} and said:\n{tail}")
        return CommandRun(took_s, used)

    def work(self, items: int) -> WorkTotals:
        """Add up what its workers have done since they started, once they tell of `items` items.

        Raises SeqdError when they do not.
        """
        deadline = time.monotonic() + _PUBLISHED_S
        while (work := self._work_so_far()).items < items:
            if time.monotonic() > deadline:
                raise SeqdError(f"The workers tell of {work.items:,} items, {items:,} were due.")
            time.sleep(_POLL_S)
        return work

    def usage(self) -> dict[str, usage.Usage]:
        """Give what the server and the workers have used since their start, by these names."""
        server = self.endpoint.pid
        workers = {self._up.pid, *usage.descendants_of(self._up.pid)} - {server}
        return {"redis": usage.usage_of([server]), "workers": usage.usage_of(workers)}

    def _work_so_far(self) -> WorkTotals:
        with self.client() as client:
            totals = [worker.work.model_dump() for worker in client.workers()]
        names = WorkTotals.model_fields
        return WorkTotals(**{name: sum(total[name] for total in totals) for name in names})


_SEQD = (sys.executable, "-m", "seqd")


@contextmanager
def bench_daemon(
    data_dir: Path, slots: str, *, python_path: Path | None = None
) -> Iterator[BenchDaemon]:
    """Run a daemon for the time of a `with` block, every worker of it ready.

    `python_path` has plugins beside the installed ones. Raises InvalidSettings, with the end of
    the log, when the workers do not get ready.
    """
    parsed = parse_slots(slots)
    data_dir.mkdir(parents=True, exist_ok=True)
    environment = clean_environment(parsed) | {"SEQD_DATA_DIR": str(data_dir)}
    if python_path is not None:
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(python_path), known]))
    log_path = data_dir / "up.log"
    with log_path.open("ab") as log:
        command = [*_SEQD, "up", "--slots", slots, "--redis-port", "0"]
        up = _start(command, environment, log)
    try:
        daemon = BenchDaemon(data_dir, parsed, up, environment)
        _wait_until_ready(daemon, up, log_path)
        yield daemon
    finally:
        end_program(up, _STOP_S)


def _start(
    command: Sequence[str], environment: Mapping[str, str], log: BinaryIO
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 (our own command, no shell)
        launch_command(command, signal.SIGTERM),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=dict(environment),
        # A Ctrl-C reaches the bench alone; a second one would make `seqd up` end in haste.
        start_new_session=True,
    )


def _wait_until_ready(daemon: BenchDaemon, up: "subprocess.Popen[bytes]", log_path: Path) -> None:
    deadline = time.monotonic() + READY_S
    while _ready_workers(daemon) < len(daemon.slots):
        if up.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(last_lines(log_path, _LOG_LINES))
            raise InvalidSettings(
                f"the bench's own workers did not get ready within {READY_S:g} s. The log of its "
                f"`seqd up` ends with:\n{tail}"
            )
        time.sleep(_POLL_S)


def _ready_workers(daemon: BenchDaemon) -> int:
    try:
        with daemon.client() as client:
            workers = client.workers()
    except RedisUnreachable:
        return 0  # The server is still starting.
    return sum(worker.state is WorkerState.READY for worker in workers)


def _cpu_s_of_ended_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
