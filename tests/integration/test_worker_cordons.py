"""Operators' rules: a worker that is cordoned claims nothing, one that is drained ends in order."""

import json
import shlex
import signal
import subprocess
import sys
import time
from threading import Event, Thread

import pytest

from cli_builders import Ended, here
from readme_blocks import ROOT, blocks_of
from worker_fixtures import LiveWorker, wait_for_reason, wait_until

pytestmark = pytest.mark.processes

GUIDE = ROOT / "docker" / "workers.md"

#: 25 units of 8 items; a unit takes 0.16 s.
TEXTS = [f"text {number}" for number in range(200)]
SLOWLY = {"delay_ms": 20.0}

#: Promised is about a second: two looks of half a second at most, and the machine's own.
LEARNT_S = 10.0


@pytest.fixture
def seqd(capsys, monkeypatch, empty_cluster):
    """Run a command on the cluster's ledger."""
    settings = empty_cluster.settings
    monkeypatch.setenv("SEQD_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("SEQD_PREFIX", settings.prefix)
    monkeypatch.setenv("SEQD_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *arguments: here(capsys, *arguments)


def phase(worker: LiveWorker) -> str:
    status = worker.status()
    return "" if status is None or status.cordon is None else status.cordon.phase


def listed(ended: Ended) -> dict[str, dict[str, object]]:
    assert ended.status == 0, ended.err
    return {row["worker"]: row for row in json.loads(ended.out)["workers"]}


def test_a_drain_of_all_means_each_worker_that_is_up_or_starts_later(empty_cluster, seqd):
    worker = empty_cluster.start_ready("w1")

    both = seqd("workers", "drain", "--all", "w1", "--yes")
    drained = seqd("workers", "drain", "--all", "--yes", "--wait")
    ended = worker.wait_for_end()
    later = empty_cluster.start("w2")
    wait_until(lambda: phase(later) == "drained", "it says that it is drained", 40)
    told = seqd("status").out
    uncordoned = seqd("workers", "uncordon", "--all", "--wait")

    assert (both.status, both.err) == (
        2,
        "error[invalid_request]: --all means all workers; leave the targets away\n",
    )
    assert (drained.out, ended) == ("drain --all: w1\nDrained.\n", 0)
    assert "(`seqd workers uncordon --all`)" in told
    assert uncordoned.out == "Uncordoned --all.\nReady.\n"


@pytest.mark.slow
def test_a_cordoned_worker_claims_nothing_until_it_is_uncordoned(empty_cluster, seqd):
    worker = empty_cluster.start_ready("w1")
    client = empty_cluster.client()

    cordoned = seqd("workers", "cordon", "w1", "--yes", "--reason", "repair")
    began = time.monotonic()
    wait_until(lambda: phase(worker) == "cordoned", "it has learnt of it", LEARNT_S)
    learnt_s = time.monotonic() - began
    job = client.classify(TEXTS[:8], model="echo")
    waiting = wait_for_reason(job)
    row = listed(seqd("workers", "list", "--json"))["w1"]
    status = seqd("status")
    uncordoned = seqd("workers", "uncordon", "w1")

    assert cordoned.out == "cordon w1: w1\n"
    assert learnt_s < LEARNT_S
    assert "All workers that classify echo are cordoned or drained by an operator: w1." in (
        waiting.message
    )
    assert empty_cluster.starts_of_units(job.job_id) == []
    assert row["state"] == "cordoned"
    assert row["cordon"]["reason"] == "repair"
    assert "w1 has been cordoned for " in status.out
    assert uncordoned.out == "Uncordoned w1.\n"
    assert len(list(job.results())) == 8
    assert worker.is_up()


@pytest.mark.slow
def test_what_a_cordoned_worker_has_in_hand_it_finishes(empty_cluster, seqd):
    worker = empty_cluster.start_ready("w1")
    # It goes on for longer than the commands take that are to see it.
    job = empty_cluster.client().train(
        [{"text": "a", "label": "pos"}], model="echo", parameters={"epochs": 50, "step_ms": 200.0}
    )
    wait_until(lambda: empty_cluster.starts_of_units(job.job_id) == [1], "the training runs")

    seqd("workers", "cordon", "w1", "--yes")
    wait_until(lambda: phase(worker) == "cordoned", "it has learnt of it", LEARNT_S)
    row = listed(seqd("workers", "list", "--json"))["w1"]

    assert (row["jobs_in_hand"], row["units_in_hand"]) == (1, 1)
    assert job.wait(timeout_s=60).training is not None
    assert empty_cluster.starts_of_units(job.job_id) == [1]
    assert worker.is_up()


@pytest.mark.slow
def test_a_wakeup_that_reaches_a_cordoned_worker_reaches_the_other(empty_cluster, seqd):
    # No reconciler looks meanwhile: only the wakeup that is passed on explains it.
    waits = {"reconcile_s": 60.0}
    held = empty_cluster.start_ready("w1", **waits)
    empty_cluster.start_ready("w2", **waits)
    seqd("workers", "cordon", "w1")
    wait_until(lambda: phase(held) == "cordoned", "it has learnt of it", LEARNT_S)
    client = empty_cluster.client()

    began = time.monotonic()
    for _ in range(6):
        assert len(list(client.classify(TEXTS[:3], model="echo").results())) == 3

    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_a_drained_worker_ends_in_order_and_starts_as_drained_until_it_is_uncordoned(
    empty_cluster, seqd
):
    first = empty_cluster.start_ready("w1")
    empty_cluster.start_ready("w2")
    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    next(job.results())

    drained = seqd("workers", "drain", "w1", "--wait", "--reason", "new disk")
    again = empty_cluster.start("w1")
    wait_until(lambda: phase(again) == "drained", "it says that it is drained", 40)
    row = listed(seqd("workers", "list", "--json"))["w1"]
    alive = again.is_up()
    models = again.known_status().models_loaded
    seqd("workers", "uncordon", "w1")
    again.wait_until_ready()

    assert (drained.status, drained.out) == (0, "drain w1: w1\nDrained.\n")
    assert first.wait_for_end() == 0
    assert [result.output.label for result in job.results()] == TEXTS
    assert (row["state"], row["cordon"]["reason"], alive, models) == (
        "drained",
        "new disk",
        True,
        (),
    )
    assert "Traceback" not in first.whole_log() + again.whole_log()


@pytest.mark.slow
def test_a_worker_that_waits_drained_ends_at_a_signal_and_is_alive_for_a_probe(empty_cluster, seqd):
    from worker_fixtures import probe

    assert seqd("workers", "drain", "w1", "--ahead").status == 0
    worker = empty_cluster.start("w1")
    wait_until(lambda: phase(worker) == "drained", "it says that it is drained", 40)
    probed = probe(worker)

    worker.ask_to_end(signal.SIGTERM)

    assert worker.wait_for_end() == 0
    assert probed.returncode == 0
    assert worker.status() is None
    assert list((empty_cluster.settings.data_dir / "run").iterdir()) == []


@pytest.mark.slow
def test_a_label_means_all_who_have_it_and_rules_of_the_gone_stay_listed(empty_cluster, seqd):
    a = empty_cluster.start_ready("w1", worker_labels=("pool=a", "zone=x"))
    b = empty_cluster.start_ready("w2", worker_labels=("pool=b",))

    wrong = seqd("workers", "cordon", "--label", "pool=aa")
    seqd("workers", "cordon", "--label", "pool=a")
    wait_until(lambda: phase(a) == "cordoned", "it has learnt of it", LEARNT_S)
    narrower = seqd("workers", "uncordon", "w1")
    a.stop()
    shown = seqd("workers", "list").out
    removed = seqd("workers", "uncordon", "--label", "pool=a")

    assert wrong.status == 2
    assert wrong.err == (
        "error[unknown_worker]: No worker that is up has the label 'pool=aa'. Did you mean "
        "'pool=a'? There are: pool=a, pool=b, zone=x. With --ahead the rule is made for one that "
        "starts later.\n"
    )
    assert narrower.err == (
        "error[unknown_worker]: No rule is for w1 itself. What means it: `seqd workers uncordon "
        "--label pool=a`, which ends that for all whom the rule means.\n"
    )
    assert "--label pool=a" in shown
    assert removed.out == "Uncordoned --label pool=a.\n"
    assert phase(b) == ""


@pytest.mark.slow
def test_the_last_worker_that_can_run_a_model_is_drained_only_with_yes(empty_cluster, seqd):
    worker = empty_cluster.start_ready("w1")

    refused = seqd("workers", "drain", "w1")
    phase_before = phase(worker)
    drained = seqd("workers", "drain", "w1", "--yes", "--wait")

    assert refused.status == 2
    assert refused.err == (
        "error[unconfirmed]: No other worker that is up can classify echo@1, generate echo@1, "
        "train echo: such jobs wait until one can. Say --yes to drain all the same.\n"
    )
    assert phase_before == ""
    assert drained.status == 0
    assert worker.wait_for_end() == 0


@pytest.mark.slow
def test_the_guides_loop_replaces_each_worker_of_another_supervisor(empty_cluster, monkeypatch):
    (loop,) = [block.text for block in blocks_of(GUIDE, "") if "for worker in" in block.text]
    first = {name: empty_cluster.start_ready(name) for name in ("w1", "w2")}
    stop = Event()
    supervisors = [
        Thread(target=supervise, args=(empty_cluster, worker, stop)) for worker in first.values()
    ]
    for thread in supervisors:
        thread.start()
    pids = {name: worker.child_pid() for name, worker in first.items()}
    environment = first["w1"].environment
    script = f'seqd() {{ "{sys.executable}" -P -m seqd "$@" || exit; }}\n{loop}'

    try:
        ended = subprocess.run(
            ["bash", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    finally:
        stop.set()
        for thread in supervisors:
            thread.join()
    with empty_cluster.client() as client:
        now = {one.worker: one for one in client.workers()}

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "".join(
        f"drain {name}: {name}\nDrained.\nUncordoned {name}.\nReady.\n" for name in ("w1", "w2")
    )
    assert {name: one.cordon for name, one in now.items()} == {"w1": None, "w2": None}
    assert all(one.pid != pids[name] for name, one in now.items())


def supervise(cluster, worker: LiveWorker, stop: Event) -> None:
    """Start a worker again whenever it ends, under its name, as Kubernetes does."""
    while not stop.wait(0.1):
        if not worker.is_up():
            worker = cluster.start(worker.name)


@pytest.mark.slow
def test_a_drain_that_takes_too_long_is_told_and_goes_on(empty_cluster, seqd):
    # A lease of 2 s can expire under a busy machine before the drain is looked at.
    worker = empty_cluster.start_ready("w1", lease_s=60.0, drain_s=60.0)
    job = empty_cluster.client().classify(["sleep", *TEXTS[:3]], model="echo")
    wait_until(lambda: empty_cluster.starts_of_units(job.job_id) == [1], "the unit is under way")

    ended = seqd("workers", "drain", "w1", "--yes", "--wait", "--timeout-s", "1")

    assert ended.status == 75
    assert ended.err == (
        "error[drain_unfinished]: w1 (1 units in hand): not drained after 1 s (--timeout-s). It "
        "goes on; `seqd workers list` shows how far it is.\n"
    )
    assert worker.is_up()


def test_every_command_on_workers_in_the_guide_is_one_with_these_options(capsys):
    lines = [
        line.strip().partition("  #")[0]
        for block in blocks_of(GUIDE, "")
        for line in block.text.splitlines()
        if line.strip().startswith("seqd workers")
    ]

    statuses = {line: here(capsys, *shlex.split(line)[1:], "--help").status for line in lines}

    assert len(lines) >= 9
    assert set(statuses.values()) == {0}, statuses
