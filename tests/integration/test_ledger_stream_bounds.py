"""The streams that jobs share do not grow without end, whichever step adds to them."""

from collections.abc import Sequence

import pytest
from redis import Redis

from builders import a_chunk, a_classify_job, some_results
from ledger_fixtures import Environment
from seqd.ledger.blobs import unpack_items
from seqd.ledger.submissions import BatchTemplate
from seqd.ledger.units import Unit
from seqd.ledger.work import Finished

pytestmark = pytest.mark.processes

CLIENT = "client-1"

#: Redis cuts whole nodes of a hundred entries off.
NODE = 100

#: What is kept of the events of all jobs, and of a client's completions.
EVENTS_KEPT, COMPLETIONS_KEPT = 10_000, 1_000

_FILL = "for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'filler', '') end"


def fill(redis: Redis, key: str, entries: int) -> None:
    """Have a stream hold so many entries."""
    redis.eval(_FILL, 1, key, entries)


def submit_small_jobs(environment: Environment, *names: str) -> None:
    template = BatchTemplate(a_classify_job(), version=3, unit_items=256, client=CLIENT)
    inputs = [(name, a_chunk(1)) for name in names]
    environment.ledger.submissions.submit_each(template, inputs)


def claim_all(environment: Environment) -> Sequence[Unit]:
    claim = environment.claim()
    assert claim is not None, "nothing is claimable"
    return claim.units


def finish(environment: Environment, units: Sequence[Unit]) -> None:
    """Commit units of one item, in one batch."""
    environment.ledger.work.commit_batch(
        Finished(unit, some_results(1), unpack_items(unit.blob)) for unit in units
    )


def test_the_stream_of_all_events_is_bounded_by_each_event(environment: Environment) -> None:
    key = environment.keys.all_events()
    fill(environment.redis, key, EVENTS_KEPT + 500)

    job_id = environment.submit_units(1)

    assert EVENTS_KEPT <= environment.redis.xlen(key) < EVENTS_KEPT + 2 * NODE
    ((_, last),) = environment.redis.xrevrange(key, count=1)
    assert f'"job_id":"{job_id}"' in last[b"e"].decode()


def test_the_stream_of_all_events_is_bounded_by_a_batch_of_jobs_that_end(
    environment: Environment,
) -> None:
    key = environment.keys.all_events()
    submit_small_jobs(environment, "a", "b")
    units = claim_all(environment)
    fill(environment.redis, key, EVENTS_KEPT + 500)

    finish(environment, units)

    assert EVENTS_KEPT <= environment.redis.xlen(key) < EVENTS_KEPT + 2 * NODE
    newest = environment.redis.xrevrange(key, count=2)
    assert [b'"event":"completed"' in fields[b"e"] for _, fields in newest] == [True, True]


def test_a_clients_completion_stream_is_bounded_by_a_batch_and_by_a_cancel(
    environment: Environment,
) -> None:
    key = environment.keys.completions(CLIENT)
    submit_small_jobs(environment, "a", "b")
    fill(environment.redis, key, COMPLETIONS_KEPT + 500)

    finish(environment, claim_all(environment))
    after_a_batch = environment.redis.xlen(key)
    submit_small_jobs(environment, "c")
    fill(environment.redis, key, 500)
    environment.ledger.control.cancel("c")

    assert COMPLETIONS_KEPT <= after_a_batch < COMPLETIONS_KEPT + 2 * NODE
    assert COMPLETIONS_KEPT <= environment.redis.xlen(key) < COMPLETIONS_KEPT + 2 * NODE
    ((_, last),) = environment.redis.xrevrange(key, count=1)
    assert last == {b"jobs": b"c"}
