"""What no job can be called is taken off the list of jobs by the quarantine, and counted."""

import pytest

from ledger_fixtures import Environment
from seqd.ledger.scripts import Scripts

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("name", ["no job's name", "x" * 65])
def test_a_name_that_no_job_can_have_leaves_the_list_of_jobs(
    environment: Environment, name: str
) -> None:
    keys, redis = environment.keys, environment.redis
    sound = environment.submit()
    redis.zadd(keys.jobs(), {name: 1})
    redis.set(keys.job(name), "a string")

    scripts = Scripts(redis, environment.settings.prefix)
    done = scripts.call("quarantine", name, "{}", 1)

    assert done == 1
    assert redis.zrange(keys.jobs(), 0, -1) == [sound.encode()]
    assert redis.get(keys.quarantined()) == b"1"
