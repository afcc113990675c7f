"""Jobs whose keys somebody has written by hand: each fails with its reason, the others run.

On a real server, with no worker: what `seqd.ledger` makes of damage. What a worker makes of it
is in `test_hostile_worker`.
"""

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job, a_failure, a_worker_status
from ledger_fixtures import CLASSIFY, Environment
from seqd.errors import RedisUnreachable
from seqd.ledger.units import Unit
from seqd.ledger.work import LATER_WAIT_S, MOST_LATER, Renewal
from seqd_schemas import Failed, JobState, queue_of

pytestmark = pytest.mark.processes

HAND_IN_AGAIN = "Somebody changed it by hand."


def set_field(name: str, value: str | bytes):
    def change(environment: Environment, job_id: str) -> None:
        environment.redis.hset(environment.keys.job(job_id), name, value)

    return change


def drop_field(name: str):
    def change(environment: Environment, job_id: str) -> None:
        environment.redis.hdel(environment.keys.job(job_id), name)

    return change


def retype(part: str):
    """Put a string where another type is due."""

    def change(environment: Environment, job_id: str) -> None:
        environment.redis.set(environment.keys.job(job_id) + part, "a string")

    return change


DAMAGE = {
    "garbage request": set_field("spec", b"\x80\x04\x95\xff pickle"),
    "request is no object": set_field("spec", "[]"),
    "no later version": set_field("spec", '{"schema_version": "2"}'),
    "deep request": set_field("spec", "[" * 100_000),
    "no request": drop_field("spec"),
    "no unit_items": drop_field("unit_items"),
    "unit_items is text": set_field("unit_items", "many"),
    "version is text": set_field("version", "three"),
    "units_done is text": set_field("units_done", "many"),
    "no units_done": drop_field("units_done"),
    "no group": drop_field("group"),
    "no tenant": drop_field("tenant"),
    "no state": drop_field("state"),
    "counts are text": set_field("total", "many"),
    "hash is a string": retype(""),
    "todo is a string": retype(":todo"),
    "input is a string": retype(":in"),
    "leases are a string": retype(":leases"),
    "attempts are a string": retype(":attempts"),
    "crashes are a string": retype(":crashes"),
    "events are a string": retype(":events"),
    "attempts are text": lambda environment, job_id: environment.redis.hset(
        environment.keys.attempts(job_id), "0", "many"
    ),
    "sizes are text": lambda environment, job_id: environment.redis.hset(
        environment.keys.sizes(job_id), "0", "x"
    ),
    # It expires, though nobody knows any more within what time it should have been done.
    "no expires_in": set_field("expires_at", "1"),
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
def test_a_job_that_was_damaged_holds_nobody_up(environment: Environment, damage):
    before = environment.submit_units(1)
    damaged = environment.submit_units(1)
    behind = environment.submit_units(1)
    damage(environment, damaged)

    claimed = claim_all(environment)

    assert {before, behind} <= claimed
    assert (
        environment.record(before).state is environment.record(behind).state is JobState.COMPLETED
    )
    assert environment.claim() is None
    # What was lost can be mended, or else the job has failed; it is never left open.
    assert environment.record(damaged).state.is_terminal
    open_jobs = environment.redis.zrange(environment.keys.open_jobs(), 0, -1)
    assert open_jobs == []


@pytest.mark.parametrize(
    "name", ["garbage request", "no later version", "no group", "hash is a string"]
)
def test_a_damaged_job_says_why_it_failed(environment: Environment, name: str):
    job_id = environment.submit_units(1)
    DAMAGE[name](environment, job_id)

    claim_all(environment)

    record = environment.record(job_id)
    assert record.state is JobState.FAILED
    assert record.failure is not None
    assert record.failure.code == "job_damaged"
    assert HAND_IN_AGAIN in record.failure.message
    last = environment.ledger.jobs.events(job_id, longest_wait_s=0)[-1]
    assert isinstance(last, Failed)
    assert last.failure == record.failure
    assert [job.job_id for job in environment.ledger.jobs.newest(10)] == [job_id]


def test_units_that_came_with_a_damaged_one_are_claimable_again(environment: Environment):
    damaged = environment.submit_units(1, unit_items=8)
    sound = environment.submit_units(1, unit_items=8)
    DAMAGE["garbage request"](environment, damaged)

    claim = environment.claim()

    assert claim is not None
    assert [(unit.job_id, unit.crashes) for unit in claim.units] == [(sound, 0)]


def test_a_unit_that_cannot_be_named_costs_only_its_own_job(environment: Environment):
    ahead = {environment.submit_units(1, unit_items=8) for _ in range(2)}
    damaged = environment.submit_units(1, unit_items=8)
    behind = environment.submit_units(1, unit_items=8)
    environment.redis.zadd(environment.keys.todo(damaged), {b"\xff": 0})
    environment.redis.zrem(environment.keys.todo(damaged), "0")

    claimed = claim_all(environment)

    assert claimed == {*ahead, behind}
    assert all(environment.record(job_id).state is JobState.COMPLETED for job_id in claimed)
    assert environment.record(damaged).state is JobState.FAILED
    assert environment.ledger.jobs.quarantined() == 1


def test_a_job_ends_and_goes_whatever_stands_at_its_idempotency_key(environment: Environment):
    job = a_classify_job(idempotency_key="once")
    job_id = environment.submit_units(1, job)
    name = environment.keys.idempotency("default", "once")
    environment.redis.delete(name)
    environment.redis.rpush(name, "a list")

    claim_all(environment)

    assert environment.record(job_id).state is JobState.COMPLETED
    environment.ledger.control.remove(job_id)
    assert not environment.ledger.jobs.exists(job_id)
    assert environment.redis.lrange(name, 0, -1) == [b"a list"]


@pytest.mark.parametrize("name", ["virtual_times", "worker_classes"])
def test_virtual_times_that_are_none_begin_anew(environment: Environment, name: str):
    job_id = environment.submit_units(2)
    environment.submit_units(1, a_classify_job(priority="bulk"))
    of = "worker-a" if name == "worker_classes" else "normal"
    environment.redis.set(getattr(environment.keys, name)(of), "many")
    behind = environment.submit_units(1)

    assert claim_all(environment) >= {job_id, behind}

    assert (
        environment.record(job_id).state is environment.record(behind).state is JobState.COMPLETED
    )


def test_a_job_whose_state_was_taken_away_after_its_end_holds_nobody_up(environment: Environment):
    ended, sound = (environment.submit_units(1) for _ in range(2))
    group = environment.redis.hget(environment.keys.job(ended), "group").decode()
    environment.ledger.control.cancel(ended)
    DAMAGE["no state"](environment, ended)
    environment.redis.zadd(environment.keys.group_jobs(group, "default"), {ended: 0})

    assert claim_all(environment) == {sound}


def test_a_group_with_a_job_that_nobody_handed_in_goes_on(environment: Environment):
    job_id = environment.submit_units(1)
    group = environment.redis.hget(environment.keys.job(job_id), "group").decode()
    for name in ("nobody", "a}b{c", "a\nb", "\xff" * 100, ""):
        environment.redis.zadd(environment.keys.group_jobs(group, "default"), {name: 0})
        environment.redis.zadd(environment.keys.todo(name), {"0": 0})

    assert claim_all(environment) >= {job_id}
    assert environment.record(job_id).state is JobState.COMPLETED


def test_a_queue_with_tenants_and_groups_that_are_none_goes_on(environment: Environment):
    keys, queue = environment.keys, queue_of(CLASSIFY, 3)
    job_id = environment.submit_units(1)
    environment.redis.zadd(keys.queue(queue, "normal"), {"string": -2, "empty": -1})
    environment.redis.set(keys.groups(queue, "normal", "string"), "a string")
    environment.redis.zadd(keys.groups(queue, "normal", "default"), {"string": -2, "empty": -1})
    environment.redis.set(keys.group_jobs("string", "default"), "a string")
    environment.redis.set(keys.group("empty"), "a string")

    assert claim_all(environment) == {job_id}


def test_a_queue_that_is_none_leads_to_new_jobs_again(environment: Environment):
    environment.redis.set(environment.keys.queue(queue_of(CLASSIFY, 3), "normal"), "a string")
    environment.redis.set(environment.keys.queues("bulk"), "a string")
    assert environment.claim() is None

    jobs = {
        environment.submit_units(1, a_classify_job(priority=name)) for name in ("normal", "bulk")
    }

    assert claim_all(environment) == jobs


@pytest.mark.parametrize("member", ["", "one-word", "a b c", "\xff\xfe"])
def test_a_warning_that_names_no_job_is_in_no_others_way(environment: Environment, member: str):
    environment.redis.zadd(environment.keys.warnings(), {member: 0})

    environment.ledger.work.expire()

    assert environment.redis.zcard(environment.keys.warnings()) == 0


def test_a_lease_that_names_no_unit_keeps_no_other_from_being_released(environment: Environment):
    job_id = environment.submit_units(1)
    environment.claim_unit("worker-a")
    environment.redis.sadd(environment.keys.worker_leases("worker-a"), "one-word", "")

    environment.ledger.work.release_worker("worker-a", crashed=False)

    assert environment.claim_unit("worker-b").job_id == job_id


def max_score(environment: Environment) -> int:
    """When the last timer is due."""
    return int(environment.redis.zrange(environment.keys.timers(), -1, -1, withscores=True)[0][1])


@pytest.mark.parametrize("member", ["", "one-word", "a b c", "gone 0", "\xff\xfe 0"])
def test_a_timer_that_names_no_unit_keeps_no_lease_from_running_out(
    environment: Environment, member: str
):
    brief = environment.with_settings(lease_s=0.001)
    job_id = brief.submit_units(1)
    brief.claim_unit()
    environment.redis.zadd(environment.keys.timers(), {member: 0})

    brief.wait_for_clock(max_score(environment))
    brief.ledger.work.expire()

    assert environment.claim_unit().job_id == job_id
    assert environment.redis.zcard(environment.keys.timers()) == 1


def test_a_lease_of_a_damaged_job_keeps_no_other_from_running_out(environment: Environment):
    brief = environment.with_settings(lease_s=0.001)
    damaged, sound = (brief.submit_units(1, job_id=name) for name in ("damaged", "sound"))
    assert {brief.claim_unit().job_id, brief.claim_unit().job_id} == {damaged, sound}
    environment.redis.hset(environment.keys.crashes(damaged), "0", "many")

    brief.wait_for_clock(max_score(environment))
    brief.ledger.work.expire()

    assert environment.claim_unit().job_id == sound
    assert environment.record(damaged).state is JobState.FAILED


def test_a_worker_that_fails_a_damaged_job_gets_rid_of_it(environment: Environment):
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()
    environment.redis.hset(environment.keys.job(job_id), "total", "many")

    assert environment.ledger.work.fail_job(unit, a_failure())

    assert environment.record(job_id).state is JobState.FAILED
    assert environment.claim() is None


def test_a_worker_gives_everything_back_though_one_of_its_jobs_is_damaged(environment: Environment):
    jobs = [environment.submit_units(1) for _ in range(6)]
    held = {environment.claim_unit().job_id for _ in jobs}
    damaged = jobs[2]
    DAMAGE["no group"](environment, damaged)

    environment.ledger.work.release_worker("worker-a", crashed=True)

    assert held == set(jobs)
    assert not any(environment.redis.exists(environment.keys.leases(job_id)) for job_id in jobs)
    assert environment.record(damaged).state is JobState.FAILED
    assert claim_all(environment) == held - {damaged}


def test_a_damaged_job_costs_no_other_its_lease(environment: Environment):
    damaged, sound = (environment.submit_units(1) for _ in range(2))
    units = [environment.claim_unit() for _ in range(2)]
    DAMAGE["leases are a string"](environment, damaged)

    kept = environment.ledger.work.renew(units)

    assert [unit.job_id for unit in units] == [damaged, sound]
    assert kept == [Renewal.LOST, Renewal.KEPT]


def release_unit(environment: Environment, unit: Unit) -> bool:
    return environment.ledger.work.release_unit(unit)


def split(environment: Environment, unit: Unit) -> bool:
    return environment.ledger.work.split(unit, (a_chunk(1), a_chunk(1, first=1)))


@pytest.mark.parametrize("give_up", [release_unit, split])
def test_a_unit_of_a_damaged_job_can_be_given_up(environment: Environment, give_up):
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()
    DAMAGE["no group"](environment, job_id)

    assert not give_up(environment, unit)

    assert environment.record(job_id).state is JobState.FAILED


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
    spec = a_classify_job().model_dump_json().replace('"schema_version":1', '"schema_version":9')
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


def test_looking_for_damage_changes_no_sound_job(environment: Environment):
    sound = environment.submit_units(2)
    before = environment.record(sound)
    environment.redis.zadd(environment.keys.timers(), {"one-word": 0})

    environment.ledger.work.expire()

    assert environment.record(sound) == before


@pytest.mark.parametrize("row", [b"garbage", b"{}", b'{"schema_version": 9}', b"[" * 100_000])
def test_a_catalog_entry_that_cannot_be_read_hides_no_other(environment: Environment, row: bytes):
    environment.ledger.fleet.publish_catalog([a_catalog_entry(model="markov")])
    environment.redis.hset(environment.keys.catalog(), "later", row)

    assert list(environment.ledger.fleet.catalog()) == ["markov"]


def test_a_worker_that_cannot_be_read_hides_no_other(environment: Environment):
    now_ms = environment.ledger.fleet.now_ms()
    environment.ledger.fleet.publish_worker(a_worker_status(worker="sound", seen_at_ms=now_ms))
    environment.redis.set(environment.keys.worker("later"), b'{"schema_version": 9}')
    environment.redis.zadd(environment.keys.workers(), {"later": now_ms})

    assert [status.worker for status in environment.ledger.fleet.workers()] == ["sound"]
