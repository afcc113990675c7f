"""What only a real GPU shows. `make test-gpu` runs it; elsewhere each test is skipped and says why.

One worker sees one device, computes within 1e-4 of the CPU, shares a device by its parts of the
memory, and halves a batch that the device has no memory for.
"""

import os
import random
import subprocess
import sys

import pytest

from seqd.local.device_check import check_device
from seqd.local.gpus import Gpu, list_gpus, nvml
from seqd.local.pinning import slots_here
from seqd_schemas import ItemSuccess
from worker_fixtures import SLOT, Cluster, LiveWorker, wait_until

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.network,
    pytest.mark.timeout(600),
]

#: Largest difference between a probability on a GPU and on a CPU.
PARITY = 1e-4

#: TensorFlow, CUDA and cuDNN are loaded from cold disks.
READY_S = 180.0

WORDS = tuple(
    "the a film movie was is good bad great awful plot actor music boring funny love hate".split()  # noqa: SIM905
)

#: Prints how many devices each process of a slot would find.
COUNT = """
import os
from seqd.hookspecs import Device
from seqd_modelkit import accelerator
accelerator.claim(Device("gpu", "gpu", 1))
if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    import tensorflow as tf
    print(len(tf.config.list_physical_devices("GPU")))
else:
    print(1)  # else `claim` has refused it
"""


@pytest.fixture(scope="module")
def gpus() -> list[Gpu]:
    listing = list_gpus()
    if not listing.gpus:
        pytest.skip(
            f"only `make test-gpu` on a machine with a GPU covers this: {listing.in_words()}"
        )
    return list(listing.gpus)


def spec_of(gpu: Gpu) -> str:
    return f"gpu:{gpu.uuid}"


def start(cluster: Cluster, spec: str, name: str, *plugins: str) -> LiveWorker:
    (slot,) = (SLOT,) if spec == "cpu" else slots_here(spec)
    return cluster.start(name, slot, enabled_plugins=plugins)


def wait_until_ready(worker: LiveWorker) -> LiveWorker:
    def is_ready() -> bool:
        assert worker.is_up(), worker.log()
        status = worker.status()
        return status is not None and status.state in ("ready", "busy")

    wait_until(is_ready, f"{worker.name} is ready", READY_S)
    return worker


def reviews(count: int) -> list[str]:
    draw = random.Random(1)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 600))) for _ in range(count)]


def labelled(count: int) -> list[dict[str, str]]:
    return [{"text": text, "label": "pos" if "good" in text else "neg"} for text in reviews(count)]


def positive_probabilities(cluster: Cluster, texts: list[str]) -> list[float]:
    job = cluster.client().classify(texts, model="imdb_lstm")
    job.wait(timeout_s=300)
    outputs = [result.output for result in job.results() if isinstance(result, ItemSuccess)]
    assert len(outputs) == len(texts)
    first = outputs[0].label
    return [one.score if one.label == first else 1 - one.score for one in outputs]


def used_bytes(gpu: Gpu) -> int:
    with nvml() as library:
        handle = library.nvmlDeviceGetHandleByUUID(gpu.uuid)
        return int(library.nvmlDeviceGetMemoryInfo(handle).used)


def test_the_driver_compiles_and_runs_the_small_kernel_on_each_device(gpus: list[Gpu]) -> None:
    for gpu in gpus:
        check_device(slots_here(spec_of(gpu))[0])


def test_a_child_sees_one_device_through_keras(gpus: list[Gpu]) -> None:
    for gpu in gpus:
        (slot,) = slots_here(spec_of(gpu))
        ended = subprocess.run(
            [sys.executable, "-P", "-c", COUNT],
            env={**os.environ, **slot.environment()},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-3_000:]
        assert ended.stdout.split()[-1] == "1"


def test_a_gpu_gives_the_probabilities_of_the_cpu(gpus: list[Gpu], empty_cluster: Cluster) -> None:
    texts = reviews(600)
    on_gpu = wait_until_ready(start(empty_cluster, spec_of(gpus[0]), "gpu", "imdb_lstm"))
    status = on_gpu.status()
    computed_there = positive_probabilities(empty_cluster, texts)
    assert on_gpu.stop() == 0, on_gpu.log()
    wait_until_ready(start(empty_cluster, "cpu", "cpu", "imdb_lstm"))

    computed_here = positive_probabilities(empty_cluster, texts)

    assert status is not None and status.device is not None
    assert status.device.uuid == gpus[0].uuid
    assert computed_there == pytest.approx(computed_here, abs=PARITY)


def test_serving_and_training_lie_side_by_side_within_their_shares(
    gpus: list[Gpu], empty_cluster: Cluster
) -> None:
    gpu, share_bytes = gpus[0], 4 * 2**30
    before = used_bytes(gpu)
    specs = f"{spec_of(gpu)}=4GiB,train@{spec_of(gpu)}=4GiB"
    serving, training = slots_here(specs)
    for name, slot in (("serving", serving), ("training", training)):
        wait_until_ready(empty_cluster.start(name, slot, enabled_plugins=("imdb_lstm",)))

    trained = empty_cluster.client().train(
        labelled(2_000), model="imdb_lstm", parameters={"epochs": 2, "units": 32}
    )
    probabilities = positive_probabilities(empty_cluster, reviews(2_000))
    record = trained.wait(timeout_s=400)
    used = used_bytes(gpu) - before

    assert len(probabilities) == 2_000
    assert record.state == "completed"
    assert used <= 2 * share_bytes, f"{used / 2**30:.1f} GiB"


def test_a_batch_that_the_device_has_no_memory_for_is_halved(
    gpus: list[Gpu], empty_cluster: Cluster
) -> None:
    # 8 items want 2 GiB; of a share of 2 GiB, 640 MiB are the context's.
    spec = f"all@{spec_of(gpus[0])}=2GiB"
    worker = wait_until_ready(start(empty_cluster, spec, "w1", "light", "char_lstm"))
    texts = ["fill", "batch", *(f"text {number}" for number in range(6))]

    job = empty_cluster.client().classify(texts, model="echo")

    assert job.wait(timeout_s=120).counts.succeeded == len(texts)
    labels = [result.output.label for result in job.results()]
    assert labels[1] in ("batch of 4", "batch of 2"), labels
    assert worker.is_up()
    assert empty_cluster.crashes(job.job_id) == 0
