"""Jobs and records that cannot be read: each job fails, the others run; records of a later release.

On a real server, with no worker: what `seqd.ledger` makes of damage. What a worker makes of it
is in `test_hostile_worker`.
"""

import json
from collections.abc import Callable
from contextlib import suppress

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job, a_worker_status, some_results
from ledger_fixtures import Environment, publish_entries
from seqd.errors import JobDamaged, LaterVersion, RedisUnreachable
from seqd.ledger.blobs import pack_json, unpack_items, unpack_results
from seqd.ledger.work import LATER_WAIT_S, MOST_LATER
from seqd_schemas import Failed, ItemSuccess, JobState, to_stored
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

Damage = Callable[[Environment, str], object]


def write(field: str, value: str | bytes = "many") -> Damage:
    return lambda there, job_id: there.redis.hset(there.keys.job(job_id), field, value)


def drop(field: str) -> Damage:
    return lambda there, job_id: there.redis.hdel(there.keys.job(job_id), field)


def retype(part: str) -> Damage:
    """Put a string where another type is due."""
    return lambda there, job_id: there.redis.set(there.keys.job(job_id) + part, "a string")


DAMAGE = {
    "garbage request": write("spec", b"\x80\x04\x95\xff pickle"),
    "no later version": write("spec", '{"format": "2"}'),
    "deep request": write("spec", "[" * 100_000),
    "unit_items is text": write("unit_items"),
    "counts are text": write("total"),
    "no tenant": drop("tenant"),
    "hash is a string": retype(""),
    "todo is a string": retype(":todo"),
    "attempts are a string": retype(":attempts"),
}


def claim_all(environment: Environment) -> set[str]:
    """Claim until nothing is left; returns the jobs whose units came."""
    jobs: set[str] = set()
    for _ in range(20):
        claim = environment.claim()
        if claim is None:
            return jobs
        jobs |= {unit.job_id for unit in claim.units}
        for unit in claim.units:
            environment.commit(unit)
    raise AssertionError("there is no end of units")


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_job_that_was_damaged_fails_and_holds_nobody_up(
    environment: Environment, damage: Damage
) -> None:
    before, damaged, behind = (environment.submit_units(1) for _ in range(3))
    damage(environment, damaged)

    claimed = claim_all(environment)

    assert {before, behind} <= claimed
    for sound in (before, behind):
        assert environment.record(sound).state is JobState.COMPLETED
    assert environment.claim() is None
    last = environment.ledger.jobs.events(damaged, longest_wait_s=0)[-1]
    assert isinstance(last, Failed)
    assert last.failure.code == "job_damaged"
    assert "Somebody changed it by hand." in last.failure.message
    with suppress(JobDamaged):  # of which the hash can be read
        assert environment.record(damaged).state is JobState.FAILED
    assert environment.redis.zcard(environment.keys.open_jobs()) == 0


def test_a_damaged_job_is_off_its_tenants_account_and_its_key_can_be_used_again(
    environment: Environment,
) -> None:
    job = a_classify_job(idempotency_key="once")
    retype(":todo")(environment, environment.submit_units(1, job))
    claim_all(environment)
    account = environment.ledger.tenants.record("default")

    again = environment.submit_units(1, job, job_id="again")

    assert (account.open_jobs, account.waiting_items, account.waiting_bytes) == (0, 0, 0)
    assert claim_all(environment) == {again}


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
    sound, job_id = (environment.submit_units(1) for _ in range(2))
    damage(environment, job_id)

    with pytest.raises(JobDamaged) as refused:
        environment.record(job_id)

    assert str(refused.value) == (
        f"What Redis holds of job {job_id} is not what seqd writes: {reason}. Somebody changed it "
        "by hand. Hand the job in again."
    )
    assert [record.job_id for record in environment.ledger.jobs.newest(10)] == [sound]


def test_no_job_fails_for_damage_outside_of_it(environment: Environment):
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()
    account = environment.keys.tenant("default")
    environment.redis.delete(account)
    environment.redis.set(account, "a string")

    with pytest.raises(RedisUnreachable) as refused:
        environment.commit(unit)

    assert str(refused.value).startswith(
        f"Redis refused what came of unit 0 of job {job_id}, which is sound: "
    )
    assert str(refused.value).endswith(". The unit is tried again.")
    assert environment.record(job_id).state is JobState.RUNNING


def a_later_job(environment: Environment, units: int) -> str:
    """Hand in what a client of the next version of seqd would."""
    job_id = environment.submit_units(units)
    spec = a_classify_job().model_dump_json().replace('"format":1', '"format":9')
    environment.redis.hset(environment.keys.job(job_id), "spec", spec)
    return job_id


def test_a_job_of_a_later_version_is_left_to_workers_that_can_read_it(
    environment: Environment, caplog
):
    later = a_later_job(environment, 1)
    sound = environment.submit_units(1)

    assert claim_all(environment) == {sound}

    assert environment.redis.hget(environment.keys.job(later), "state") == b"running"
    (timer,) = environment.redis.zrange(environment.keys.timers(), 0, -1, withscores=True)
    assert timer[0] == f"{later} 0".encode()
    assert 0 < timer[1] - environment.ledger.fleet.now_ms() <= LATER_WAIT_S * 1000
    assert f"job={later.encode()!r} is from a later version of seqd" in caplog.text
    assert environment.redis.hvals(environment.keys.crashes(later)) == []


def test_a_worker_that_cannot_read_a_job_leaves_most_of_its_units_where_they_are(
    environment: Environment,
):
    later = a_later_job(environment, MOST_LATER + 5)

    assert environment.claim() is None

    assert environment.redis.zcard(environment.keys.todo(later)) == 5


@pytest.mark.parametrize("row", [b"garbage", b"{}", b'{"format": 9}', b"[" * 100_000])
def test_what_cannot_be_read_of_a_catalog_or_a_worker_hides_no_other(
    environment: Environment, row: bytes
):
    fleet = environment.ledger.fleet
    publish_entries(fleet, [a_catalog_entry(model="markov")])
    environment.redis.hset(environment.keys.catalog(), mapping={"later": row, b"\xff": row})
    fleet.publish_worker(a_worker_status(worker="sound", seen_at_ms=fleet.now_ms()))
    environment.redis.set(environment.keys.worker("later"), row)
    environment.redis.zadd(environment.keys.workers(), {"later": fleet.now_ms()})

    assert list(fleet.catalog()) == ["markov"]
    assert fleet.published_models() == {"markov", "later", "\ufffd"}
    assert [status.worker for status in fleet.workers()] == ["sound"]


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


@pytest.mark.slow
def test_a_version_whose_manifest_has_a_field_that_is_not_known_is_served(
    empty_cluster: Cluster,
) -> None:
    (manifest,) = (empty_cluster.settings.store_dir / "echo").glob("*/manifest.json")
    manifest.write_bytes(with_field(manifest.read_text(), added_later={"by": "0.3"}))
    empty_cluster.start_ready()

    job = empty_cluster.client().classify([f"text {n}" for n in range(1_500)], model="echo")

    assert sum(isinstance(result, ItemSuccess) for result in job.results()) == 1_500
