"""What one call of a script does is bounded, however many jobs, units and leases there are.

Measured are the commands that the server does, not its time. `make bench-scripts` has the times.
"""

from collections.abc import Iterator

import pytest
from redis import Redis

from bench.script_cases import CASES
from bench.script_world import ROUTE, Cost, WatchedRedis, World
from builders import a_chunk, a_classify_job, some_deltas, some_results
from redis_fixtures import PrivateServer
from seqd.client.requests import retry_of
from seqd.ledger import connect
from seqd.ledger.control import quarantine_if_damaged
from seqd.ledger.work import Finished
from seqd.settings import Settings
from seqd_schemas import JobState, queue_of

pytestmark = pytest.mark.processes

#: Commands of one call. Redis does some 700 a millisecond, so this is 9 ms.
MOST_COMMANDS = 6_000

VERSION = 3


@pytest.fixture
def world(private_server: PrivateServer) -> Iterator[World]:
    """A ledger without jobs, on a server that nobody else uses."""
    settings = Settings(redis_url=private_server.url, prefix="bounds", lease_s=3_600)
    watched = WatchedRedis.from_url(private_server.url, protocol=2)
    with connect(private_server.url) as redis, watched:
        watched.watch(None)
        yield World(redis, watched, settings, jobs=1_200, units=3_000)


def costs_of(world: World, script: str) -> list[Cost]:
    return [cost for cost in world.watched_redis.costs if cost.script == script]


def most_commands(world: World, script: str) -> int:
    return max(cost.commands for cost in costs_of(world, script))


def names_in(redis: Redis, pattern: str) -> list[bytes]:
    return sorted(redis.scan_iter(pattern, count=10_000))


def test_a_claim_after_an_outage_ends_few_of_the_jobs_that_are_overdue(world: World) -> None:
    request = a_classify_job(expires_in_s=86_400)
    names = world.small_jobs(200, request, version=VERSION)
    world.overdue(names)
    in_time = world.small_jobs(1, request, version=VERSION)

    claim = world.watched.work.claim("worker", [queue_of(ROUTE, VERSION)])

    assert most_commands(world, "claim") < 5_500
    assert claim is not None
    assert [unit.job_id for unit in claim.units] == in_time
    assert 0 < len(names) - world.redis.zcard(world.keys.deadlines()) + 1 < 100


def test_jobs_that_are_overdue_end_in_many_short_calls(world: World) -> None:
    names = world.small_jobs(300, a_classify_job(expires_in_s=86_400), version=VERSION)
    world.overdue(names)

    world.watched.work.expire()

    assert world.redis.zcard(world.keys.open_jobs()) == 0
    assert {record.state for record in world.ledger.jobs.newest(300)} == {JobState.EXPIRED}
    assert most_commands(world, "expire") < 3_000


def test_who_looks_at_overdue_jobs_finds_all_of_them_expired_after_some_looks(
    world: World,
) -> None:
    names = world.small_jobs(256, a_classify_job(expires_in_s=86_400), version=VERSION)
    world.overdue(names)

    looks = 0
    while any(row.state is None for row in world.watched.jobs.ended(names)):
        looks += 1

    assert looks == 15
    assert most_commands(world, "ended") < 3_000


def test_the_end_of_a_job_does_no_more_however_many_of_its_units_are_held(world: World) -> None:
    world._prepare_large()
    parts = ("todo", "in", "sizes", "digests", "attempts", "crashes")
    name = world.large_job(parts=parts, leased=2_000, worker="busy")

    assert world.watched.control.cancel(name) is JobState.CANCELLED

    assert most_commands(world, "end_job") < 100
    assert not world.redis.exists(world.keys.leases(name))
    assert world.redis.scard(world.keys.worker_leases("busy")) == 2_000
    world.watched.work.expire()
    assert names_in(world.redis, f"{world.keys.ended_leases()}*") == []
    assert not world.redis.exists(world.keys.worker_leases("busy"), world.keys.timers())
    assert most_commands(world, "expire") < 100


def test_what_an_earlier_job_left_takes_nothing_from_a_later_one_of_its_name(
    world: World,
) -> None:
    world._prepare_large()
    name = world.large_job(leased=2_000)
    world.ledger.control.cancel(name)
    world.ledger.control.remove(name)
    world.ledger.submissions.submit(
        a_classify_job(), job_id=name, version=VERSION, unit_items=1_024, chunk=a_chunk(1),
        sealed=True,
    )  # fmt: skip
    claim = world.claim(version=VERSION)

    world.watched.work.expire()
    # Its timers are due one day: none of them names a unit that the later job has.
    due = dict.fromkeys(world.redis.zrange(world.keys.timers(), 0, -1), 1)
    held = f"{name} 0".encode()
    assert due.pop(held)
    world.redis.zadd(world.keys.timers(), due)
    world.watched.work.expire()

    assert claim is not None
    assert world.redis.smembers(world.keys.worker_leases("worker")) == {held}
    assert world.redis.zrange(world.keys.timers(), 0, -1) == [held]
    assert not world.redis.exists(world.keys.todo(name))
    world.complete(claim)
    assert world.ledger.jobs.get(name).state is JobState.COMPLETED


def test_all_units_of_a_dead_worker_come_back_in_short_calls(world: World) -> None:
    world._prepare_large()
    name = world.large_job(leased=1_000, worker="dies")

    world.watched.work.release_worker("dies", crashed=False)

    assert world.redis.zcard(world.keys.todo(name)) == 3_000
    assert not world.redis.exists(
        world.keys.leases(name), world.keys.worker_leases("dies"), world.keys.timers()
    )
    assert len(costs_of(world, "release_worker")) == 4
    assert most_commands(world, "release_worker") < 4_000


def test_jobs_of_many_tenants_that_end_together_evict_a_few_ended_ones(world: World) -> None:
    for tenant in range(10):
        world.small_jobs(30, a_classify_job(tenant=f"t{tenant}"), version=VERSION)
    while claim := world.claim(version=VERSION):
        world.complete(claim)
    for tenant in range(10):
        world.small_jobs(1, a_classify_job(tenant=f"t{tenant}"), version=VERSION)
    claim = world.claim(version=VERSION)
    assert claim is not None
    world.redis.hset(world.keys.limits(), "tenant_kept_bytes", 600)

    world.watched.work.commit_batch(Finished(unit, some_results(1)) for unit in claim.units)

    assert world.redis.llen(world.keys.evicted()) == 8
    world.watched.retention.evict()
    assert world.redis.llen(world.keys.evicted()) == 300
    assert most_commands(world, "evict") < 3_000


def test_a_large_job_is_looked_at_in_steps_before_it_is_put_into_quarantine(world: World) -> None:
    world._prepare_large()
    name = world.large_job(parts=("todo", "in", "sizes", "attempts", "crashes"))

    assert not quarantine_if_damaged(world.watched._scripts, name, ValueError("a test"))
    steps = len(costs_of(world, "quarantine"))
    world.redis.hset(f"{world.keys.job(name)}:sizes", "2999", "many")
    assert quarantine_if_damaged(world.watched._scripts, name, ValueError("a test"))

    assert steps >= 3
    assert world.ledger.jobs.get(name).state is JobState.FAILED


def test_a_long_delta_takes_the_place_of_many_short_ones_in_one_step(world: World) -> None:
    (name,) = world.small_jobs(1, version=VERSION)
    claim = world.claim(version=VERSION)
    assert claim is not None
    (unit,) = claim.units
    deltas = world.keys.deltas(name)
    with world.redis.pipeline(transaction=False) as pipe:
        for _ in range(5_000):
            pipe.xadd(deltas, {"d": "short"})
        pipe.execute()
    last = world.redis.xrevrange(deltas, count=1)[0][0]
    world.redis.hset(world.keys.job(name), "delta_bytes", world.settings.max_stream_bytes)

    world.watched.work.publish_deltas("worker", [(unit, some_deltas("x" * 16_000))] * 8)

    assert most_commands(world, "publish_deltas") < 2_000
    entries = world.redis.xrange(deltas)
    assert all(len(fields[b"d"]) > 16_000 for _, fields in entries)
    assert entries[0][0] > last
    kept = sum(len(fields[b"d"]) + 64 for _, fields in entries)
    assert int(world.redis.hget(world.keys.job(name), "delta_bytes")) == kept


def test_long_chains_of_retried_jobs_are_let_go_call_by_call(world: World) -> None:
    names = world.small_jobs(3, version=VERSION)
    chains = [names]
    for _ in range(36):
        retried = []
        for name in chains[-1]:
            world.ledger.control.cancel(name)
            job = retry_of(world.ledger.jobs.get(name))
            retried.append(f"link-{world.number()}")
            world.ledger.submissions.submit(
                job, job_id=retried[-1], version=VERSION, unit_items=1_024, chunk=a_chunk(1),
                sealed=True,
            )  # fmt: skip
        chains.append(retried)
    claim = world.claim(version=VERSION)
    assert claim is not None
    earlier = [name for chain in chains[:-1] for name in chain]

    world.watched.work.commit_batch(Finished(unit, some_results(1)) for unit in claim.units)

    assert most_commands(world, "commit") < 3_000
    assert 0 < sum(world.redis.hexists(world.keys.job(name), "held_by") for name in earlier) <= 8
    world.watched.work.expire()
    assert not any(world.redis.hexists(world.keys.job(name), "held_by") for name in earlier)
    assert all(world.redis.ttl(world.keys.job(name)) > 0 for name in earlier)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_script_does_more_than_a_call_may_in_its_worst_case(world: World) -> None:
    world.jobs, world.units = 1_500, 12_000
    world.fill()

    most = dict[str, tuple[int, str]]()
    for _, what, run in CASES:
        world.watched_redis.costs.clear()
        run(world)
        world.clear_up()
        for cost in world.watched_redis.costs:
            most[cost.script] = max(most.get(cost.script, (0, "")), (cost.commands, what))

    assert {script: row for script, row in most.items() if row[0] > MOST_COMMANDS} == {}
