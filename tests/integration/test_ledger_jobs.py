"""A job that somebody has changed by hand reads as damaged, and hides none of the others."""

import pytest

from ledger_fixtures import Environment
from seqd.errors import JobDamaged

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("state", "asleep", "'asleep' is not a valid JobState"),
        ("total", "many", "invalid literal for int() with base 10: b'many'"),
        ("spec", "{}", "Unable to extract tag using discriminator 'kind'"),
    ],
)
def test_a_damaged_job_says_what_is_wrong_with_it(
    environment: Environment, field: str, value: str, reason: str
) -> None:
    job_id = environment.submit_units(1)
    environment.redis.hset(environment.keys.job(job_id), field, value)

    with pytest.raises(JobDamaged) as refused:
        environment.record(job_id)

    assert str(refused.value) == (
        f"What Redis holds of job {job_id} is not what seqd writes: {reason}. Somebody changed it "
        "by hand. Hand the job in again."
    )


def test_a_field_that_is_missing_is_named(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.redis.hdel(environment.keys.job(job_id), "units")

    with pytest.raises(JobDamaged, match="not what seqd writes: there is no field 'units'"):
        environment.record(job_id)


def test_a_damaged_job_hides_no_other_from_the_list(environment: Environment) -> None:
    sound, damaged, other_type = (environment.submit_units(1) for _ in range(3))
    environment.redis.hset(environment.keys.job(damaged), "state", "asleep")
    environment.redis.delete(environment.keys.job(other_type))
    environment.redis.set(environment.keys.job(other_type), "a text")

    assert [record.job_id for record in environment.ledger.jobs.newest(10)] == [sound]


def test_an_entry_that_is_no_event_is_left_out(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.redis.xadd(environment.keys.events(job_id), {"e": '{"event": "party"}'})
    environment.redis.xadd(environment.keys.events(job_id), {"other": "field"})
    environment.ledger.control.cancel(job_id)

    assert environment.events(job_id) == ["queued", "cancelled"]
