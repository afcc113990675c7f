"""What `seqd doctor` finds of a fleet: records as workers and operators write them, on a server."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job, a_train_job, a_worker_status
from cli_builders import here, use_ledger
from ledger_fixtures import Environment, publish_entries
from seqd.admission import Admitted
from seqd.doctor.examination import examine
from seqd.doctor.findings import Report, Severity
from seqd.doctor.fleet import fleet_checks
from seqd.doctor.server import Server, run_checks
from seqd.ledger.units import Death
from seqd.local.process_states import start_ticks_of
from seqd.local.run_files import HEARTBEAT, Heartbeat, RunFolder
from seqd_schemas import (
    ChildDeath,
    ClaimInHand,
    Cordon,
    CordonAction,
    CordonRule,
    DeathCause,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ModelPause,
    PluginState,
    PluginStatus,
    TenantLimits,
    UnfitVersion,
    WorkerState,
)

pytestmark = pytest.mark.processes

HOUR_MS = 3_600_000

#: An age that is told alike for half a minute more: a test may take its time.
AGE_MS = 20 * 60_000


def now_ms() -> int:
    return int(time.time() * 1_000)


def examined(environment: Environment) -> Report:
    server = Server(environment.redis, environment.settings)
    return run_checks(fleet_checks(server))


def publish(environment: Environment, worker: str = "cpu:0@h1-a", **changes: object) -> None:
    fields = {"slot": "cpu:0", "host": "h1", "seen_at_ms": now_ms(), "seqd_version": "0.3.0"}
    environment.ledger.fleet.publish_worker(
        a_worker_status(worker=worker, **(fields | changes)), ttl_s=60
    )


def a_plugin(name: str = "echo", **changes: object) -> PluginStatus:
    fields = {"distribution": f"seqd-{name}", "version": "1.0", "state": PluginState.READY}
    return PluginStatus.model_validate({"name": name, **fields} | changes)


def whats(report: Report, kind: str) -> list[str]:
    return [one.what for one in report.findings if one.id == kind]


def test_a_fleet_that_is_in_order_has_no_finding(environment: Environment) -> None:
    publish(environment)

    report = examined(environment)

    assert (report.findings, report.not_checked) == ([], [])
    assert len(report.checked) == 16


def all_is_wrong(environment: Environment) -> None:
    """Make a fleet in which there is something of every kind that workers and operators write."""
    ledger, redis, keys = environment.ledger, environment.redis, environment.keys
    publish_entries(
        environment.ledger.fleet, [a_catalog_entry(plugin="echo", labels={"production": 3})]
    )
    message = f"a.npz is {'a1' * 32}, and its manifest says {'b2' * 32}"
    publish(
        environment,
        plugins=(a_plugin(), a_plugin("bad", state="broken", reason="no module\x1b[2J named x")),
        versions={"imdb_lstm": (3,)},
        unfit=(UnfitVersion(model="echo", version=2, code="damaged", message=message, since_ms=1),),
        cordon=Cordon(phase="draining", target="host:h1", since_ms=now_ms() - HOUR_MS),
        state=WorkerState.DRAINING,
        clock_offset_ms=2_500,
    )
    publish(
        environment,
        "cpu:0@h2-b",
        host="h2",
        plugins=(a_plugin(version="2.0"),),
        seqd_version="0.2.0",
        clock_offset_ms=-3_600_000,
        deaths=deaths_of("signal", AGE_MS, AGE_MS),
    )
    # Its question took long, which explains more than it is off.
    publish(environment, "cpu:1@h1-c", clock_offset_ms=0, deaths=deaths_of("signal", AGE_MS))
    environment.submit_units(1, job_id="j1")
    fail_both(environment, DeathCause.SIGNAL)
    # Another is up in the place of the first one of these, and the last one is known by its record.
    silence(environment, "cpu:0@h1-old", HOUR_MS)
    silence(environment, "cpu:0@h3-gone", 5 * HOUR_MS)
    last_said(environment, "w1", host="h4", slot="cuda:1", pid=77)
    for nonce in "xyz":
        silence(environment, f"cpu:0@h5-{nonce}", 60_000)
    ledger.cordons.change(
        add=[
            CordonRule(
                target="label:pool=a",
                action=CordonAction.CORDON,
                by="ops@h1",
                reason="repair",
                at_ms=now_ms() - 72 * HOUR_MS,
            )
        ]
    )
    ledger.model_pauses.pause(ModelPause(model="echo", by="ana@h1", at_ms=1, reason="wrong labels"))
    ledger.model_pauses.pause(ModelPause(model="topics", by="ana@h1", at_ms=1, disabled=True))
    ledger.tenants.set_limits("acme", TenantLimits(jobs=1))
    environment.submit(a_classify_job(tenant="acme"), chunk=a_chunk(), sealed=True)
    redis.xadd(keys.inbox(), {"id": "a"}, id=f"{now_ms() - 300_000}-0")
    redis.zadd(keys.timers(), {"job-1 0": now_ms() - 600_000})


def fail_both(environment: Environment, cause: DeathCause) -> None:
    """Have the two items of the unit that waits fail by a death."""
    crashed = ItemError(code=ItemErrorCode.WORKER_CRASHED, message="Its worker died.")
    environment.ledger.work.commit(
        replace(environment.claim_unit("cpu:0@h2-b"), death=Death(cause, "It died.")),
        [ItemFailure(custom_id=f"item-{number}", error=crashed) for number in range(2)],
    )


def deaths_of(cause: str, *ago_ms: int) -> list[ChildDeath]:
    message = "It took 2 GB of 2 GB."
    return [
        ChildDeath(at_ms=now_ms() - each, cause=cause, message=message, pid=7) for each in ago_ms
    ]


#: Of each finding then: its id, its severity, what it says, what to do begins with, and its page.
WRONG = """
worker-crash-loop | error | 3 workers of cpu:0@h5 died within the last hour. | The last lines of
  its log say why: | crash-loop
worker-silent | warning | Not heard of any more, and none is up in their place: 2 workers, w1 (20
  min ago, slot cuda:1 of h4, process 77), cpu:0@h3-gone (5 h ago). They hold no units. | Run
  `seqd doctor` on its machine, | host-cut-off
worker-deaths | warning | Processes that died within the last hour by signal: cpu:0@h2 2 times,
  cpu:1@h1 once; the last 20 min ago. It took 2 GB of 2 GB. The last that failed by it: item
  item-0 of job j1. | The logs of these workers have what was before it. `seqd failures list` names
  the items. | crash-loop
worker-clock-skew | warning | The clocks of 2 of 2 machines of workers are off that of Redis: h2
  3,600.0 s behind, h1 2.5 s ahead. | Have the clocks of all machines set by NTP: | clock
worker-draining-forever | warning | cpu:0@h1-a has been draining for 60 min. | See what it does in
  its log; then end it: `kill -KILL 7` on h1. | hang
cordon-forgotten | warning | The rule to cordon label:pool=a has stood for 3 d, by ops@h1,
  because: repair. | If it is not needed any more: `seqd workers uncordon --label pool=a`. |
model-paused | warning | The model echo is paused by ana@h1 since 1970-01-01 00:00: wrong labels.
  | If it may go on: `seqd models resume echo`. |
model-paused | warning | The model topics is disabled by ana@h1 since 1970-01-01 00:00. | If it
  may go on: `seqd models resume topics`. |
mixed-releases | warning | Workers of 2 releases of seqd are up: 0.2.0 (1), 0.3.0 (2). | Bring the
  upgrade to its end: docker/upgrade.md. | mixed-versions
unfit-workers | warning | Worker cpu:0@h1-a (host h1), 1 of 3, cannot run echo@2: damaged: a.npz
  is a1a1a1a1a1a1…, and its manifest says b2b2b2b2b2b2…. | `seqd doctor --deep` on h1 names the
  files. Restore the version's folder from a backup or another host's store. | corrupt-model
unfit-workers | warning | Worker cpu:0@h2-b (host h2), 1 of 3, cannot run imdb_lstm@3: missing:
  its store has no such version, which is in service. | Have the workers share one
  store: SEQD_DATA_DIR on h2. | corrupt-model
plugin-broken | warning | The plugin bad is broken on cpu:0@h1-a: no module\\x1b[2J named x. |
  Mend it (`seqd plugins check bad`), | plugin-missing
plugin-missing | warning | The plugin bad is missing on cpu:0@h2-b. | Install it there: `pip install
  seqd-bad==1.0`. Then restart it; those of `seqd up`: `seqd workers restart cpu | plugin-missing
plugin-versions | warning | seqd-echo has the version 1.0 on cpu:0@h1-a, and 2.0 on cpu:0@h2-b. |
  Install one version everywhere: `seqd plugins list` says which. | mixed-versions
route-unserved | error | No worker that is up can do all that waits of classify imdb_lstm (2
  items). All workers that classify imdb_lstm are cordoned or drained by an operator: cpu:0@h1-a.
  `seqd workers list` shows the rules, `seqd workers uncordon --host h1` ends them. | Start a worker
  that can, or see what keeps those that are up: `seqd explain j |
leases-overdue | error | A lease or a wait ran out 10 min ago, and no worker has seen to it. | See
  the logs of workers for `reconciler`; |
tenant-full | warning | The tenant acme uses 100% of the jobs that it may have waiting. | `seqd
  jobs list --tenant acme` shows what waits; | noisy-tenant
inbox-stuck | error | Entries that wait in the inbox: 1, the oldest for 5 min. | Start workers:
  each of them empties it. |
"""


def test_each_thing_that_is_wrong_with_a_fleet_is_told_of_with_what_to_do_and_its_page(
    environment: Environment,
) -> None:
    all_is_wrong(environment)

    report = examined(environment)

    rows = [" ".join(row.split()) for row in re.split(r"\n(?=\S)", WRONG.strip())]
    expected = [[cell.strip() for cell in row.split(" |")] for row in rows]
    assert [[one.id, one.severity, one.what] for one in report.findings] == [
        row[:3] for row in expected
    ]
    for one, (*_, do, page) in zip(report.findings, expected, strict=True):
        assert one.do.startswith(do)
        assert one.page == (f"docker/RUNBOOK.md#{page}" if page else "")
    assert report.not_checked == []


def test_in_an_upgrade_nobody_is_told_to_bring_a_worker_back_to_the_release_before(
    environment: Environment,
) -> None:
    of_seqd = {"distribution": "seqd", "version": "0.2.0"}
    for name in ("cpu:0@h1-a", "cpu:0@h2-b"):
        plugins = (a_plugin(**of_seqd), a_plugin("gone", **of_seqd))
        publish(environment, name, host=name[6:8], seqd_version="0.2.0", plugins=plugins)
    publish(environment, "cpu:0@h3-c", plugins=(a_plugin(distribution="seqd", version="0.3.0"),))

    report = examined(environment)

    assert [one.id for one in report.findings] == ["mixed-releases"]


def test_no_worker_is_an_error_once_work_waits(environment: Environment) -> None:
    idle = examined(environment).findings
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])
    environment.submit(chunk=a_chunk(), sealed=True)

    busy = examined(environment)

    assert [(one.id, one.severity) for one in idle] == [("no-workers", Severity.WARNING)]
    assert whats(busy, "no-workers") == ["No worker is up, and 2 items wait."]
    assert [one.severity for one in busy.findings] == [Severity.ERROR]


def test_workers_that_were_drained_are_not_up(environment: Environment) -> None:
    publish(environment, cordon=Cordon(phase="drained", target="slot:cpu:0@h1", since_ms=1))
    publish(environment, "w2", cordon=Cordon(phase="drained", target="host:h2", since_ms=1))

    (found,) = examined(environment).findings

    assert (found.id, found.what) == ("no-workers", "No worker is up: all were drained.")
    assert found.do == "End the drain: `seqd workers uncordon cpu:0@h1 --host h2`."


def test_of_trainings_it_is_told_why_they_wait_and_not_of_one_that_a_worker_finishes_as_it_drains(
    environment: Environment,
) -> None:
    publish(environment)
    publish(
        environment,
        "train@cpu@h1-b",
        tasks=("train",),
        versions={"imdb_lstm": (0,)},
        cordon=Cordon(phase="draining", target="worker:w9", since_ms=now_ms()),
        state=WorkerState.DRAINING,
    )
    training = a_train_job(model="topics", plugin="imdb_lstm")
    environment.ledger.submissions.submit(
        training, Admitted(None, 1, plugin="imdb_lstm"), job_id="t1", sealed=True
    )
    waits = examined(environment)
    environment.claim_unit("train@cpu@h1-b")

    is_in_hand = examined(environment)

    (told,) = whats(waits, "route-unserved")
    assert "(1 item). All workers that train imdb_lstm are cordoned or drained" in told
    assert whats(is_in_hand, "route-unserved") == []


def test_work_that_nobody_can_do_yet_is_a_warning_while_workers_start(
    environment: Environment,
) -> None:
    publish(environment, state=WorkerState.STARTING, started_at_ms=now_ms())
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])
    environment.submit(chunk=a_chunk(), sealed=True)

    (found,) = examined(environment).findings

    assert (found.id, found.severity) == ("route-unserved", Severity.WARNING)
    assert "(2 items). A worker is still starting (" in found.what
    assert found.do == "Look again once they have started."


def test_what_workers_cannot_run_is_worse_where_none_can(environment: Environment) -> None:
    damaged = UnfitVersion(model="echo", version=2, code="damaged", message="a.json", since_ms=1)
    publish(environment, unfit=(damaged,))
    (alone,) = examined(environment).findings
    publish(environment, "cpu:0@h2-b", host="h2", unfit=(damaged,))
    (both,) = examined(environment).findings

    assert alone.what == "Worker cpu:0@h1-a (host h1) cannot run echo@2: damaged: a.json."
    assert both.do.startswith("`seqd doctor --deep` on h1, h2 names the files.")
    assert alone.severity is both.severity is Severity.ERROR


def test_what_a_worker_cannot_run_for_one_cause_is_told_once(environment: Environment) -> None:
    lacks = (
        ("a", "ImportError: no libx.so (a/net.py, line 3, in load)"),
        ("b", "ImportError: no libx.so (b/model.py, line 7, in load)"),
        ("c", "no liby.so"),
    )
    publish(
        environment,
        unfit=tuple(
            UnfitVersion(model=model, version=1, code="no_library", message=why, since_ms=1)
            for model, why in lacks
        ),
    )

    told = [one.what.partition(" cannot ")[2] for one in examined(environment).findings]

    assert told == [f"run a@1, b@1: no_library: {lacks[0][1]}.", "run c@1: no_library: no liby.so."]


def silence(environment: Environment, worker: str, ago_ms: int) -> None:
    environment.redis.zadd(environment.keys.workers(), {worker: now_ms() - ago_ms})


def test_a_worker_that_was_given_a_name_has_none_in_its_place_by_a_name_like_it(
    environment: Environment,
) -> None:
    publish(environment, "gpu-1")
    for name in ("gpu-2", "gpu-3", "gpu-4"):
        silence(environment, name, 60_000)

    (found,) = examined(environment).findings

    assert found.id == "worker-silent"
    assert "3 workers, " in found.what


def last_said(environment: Environment, worker: str, **changes: object) -> None:
    """Have a worker report once, `AGE_MS` ago."""
    publish(environment, worker, seen_at_ms=now_ms() - AGE_MS, **changes)
    environment.redis.delete(environment.keys.worker(worker))


def beat(environment: Environment, worker: str, pid: int, ago_s: float) -> None:
    """Write the last heartbeat of a worker's process into its file."""
    path = RunFolder(environment.settings.data_dir).file(worker, HEARTBEAT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(Heartbeat(pid, time.monotonic() - ago_s)))


def test_a_process_of_this_machine_that_is_stopped_is_to_go_on_and_not_to_start_again(
    environment: Environment,
) -> None:
    publish(environment)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            ticks = start_ticks_of(process.pid)
            here = {"host": socket.gethostname(), "pid": process.pid}
            last_said(environment, "w1", **here, pid_start_ticks=ticks)
            (runs,) = examined(environment).findings
            beat(environment, "w1", process.pid, ago_s=1)
            (beats,) = examined(environment).findings
            beat(environment, "w1", process.pid, ago_s=60)
            (computes,) = examined(environment).findings
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            (stopped,) = examined(environment).findings
            assert ticks is not None
            last_said(environment, "w1", **here, pid_start_ticks=ticks - 1)
            (of_another,) = examined(environment).findings
        finally:
            process.kill()
    last_said(environment, "w1", **here, pid_start_ticks=ticks)
    (ended,) = examined(environment).findings
    last_said(environment, "w1", **here)
    (not_noted,) = examined(environment).findings

    assert f"its process {process.pid} on this machine is there (state " in runs.what
    assert runs.do.endswith(f"ends it by `kill -KILL {process.pid}`, and a new one starts.")
    assert "and cannot report. It holds no units." in beats.what
    assert computes.what.endswith("its parent renews what it holds. It holds no units.")
    ends = "Wait: it goes on, or its parent ends it if it stays silent until SEQD_MAX_SILENT_S. Its"
    assert computes.do.startswith(ends)
    assert computes.page == "docker/RUNBOOK.md#hang"
    assert stopped.do == f"Let it go on: `kill -CONT {process.pid}`."
    assert stopped.what == (
        f"w1 has not been heard of for 20 min: its process {process.pid} on this machine is "
        "stopped, by a signal. It holds no units."
    )
    assert stopped.why == (
        "It reports nothing, and takes no new work until it goes on or is started again."
    )
    assert ended.what.endswith("is not there any more. It holds no units.")
    assert of_another.what == ended.what
    assert not_noted.what.startswith("Not heard of any more, and none is up in their place: ")


def test_a_worker_of_another_machine_that_is_up_and_reports_nothing_is_told_of_with_what_it_holds(
    environment: Environment,
) -> None:
    publish(environment, "w1", host="h2", seen_at_ms=now_ms() - AGE_MS)
    environment.submit_units(1)
    environment.claim_unit("w1")

    report = examined(environment)

    assert whats(report, "no-workers") == []
    assert whats(report, "worker-silent") == [
        "w1 has not been heard of for 20 min: its process is there, and computes without letting "
        "its other threads run, or cannot report. It still holds 1 unit."
    ]


DIED, LOOPS = "worker-deaths", "worker-crash-loop"


@pytest.mark.parametrize(
    ("ago_s", "of_memory", "of_signal"),
    [
        ([360, 180], (DIED, "2 times"), None),
        ([2_700, 1_800, 60], (DIED, "3 times"), None),
        ([540, 360, 180], (DIED, "3 times"), None),
        ([540, 360, 60], (LOOPS, "3 times"), None),
        ([540, -480, 60], (LOOPS, "2 times"), (LOOPS, "once")),
        ([540, -480, 180], (DIED, "2 times"), (DIED, "once")),
        ([*range(600, 240, -60), -240, 60], (LOOPS, "at least 7 times"), (LOOPS, "at least once")),
    ],
)
def test_what_the_process_of_a_worker_died_of_is_told_and_three_times_are_a_loop(
    environment: Environment,
    ago_s: list[int],
    of_memory: tuple[str, str],
    of_signal: tuple[str, str] | None,
) -> None:
    """Deaths by a signal are those with a minus."""
    causes = ["signal" if ago < 0 else "out_of_memory" for ago in ago_s]
    rows = zip(causes, ago_s, strict=True)
    publish(
        environment,
        "cpu:0@h1-a",
        deaths=[one for cause, ago in rows for one in deaths_of(cause, 1_000 * abs(ago))],
    )

    found = examined(environment).findings

    expected = [("out_of_memory", *of_memory)]
    expected += [("signal", *of_signal)] if of_signal else []
    assert [(one.id, one.what.partition(";")[0]) for one in found] == [
        (kind, f"Processes that died within the last hour by {cause}: cpu:0@h1 {times}")
        for cause, kind, times in expected
    ]
    memory = found[0]
    assert memory.severity == ("error" if memory.id == LOOPS else "warning")
    assert memory.page == "docker/RUNBOOK.md#out-of-memory"
    is_of_both = memory.what.endswith("died again and again within ten minutes, by several causes.")
    assert is_of_both == (of_memory == (LOOPS, "2 times"))
    assert memory.do == "Give the worker more memory, or have fewer models there: SEQD_SERVES."


def test_a_worker_whose_plugin_goes_on_with_what_was_taken_from_it_is_not_well(
    environment: Environment,
) -> None:
    lost = ClaimInHand(job_id="j1", unit="0", units=1, since_ms=0, is_lost=True)
    publish(environment, state=WorkerState.BUSY, claim=lost)

    (found,) = examined(environment).findings

    assert (found.id, found.page) == ("worker-lost-claim", "docker/RUNBOOK.md#hang")
    assert found.what.startswith(
        "cpu:0@h1-a takes no work: its plugin has not stopped, and still computes for job j1, "
    )


def test_one_death_by_which_no_item_failed_sends_nobody_to_pages_that_are_empty(
    environment: Environment,
) -> None:
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])
    environment.submit_units(1, job_id="j1")
    fail_both(environment, DeathCause.SIGNAL)
    # A moment later, by another clock.
    publish(environment, versions={"imdb_lstm": (3,)}, deaths=deaths_of("signal", -50))

    (found,) = examined(environment).findings

    assert (found.id, found.page) == ("worker-deaths", "")
    assert found.do == (
        "Nothing has to be done if it stays at that: no item has failed by it. The logs of "
        "these workers have what was before it."
    )


def test_workers_of_one_slot_that_were_killed_are_told_together(environment: Environment) -> None:
    said = "The parent process of cpu:0@h1-{} ended without an order after 11:00:00 UTC"
    deaths = [
        death.model_copy(update={"message": said.format(end)})
        for end in ("497ff5", "a454bc")
        for death in deaths_of("worker_killed", AGE_MS)
    ]
    publish(environment, "cpu:0@h1-0aff3d", deaths=deaths)

    told = whats(examined(environment), "worker-deaths")

    assert [one.partition(";")[0] for one in told] == [
        "Processes that died within the last hour by worker_killed: cpu:0@h1 2 times"
    ]


def test_a_death_counts_once_while_a_worker_takes_the_place_of_another(
    environment: Environment,
) -> None:
    of_both = deaths_of("signal", AGE_MS)
    publish(environment, "cpu:0@h1-a", started_at_ms=1, deaths=of_both)
    publish(environment, "cpu:0@h1-b", started_at_ms=2, deaths=of_both)

    told = whats(examined(environment), "worker-deaths")

    assert [one.partition(";")[0] for one in told] == [
        "Processes that died within the last hour by signal: cpu:0@h1 once"
    ]


def test_of_a_tenant_with_more_than_its_limit_it_is_said_how_that_came(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, environment.settings)
    publish(environment)
    environment.ledger.tenants.set_limits("acme", TenantLimits(items=1))
    environment.submit(a_classify_job(tenant="acme"), chunk=a_chunk())

    why = "More than a limit came as one unit while nothing waited, or the limit was lowered since."
    assert whats(examined(environment), "tenant-full") == [
        f"The tenant acme uses 200% of the items that it may have waiting. {why}"
    ]
    shown = here(capsys, "tenants", "show", "acme").out
    assert "items waiting  2 of 1 (its own)" in shown
    assert why in " ".join(shown.split())
    environment.ledger.tenants.set_limits("acme", TenantLimits(jobs=0, items=9))
    assert whats(examined(environment), "tenant-full") == [
        "The tenant acme has open jobs, and may have none."
    ]


def test_a_key_that_somebody_has_damaged_is_not_checked_and_hides_nothing(
    environment: Environment,
) -> None:
    publish(environment)
    environment.redis.set(environment.keys.timers(), "by hand")

    report = examined(environment)

    ((what, why),) = [(one.what, one.why) for one in report.not_checked]
    assert what == "leases"
    assert "WRONGTYPE" in why
    assert len(report.checked) == 15

    environment.redis.set(environment.keys.workers(), "by hand")
    report = examined(environment)

    assert not report.is_well
    assert [one.id for one in report.findings] == ["redis-address"]


def test_what_is_wrong_with_the_machine_stands_above_what_comes_of_it(
    environment: Environment, tmp_path: Path
) -> None:
    publish(environment)
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])
    environment.submit(chunk=a_chunk(), sealed=True)
    here = {"data_dir": tmp_path, "slots": "cuda:99"}

    report = examine(environment.settings.model_copy(update=here))

    errors = [one.id for one in report.of(Severity.ERROR)]
    assert errors.index("slots-unusable") < errors.index("route-unserved")
