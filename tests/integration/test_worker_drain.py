"""Every signal that asks a worker to end: its unit is released, and another goes on at once.

The leases and the looks of these workers are so long that only what the ending worker itself
releases, and notifies of, can explain that somebody goes on.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import Server, forget_keys
from seqd_schemas import ItemSuccess
from worker_fixtures import Cluster, LiveWorker, live_settings, processes_of_group, wait_until

pytestmark = pytest.mark.processes

#: One unit, which the last text holds until the worker is cured of it.
TEXTS = [*(f"text {number}" for number in range(7)), "held"]

#: The next look of a reconciler comes after 30 s and a lease ends after 60 s. Within half of that
#: only the ending worker can have given its unit back and woken the other one. How soon it all
#: happens is measured in `test_worker_stops`, with nothing else beside it.
RELEASED_S = 15.0

#: A signal, whether the whole group gets it, and how often.
HOWS = [
    (signal.SIGTERM, False, 1),
    (signal.SIGINT, False, 1),
    (signal.SIGQUIT, False, 1),
    (signal.SIGINT, True, 2),
    (signal.SIGQUIT, True, 1),
]
#: That of `make test`.
QUICK = [("", *HOWS[0])]


@pytest.fixture(scope="module")
def fleet(
    request: pytest.FixtureRequest, redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two workers whose environment says, or does not say, `REMAP_SIGTERM=SIGQUIT`."""
    settings = live_settings(redis_server, tmp_path_factory.mktemp("fleet"))
    waits = {"lease_s": 60.0, "heartbeat_s": 20.0, "reconcile_s": 30.0}
    folder = settings.data_dir.parent
    cluster = Cluster(settings.model_copy(update=waits), folder)
    with pytest.MonkeyPatch.context() as environment:
        if request.param:
            environment.setenv("REMAP_SIGTERM", request.param)
        try:
            yield cluster
        finally:
            cluster.close()
            forget_keys(redis_server.url, settings.prefix)


@pytest.fixture
def cure(fleet: Cluster) -> Iterator[Path]:
    """The file that lets the workers of this fleet go on."""
    file = fleet.settings.data_dir / "cured"
    yield file
    file.unlink(missing_ok=True)


def two_workers(cluster: Cluster) -> list[LiveWorker]:
    """Start workers in the place of those that have ended."""
    while sum(worker.is_up() for worker in cluster.workers) < 2:
        cluster.start()
    return [worker.wait_until_ready() for worker in cluster.workers if worker.is_up()]


@pytest.mark.parametrize(
    ("fleet", "number", "to_group", "times"),
    [
        pytest.param(remap, *how, marks=[] if (remap, *how) in QUICK else pytest.mark.slow)
        for remap in ("", "SIGQUIT")
        for how in HOWS
    ],
    indirect=["fleet"],
)
def test_a_busy_worker_ends_in_order_and_the_other_goes_on(
    fleet: Cluster, cure: Path, number: signal.Signals, to_group: bool, times: int
) -> None:
    workers = two_workers(fleet)
    job = fleet.client().classify(TEXTS, model="echo")
    ending = fleet.wait_for_holder(job.job_id, workers)
    (other,) = (worker for worker in workers if worker is not ending)

    began = time.monotonic()
    for _ in range(times):
        if to_group:
            ending.ask_group_to_end(number)
        else:
            ending.ask_to_end(number)
        time.sleep(0.1)
    assert fleet.wait_for_holder(job.job_id, [other]) is other
    went_on_after_s = time.monotonic() - began
    cure.touch()
    status = ending.wait_for_end()

    assert status == 0
    assert went_on_after_s < RELEASED_S
    results = [item.output.label for item in job.results() if isinstance(item, ItemSuccess)]
    assert results == TEXTS
    wait_until(lambda: not processes_of_group(ending.pid), "no process is left", 5)
    assert "Traceback" not in ending.whole_log()
    assert fleet.starts_of_units(job.job_id) == [2]
    assert fleet.crashes(job.job_id) == 0
