"""Slot specs, the environment that pins a worker to its device, and the names of workers."""

import socket

import pytest

from seqd.errors import InvalidSettings
from seqd.local.gpus import PinnedGpu
from seqd.local.slots import CONTEXT_BYTES, cores, parse_slot, parse_slots
from seqd.serving import place_of
from seqd.worker.context import identify

H100 = PinnedGpu("GPU-5d5b", 80 * 2**30, "NVIDIA H100")

FORMS = (
    "A slot is cpu:0, gpu:0 or gpu:MIG-UUID; train@ in front takes training alone, all@ every "
    "task; =0.5 or =6GiB behind a GPU is the share of its memory. Such as cpu:0,cpu:1,train@cpu, "
    "gpu:0,train@gpu:0 or gpu:0=0.3,train@gpu:0=0.7, or auto."
)


@pytest.mark.parametrize(
    ("spec", "kind", "tasks", "visible", "threads"),
    [
        ("cpu:0", "cpu", ("classify", "generate"), "-1", 1),
        ("gpu:0", "gpu", ("classify", "generate"), "0", 1),
        ("gpu:MIG-41b3-9", "gpu", ("classify", "generate"), "MIG-41b3-9", 1),
        ("gpu:MIG-GPU-41b3-9/3/0", "gpu", ("classify", "generate"), "MIG-GPU-41b3-9/3/0", 1),
        ("gpu:0=0.25", "gpu", ("classify", "generate"), "0", 1),
        ("train@gpu:0=6GiB", "gpu", ("train",), "0", 1),
        ("train@cpu", "cpu", ("train",), "-1", cores()),
        ("all@cpu:0", "cpu", ("classify", "generate", "train"), "-1", cores()),
    ],
)
def test_a_spec_says_the_device_the_tasks_and_the_threads(spec, kind, tasks, visible, threads):
    slot = parse_slot(spec)

    assert (slot.name, slot.kind, slot.tasks, slot.threads) == (spec, kind, tasks, threads)
    assert slot.environment()["CUDA_VISIBLE_DEVICES"] == visible
    assert slot.environment()["OMP_NUM_THREADS"] == str(threads)


def test_the_environment_sets_every_thread_pool_and_leaves_the_backend_to_the_user():
    environment = parse_slot("cpu:0").environment()

    assert environment == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
    }


TWICE = (
    "SEQD_SLOTS names slot 'cpu:0' 2 times; each may stand once. Number CPU slots to have several: "
    "cpu:0,cpu:1."
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cpu:0,train@cpu,cpu:0", TWICE),
        *((empty, f"SEQD_SLOTS is empty. {FORMS}") for empty in ("", " ", ",,")),
    ],
)
def test_a_list_that_is_empty_or_has_a_slot_twice_is_refused(text, said):
    with pytest.raises(InvalidSettings) as refusal:
        parse_slots(text)

    assert str(refusal.value) == said


@pytest.mark.parametrize(
    "spec",
    [
        *("gpu", "tpu:0", "cpu:", "cpu:x", "train@", "serve@cpu:0", "gpu:-1", "CPU:0", "cpu:0 x"),
        *("cpu:0=0.5", "gpu:0=", "gpu:0=1", "gpu:0=1.5", "gpu:0=50%", "gpu:0=6GB", "gpu:0=-1GiB"),
        f"train@gpu:MIG-GPU-{'a' * 38}/13/0=0.125",
    ],
)
def test_a_spec_that_is_no_slot_is_refused_with_examples(spec):
    with pytest.raises(InvalidSettings) as refusal:
        parse_slots(f"cpu:0,{spec}")

    assert str(refusal.value) == f"{spec!r} is no slot. {FORMS}"


@pytest.mark.parametrize(
    ("spec", "share_bytes"),
    [("gpu:0=0.25", 20 * 2**30), ("gpu:0=6GiB", 6 * 2**30), ("gpu:0=1536MiB", 1_536 * 2**20)],
)
def test_a_share_leaves_room_for_the_context_beside_what_a_framework_counts(spec, share_bytes):
    slot = parse_slot(spec).pinned(H100)

    assert (slot.share_bytes, slot.framework_bytes) == (share_bytes, share_bytes - CONTEXT_BYTES)
    fraction = float(slot.environment()["XLA_PYTHON_CLIENT_MEM_FRACTION"])
    assert fraction == pytest.approx((share_bytes - CONTEXT_BYTES) / H100.memory_bytes, abs=1e-4)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("train@cpu", "train@cpu"),
        # No sign that a key may not have.
        ("train@gpu:MIG-GPU-41b3-9/3/0=0.5", "train@gpu:MIG-GPU-41b3-9-3-0-0.5"),
    ],
)
def test_a_worker_without_a_name_gets_a_new_one_in_its_place_at_each_start(spec, named):
    slot = parse_slot(spec)

    names = {identify(slot).name for _ in range(3)}

    assert len(names) == 3
    assert {place_of(name) for name in names} == {f"{named}@{socket.gethostname()}"}


def test_a_name_that_cannot_be_part_of_a_key_is_refused():
    with pytest.raises(InvalidSettings) as refusal:
        identify(parse_slot("cpu:0"), "a b")

    assert str(refusal.value) == (
        "The worker's name is 'a b'; allowed: up to 200 letters, digits and `_.:@-`, and no space, "
        "since it becomes part of a key."
    )
