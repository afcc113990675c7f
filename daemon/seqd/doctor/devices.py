"""What the GPUs of this machine are looked at for: the driver answers, and each of them computes.

A machine without a GPU is well. A small kernel is run on each, in a process of its own, as a worker
does when it starts.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from seqd.doctor.findings import Check, Finding, NotChecked, finding
from seqd.errors import (
    DeviceLost,
    DeviceUnavailable,
    InvalidSettings,
    UnusableSlot,
)
from seqd.local.device_check import check_device
from seqd.local.gpus import Gpu, GpuListing, PinnedGpu, list_gpus
from seqd.local.pinning import slots_here
from seqd.local.slots import parse_slot

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds that the driver, a kernel, and a framework that says for which GPUs it is built may take.
_LIST_S: Final = 8.0
_KERNEL_S: Final = 20.0
_FRAMEWORK_S: Final = 30.0

#: Prints for which GPUs an installed torch has kernels. Asks the framework in a process of its own:
#: it is no dependency of ours, and takes seconds to import.
_ARCHITECTURES: Final = "import torch, json; print(json.dumps(torch.cuda.get_arch_list()))"


def device_checks(settings: "Settings") -> list[Check]:
    """Return the checks of the GPUs, and of the slots of the settings on them."""
    checks = _Checks(settings)
    return [
        Check("GPUs", checks.listing),
        Check("kernels on GPUs", checks.compute),
        Check("GPUs that torch is built for", checks.kernels),
        Check("slots", checks.slots),
    ]


class _Checks:
    def __init__(self, settings: "Settings") -> None:
        self._settings = settings

    @cached_property
    def _listing(self) -> GpuListing:
        return list_gpus(_LIST_S)

    def listing(self) -> Iterator[Finding]:
        listing = self._listing
        if listing.fault and not listing.is_absent:
            yield finding(
                "gpu-driver",
                f"NVML, the driver's library, lists no device: {listing.fault}",
                "`nvidia-smi` says more; load the driver that fits the kernel and the library, or "
                "start the machine again. In a container start it anew, with a CDI device",
            )
        for one in listing.broken:
            yield finding(
                "gpu-lost",
                one.label,
                "Drain its slots (`seqd workers drain`); `dmesg | grep -i xid` says what happened. "
                "A reset (`nvidia-smi -r`) or a start of the machine may mend it",
            )

    def compute(self) -> Iterator[Finding]:
        gpus = self._gpus()
        if gpus:
            # All at once: each may hang for as long as it is given.
            with ThreadPoolExecutor(len(gpus)) as pool:
                yield from (one for one in pool.map(_compute, gpus) if one is not None)

    def kernels(self) -> Iterator[Finding]:
        gpus = self._gpus()
        if not gpus:
            return
        if find_spec("torch") is None:
            raise NotChecked("torch is not installed here")
        built_for = _architectures()
        if not built_for:
            yield finding(
                "gpu-kernels",
                "The torch that is installed here is built for CPUs",
                "Install its build for CUDA: https://pytorch.org/get-started/locally",
            )
            return
        for gpu in gpus:
            capability = _capability_of(gpu)
            if not _covers(built_for, capability):
                yield finding(
                    "gpu-kernels",
                    f"torch has no kernels for {gpu.label}, whose compute capability is "
                    f"{capability[0]}.{capability[1]}: it has {', '.join(built_for)}",
                    "Install a build of torch for this GPU",
                )

    def slots(self) -> Iterator[Finding]:
        try:
            slots_here(self._settings.slots)
        except InvalidSettings as error:
            yield finding("slots-unusable", str(error), "Set SEQD_SLOTS to slots that there are")

    def _gpus(self) -> tuple[Gpu, ...]:
        if self._listing.fault and not self._listing.is_absent:
            raise NotChecked(f"NVML lists no device: {self._listing.fault}")
        return self._listing.gpus


def _compute(gpu: Gpu) -> Finding | None:
    """Run a small kernel on a GPU; return what is wrong with it."""
    slot = parse_slot(f"gpu:{gpu.uuid}").pinned(PinnedGpu.of(gpu))
    try:
        check_device(slot, _KERNEL_S)
    except DeviceLost as error:
        return finding("gpu-lost", str(error), "Start the machine again, or have it mended")
    except UnusableSlot as error:
        return finding(
            "gpu-unusable",
            str(error),
            "Leave CUDA_VISIBLE_DEVICES to seqd, and install a driver that knows this GPU",
        )
    except DeviceUnavailable as error:
        # A worker that computes on it has most of its memory, which is in order.
        return finding(
            "gpu-busy" if gpu.pids else "gpu-sick",
            str(error),
            f"`nvidia-smi -i {gpu.index}` says who uses it and which errors it has",
        )
    return None


def _architectures() -> list[str]:
    command = [sys.executable, "-P", "-c", _ARCHITECTURES]
    try:
        ended = subprocess.run(  # noqa: S603 (our own command, no shell)
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FRAMEWORK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotChecked(f"torch did not say so within {_FRAMEWORK_S:g} s") from None
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotChecked(f"torch cannot be imported: {last}")
    said: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return said


def _capability_of(gpu: Gpu) -> tuple[int, int]:
    import pynvml

    from seqd.local.gpus import nvml

    try:
        with nvml() as library:
            handle = library.nvmlDeviceGetHandleByUUID(gpu.uuid)
            major, minor = library.nvmlDeviceGetCudaComputeCapability(handle)
    except pynvml.NVMLError as error:
        raise NotChecked(f"the driver does not tell the compute capability: {error}") from None
    return int(major), int(minor)


def _covers(built_for: list[str], capability: tuple[int, int]) -> bool:
    """Return whether kernels run on a GPU: those of its generation up to it, or PTX of any older.

    `sm_90` is a kernel of capability 9.0, `compute_90` is PTX, which the driver compiles.
    """
    for name in built_for:
        kind, _, digits = name.partition("_")
        number = "".join(char for char in digits if char.isdecimal())
        if len(number) < 2:
            continue
        major, minor = int(number[:-1]), int(number[-1])
        if kind == "sm" and major == capability[0] and minor <= capability[1]:
            return True
        if kind == "compute" and (major, minor) <= capability:
            return True
    return False
