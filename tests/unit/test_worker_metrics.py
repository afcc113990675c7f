"""What a worker's child counts, in memory that its parent serves."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from builders import a_worker_status
from seqd.ledger.units import Unit
from seqd.local.heartbeat import Heartbeat
from seqd.local.slots import parse_slot
from seqd.settings import Settings
from seqd.worker.context import Identity, WorkerStats
from seqd.worker.metrics.counting import MOST_ROUTES, OTHER, WorkCounts
from seqd.worker.metrics.endpoint import MetricsEndpoint
from seqd.worker.metrics.exposition import metrics_of_work
from seqd.worker.metrics.memory import CounterMemory
from seqd_schemas import (
    Classification,
    DeathCause,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
)

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has a memfd"
)

SUCCESS = ItemSuccess(custom_id="a", output=Classification(label="a", score=1.0, truncated=False))
ERROR = ItemError(code=ItemErrorCode.INVALID_INPUT, message="bad")
FAILURE = ItemFailure(custom_id="b", error=ERROR, attempts=1)


@pytest.fixture
def memory() -> CounterMemory:
    made = CounterMemory.create()
    assert made is not None
    return made


def a_unit(job_id: str = "j", *, age_s: float = 2.0, started_job: bool = True) -> Unit:
    return Unit(job_id, "0", 1, 0, b"", started_job=started_job, job_age_s=age_s)


def count(counts: WorkCounts, model: str = "m", ended: tuple[str, ...] = ("j",)) -> None:
    """Count a claim of one unit with a result and an error."""
    stats = WorkerStats()
    counts.begin("classify", model, [a_unit()], monotonic() - 1.0, stats)
    stats.batch(items=2, real_tokens=6, computed_tokens=10, vectorise_s=0.0, compute_s=0.0)
    stats.add("unpack_s", 0.03)
    counts.stage("compute", 0.2)
    counts.items([[SUCCESS], [FAILURE]])
    counts.jobs_ended(ended)
    counts.end(stats, None)


def values(memory: CounterMemory) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics_of_work(memory.series())
        for sample in family.samples
    }


def test_a_claim_is_counted_by_items_waits_stages_jobs_and_tokens(memory: CounterMemory):
    count(WorkCounts(memory))

    found, route = values(memory), ("classify", "m")
    assert found["seqd_worker_items_total", *route, "succeeded", ""] == 1
    assert found["seqd_worker_items_total", *route, "errored", "invalid_input"] == 1
    assert found["seqd_worker_wait_seconds_sum", *route] == 2.0
    assert found["seqd_worker_wait_seconds_bucket", *route, "1.0"] == 0
    assert found["seqd_worker_wait_seconds_bucket", *route, "5.0"] == 1
    assert found["seqd_worker_wait_seconds_bucket", *route, "+Inf"] == 1
    assert found["seqd_worker_unit_seconds_sum", *route, "read"] == pytest.approx(0.03)
    assert found["seqd_worker_unit_seconds_sum", *route, "compute"] == 0.2
    assert found["seqd_worker_unit_seconds_count", *route, "load"] == 0
    assert found["seqd_worker_job_seconds_count", *route] == 1
    assert found["seqd_worker_job_seconds_sum", *route] >= 2.0
    assert 1.0 <= found["seqd_worker_busy_seconds_total", *route] < 30.0
    assert found["seqd_worker_tokens_total", "m"] == 6
    assert found["seqd_worker_padding_tokens_total", "m"] == 4


def test_a_part_of_a_job_that_had_begun_is_no_wait_and_a_job_of_another_is_not_ended(
    memory: CounterMemory,
):
    counts = WorkCounts(memory)
    counts.begin("classify", "m", [a_unit(started_job=False)], monotonic(), WorkerStats())
    counts.jobs_ended(["another"])

    found = values(memory)
    assert found["seqd_worker_wait_seconds_count", "classify", "m"] == 0
    assert found["seqd_worker_job_seconds_count", "classify", "m"] == 0


def test_work_in_hand_is_busy_before_it_ends(memory: CounterMemory):
    counts = WorkCounts(memory)
    counts.begin("train", "m", [a_unit()], monotonic() - 3600, WorkerStats())
    counts.note_state(a_worker_status(), leases_lost=0)

    assert values(memory)["seqd_worker_busy_seconds_total", "train", "m"] == pytest.approx(3600, 1)


def test_models_beyond_the_most_count_as_one(memory: CounterMemory):
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


def test_a_model_that_is_unloaded_takes_nothing(memory: CounterMemory):
    counts = WorkCounts(memory)
    counts.note_state(a_worker_status(loaded_bytes={"m@1": 5, "m@2": 6}), leases_lost=0)
    both = values(memory)["seqd_worker_model_bytes", "m"]
    counts.note_state(a_worker_status(), leases_lost=0)

    assert (both, values(memory)["seqd_worker_model_bytes", "m"]) == (11, 0)


def test_where_no_room_is_left_nothing_fails_and_what_is_counted_stays(memory: CounterMemory):
    first = memory.place("items", "t", "m", "succeeded", "")
    for number in range(10_000):
        memory.numbers[memory.place("wait_seconds", "t", f"m{number}", width=14)] += 1
    memory.numbers[first] += 1

    assert values(memory)["seqd_worker_items_total", "t", "m", "succeeded", ""] == 1


def test_without_a_memory_nothing_is_counted():
    count(WorkCounts())


@pytest.fixture
def endpoint(tmp_path: Path) -> Callable[..., MetricsEndpoint]:
    def make(**settings: object) -> MetricsEndpoint:
        identity = Identity("cpu:0@here-1", parse_slot("cpu:0"), "here")
        return MetricsEndpoint(Settings(data_dir=tmp_path, **settings), identity, Beats())

    return make


@dataclass
class Beats:
    """A heartbeat of a moment ago."""

    def last(self) -> Heartbeat | None:
        return Heartbeat.now()


def scrape(endpoint: MetricsEndpoint) -> str:
    registry = CollectorRegistry()
    registry.register(type("All", (), {"collect": lambda self: endpoint.metrics()})())
    return generate_latest(registry).decode()


def test_a_death_is_counted_by_cause_and_takes_what_was_loaded_with_it(endpoint):
    serving = endpoint(worker_metrics_port=9_000)
    counts = WorkCounts(serving._memory)
    count(counts)
    counts.note_state(a_worker_status(loaded_bytes={"m@1": 5}), leases_lost=0)
    serving.child_died(DeathCause.OUT_OF_MEMORY)

    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(scrape(serving))
        for sample in family.samples
    }
    deaths = {key[1]: value for key, value in found.items() if "deaths" in key[0]}
    assert deaths == {cause.value: float(cause is DeathCause.OUT_OF_MEMORY) for cause in DeathCause}
    assert found["seqd_worker_model_bytes", "m"] == 0
    assert found["seqd_worker_items_total", "classify", "errored", "invalid_input", "m"] == 1
    assert found["seqd_worker_up",] == 1
    assert found["seqd_worker_heartbeat_age_seconds",] < 5
