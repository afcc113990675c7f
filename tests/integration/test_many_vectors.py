"""Given 100,000 texts, when a task embeds them, then each has its vector, in bounded memory."""

from pathlib import Path

import numpy as np
import pytest
import seqd_tasks

from seqd.ledger import connect
from seqd_schemas import Embedding

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(600),
]

ITEMS = 100_000
#: 1,024 bytes of numbers, and what base64, the item's name and the rest of the JSON leave of it.
MOST_BYTES_A_VECTOR = 1_200
MIB = 2**20


def test_each_text_has_its_vector_in_order_and_no_memory_grows(own_task_cluster):
    worker = own_task_cluster.start_ready()
    client = own_task_cluster.client()
    child = worker.child_pid()
    few = client.run(texts(2_000), model="vectors", task="embed")
    assert sum(result.ok for result in few.results()) == 2_000
    before = peak_bytes_of(child)

    job = client.run(texts(ITEMS), model="vectors", task="embed", output=Embedding)

    for number, result in enumerate(job.results()):
        assert result.custom_id == f"row-{number + 1}"
        if number % 997 == 0:
            due = np.asarray(seqd_tasks.embed(f"text {number}").vector)
            assert np.array_equal(np.asarray(result.unwrap().vector), due)
    assert number == ITEMS - 1
    assert kept_bytes(own_task_cluster, job.job_id) / ITEMS < MOST_BYTES_A_VECTOR
    assert peak_bytes_of(child) - before < 64 * MIB


def kept_bytes(cluster, job_id: str) -> int:
    """Return the bytes that Redis has of a job's results."""
    redis = connect(cluster.settings.redis_url)
    kept = redis.memory_usage(cluster.settings.keys.output(job_id), samples=0)
    redis.close()
    return int(kept)


def peak_bytes_of(pid: int) -> int:
    """Return the most memory that a process has held."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def texts(count: int):
    return (f"text {number}" for number in range(count))
