"""What a worker's child counts, in memory that its parent serves."""

from time import monotonic

import pytest

from builders import a_worker_status
from seqd.ledger.units import Unit
from seqd.worker.channel import Channel
from seqd.worker.counting import MOST_ROUTES, OTHER, WorkCounts, WorkerStats
from seqd.worker.metrics import metrics_of_work
from seqd_schemas import (
    Classification,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
)

SUCCESS = ItemSuccess(custom_id="a", output=Classification(label="a", score=1.0, truncated=False))
ERROR = ItemError(code=ItemErrorCode.INVALID_INPUT, message="bad")
FAILURE = ItemFailure(custom_id="b", error=ERROR, attempts=1)


@pytest.fixture
def memory():
    return Channel()


def a_unit(job_id: str = "j", *, age_s: float = 2.0, started_job: bool = True) -> Unit:
    return Unit(job_id, "0", 1, 0, b"", started_job=started_job, job_age_s=age_s)


def count(counts: WorkCounts, model: str = "m", ended: tuple[str, ...] = ("j",)) -> None:
    """Count a claim of one unit with a result and an error."""
    stats = WorkerStats()
    counts.begin("classify", model, [a_unit()], monotonic() - 1.0)
    stats.batch(items=2, real_tokens=6, computed_tokens=10, vectorise_s=0.0, compute_s=0.0)
    stats.unpack_s += 0.03
    counts.stage("compute", 0.2)
    counts.items([[SUCCESS], [FAILURE]])
    counts.jobs_ended(ended)
    counts.end(stats, None)


def values(memory: Channel) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics_of_work(memory.series())
        for sample in family.samples
    }


def test_a_part_of_a_job_that_had_begun_is_no_wait_and_a_job_of_another_is_not_ended(memory):
    counts = WorkCounts(memory)
    counts.begin("classify", "m", [a_unit(started_job=False)], monotonic())
    counts.jobs_ended(["another"])

    found = values(memory)
    assert found["seqd_worker_wait_seconds_count", "classify", "m"] == 0
    assert found["seqd_worker_job_seconds_count", "classify", "m"] == 0


def test_work_in_hand_is_busy_before_it_ends(memory):
    counts = WorkCounts(memory)
    counts.begin("train", "m", [a_unit()], monotonic() - 3600)
    counts.note_state(a_worker_status(), leases_lost=0)

    assert values(memory)["seqd_worker_busy_seconds_total", "train", "m"] == pytest.approx(3600, 1)


def test_models_beyond_the_most_count_as_one(memory):
    counts = WorkCounts(memory)
    for number in range(MOST_ROUTES + 5):
        count(counts, f"m{number}")
    counts.note_state(
        a_worker_status(loaded_bytes={f"n{number}@1": 7 for number in range(200)}), leases_lost=3
    )

    found = values(memory)
    items = [key for key in found if key[0] == "seqd_worker_items_total" and "succeeded" in key]
    assert len(items) == MOST_ROUTES + 1
    assert found["seqd_worker_items_total", "classify", OTHER, "succeeded", ""] == 5
    assert found["seqd_worker_model_bytes", OTHER] == 200 * 7
    assert found["seqd_worker_leases_lost_total",] == 3


def test_where_no_room_is_left_nothing_fails_and_what_is_counted_stays(memory):
    first = memory.place("items", "t", "m", "succeeded", "")
    for number in range(10_000):
        memory.numbers[memory.place("wait_seconds", "t", f"m{number}", width=14)] += 1
    memory.numbers[first] += 1

    assert values(memory)["seqd_worker_items_total", "t", "m", "succeeded", ""] == 1
