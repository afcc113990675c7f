"""What one call of a script does is bounded, however many jobs, units and leases there are.

Measured are the commands that the server does, not its time. `make bench-scripts` has the times.
"""

from collections.abc import Iterator

import pytest

from bench.script_cases import CASES
from bench.script_world import Cost, WatchedRedis, World
from redis_fixtures import PrivateServer
from seqd.ledger import connect
from seqd.settings import Settings
from seqd_schemas import JobState

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


def test_the_end_of_a_job_does_no_more_however_many_of_its_units_are_held(world: World) -> None:
    world._prepare_large()
    parts = ("todo", "in", "sizes", "digests", "attempts", "crashes")
    name = world.large_job(parts=parts, leased=2_000, worker="busy")

    assert world.watched.control.cancel(name) is JobState.CANCELLED

    assert most_commands(world, "end_job") < 100
    assert not world.redis.exists(world.keys.leases(name), world.keys.worker_leases("busy"))
    world.watched.work.expire()
    assert not world.redis.exists(world.keys.timers())
    assert most_commands(world, "expire") < 100


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_script_does_more_than_a_call_may_in_its_worst_case(world: World) -> None:
    # A command for each unit of a job would be more than a call may do.
    world.jobs, world.units = 1_000, 7_000
    world.fill()

    most = dict[str, tuple[int, str]]()
    for _, what, run in CASES:
        world.watched_redis.costs.clear()
        run(world)
        world.clear_up()
        for cost in world.watched_redis.costs:
            most[cost.script] = max(most.get(cost.script, (0, "")), (cost.commands, what))

    assert {script: row for script, row in most.items() if row[0] > MOST_COMMANDS} == {}
