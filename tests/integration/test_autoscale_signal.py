"""The autoscale signal of a real fleet: it rises at once, says how long, and falls to exactly 0."""

from pathlib import Path

import pytest

from seqd.client.job import JobHandle
from seqd.scaling import RouteWork
from seqd_schemas import FileSource
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: 10 ms an item: what the plugin sleeps, beside which the daemon's own part is small.
SLOWLY = {"delay_ms": 10.0}


def left(cluster: Cluster, task: str = "classify") -> RouteWork:
    (route,) = (r for r in cluster.client().work_left() if (r.task, r.model) == (task, "echo"))
    return route


def hand_in(cluster: Cluster, count: int) -> JobHandle:
    """Hand texts in, and wait until all of them are there."""
    job = cluster.client().classify(texts(count), model="echo", parameters=SLOWLY)
    wait_until(lambda: job.record().sealed, "all input is there")
    return job


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


@pytest.mark.slow
def test_what_is_left_is_about_what_it_takes_and_nothing_when_all_is_done(
    empty_cluster: Cluster, tmp_path: Path
) -> None:
    empty_cluster.publish_catalog()
    client = empty_cluster.client(input_roots=(tmp_path,))
    ledger = client._ledger
    before = left(empty_cluster)
    job = hand_in(empty_cluster, 64)
    asleep = left(empty_cluster)

    assert (before.seconds, before.items) == (0, 0)
    assert (asleep.items, asleep.is_measured) == (64, False)
    assert asleep.seconds == asleep.unserved_s == pytest.approx(64 * 0.05)

    # A wrong count, which the worker that reconciles mends.
    ledger.redis.hset(ledger.keys.work_left(), "classify.echo@1", 5_000)
    first = empty_cluster.start_ready(input_roots=(tmp_path,))
    job.wait()

    wait_until(lambda: left(empty_cluster).items == 0, "it was counted anew")
    after = left(empty_cluster)
    assert (after.seconds, after.items, after.leased_items) == (0, 0, 0)

    client.classify(texts(400), model="echo", parameters=SLOWLY).wait()
    wait_until(lambda: bool(ledger.backlog.rates()), "the rate is measured")
    job = hand_in(empty_cluster, 800)
    predicted, rate = left(empty_cluster), ledger.backlog.rates()["classify.echo@1"]
    job.wait()

    assert predicted.is_measured
    # No item takes less than the plugin sleeps; how much more is the machine's own, and how near
    # the figure comes on a quiet one stands in `docker/scaling.md`.
    an_item_s = predicted.seconds / predicted.items
    assert an_item_s >= 0.010
    assert an_item_s == pytest.approx(rate.seconds / rate.items, rel=0.5)

    # A file that is read on is left as a whole.
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"this is text {number:06}\n" for number in range(20_000)))
    job = client.classify(
        FileSource(path=str(path), format="lines"), model="echo", parameters={"delay_ms": 5.0}
    )
    wait_until(lambda: left(empty_cluster).items > 15_000, "the rest of the file is estimated")
    done_before = job.record().counts.done
    estimated = left(empty_cluster).items
    done_after = job.record().counts.done
    job.cancel()
    wait_until(lambda: left(empty_cluster).items == 0, "a cancelled job is no work")

    assert estimated + done_before <= 21_000
    assert estimated + done_after >= 19_000

    # The lease of a worker that is killed stands until it runs out: what it held is left to do.
    job = client.classify(texts(200), model="echo", parameters={"delay_ms": 25.0})
    wait_until(lambda: left(empty_cluster).leased_items > 0, "it works")
    first.kill()
    held = left(empty_cluster)
    empty_cluster.start_ready()
    results = list(job.results())
    wait_until(lambda: left(empty_cluster).items == 0, "all is done")
    after = left(empty_cluster)

    assert held.leased_items > 0
    assert held.items > 0
    assert len(results) == 200
    assert (after.seconds, after.items, after.leased_items, after.busy_workers) == (0, 0, 0, 0)
