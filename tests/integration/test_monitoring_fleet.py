"""A real Prometheus watches a real fleet: queries answer, alerts fire for faults, and end."""

import re
from collections.abc import Iterator
from functools import partial

import pytest

from deploy_files import DOCKER
from monitoring.files import RULES, metrics_of, panels, queries, with_short_waits
from monitoring.fleet import WatchedFleet, watched_fleet
from monitoring.prometheus import is_installed, wait_for_alerts
from seqd_schemas import TenantLimits
from worker_fixtures import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.timeout(420),  # each waits several times for alerts to fire or to end
    pytest.mark.skipif(
        not is_installed(), reason="prometheus is not installed; `apt-get install prometheus`"
    ),
]

#: Metrics that only a worker with a GPU, or with a plugin that counts tokens, has.
OF_SOME_WORKERS = {
    "seqd_worker_gpu_memory_bytes",
    "seqd_worker_tokens_total",
    "seqd_worker_padding_tokens_total",
}

#: Panels that are empty in a sound fleet of CPUs.
EMPTY = {"Alerts", "Memory of GPUs", "Tokens a second", "Items with an error"}

#: Whoever is to be refused.
TENANT = "ads"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedFleet]:
    """Two workers: `shared` is ready, `apart` has a store of its own and cannot load from it."""
    rules = with_short_waits(RULES.read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("watched")
    with watched_fleet(folder, rules, ("shared", "apart")) as watched:
        watched.start_apart("apart", "load library", required_models=("echo",))
        watched.start("shared").wait_until_ready()
        watched.wait_until_read()
        yield watched


@pytest.fixture
def sound_fleet(fleet: WatchedFleet) -> WatchedFleet:
    """The same fleet, in which nothing is to be told of."""
    cure(fleet)
    wait_for_alerts(fleet.prometheus, set())
    return fleet


def cure(fleet: WatchedFleet) -> None:
    """Let `apart` load its model."""
    (fleet.cluster.folder_of("apart") / "sick").write_text("")


@pytest.mark.long
def test_a_worker_that_cannot_load_a_version_is_told_of_until_it_can(fleet: WatchedFleet) -> None:
    wait_for_alerts(fleet.prometheus, {"SeqdUnfitWorkers"}, {"SeqdWorkerNeverReady"})

    cure(fleet)

    wait_for_alerts(fleet.prometheus, set())


def test_each_query_of_the_dashboard_answers_and_names_what_is_exported(
    sound_fleet: WatchedFleet,
) -> None:
    with_errors = ["text", "bad"] * 20
    sound_fleet.cluster.client().classify(with_errors, model="echo").wait(timeout_s=60)
    asked = [(panel, query) for panel in panels() for query in panel.queries]

    for panel, query in asked:
        ask = partial(sound_fleet.prometheus.has_answer, query.asked("10s"))
        if panel.title in EMPTY:
            ask()  # raises HTTPError where the query is not understood
        else:
            wait_until(ask, f"an answer to {query.expr}")
    known = {re.sub(r"_(bucket|sum|count)$", "", name) for name in sound_fleet.prometheus.metrics()}
    named = {name for _, query in queries() for name in metrics_of(query)}
    assert named - known <= OF_SOME_WORKERS
    told = (DOCKER / "metrics.md").read_text(encoding="utf-8")
    assert {name for name in OF_SOME_WORKERS if f"`{name}`" not in told} == set()


@pytest.mark.long
def test_a_tenant_near_its_limit_is_told_of_until_its_work_is_gone(
    sound_fleet: WatchedFleet,
) -> None:
    client = sound_fleet.cluster.client()
    client.set_tenant(TENANT, TenantLimits(items=200))
    texts = [f"text {number}" for number in range(198)]

    job = client.classify(texts, model="echo", tenant=TENANT, parameters={"delay_ms": 3_000})

    wait_for_alerts(sound_fleet.prometheus, {"SeqdTenantNearLimit"})
    job.cancel()
    wait_for_alerts(sound_fleet.prometheus, set())


@pytest.mark.long
def test_a_plugin_that_ends_its_process_again_and_again_is_told_of_until_it_stops(
    sound_fleet: WatchedFleet,
) -> None:
    for worker in sound_fleet.cluster.workers:
        if worker.name == "apart" and worker.is_up():
            worker.stop()  # one dies, and no other meanwhile
    job = sound_fleet.cluster.client().classify(["exit"] * 64, model="echo")

    wait_for_alerts(
        sound_fleet.prometheus,
        {"SeqdCrashLoop"},
        {"SeqdFailuresGrow", "SeqdWorkerNeverReady", "SeqdLeasesLost"}
        # The one that is up starts again and again, which takes seconds on a busy machine.
        | {"SeqdNoWorkers", "SeqdWorkerSilent"},
    )
    job.cancel()
    wait_for_alerts(sound_fleet.prometheus, set())


def test_workers_that_are_killed_are_told_of_until_they_are_up(sound_fleet: WatchedFleet) -> None:
    killed = [worker for worker in sound_fleet.cluster.workers if worker.is_up()]
    for worker in killed:
        worker.kill()
    job = sound_fleet.cluster.client().classify(["text"], model="echo")

    wait_for_alerts(sound_fleet.prometheus, {"SeqdNoWorkers", "SeqdWorkerSilent"})
    for worker in killed:
        sound_fleet.start(worker.name)
    job.wait(timeout_s=60)
    wait_for_alerts(sound_fleet.prometheus, set())


@pytest.mark.long
def test_a_redis_that_hangs_is_told_of_until_it_answers(sound_fleet: WatchedFleet) -> None:
    sound_fleet.server.freeze()

    (alert,) = wait_for_alerts(sound_fleet.prometheus, {"SeqdDown"})
    sound_fleet.server.thaw()
    wait_for_alerts(sound_fleet.prometheus, set())

    assert alert["labels"] == {"alertname": "SeqdDown", "severity": "page"}
    assert alert["annotations"]["summary"] == "Nothing is known of the fleet"
