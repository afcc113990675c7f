"""A Redis that cannot do something just now: no job fails for it, and nothing is lost.

Such as a primary that has lost its replicas (`NOREPLICAS`), and one that a failover has made a
read-only replica while the connections to it stayed open (`READONLY`).
"""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from builders import a_chunk, a_failure
from clock_fixtures import HeldClock
from ledger_fixtures import Environment, open_environment
from redis_fixtures import PrivateServer
from seqd.errors import RedisUnreachable
from seqd.ledger import connect, redis_errors
from seqd.settings import Settings
from seqd.worker.leases import STOP_CHECK_S, LeaseKeeper
from seqd_schemas import JobState

pytestmark = pytest.mark.processes


@pytest.fixture
def moody(each_server: PrivateServer, prefix: str) -> Iterator[Environment]:
    """A ledger on a server that a test may spoil."""
    with connect(each_server.url) as redis:
        yield open_environment(redis, Settings(redis_url=each_server.url, prefix=prefix))
        redis.execute_command("REPLICAOF", "NO", "ONE")
        want_replicas(redis, 0)


def want_replicas(redis: Redis, number: int) -> None:
    """From 1 on no write is taken, since there is no replica; 0 takes them again."""
    redis.config_set("min-replicas-to-write", number)


def become_a_replica(redis: Redis) -> None:
    """Of a primary that is not there."""
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")


def write_alone(redis: Redis) -> None:
    redis.set("written", "alone")


def write_in_a_script(redis: Redis) -> None:
    redis.eval("return redis.call('SET', 'written', 'in a script')", 0)


def write_in_a_row(redis: Redis) -> None:
    with redis.pipeline() as pipe:
        pipe.get("written")
        pipe.set("written", "in a row")
        pipe.execute()


WAYS = pytest.mark.parametrize("write", [write_alone, write_in_a_script, write_in_a_row])


@WAYS
def test_a_server_that_takes_no_writes_just_now_is_worth_another_try_on_a_new_connection(
    moody: Environment, write: Callable[[Redis], None]
) -> None:
    want_replicas(moody.redis, 1)
    with pytest.raises(RedisUnreachable) as alone, redis_errors(moody.redis):
        write(moody.redis)
    want_replicas(moody.redis, 0)
    write(moody.redis)
    connection = moody.redis.client_id()
    become_a_replica(moody.redis)
    assert moody.redis.client_id() == connection

    with pytest.raises(RedisUnreachable) as replica, redis_errors(moody.redis):
        write(moody.redis)

    assert alone.value.retryable
    assert str(alone.value).startswith("Redis at 127.0.0.1:")
    assert " cannot do this just now: " in str(alone.value)
    assert "NOREPLICAS Not enough good replicas to write" in str(alone.value)
    assert str(alone.value).endswith(
        ". Try again when its replicas are back, or lower its min-replicas-to-write."
    )
    assert str(replica.value).endswith(
        " cannot do this just now: it is a read-only replica. Try again after the failover, or set "
        "SEQD_REDIS_URL to the primary."
    )
    # On a new connection, which the server's name may lead elsewhere.
    assert moody.redis.client_id() != connection


@pytest.mark.parametrize("spoil", [lambda redis: want_replicas(redis, 1), become_a_replica])
def test_no_job_fails_for_what_redis_cannot_take_just_now(moody: Environment, spoil) -> None:
    job_id = moody.submit_units(2)
    unit = moody.claim_unit()
    spoil(moody.redis)

    with pytest.raises(RedisUnreachable):
        moody.commit(unit)
    with pytest.raises(RedisUnreachable):
        moody.ledger.work.fail_job(unit, a_failure())
    with pytest.raises(RedisUnreachable):
        moody.claim()

    assert moody.record(job_id).state is JobState.RUNNING
    moody.redis.execute_command("REPLICAOF", "NO", "ONE")
    want_replicas(moody.redis, 0)
    assert moody.commit(unit) == "committed"
    assert moody.claim_unit().crashes == 0


def test_a_plugin_that_asks_whether_to_stop_hears_nothing_of_redis(moody: Environment, monkeypatch):
    moody.submit(chunk=a_chunk(), sealed=True)
    claim = moody.claim()
    assert claim is not None
    clock = HeldClock()
    leases = LeaseKeeper(moody.ledger, heartbeat_s=10, clock=clock)

    with leases.holding(claim.units):
        clock.now_s += STOP_CHECK_S
        want_replicas(moody.redis, 1)
        answers = [leases.should_end()]
        want_replicas(moody.redis, 0)
        monkeypatch.setattr(moody.ledger.work, "renew", lambda units: 1 / 0)
        answers.append(leases.should_end())

    assert answers == [False, False]
