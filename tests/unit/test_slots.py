"""Slot specs, the environment that pins a worker, and what `auto` makes of a machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import InvalidSettings
from seqd.local import slots
from seqd.local.slots import (
    auto_slots,
    cores,
    gpus_of_listing,
    parse_slot,
    parse_slots,
)

FORMS = (
    "A slot is cpu:0, gpu:0 or gpu:MIG-UUID; train@ in front takes training alone, all@ every "
    "task. Such as cpu:0,cpu:1,train@cpu or gpu:0,train@gpu:0, or auto."
)


@pytest.mark.parametrize(
    ("spec", "kind", "tasks", "visible", "threads"),
    [
        ("cpu:0", "cpu", ("classify", "generate"), "-1", 1),
        ("gpu:0", "gpu", ("classify", "generate"), "0", 1),
        ("gpu:MIG-41b3-9", "gpu", ("classify", "generate"), "MIG-41b3-9", 1),
        ("gpu:GPU-41b3-9", "gpu", ("classify", "generate"), "GPU-41b3-9", 1),
        ("train@cpu", "cpu", ("train",), "-1", cores()),
        ("train@gpu:1", "gpu", ("train",), "1", 1),
        ("all@cpu:0", "cpu", ("classify", "generate", "train"), "-1", cores()),
    ],
)
def test_a_spec_says_the_device_the_tasks_and_the_threads(
    spec: str, kind: str, tasks: tuple[str, ...], visible: str, threads: int
) -> None:
    slot = parse_slot(spec)

    assert (slot.name, slot.kind, slot.tasks, slot.threads) == (spec, kind, tasks, threads)
    assert slot.environment()["CUDA_VISIBLE_DEVICES"] == visible
    assert slot.environment()["OMP_NUM_THREADS"] == str(threads)


def test_the_environment_sets_every_thread_pool_and_leaves_the_backend_to_the_user() -> None:
    environment = parse_slot("cpu:0").environment()

    assert environment == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
    }


@pytest.mark.parametrize(
    "spec", ["gpu", "tpu:0", "cpu:", "cpu:x", "train@", "serve@cpu:0", "gpu:-1", "CPU:0", "cpu:0 x"]
)
def test_a_spec_that_is_no_slot_is_refused_with_examples(spec: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        parse_slots(f"cpu:0,{spec}")

    assert str(refusal.value) == f"{spec!r} is no slot. {FORMS}"


def test_a_list_is_read_in_order_and_blanks_do_not_matter() -> None:
    names = [slot.name for slot in parse_slots(" cpu:1, cpu:0 ,train@cpu,")]

    assert names == ["cpu:1", "cpu:0", "train@cpu"]


def test_a_slot_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidSettings) as refusal:
        parse_slots("cpu:0,train@cpu,cpu:0")

    assert str(refusal.value) == (
        "SEQD_SLOTS names slot 'cpu:0' 2 times; each may stand once. "
        "Number CPU slots to have several: cpu:0,cpu:1."
    )


@pytest.mark.parametrize("text", ["", " ", ",,"])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        parse_slots(text)

    assert str(refusal.value) == f"SEQD_SLOTS is empty. {FORMS}"


def test_auto_gives_each_core_a_serving_slot_and_trains_on_all() -> None:
    made = auto_slots(cuda_visible_devices="-1")

    serving = min(cores(), slots.MAX_AUTO_SERVING_SLOTS)
    assert [slot.name for slot in made] == [*(f"cpu:{i}" for i in range(serving)), "train@cpu"]


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("0", ["gpu:0", "train@gpu:0"]),
        ("2,3", ["gpu:2", "gpu:3", "train@gpu:3"]),
        ("0,-1,1", ["gpu:0", "train@gpu:0"]),  # CUDA hides what stands behind -1.
        ("MIG-4-1, MIG-4-2", ["gpu:MIG-4-1", "gpu:MIG-4-2", "train@gpu:MIG-4-2"]),
    ],
)
def test_auto_takes_the_gpus_that_cuda_visible_devices_leaves(
    visible: str, names: list[str]
) -> None:
    made = auto_slots(cuda_visible_devices=visible)

    assert [slot.name for slot in made] == names


def test_auto_asks_nvidia_smi_where_the_variable_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-5d5b)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    made = parse_slots("auto")

    assert [slot.name for slot in made] == ["gpu:0", "train@gpu:0"]


def test_a_gpu_that_is_cut_into_mig_shares_is_offered_as_its_shares() -> None:
    listing = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5b-1)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4-1)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-c6d4-2)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5b-2)\n"
    )

    assert gpus_of_listing(listing) == ["MIG-c6d4-1", "MIG-c6d4-2", "1"]


@given(st.lists(st.sampled_from(["cpu:0", "cpu:1", "train@cpu", "gpu:0", "all@gpu:7"]), min_size=1))
def test_a_list_is_taken_exactly_when_no_slot_stands_twice(specs: list[str]) -> None:
    try:
        names = [slot.name for slot in parse_slots(",".join(specs))]
    except InvalidSettings:
        assert len(set(specs)) < len(specs)
    else:
        assert names == specs
