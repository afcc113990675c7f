"""Jobs that another engine runs: held by the process that hands one in, and by no worker."""

import re

import pytest
from redis.exceptions import ResponseError

from builders import a_classify_job, a_worker_status
from cli_builders import a_record, here, use_ledger
from ledger_fixtures import BRIEFLY_S, CLASSIFY, Environment, a_part
from seqd.client import JobCancelled, JobFailed
from seqd_schemas import Counts, FileSource, JobState

pytestmark = pytest.mark.processes

SOURCE = FileSource(path="/data/reviews.jsonl")
JOB = a_classify_job(source=SOURCE, output_folder="/data/labelled", format=3, engine="ray")

#: Of two units, and of three; each has two items.
TWO = a_record(job_id="r1", version=3, job=JOB, unit_items=2, units=2)
THREE = TWO.model_copy(update={"units": 3, "counts": Counts(total=6, processing=6)})

FAILED = '{"unit": "0", "code": "invalid_input", "items": 1}'


def test_no_worker_has_work_by_it_and_each_unit_counts_as_it_is_done(
    environment: Environment,
) -> None:
    ledger = environment.ledger
    held = environment.run_elsewhere(TWO)
    begun = environment.record("r1")

    none_to_claim = environment.claim("worker-a", (CLASSIFY, ""))
    queues, left = ledger.queues.states(), ledger.backlog.queues()
    for _ in range(2):  # the first counts
        held.commit(1, a_part(1), "")
    with pytest.raises(ResponseError, match="3 results for unit 0, which has 2 items"):
        held.commit(0, a_part(0, items=3), "")
    between = environment.record("r1")
    held.keep()
    held.commit(0, a_part(0, invalid_input=1), FAILED)

    assert (none_to_claim, queues, left, environment.notified) == (None, [], [], [])
    assert (begun.state, begun.sealed, begun.units) == (JobState.RUNNING, True, 2)
    assert begun.job == JOB
    assert begun.counts == Counts(total=4, processing=4)
    assert between.counts == Counts(total=4, succeeded=2, processing=2)
    ended = environment.record("r1")
    assert (ended.state, ended.units_done) == (JobState.COMPLETED, 2)
    assert ended.counts == Counts(total=4, succeeded=3, errored=1)
    assert environment.events("r1") == ["queued", "started", "progress", "completed"]
    assert ledger.failures.codes_of("r1", 0) == {"invalid_input": 1}
    keys = environment.keys
    assert environment.redis.zcard(keys.timers()) == environment.redis.zcard(keys.open_jobs()) == 0


def test_what_a_crashed_redis_has_lost_is_committed_again(environment: Environment) -> None:
    held = environment.run_elsewhere(THREE)
    held.commit(0, a_part(0), "")
    keys = [environment.keys.job("r1"), environment.keys.output("r1")]
    on_disk = [environment.redis.dump(key) for key in keys]
    held.commit(1, a_part(1), "")
    for key, content in zip(keys, on_disk, strict=True):
        assert content is not None
        environment.redis.restore(key, 0, content, replace=True)

    held.commit(2, a_part(2), "")

    record = environment.record("r1")
    assert (record.state, record.counts) == (JobState.COMPLETED, Counts(total=6, succeeded=6))


def test_one_whose_process_is_gone_fails_and_says_how_to_go_on(environment: Environment) -> None:
    held = environment.with_settings(lease_s=BRIEFLY_S).run_elsewhere(TWO)
    held.commit(1, a_part(1), "")

    assert environment.expire_due() == 0

    for step in (held.keep, lambda: held.commit(0, a_part(0), "")):
        with pytest.raises(JobFailed) as raised:
            step()
        assert raised.value.failure.code == "lease_lost"
        assert re.fullmatch(
            r"The process \S+:\d+, which ran the job, has not been heard of for the time of a "
            r"lease: it was killed, or its host is cut off. What was done stays; the same command "
            r"with --resume goes on\.",
            raised.value.failure.message,
        )
    assert environment.record("r1").counts == Counts(total=4, succeeded=2, cancelled=2)
    (letter,) = environment.ledger.failures.newest(1)
    assert (letter.scope, letter.code, letter.items) == ("job", "lease_lost", 2)


def test_it_can_be_cancelled_and_is_not_paused(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, environment.settings)
    held = environment.run_elsewhere(TWO)
    environment.ledger.fleet.publish_worker(a_worker_status(worker="worker-a"), ttl_s=60)

    paused = here(capsys, "jobs", "pause", "r1")
    all_paused = here(capsys, "jobs", "pause", "--state", "running", "--yes")
    held.keep()
    explained = here(capsys, "explain", "r1").out
    cancelled = here(capsys, "jobs", "cancel", "r1")
    retried = here(capsys, "jobs", "retry", "r1")

    assert paused.err == (
        "error[wrong_state]: Job r1 is run by another engine, which cannot be paused. Cancel it "
        "(seqd jobs cancel r1); the same command with --resume goes on later.\n"
    )
    assert "wrong_state" in all_paused.out + all_paused.err
    for told in (
        r"Job r1 is running: the engine ray computes it for .*, by the process \S+:\d+; 0 of 2",
        r"The lease of unit ingest on \S+:\d+ runs out in .*; then the job fails, unless ",
    ):
        assert re.search(told, explained)
    assert not {"No worker", "In hand", "Workers"} & set(explained.split("\n"))
    assert cancelled.status == 0
    with pytest.raises(JobCancelled):
        held.keep()
    assert retried.err == (
        "error[invalid_request]: Job r1 was computed by the engine 'ray', not by workers. To have "
        "done what has no result nor error, give the same command again with --resume; to compute "
        "all of it again, name a new folder.\n"
    )
    assert "retry" not in here(capsys, "jobs", "show", "r1").out
