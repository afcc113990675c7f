"""Jobs that another engine runs: held by the process that hands one in, and by no worker."""

import re

import pytest
from redis.exceptions import ResponseError

from builders import a_worker_status
from cli_builders import here, use_ledger
from ledger_fixtures import BRIEFLY_S, CLASSIFY, Environment
from seqd_schemas import Counts, JobState

pytestmark = pytest.mark.processes


def test_no_worker_has_work_by_it_and_each_unit_counts_as_it_is_done(
    environment: Environment,
) -> None:
    ledger = environment.ledger
    held = environment.begin_elsewhere()
    begun = environment.record("r1")

    none_to_claim = environment.claim("worker-a", (CLASSIFY, ""))
    queues, left = ledger.queues.states(), ledger.backlog.queues()
    outcomes = [environment.commit_part(held, unit, items) for unit, items in ((1, 1), (1, 1))]
    with pytest.raises(ResponseError, match="3 results for unit 0, which has 2 items"):
        environment.commit_part(held, 0, 3)
    between = environment.record("r1")
    assert environment.renewal(held) == "KEPT"
    outcomes.append(environment.commit_part(held, 0, 2, errored=1))

    assert (none_to_claim, queues, left, environment.notified) == (None, [], [], [])
    assert (begun.state, begun.units, begun.job.engine) == (JobState.RUNNING, 2, "ray")
    assert begun.counts == Counts(total=3, processing=3)
    assert outcomes == ["committed", "duplicate", "completed"]
    assert between.counts == Counts(total=3, succeeded=1, processing=2)
    ended = environment.record("r1")
    assert (ended.state, ended.units_done) == (JobState.COMPLETED, 2)
    assert ended.counts == Counts(total=3, succeeded=2, errored=1)
    assert environment.events("r1") == ["queued", "started", "progress", "completed"]
    assert ledger.failures.codes_of("r1", 0) == {"invalid_input": 1}
    keys = environment.keys
    assert environment.redis.zcard(keys.timers()) == environment.redis.zcard(keys.open_jobs()) == 0


def test_one_whose_process_is_gone_fails_and_says_how_to_go_on(environment: Environment) -> None:
    brief = environment.with_settings(lease_s=BRIEFLY_S)
    held = brief.begin_elsewhere()
    environment.commit_part(held, 1, 1)

    assert environment.expire_due() == 0

    assert environment.renewal(held) == "LOST"
    assert environment.commit_part(held, 0, 2) == "ended"
    record = environment.record("r1")
    assert (record.state, record.failure and record.failure.code) == (
        JobState.FAILED,
        "lease_lost",
    )
    assert record.failure is not None and record.failure.message == (
        "The process host:7, which ran the job, has not been heard of for the time of a lease: it "
        "was killed, or its host is cut off. What was done stays; the same command with --resume "
        "goes on."
    )
    assert record.counts == Counts(total=3, succeeded=1, cancelled=2)
    (letter,) = environment.ledger.failures.newest(1)
    assert (letter.scope, letter.code, letter.items) == ("job", "lease_lost", 2)


def test_it_can_be_cancelled_and_is_not_paused(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, environment.settings)
    held = environment.begin_elsewhere()
    environment.ledger.fleet.publish_worker(a_worker_status(worker="worker-a"), ttl_s=60)

    paused = here(capsys, "jobs", "pause", "r1")
    all_paused = here(capsys, "jobs", "pause", "--state", "running", "--yes")
    kept = environment.renewal(held)
    explained = here(capsys, "explain", "r1").out
    cancelled = here(capsys, "jobs", "cancel", "r1")
    retried = here(capsys, "jobs", "retry", "r1")

    assert paused.err == (
        "error[wrong_state]: Job r1 is run by another engine, which cannot be paused. Cancel it "
        "(seqd jobs cancel r1); the same command with --resume goes on later.\n"
    )
    assert "wrong_state" in all_paused.out + all_paused.err
    for told in (
        r"Job r1 is running: the engine ray computes it for .*, by the process host:7; 0 of 2",
        r"The lease of unit ingest on host:7 runs out in .*; then the job fails, unless host:7 ",
    ):
        assert re.search(told, explained)
    assert not {"No worker", "In hand", "Workers"} & set(explained.split("\n"))
    assert kept == "KEPT"
    assert (cancelled.status, environment.renewal(held)) == (0, "LOST")
    assert "engine is 'ray'; allowed: none." in retried.err
