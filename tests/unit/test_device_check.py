"""What is found out about a slot's device before its worker is ready, on fake drivers.

The kernel runs as it does on a machine: in a process of its own, which loads `libcuda.so.1`.
"""

import sys

import pytest

from fake_gpu_fixtures import EXCLUSIVE, LOST, TOTAL_MIB, Machine, gpu_uuid, mig_uuid
from seqd.cli.exits import exit_status_of
from seqd.errors import DeviceLost, DeviceUnavailable, SeqdError, UnusableSlot
from seqd.local.device_check import check_device
from seqd.local.pinning import slots_here

LABEL = f"GPU 0 (NVIDIA H100 80GB HBM3, {gpu_uuid(0)})"

#: The statuses that whoever restarts workers goes by.
STATUSES = {UnusableSlot: 78, DeviceUnavailable: 69, DeviceLost: 71}

NEWER = ": this driver has no kernels for this card; install a newer one"


def error_of(spec: str, kind: type[SeqdError], machine: Machine | None = None) -> str:
    (slot,) = slots_here(spec)
    with pytest.raises(SeqdError) as error:
        check_device(slot)
    assert type(error.value) is kind, error.value
    assert exit_status_of(error.value) == STATUSES[kind]
    return str(error.value)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        ("cuInit 100", UnusableSlot, "cuInit says CUDA_ERROR_NO_DEVICE (100)"),
        (
            "cuModuleLoadData 209",
            UnusableSlot,
            f"cuModuleLoadData says CUDA_ERROR_NO_BINARY_FOR_GPU (209){NEWER}",
        ),
        (
            "cuDevicePrimaryCtxRetain 2",
            DeviceUnavailable,
            "cuDevicePrimaryCtxRetain says CUDA_ERROR_OUT_OF_MEMORY (2)",
        ),
        (
            "cuCtxSynchronize 214",
            DeviceLost,
            "cuCtxSynchronize says CUDA_ERROR_ECC_UNCORRECTABLE (214)",
        ),
        (
            "cuCtxSynchronize 719",
            DeviceUnavailable,
            "cuCtxSynchronize says CUDA_ERROR_LAUNCH_FAILED (719)",
        ),
    ],
)
def test_what_the_driver_says_of_a_small_kernel_decides_what_the_worker_ends_with(
    machine, call, kind, said
):
    machine.add(1).say(f"cuda {call}")

    assert error_of("gpu:0", kind) == f"Slot gpu:0 cannot compute on {LABEL}: {said}."


def test_a_device_that_computes_something_else_is_sick(machine):
    machine.add(1).say("wrong")

    assert error_of("gpu:0", DeviceUnavailable) == (
        f"Slot gpu:0 cannot compute on {LABEL}: 256 of 256 numbers of a small kernel are wrong."
    )


def test_a_device_that_does_not_answer_is_given_up(machine):
    machine.add(1).say("hang")
    (slot,) = slots_here("gpu:0")

    with pytest.raises(DeviceUnavailable) as error:
        check_device(slot, timeout_s=0.5)

    assert str(error.value) == (
        f"Slot gpu:0 cannot compute on {LABEL}: a small kernel did not end within 0.5 s."
    )


def test_a_driver_without_its_library_is_named(machine, monkeypatch):
    machine.add(1)
    monkeypatch.delenv("LD_LIBRARY_PATH")

    assert error_of("gpu:0", UnusableSlot) == (
        f"Slot gpu:0 cannot compute on {LABEL}: the driver's library cannot be loaded: "
        "libcuda.so.1: cannot open shared object file: No such file or directory."
    )


def test_a_probe_that_crashes_is_a_sick_device(machine, monkeypatch):
    machine.add(1)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    assert error_of("gpu:0", DeviceUnavailable) == (
        f"Slot gpu:0 cannot compute on {LABEL}: a small kernel ended its process (status 1)."
    )


def test_a_device_that_another_process_has_for_itself_is_busy(machine):
    machine.add(1, mode=EXCLUSIVE).say(f"pid {gpu_uuid(0)} 4711")

    assert error_of("gpu:0", DeviceUnavailable) == (
        f"Slot gpu:0 wants {LABEL}, which another process has for itself (processes 4711): its "
        "compute mode is exclusive process. End that process, or allow several: nvidia-smi -i 0 "
        "-c DEFAULT."
    )


@pytest.mark.parametrize(
    ("spec", "used_mib", "needs"),
    [
        ("gpu:0", TOTAL_MIB - 639 - 512, "1.0 GiB"),
        ("gpu:0=0.75", 60_000, "56.3 GiB"),
        ("gpu:0=40GiB", 60_000, "38.0 GiB"),
    ],
)
def test_a_device_whose_memory_is_used_up_is_busy(machine, spec, used_mib, needs):
    machine.add(1, used_mib=used_mib).say(f"pid {gpu_uuid(0)} 4711").say(f"pid {gpu_uuid(0)} 12")

    free_gib = (TOTAL_MIB - 639 - used_mib) / 1024
    assert error_of(spec, DeviceUnavailable) == (
        f"Slot {spec} needs {needs} of {LABEL}, of which {free_gib:.1f} GiB are free: others use "
        "its memory (processes 12, 4711). End them, or give the slot less."
    )


def test_the_second_slot_of_a_shared_device_finds_its_share_free(machine):
    serving, training = machine.add(1) and slots_here("gpu:0=0.3,train@gpu:0=0.7")
    assert serving.share_bytes is not None
    machine.change(0, used_mib=serving.share_bytes // 2**20)

    check_device(training)


def test_a_device_that_was_lost_since_it_was_looked_up_is_lost(machine):
    (slot,) = machine.add(1) and slots_here("gpu:0")
    machine.change(0, error=LOST)

    with pytest.raises(DeviceLost) as error:
        check_device(slot)

    assert str(error.value) == f"Slot gpu:0 has lost its device. {gpu_uuid(0)} is not listed."


@pytest.mark.parametrize(
    "spec",
    ["gpu:1", "train@gpu:1=0.5", f"gpu:{mig_uuid(1)}", f"gpu:MIG-{gpu_uuid(0)}/1/0", "cpu:0"],
)
def test_a_device_that_is_free_and_computes_is_taken_and_a_cpu_slot_needs_none(machine, spec):
    machine.add(2).cut(0, mig_uuid(1), f"MIG-{gpu_uuid(0)}/1/0")
    if spec == "cpu:0":
        machine.say("cuda cuInit 100")

    check_device(slots_here(spec)[0])
