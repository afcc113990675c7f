"""What is on disk when a job has been handed in, and what a crash of Redis leaves of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from async_builders import an_async_client, run
from builders import a_chunk, a_classify_job
from ledger_fixtures import Environment, open_environment
from redis_fixtures import PrivateServer, binary_of_kind
from seqd.ledger import connect
from seqd.ledger.exchange import Durable
from seqd.ledger.transport import Transport
from seqd.local.redis_binaries import ServerKind
from seqd.settings import Settings
from seqd_schemas import JobState, Keys
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes

KEYS = Keys("test")
KEYED = a_classify_job(idempotency_key="mine")


def running(kind: ServerKind, folder: Path) -> Iterator[PrivateServer]:
    server = PrivateServer(binary_of_kind(kind), folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[PrivateServer]:
    yield from running("valkey", tmp_path)


@pytest.fixture
def redis_6(tmp_path: Path) -> Iterator[PrivateServer]:
    yield from running("redis", tmp_path)


def is_durable(redis: Redis, keys: Keys, timeout_s: float) -> bool:
    """Wait until the server's disk has what was written; return whether it has."""
    return bool(Transport(redis, "test").send(Durable(keys, timeout_s)))


def calls_of(redis: Redis, command: str) -> int:
    """How often the server has heard a command, refusals among them."""
    stats = redis.info("commandstats").get(f"cmdstat_{command}", {})
    return int(stats.get("calls", 0)) + int(stats.get("rejected_calls", 0))


def test_a_sync_that_takes_too_long_is_not_waited_for(valkey):
    with connect(valkey.url) as redis:
        redis.config_set("appendfsync", "no")

        assert not is_durable(redis, KEYS, 0.05)

        redis.config_set("appendfsync", "always")
        assert is_durable(redis, KEYS, 30)


def test_a_server_without_an_append_only_file_is_asked_once(valkey):
    with connect(valkey.url) as redis:
        redis.config_set("appendonly", "no")

        assert not any(is_durable(redis, KEYS, 30) for _ in range(3))
        assert calls_of(redis, "waitaof") == 1


def test_a_server_that_does_not_know_the_command_is_asked_once(redis_6):
    with connect(redis_6.url) as redis:
        if redis_6.binary.version >= (7, 2):
            pytest.skip("the only Redis here knows WAITAOF")

        assert not any(is_durable(redis, KEYS, 30) for _ in range(3))
        assert calls_of(redis, "set") == 1


def test_what_cannot_be_found_out_is_no_error(valkey):
    with connect(valkey.url, retries=0, timeout_s=3) as redis:
        redis.config_set("maxmemory", 1)
        assert not is_durable(redis, KEYS, 30)
        redis.config_set("maxmemory", 0)
        # A server that was full is asked again.
        assert is_durable(redis, KEYS, 30)

        valkey.kill()
        assert not is_durable(redis, KEYS, 30)


@pytest.fixture
def crashing(private_server: PrivateServer) -> Iterator[Environment]:
    with connect(private_server.url) as redis:
        yield open_environment(redis, Settings(redis_url=private_server.url))


def hand_in(environment: Environment) -> str:
    """Hand the same request in, as a client does that does not know what became of it."""
    return environment.submit(KEYED, chunk=a_chunk(), sealed=True)


def the_only_job(environment: Environment) -> str:
    (record,) = environment.ledger.jobs.newest(10)
    assert environment.commit(environment.claim_unit()) == "completed"
    assert environment.claim() is None
    assert environment.record(record.job_id).state is JobState.COMPLETED
    assert environment.labels(record.job_id, 0) == ["like", "like"]
    return record.job_id


def test_a_job_that_a_crash_took_away_is_made_again(crashing, private_server):
    crashing.redis.set("before", "1")
    private_server.wait_until_written()
    file = private_server.append_only_file()
    written_bytes = file.stat().st_size
    first = hand_in(crashing)
    private_server.kill()
    # The end of the machine takes what the disk has not got: all behind the last sync.
    assert file.stat().st_size > written_bytes
    with file.open("r+b") as appended:
        appended.truncate(written_bytes)
    private_server.start()
    assert (crashing.redis.get("before"), crashing.ledger.jobs.newest(10)) == (b"1", [])

    second = hand_in(crashing)

    assert second != first
    assert second == the_only_job(crashing)


def test_a_call_that_is_cancelled_as_it_waits_for_the_disk_leaves_no_upload(
    valkey: PrivateServer, tmp_path: Path
) -> None:
    cluster = Cluster(live_settings(valkey, tmp_path), tmp_path)
    cluster.publish_catalog()

    async def use() -> tuple[bool, str]:
        hangs, is_closed = asyncio.Event(), False

        async def texts() -> AsyncIterator[str]:
            nonlocal is_closed
            try:
                for number in range(40):  # more than the units that are there before the upload
                    yield f"text {number}"
                hangs.set()
                await asyncio.sleep(600)
            finally:
                is_closed = True

        async with an_async_client(cluster) as client:
            call = asyncio.create_task(client.classify(texts(), model="echo"))
            await hangs.wait()
            (record,) = await client.open_jobs()
            assert not call.done()  # the disk is never asked to write
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
        return is_closed, record.job_id

    try:
        with connect(valkey.url) as redis:
            redis.config_set("appendfsync", "no")
        is_closed, job_id = run(use(), limit_s=120)  # it would wait for as long as it is let
        record = cluster.client().job(job_id).record()
    finally:
        cluster.close()

    assert is_closed
    assert record.state is JobState.FAILED
    assert record.failure is not None
    assert record.failure.message.endswith("its upload was cancelled.")
