"""Children that come to a stand: in Python, in C code, or stopped from outside."""

import os
import re
import signal
import time

import pytest

from seqd.doctor.fleet import fleet_checks
from seqd.doctor.running import run_checks
from seqd.doctor.server import Server
from seqd.errors import JobFailed
from seqd.ledger import connect
from seqd.serving import shown_state
from seqd_schemas import ChildDeath, DeathCause, ItemFailure, ItemSuccess, Log, WorkerState
from worker_fixtures import Cluster, LiveWorker, ask, probe, wait_until

pytestmark = pytest.mark.processes

#: What is said of a plugin that hangs, by how it was found.
SAID = {
    DeathCause.HANG: r"The plugin did not ask whether to stop for \d+ s",
    DeathCause.WATCHDOG: r"No thread of the worker's process ran for \d+ s, as in C code that "
    "keeps the interpreter's lock",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trick", "cause", "who_ended_it", "function"),
    [
        ("spin", DeathCause.HANG, "plugin hung: ", "_spins"),
        ("hold", DeathCause.WATCHDOG, "child hung: pid=", "_holds_the_interpreter"),
        ("sleep", DeathCause.HANG, "plugin hung: ", "_sleeps"),
    ],
)
def test_a_plugin_that_hangs_is_ended_and_the_one_item_is_found(
    empty_cluster: Cluster, trick: str, cause: DeathCause, who_ended_it: str, function: str
) -> None:
    # A sound process that waits for a processor on a busy machine must not be taken for one.
    worker = empty_cluster.start_ready(max_silent_s=2.0)

    job = empty_cluster.client().classify(["t0", trick], model="echo")
    results = list(job.results())

    assert isinstance(results[0], ItemSuccess)
    assert isinstance(results[1], ItemFailure)
    assert results[1].error.code == "worker_crashed"
    where = rf"{SAID[cause]}; it stood in seqd_light\.py, line \d+, in {function}\."
    assert re.search(where, results[1].error.message)
    # Once with its neighbour, once alone.
    assert worker.whole_log().count(who_ended_it) == 2
    log = worker.whole_log()
    stack = rf"stack of pid=\d+ thread=MainThread: .*seqd_light\.py:\d+ {function} < "
    assert re.search(stack, log)
    assert re.search(r"stack of pid=\d+ thread=seqd-leases: ", log)
    assert log.count(f" cause={cause}: ") == 2
    warnings = [event for event in job.events() if isinstance(event, Log)]
    assert all(re.search(where, one.message) for one in warnings)
    assert {(one.cause, one.worker) for one in warnings} == {(cause, worker.name)}
    assert job.record().counts.errored == 1
    wait_until(lambda: len(deaths_of(worker)) == 2, "its record tells of both")
    assert [death.cause for death in deaths_of(worker)] == [cause, cause]


@pytest.mark.slow
@pytest.mark.timeout(300)  # what waits for a processor does not count, so it takes longer then
def test_an_item_that_loops_and_goes_on_asking_is_found_and_the_511_others_succeed(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready(
        unit_budget_factor=5.0, unit_budget_floor_s=0.5, heartbeat_s=0.5
    )
    client = empty_cluster.client()
    texts = [f"t{number}" for number in range(512)]
    client.classify(texts, model="echo").wait(timeout_s=30)

    job = client.classify([*texts[:300], "loop", *texts[301:]], model="echo")
    results = list(job.results())

    assert [result.custom_id for result in results if isinstance(result, ItemFailure)] == [
        "row-301"
    ]
    assert sum(isinstance(result, ItemSuccess) for result in results) == 511
    (error,) = [result.error for result in results if isinstance(result, ItemFailure)]
    assert error.code == "worker_crashed"
    assert re.search(
        r"The plugin computed for [1-4] s at items that should take [\d.e-]+ s, as earlier ones "
        r"did \(SEQD_UNIT_BUDGET_FACTOR\); it stood in seqd_light\.py, line \d+, in _loops\.$",
        error.message,
    )
    # The unit of eight, and its halves of four, two and one.
    assert worker.whole_log().count(f" cause={DeathCause.HANG}: ") == 4


@pytest.mark.slow
def test_a_training_that_hangs_fails_with_where_it_stood(empty_cluster: Cluster) -> None:
    empty_cluster.start_ready(max_attempts=1, max_silent_s=1.0)
    records = [{"text": "a", "label": "pos"}]

    job = empty_cluster.client().train(records, model="echo", parameters={"trick": "spin"})

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=40)
    assert re.search(
        r"The last time: The plugin did not ask whether to stop for \d+ s; it stood in "
        r"seqd_light\.py, line \d+, in _spins\.$",
        raised.value.failure.message,
    )


@pytest.mark.slow
def test_the_probe_is_green_during_a_long_unit_and_red_once_the_child_stands_still(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready(lease_s=3.0, heartbeat_s=0.3)
    client = empty_cluster.client()
    job = client.classify(["t"], model="echo", parameters={"delay_ms": 60_000})
    wait_until(lambda: state_of(worker) is WorkerState.BUSY, "the unit is under way")
    child = worker.child_pid()

    time.sleep(4.0)  # Longer than a lease, all of it inside one call of the plugin.
    during = probe(worker)
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: probe(worker).returncode != 0, "the probe is red")
    stopped = probe(worker)
    os.kill(child, signal.SIGCONT)
    wait_until(lambda: probe(worker).returncode == 0, "the probe is green again")

    assert (during.returncode, during.stderr) == (0, "")
    assert during.stdout.startswith(f"Worker {worker.name}, process {child}, heartbeat ")
    assert stopped.returncode == 1
    assert stopped.stderr.startswith(f"Worker {worker.name}, process {child}, heartbeat ")
    assert stopped.stderr.endswith(" s ago; allowed: 3 s (SEQD_LEASE_S).\n")
    job.cancel()


@pytest.mark.slow
def test_the_probe_says_where_it_looked_when_there_is_no_such_worker(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready()
    assert worker.stop() == 0

    answer = probe(worker)

    assert answer.returncode == 1
    assert answer.stderr == (
        f"No worker {worker.name} has a heartbeat in {empty_cluster.settings.data_dir / 'run'}: it "
        "has not started yet, it has ended, or it has another SEQD_DATA_DIR or --name.\n"
    )


@pytest.mark.slow
def test_a_worker_that_was_frozen_longer_than_a_hang_is_allowed_keeps_its_child(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready(max_silent_s=1.0, heartbeat_s=0.3)
    child = worker.child_pid()

    worker.freeze()
    time.sleep(4.0)  # Hung children are ended after 1.6 s.
    worker.thaw()
    job = empty_cluster.client().classify(["a", "b"], model="echo", parameters={"delay_ms": 500})

    assert all(isinstance(result, ItemSuccess) for result in job.results())
    time.sleep(1.0)
    assert worker.child_pid() == child
    assert "hung" not in worker.whole_log()


@pytest.mark.slow
def test_a_child_that_a_signal_has_stopped_costs_no_crash_and_is_named(
    empty_cluster: Cluster,
) -> None:
    stopped = empty_cluster.start_ready(max_silent_s=1.0, heartbeat_s=0.3)
    child = stopped.child_pid()
    job = empty_cluster.client().classify(["t"], model="echo", parameters={"delay_ms": 500})
    empty_cluster.wait_for_holder(job.job_id, [stopped])

    os.kill(child, signal.SIGSTOP)
    try:
        # A hung child is ended after 1.3 s, and a lease is over after 2 s.
        wait_until(lambda: "child is stopped: pid=" in stopped.log(), "its parent names it")
        wait_until(lambda: stopped.status() is None, "it is silent")
        told = look_at_this_machine(empty_cluster)
        empty_cluster.start_ready()
        results = list(job.results())
    finally:
        os.kill(child, signal.SIGCONT)
    stopped.wait_until_ready()

    assert all(isinstance(result, ItemSuccess) for result in results)
    assert empty_cluster.crashes(job.job_id) == 0
    (warning,) = [event for event in job.events() if isinstance(event, Log)]
    said = rf"The worker's process {child} has been stopped by a signal for \d+ s\. What it had in "
    assert re.match(rf"{said}hand goes to others; `kill -CONT {child}` on its ", warning.message)
    assert (warning.cause, warning.worker) == (None, stopped.name)
    assert f"its process {child} on this machine is stopped, by a signal" in told
    assert f"Let it go on: `kill -CONT {child}`." in told
    assert stopped.child_pid() == child
    assert "hung" not in stopped.whole_log()


def test_a_worker_whose_parent_process_is_stopped_says_so_and_promises_nothing(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready(heartbeat_s=0.3)
    parent = worker.pid

    os.kill(parent, signal.SIGSTOP)
    try:
        wait_until(lambda: shown(worker) == "stopped", "its record says so")
        wait_until(lambda: ask(worker, "ready").returncode != 0, "it is not ready")
        job = empty_cluster.client().classify(["t"], model="echo")
        told = look_at_this_machine(empty_cluster)
        why = empty_cluster.client().explain(job.job_id)
    finally:
        os.kill(parent, signal.SIGCONT)
    results = list(job.results())
    wait_until(lambda: shown(worker) == "ready", "its record says that it goes on")

    cure = f"`kill -CONT {parent}` on {os.uname().nodename}"
    assert f"The parent process {parent} of {worker.name} is stopped, by a signal" in told
    assert f"Let it go on: {cure}." in told
    assert why.headline.startswith(f"Job {job.job_id} is queued: No worker that is up can classify")
    assert [(one.code, cure in one.message) for one in why.workers] == [("stopped", True)]
    assert all(isinstance(result, ItemSuccess) for result in results)


def shown(worker: LiveWorker) -> str:
    status = worker.status()
    return "silent" if status is None else shown_state(status)


def look_at_this_machine(cluster: Cluster) -> str:
    """Return what `seqd doctor` finds of the workers of a cluster."""
    assert cluster.settings.redis_url is not None
    with connect(cluster.settings.redis_url) as redis:
        report = run_checks(fleet_checks(Server(redis, cluster.settings)))
    return " ".join(f"{one.what} {one.do}" for one in report.findings)


def deaths_of(worker: LiveWorker) -> tuple[ChildDeath, ...]:
    status = worker.status()
    return () if status is None else status.deaths


def state_of(worker: LiveWorker) -> WorkerState | None:
    status = worker.status()
    return None if status is None else status.state
