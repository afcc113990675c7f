"""Jobs whose keys somebody has written by hand: each fails with its reason, the others run.

On a real server, with no worker: what `seqd.ledger` makes of damage. What a worker makes of it
is in `test_hostile_worker`.
"""

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job, a_failure, a_worker_status
from ledger_fixtures import CLASSIFY, Scene
from seqd.errors import RedisUnreachable
from seqd.ledger.work import LATER_WAIT_S, MOST_LATER, Renewal, Unit
from seqd_schemas import Failed, JobState

pytestmark = pytest.mark.processes

HAND_IN_AGAIN = "Somebody changed it by hand, or another version of seqd wrote it."


def set_field(name: str, value: str | bytes):
    def change(scene: Scene, job_id: str) -> None:
        scene.redis.hset(scene.keys.job(job_id), name, value)

    return change


def drop_field(name: str):
    def change(scene: Scene, job_id: str) -> None:
        scene.redis.hdel(scene.keys.job(job_id), name)

    return change


def retype(part: str):
    """Put a string where another type is due."""

    def change(scene: Scene, job_id: str) -> None:
        scene.redis.set(scene.keys.job(job_id) + part, "a string")

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
    "attempts are text": lambda scene, job_id: scene.redis.hset(
        scene.keys.attempts(job_id), "0", "many"
    ),
    "sizes are text": lambda scene, job_id: scene.redis.hset(scene.keys.sizes(job_id), "0", "x"),
    # It expires, though nobody knows any more within what time it should have been done.
    "no expires_in": set_field("expires_at", "1"),
}


def claim_all(scene: Scene) -> set[str]:
    """Claim until nothing is left; gives the jobs whose units came."""
    jobs: set[str] = set()
    for _ in range(20):
        claim = scene.claim()
        if claim is None:
            return jobs
        jobs |= {unit.job_id for unit in claim.units}
        for unit in claim.units:
            scene.commit(unit)
    raise AssertionError("there is no end of units")


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_job_that_was_damaged_holds_nobody_up(scene: Scene, damage):
    before = scene.submit_units(1)
    damaged = scene.submit_units(1)
    behind = scene.submit_units(1)
    damage(scene, damaged)

    claimed = claim_all(scene)

    assert {before, behind} <= claimed
    assert scene.record(before).state is scene.record(behind).state is JobState.COMPLETED
    assert scene.claim() is None
    # What was lost can be mended, or else the job has failed; it is never left open.
    assert scene.record(damaged).state.is_terminal
    open_jobs = scene.redis.zrange(scene.keys.open_jobs(), 0, -1)
    assert open_jobs == []


@pytest.mark.parametrize(
    "name", ["garbage request", "no later version", "no group", "hash is a string"]
)
def test_a_damaged_job_says_why_it_failed(scene: Scene, name: str):
    job_id = scene.submit_units(1)
    DAMAGE[name](scene, job_id)

    claim_all(scene)

    record = scene.record(job_id)
    assert record.state is JobState.FAILED
    assert record.failure is not None
    assert record.failure.code == "job_damaged"
    assert HAND_IN_AGAIN in record.failure.message
    last = scene.ledger.jobs.events(job_id, block=False)[-1]
    assert isinstance(last, Failed)
    assert last.failure == record.failure
    assert [job.job_id for job in scene.ledger.jobs.newest(10)] == [job_id]


def test_units_that_came_with_a_damaged_one_are_claimable_again(scene: Scene):
    damaged = scene.submit_units(1, unit_items=8)
    sound = scene.submit_units(1, unit_items=8)
    DAMAGE["garbage request"](scene, damaged)

    claim = scene.claim()

    assert claim is not None
    assert [(unit.job_id, unit.crashes) for unit in claim.units] == [(sound, 0)]


def test_a_unit_that_cannot_be_named_costs_only_its_own_job(scene: Scene):
    ahead = {scene.submit_units(1, unit_items=8) for _ in range(2)}
    damaged = scene.submit_units(1, unit_items=8)
    behind = scene.submit_units(1, unit_items=8)
    scene.redis.zadd(scene.keys.todo(damaged), {b"\xff": 0})
    scene.redis.zrem(scene.keys.todo(damaged), "0")

    claimed = claim_all(scene)

    assert claimed == {*ahead, behind}
    assert all(scene.record(job_id).state is JobState.COMPLETED for job_id in claimed)
    assert scene.record(damaged).state is JobState.FAILED
    assert scene.ledger.jobs.quarantined() == 1


def test_a_job_ends_and_goes_whatever_stands_at_its_idempotency_key(scene: Scene):
    job = a_classify_job(idempotency_key="once")
    job_id = scene.submit_units(1, job)
    name = scene.keys.idempotency("default", "once")
    scene.redis.delete(name)
    scene.redis.rpush(name, "a list")

    claim_all(scene)

    assert scene.record(job_id).state is JobState.COMPLETED
    scene.ledger.control.remove(job_id)
    assert not scene.ledger.jobs.exists(job_id)
    assert scene.redis.lrange(name, 0, -1) == [b"a list"]


@pytest.mark.parametrize("flow", ["default", ":group"])
def test_a_virtual_time_that_is_text_begins_anew(scene: Scene, flow: str):
    job_id = scene.submit_units(2)
    group = scene.redis.hget(scene.keys.job(job_id), "group").decode()
    scene.redis.hset(scene.keys.group(group) + ":virtual_times", flow, "many")
    behind = scene.submit_units(1)

    assert claim_all(scene) == {job_id, behind}

    assert scene.record(job_id).state is scene.record(behind).state is JobState.COMPLETED


def test_a_job_whose_state_was_taken_away_after_its_end_holds_nobody_up(scene: Scene):
    ended, sound = (scene.submit_units(1) for _ in range(2))
    group = scene.redis.hget(scene.keys.job(ended), "group").decode()
    scene.ledger.control.cancel(ended)
    DAMAGE["no state"](scene, ended)
    scene.redis.zadd(scene.keys.group(group), {ended: 0})

    assert claim_all(scene) == {sound}


def test_a_group_with_a_job_that_nobody_handed_in_goes_on(scene: Scene):
    job_id = scene.submit_units(1)
    group = scene.redis.hget(scene.keys.job(job_id), "group").decode()
    for name in ("nobody", "a}b{c", "a\nb", "\xff" * 100, ""):
        scene.redis.zadd(scene.keys.group(group), {name: 0})
        scene.redis.zadd(scene.keys.todo(name), {"0": 0})

    assert claim_all(scene) >= {job_id}
    assert scene.record(job_id).state is JobState.COMPLETED


def test_a_route_with_a_group_that_is_none_goes_on(scene: Scene):
    route = scene.keys.route(CLASSIFY, "normal")
    scene.redis.zadd(route, {"string": 0, "empty": 0})
    scene.redis.set(scene.keys.group("string"), "a string")
    job_id = scene.submit_units(1)

    assert claim_all(scene) == {job_id}


def test_a_route_that_is_none_leads_to_new_jobs_again(scene: Scene):
    route = scene.keys.route(CLASSIFY, "normal")
    scene.redis.set(route, "a string")
    assert scene.claim() is None

    job_id = scene.submit_units(1)

    assert claim_all(scene) == {job_id}


@pytest.mark.parametrize("member", ["", "one-word", "a b c", "\xff\xfe"])
def test_a_warning_that_names_no_job_is_in_no_others_way(scene: Scene, member: str):
    scene.redis.zadd(scene.keys.warnings(), {member: 0})

    scene.ledger.work.expire()

    assert scene.redis.zcard(scene.keys.warnings()) == 0


def test_a_lease_that_names_no_unit_keeps_no_other_from_being_given_back(scene: Scene):
    job_id = scene.submit_units(1)
    scene.claim_unit("worker-a")
    scene.redis.sadd(scene.keys.worker_leases("worker-a"), "one-word", "")

    scene.ledger.work.release_worker("worker-a", crashed=False)

    assert scene.claim_unit("worker-b").job_id == job_id


def max_score(scene: Scene) -> int:
    """When the last timer is due."""
    return int(scene.redis.zrange(scene.keys.timers(), -1, -1, withscores=True)[0][1])


@pytest.mark.parametrize("member", ["", "one-word", "a b c", "gone 0", "\xff\xfe 0"])
def test_a_timer_that_names_no_unit_keeps_no_lease_from_running_out(scene: Scene, member: str):
    brief = scene.with_settings(lease_s=0.001)
    job_id = brief.submit_units(1)
    brief.claim_unit()
    scene.redis.zadd(scene.keys.timers(), {member: 0})

    brief.wait_for_clock(max_score(scene))
    brief.ledger.work.expire()

    assert scene.claim_unit().job_id == job_id
    assert scene.redis.zcard(scene.keys.timers()) == 1


def test_a_lease_of_a_damaged_job_keeps_no_other_from_running_out(scene: Scene):
    brief = scene.with_settings(lease_s=0.001)
    damaged, sound = (brief.submit_units(1, job_id=name) for name in ("damaged", "sound"))
    assert {brief.claim_unit().job_id, brief.claim_unit().job_id} == {damaged, sound}
    scene.redis.hset(scene.keys.crashes(damaged), "0", "many")

    brief.wait_for_clock(max_score(scene))
    brief.ledger.work.expire()

    assert scene.claim_unit().job_id == sound
    assert scene.record(damaged).state is JobState.FAILED


def test_a_worker_that_fails_a_damaged_job_gets_rid_of_it(scene: Scene):
    job_id = scene.submit_units(1)
    unit = scene.claim_unit()
    scene.redis.hset(scene.keys.job(job_id), "total", "many")

    assert scene.ledger.work.fail_job(unit, a_failure())

    assert scene.record(job_id).state is JobState.FAILED
    assert scene.claim() is None


def test_a_worker_gives_everything_back_though_one_of_its_jobs_is_damaged(scene: Scene):
    jobs = [scene.submit_units(1) for _ in range(6)]
    held = {scene.claim_unit().job_id for _ in jobs}
    damaged = jobs[2]
    DAMAGE["no group"](scene, damaged)

    scene.ledger.work.release_worker("worker-a", crashed=True)

    assert held == set(jobs)
    assert not any(scene.redis.exists(scene.keys.leases(job_id)) for job_id in jobs)
    assert scene.record(damaged).state is JobState.FAILED
    assert claim_all(scene) == held - {damaged}


def test_a_damaged_job_costs_no_other_its_lease(scene: Scene):
    damaged, sound = (scene.submit_units(1) for _ in range(2))
    units = [scene.claim_unit() for _ in range(2)]
    DAMAGE["leases are a string"](scene, damaged)

    kept = scene.ledger.work.renew(units)

    assert [unit.job_id for unit in units] == [damaged, sound]
    assert kept == [Renewal.LOST, Renewal.KEPT]


def release_unit(scene: Scene, unit: Unit) -> bool:
    return scene.ledger.work.release_unit(unit)


def split(scene: Scene, unit: Unit) -> bool:
    return scene.ledger.work.split(unit, (a_chunk(1), a_chunk(1, first=1)))


@pytest.mark.parametrize("give_up", [release_unit, split])
def test_a_unit_of_a_damaged_job_can_be_given_up(scene: Scene, give_up):
    job_id = scene.submit_units(1)
    unit = scene.claim_unit()
    DAMAGE["no group"](scene, job_id)

    assert not give_up(scene, unit)

    assert scene.record(job_id).state is JobState.FAILED


def test_no_job_fails_for_damage_outside_of_it(scene: Scene):
    job_id = scene.submit_units(1)
    unit = scene.claim_unit()
    account = scene.keys.tenant("default")
    scene.redis.delete(account)
    scene.redis.set(account, "a string")

    with pytest.raises(RedisUnreachable) as refused:
        scene.commit(unit)

    assert str(refused.value).startswith(
        f"Redis refused what came of unit 0 of job {job_id}, which is sound: "
    )
    assert str(refused.value).endswith(". The unit is tried again.")
    assert scene.record(job_id).state is JobState.RUNNING


def a_later_job(scene: Scene, units: int) -> str:
    """Hand in what a client of the next version of seqd would."""
    job_id = scene.submit_units(units)
    spec = a_classify_job().model_dump_json().replace('"schema_version":1', '"schema_version":2')
    scene.redis.hset(scene.keys.job(job_id), "spec", spec)
    return job_id


def test_a_job_of_a_later_version_is_left_to_workers_that_can_read_it(scene: Scene, caplog):
    later = a_later_job(scene, 1)
    sound = scene.submit_units(1)

    assert claim_all(scene) == {sound}

    assert scene.redis.hget(scene.keys.job(later), "state") == b"running"
    (timer,) = scene.redis.zrange(scene.keys.timers(), 0, -1, withscores=True)
    assert timer[0] == f"{later} 0".encode()
    assert 0 < timer[1] - scene.ledger.fleet.now_ms() <= LATER_WAIT_S * 1000
    assert f"job={later.encode()!r} is from a later version of seqd" in caplog.text
    assert scene.redis.hvals(scene.keys.crashes(later)) == []


def test_a_worker_that_cannot_read_a_job_leaves_most_of_its_units_where_they_are(scene: Scene):
    later = a_later_job(scene, MOST_LATER + 5)

    assert scene.claim() is None

    assert scene.redis.zcard(scene.keys.todo(later)) == 5


def test_looking_for_damage_changes_no_sound_job(scene: Scene):
    sound = scene.submit_units(2)
    before = scene.record(sound)
    scene.redis.zadd(scene.keys.timers(), {"one-word": 0})

    scene.ledger.work.expire()

    assert scene.record(sound) == before


@pytest.mark.parametrize("row", [b"garbage", b"{}", b'{"schema_version": 2}', b"[" * 100_000])
def test_a_catalog_entry_that_cannot_be_read_hides_no_other(scene: Scene, row: bytes):
    scene.ledger.fleet.publish_catalog([a_catalog_entry(model="markov")])
    scene.redis.hset(scene.keys.catalog(), "later", row)

    assert list(scene.ledger.fleet.catalog()) == ["markov"]


def test_a_worker_that_cannot_be_read_hides_no_other(scene: Scene):
    now_ms = scene.ledger.fleet.now_ms()
    scene.ledger.fleet.publish_worker(a_worker_status(worker="sound", seen_at_ms=now_ms))
    scene.redis.set(scene.keys.worker("later"), b'{"schema_version": 2}')
    scene.redis.zadd(scene.keys.workers(), {"later": now_ms})

    assert [status.worker for status in scene.ledger.fleet.workers()] == ["sound"]
