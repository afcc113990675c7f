"""A program that computes one small kernel on the only visible GPU, through the driver's own API.

It needs no framework. It shows that the driver is there, that one device is visible and which, that
the driver can compile for it, and that the device computes. Run it in a process of its own: a
context takes half a gigabyte of the device until its process ends, and a sick driver may hang or
crash who calls it. The last line of its output is a `ProbeReport` as JSON.
"""

import ctypes
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum

#: Threads of the kernel, each of which writes one number.
THREADS = 256

#: Writes 3 i + 7 into element i. Of the oldest card that the drivers of CUDA 12 know: a driver
#: compiles it for any later one.
KERNEL = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry seqd_probe(.param .u64 out)
{
    .reg .b32 %r<3>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [out];
    cvta.to.global.u64 %rd2, %rd1;
    mov.u32 %r1, %tid.x;
    mad.lo.s32 %r2, %r1, 3, 7;
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd2, %rd2, %rd3;
    st.global.u32 [%rd2], %r2;
    ret;
}
\0"""


class Outcome(StrEnum):
    """What is wrong, by what can be done about it."""

    WELL = "well"
    """The kernel computed what it should."""
    UNUSABLE = "unusable"
    """No driver, no device, or not the one that was meant, or no kernels for this card."""
    BUSY = "busy"
    """Others have the device or its memory."""
    LOST = "lost"
    """The device has errors that only a reset mends."""
    SICK = "sick"
    """Anything else that the driver says."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """How the kernel went."""

    outcome: Outcome
    #: What the driver said, in a sentence without a full stop.
    message: str = ""
    #: The device, as CUDA sees it; 32 hexadecimal digits.
    device: str = ""


#: By the number of the error; https://docs.nvidia.com/cuda/cuda-driver-api, CUresult.
_OUTCOMES = {
    2: Outcome.BUSY,  # OUT_OF_MEMORY
    34: Outcome.UNUSABLE,  # STUB_LIBRARY
    35: Outcome.UNUSABLE,  # INSUFFICIENT_DRIVER
    46: Outcome.BUSY,  # DEVICE_UNAVAILABLE
    100: Outcome.UNUSABLE,  # NO_DEVICE
    101: Outcome.UNUSABLE,  # INVALID_DEVICE
    209: Outcome.UNUSABLE,  # NO_BINARY_FOR_GPU
    214: Outcome.LOST,  # ECC_UNCORRECTABLE
    218: Outcome.UNUSABLE,  # INVALID_PTX
    221: Outcome.UNUSABLE,  # JIT_COMPILER_NOT_FOUND
    222: Outcome.UNUSABLE,  # UNSUPPORTED_PTX_VERSION
    226: Outcome.LOST,  # CONTAINED
    803: Outcome.UNUSABLE,  # SYSTEM_DRIVER_MISMATCH
    804: Outcome.UNUSABLE,  # COMPAT_NOT_SUPPORTED_ON_DEVICE
}


class _CudaError(Exception):
    def __init__(self, status: int, call: str, name: str) -> None:
        super().__init__(f"{call} says {name}")
        self.status = status


class _Cuda:
    """The driver's functions; each raises what the driver says."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")

    def __call__(self, name: str, *arguments: object) -> None:
        function: Callable[..., int] = getattr(self._library, name)
        status = int(function(*arguments))
        if status:
            raise _CudaError(status, name, self._name_of(status))

    def _name_of(self, status: int) -> str:
        name = ctypes.c_char_p()
        if self._library.cuGetErrorName(status, ctypes.byref(name)) or name.value is None:
            return f"error {status}"
        return f"{name.value.decode()} ({status})"


def probe() -> ProbeReport:
    """Compute the kernel and say how that went. Raises nothing of the driver's."""
    try:
        cuda = _Cuda()
    except OSError as error:
        return ProbeReport(Outcome.UNUSABLE, f"the driver's library cannot be loaded: {error}")
    try:
        return _run(cuda)
    except _CudaError as error:
        said = f"{error}"
        if error.status in (209, 218, 222):
            said += ": this driver has no kernels for this card; install a newer one"
        return ProbeReport(_OUTCOMES.get(error.status, Outcome.SICK), said)


def _run(cuda: _Cuda) -> ProbeReport:
    cuda("cuInit", 0)
    count = ctypes.c_int()
    cuda("cuDeviceGetCount", ctypes.byref(count))
    if count.value != 1:
        return ProbeReport(Outcome.UNUSABLE, f"{count.value} devices are visible, not one")
    device = ctypes.c_int()
    cuda("cuDeviceGet", ctypes.byref(device), 0)
    identity = _uuid_of(cuda, device)
    with _context(cuda, device):
        numbers = _compute(cuda)
    wrong = [i for i, number in enumerate(numbers) if number != 3 * i + 7]
    if wrong:
        said = f"{len(wrong)} of {THREADS} numbers of a small kernel are wrong"
        return ProbeReport(Outcome.SICK, said, identity)
    return ProbeReport(Outcome.WELL, "", identity)


def _uuid_of(cuda: _Cuda, device: ctypes.c_int) -> str:
    raw = (ctypes.c_ubyte * 16)()
    try:
        cuda("cuDeviceGetUuid_v2", ctypes.byref(raw), device)  # of a MIG instance its own
    except AttributeError:
        return ""  # a driver before 470
    return uuid.UUID(bytes=bytes(raw)).hex


@contextmanager
def _context(cuda: _Cuda, device: ctypes.c_int) -> Iterator[None]:
    context = ctypes.c_void_p()
    cuda("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    cuda("cuCtxSetCurrent", context)
    yield
    cuda("cuDevicePrimaryCtxRelease_v2", device)


def _compute(cuda: _Cuda) -> list[int]:
    module, function, memory = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
    cuda("cuModuleLoadData", ctypes.byref(module), KERNEL)
    cuda("cuModuleGetFunction", ctypes.byref(function), module, b"seqd_probe")
    numbers = (ctypes.c_uint32 * THREADS)()
    size = ctypes.c_size_t(ctypes.sizeof(numbers))
    cuda("cuMemAlloc_v2", ctypes.byref(memory), size)
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(memory))
    block = (1, 1, 1, THREADS, 1, 1)
    cuda("cuLaunchKernel", function, *block, 0, None, arguments, None)
    cuda("cuCtxSynchronize")
    cuda("cuMemcpyDtoH_v2", ctypes.byref(numbers), memory, size)
    cuda("cuMemFree_v2", memory)
    return list(numbers)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(probe())) + "\n")
