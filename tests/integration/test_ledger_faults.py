"""A Redis that is full, that refuses or that is away: one clear error, and nothing half-done."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from builders import a_chunk, a_classify_job, a_failure, a_train_job, an_epoch
from held_ports import Holder, hold_port
from ledger_fixtures import TRAIN, Environment, open_environment
from redis_fixtures import PrivateServer, Server, binary_of_kind
from seqd.errors import RedisFull, RedisRefused, RedisUnreachable
from seqd.ledger import connect
from seqd.ledger.outage import Outage
from seqd.ledger.work import CommitOutcome, Renewal
from seqd.local.redis_server import LOOPBACK
from seqd.settings import Settings
from seqd_schemas import JobState

pytestmark = pytest.mark.processes

LONG = "a label that is so long that it does not fit " * 5


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


def test_a_full_redis_takes_nothing_new_whole_or_in_part_and_all_of_it_when_there_is_room(
    tight: Environment,
) -> None:
    upload = tight.submit(chunk=a_chunk())
    held = tight.claim_unit()
    training = tight.submit(a_train_job(), version=None, unit_items=1)
    trains = tight.claim_unit(routes=(TRAIN,))
    tight.notified.clear()
    mine = a_classify_job(idempotency_key="7")
    steps: list[Callable[[], object]] = [
        lambda: tight.submit(mine, job_id="mine", chunk=a_chunk()),
        lambda: tight.append(upload, 1),
        lambda: tight.commit(held, label=LONG),
        lambda: tight.ledger.work.publish(trains, an_epoch(training)),
        lambda: tight.complete_training(trains),
    ]
    before = dump(tight)
    fill(tight)

    messages = set()
    for step in steps:
        with pytest.raises(RedisFull) as error:
            step()
        messages.add(str(error.value))

    port = tight.redis.connection_pool.connection_kwargs["port"]
    assert messages == {
        f"Redis at 127.0.0.1:{port} has reached its maxmemory. Nothing was written. Raise "
        "maxmemory, wait until old jobs have outlived their results_ttl_s, or try again later."
    }
    assert (error.value.exit_status, error.value.retryable) == (2, True)
    assert (dump(tight), tight.notified) == (before, [])
    relieve(tight)
    assert [step() for step in steps] == [
        *("mine", "added", CommitOutcome.COMMITTED, None, CommitOutcome.COMPLETED)
    ]


def test_a_full_redis_lets_leases_be_kept_and_released_and_jobs_end(tight: Environment) -> None:
    small = tight.submit(chunk=a_chunk(2), sealed=True)
    last, ended, held_job = tight.claim_unit(), tight.submit_units(1), tight.submit_units(1)
    held = [tight.claim_unit() for _ in range(2)]
    waits = tight.submit_units(1)
    fill(tight)

    kept = tight.ledger.work.renew(held)
    released = tight.ledger.work.release_unit(held[0])  # costs no attempt, as a lost lease would
    failed = [tight.ledger.control.fail(job_id, a_failure()) for job_id in (held_job, waits)]
    # A small job takes less than before.
    outcomes = [tight.commit(last, label=LONG), tight.commit(tight.claim_unit())]

    assert (kept, released) == ([Renewal.KEPT] * 2, True)
    assert failed == [JobState.FAILED] * 2
    assert outcomes == [CommitOutcome.COMPLETED] * 2
    assert [tight.record(job_id).counts.succeeded for job_id in (small, ended)] == [2, 2]
    assert tight.claim() is None


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (":wrong@", "invalid username-password pair or user is disabled"),
        ("", "Authentication required"),
    ],
)
def test_a_password_that_is_wrong_or_missing_is_named(
    private_server: PrivateServer, user: str, said: str
) -> None:
    url = f"redis://{user}{LOOPBACK}:{private_server.port}/0"
    with connect(url) as redis:
        environment = open_environment(redis, Settings(redis_url=url))

        with pytest.raises(RedisRefused) as error:
            environment.submit(chunk=a_chunk())

    assert str(error.value) == (
        f"Redis at 127.0.0.1:{private_server.port} refused the user or password: {said}. Set "
        "SEQD_REDIS_URL to redis://user:password@host:port/0 with the right ones."
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
        f"127.0.0.1:{port}. {os.strerror(refused)}. Start that server, or set SEQD_REDIS_URL to "
        "one that runs; `seqd up` has its own."
    )


def test_every_server_takes_commands_in_one_protocol(any_server: Server) -> None:
    with connect(any_server.url) as redis:
        assert redis.hgetall("nowhere") == {}
        assert redis.zscan("nowhere") == (0, [])
