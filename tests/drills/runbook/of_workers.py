"""Faults of workers, their hosts, devices, models and plugins."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from drills.runbook.fault import Fault, by_doctor
from drills.runbook.operator import Operator
from drills.runbook.stack import (
    Stack,
    a_stack,
    a_stack_of_gpus,
    a_stack_on_a_disk,
    a_stack_with_little_memory,
)
from fake_gpu_fixtures import LOST, XID
from previous_release import build_previous_release
from seqd.client import JobHandle

#: Seconds after which the units of a host that is cut off go elsewhere.
_LEASE_S = 3.0

#: A folder with a plugin that the other workers lack.
_OTHER_PLUGIN = Path(__file__).parents[2] / "weights_plugin"

#: Seconds without a question whether to stop, after which a plugin is ended.
_SILENT_S = 2.0


def _host_is_cut_off(stack: Stack) -> Callable[[], object]:
    worker = stack.workers[0]
    worker.freeze()
    return worker.thaw


def _item(text: str) -> Callable[[Stack], Callable[[], object]]:
    """Return a fault that is a job of a few items, one of which does that to its worker."""

    def hand_in(stack: Stack) -> Callable[[], object]:
        stack.job = stack.cluster.client().classify(
            ["sound", "sound too", text, "the last one"], model="echo"
        )
        return lambda: _ends_with_one_error(stack.job)

    return hand_in


def _ends_with_one_error(job: JobHandle | None) -> None:
    assert job is not None
    counts = job.wait(timeout_s=60).counts
    assert (counts.succeeded, counts.errored) == (3, 1), counts


def _by_failures(*causes: str) -> Callable[[Operator, Stack], str]:
    """Return a look at `seqd failures list` that is content with one of these causes."""

    def look(operator: Operator, stack: Stack) -> str:
        seen = {group["cause"] for group in operator.failures()}
        return next((f"failures: {cause}" for cause in causes if cause in seen), "")

    return look


def _version_is_damaged(stack: Stack) -> Callable[[], object]:
    """Have a third worker with a store of its own, in which the version is damaged."""
    folder = stack.cluster.folder_of("damaged")
    stack.cluster.publish_echo(folder / "models")
    (weights,) = (folder / "models").rglob("echo.json")
    weights.write_text('{"records": 2}')
    worker = stack.cluster.start("damaged", data_dir=folder)
    return worker.kill


def _disk_is_full(stack: Stack) -> Callable[[], object]:
    """Fill the file system of the folder of data."""
    ballast = stack.settings.data_dir / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 65_536):
            continue
    return ballast.unlink


def _device_is_lost(stack: Stack) -> Callable[[], object]:
    machine = stack.machine
    assert machine is not None
    machine.event(1, XID, 79).change(1, error=LOST)
    return lambda: machine.change(1, error=0)


def _dies_at_work(stack: Stack) -> Callable[[], object]:
    """Kill the process of a worker whenever it is ready, as a plugin does that crashes."""
    worker = stack.workers[0]
    for _ in range(3):
        pid = worker.child_pid()
        os.kill(pid, signal.SIGSEGV)
        worker.wait_until_ready(other_than_pid=pid)
    return lambda: None


def _joins_of_another_release(stack: Stack) -> Callable[[], object]:
    release = build_previous_release(stack.folder / "release").folder
    worker = stack.cluster.start_ready("old", release)
    return worker.stop


def _plugin_is_missing(stack: Stack) -> Callable[[], object]:
    """Have a worker that has another plugin installed, and not the one that the others have."""
    stack.cluster.plugins = _OTHER_PLUGIN
    worker = stack.cluster.start("without", enabled_plugins=("weights",))
    worker.wait_until_ready()
    return worker.kill


FAULTS = (
    Fault(
        "host-cut-off",
        inject=_host_is_cut_off,
        named=by_doctor("worker-silent"),
        stack=partial(a_stack, lease_s=_LEASE_S),
    ),
    Fault("poison", inject=_item("exit"), named=_by_failures("exit")),
    Fault(
        "hang",
        inject=_item("sleep"),
        named=_by_failures("hang"),
        stack=partial(a_stack, max_silent_s=_SILENT_S),
    ),
    Fault(
        "out-of-memory",
        inject=_item("memory"),
        named=_by_failures("out_of_memory"),
        stack=a_stack_with_little_memory,
    ),
    Fault("disk-full", inject=_disk_is_full, named=by_doctor("disk-full"), stack=a_stack_on_a_disk),
    Fault("sick-gpu", inject=_device_is_lost, named=by_doctor("gpu-lost"), stack=a_stack_of_gpus),
    Fault("corrupt-model", inject=_version_is_damaged, named=by_doctor("unfit-workers")),
    Fault("crash-loop", inject=_dies_at_work, named=by_doctor("worker-crash-loop")),
    Fault("mixed-versions", inject=_joins_of_another_release, named=by_doctor("mixed-releases")),
    Fault("plugin-missing", inject=_plugin_is_missing, named=by_doctor("plugin-missing")),
)
