"""What quarantine does with a job whose keys somebody has changed by hand: what stays, what goes.

That no other job is hurt is in `test_hostile_ledger`.
"""

from collections.abc import Callable

import pytest

from builders import a_classify_job, a_generate_job, a_sweep_job, a_train_job
from ledger_fixtures import Scene
from seqd_schemas import JobState

pytestmark = pytest.mark.processes

Damage = Callable[[Scene, str], None]


def damage_request(scene: Scene, job_id: str) -> None:
    scene.redis.hset(scene.keys.job(job_id), "spec", b"\x80\x04\x95\xff pickle")


def replace_hash(scene: Scene, job_id: str) -> None:
    scene.redis.set(scene.keys.job(job_id), "a string")


def replace_todo(scene: Scene, job_id: str) -> None:
    scene.redis.set(scene.keys.todo(job_id), "a string")


def write_text(field: str) -> Damage:
    def change(scene: Scene, job_id: str) -> None:
        scene.redis.hset(scene.keys.job(job_id), field, "many")

    return change


def drop(field: str) -> Damage:
    def change(scene: Scene, job_id: str) -> None:
        scene.redis.hdel(scene.keys.job(job_id), field)

    return change


def do_all(scene: Scene) -> set[str]:
    """Claim and commit until nothing is left; gives the jobs whose units came."""
    jobs: set[str] = set()
    while (claim := scene.claim()) is not None:
        jobs |= {unit.job_id for unit in claim.units}
        for unit in claim.units:
            scene.commit(unit)
    return jobs


def test_what_a_damaged_job_had_is_kept_aside_for_whoever_looks(scene: Scene):
    job_id = scene.submit_units(2)
    scene.commit(scene.claim_unit())
    results = scene.redis.hget(scene.keys.output(job_id), "0")
    damage_request(scene, job_id)

    scene.claim()

    found, out = (scene.keys.quarantine(job_id, part) for part in ("hash", "out"))
    assert scene.redis.hget(found, "spec") == b"\x80\x04\x95\xff pickle"
    assert scene.redis.hget(out, "0") == results
    assert all(0 < scene.redis.ttl(name) <= 7 * 86_400 for name in (found, out))
    assert scene.ledger.jobs.outputs(job_id, [0]) == [None]


def test_damaged_jobs_are_counted(scene: Scene):
    damaged = [scene.submit_units(1) for _ in range(2)]
    sound = scene.submit_units(1)
    for job_id in damaged:
        replace_hash(scene, job_id)

    do_all(scene)

    assert scene.record(sound).state is JobState.COMPLETED
    assert scene.ledger.jobs.quarantined() == 2


def test_a_count_that_is_no_number_keeps_no_job_from_failing(scene: Scene, caplog):
    job_id = scene.submit_units(1)
    replace_hash(scene, job_id)
    scene.redis.set(scene.keys.quarantined(), "many")

    assert do_all(scene) == set()

    assert scene.record(job_id).state is JobState.FAILED
    assert scene.ledger.jobs.quarantined() == 0
    assert f"{scene.keys.quarantined()} is no number" in caplog.text


def test_a_damaged_commit_leaves_input_and_results_as_they_were(scene: Scene):
    job_id = scene.submit_units(2)
    unit = scene.claim_unit()
    write_text("units_done")(scene, job_id)

    scene.commit(unit)

    found, out = (scene.keys.quarantine(job_id, part) for part in ("in", "out"))
    assert scene.redis.hget(found, "0") == unit.blob
    assert not scene.redis.exists(out)


KINDS = {
    "classify": a_classify_job(),
    "generate": a_generate_job(),
    "train": a_train_job(),
    "sweep": a_sweep_job(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_job_stays_of_its_kind(scene: Scene, kind: str):
    job = KINDS[kind]
    job_id = scene.submit_units(1, job)
    damage_request(scene, job_id)

    scene.claim()

    record = scene.record(job_id)
    assert (record.state, record.kind, record.model) == (JobState.FAILED, kind, job.model)


#: What is left of a damaged job of two items on its tenant's account: items and jobs.
ACCOUNTS = {
    "garbage request": (damage_request, 0, 0),
    "no group": (drop("group"), 0, 0),
    "todo is a string": (replace_todo, 0, 0),
    # A commit fails at these: before it changes anything.
    "units_done is text": (write_text("units_done"), 0, 0),
    "no units_done": (drop("units_done"), 0, 0),
    # Its counts cannot be read, so what waited stays until the last open job has ended.
    "total is text": (write_text("total"), 2, 0),
    "cancelled is text": (write_text("cancelled"), 2, 0),
    # It does not say whose it is.
    "no tenant": (drop("tenant"), 2, 1),
    "hash is a string": (replace_hash, 2, 1),
}


@pytest.mark.parametrize(("damage", "items", "jobs"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_a_damaged_job_is_taken_off_its_tenants_account(scene: Scene, damage, items, jobs):
    sound, damaged = (scene.submit_units(1) for _ in range(2))
    unit = scene.claim_unit()
    damage(scene, damaged)

    do_all(scene)

    assert unit.job_id == sound
    row = scene.redis.hgetall(scene.keys.tenant("default"))
    assert (int(row[b"items"]), int(row[b"jobs"])) == (2 + items, 1 + jobs)
    # The account goes with the last open job that is on it.
    scene.commit(unit)
    assert scene.redis.exists(scene.keys.tenant("default")) == jobs


def test_a_damaged_job_can_be_handed_in_again_with_its_idempotency_key(scene: Scene):
    job = a_classify_job(idempotency_key="once")
    damaged = scene.submit_units(1, job)
    drop("group")(scene, damaged)
    do_all(scene)

    again = scene.submit_units(1, job, job_id="again")

    assert again == "again"
    assert do_all(scene) == {again}
