"""Operators' rules: a worker that is cordoned claims nothing, one that is drained ends in order."""

import json

import pytest

from cli_builders import Ended, here, use_ledger
from seqd.ledger import connect
from seqd_schemas import CordonAction, CordonRule, to_stored
from worker_fixtures import LiveWorker, ask, wait_for_reason, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: 25 units of 8 items; a unit takes 0.16 s.
TEXTS = [f"text {number}" for number in range(200)]
SLOWLY = {"delay_ms": 20.0}


@pytest.fixture
def seqd(capsys, monkeypatch, empty_cluster):
    """Run a command on the cluster's ledger."""
    use_ledger(monkeypatch, empty_cluster.commands, columns=250, has_store=True)
    return lambda *arguments: here(capsys, *arguments)


def phase(worker: LiveWorker) -> str:
    status = worker.status()
    return "" if status is None or status.cordon is None else status.cordon.phase


def listed(ended: Ended) -> dict[str, dict[str, object]]:
    assert ended.status == 0, ended.err
    return {row["worker"]: row for row in json.loads(ended.out)["workers"]}


def test_the_last_worker_is_drained_only_with_yes_and_a_drain_of_all_is_for_those_to_come_too(
    empty_cluster, seqd
):
    # A lease of 2 s can expire under a busy machine before the drain is looked at.
    worker = empty_cluster.start_ready("w1", lease_s=60.0, drain_s=60.0)
    job = empty_cluster.client().classify(["held"], model="echo")
    wait_until(lambda: empty_cluster.starts_of_units(job.job_id) == [1], "the unit is under way")

    both = seqd("workers", "drain", "--all", "w1", "--yes")
    refused = seqd("workers", "drain", "w1")

    assert (both.status, both.err) == (
        2,
        "error[invalid_request]: --all means all workers; leave the targets away\n",
    )
    assert (refused.status, refused.err) == (
        2,
        "error[unconfirmed]: No other worker that is up can classify echo@1, generate echo@1, "
        "train echo: such jobs wait until one can. Say --yes to drain all the same.\n",
    )
    assert phase(worker) == ""

    # A drain that takes too long is told, and goes on.
    late = seqd("workers", "drain", "--all", "--yes", "--wait", "--timeout-s", "1")

    assert (late.status, late.out) == (75, "drain --all: w1\n")
    assert late.err == (
        "error[drain_unfinished]: w1 (1 units in hand): not drained after 1 s (--timeout-s). It "
        "goes on; `seqd workers list` shows how far it is.\n"
    )
    assert worker.is_up()
    (empty_cluster.settings.data_dir / "cured").touch()
    assert worker.wait_for_end() == 0
    # What it had in hand it has finished, and nobody has computed it twice.
    assert job.wait(timeout_s=120).counts.succeeded == 1
    assert empty_cluster.starts_of_units(job.job_id) == [1]

    # Who starts later is drained, too.
    later = empty_cluster.start("w2")
    wait_until(lambda: phase(later) == "drained", "it says that it is drained")

    assert "(`seqd workers uncordon --all`)" in seqd("status").out
    assert seqd("workers", "uncordon", "--all", "--wait").out == "Uncordoned --all.\nReady.\n"

    # A rule without a notice, as the release before sets it, is followed, too.
    rule = CordonRule(target="worker:w2", action=CordonAction.CORDON, by="ops@h1", at_ms=1)
    with connect(empty_cluster.settings.redis_url) as redis:
        cordons = empty_cluster.settings.keys.cordons()
        redis.hset(cordons, mapping={rule.target: to_stored(rule), "version": 1})
    wait_until(lambda: phase(later) == "cordoned", "it claims nothing more")


def test_a_cordoned_worker_finishes_what_it_has_and_claims_nothing_until_it_is_uncordoned(
    empty_cluster, seqd
):
    # No reconciler looks meanwhile: only a wakeup that is passed on reaches the other worker.
    waits = {"reconcile_s": 60.0}
    worker = empty_cluster.start_ready("w1", worker_labels=("pool=a", "zone=x"), **waits)
    client = empty_cluster.client()
    # It goes on for longer than the commands take that are to see it.
    training = client.train(
        [{"text": "a", "label": "pos"}], model="echo", parameters={"trick": "held", "epochs": 5}
    )
    wait_until(lambda: empty_cluster.starts_of_units(training.job_id) == [1], "the training runs")

    cordoned = seqd("workers", "cordon", "w1", "--yes", "--reason", "repair")
    wait_until(lambda: phase(worker) == "cordoned", "it has learnt of it")

    assert cordoned.out == "cordon w1: w1\n"
    row = listed(seqd("workers", "list", "--json"))["w1"]
    assert (row["state"], row["cordon"]["reason"]) == ("cordoned", "repair")
    assert (row["jobs_in_hand"], row["units_in_hand"]) == (1, 1)
    assert "w1 has been cordoned for " in seqd("status").out
    (empty_cluster.settings.data_dir / "cured").touch()
    assert training.wait(timeout_s=120).training is not None
    assert empty_cluster.starts_of_units(training.job_id) == [1]

    # What comes now waits, and says why.
    job = client.classify(TEXTS[:8], model="echo@1")
    waiting = wait_for_reason(job)

    assert "All workers that classify echo are cordoned or drained by an operator: w1." in (
        waiting.message
    )
    assert empty_cluster.starts_of_units(job.job_id) == []
    assert seqd("workers", "uncordon", "w1").out == "Uncordoned w1.\n"
    assert len(list(job.results())) == 8

    # A label means all who have it. A wakeup that reaches one who is cordoned is passed on.
    other = empty_cluster.start_ready("w2", worker_labels=("pool=b",), **waits)
    wrong = seqd("workers", "cordon", "--label", "pool=aa")
    seqd("workers", "cordon", "--label", "pool=a")
    wait_until(lambda: phase(worker) == "cordoned", "it has learnt of it")

    assert (wrong.status, wrong.err) == (
        2,
        "error[unknown_worker]: No worker that is up has the label 'pool=aa'. Did you mean "
        "'pool=a'? There are: pool=a, pool=b, zone=x. With --ahead the rule is made for one that "
        "starts later.\n",
    )
    for _ in range(6):
        assert client.classify(TEXTS[:3], model="echo@1").wait(timeout_s=120).counts.succeeded == 3
    assert phase(other) == ""

    # The rule of one that is gone stays in the list, and ends as it was made.
    narrower = seqd("workers", "uncordon", "w1")
    worker.stop()

    assert narrower.err == (
        "error[unknown_worker]: No rule is for w1 itself. What means it: `seqd workers uncordon "
        "--label pool=a`, which ends that for all whom the rule means.\n"
    )
    assert "--label pool=a" in seqd("workers", "list").out
    removed = seqd("workers", "uncordon", "--label", "pool=a")
    assert removed.out == "Uncordoned --label pool=a.\n"


def test_a_worker_that_is_cordoned_while_it_loads_claims_nothing_once_it_is_ready(
    empty_cluster, seqd, monkeypatch
):
    empty_cluster.start_ready("w0").stop()  # so that the model is known
    monkeypatch.setenv("LIGHT_LOAD_S", "10")
    job = empty_cluster.client().classify(TEXTS[:8], model="echo@1")
    worker = empty_cluster.start("w1")
    wait_until(lambda: (status := worker.status()) is not None and status.loading, "it loads")

    seqd("workers", "cordon", "w1", "--yes")
    wait_until(lambda: phase(worker) == "cordoned", "it has loaded, and has learnt of it")

    assert empty_cluster.starts_of_units(job.job_id) == []

    # One that starts while the rule stands says so from the first moment on.
    worker.stop()
    again = empty_cluster.start("w1")
    wait_until(lambda: again.status() is not None, "it starts")
    assert phase(again) == "cordoned"
    assert "cordoned" in seqd("workers", "list").out


def test_a_drained_worker_ends_in_order_and_starts_as_drained_until_it_is_uncordoned(
    empty_cluster, seqd
):
    assert seqd("workers", "drain", "w1", "--ahead").status == 0
    first = empty_cluster.start("w1")
    empty_cluster.start_ready("w2")
    wait_until(lambda: phase(first) == "drained", "it says that it is drained")

    # It waits, alive for a probe and with nothing loaded.
    assert first.known_status().models_loaded == ()
    assert ask(first, "live").returncode == 0
    seqd("workers", "uncordon", "w1")
    first.wait_until_ready()

    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    next(job.results())
    drained = seqd("workers", "drain", "w1", "--wait", "--reason", "new disk")

    assert (drained.status, drained.out) == (0, "drain w1: w1\nDrained.\n")
    assert first.wait_for_end() == 0
    assert [result.output.label for result in job.results()] == TEXTS

    # Started again, it says so from the first moment on, waits, and ends at a signal.
    again = empty_cluster.start("w1")
    wait_until(lambda: again.status() is not None, "it starts")
    assert phase(again) == "drained"
    wait_until(lambda: again.known_status().state == "draining", "it waits")

    row = listed(seqd("workers", "list", "--json"))["w1"]
    assert (row["state"], row["cordon"]["reason"]) == ("drained", "new disk")
    assert again.stop() == 0
    assert again.status() is None
    assert list((empty_cluster.settings.data_dir / "run").glob("w1.*")) == []
    assert "Traceback" not in again.whole_log()
