"""What runs while a fault is injected: a Redis, two workers, and a job that goes on."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cgroup_fixtures import NoGroup, a_small_group, within
from clock_fixtures import ClockServer, find_library
from drills.load import Load, two_gpus
from drills.runbook.operator import Operator
from fake_gpu_fixtures import Machine
from redis_fixtures import PrivateServer
from sentinel_fixtures import SentinelGroup
from seqd.client import JobHandle
from seqd.local.endpoint import redis_url_of
from seqd.local.redis_binaries import find_server_binaries
from seqd.settings import Settings
from worker_fixtures import Cluster, LiveWorker, live_settings

WORKERS = 2

#: Bytes of a disk that is to be filled: room for a store of two small versions.
DISK_BYTES = 8 * 1024 * 1024

#: Longer than any outage of the drills, and than a slow start on a busy machine.
LEASE_S = 20.0

#: Milliseconds until Sentinels begin a failover: longer than a command takes to start on a busy
#: machine, which would else find that it is over.
DOWN_AFTER_MS = 8_000


class CannotBeInjected(Exception):
    """A fault needs what this machine lacks; the text says what."""


@dataclass
class Stack:
    """A fleet of two workers with a load, and what a fault needs to be injected."""

    folder: Path
    settings: Settings
    cluster: Cluster
    server: PrivateServer | None = None
    sentinels: SentinelGroup | None = None
    load: Load = field(init=False)
    #: The job that a fault has handed in beside the load.
    job: JobHandle | None = None
    #: What the operator's machine has besides: a driver of GPUs.
    machine: Machine | None = None

    @property
    def workers(self) -> list[LiveWorker]:
        """The workers that were started, those of the fault too."""
        return self.cluster.workers

    def operator(self) -> Operator:
        """Return the person who looks for the cause."""
        assert self.settings.redis_url is not None
        others = {} if self.machine is None else self.machine.variables
        return Operator(self.settings, self.settings.redis_url, others)

    def own_server(self) -> PrivateServer:
        """Return the server of a stack that has one of its own."""
        assert self.server is not None
        return self.server


@contextmanager
def a_stack(folder: Path, *, lease_s: float = LEASE_S, **changes: object) -> Iterator[Stack]:
    """Run a Redis and two workers under load until the block ends."""
    server = PrivateServer(find_server_binaries()[0], folder)
    with _running(server), _loaded(server, folder, lease_s, changes) as stack:
        stack.server = server
        yield stack


@contextmanager
def a_stack_with_a_clock(folder: Path, **changes: object) -> Iterator[Stack]:
    """Run the same on a Redis whose clock can be set."""
    library = find_library()
    if library is None:
        raise CannotBeInjected("libfaketime is not installed")
    server = ClockServer(find_server_binaries()[0], folder, library)
    with _running(server), _loaded(server, folder, LEASE_S, changes) as stack:
        stack.server = server
        yield stack


@contextmanager
def a_stack_with_sentinels(folder: Path) -> Iterator[Stack]:
    """Run the same on a primary, two replicas and three Sentinels."""
    group = SentinelGroup(find_server_binaries()[0], folder, down_after_ms=DOWN_AFTER_MS)
    with ExitStack() as stack:
        stack.callback(group.kill)
        group.start()
        fleet = stack.enter_context(_loaded(group, folder, LEASE_S, {}))
        fleet.sentinels = group
        yield fleet


@contextmanager
def a_stack_on_a_disk(folder: Path) -> Iterator[Stack]:
    """Run the same with the folder of data on a small file system. Needs root."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "seqd-drill", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise CannotBeInjected("only root may mount a small file system to fill")
    try:
        with a_stack(folder, data_dir=disk / "data") as stack:
            yield stack
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def a_stack_with_little_memory(folder: Path) -> Iterator[Stack]:
    """Run the same in a control group of which one large item takes all the memory. Needs root."""
    with ExitStack() as opened:
        try:
            group = opened.enter_context(a_small_group())
        except NoGroup as error:
            raise CannotBeInjected(str(error)) from error
        with within(group):
            stack = opened.enter_context(a_stack(folder))
        yield stack


@contextmanager
def a_stack_of_gpus(folder: Path) -> Iterator[Stack]:
    """Run `seqd up` on two GPUs of a fake driver under load."""
    if shutil.which("cc") is None:
        raise CannotBeInjected("no C compiler is installed, for the driver of GPUs")
    with two_gpus(folder) as (up, machine):
        settings = up.settings.model_copy(update={"redis_url": redis_url_of(up.settings)})
        stack = Stack(folder, settings, Cluster(settings, folder), machine=machine)
        stack.load = Load(settings, folder)
        try:
            with stack.load.clock:
                yield stack
        finally:
            stack.load.close()


@contextmanager
def _running(server: PrivateServer) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()


@contextmanager
def _loaded(
    server: PrivateServer | SentinelGroup,
    folder: Path,
    lease_s: float,
    changes: dict[str, object],
) -> Iterator[Stack]:
    settings = live_settings(server, folder).model_copy(update={"lease_s": lease_s} | changes)
    cluster = Cluster(settings, folder)
    try:
        for worker in [cluster.start() for _ in range(WORKERS)]:
            worker.wait_until_ready()
        stack = Stack(folder, settings, cluster)
        stack.load = Load(settings, folder)
        try:
            with stack.load.clock:
                yield stack
        finally:
            stack.load.close()
    finally:
        cluster.close()
