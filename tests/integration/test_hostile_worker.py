"""A real worker among keys that somebody wrote by hand: each job fails with its reason, none hangs.

What the ledger makes of damage is in `test_hostile_ledger`; here are the parts that a worker
adds: blobs, the inbox, periodic tasks, and a model store with something planted in it.
"""

import pickle
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import redis

from builders import a_chunk
from seqd.errors import JobFailed
from seqd.ledger.blobs import pack
from seqd.models.store import ModelStore
from seqd_schemas import Failure, JobState
from store_builders import publish
from worker_fixtures import Cluster

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Zeros that a bomb inflates to, from about a thousandth of that.
BOMB_BYTES = 2**30
MOST_GROWTH_BYTES = 300 * 2**20

#: Jobs of one text of 1 MB, as many as the plugin takes in one batch. They grew a worker by 67 MiB
#: when all were claimed together, and by 21 since a claim is bounded by what it inflates to.
JOBS_OF_A_CLAIM = 64
MOST_GROWTH_OF_A_CLAIM_BYTES = 40 * 2**20


def a_bomb() -> bytes:
    """A gibibyte of zeros, compressed without ever being in memory."""
    deflater = zlib.compressobj(9)
    zeros = bytes(2**20)
    parts = [deflater.compress(zeros) for _ in range(BOMB_BYTES // 2**20)]
    return b"".join([*parts, deflater.flush()])


def more_than_stated() -> bytes:
    """Zeros in a stream whose small window states 4,096 bytes."""
    deflater = zlib.compressobj(1, wbits=12)
    return deflater.compress(bytes(2**27)) + deflater.flush()


#: What is no unit, beside what `test_hostile_items` unpacks.
BLOBS: dict[str, Callable[[], bytes]] = {
    "garbage": lambda: b"\xff\x00garbage",
    "pickle": lambda: zlib.compress(pickle.dumps([1, 2])),
    "more items": lambda: pack(a_chunk(5)),
    "no items": lambda: pack(a_chunk(0)),
    "zstd bomb": lambda: zstd.compress(bytes(2**27)),
    "more than stated": more_than_stated,
}


@pytest.fixture
def store(cluster: Cluster) -> Iterator[redis.Redis]:
    assert cluster.settings.redis_url is not None
    with redis.Redis.from_url(cluster.settings.redis_url) as client:
        yield client


def peak_memory_bytes(pid: int) -> int:
    """The most memory that a process has had, in bytes; 0 where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def assert_that_others_complete(cluster: Cluster) -> None:
    record = cluster.client().classify(["a", "b"], model="echo").wait(timeout_s=120)

    assert record.state is JobState.COMPLETED


def wait_for_failure(cluster: Cluster, job_id: str) -> Failure:
    with pytest.raises(JobFailed) as raised:
        cluster.client().job(job_id).wait(timeout_s=120)
    return raised.value.failure


def damaged_jobs(cluster: Cluster, damage: Callable[[str, str], object], names: Iterable[str]):
    """Hand jobs in and damage them, while the worker is stopped and so cannot be quicker."""
    (worker,) = cluster.workers
    worker.freeze()
    try:
        jobs = {name: cluster.client().classify(["a", "b"], model="echo").job_id for name in names}
        for name, job_id in jobs.items():
            damage(name, job_id)
    finally:
        worker.thaw()
    return jobs


@pytest.mark.parametrize(
    "blobs",
    [
        pytest.param(BLOBS, id="all but the bomb"),
        pytest.param({"bomb": a_bomb}, id="bomb"),
    ],
)
def test_units_that_are_none_fail_their_jobs_alone(
    cluster: Cluster, store: redis.Redis, blobs: dict[str, Callable[[], bytes]]
):
    pid = cluster.workers[0].child_pid()
    before = peak_memory_bytes(pid)
    contents = {name: blob() for name, blob in blobs.items()}

    def write(name: str, job_id: str) -> None:
        store.hset(cluster.settings.keys.input(job_id), "0", contents[name])

    jobs = damaged_jobs(cluster, write, blobs)

    failures = {name: wait_for_failure(cluster, job_id) for name, job_id in jobs.items()}
    for name, failure in failures.items():
        assert failure.code in ("invalid_input", "job_damaged"), name
        told = "seqd.client" in failure.message or "Hand the job in again" in failure.message
        assert told, f"{name}: {failure.message}"
    assert_that_others_complete(cluster)
    assert cluster.workers[0].child_pid() == pid
    assert peak_memory_bytes(pid) - before < MOST_GROWTH_BYTES


def test_one_claim_of_much_repeated_text_grows_a_worker_by_a_bound(empty_cluster: Cluster):
    cluster = empty_cluster
    worker = cluster.start_ready()
    client, pid = cluster.client(), worker.child_pid()
    before = peak_memory_bytes(pid)
    worker.freeze()  # so that all of them can be claimed together
    texts = ["a great film " * 80_000] * JOBS_OF_A_CLAIM
    handles = [client.generate([text], model="echo", parameters={"length": 1}) for text in texts]
    worker.thaw()

    states = {handle.wait(timeout_s=120).state for handle in handles}

    assert states == {JobState.COMPLETED}
    assert worker.child_pid() == pid
    assert peak_memory_bytes(pid) - before < MOST_GROWTH_OF_A_CLAIM_BYTES


def plant(name: str, content: bytes = b"\x80\x04planted") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


PLANTED: dict[str, Callable[[Path], object]] = {
    "pickle": plant("evil.pkl"),
    "keras": plant("model.keras", b"PK\x03\x04"),
    "h5": plant("weights.h5", b"\x89HDF\r\n"),
    "weights": plant("more.safetensors", b"\xff" * 8),
    "link": lambda folder: (folder / "link.json").symlink_to("/etc/passwd"),
    "folder": lambda folder: (folder / "inner").mkdir(),
    "manifest": plant("manifest.json", b'{"format": 9}'),
}


def test_a_version_with_something_planted_is_never_loaded(empty_cluster: Cluster):
    cluster = empty_cluster
    store = ModelStore(cluster.settings.store_dir, {})
    versions = {name: publish(store, "echo") for name in PLANTED}
    worker = cluster.start_ready()
    pid = worker.child_pid()
    for name, version in versions.items():
        folder = store.folder_of("echo") / str(version)
        folder.chmod(0o755)
        (folder / "manifest.json").chmod(0o644)
        PLANTED[name](folder)
    client = cluster.client()
    jobs = {
        name: client.classify(["a"], model=f"echo@{version}").job_id
        for name, version in versions.items()
    }

    failures = {name: wait_for_failure(cluster, job_id) for name, job_id in jobs.items()}

    assert {failure.code for failure in failures.values()} == {"no_fit_worker"}
    told = failures["pickle"].message
    assert f"/{versions['pickle']}/evil.pkl is not in the version's manifest" in told
    assert client.classify(["a"], model="echo@1").wait(timeout_s=120).state is JobState.COMPLETED
    assert worker.child_pid() == pid
