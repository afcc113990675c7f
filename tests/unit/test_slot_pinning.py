"""Which devices slots get on machines of every kind, by way of the real NVML library for Python.

The driver under it is a fake one, compiled for the run; see `fake_gpu_fixtures`.
"""

import logging
from collections.abc import Sequence
from threading import Event

import pytest

from fake_gpu_fixtures import (
    EXCLUSIVE,
    LOST,
    PROHIBITED,
    RM_MISMATCH,
    UNKNOWN,
    Machine,
    gpu_uuid,
    mig_uuid,
)
from seqd.cli.exits import exit_status_of
from seqd.errors import DeviceLost, UnusableSlot
from seqd.local import gpus as gpus_module
from seqd.local import pinning
from seqd.local.gpus import GpuListing, list_gpus
from seqd.local.pinning import pin_worker, slots_here
from seqd.local.slots import Slot, cores, parse_slot

NAME = "NVIDIA H100 80GB HBM3"
ON_CPU = (
    "To compute on the CPU, say so: SEQD_SLOTS=cpu:0,train@cpu of `seqd up`, or --slot cpu:0 of "
    "`seqd worker`."
)


def label(index: int, name: str = NAME) -> str:
    return f"GPU {index} ({name}, {gpu_uuid(index)})"


def names(slots: Sequence[Slot]) -> list[str]:
    return [slot.name for slot in slots]


def uuids(slots: Sequence[Slot]) -> list[str]:
    return [slot.environment()["CUDA_VISIBLE_DEVICES"] for slot in slots]


def refusal_of(text: str) -> str:
    with pytest.raises(UnusableSlot) as refusal:
        slots_here(text)
    assert exit_status_of(refusal.value) == 78
    return str(refusal.value)


def is_on_the_cpu(slots: Sequence[Slot]) -> bool:
    serving = min(cores(), pinning.MAX_AUTO_SERVING_SLOTS)
    return names(slots) == [*(f"cpu:{i}" for i in range(serving)), "train@cpu"]


# -- auto


@pytest.mark.parametrize("visible", [None, "", "-1", "-1,0"])
def test_a_machine_without_a_driver_or_with_hidden_gpus_gets_a_slot_on_each_core(
    machine, monkeypatch, visible
):
    machine.add(2)
    if visible is None:
        monkeypatch.delenv("FAKE_GPU_STATE")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert is_on_the_cpu(slots_here("auto"))


def test_each_gpu_gets_a_serving_slot_and_the_last_one_a_training_slot_too(machine):
    machine.add(4)

    slots = slots_here("auto")

    assert names(slots) == ["gpu:0", "gpu:1", "gpu:2", "gpu:3", "train@gpu:3"]
    assert uuids(slots) == [gpu_uuid(number) for number in (0, 1, 2, 3, 3)]
    machine.change(1, mode=EXCLUSIVE).change(3, mode=EXCLUSIVE)
    assert names(slots_here("auto")) == ["gpu:0", "gpu:1", "gpu:2", "all@gpu:3"]


@pytest.mark.parametrize("uuid", [mig_uuid, lambda number: f"MIG-{gpu_uuid(0)}/{number}/0"])
def test_each_instance_of_a_gpu_that_is_cut_gets_a_slot_by_its_new_or_old_name(machine, uuid):
    machine.add(2).cut(0, uuid(1), uuid(2))

    slots = slots_here("auto")

    assert names(slots) == [f"gpu:{uuid(1)}", f"gpu:{uuid(2)}", "gpu:1", "train@gpu:1"]
    assert uuids(slots)[:2] == [uuid(1), uuid(2)]
    assert slots[0].gpu is not None
    assert (slots[0].gpu.name, slots[0].gpu.memory_bytes) == (
        f"{NAME} MIG 20 GiB",
        20_000 * 2**20,
    )


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,3", ["gpu:2", "gpu:3", "train@gpu:3"]),
        ("3,2", ["gpu:3", "gpu:2", "train@gpu:2"]),
        ("0,-1,1", ["gpu:0", "train@gpu:0"]),  # CUDA hides what stands behind -1
        (f"{gpu_uuid(1)[:12]},{gpu_uuid(3)}", ["gpu:1", "gpu:3", "train@gpu:3"]),
    ],
)
def test_auto_takes_what_cuda_visible_devices_leaves_by_index_or_uuid(
    machine, monkeypatch, visible, expected
):
    machine.add(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert names(slots_here("auto")) == expected


def test_one_gpu_in_error_is_left_out_and_named_and_the_others_are_used(machine, caplog):
    machine.add(3).change(1, error=LOST)

    with caplog.at_level(logging.WARNING):
        slots = slots_here("auto")

    assert names(slots) == ["gpu:0", "gpu:2", "train@gpu:2"]
    assert caplog.messages == ["left out by auto: GPU 1: GPU is lost"]


@pytest.mark.parametrize("visible", [None, "0"])
def test_auto_refuses_where_something_says_that_there_is_a_gpu_and_no_driver(
    machine, monkeypatch, visible
):
    monkeypatch.delenv("FAKE_GPU_STATE")
    if visible is None:
        (machine.folder / "nvidia0").touch()
        monkeypatch.setattr(gpus_module, "_DEVICE_FOLDER", machine.folder)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    said = refusal_of("auto")

    assert said.startswith("auto wants a GPU, and NVML, the driver's library, lists none: ")
    assert ("Driver Not Loaded, though there is /dev/nvidia0" in said) is (visible is None)


# -- slots by name, and what is refused


@pytest.mark.parametrize(
    ("spec", "index"),
    [("gpu:2", 2), (f"train@gpu:{gpu_uuid(1)}", 1), (f"gpu:{gpu_uuid(3)[:12]}=0.5", 3)],
)
def test_a_slot_is_pinned_by_the_uuid_of_the_device_that_it_names(
    machine, monkeypatch, spec, index
):
    # An index counts all devices, whatever the variable leaves.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2,3")
    machine.add(4)

    assert uuids(slots_here(spec)) == [gpu_uuid(index)]


#: By what a person asks for, what the machine is like, and what is said.
REFUSED = [
    (
        "auto",
        lambda machine: machine.change(0, error=LOST).change(1, error=LOST),
        f"auto finds no GPU that is well: GPU 0: GPU is lost; GPU 1: GPU is lost. {ON_CPU}",
    ),
    (
        "auto",
        lambda machine: machine.say(f"init {RM_MISMATCH}"),
        "auto wants a GPU, and NVML, the driver's library, lists none: RM has detected an NVML/RM "
        f"version mismatch. {ON_CPU}",
    ),
    (
        "auto",
        lambda machine: machine.change(0, is_cut=True).change(1, error=LOST),
        f"auto finds no GPU that is well: GPU 0 ({gpu_uuid(0)}): it is in MIG mode and has no "
        f"instance; make one: nvidia-smi mig -cgi … -C; GPU 1: GPU is lost. {ON_CPU}",
    ),
    (
        "gpu:0,gpu:9",
        lambda machine: machine.add(1, error=UNKNOWN),
        f"Slot gpu:9 wants GPU 9, which is not here. There: {label(0)}, {label(1)}, GPU 2: "
        "Unknown Error.",
    ),
    (
        "gpu:0",
        lambda machine: machine.cut(0, mig_uuid(1), mig_uuid(2)),
        f"Slot gpu:0 may be each of gpu:{mig_uuid(1)}, gpu:{mig_uuid(2)}: name one of them by its "
        "whole UUID.",
    ),
    (
        "gpu:1",
        lambda machine: machine.change(1, error=UNKNOWN),
        "Slot gpu:1 wants a device in error: GPU 1: Unknown Error.",
    ),
    (
        "gpu:0",
        lambda machine: machine.change(0, mode=PROHIBITED),
        f"Slot gpu:0 wants {label(0)}, on which nobody may compute: its compute mode is "
        "prohibited. Allow it: nvidia-smi -i 0 -c DEFAULT.",
    ),
    (
        "gpu:0,train@gpu:0",
        lambda machine: machine.change(0, mode=EXCLUSIVE),
        f"Slots gpu:0 and train@gpu:0 want {label(0)} together, which one process alone may use: "
        "its compute mode is exclusive process. Name one slot, such as all@gpu:0, or allow "
        "several: nvidia-smi -i 0 -c DEFAULT.",
    ),
    (
        "gpu:0=0.5,train@gpu:0=0.6",
        Machine.write,
        "Slots gpu:0=0.5 and train@gpu:0=0.6 want 39.5 GiB + 47.4 GiB of the 79.0 GiB of "
        f"{label(0)}. Give them smaller shares.",
    ),
    (
        "gpu:0=512MiB",
        Machine.write,
        f"Slot gpu:0=512MiB has 0.5 GiB of {label(0)}; allowed: at least 1.0 GiB, since a CUDA "
        "context alone takes half of that.",
    ),
]


@pytest.mark.parametrize(("spec", "change", "said"), REFUSED)
def test_a_slot_that_cannot_be_had_is_refused_with_what_there_is_and_what_to_do(
    machine, spec, change, said
):
    change(machine.add(2))

    assert refusal_of(spec) == said
    assert names(slots_here("cpu:0")) == ["cpu:0"]


@pytest.mark.parametrize(
    ("spec", "visible", "said"),
    [
        ("auto", "0,9", "CUDA_VISIBLE_DEVICES is 0,9, of which '9' is no device here."),
        (
            "auto",
            "GPU-0",
            "CUDA_VISIBLE_DEVICES is GPU-0, of which 'GPU-0' may be more than one device.",
        ),
        (
            "auto",
            "GPU-ffff",
            "CUDA_VISIBLE_DEVICES is GPU-ffff, of which 'GPU-ffff' is no device here.",
        ),
        ("gpu:0", "1", f"Slot gpu:0 wants {label(0)}, which CUDA_VISIBLE_DEVICES=1 hides."),
    ],
)
def test_what_cuda_visible_devices_hides_or_names_wrongly_is_refused(
    machine, monkeypatch, spec, visible, said
):
    machine.add(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    others = f"Left: {label(1)}." if spec == "gpu:0" else f"There: {label(0)}, {label(1)}."
    assert refusal_of(spec) == f"{said} {others}"


def test_slots_that_fill_a_device_to_the_last_byte_are_taken_and_two_devices_are_not_added_up(
    machine,
):
    machine.add(2)

    slots = slots_here("gpu:0=0.3,train@gpu:0=0.7,gpu:1=0.9")

    assert [slot.share_bytes for slot in slots] == [
        int(80_920 * 2**20 * share) for share in (0.3, 0.7, 0.9)
    ]


# -- a worker that was told its device


def test_a_worker_keeps_the_device_that_it_was_told_when_indexes_have_shifted(machine):
    machine.add(3)
    (told,) = slots_here("gpu:2")
    assert told.gpu is not None
    machine.gpus.pop(0)
    machine.write()

    assert pin_worker(parse_slot("gpu:2"), told.gpu.written()) == told


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_worker_whose_device_has_gone_says_so_with_a_status_of_its_own(machine, is_listed):
    machine.add(2)
    (told,) = slots_here("gpu:1")
    assert told.gpu is not None
    if is_listed:
        machine.change(1, error=LOST)
    else:
        machine.gpus.pop()
        machine.write()

    with pytest.raises(DeviceLost) as lost:
        pin_worker(parse_slot("gpu:1"), told.gpu.written())

    assert str(lost.value) == (
        f"Slot gpu:1: {NAME} ({gpu_uuid(1)}) is lost: the driver does not list it any more."
    )
    assert exit_status_of(lost.value) == 71


def test_a_driver_that_does_not_answer_is_given_up_and_not_asked_again_meanwhile(monkeypatch):
    asked, may_answer = list[None](), Event()

    def hang() -> GpuListing:
        asked.append(None)
        may_answer.wait()
        return GpuListing()

    monkeypatch.setattr(gpus_module, "_listing", hang)

    faults = [list_gpus(timeout_s).fault for timeout_s in (0.1, 30.0)]

    assert faults == 2 * ["the driver does not answer"]
    assert len(asked) == 1
    thread = gpus_module._asking.thread
    assert thread is not None
    may_answer.set()
    thread.join()
