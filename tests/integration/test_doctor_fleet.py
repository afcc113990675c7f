"""What `seqd doctor` finds of a fleet: records as workers and operators write them, on a server."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job, a_worker_status
from cli_builders import here
from ledger_fixtures import Environment
from seqd.doctor.examination import examine
from seqd.doctor.findings import Report, Severity
from seqd.doctor.fixes import fix
from seqd.doctor.fleet import fleet_checks
from seqd.doctor.running import run_checks
from seqd.doctor.server import Server
from seqd.ledger import connect
from seqd.ledger.units import Death
from seqd.local.heartbeat import Heartbeat
from seqd.local.process_states import start_ticks_of
from seqd.local.run_files import HEARTBEAT, RunFolder
from seqd_schemas import (
    ChildDeath,
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


def test_a_host_whose_store_lacks_the_version_in_service_is_named_with_it(
    environment: Environment,
) -> None:
    entry = a_catalog_entry(plugin="echo", labels={"production": 3})
    environment.ledger.fleet.publish_catalog([entry])
    publish(environment, plugins=(a_plugin(),), versions={"imdb_lstm": (3,)})
    publish(environment, "cpu:0@h2-b", host="h2", plugins=(a_plugin(),))

    (found,) = [one for one in examined(environment).findings if one.id == "unfit-workers"]

    assert found.what == (
        "Worker cpu:0@h2-b (host h2), 1 of 2, cannot run imdb_lstm@3: missing: its store has no "
        "such version, which is in service."
    )
    assert "bring the version to h2" in found.do


def test_no_worker_is_an_error_once_work_waits(environment: Environment) -> None:
    idle = examined(environment).findings
    environment.ledger.fleet.publish_catalog([a_catalog_entry()])
    environment.submit(chunk=a_chunk(), sealed=True)

    busy = examined(environment)

    assert [(one.id, one.severity) for one in idle] == [("no-workers", Severity.WARNING)]
    assert whats(busy, "no-workers") == ["No worker is up, and 2 items wait."]
    assert [one.severity for one in busy.findings] == [Severity.ERROR]


def test_work_that_no_worker_can_do_is_named_with_the_reason(environment: Environment) -> None:
    publish(environment, plugins=(a_plugin(),))
    environment.ledger.fleet.publish_catalog([a_catalog_entry()])
    environment.submit(chunk=a_chunk(), sealed=True)

    (what,) = whats(examined(environment), "route-unserved")

    assert what == (
        "No worker that is up can do all that waits of classify imdb_lstm (2 items). No worker "
        "that is up has a plugin with the model imdb_lstm."
    )


def test_work_that_nobody_can_do_yet_is_a_warning_while_workers_start(
    environment: Environment,
) -> None:
    publish(environment, state=WorkerState.STARTING)
    environment.ledger.fleet.publish_catalog([a_catalog_entry()])
    environment.submit(chunk=a_chunk(), sealed=True)

    (found,) = examined(environment).findings

    assert (found.id, found.severity) == ("route-unserved", Severity.WARNING)
    assert "(2 items). A worker is still starting (" in found.what
    assert found.do == "Look again once they have started."


def test_workers_of_two_releases_are_told_of(environment: Environment) -> None:
    publish(environment)
    publish(environment, "cpu:0@h2-b", host="h2", seqd_version="0.2.0")

    assert whats(examined(environment), "mixed-releases") == [
        "Workers of 2 releases of seqd are up: 0.2.0 (1), 0.3.0 (1)."
    ]


def test_machines_whose_clocks_are_off_that_of_redis_are_named_the_farthest_first(
    environment: Environment,
) -> None:
    for worker, host, offset_ms in (
        ("cpu:0@h1-a", "h1", 2_500),
        ("cpu:1@h1-b", "h1", 0),  # its question took long, which explains more
        ("cpu:0@h2-c", "h2", -3_600_000),
        ("cpu:0@h3-d", "h3", -2_000),
        ("cpu:0@h4-e", "h4", None),
    ):
        publish(environment, worker, host=host, clock_offset_ms=offset_ms)

    assert whats(examined(environment), "worker-clock-skew") == [
        "The clocks of 2 of 3 machines of workers are off that of Redis: h2 3,600.0 s behind, h1 "
        "2.5 s ahead."
    ]


def test_what_workers_cannot_run_is_worse_where_none_can(environment: Environment) -> None:
    damaged = UnfitVersion(model="echo", version=2, code="damaged", message="a.json", since_ms=1)
    publish(environment, unfit=(damaged,))
    alone = examined(environment).findings
    publish(environment, "cpu:0@h2-b", host="h2")
    beside = examined(environment).findings

    assert alone[0].what == "Worker cpu:0@h1-a (host h1) cannot run echo@2: damaged: a.json."
    assert beside[0].what.startswith("Worker cpu:0@h1-a (host h1), 1 of 2, cannot run echo@2: ")
    assert alone[0].do.startswith(
        "`seqd doctor --deep` on h1 names the files. Restore the version's"
    )
    assert [one.severity for one in (*alone, *beside)] == [Severity.ERROR, Severity.WARNING]
    assert alone[0].page == "docker/RUNBOOK.md#corrupt-model"


def test_a_digest_in_a_reason_is_cut(environment: Environment) -> None:
    message = f"a.npz is {'a1' * 32}, and its manifest says {'b2' * 32}"
    damaged = UnfitVersion(model="echo", version=2, code="damaged", message=message, since_ms=1)
    publish(environment, unfit=(damaged,))

    (found,) = examined(environment).findings

    assert found.what.endswith("a.npz is a1a1a1a1a1a1…, and its manifest says b2b2b2b2b2b2….")


def test_plugins_that_are_broken_missing_or_of_another_version_are_told_of(
    environment: Environment,
) -> None:
    broken = a_plugin("bad", state=PluginState.BROKEN, reason="no module\x1b[2J named x")
    publish(environment, plugins=(a_plugin(), broken))
    publish(environment, "cpu:0@h2-b", host="h2", plugins=(a_plugin(version="2.0"),))

    report = examined(environment)

    assert whats(report, "plugin-broken") == [
        r"The plugin bad is broken on cpu:0@h1-a: no module\x1b[2J named x."
    ]
    assert whats(report, "plugin-missing") == [
        "The plugin bad is missing on cpu:0@h2-b, and 1 other worker has it."
    ]
    assert whats(report, "plugin-versions") == [
        "Workers have the plugin echo in 2 versions: 1.0 (1), 2.0 (1)."
    ]


def silence(environment: Environment, worker: str, ago_ms: int) -> None:
    environment.redis.zadd(environment.keys.workers(), {worker: now_ms() - ago_ms})


def test_a_worker_that_is_silent_is_told_of_until_another_is_up_in_its_place(
    environment: Environment,
) -> None:
    publish(environment)
    silence(environment, "cpu:0@h1-old", HOUR_MS)
    silence(environment, "cpu:0@h2-gone", 5 * HOUR_MS)

    assert whats(examined(environment), "worker-silent") == [
        "Not heard of any more, and none is up in their place: 1 worker, cpu:0@h2-gone (5.0 h "
        "ago). It holds no units."
    ]


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


def test_of_a_worker_that_is_silent_it_is_known_where_it_was(environment: Environment) -> None:
    publish(environment)
    last_said(environment, "w1", host="h2", slot="cuda:1", pid=77)

    (what,) = whats(examined(environment), "worker-silent")

    assert "w1 (20 min ago, slot cuda:1 of h2, process 77)" in what


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
    assert computes.do.startswith("Wait: it goes on, or its parent ends it at SEQD_MAX_SILENT_S.")
    assert stopped.do == f"Let it go on: `kill -CONT {process.pid}`."
    assert stopped.what == (
        f"w1 has not been heard of for 20 min: its process {process.pid} on this machine is "
        "stopped, by a signal. It holds no units."
    )
    assert stopped.why.startswith("It does no work until it goes on, or is started again, and it ")
    assert ended.what.endswith("is not there any more. It holds no units.")
    assert of_another.what == ended.what
    assert not_noted.what.startswith("Not heard of any more, and none is up in their place: ")


def test_a_slot_that_dies_again_and_again_is_an_error(environment: Environment) -> None:
    publish(environment)
    for nonce in "bcd":
        silence(environment, f"cpu:0@h1-{nonce}", 60_000)

    (found,) = examined(environment).findings

    assert (found.id, found.severity) == ("worker-crash-loop", Severity.ERROR)
    assert found.what == "3 workers of cpu:0@h1 died within the last hour."


def test_what_the_process_of_a_worker_died_of_is_told_and_three_times_are_a_loop(
    environment: Environment,
) -> None:
    death = {"cause": "out_of_memory", "message": "It took 2 GB of 2 GB.", "pid": 7}
    deaths = [ChildDeath(at_ms=now_ms() - ago_ms, **death) for ago_ms in (360_000, 180_000)]
    slow = [ChildDeath(at_ms=now_ms() - 900_000 * n, **death) for n in (3, 2, 1)]

    publish(environment, "cpu:0@h1-a", deaths=deaths)
    twice = whats(examined(environment), "worker-deaths")
    publish(environment, "cpu:0@h1-a", deaths=slow)
    slowly = whats(examined(environment), "worker-deaths")
    publish(environment, "cpu:0@h1-a", deaths=[*deaths, deaths[-1]])
    (loop,) = examined(environment).findings

    assert twice == [
        "Processes that died within the last hour by out_of_memory: cpu:0@h1-a 2 times; the last "
        "3 min ago. It took 2 GB of 2 GB."
    ]
    assert len(slowly) == 1
    assert (loop.id, loop.severity) == ("worker-crash-loop", "error")
    assert loop.page == "docker/RUNBOOK.md#out-of-memory"


def test_one_death_by_which_no_item_failed_sends_nobody_to_pages_that_are_empty(
    environment: Environment,
) -> None:
    death = {"cause": "signal", "message": "The worker's process was ended by SIGKILL.", "pid": 7}
    publish(environment, deaths=[ChildDeath(at_ms=now_ms() - 60_000, **death)])

    (found,) = examined(environment).findings

    assert (found.id, found.page) == ("worker-deaths", "")
    assert found.do == (
        "Nothing has to be done if it stays at that: no item has failed by it. The worker's log "
        "has what was before it."
    )


def test_deaths_of_several_workers_by_one_cause_are_one_finding_with_the_last_item(
    environment: Environment,
) -> None:
    for worker, times in (("w1", 1), ("w2", 2)):
        deaths = [
            ChildDeath(at_ms=now_ms() - 5_000, cause="signal", message=f"Pid {pid} died.", pid=pid)
            for pid in range(times)
        ]
        publish(environment, worker, deaths=deaths)
    environment.submit_units(1, job_id="j1")
    unit = environment.claim_unit("w2")
    crashed = ItemError(code=ItemErrorCode.WORKER_CRASHED, message="Its worker died.")
    environment.ledger.work.commit(
        replace(unit, death=Death(DeathCause.SIGNAL, "It died.")),
        [ItemFailure(custom_id=f"item-{number}", error=crashed) for number in range(2)],
    )

    (found,) = [one for one in examined(environment).findings if one.id == "worker-deaths"]

    assert found.what.startswith(
        "Processes that died within the last hour by signal: w2 2 times, w1 "
    )
    assert found.what.endswith(" died. The last that failed by it: item item-0 of job j1.")
    assert found.do.startswith("`seqd failures list` names the items, ")


def test_deaths_are_told_also_to_who_may_not_read_what_failed(environment: Environment) -> None:
    death = ChildDeath(at_ms=now_ms() - AGE_MS, cause="signal", message="It died.", pid=7)
    publish(environment, deaths=[death])
    user = f"doctor-{secrets.token_hex(4)}"
    admin, address = environment.redis, urlsplit(environment.settings.redis_url or "")
    admin.acl_setuser(
        user, enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-xrevrange"]
    )
    try:
        with connect(f"redis://{user}:pw@{address.hostname}:{address.port}/0") as redis:
            report = run_checks(fleet_checks(Server(redis, environment.settings)))
    finally:
        admin.acl_deluser(user)

    assert whats(report, "worker-deaths")[0].endswith("; the last 20 min ago. It died.")


def test_a_drain_without_an_end_and_a_rule_that_was_forgotten_are_told_of(
    environment: Environment,
) -> None:
    cordon = Cordon(phase="draining", target="host:h1", since_ms=now_ms() - HOUR_MS)
    publish(environment, cordon=cordon, state=WorkerState.DRAINING)
    rule = CordonRule(
        target="label:pool=a",
        action=CordonAction.CORDON,
        by="ops@h1",
        reason="repair",
        at_ms=now_ms() - 72 * HOUR_MS,
    )
    environment.ledger.cordons.change(add=[rule])

    report = examined(environment)

    assert whats(report, "worker-draining-forever") == ["cpu:0@h1-a has been draining for 60 min."]
    (found,) = [one for one in report.findings if one.id == "cordon-forgotten"]
    assert found.what == (
        "The rule to cordon label:pool=a has stood for 3.0 d, by ops@h1, because: repair."
    )
    assert found.do.endswith("`seqd workers uncordon --label pool=a`.")


def test_each_model_that_is_paused_is_named_with_who_did_it_and_why(
    environment: Environment,
) -> None:
    publish(environment)
    for model, reason, disabled in (("echo", "wrong labels", False), ("topics", "", True)):
        pause = ModelPause(model=model, by="ana@h1", at_ms=1, reason=reason, disabled=disabled)
        environment.ledger.model_pauses.pause(pause)

    findings = examined(environment).findings

    assert [(one.id, one.severity) for one in findings] == [("model-paused", "warning")] * 2
    since = r"since [-0-9]{10} [0-9:]{5}"
    assert re.fullmatch(
        rf"The model echo is paused by ana@h1 {since}: wrong labels\.", findings[0].what
    )
    assert re.fullmatch(rf"The model topics is disabled by ana@h1 {since}\.", findings[1].what)
    assert findings[0].do == "If it may go on: `seqd models resume echo`."


def test_a_tenant_that_may_have_no_more_is_named(environment: Environment) -> None:
    publish(environment)
    environment.ledger.tenants.set_limits("acme", TenantLimits(jobs=1))
    environment.submit(a_classify_job(tenant="acme"), chunk=a_chunk())

    assert whats(examined(environment), "tenant-full") == [
        "The tenant acme uses 100% of the jobs that it may have waiting."
    ]


def test_of_a_tenant_with_more_than_its_limit_it_is_said_how_that_came(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", str(environment.settings.redis_url))
    monkeypatch.setenv("SEQD_PREFIX", environment.settings.prefix)
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


def test_an_inbox_that_nobody_empties_and_a_lease_that_nobody_ends_are_errors(
    environment: Environment,
) -> None:
    publish(environment)
    redis, keys = environment.redis, environment.keys
    redis.xadd(keys.inbox(), {"id": "a"}, id=f"{now_ms() - 300_000}-0")
    redis.zadd(keys.timers(), {"job-1 0": now_ms() - 600_000})
    redis.set(keys.quarantined(), 3)

    report = examined(environment)

    assert whats(report, "inbox-stuck") == [
        "Entries that wait in the inbox: 1, the oldest for 5 min."
    ]
    assert whats(report, "leases-overdue") == [
        "A lease or a wait ran out 10 min ago, and no worker has seen to it."
    ]
    assert len(whats(report, "jobs-quarantined")) == 1
    assert len(report.of(Severity.ERROR)) == 2


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


def test_names_of_workers_that_are_gone_for_more_than_a_day_are_removed_and_no_other(
    environment: Environment,
) -> None:
    publish(environment)
    silence(environment, "cpu:0@h2-gone", 5 * HOUR_MS)
    silence(environment, "cpu:0@h3-long", 30 * HOUR_MS)
    before = whats(examined(environment), "stale-workers")

    done = fix(
        environment.settings, Server(environment.redis, environment.settings), lambda job: False
    )

    assert len(before) == 1
    assert done.fixed == ["Removed 1 name of workers that are gone: cpu:0@h3-long."]
    assert whats(examined(environment), "stale-workers") == []
    assert list(environment.ledger.fleet.silent_workers()) == ["cpu:0@h2-gone"]


def test_what_is_wrong_with_the_machine_stands_above_what_comes_of_it(
    environment: Environment, tmp_path: Path
) -> None:
    publish(environment)
    environment.ledger.fleet.publish_catalog([a_catalog_entry()])
    environment.submit(chunk=a_chunk(), sealed=True)
    here = {"data_dir": tmp_path, "slots": "cuda:99"}

    report = examine(environment.settings.model_copy(update=here))

    errors = [one.id for one in report.of(Severity.ERROR)]
    assert errors.index("slots-unusable") < errors.index("route-unserved")


def test_the_command_says_it_as_json_and_ends_with_1(
    environment: Environment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for nonce in "bcd":
        silence(environment, f"cpu:0@h1-{nonce}", 60_000)
    monkeypatch.setenv("SEQD_REDIS_URL", environment.settings.redis_url or "")
    monkeypatch.setenv("SEQD_PREFIX", environment.settings.prefix)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))

    ended = here(capsys, "doctor", "--json")

    said = ended.json()
    assert ended.status == 1
    assert said["findings"][0]["id"] == "worker-crash-loop"
    assert set(said) == {"findings", "checked", "not_checked", "fixed", "not_fixed"}
    assert set(said["findings"][0]) == {"id", "severity", "what", "why", "do", "page"}
