"""Watches the GPU of a worker from its parent, and says when the device is lost.

The driver reports what befalls a device as events: XID errors, and memory errors that ECC cannot
correct. Some losses come without one, so the device is asked, too. A thread does both; it makes no
context, and takes no memory of the device.
"""

import logging
from collections.abc import Callable
from threading import Event, Thread
from types import ModuleType

from seqd.errors import DeviceLost
from seqd.local.gpus import Gpu, PinnedGpu, list_gpus, nvml
from seqd.local.slots import Slot

log = logging.getLogger(__name__)

#: Milliseconds between two questions whether the device still answers.
_LOOK_MS = 1_000

#: Seconds for which the end of a child waits for the driver to say whether the device is lost.
_ASK_S = 2.0

#: Of a program rather than of the device: a fault of its kernel, its page fault, its end. The list
#: of NVIDIA's device plugin for Kubernetes (internal/rm/health.go), and two more for which NVIDIA's
#: catalog has the program started anew: its kernel ran too long (8), its commands are damaged (11).
_OF_PROGRAMS = frozenset({8, 11, 13, 31, 43, 45, 68, 109})

#: Of the device, which goes on: a row remapped, many corrected errors, an error that was contained
#: and ended the one program that it hit (docs.nvidia.com/deploy/xid-errors).
_ENDURED = frozenset({63, 92, 94})

_WORDS = {
    48: "an uncorrectable memory error",
    64: "a memory row could not be remapped",
    74: "an error of NVLink",
    79: "it has fallen off the bus",
    95: "an uncontained memory error",
    119: "its firmware does not answer",
    120: "an error of its firmware",
}

#: An event of a whole GPU has this in the place of an instance's number.
_NO_INSTANCE = 0xFFFF_FFFF


class DeviceWatch:
    """Watches the device of one slot; of a CPU slot, nothing."""

    def __init__(self, slot: Slot, on_lost: Callable[[DeviceLost], object]) -> None:
        """`on_lost` is called once, in the thread of the watch."""
        self._slot = slot
        self._on_lost = on_lost
        self._is_closed = Event()
        self._is_lost = Event()

    def start(self) -> None:
        """Start the thread."""
        if self._slot.gpu is not None:
            Thread(target=self._run, args=[self._slot.gpu], name="seqd-device", daemon=True).start()

    def close(self) -> None:
        """Have the thread end after its next look, and say nothing more."""
        self._is_closed.set()

    def has_lost_device(self) -> bool:
        """Return True where the device is lost; asks the driver, for a few seconds at most."""
        gpu = self._slot.gpu
        if gpu is None:
            return False
        return self._is_lost.is_set() or not isinstance(list_gpus(_ASK_S).find(gpu.uuid), Gpu)

    def _run(self, gpu: PinnedGpu) -> None:
        import pynvml

        try:
            with nvml() as library:
                reason = _Look(library, gpu, self._is_closed).until_lost()
        except pynvml.NVMLError as error:
            reason = _end_of(error.value, error)
            if not reason:
                # Such as a driver that is being replaced. The child still gets errors of its own.
                log.error("the device is not watched: %s", error)
        if reason and not self._is_closed.is_set():
            self._is_lost.set()
            said = f"Slot {self._slot.name}: {gpu.name} ({gpu.uuid}) is lost: {reason}."
            self._on_lost(DeviceLost(said))


class _Look:
    """Looks at one device until it is lost."""

    def __init__(self, library: ModuleType, gpu: PinnedGpu, is_closed: Event) -> None:
        self._nvml = library
        self._handle = library.nvmlDeviceGetHandleByUUID(gpu.uuid)
        self._instance: int | None = None
        #: Of a MIG instance the GPU, which alone has events.
        self._whole = self._handle
        if gpu.uuid.startswith("MIG-"):
            self._instance = library.nvmlDeviceGetGpuInstanceId(self._handle)
            self._whole = library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self._handle)
        self._is_closed = is_closed

    def until_lost(self) -> str:
        """Return why the device is lost; nothing where the watch was closed first."""
        events = self._register()
        try:
            while not self._is_closed.is_set():
                reason = self._next(events) or self._state()
                if reason:
                    return reason
            return ""
        finally:
            if events is not None:
                self._nvml.nvmlEventSetFree(events)

    def _register(self) -> object | None:
        """Return the set of the device's events; None where it has none, as under WSL."""
        library = self._nvml
        wanted = library.nvmlEventTypeXidCriticalError | library.nvmlEventTypeDoubleBitEccError
        events = None
        try:
            supported = wanted & library.nvmlDeviceGetSupportedEventTypes(self._whole)
            if supported:
                events = library.nvmlEventSetCreate()
                library.nvmlDeviceRegisterEvents(self._whole, supported, events)
        except library.NVMLError as error:
            log.warning("the driver reports no events of the device (%s); it is asked", error)
            return None
        return events

    def _next(self, events: object | None) -> str:
        """Wait for an event; return why it is the end of the device, or nothing."""
        library = self._nvml
        if events is None:
            self._is_closed.wait(_LOOK_MS / 1_000)
            return ""
        try:
            event = library.nvmlEventSetWait_v2(events, _LOOK_MS)
        except library.NVMLError_Timeout:
            return ""
        except library.NVMLError as error:
            if reason := _end_of(error.value, error):
                return reason
            log.warning("no event of the device can be read: %s", error)
            self._is_closed.wait(_LOOK_MS / 1_000)  # else it would spin
            return ""
        if self._instance is not None and event.gpuInstanceId not in (self._instance, _NO_INSTANCE):
            return ""  # of another instance of the same GPU
        if event.eventType == library.nvmlEventTypeDoubleBitEccError:
            return "an uncorrectable ECC error of its memory"
        return _of_xid(int(event.eventData))

    def _state(self) -> str:
        try:
            self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        except self._nvml.NVMLError as error:
            if reason := _end_of(error.value, error):
                return reason
            log.warning("the device does not answer: %s", error)
        return ""


def _end_of(status: int, error: Exception) -> str:
    """Return why an answer of the driver is the end of a device; nothing for one that is not."""
    import pynvml

    fatal = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)
    return f"the driver says {error}" if status in fatal else ""


def _of_xid(number: int) -> str:
    """Return why an XID error is the end of a device; nothing for one that is not."""
    words = _WORDS.get(number, "see docs.nvidia.com/deploy/xid-errors")
    if number in _OF_PROGRAMS:
        log.warning("XID %d: an error of a program on the device", number)
        return ""
    if number in _ENDURED:
        log.warning("XID %d: an error of the device, which goes on; %s", number, words)
        return ""
    return f"XID {number}, {words}"
