"""A Redis that is full, that refuses or that is away: one clear error, and nothing half-done."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from builders import a_chunk, a_classify_job, a_failure, a_train_job, a_training_result, an_epoch
from held_ports import Holder, hold_port
from ledger_fixtures import Environment, open_environment
from redis_fixtures import PrivateServer, Server, binary_of_kind
from seqd.errors import RedisFull, RedisRefused, RedisUnreachable
from seqd.ledger import connect
from seqd.ledger.outage import Outage
from seqd.ledger.work import CommitOutcome
from seqd.local.redis_server import LOOPBACK
from seqd.settings import Settings
from seqd_schemas import Counts, JobState

pytestmark = pytest.mark.processes


@pytest.fixture(params=["redis", "valkey"])
def tight(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Environment]:
    """An environment on a server of its own, which `fill` makes full."""
    server = PrivateServer(binary_of_kind(request.param), tmp_path)
    server.start()
    try:
        with connect(server.url) as redis:
            yield open_environment(redis, Settings(redis_url=server.url, prefix="tight"))
    finally:
        server.stop()


def fill(environment: Environment) -> None:
    """Leave no byte, as other jobs' input would."""
    used = environment.redis.info("memory")["used_memory"]
    environment.redis.config_set("maxmemory", int(used) // 2)


def relieve(environment: Environment) -> None:
    environment.redis.config_set("maxmemory", 0)


def dump(environment: Environment) -> dict[bytes, object]:
    """All that Redis holds, byte by byte; of hashes, what is in them: reading one reorders it."""
    redis = environment.redis
    return {
        key: redis.hgetall(key) if redis.type(key) == b"hash" else redis.dump(key)
        for key in redis.scan_iter("*")
    }




def test_a_full_redis_takes_no_job_and_is_left_as_it_was(tight: Environment) -> None:
    before = dump(tight)
    fill(tight)

    with pytest.raises(RedisFull) as error:
        tight.submit(a_classify_job(idempotency_key="7"), chunk=a_chunk())

    port = tight.redis.connection_pool.connection_kwargs["port"]
    assert str(error.value) == (
        f"Redis at 127.0.0.1:{port} has reached its maxmemory. Nothing was written. Raise "
        "maxmemory, wait until old jobs have outlived their results_ttl_s, or try again later."
    )
    assert (error.value.exit_status, error.value.retryable) == (2, True)
    assert dump(tight) == before
    assert tight.notified == []


def test_a_full_redis_takes_no_more_input_and_the_job_goes_on_later(tight: Environment) -> None:
    job_id = tight.submit(chunk=a_chunk())
    before = dump(tight)
    fill(tight)

    with pytest.raises(RedisFull):
        tight.append(job_id, 1)

    assert dump(tight) == before
    relieve(tight)
    assert tight.append(job_id, 1) == "added"


def test_results_larger_than_their_input_are_refused_whole_by_a_full_redis(
    tight: Environment,
) -> None:
    job_id = tight.submit_units(2)
    unit = tight.claim_unit()
    fill(tight)
    before = dump(tight)

    with pytest.raises(RedisFull):
        tight.commit(unit, label="a label that is so long that it does not fit " * 5)

    assert dump(tight) == before
    assert tight.ledger.work.release_unit(unit)  # costs no attempt, as a lost lease would
    relieve(tight)
    assert tight.commit(tight.claim_unit()) is CommitOutcome.COMMITTED
    assert tight.commit(tight.claim_unit()) is CommitOutcome.COMPLETED
    assert tight.record(job_id).state is JobState.COMPLETED


def test_a_small_job_ends_on_a_full_redis_since_it_takes_less_than_before(
    tight: Environment,
) -> None:
    job_id = tight.submit(chunk=a_chunk(2), sealed=True)
    unit = tight.claim_unit()
    fill(tight)

    outcome = tight.commit(unit, label="a label that is so long that it would not fit " * 5)

    assert outcome is CommitOutcome.COMPLETED
    assert tight.record(job_id).counts.succeeded == 2


def test_a_trainings_result_is_refused_whole_by_a_full_redis(tight: Environment) -> None:
    tight.submit(a_train_job(), version=None, unit_items=1)
    unit = tight.claim_unit()
    fill(tight)
    before = dump(tight)

    with pytest.raises(RedisFull):
        tight.ledger.work.publish(unit, an_epoch(unit.job_id))
    with pytest.raises(RedisFull):
        tight.ledger.work.commit_training(unit, a_training_result())

    assert dump(tight) == before


def test_leases_can_be_kept_while_redis_is_full(tight: Environment) -> None:
    tight.submit_units(1)
    unit = tight.claim_unit()
    fill(tight)

    assert tight.ledger.work.renew([unit]) == [True]


@pytest.mark.parametrize("held", [True, False])
def test_a_job_can_be_ended_while_redis_is_full(tight: Environment, held: bool) -> None:
    job_id = tight.submit_units(1)
    if held:
        tight.claim_unit()
    fill(tight)

    assert tight.ledger.control.fail(job_id, a_failure()) is JobState.FAILED
    assert tight.record(job_id).counts == Counts(total=2, cancelled=2)
    assert tight.claim() is None


def test_a_wrong_password_is_named(private_server: PrivateServer) -> None:
    url = f"redis://:wrong@{LOOPBACK}:{private_server.port}/0"
    with connect(url) as redis:
        environment = open_environment(redis, Settings(redis_url=url))

        with pytest.raises(RedisRefused) as error:
            environment.submit(chunk=a_chunk())

    assert str(error.value) == (
        f"Redis at 127.0.0.1:{private_server.port} refused the user or password: invalid "
        "username-password pair or user is disabled. Set SEQD_REDIS_URL to "
        "redis://user:password@host:port/0 with the right ones."
    )
    assert error.value.exit_status == 2


def test_a_refused_password_is_not_tried_again(private_server: PrivateServer) -> None:
    url = f"redis://:wrong@{LOOPBACK}:{private_server.port}/0"
    patient = Outage(limit_s=10.0, has_answered=True)

    with connect(url, outage=patient) as redis, pytest.raises(NoPermissionError):
        redis.get("a")

    with connect(private_server.url) as redis:
        (refusal,) = redis.acl_log()
    assert (refusal["reason"], int(refusal["count"])) == ("auth", 1)


def test_a_missing_password_is_named(private_server: PrivateServer) -> None:
    url = f"redis://{LOOPBACK}:{private_server.port}/0"
    with connect(url) as redis:
        environment = open_environment(redis, Settings(redis_url=url))

        with pytest.raises(RedisRefused) as error:
            environment.ledger.jobs.newest(1)

    assert str(error.value) == (
        f"Redis at 127.0.0.1:{private_server.port} refused the user or password: Authentication "
        "required. Set SEQD_REDIS_URL to redis://user:password@host:port/0 with the right ones."
    )


def test_a_server_that_is_not_there_is_named() -> None:
    holder = Holder()
    port = hold_port(holder)
    url = f"redis://:secret@{LOOPBACK}:{port}/0"
    with connect(url, retries=0) as redis:
        environment = open_environment(redis, Settings(redis_url=url))

        with pytest.raises(RedisUnreachable) as error:
            environment.submit(chunk=a_chunk())

    refused = errno.ECONNREFUSED
    assert str(error.value) == (
        f"No answer from Redis at 127.0.0.1:{port}: Error {refused} connecting to "
        f"127.0.0.1:{port}. {os.strerror(refused)}. A running `seqd up` starts its own server "
        "again within seconds; else start one with `seqd up`, or set SEQD_REDIS_URL to a server "
        "that runs."
    )


def test_a_job_handed_in_while_the_server_restarts_is_in_the_ledger_once(
    private_server: PrivateServer,
) -> None:
    with connect(private_server.url) as redis:
        environment = open_environment(redis, Settings(redis_url=private_server.url))
        environment.submit(job_id="before", chunk=a_chunk())
        private_server.restart()

        environment.submit(job_id="after", chunk=a_chunk())

        assert [record.job_id for record in environment.ledger.jobs.newest(10)] == [
            "after",
            "before",
        ]


def test_every_server_takes_commands_in_one_protocol(any_server: Server) -> None:
    with connect(any_server.url) as redis:
        assert redis.hgetall("nowhere") == {}
        assert redis.zscan("nowhere") == (0, [])
