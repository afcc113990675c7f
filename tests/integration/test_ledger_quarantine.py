"""Jobs and records that somebody has changed by hand, or that a later release has written.

That no other job is hurt is in `test_hostile_ledger`.
"""

import json
from collections.abc import Callable

import pytest

from builders import (
    a_chunk,
    a_classify_job,
    a_generate_job,
    a_sweep_job,
    a_train_job,
    some_results,
)
from ledger_fixtures import ROUTES, Environment
from seqd.errors import JobDamaged, LaterVersion
from seqd.ledger.blobs import pack_json, unpack_items, unpack_results
from seqd_schemas import JobState, RunJob, UploadSource, to_stored

pytestmark = pytest.mark.processes

Damage = Callable[[Environment, str], object]


def damage_request(environment: Environment, job_id: str) -> None:
    environment.redis.hset(environment.keys.job(job_id), "spec", b"\x80\x04\x95\xff pickle")


def replace_hash(environment: Environment, job_id: str) -> None:
    environment.redis.set(environment.keys.job(job_id), "a string")


def replace_todo(environment: Environment, job_id: str) -> None:
    environment.redis.set(environment.keys.todo(job_id), "a string")


def write(field: str, value: str = "many") -> Damage:
    return lambda there, job_id: there.redis.hset(there.keys.job(job_id), field, value)


def drop(field: str) -> Damage:
    return lambda there, job_id: there.redis.hdel(there.keys.job(job_id), field)


def do_all(environment: Environment) -> set[str]:
    """Claim and commit until nothing is left; returns the jobs whose units came."""
    jobs: set[str] = set()
    while (claim := environment.claim()) is not None:
        jobs |= {unit.job_id for unit in claim.units}
        for unit in claim.units:
            environment.commit(unit)
    return jobs


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (write("state", "asleep"), "'asleep' is not a valid JobState"),
        (write("total"), "invalid literal for int() with base 10: b'many'"),
        (write("spec", "{}"), "Unable to extract tag using discriminator 'kind'"),
        (drop("units"), "there is no field 'units'"),
    ],
)
def test_a_damaged_job_says_what_is_wrong_with_it_and_hides_no_other_from_the_list(
    environment: Environment, damage: Damage, reason: str
) -> None:
    sound, job_id, other_type = (environment.submit_units(1) for _ in range(3))
    damage(environment, job_id)
    environment.redis.delete(environment.keys.job(other_type))
    replace_hash(environment, other_type)

    with pytest.raises(JobDamaged) as refused:
        environment.record(job_id)

    assert str(refused.value) == (
        f"What Redis holds of job {job_id} is not what seqd writes: {reason}. Somebody changed it "
        "by hand. Hand the job in again."
    )
    assert [record.job_id for record in environment.ledger.jobs.newest(10)] == [sound]


def test_what_a_damaged_job_had_is_kept_aside_for_whoever_looks(environment: Environment) -> None:
    keys, redis = environment.keys, environment.redis
    job_id = environment.submit_units(2)
    environment.commit(environment.claim_unit())
    results = redis.hget(keys.output(job_id), "0")
    damage_request(environment, job_id)
    at_its_commit = environment.submit_units(2)
    unit = environment.claim_unit()
    write("units_done")(environment, at_its_commit)

    environment.claim()
    environment.commit(unit)

    found, out = (keys.quarantine(job_id, part) for part in ("hash", "out"))
    assert redis.hget(found, "spec") == b"\x80\x04\x95\xff pickle"
    assert redis.hget(out, "0") == results
    assert all(0 < redis.ttl(name) <= 7 * 86_400 for name in (found, out))
    assert environment.ledger.jobs.outputs(job_id, [0]) == [None]
    # A commit that fails leaves input and results as they were.
    assert redis.hget(keys.quarantine(at_its_commit, "in"), "0") == unit.blob
    assert not redis.exists(keys.quarantine(at_its_commit, "out"))
    assert environment.ledger.jobs.quarantined() == 2


KINDS = {
    "classify": a_classify_job(),
    "generate": a_generate_job(),
    "train": a_train_job(),
    "run": RunJob(model="vectors", task="embed", source=UploadSource()),
    "sweep": a_sweep_job(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_job_stays_of_its_kind(environment: Environment, kind: str) -> None:
    job_id = environment.submit_units(1, KINDS[kind])
    damage_request(environment, job_id)

    environment.claim(routes=(*ROUTES, "embed.vectors"))

    record = environment.record(job_id)
    due = (JobState.FAILED, kind, KINDS[kind].model)
    assert (record.state, record.kind, record.model) == due


#: What is left of a damaged job of two items on its tenant's account: items and jobs.
ACCOUNTS = {
    "garbage request": (damage_request, 0, 0),
    "no group": (drop("group"), 0, 0),
    "todo is a string": (replace_todo, 0, 0),
    # A commit fails at these: before it changes anything.
    "units_done is text": (write("units_done"), 0, 0),
    "no units_done": (drop("units_done"), 0, 0),
    # Its counts cannot be read, so what waited stays until the last open job has ended.
    "total is text": (write("total"), 2, 0),
    "cancelled is text": (write("cancelled"), 2, 0),
    # It does not say whose it is.
    "no tenant": (drop("tenant"), 2, 1),
    "hash is a string": (replace_hash, 2, 1),
}


@pytest.mark.parametrize(("damage", "items", "jobs"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_a_damaged_job_is_taken_off_its_tenants_account(
    environment: Environment, damage: Damage, items: int, jobs: int
) -> None:
    sound, damaged = (environment.submit_units(1) for _ in range(2))
    unit = environment.claim_unit()
    damage(environment, damaged)

    do_all(environment)

    assert unit.job_id == sound
    account = environment.ledger.tenants.record("default")
    assert (account.waiting_items, account.open_jobs) == (2 + items, 1 + jobs)
    # The account goes with the last open job that is on it.
    environment.commit(unit)
    assert environment.redis.hexists(environment.keys.tenant("default"), "items") == bool(jobs)


def test_a_damaged_job_can_be_handed_in_again_with_its_idempotency_key(
    environment: Environment,
) -> None:
    job = a_classify_job(idempotency_key="once")
    drop("group")(environment, environment.submit_units(1, job))
    do_all(environment)

    again = environment.submit_units(1, job, job_id="again")

    assert again == "again"
    assert do_all(environment) == {again}


def test_what_is_no_event_or_of_a_kind_that_is_not_known_is_left_out(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(1)
    moved = b'{"event":"moved","job_id":"job-0","at_ms":1}'
    for fields in ({"e": moved}, {"e": '{"event": "party"}'}, {"other": "field"}):
        environment.redis.xadd(environment.keys.events(job_id), fields)
    environment.commit(environment.claim_unit())

    assert environment.events(job_id) == ["queued", "started", "completed"]


def with_field(stored: str, **more: object) -> bytes:
    """Return a stored record as a later release would write it."""
    return json.dumps(json.loads(stored) | more).encode()


def test_records_with_fields_that_a_later_release_has_added_are_read(
    environment: Environment,
) -> None:
    job_id, keys, job = environment.submit_units(1), environment.keys, a_classify_job()
    later = {"added_later": True, "source": {"type": "upload", "added_later": 1}}
    environment.redis.hset(keys.job(job_id), "spec", with_field(to_stored(job), **later))
    chunk = json.loads(to_stored(a_chunk()))
    chunk["items"][0]["added_later"] = "x"
    environment.redis.hset(keys.input(job_id), "0", pack_json(json.dumps(chunk).encode()))
    (result,) = some_results(1)
    stored = json.loads(to_stored(result))
    stored["output"]["added_later"] = [1]
    row = pack_json(json.dumps(stored | {"added_later": 1}).encode() + b"\n")

    unit = environment.claim_unit()
    environment.commit(unit)

    assert unpack_items(unit.blob) == a_chunk()
    assert list(unpack_results(row)) == [result]
    record = environment.record(job_id)
    assert (record.job, record.state) == (job, JobState.COMPLETED)


def test_a_job_that_states_a_later_version_is_not_called_damaged(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    stored = with_field(to_stored(a_classify_job()), format=9)
    environment.redis.hset(environment.keys.job(job_id), "spec", stored)

    with pytest.raises(LaterVersion) as refused:
        environment.record(job_id)

    said = f"Job {job_id} was handed in by a later version of seqd than "
    assert str(refused.value).startswith(said)
