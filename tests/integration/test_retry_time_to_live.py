"""A retry whose first job would be gone before it has ended: what is kept, and what is said."""

import pytest

from builders import a_chunk, a_classify_job, a_text_chunk, a_train_job, some_results
from ledger_fixtures import Environment, failed_items
from seqd.client import Client
from seqd.client.results import rest_of_unit
from seqd.errors import JobDamaged, UnknownJob, WrongState
from seqd.ledger.blobs import unpack_items
from seqd_schemas import UploadSource
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

TEXTS = [f"text {n}" for n in range(400)]
TTL_S = 60


def lose(environment: Environment, job_id: str) -> None:
    """Let all keys of a job go, as Redis does when their time to live has passed."""
    for key in environment.redis.scan_iter(f"{environment.keys.job(job_id)}*"):
        environment.redis.delete(key)


def expires_in(environment: Environment, job_id: str) -> set[int]:
    """Seconds of life that the keys of a job have left; -1 for those without an end."""
    keys = environment.redis.scan_iter(f"{environment.keys.job(job_id)}*")
    return {environment.redis.ttl(key) for key in keys}


def cancelled(environment: Environment, job_id: str | None = None, **changes: object) -> str:
    """An ended job of three units, of which one is done; kept for a minute."""
    request = a_classify_job(results_ttl_s=TTL_S, **changes)
    ended = environment.submit_units(3, request, job_id=job_id)
    environment.commit(environment.claim_unit())
    environment.ledger.control.cancel(ended)
    return ended


def retry(environment: Environment, ended: str, **changes: object) -> str:
    request = a_classify_job(continues=ended, **{"results_ttl_s": TTL_S, **changes})
    return environment.submit(request, chunk=a_chunk(4, first=2), sealed=True, unit_items=4)


def complete(environment: Environment) -> None:
    """Commit a success for each item of the retry that is open."""
    unit = environment.claim_unit()
    environment.ledger.work.commit(unit, some_results(4, first=2), unpack_items(unit.blob))


@pytest.mark.slow
def test_a_retry_that_takes_longer_than_its_first_job_is_kept_has_all_of_its_items(
    cluster: Cluster,
):
    client = cluster.client(max_pending_bytes=1)  # one unit waits at a time
    first = cluster.client().classify(TEXTS, model="echo", parameters={"delay_ms": 5})
    wait_until(lambda: first.record().sealed, "its input is complete")
    first.cancel()
    undone = first.record().counts.cancelled
    keys = list(client._redis.scan_iter(f"{cluster.settings.keys.job(first.job_id)}*"))
    for key in keys:
        client._redis.pexpire(key, 1_000)

    again = client.retry(first.job_id)
    again.pause()
    wait_until(lambda: not any(client._redis.pttl(key) > 0 for key in keys), "a second is over")
    again.resume()
    record = again.wait(timeout_s=30)

    assert undone >= 300
    assert record.counts.total == record.counts.succeeded == undone
    assert [result.output.label for result in first.merged_results()] == TEXTS


def test_what_a_retry_continues_is_held_while_it_is_open_and_kept_as_long_as_that(
    environment: Environment,
) -> None:
    ended = cancelled(environment, idempotency_key="mine")
    before = expires_in(environment, ended)

    job_id = retry(environment, ended, results_ttl_s=1_000)
    while_open = expires_in(environment, ended)
    kept_until_while_open = environment.record(ended).kept_until_ms
    environment.ledger.control.cancel(job_id)

    key = environment.keys.idempotency("default", "mine")
    assert (before, while_open, kept_until_while_open) == ({TTL_S}, {-1}, None)
    assert expires_in(environment, ended) <= {999, 1_000, 1_001}
    assert environment.redis.ttl(key) in (999, 1_000, 1_001)
    first, second = environment.record(ended), environment.record(job_id)
    assert first.kept_until_ms is not None and second.kept_until_ms is not None
    assert 0 <= first.kept_until_ms - second.kept_until_ms < 2_000
    assert environment.redis.hget(environment.keys.job(ended), "held_by") is None


def test_a_shorter_life_of_a_retry_shortens_none(environment: Environment) -> None:
    ended = cancelled(environment)

    job_id = retry(environment, ended, results_ttl_s=60)
    environment.redis.hset(environment.keys.job(ended), "ttl", 5_000)
    environment.ledger.control.cancel(job_id)

    assert expires_in(environment, ended) <= {4_999, 5_000}


def test_a_whole_chain_is_held_for_its_last_job(environment: Environment) -> None:
    first = cancelled(environment)
    second = retry(environment, first)
    environment.ledger.control.cancel(second)

    third = retry(environment, second)
    while_open = expires_in(environment, first) | expires_in(environment, second)
    environment.ledger.control.cancel(third)

    assert while_open == {-1}
    assert expires_in(environment, first) | expires_in(environment, second) <= {59, 60, 61}


def test_a_training_is_held_for_the_one_that_continues_it(environment: Environment) -> None:
    request = a_train_job(source=UploadSource(), results_ttl_s=TTL_S)
    ended = environment.submit(request, version=None, unit_items=1)
    environment.ledger.submissions.append(request, ended, 0, a_text_chunk())
    environment.ledger.submissions.seal(request, ended, 1)
    environment.ledger.control.cancel(ended)

    job_id = environment.submit(
        request.model_copy(update={"continues": ended}), version=None, unit_items=1
    )

    assert expires_in(environment, ended) == {-1}
    environment.ledger.control.cancel(job_id)
    assert expires_in(environment, ended) <= {59, 60, 61}


@pytest.mark.parametrize("how", ["deleted by hand", "damaged"])
def test_what_is_held_for_a_job_that_is_gone_is_let_go(environment: Environment, how: str) -> None:
    ended = cancelled(environment)
    job_id = retry(environment, ended)
    warnings, member = environment.keys.warnings(), f"{ended} results"
    environment.redis.zadd(warnings, {member: 1})
    environment.ledger.work.expire()
    while_open = expires_in(environment, ended)

    if how == "damaged":
        environment.redis.delete(environment.keys.job(job_id))
        environment.redis.set(environment.keys.job(job_id), "a string")
        environment.claim()
    else:
        environment.redis.delete(environment.keys.job(job_id))
    environment.redis.zadd(warnings, {member: 1})
    environment.ledger.work.expire()

    assert while_open == {-1}
    assert expires_in(environment, ended) <= {59, 60, 61}
    assert "expiring" not in environment.events(ended)
    assert environment.redis.zscore(warnings, member) > 1  # and is warned of before its end


def test_a_removed_job_leaves_no_link_to_it(environment: Environment) -> None:
    first = cancelled(environment)
    second = retry(environment, first)
    environment.ledger.control.cancel(second)
    third = retry(environment, second)
    environment.ledger.control.cancel(third)

    environment.ledger.control.remove(first)
    environment.ledger.control.remove(third)

    assert environment.record(second).continued_by is None
    assert environment.ledger.jobs.continued(second) is None


@pytest.mark.parametrize("read", ["the first job", "the last retry"])
def test_a_retry_that_is_removed_between_two_is_missed_by_who_reads_them_as_one(
    environment: Environment, read: str
) -> None:
    first = cancelled(environment)
    second = retry(environment, first)
    environment.ledger.control.cancel(second)
    third = retry(environment, second)
    complete(environment)

    environment.ledger.control.remove(second)

    job_id = first if read == "the first job" else third
    with Client(settings=environment.settings) as client, pytest.raises(UnknownJob) as missing:
        list(client.job(job_id).origin().merged_results())
    verb = "continues" if job_id == first else "is continued by"
    assert str(missing.value).startswith(f"Job {second}, which {verb} {job_id}, is not kept any ")


def test_results_of_hundreds_of_retries_are_read_as_one(environment: Environment) -> None:
    first = last = cancelled(environment)
    for _ in range(300):
        last = retry(environment, last)
        environment.ledger.control.cancel(last)
    retry(environment, last)
    complete(environment)

    with Client(settings=environment.settings) as client:
        merged = list(client.job(first).merged_results())

    assert [result.ok for result in merged] == [True] * 6


@pytest.mark.parametrize("which", ["the first job", "the retry"])
def test_results_that_cannot_be_read_together_any_more_are_an_error(
    environment: Environment, which: str
) -> None:
    first = cancelled(environment)
    second = retry(environment, first)
    unit = environment.claim_unit()
    environment.ledger.control.cancel(second)
    assert unit.job_id == second
    gone, kept = (first, second) if which == "the first job" else (second, first)
    lose(environment, gone)

    with Client(settings=environment.settings) as client, pytest.raises(UnknownJob) as missing:
        list(client.job(kept).origin().merged_results())

    verb = "is continued by" if gone == first else "continues"
    assert str(missing.value) == (
        f"Job {gone}, which {verb} {kept}, is not kept any more, so the results of both cannot be "
        f"read as one. Those that are left: seqd jobs results {kept}"
    )


def test_items_to_try_again_that_go_while_they_are_read_are_an_error(
    environment: Environment,
) -> None:
    ended = cancelled(environment)
    items = failed_items(environment.ledger, ended)
    first = [next(items), next(items)]

    lose(environment, ended)

    assert [item.custom_id for item in first] == ["item-2", "item-3"]
    with pytest.raises(UnknownJob) as missing:
        next(items)
    assert str(missing.value) == (
        f"Job {ended} went while it was read, and with it unit 2 of the items to try again: its "
        "time to live has passed, or somebody has removed it. Hand its input in again as a new job."
    )
    with pytest.raises(UnknownJob):
        list(failed_items(environment.ledger, ended))


def test_results_of_a_cancelled_job_that_are_missing_are_an_error(
    environment: Environment,
) -> None:
    ended = cancelled(environment)
    record, read = environment.record(ended), environment.ledger.transport.read
    environment.redis.hdel(environment.keys.input(ended), "2")

    with pytest.raises(JobDamaged, match="there is no unit 2 of the results"):
        list(read(rest_of_unit(environment.ledger.jobs, record, 2)))

    lose(environment, ended)
    with pytest.raises(UnknownJob, match="and with it unit 1 of the results"):
        list(read(rest_of_unit(environment.ledger.jobs, record, 1)))


def test_a_retry_of_a_job_that_is_gone_is_refused(environment: Environment) -> None:
    ended = cancelled(environment)
    lose(environment, ended)

    with pytest.raises(WrongState, match="to continue; it is not kept"):
        retry(environment, ended)
    assert environment.ledger.jobs.newest_open(10) == []
