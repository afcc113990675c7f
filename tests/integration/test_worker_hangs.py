"""Children that come to a stand: in Python, in C code, or stopped from outside."""

import os
import re
import signal
from collections.abc import Iterator

import pytest

from cli_builders import here, use_ledger
from redis_fixtures import Server as RedisServer
from redis_fixtures import forget_keys
from seqd.doctor.fleet import fleet_checks
from seqd.doctor.server import Server, run_checks
from seqd.errors import JobFailed
from seqd.ledger import connect
from seqd.local.probes import liveness, readiness
from seqd.local.run_files import RunFolder
from seqd.serving import shown_state
from seqd_schemas import ChildDeath, DeathCause, ItemFailure, ItemSuccess, Log
from worker_fixtures import Cluster, LiveWorker, ask, live_settings, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: What is said of a plugin that hangs, by how it was found.
SAID = {
    DeathCause.HANG: r"The plugin did not ask whether to stop for \d+ s",
    DeathCause.WATCHDOG: r"The worker's process had no heartbeat for \d+ s, as in C code that "
    "keeps the interpreter's lock",
}

#: Texts of which the last hangs, the cause, who ends the child, where it stood, and how often.
HUNG = (
    (["t0", "spin"], DeathCause.HANG, "plugin hung: ", "_spins", 2),
    (["hold"], DeathCause.WATCHDOG, "child hung: pid=", "_holds_the_interpreter", 1),
    (["sleep"], DeathCause.HANG, "plugin hung: ", "_sleeps", 1),
)


#: What shows who is up.
VIEWS = ("status", "workers list", "top", "queues")


@pytest.fixture(scope="module")
def lasting(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Yield a cluster with one worker, which lives through what its tests do to it."""
    folder = tmp_path_factory.mktemp("lasting")
    own = Cluster(live_settings(redis_server, folder), folder)
    try:
        own.start(max_attempts=1)
        yield own
    finally:
        own.close()
        forget_keys(redis_server.url, own.settings.prefix)


def test_a_worker_whose_parent_process_is_stopped_says_so_and_promises_nothing(
    lasting: Cluster,
) -> None:
    # First of its tests: for two seconds after other work its child would take the job by itself.
    worker = lasting.workers[0].wait_until_ready()
    parent, run = worker.pid, RunFolder(lasting.settings.data_dir)

    os.kill(parent, signal.SIGSTOP)
    try:
        wait_until(lambda: shown(worker) == "stopped", "its record says so")
        wait_until(
            lambda: not readiness(run, worker.name, lasting.settings.lease_s).is_yes,
            "it is not ready",
        )
        job = lasting.client().classify(["t"], model="echo")
        told = look_at_this_machine(lasting)
        why = lasting.client().explain(job.job_id)
    finally:
        os.kill(parent, signal.SIGCONT)
    results = list(job.results())
    wait_until(lambda: shown(worker) == "ready", "its record says that it goes on")

    cure = f"`kill -CONT {parent}` on {os.uname().nodename}"
    assert f"The process {parent} of {worker.name} is stopped, by a signal" in told
    assert f"Let it go on: {cure}." in told
    assert why.headline.startswith(f"Job {job.job_id} is queued: No worker that is up can classify")
    assert [(one.code, cure in one.message) for one in why.workers] == [("stopped", True)]
    assert all(isinstance(result, ItemSuccess) for result in results)


def test_an_item_that_keeps_the_lock_costs_no_crash_and_all_say_that_its_worker_computes(
    lasting: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, lasting.settings)
    # Whoever looks goes by a heartbeat of their own: one that were longer here than the client's
    # would have a command call the worker busy which `explain` calls silent.
    monkeypatch.setenv("SEQD_HEARTBEAT_S", str(lasting.settings.heartbeat_s))
    worker = lasting.workers[0].wait_until_ready()  # leases last 2 s
    client = lasting.client()

    # For longer than a lease.
    job = client.classify(["t0", "hold4"], model="echo")
    results = list(job.results())

    assert all(isinstance(result, ItemSuccess) for result in results)
    assert "made claimable" not in worker.whole_log()
    (warning,) = [event for event in job.events() if isinstance(event, Log)]
    assert re.match(rf"{SAID[DeathCause.WATCHDOG]}; it stood in seqd_light\.py", warning.message)
    assert re.search(r"is ended if it stays silent until \d+ s \(SEQD_MAX_S", warning.message)
    assert (warning.cause, warning.worker) == (None, worker.name)

    # For ever.
    pid = worker.child_pid()
    job = client.classify(["hold"], model="echo")

    def told() -> str:
        return look_at_this_machine(lasting)

    wait_until(
        lambda: "its parent renews what it holds. It still holds 1 unit." in told(), "doctor"
    )
    wait_until(lambda: client.explain(job.job_id).in_hand[0].is_renewed, "explain")
    why, advice = client.explain(job.job_id), told()
    waiting, status = job.record().waiting, worker.status()
    shown_by = {view: here(capsys, *view.split()).out for view in VIEWS}
    os.kill(pid, signal.SIGKILL)  # as advised to who cannot wait
    (failure,) = job.results()

    assert f"its process {pid} on this machine is there (state " in advice
    assert "or its parent ends it if it stays silent until SEQD_MAX_SILENT_S. Its log" in advice
    assert f"who cannot wait ends it by `kill -KILL {pid}`, and a new one starts." in advice
    assert why.headline.startswith(f"Job {job.job_id} runs: 1 unit in hand on 1 worker")
    assert [(one.is_worker_up, one.is_renewed) for one in why.in_hand] == [(True, True)]
    unheard = rf"{worker.name} has not been heard of for [\d.]+ s"
    assert re.match(rf"{unheard}, as while it computes", why.next[0])
    # It has missed three heartbeats, after which a worker of a machine that is down is gone.
    assert (waiting, status and status.pid) == (None, pid)
    for view, said in shown_by.items():
        assert "No worker" not in said, view
        assert re.search(rf"{unheard}: ", " ".join(said.split())), view
    assert " moving " in shown_by["queues"]
    assert shown_by["queues"].splitlines()[1].endswith(" 1 silent")
    assert " 1 up: 1 silent" in shown_by["top"]
    for view in ("status", "workers list"):
        assert re.search(rf"^{worker.name} .*\bsilent\b", shown_by[view], re.MULTILINE), view
    assert "dead_worker" not in {reason.code for reason in why.waits_for}
    assert isinstance(failure, ItemFailure)


def test_a_worker_whose_plugin_goes_on_for_a_cancelled_job_is_not_said_to_be_free(
    lasting: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, lasting.settings)
    worker = lasting.workers[0].wait_until_ready()
    client = lasting.client()
    hanging = client.classify(["sleep"], model="echo")

    def computes() -> bool:
        status = worker.known_status()
        return status.claim is not None and status.seen_at_ms > status.claim.since_ms + 1_000

    def has_said_so() -> bool:
        claim = worker.known_status().claim
        return claim is not None and claim.is_lost

    wait_until(computes, "its plugin computes")
    first = worker.known_status()
    hanging.cancel()
    waiting = client.classify(["t0"], model="echo")

    wait_until(has_said_so, "its heartbeat has found the lease lost")
    wait_until(lambda: waiting.record().waiting, "its job is a second old")
    last = worker.known_status()
    why = client.explain(waiting.job_id)
    views = (*VIEWS, f"jobs show {waiting.job_id}")
    shown_by = {view: here(capsys, *view.split()).out for view in views}
    for act in ("cordon", "uncordon"):
        here(capsys, "workers", act, worker.name, "--yes")
    uncordoned = here(capsys, "workers", "uncordon", worker.name, "--wait", "--timeout-s", "0.1")
    os.kill(worker.child_pid(), signal.SIGKILL)  # else it were ended after SEQD_MAX_SILENT_S
    (result,) = waiting.results()

    assert first.claim is not None and last.claim is not None
    # It has had the unit since one moment, however late that is noted.
    assert last.claim.since_ms - first.claim.since_ms < (last.seen_at_ms - first.seen_at_ms) / 2
    told = (
        f"its plugin has not stopped, and still computes for job {hanging.job_id}, of which it "
        "holds nothing any more: it takes its next unit once the plugin stops"
    )
    assert f" is queued: {worker.name} takes no work: {told}" in why.headline
    assert [answer.code for answer in why.workers] == ["busy"]
    assert why.workers[0].message.startswith(told)
    assert why.left_s is None
    for view, said in shown_by.items():
        assert f"{worker.name} takes no work: {told}" in " ".join(said.split()), view
    assert (uncordoned.status, "Ready." in uncordoned.out) == (75, False)
    assert isinstance(result, ItemSuccess)


def test_a_plugin_that_hangs_is_ended_and_the_one_item_is_found(empty_cluster: Cluster) -> None:
    # A sound process that waits for a processor on a busy machine must not be taken for one.
    worker = empty_cluster.start_ready(max_silent_s=2.0, max_attempts=1)
    client = empty_cluster.client()

    for texts, cause, who_ended_it, function, times in HUNG:
        job = client.classify(texts, model="echo")
        *sound, failure = job.results()

        assert all(isinstance(result, ItemSuccess) for result in sound)
        where = rf"{SAID[cause]}; it stood in seqd_light\.py, line \d+, in {function}\."
        assert isinstance(failure, ItemFailure)
        assert failure.error.code == "worker_crashed"
        assert re.search(where, failure.error.message)
        assert job.record().counts.errored == 1
        warnings = [event for event in job.events() if isinstance(event, Log)]
        assert all(re.search(where, one.message) for one in warnings)
        # One that stands still in C code is told of before it is ended, too.
        assert {(one.cause, one.worker) for one in warnings if one.cause} == {(cause, worker.name)}
        assert sum(one.cause is not None for one in warnings) == times
        stack = rf"stack of pid=\d+ thread=MainThread: .*seqd_light\.py:\d+ {function} < "
        assert len(re.findall(stack, worker.whole_log())) == times
        assert who_ended_it in worker.whole_log()
    assert re.search(r"stack of pid=\d+ thread=seqd-leases: ", worker.whole_log())
    causes = [cause for _, cause, _, _, times in HUNG for _ in range(times)]
    assert re.findall(r" cause=(\w+): ", worker.whole_log()) == causes
    wait_until(
        lambda: [one.cause for one in deaths_of(worker)] == causes, "its record tells of all"
    )

    training = client.train(
        [{"text": "a", "label": "pos"}], model="echo", parameters={"trick": "spin"}
    )
    with pytest.raises(JobFailed) as raised:
        training.wait(timeout_s=120)

    assert re.search(
        rf"The last time: {SAID[DeathCause.HANG]}; it stood in seqd_light\.py, line \d+, in "
        r"_spins\.$",
        raised.value.failure.message,
    )


def test_an_item_that_loops_and_goes_on_asking_is_found_and_the_511_others_succeed(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready(
        unit_budget_factor=5.0, unit_budget_floor_s=0.5, heartbeat_s=0.5
    )
    client = empty_cluster.client()
    texts = [f"t{number}" for number in range(512)]
    client.classify(texts, model="echo").wait(timeout_s=120)

    job = client.classify([*texts[:300], "loop", *texts[301:]], model="echo")
    job.wait(timeout_s=300)  # which says what it waits for where it does not end
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


def test_a_child_that_a_signal_stops_turns_the_probe_red_is_named_and_costs_no_crash(
    empty_cluster: Cluster,
) -> None:
    lease_s = 6.0
    worker = empty_cluster.start_ready(lease_s=lease_s, max_silent_s=3.0, heartbeat_s=1.0)
    child = worker.child_pid()
    job = empty_cluster.client().classify(["held"], model="echo")
    empty_cluster.wait_for_holder(job.job_id, [worker])

    def is_alive() -> bool:
        return liveness(RunFolder(empty_cluster.settings.data_dir), worker.name, lease_s).is_yes

    # The probe is green during a unit that is longer than a lease, in one call of the plugin.
    worker.wait_for_heartbeats(2 * lease_s)
    during = ask(worker, "live")

    assert (during.returncode, during.stderr) == (0, "")
    assert during.stdout.startswith(f"Worker {worker.name}, process {child}, heartbeat ")

    # A hung child is ended after 4 s, and a lease is over after 6 s.
    os.kill(child, signal.SIGSTOP)
    try:
        line = f"child is stopped: pid={child} job={job.job_id}: A signal has "
        wait_until(lambda: line in worker.log(), "its parent names it")
        wait_until(lambda: not is_alive(), "the probe is red")
        stopped = ask(worker, "live")
        wait_until(lambda: worker.known_status().stopped_pid == child, "its record says so")
        why = empty_cluster.client().explain(job.job_id)
        told = look_at_this_machine(empty_cluster)
        other = empty_cluster.start_ready()
        (empty_cluster.settings.data_dir / "cured").touch()
        results = list(job.results())
    finally:
        os.kill(child, signal.SIGCONT)

    assert stopped.returncode == 1
    assert stopped.stderr.startswith(f"Worker {worker.name}, process {child}, heartbeat ")
    assert stopped.stderr.endswith(" s ago; allowed: 6 s (SEQD_LEASE_S).\n")
    assert all(isinstance(result, ItemSuccess) for result in results)
    assert empty_cluster.crashes(job.job_id) == 0
    (warning,) = [event for event in job.events() if isinstance(event, Log)]
    said = (
        rf"A signal has stopped the worker's process {child}, which had no heartbeat for \d+ s\. "
    )
    assert re.match(
        rf"{said}Another worker may take what it had in hand; `kill -CONT {child}` on its ",
        warning.message,
    )
    assert (warning.cause, warning.worker) == (None, worker.name)
    assert f"The process {child} of {worker.name} is stopped, by a signal" in told
    assert f"Let it go on: `kill -CONT {child}`" in told
    assert [(answer.code, answer.message) for answer in why.workers] == [
        (
            "stopped",
            f"its process {child} is stopped, by a signal: `kill -CONT {child}` on "
            f"{worker.known_status().host} lets it go on",
        )
    ]
    worker.wait_until_ready()
    assert is_alive()

    # Nor is it ended where the whole worker was frozen for longer than a hang is allowed.
    assert other.stop() == 0
    worker.freeze()
    wait_until(lambda: not is_alive(), "the probe is red")
    worker.thaw()
    job = empty_cluster.client().classify(["a", "b"], model="echo", parameters={"delay_ms": 500})

    assert all(isinstance(result, ItemSuccess) for result in job.results())
    assert worker.child_pid() == child
    assert "hung" not in worker.whole_log()

    # Of a worker that is gone the probe says where it looked.
    assert worker.stop() == 0
    answer = ask(worker, "live")

    assert (answer.returncode, answer.stderr) == (
        1,
        f"No worker {worker.name} has a heartbeat in {empty_cluster.settings.data_dir / 'run'}: it "
        "has not started yet, it has ended, or it has another SEQD_DATA_DIR or --name.\n",
    )


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
