"""Which errors are an item's, and which the worker's."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_builders import place
from seqd.errors import ArtifactDamaged, InvalidInput, StoreUnwritable, UnknownModel
from seqd.worker.faults import (
    FAULTS_IN_A_ROW,
    ItemFaults,
    Unfit,
    is_device_fault,
    is_out_of_memory,
    reading_fault,
    unfit_code,
)
from seqd_schemas import UnfitCode

BUG = ValueError("a bug")
CUDA = RuntimeError("CUDA error: an illegal memory access was encountered")


def named(name: str, message: str = "") -> Exception:
    """Return an error as a library names its own."""
    made: Exception = type(name, (RuntimeError,), {})(message)
    return made


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        named("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 MiB"),
        named("ResourceExhaustedError", "OOM when allocating tensor with shape[64,512]"),
        RuntimeError("XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        caused(ValueError("the batch failed"), MemoryError()),
    ],
    ids=str,
)
def test_too_little_memory_is_told_by_type_or_message_and_is_no_sick_device(error):
    assert is_out_of_memory(error)
    assert not is_device_fault(error)


@pytest.mark.parametrize(
    "error",
    [
        CUDA,
        named("AcceleratorError", "unspecified launch failure"),
        named("InternalError", "Failed to call cuDNN: CUDNN_STATUS_EXECUTION_FAILED; CUDNN_STATUS"),
        RuntimeError("uncorrectable ECC error encountered"),
        RuntimeError("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus"),
        RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling cublasGemmEx; CUBLAS_STATUS"),
    ],
    ids=str,
)
def test_a_sick_device_is_told_by_type_or_message(error):
    assert is_device_fault(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownModel("no version echo@7"), UnfitCode.MISSING),
        (ArtifactDamaged("not the file that was stored"), UnfitCode.DAMAGED),
        (caused(ArtifactDamaged("cannot be read"), OSError(errno.EIO, "")), UnfitCode.UNREADABLE),
        (PermissionError(errno.EACCES, "Permission denied"), UnfitCode.UNREADABLE),
        (OSError(errno.ENOSPC, "No space left on device"), UnfitCode.UNWRITABLE),
        (StoreUnwritable("cannot write"), UnfitCode.UNWRITABLE),
        (ModuleNotFoundError("No module named 'keras'"), UnfitCode.NO_LIBRARY),
        (MemoryError(), UnfitCode.NO_MEMORY),
        (RuntimeError("Found no NVIDIA driver on your system"), UnfitCode.NO_DEVICE),
        (OSError(errno.ENODEV, "No such device"), UnfitCode.NO_DEVICE),
        (CUDA, UnfitCode.DEVICE_FAULT),
        (BUG, UnfitCode.LOAD_FAILED),
    ],
    ids=str,
)
def test_what_keeps_a_version_from_being_loaded_has_a_code(error, code):
    assert unfit_code(error, UnfitCode.LOAD_FAILED) is code


class Worker:
    """Counts how often the warm-up input is run and another worker is looked for."""

    def __init__(self, *, is_well: bool = True, another: bool = True) -> None:
        self.canaries = 0
        self.faults = ItemFaults(self._warm_up, lambda: another)
        self._is_well = is_well

    def _warm_up(self) -> None:
        self.canaries += 1
        if not self._is_well:
            raise CUDA

    def does(self, course: str) -> "Worker":
        """Compute items one by one: `s` for a success, `f` for a fault, `d` for a device's."""
        for step in course:
            if step == "s":
                self.faults.succeeded()
            else:
                self.faults.failed(CUDA if step == "d" else BUG)
        self.faults.end()
        return self


def unfit(step: Callable[[], object]) -> Unfit:
    with pytest.raises(Unfit) as raised:
        step()
    return raised.value


def test_nothing_counts_on_a_worker_that_fails_at_its_warm_up_input():
    fault = unfit(lambda: Worker(is_well=False).does("sssf"))

    assert (fault.unfit_code, fault.warm_up_failed) == (UnfitCode.DEVICE_FAULT, True)
    assert str(fault) == (
        "its plugin raised 1 in a row, the last ValueError: a bug; then its warm-up input failed, "
        "too: RuntimeError: CUDA error: an illegal memory access was encountered "
        + place(Path(__file__), "raise CUDA", "_warm_up")
    )


@pytest.mark.parametrize("course", ["f", "s" + "f" * FAULTS_IN_A_ROW + "s", "sd"])
def test_what_looks_like_the_workers_fault_is_tried_elsewhere_first(course):
    fault = unfit(lambda: Worker().does(course))

    assert not fault.warm_up_failed
    code = UnfitCode.DEVICE_FAULT if "d" in course else UnfitCode.BREAKER_OPEN
    assert fault.unfit_code is code


@given(st.text("sfd", max_size=200))
def test_a_well_worker_with_nobody_else_counts_every_fault_and_looks_seldom(course):
    worker = Worker(another=False).does(course)

    # A sick device is looked at at its first error, a plugin that raises after five.
    assert worker.canaries <= course.count("d") + course.count("f") // FAULTS_IN_A_ROW + 1


@given(st.text("sfd", max_size=200))
def test_a_worker_that_is_not_well_lets_no_claim_count_that_ends_with_a_fault(course):
    worker = Worker(is_well=False, another=False)

    fault = unfit(lambda: worker.does(course + "f"))

    assert fault.warm_up_failed
    assert worker.canaries == 1


def test_a_path_that_is_wrong_is_the_users_and_a_share_that_does_not_answer_is_not():
    wrong = InvalidInput("does not exist")
    away = caused(InvalidInput("cannot be read"), OSError(errno.ESTALE, "Stale file handle"))

    assert reading_fault(wrong) is None
    assert reading_fault(away) is UnfitCode.UNREADABLE
