"""Checks the device of a slot before its worker is ready: free, and able to compute.

What NVML says comes first, since it costs nothing; then the kernel of `cuda_probe`, in a process of
its own with the slot's environment.
"""

import json
import os
import re
import subprocess
import sys

from seqd.errors import DeviceLost, DeviceUnavailable, SeqdError, UnusableSlot
from seqd.local.cuda_probe import Outcome, ProbeReport
from seqd.local.gpus import BrokenGpu, ComputeMode, Gpu, in_gib, list_gpus
from seqd.local.slots import MIN_SHARE_BYTES, Slot

#: Seconds that the kernel may take. A driver that starts without its daemon takes several; a sick
#: one may never answer.
PROBE_TIMEOUT_S = 60.0

#: Part of its share that must be free: what the driver keeps for itself varies a little.
_FREE_PART = 0.95

_ERRORS: dict[Outcome, type[SeqdError]] = {
    Outcome.UNUSABLE: UnusableSlot,
    Outcome.BUSY: DeviceUnavailable,
    Outcome.SICK: DeviceUnavailable,
    Outcome.LOST: DeviceLost,
}


def check_device(slot: Slot, timeout_s: float = PROBE_TIMEOUT_S) -> None:
    """Raise UnusableSlot, DeviceUnavailable or DeviceLost unless a slot's device can compute now.

    A framework would not complain: it computes on the CPU, and the operator finds out by the speed.
    """
    if slot.gpu is None:
        return
    found = list_gpus().find(slot.gpu.uuid)
    if not isinstance(found, Gpu):
        said = found.label if isinstance(found, BrokenGpu) else f"{slot.gpu.uuid} is not listed"
        raise DeviceLost(f"Slot {slot.name} has lost its device. {said}.")
    _check_free(slot, found)
    report = _run_probe(slot, timeout_s)
    if report.outcome is not Outcome.WELL:
        raise _ERRORS[report.outcome](
            f"Slot {slot.name} cannot compute on {found.label}: {report.message}."
        )
    if report.device and report.device not in (_digits(found.uuid), _digits(found.uuid)[:32]):
        raise UnusableSlot(
            f"Slot {slot.name} is to compute on {found.label}, and CUDA computed on device "
            f"{report.device}: something else sets CUDA_VISIBLE_DEVICES here."
        )


def _check_free(slot: Slot, gpu: Gpu) -> None:
    processes = f" (processes {', '.join(map(str, gpu.pids))})" if gpu.pids else ""
    if gpu.mode is ComputeMode.EXCLUSIVE and gpu.pids:
        raise DeviceUnavailable(
            f"Slot {slot.name} wants {gpu.label}, which another process has for itself"
            f"{processes}: its compute mode is {gpu.mode}. End that process, or allow several: "
            f"nvidia-smi -i {gpu.index} -c DEFAULT."
        )
    share = slot.share_bytes
    wanted = MIN_SHARE_BYTES if share is None else int(share * _FREE_PART)
    if gpu.free_bytes < wanted:
        raise DeviceUnavailable(
            f"Slot {slot.name} needs {in_gib(wanted)} of {gpu.label}, of which "
            f"{in_gib(gpu.free_bytes)} are free: others use its memory{processes}. End them, or "
            "give the slot less."
        )


def _run_probe(slot: Slot, timeout_s: float) -> ProbeReport:
    command = [sys.executable, "-P", "-m", "seqd.local.cuda_probe"]
    try:
        ended = subprocess.run(  # noqa: S603 (our own command, no shell)
            command,
            env={**os.environ, **slot.environment()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ProbeReport(Outcome.SICK, f"a small kernel did not end within {timeout_s:g} s")
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [""])[-1]
        how = f"status {ended.returncode}" if ended.returncode > 0 else f"by {-ended.returncode}"
        return ProbeReport(Outcome.SICK, f"a small kernel ended its process ({how}) {last}".strip())
    said = json.loads(ended.stdout.splitlines()[-1])
    return ProbeReport(Outcome(said["outcome"]), said["message"], said["device"])


def _digits(uuid: str) -> str:
    """Return the hexadecimal digits of a UUID behind `GPU-` or `MIG-`."""
    return re.sub(r"[^0-9a-f]", "", uuid.lower().removeprefix("mig-").removeprefix("gpu-"))
