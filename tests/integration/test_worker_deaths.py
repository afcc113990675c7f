"""Workers that die, hang or lose their messages: every item comes out once, and in order."""

import re
import time
from pathlib import Path

import pytest

from builders import a_chunk, a_classify_job, some_items
from seqd.admission import Admitted
from seqd.client import JobHandle
from seqd.errors import JobFailed
from seqd.ledger import Ledger, connect
from seqd.ledger.wakeup import wakeup_message
from seqd.models.store import ModelStore
from seqd_schemas import DeathCause, ItemChunk, ItemFailure, ItemSuccess, JobState, WorkerState
from worker_fixtures import (
    Cluster,
    LiveWorker,
    processes_of_group,
    wait_until,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: 25 units of 8 items, about 2 s of work.
TEXTS = [f"text {number}" for number in range(200)]
SLOWLY = {"delay_ms": 10.0}
RECORDS = [{"text": "a", "label": "pos"}]

#: Tricks of the plugin by which its process ends, and what is told of that.
WAYS_TO_DIE = (
    (
        "kill",
        r"was ended by SIGKILL, which no process of seqd has sent; the kernel counts no kill "
        r"for want of memory\.",
    ),
    ("segfault", r"was ended by SIGSEGV; it stood in seqd_light\.py, line \d+, in <lambda>\."),
    ("exit", r"exited with status 9\."),
)


def assert_once_and_in_order(results: list[ItemSuccess | ItemFailure]) -> None:
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 201)]
    assert [one.output.label for one in results if isinstance(one, ItemSuccess)] == TEXTS


def first_result(job: JobHandle) -> None:
    """Wait until the job is in the middle of its work."""
    next(iter(job.results()))


def deaths_before(worker: LiveWorker) -> list[DeathCause]:
    return [death.cause for death in worker.known_status().deaths]


def test_a_child_does_not_outlive_its_killed_parent_of_which_the_next_of_its_name_tells(
    empty_cluster: Cluster,
) -> None:
    first = empty_cluster.start_ready("w1")
    pid = first.child_pid()
    assert set(processes_of_group(first.pid)) >= {first.pid, pid}

    first.kill_node()

    wait_until(lambda: not processes_of_group(first.pid), "the child has ended")
    began_ms = int(1000 * time.time())
    killed = empty_cluster.start("w1").wait_until_ready(other_than_pid=pid)
    told, deaths = killed.known_status().deaths, deaths_before(killed)
    killed.stop()
    stopped = empty_cluster.start_ready("w1")

    assert deaths == [DeathCause.WORKER_KILLED]
    assert re.fullmatch(
        r"The parent process of w1 ended without an order after \d\d:\d\d:\d\d UTC, when it was "
        r"last heard of\.",
        told[0].message,
    )
    assert told[0].at_ms <= began_ms
    assert deaths_before(stopped) == [DeathCause.WORKER_KILLED]


def is_in(worker: LiveWorker, state: WorkerState) -> bool:
    status = worker.status()
    return status is not None and status.state is state


def labels(job: JobHandle) -> list[str]:
    return [result.output.label for result in job.results() if isinstance(result, ItemSuccess)]


def test_a_job_survives_its_workers_child_and_the_loss_and_doubling_of_every_message(
    empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    # Celery's default kills a child that is not up after 4 s, and then each of its successors.
    monkeypatch.setenv("LIGHT_IMPORT_S", "4.5")
    # Both come in time only because what the child held is released before its lease ends.
    worker = empty_cluster.start_ready(lease_s=60, heartbeat_s=20)
    client, settings = empty_cluster.client(), empty_cluster.settings
    job = client.classify(TEXTS, model="echo", parameters=SLOWLY)
    first_result(job)

    killed = worker.kill_child()
    results = list(job.results())

    assert_once_and_in_order(results)
    assert worker.child_pid() != killed
    assert job.record().counts.succeeded == 200
    assert "Timed out waiting for UP" not in worker.whole_log()

    assert settings.redis_url is not None
    queue = settings.keys.wakeup("classify.echo")
    unacknowledged = [f"{settings.prefix}:{name}" for name in ("unacked", "unacked_index")]
    job = client.classify(TEXTS, model="echo", parameters={"delay_ms": 40.0})
    first_result(job)
    with connect(settings.redis_url) as redis:
        for _ in range(5):
            done = job.record().counts.done
            redis.delete(queue, *unacknowledged)
            wait_until(lambda done=done: job.record().counts.done > done, "it goes on")
        for _ in range(10):
            redis.lpush(queue, wakeup_message("classify.echo"))

    assert_once_and_in_order(list(job.results()))


def test_another_worker_goes_on_when_a_whole_worker_is_killed_busy_or_idle_itself(
    empty_cluster: Cluster,
):
    first, second = empty_cluster.start("w1"), empty_cluster.start("w2")
    for worker in (first, second):
        worker.wait_until_ready()
    client = empty_cluster.client()
    job = client.classify(TEXTS, model="echo", parameters=SLOWLY)
    first_result(job)

    first.kill()
    done = job.record().counts.done
    results = list(job.results())

    assert_once_and_in_order(results)
    # What it had committed is not done again, what it had in hand is once.
    starts = empty_cluster.starts_of_units(job.job_id)
    assert sum(number - 1 for number in starts) <= 25 - done // 8
    assert max(starts) <= 2

    # An idle one takes a dead one's unit over when its lease has run out.
    workers = [second, empty_cluster.start_ready("w3")]
    job = client.classify(["one unit"], model="echo", parameters={"delay_ms": 4_000})
    dying = empty_cluster.wait_for_holder(job.job_id, workers)
    (other,) = (worker for worker in workers if worker is not dying)

    dying.kill()
    assert empty_cluster.wait_for_holder(job.job_id, [other]) is other
    crashes = empty_cluster.crashes(job.job_id)

    assert labels(job) == ["one unit"]
    assert empty_cluster.starts_of_units(job.job_id) == [2]
    assert crashes == 1


def test_killers_among_a_thousand_items_are_found_and_all_others_have_their_results(
    empty_cluster: Cluster,
):
    # A lease that ran out on a busy machine would count as a death of the worker.
    worker = empty_cluster.start_ready(max_attempts=2, lease_s=60.0)
    client = empty_cluster.client()
    texts = [f"t{number}" for number in range(1_000)]
    for at, (way, _) in enumerate(WAYS_TO_DIE, 608):  # one unit of eight, of which they are first
        texts[at] = way

    job = client.classify(texts, model="echo")
    results = list(job.results())

    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 1_001)]
    failures = [result for result in results if isinstance(result, ItemFailure)]
    assert [failure.custom_id for failure in failures] == ["row-609", "row-610", "row-611"]
    for failure, (_, how) in zip(failures, WAYS_TO_DIE, strict=True):
        assert failure.error.code == "worker_crashed"
        assert re.fullmatch(
            "The worker died each time that it worked on this item, at last on it alone. "
            f"The worker's process {how}",
            failure.error.message,
        )
    record = job.wait(timeout_s=120)
    assert (record.counts.succeeded, record.counts.errored) == (997, 3)
    # The unit twice, then once each half that holds a killer: one of 4, two of 2, three of 1.
    assert worker.whole_log().count("child died") == 2 + 1 + 2 + 3
    assert re.search(
        r" WARNING seqd\.worker\.child again, since a worker died or went silent with it: "
        rf"unit=76 job={job.job_id} attempt=2 crashes=1: signal: The worker's process was ended by "
        "SIGKILL",
        worker.whole_log(),
    )

    # A training that kills its worker fails with that reason.
    training = client.train(RECORDS, model="echo", parameters={"trick": "exit"})
    with pytest.raises(JobFailed) as raised:
        training.wait(timeout_s=120)

    message = raised.value.failure.message
    assert message.startswith("The worker died 2 times during this training")
    assert message.endswith("The last time: The worker's process exited with status 9.")


def test_a_frozen_worker_that_wakes_up_changes_nothing(empty_cluster: Cluster, tmp_path: Path):
    settings = empty_cluster.settings
    assert settings.redis_url is not None
    redis, client = connect(settings.redis_url), empty_cluster.client()
    ledger = Ledger(redis, settings)  # the workers' reconciler notifies
    store = ModelStore(settings.store_dir, {})
    workers = [empty_cluster.start(), empty_cluster.start()]
    for worker in workers:
        worker.wait_until_ready()

    # It commits a unit that the other has done, of a job that still runs. The one item asks no
    # more whether to stop, once the plugin is cured of it.
    calls, held = tmp_path / "calls", some_items(1, texts=("held",))
    chunk = ItemChunk(first_index=0, items=held)
    job = a_classify_job(model="echo", parameters={"calls": str(calls)})
    ledger.submissions.submit(job, Admitted(1, 1), job_id="j", chunk=chunk)
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
    handle = client.job("j")
    record = handle.wait(timeout_s=120)
    assert (record.counts.total, record.counts.succeeded) == (2, 2)
    assert [result.custom_id for result in handle.results()] == ["item-0", "item-1"]
    assert sorted(empty_cluster.starts_of_units("j")) == [1, 2]
    redis.close()

    # It wakes up when its job has ended.
    job = client.classify(TEXTS, model="echo", parameters=SLOWLY)
    frozen = empty_cluster.wait_for_holder(job.job_id, workers)
    frozen.freeze()
    results, record = list(job.results()), job.record()
    frozen.thaw()
    wait_until(lambda: is_in(frozen, WorkerState.READY), "the frozen worker is free again")

    assert_once_and_in_order(results)
    assert job.record() == record
    assert list(job.results()) == results

    # Or its training: it publishes nothing.
    training = client.train(RECORDS, model="echo", parameters={"epochs": 20, "step_ms": 200.0})
    frozen = empty_cluster.wait_for_holder(training.job_id, workers)
    frozen.freeze()
    trained = training.wait(timeout_s=120).training
    events = list(training.events())
    frozen.thaw()
    wait_until(lambda: is_in(frozen, WorkerState.READY), "the frozen worker is free again")

    assert trained is not None
    assert store.numbers("echo") == [1, trained.version]
    assert list(training.events()) == events
