"""How soon, and how much of it again, a dead worker's work is done by another."""

import os
import signal
import time

import pytest

from seqd.ledger import Ledger, connect
from seqd_schemas import ItemSuccess, WorkerState
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = pytest.mark.processes

#: 25 units of 8 items; a unit takes 0.16 s.
TEXTS = [f"text {number}" for number in range(200)]
SLOWLY = {"delay_ms": 20.0}


def is_busy(worker: LiveWorker) -> bool:
    status = worker.status()
    return status is not None and status.state is WorkerState.BUSY


def labels(job) -> list[str]:
    return [result.output.label for result in job.results() if isinstance(result, ItemSuccess)]


@pytest.mark.slow
def test_what_a_dead_worker_has_committed_is_not_done_again(empty_cluster: Cluster):
    dying = empty_cluster.start_ready("dying")
    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    wait_until(lambda: job.record().counts.done >= 40, "some units are committed")
    # Between a commit and the next claim it has nothing in hand that could be done again.
    wait_until(lambda: has_some_in_hand(empty_cluster, job), "it is at work on others")

    done_before = dying_ends_with(dying, job)
    empty_cluster.start_ready("other")

    assert labels(job) == TEXTS
    starts = empty_cluster.starts_of_units(job.job_id)
    again = sum(number - 1 for number in starts)
    # Only what the dead worker had in hand: one claim's units, each for the second time.
    assert 1 <= again <= 25 - done_before // 8
    assert max(starts) == 2


def has_some_in_hand(cluster: Cluster, job) -> bool:
    """True when more units were claimed than are done."""
    done = job.record().counts.done
    return sum(cluster.starts_of_units(job.job_id)) > done // 8


def dying_ends_with(worker: LiveWorker, job) -> int:
    """Kill it with its child; returns the items that were done by then."""
    worker.kill()
    return int(job.record().counts.done)


@pytest.mark.serial
def test_an_idle_worker_takes_a_dead_ones_unit_over_when_its_lease_has_run_out(
    empty_cluster: Cluster,
):
    lease_s, reconcile_s = 2.0, 0.3
    first, second = empty_cluster.start("w1"), empty_cluster.start("w2")
    for worker in (first, second):
        worker.wait_until_ready()
    job = empty_cluster.client().classify(
        ["one unit"], model="echo", parameters={"delay_ms": 1_500}
    )
    wait_until(lambda: is_busy(first) or is_busy(second), "one of them works")
    dying, other = (first, second) if is_busy(first) else (second, first)

    began = time.monotonic()
    dying.kill()
    wait_until(lambda: is_busy(other), "the other took over")
    stalled_s = time.monotonic() - began
    crashes = empty_cluster.crashes(job.job_id)

    # At most a lease, the dead one's lock of three looks, and a look; the rest is slack.
    assert stalled_s < lease_s + 4 * reconcile_s + 4.0
    assert labels(job) == ["one unit"]
    assert empty_cluster.starts_of_units(job.job_id) == [2]
    assert crashes == 1


@pytest.mark.slow
def test_a_child_that_starts_slowly_is_waited_for_after_a_kill(
    empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    # Celery's default kills a child that is not up after 4 s, and then each of its successors.
    monkeypatch.setenv("LIGHT_IMPORT_S", "4.5")
    worker = empty_cluster.start_ready()
    killed = worker.child_pid()

    os.kill(killed, signal.SIGKILL)
    job = empty_cluster.client().classify(["next"], model="echo")

    assert labels(job) == ["next"]
    assert worker.child_pid() != killed
    assert empty_cluster.starts_of_units(job.job_id) == [1]
    assert "Timed out waiting for UP" not in worker.whole_log()


@pytest.mark.slow
def test_a_retry_that_waits_three_times_celerys_timeout_runs_once_and_no_sooner(
    empty_cluster: Cluster,
):
    empty_cluster.publish_catalog()
    job = empty_cluster.client().classify(["later"], model="echo")
    release_for(empty_cluster, wait_s=6.0)
    began = time.monotonic()

    empty_cluster.start_ready("w1", visibility_timeout_s=2)
    done = labels(job)
    waited_s = time.monotonic() - began

    assert done == ["later"]
    assert waited_s > 5.9
    # Once by the one that released it, once after the wait: the wait is a timer in the ledger,
    # not a message that Celery hands out again.
    assert empty_cluster.starts_of_units(job.job_id) == [2]


def release_for(cluster: Cluster, wait_s: float) -> None:
    """Claim the one unit that there is, and release it to be done after a wait."""
    assert cluster.settings.redis_url is not None
    redis = connect(cluster.settings.redis_url)
    ledger = Ledger(redis, cluster.settings, lambda route: None)
    claim = ledger.work.claim("one that gives up", ["classify.echo@1"])
    assert claim is not None
    assert ledger.work.release_unit(claim.units[0], wait_s=wait_s)
    redis.close()


@pytest.mark.slow
def test_a_worker_never_claims_what_it_cannot_run(empty_cluster: Cluster):
    old = empty_cluster.start_ready("old", enabled_plugins=("markov",))
    client = empty_cluster.client()
    empty_cluster.publish_catalog()

    waiting = client.classify(["only the new one can"], model="echo")
    time.sleep(1.5)  # Five rounds of the old reconciler, which notifies of its own routes.
    nobody = empty_cluster.starts_of_units(waiting.job_id)
    empty_cluster.start_ready("new")

    assert nobody == []
    assert labels(waiting) == ["only the new one can"]
    assert empty_cluster.starts_of_units(waiting.job_id) == [1]
    assert old.status() is not None
