"""Workers that die, hang or lose their messages: every item comes out once, and in order."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from builders import a_chunk, a_classify_job, some_items
from seqd.errors import JobFailed
from seqd.ledger import Ledger, connect
from seqd.ledger.wakeup import Wakeup
from seqd_schemas import DeathCause, ItemChunk, ItemFailure, ItemSuccess, JobState
from worker_fixtures import (
    LEASE_S,
    RECONCILE_S,
    Cluster,
    LiveWorker,
    processes_of_group,
    wait_until,
)

pytestmark = pytest.mark.processes

#: 25 units of 8 items, about 2 s of work.
TEXTS = [f"text {number}" for number in range(200)]
SLOWLY = {"delay_ms": 10.0}


def assert_once_and_in_order(results: list[ItemSuccess | ItemFailure]) -> None:
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 201)]
    labels = [result.output.label for result in results if isinstance(result, ItemSuccess)]
    assert labels == TEXTS


def first_result(job) -> None:
    """Wait until the job is in the middle of its work."""
    next(iter(job.results()))


def deaths_before(worker: LiveWorker) -> list[DeathCause]:
    return [death.cause for death in worker.known_status().deaths]


def test_a_worker_says_that_the_one_before_it_of_its_name_was_killed_and_not_that_it_ended(
    empty_cluster: Cluster,
) -> None:
    first = empty_cluster.start_ready("w1")
    pid = first.child_pid()
    first.kill()
    began_ms = int(1000 * time.time())
    killed = empty_cluster.start("w1").wait_until_ready(other_than_pid=pid)
    told, deaths = killed.known_status().deaths, deaths_before(killed)
    killed.stop()
    stopped = empty_cluster.start_ready("w1")

    assert deaths == [DeathCause.WORKER_KILLED]
    assert re.fullmatch(
        r"The previous process of w1 ended without an order at \d\d:\d\d:\d\d UTC, when it was "
        r"last heard of\.",
        told[0].message,
    )
    assert told[0].at_ms <= began_ms
    assert deaths_before(stopped) == []


def is_ready(worker: LiveWorker) -> bool:
    status = worker.status()
    return status is not None and status.state == "ready"


def test_a_job_survives_its_workers_child_whose_work_is_released_before_its_lease_ends(
    empty_cluster: Cluster,
):
    worker = empty_cluster.start_ready(lease_s=60, heartbeat_s=20)
    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    first_result(job)

    began = time.monotonic()
    killed = worker.kill_child()
    results = list(job.results())
    took_s = time.monotonic() - began

    assert_once_and_in_order(results)
    # 2 s of work, and what a new child takes to start; the lease ends after 60 s.
    assert took_s < 2.0 + 40.0
    assert worker.child_pid() != killed
    assert job.record().counts.succeeded == 200


@pytest.mark.serial
def test_another_worker_goes_on_when_a_whole_worker_is_killed(empty_cluster: Cluster):
    first, second = empty_cluster.start("w1"), empty_cluster.start("w2")
    for worker in (first, second):
        worker.wait_until_ready()
    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    first_result(job)

    began = time.monotonic()
    first.kill()
    results = list(job.results())
    took_s = time.monotonic() - began

    assert_once_and_in_order(results)
    # 2 s of work, and at the end the lease of the unit that the dead worker held.
    assert took_s < 2.0 + LEASE_S + RECONCILE_S * 3 + 2.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "max_attempts", "how"),
    [
        ("exit", 1, r"exited with status 9\."),
        (
            "segfault",
            1,
            r"was ended by SIGSEGV; it stood in seqd_light\.py, line \d+, in <lambda>\.",
        ),
        (
            "kill",
            3,
            r"was ended by SIGKILL, which nobody here has sent; the kernel counts no kill for want "
            r"of memory\.",
        ),
    ],
)
def test_one_killer_among_a_thousand_items_is_found_and_all_others_have_their_results(
    empty_cluster: Cluster, way: str, max_attempts: int, how: str
):
    # A lease that ran out on a busy machine would count as a death of the worker.
    worker = empty_cluster.start_ready(max_attempts=max_attempts, lease_s=60.0)
    texts = [f"t{number}" for number in range(1_000)]
    texts[612] = way

    job = empty_cluster.client().classify(texts, model="echo")
    results = list(job.results())

    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 1_001)]
    failures = [result for result in results if isinstance(result, ItemFailure)]
    assert [failure.custom_id for failure in failures] == ["row-613"]
    assert failures[0].error.code == "worker_crashed"
    assert re.fullmatch(
        "The worker died while it worked on this item alone, and each time before when it was "
        f"among others. The worker's process {how}",
        failures[0].error.message,
    )
    record = job.wait(timeout_s=10)
    assert (record.counts.succeeded, record.counts.errored) == (999, 1)
    # As often as a unit is tried, then once for each half of 4, 2 and 1 that holds the killer.
    assert worker.whole_log().count("child died") == max_attempts + 3


@pytest.mark.slow
def test_a_training_that_kills_its_worker_fails_with_that_reason(empty_cluster: Cluster):
    empty_cluster.start_ready(max_attempts=2)
    records = [{"text": "a", "label": "pos"}]

    job = empty_cluster.client().train(records, model="echo", parameters={"trick": "exit"})

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=40)
    message = raised.value.failure.message
    assert message.startswith("The worker died 2 times during this training")
    assert message.endswith("The last time: The worker's process exited with status 9.")


def test_losing_and_doubling_every_message_changes_no_result(empty_cluster: Cluster):
    empty_cluster.start_ready()
    settings = empty_cluster.settings
    assert settings.redis_url is not None
    redis = connect(settings.redis_url)
    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    queue = settings.keys.wakeup("classify.echo")
    unacknowledged = [f"{settings.prefix}:{name}" for name in ("unacked", "unacked_index")]
    wakeup = Wakeup(settings.redis_url, settings)

    first_result(job)
    for _ in range(5):
        redis.delete(queue, *unacknowledged)
        time.sleep(0.1)
    for _ in range(10):
        wakeup.notify("classify.echo")

    assert_once_and_in_order(list(job.results()))
    redis.close()


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_up_changes_nothing(empty_cluster: Cluster):
    frozen = empty_cluster.start_ready("frozen")
    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    first_result(job)
    frozen.freeze()
    empty_cluster.start_ready("other")

    results = list(job.results())
    before = job.record()
    frozen.thaw()
    wait_until(lambda: is_ready(frozen), "the frozen worker is free again")

    assert_once_and_in_order(results)
    assert job.record() == before
    assert list(job.results()) == results


@pytest.mark.slow
def test_what_a_frozen_worker_commits_while_its_job_still_runs_counts_once(
    empty_cluster: Cluster, tmp_path: Path
):
    settings = empty_cluster.settings
    assert settings.redis_url is not None
    redis = connect(settings.redis_url)
    ledger = Ledger(redis, settings, lambda route: None)  # the workers' reconciler notifies
    workers = [empty_cluster.start(), empty_cluster.start()]
    for worker in workers:
        worker.wait_until_ready()
    # One item in a unit: once the plugin is cured of it, it asks no more whether to stop.
    calls, held = tmp_path / "calls", some_items(1, texts=("held",))
    chunk = ItemChunk(first_index=0, items=held)
    job = a_classify_job(model="echo", parameters={"calls": str(calls)})
    ledger.submissions.submit(job, job_id="j", version=1, unit_items=1, chunk=chunk)

    frozen = empty_cluster.wait_for_holder("j", workers)
    wait_until(lambda: calls.exists() and calls.read_text() != "", "it is with its item")
    frozen.freeze()
    (settings.data_dir / "cured").touch()
    wait_until(lambda: ledger.jobs.get("j").counts.succeeded == 1, "the other has done the unit")
    frozen.thaw()
    wait_until(
        lambda: "commit of unit=0 job=j: duplicate" in frozen.whole_log(), "it commits as well"
    )

    # No unit came yet that would end the job.
    assert ledger.jobs.get("j").state is JobState.RUNNING
    assert ledger.submissions.append(job, "j", 1, a_chunk(1, first=1)) == "added"
    ledger.submissions.seal(job, "j", 2)
    handle = empty_cluster.client().job("j")
    record = handle.wait(timeout_s=30)
    assert (record.counts.total, record.counts.succeeded) == (2, 2)
    assert [result.custom_id for result in handle.results()] == ["item-0", "item-1"]
    assert sorted(empty_cluster.starts_of_units("j")) == [1, 2]
    redis.close()


@pytest.mark.slow
def test_a_frozen_training_that_wakes_up_publishes_nothing(empty_cluster: Cluster):
    frozen = empty_cluster.start_ready("frozen")
    records = [{"text": "a", "label": "pos"}]
    parameters = {"epochs": 20, "step_ms": 50.0}
    job = empty_cluster.client().train(records, model="echo", parameters=parameters)
    wait_until(lambda: job.record().state is JobState.RUNNING, "the training runs")
    frozen.freeze()
    empty_cluster.start_ready("other")

    trained = job.wait(timeout_s=30).training
    events = list(job.events())
    frozen.thaw()
    wait_until(lambda: is_ready(frozen), "the frozen worker is free again")

    assert trained is not None
    versions = [p.name for p in (empty_cluster.settings.store_dir / "echo").iterdir() if p.is_dir()]
    assert sorted(name for name in versions if name.isdecimal()) == ["1", str(trained.version)]
    assert list(job.events()) == events


@pytest.mark.slow
def test_a_child_does_not_outlive_its_killed_parent(empty_cluster: Cluster):
    worker = empty_cluster.start_ready()
    child = worker.child_pid()
    assert set(processes_of_group(worker.pid)) >= {worker.pid, child}

    worker.kill_node()

    wait_until(lambda: not processes_of_group(worker.pid), "the child has ended")


def test_a_child_that_still_starts_does_not_outlive_its_killed_parent(empty_cluster: Cluster):
    worker = empty_cluster.start()

    def starts_a_child() -> bool:
        return len(processes_of_group(worker.pid)) > 1

    wait_until(starts_a_child, "the child has started")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait_for_end()

    wait_until(lambda: not processes_of_group(worker.pid), "the child has ended", 10)
