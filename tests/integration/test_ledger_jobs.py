"""A job that somebody has changed by hand reads as damaged, and hides none of the others."""

import pytest

from ledger_fixtures import Scene
from seqd.errors import JobDamaged

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("state", "asleep", "'asleep' is not a valid JobState"),
        ("total", "many", "invalid literal for int() with base 10: b'many'"),
        ("spec", "{}", ": Unable to extract tag using discriminator 'kind'"),
    ],
)
def test_a_damaged_job_says_what_is_wrong_with_it(
    scene: Scene, field: str, value: str, reason: str
) -> None:
    job_id = scene.submit_units(1)
    scene.redis.hset(scene.keys.job(job_id), field, value)

    with pytest.raises(JobDamaged) as refused:
        scene.record(job_id)

    assert str(refused.value) == (
        f"What Redis holds of job {job_id} is not what seqd writes: {reason}. Somebody changed it "
        "by hand, or another version of seqd wrote it. Hand the job in again."
    )


def test_a_field_that_is_missing_is_named(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    scene.redis.hdel(scene.keys.job(job_id), "units")

    with pytest.raises(JobDamaged, match="not what seqd writes: there is no field 'units'"):
        scene.record(job_id)


def test_a_damaged_job_hides_no_other_from_the_list(scene: Scene) -> None:
    sound, damaged, other_type = (scene.submit_units(1) for _ in range(3))
    scene.redis.hset(scene.keys.job(damaged), "state", "asleep")
    scene.redis.delete(scene.keys.job(other_type))
    scene.redis.set(scene.keys.job(other_type), "a text")

    assert [record.job_id for record in scene.ledger.jobs.newest(10)] == [sound]


def test_an_entry_that_is_no_event_is_left_out(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    scene.redis.xadd(scene.keys.events(job_id), {"e": '{"event": "party"}'})
    scene.redis.xadd(scene.keys.events(job_id), {"other": "field"})
    scene.ledger.control.cancel(job_id)

    assert scene.events(job_id) == ["queued", "cancelled"]
