"""The GPUs of this machine as the driver lists them through NVML, MIG instances one by one.

NVML says what is there without making a context, so that a process that asks computes nothing and
takes no memory of a device. It is imported on first use: clients and CPU slots never load it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock, Thread
from types import ModuleType
from typing import Self

#: Seconds that a driver has to list its devices. One that is sick may never answer.
LIST_TIMEOUT_S = 20.0

#: What the driver makes for each of its devices. Not /dev/dxg, which stands for any maker's.
_DEVICE_FOLDER, _DEVICE_NODES = Path("/dev"), "nvidia[0-9]*"


class ComputeMode(StrEnum):
    """Who may compute on a device; an operator sets it by `nvidia-smi -c`."""

    SHARED = "default"
    EXCLUSIVE = "exclusive process"
    PROHIBITED = "prohibited"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or one MIG instance of one, that answers."""

    #: As nvidia-smi counts; a MIG instance has that of its GPU.
    index: int
    #: What CUDA_VISIBLE_DEVICES takes: `GPU-…`, `MIG-…`, or `MIG-GPU-…/3/0` of an old driver.
    uuid: str
    name: str
    #: What programs may use of its memory: all of it, less what the driver keeps.
    memory_bytes: int
    free_bytes: int
    mode: ComputeMode = ComputeMode.SHARED
    #: Processes that compute on it; those of other containers may be missing.
    pids: tuple[int, ...] = ()
    #: Number of the GPU instance, of a MIG instance.
    instance: int | None = None

    @property
    def label(self) -> str:
        """Its name for people: `GPU 1 (NVIDIA H100, GPU-5d5b…)`."""
        return f"GPU {self.index} ({self.name}, {self.uuid})"


@dataclass(frozen=True, slots=True)
class BrokenGpu:
    """A GPU that the driver counts and that does not answer."""

    index: int
    #: Empty where not even that is known.
    uuid: str
    reason: str

    @property
    def label(self) -> str:
        """Its name for people, with what is wrong."""
        uuid = f" ({self.uuid})" if self.uuid else ""
        return f"GPU {self.index}{uuid}: {self.reason}"


@dataclass(frozen=True, slots=True)
class GpuListing:
    """What the driver says; with a `fault` it says nothing."""

    gpus: tuple[Gpu, ...] = ()
    broken: tuple[BrokenGpu, ...] = ()
    #: Why nothing could be listed.
    fault: str = ""
    #: True where there is no driver and no sign of a device: a machine without a GPU.
    is_absent: bool = False

    def in_words(self) -> str:
        """Say what is there, for a message."""
        if self.fault:
            return f"NVML lists no device: {self.fault}"
        parts = [gpu.label for gpu in self.gpus] + [f"{one.label}" for one in self.broken]
        return f"There: {', '.join(parts)}" if parts else "The driver lists no device"

    def find(self, uuid: str) -> Gpu | BrokenGpu | None:
        """Return the device of a UUID, where the driver knows it."""
        every: tuple[Gpu | BrokenGpu, ...] = (*self.gpus, *self.broken)
        return next((one for one in every if one.uuid == uuid), None)


def in_gib(count: int) -> str:
    """Return an amount of memory as people write it: `79.0 GiB`."""
    return f"{count / 2**30:.1f} GiB"


@dataclass(slots=True)
class _Asking:
    """A question to the driver under way, in a thread that may hang for as long as the driver."""

    listing: GpuListing | None = None
    thread: Thread | None = None
    lock: Lock = field(default_factory=Lock)


_asking = _Asking()


def list_gpus(timeout_s: float = LIST_TIMEOUT_S) -> GpuListing:
    """Return the devices as they are now.

    A driver that does not answer in time gives a fault. It is not asked again while it hangs: the
    next call returns the same fault at once.
    """
    with _asking.lock:
        if _asking.thread is None or not _asking.thread.is_alive():
            _asking.listing = None
            _asking.thread = Thread(target=_ask, name="seqd-nvml", daemon=True)
            _asking.thread.start()
            _asking.thread.join(timeout_s)
        return _asking.listing or GpuListing(fault="the driver does not answer")


def _ask() -> None:
    _asking.listing = _listing()


@contextmanager
def nvml() -> Iterator[ModuleType]:
    """Open NVML for a block, which sees the devices as they are at its begin. Raises NVMLError."""
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _listing() -> GpuListing:
    import pynvml

    try:
        with nvml() as library:
            return _Reader(library).listing()
    except pynvml.NVMLError as error:
        is_missing = error.value in (
            pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
            pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        )
        nodes = sorted(path.name for path in _DEVICE_FOLDER.glob(_DEVICE_NODES))
        fault = f"{error}".rstrip(".") + (f", though there is /dev/{nodes[0]}" if nodes else "")
        return GpuListing(fault=fault, is_absent=is_missing and not nodes)


class _Reader:
    """Reads devices, each by itself, so that one in error hides no other."""

    def __init__(self, library: ModuleType) -> None:
        self._nvml = library

    def listing(self) -> GpuListing:
        """Return all devices."""
        gpus, broken = list[Gpu](), list[BrokenGpu]()
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                gpus += self._of_index(index, broken)
            except self._nvml.NVMLError as error:
                broken.append(BrokenGpu(index, self._uuid_of(index), str(error)))
        return GpuListing(tuple(gpus), tuple(broken))

    def _of_index(self, index: int, broken: list[BrokenGpu]) -> list[Gpu]:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        if not self._is_cut(handle):
            return [self._gpu(index, handle)]
        instances = list[Gpu]()
        for number in range(self._nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            try:
                part = self._nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            except self._nvml.NVMLError_NotFound:
                continue  # the numbers have gaps
            instances.append(self._gpu(index, part, gpu=handle))
        if not instances:
            reason = "it is in MIG mode and has no instance; make one: nvidia-smi mig -cgi … -C"
            broken.append(BrokenGpu(index, self._uuid_of(index), reason))
        return instances

    def _is_cut(self, handle: object) -> bool:
        try:
            return bool(self._nvml.nvmlDeviceGetMigMode(handle)[0])
        except (self._nvml.NVMLError_NotSupported, self._nvml.NVMLError_FunctionNotFound):
            return False

    def _gpu(self, index: int, handle: object, gpu: object | None = None) -> Gpu:
        """Read a device, or an instance of `gpu`."""
        memory_bytes, free_bytes = self._memory(handle)
        name = self._nvml.nvmlDeviceGetName(handle if gpu is None else gpu)
        instance: int | None = None
        if gpu is not None:
            instance = self._nvml.nvmlDeviceGetGpuInstanceId(handle)
            name = f"{name} MIG {memory_bytes / 2**30:.0f} GiB"
        return Gpu(
            index=index,
            uuid=self._nvml.nvmlDeviceGetUUID(handle),
            name=name,
            memory_bytes=memory_bytes,
            free_bytes=free_bytes,
            mode=self._mode(handle if gpu is None else gpu),
            pids=self._pids(handle),
            instance=instance,
        )

    def _memory(self, handle: object) -> tuple[int, int]:
        try:
            info = self._nvml.nvmlDeviceGetMemoryInfo(handle, self._nvml.nvmlMemory_v2)
        except (self._nvml.NVMLError_FunctionNotFound, self._nvml.NVMLError_NotSupported):
            info = self._nvml.nvmlDeviceGetMemoryInfo(handle)  # a driver before 510
            return int(info.total), int(info.free)
        return int(info.total - info.reserved), int(info.free)

    def _mode(self, handle: object) -> ComputeMode:
        try:
            mode = self._nvml.nvmlDeviceGetComputeMode(handle)
        except self._nvml.NVMLError_NotSupported:
            return ComputeMode.SHARED
        return {
            self._nvml.NVML_COMPUTEMODE_PROHIBITED: ComputeMode.PROHIBITED,
            self._nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: ComputeMode.EXCLUSIVE,
        }.get(mode, ComputeMode.SHARED)

    def _pids(self, handle: object) -> tuple[int, ...]:
        try:
            running = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except (self._nvml.NVMLError, self._nvml.NVMLLibraryMismatchError):
            return ()  # only for messages, and not told to all users of a machine
        return tuple(sorted(int(one.pid) for one in running))

    def _uuid_of(self, index: int) -> str:
        try:
            return str(self._nvml.nvmlDeviceGetUUID(self._nvml.nvmlDeviceGetHandleByIndex(index)))
        except self._nvml.NVMLError:
            return ""


@dataclass(frozen=True, slots=True)
class PinnedGpu:
    """The device of a slot, as its worker is told it when it starts."""

    uuid: str
    memory_bytes: int
    name: str

    @classmethod
    def of(cls, gpu: Gpu) -> Self:
        """Return a device that was listed."""
        return cls(gpu.uuid, gpu.memory_bytes, gpu.name)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `written` has written. Raises ValueError."""
        uuid, memory, name = text.split(" ", 2)
        return cls(uuid, int(memory), name)

    def written(self) -> str:
        """Return it as one line, for an environment variable."""
        return f"{self.uuid} {self.memory_bytes} {self.name}"
