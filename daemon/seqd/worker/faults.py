"""Tells faults of a worker from faults of an item.

What a plugin raises may be the item's fault, the version's on this machine, or the device's. The
error's type and message give a first hint. What counts is whether the worker computes something
else: an item of the same claim, or the model's own warm-up input.
"""

import errno
import re
from collections.abc import Callable, Iterator

from seqd.errors import (
    DISK_ERRNOS,
    ArtifactDamaged,
    DeviceUnavailable,
    LibraryMissing,
    SeqdError,
    StoreUnreachable,
    StoreUnwritable,
    UnknownModel,
    UnusableSlot,
    UserError,
    WorkerUnfit,
)
from seqd.models.plugin_frames import plugin_traceback, with_place
from seqd.plugin.calls import PluginCall
from seqd_schemas import UnfitCode

#: Faults in a row, over different items and with no success between, that look like the worker's.
FAULTS_IN_A_ROW = 5

#: Longest such row that is looked at once.
_LONGEST_ROW = 1_024

#: Characters of what was raised in a sentence; its place in the plugin follows.
MAX_SAID_CHARS = 1_000

#: Tracebacks that are kept of one claim, of different messages.
_MAX_TRACEBACKS = 64

#: Errors that were caused by another, and that one by another, are looked at so deep.
_MAX_CAUSES = 4

#: What the system says of a disk or share that is away, whatever was asked of it.
_AWAY_ERRNOS = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT}
)

#: By type, of torch and TensorFlow; and by message, of those, of XLA, CUDA and ROCm.
_MEMORY_TYPES = frozenset({"OutOfMemoryError", "ResourceExhaustedError"})
_MEMORY = re.compile(r"out of memory|RESOURCE_EXHAUSTED|OOM when allocating|CUDA_ERROR_OUT_OF_MEM")
_NO_DEVICE = re.compile(
    r"no CUDA-capable device|CUDA_ERROR_NO_DEVICE|NVIDIA driver|CUDA driver version is insuff"
    r"|not compiled with CUDA|cuInit|No visible GPU|no accelerator",
    re.IGNORECASE,
)
_DEVICE_TYPES = frozenset({"AcceleratorError", "CudaError", "CUDARuntimeError", "HipError"})
_DEVICE = re.compile(
    r"\bCUDA(?:_ERROR|[ -](?:runtime )?error|: )|\bcuda(?:Error|RT)|\bCU(?:BLAS|DNN|FFT|SOLVER)_"
    r"|cuDNN error|\bHIP error|hipError|device-side assert|illegal memory access"
    r"|\bECC\b|\bXid\b|\bXID\b|NVLink|fallen off the bus|DNN library|launch failure"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True where the machine or the device had too little memory."""
    return any(
        isinstance(one, MemoryError)
        or type(one).__name__ in _MEMORY_TYPES
        or (isinstance(one, OSError) and one.errno == errno.ENOMEM)
        or _MEMORY.search(str(one)) is not None
        for one in _causes(error)
    )


def is_device_fault(error: BaseException) -> bool:
    """Return True for an error of the device itself: CUDA, ECC, XID; not for its memory."""
    return not is_out_of_memory(error) and any(
        type(one).__name__ in _DEVICE_TYPES or _DEVICE.search(str(one)) is not None
        for one in _causes(error)
    )


def machine_fault(error: BaseException) -> UnfitCode | None:
    """Return what is wrong with this machine by an error; None where it says nothing of it."""
    if is_out_of_memory(error):
        return UnfitCode.NO_MEMORY
    causes = list(_causes(error))
    for one in causes:
        is_away = isinstance(one, OSError) and one.errno in (errno.ENODEV, errno.ENXIO)
        if is_away or _NO_DEVICE.search(str(one)) is not None:
            return UnfitCode.NO_DEVICE
    if is_device_fault(error):
        return UnfitCode.DEVICE_FAULT
    return next(filter(None, map(_by_type, causes)), None)


def unfit_code(error: BaseException, otherwise: UnfitCode) -> UnfitCode:
    """Return why a version cannot be run here; `otherwise` where the error does not tell."""
    if isinstance(error, UnknownModel):
        return UnfitCode.MISSING
    if isinstance(error, ArtifactDamaged) and not isinstance(error.__cause__, OSError):
        return UnfitCode.DAMAGED
    return machine_fault(error) or otherwise


def device_error(error: BaseException) -> SeqdError:
    """Return what a worker ends with whose plugin could not take the slot's device."""
    if isinstance(error, UnusableSlot | DeviceUnavailable):
        return error
    code, said = machine_fault(error), sentence_of(error)
    if code in (UnfitCode.NO_DEVICE, UnfitCode.NO_LIBRARY):
        return UnusableSlot(said)
    return DeviceUnavailable(said)


def reading_fault(error: BaseException) -> UnfitCode | None:
    """Return what is wrong with this machine by an error of reading input or training on it.

    None for a path that is wrong, which is the user's; a disk that does not answer is not.
    """
    if isinstance(error, UserError):
        cause = error.__cause__
        is_away = isinstance(cause, OSError) and cause.errno in _AWAY_ERRNOS
        return UnfitCode.UNREADABLE if is_away else None
    return machine_fault(error)


def sentence_of(error: BaseException) -> str:
    """Return an error in one line, with its place in the plugin; one of ours says it itself."""
    message = " ".join(str(error).split())
    if type(error).__module__.startswith("seqd."):
        return message
    return with_place(f"{type(error).__name__}: {message}".rstrip(": ")[:MAX_SAID_CHARS], error)


class Unfit(WorkerUnfit):
    """A claim is to be released: what was raised says that this worker is not fit for it."""

    def __init__(self, code: UnfitCode, message: str, *, warm_up_failed: bool) -> None:
        super().__init__(message)
        self.unfit_code = code
        #: True where the model did not compute its warm-up input either.
        self.warm_up_failed = warm_up_failed


class ItemFaults:
    """Decides whether what a plugin raises for the items of one claim counts against them.

    It does while the worker is seen to be well. After `FAULTS_IN_A_ROW` faults with no success
    between, at the first error of a device, and at the end of a claim that ends with faults, the
    warm-up input is run. Where it fails, nothing of the claim counts. Where it does not, and a row
    was that long or nothing at all succeeded, the claim is tried elsewhere first, if it can be.
    """

    def __init__(
        self,
        warm_up: Callable[[], object],
        try_elsewhere: Callable[[], bool],
        *,
        model: str = "-",
    ) -> None:
        """`try_elsewhere` returns True where another worker should have the claim first.

        `model` names the model and its version in the log.
        """
        self.model = model
        self._warm_up = warm_up
        self._try_elsewhere = try_elsewhere
        self._in_a_row = 0
        self._look_at, self._look_at_of_device = FAULTS_IN_A_ROW, 1
        self._any_success = False
        self._last: Exception | None = None
        #: What is said of it, with its place: that is gone with its frames.
        self._last_said = ""
        #: The plugin's part of tracebacks, by the message of the items' errors.
        self.tracebacks: dict[str, str] = {}

    def succeeded(self) -> None:
        """Count a call of the plugin that gave outcomes."""
        self._in_a_row = 0
        self._look_at, self._look_at_of_device = FAULTS_IN_A_ROW, 1
        self._any_success = True

    def failed(self, error: Exception, said: str = "") -> None:
        """Count a call for one item, or of a sick device for more, that raised. Raises Unfit.

        `said` is what the item's error says of it.
        """
        if said and said not in self.tracebacks and len(self.tracebacks) < _MAX_TRACEBACKS:
            self.tracebacks[said] = plugin_traceback(error)
        self._in_a_row += 1
        self._last_said = sentence_of(error)
        # Its frames hold the batch's memory, on the device too.
        self._last = error.with_traceback(None)
        limit = self._look_at_of_device if is_device_fault(error) else self._look_at
        if self._in_a_row >= limit:
            self._judge(is_suspicious=True)

    def end(self, *, is_all_refused: bool = False) -> None:
        """Judge the faults that nothing came after. Raises Unfit.

        Also a claim of which no outcome can be committed: a sick device may give numbers that are
        none, and raise nothing.
        """
        if self._in_a_row:
            self._judge(is_suspicious=not self._any_success)
        elif is_all_refused and self._any_success:
            self._judge(is_suspicious=True)

    def _judge(self, *, is_suspicious: bool) -> None:
        try:
            with PluginCall():
                self._warm_up()
        except Exception as error:  # noqa: BLE001  a plugin may raise anything
            said = f"{self._said()}; then its warm-up input failed, too: {sentence_of(error)}"
            raise self._unfit(error, said, warm_up_failed=True) from None
        if is_suspicious and self._try_elsewhere():
            raise self._unfit(self._last, f"{self._said()}; tried on another worker first")
        # The worker is well, so these count. A plugin that raises for everything is not asked
        # again after each five of them.
        self._in_a_row = 0
        self._look_at = min(2 * self._look_at, _LONGEST_ROW)
        self._look_at_of_device = min(2 * self._look_at_of_device, _LONGEST_ROW)

    def _said(self) -> str:
        if self._last is None:
            return "its plugin gave nothing that a result can hold"
        return f"its plugin raised {self._in_a_row} in a row, the last {self._last_said}"

    def _unfit(
        self, error: Exception | None, message: str, *, warm_up_failed: bool = False
    ) -> Unfit:
        code = UnfitCode.BREAKER_OPEN
        for one in (error, self._last):
            if one is not None and code is UnfitCode.BREAKER_OPEN:
                code = machine_fault(one) or code
        return Unfit(code, message, warm_up_failed=warm_up_failed)


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if one is None:
            return
        yield one
        one = one.__cause__


def _by_type(error: BaseException) -> UnfitCode | None:
    if isinstance(error, StoreUnreachable):
        return UnfitCode.UNREADABLE
    if isinstance(error, StoreUnwritable):
        return UnfitCode.UNWRITABLE
    if isinstance(error, ImportError | LibraryMissing):
        return UnfitCode.NO_LIBRARY
    if isinstance(error, OSError):
        return UnfitCode.UNWRITABLE if error.errno in DISK_ERRNOS else UnfitCode.UNREADABLE
    return None
