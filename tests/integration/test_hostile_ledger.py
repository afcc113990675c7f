"""Keys that somebody has written by hand: a job fails with its reason, the others run.

Or that a later release has written. On a real server, with no worker: what `seqd.ledger` makes of
damage. What a worker makes of it is in `test_hostile_worker`.
"""

import json

import pytest

from builders import (
    a_catalog_entry,
    a_chunk,
    a_classify_job,
    a_failure,
    a_generate_job,
    a_sweep_job,
    a_train_job,
    a_worker_status,
    some_results,
)
from ledger_fixtures import CLASSIFY, ROUTES, Environment
from seqd.errors import JobDamaged, LaterVersion, RedisUnreachable
from seqd.ledger.blobs import pack_json, unpack_items, unpack_results
from seqd.ledger.exchange import Taken
from seqd.ledger.failure_filter import ANY_FAILURE
from seqd.ledger.units import Unit
from seqd.ledger.work import LATER_WAIT_S, MOST_LATER, Renewal
from seqd_schemas import Failed, JobState, RunJob, UploadSource, queue_of, to_stored

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


def name_no_unit(environment: Environment, job_id: str) -> None:
    environment.redis.zadd(environment.keys.todo(job_id), {b"\xff": 0})
    environment.redis.zrem(environment.keys.todo(job_id), "0")


DAMAGE = {
    "garbage request": set_field("spec", b"\x80\x04\x95\xff pickle"),
    "request is no object": set_field("spec", "[]"),
    "no later version": set_field("spec", '{"format": "2"}'),
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
    "state is none": set_field("state", "asleep"),
    "total is text": set_field("total", "many"),
    "cancelled is text": set_field("cancelled", "many"),
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
    "unit that cannot be named": name_no_unit,
    "ended by hand, with a deadline that is none": lambda environment, job_id: (
        environment.redis.hset(
            environment.keys.job(job_id), mapping={"state": "completed", "expires_at": "soon"}
        )
    ),
    # It expires, though nobody knows any more within what time it should have been done.
    "no expires_in": set_field("expires_at", "1"),
}


def claim_all(environment: Environment, *, errored: int = 0) -> set[str]:
    """Claim and commit until nothing is left; returns the jobs whose units came."""
    jobs: set[str] = set()
    for _ in range(20):
        claim = environment.claim()
        if claim is None:
            return jobs
        jobs |= {unit.job_id for unit in claim.units}
        for unit in claim.units:
            environment.commit(unit, errored=errored)
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


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (set_field("state", "asleep"), "'asleep' is not a valid JobState"),
        (set_field("total", "many"), "invalid literal for int() with base 10: b'many'"),
        (set_field("spec", "{}"), "Unable to extract tag using discriminator 'kind'"),
        (drop_field("units"), "there is no field 'units'"),
    ],
)
def test_a_damaged_job_says_what_is_wrong_with_it_and_hides_no_other_from_the_list(
    environment: Environment, damage, reason: str
):
    sound, job_id, other_type = (environment.submit_units(1) for _ in range(3))
    damage(environment, job_id)
    DAMAGE["hash is a string"](environment, other_type)

    with pytest.raises(JobDamaged) as refused:
        environment.record(job_id)

    assert str(refused.value) == (
        f"What Redis holds of job {job_id} is not what seqd writes: {reason}. Somebody changed it "
        "by hand. Hand the job in again."
    )
    assert [record.job_id for record in environment.ledger.jobs.newest(10)] == [sound]


def test_what_a_damaged_job_had_is_kept_aside_for_whoever_looks(environment: Environment):
    keys, redis = environment.keys, environment.redis
    job_id = environment.submit_units(2)
    environment.commit(environment.claim_unit())
    results = redis.hget(keys.output(job_id), "0")
    DAMAGE["garbage request"](environment, job_id)
    at_its_commit = environment.submit_units(2)
    unit = environment.claim_unit()
    DAMAGE["units_done is text"](environment, at_its_commit)

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
def test_a_damaged_job_stays_of_its_kind(environment: Environment, kind: str):
    job_id = environment.submit_units(1, KINDS[kind])
    DAMAGE["garbage request"](environment, job_id)

    environment.claim(routes=(*ROUTES, "embed.vectors"))

    record = environment.record(job_id)
    due = (JobState.FAILED, kind, KINDS[kind].model)
    assert (record.state, record.kind, record.model) == due


#: What is left of a damaged job of two items on its tenant's account: items and jobs.
ACCOUNTS = {
    "garbage request": (0, 0),
    "no group": (0, 0),
    "todo is a string": (0, 0),
    # A commit fails at these: before it changes anything.
    "units_done is text": (0, 0),
    "no units_done": (0, 0),
    # Its counts cannot be read, so what waited stays until the last open job has ended.
    "total is text": (2, 0),
    "cancelled is text": (2, 0),
    # It does not say whose it is.
    "no tenant": (2, 1),
    "hash is a string": (2, 1),
}


@pytest.mark.parametrize("name", ACCOUNTS)
def test_a_damaged_job_is_taken_off_its_tenants_account(environment: Environment, name: str):
    sound, damaged = (environment.submit_units(1) for _ in range(2))
    unit = environment.claim_unit()
    DAMAGE[name](environment, damaged)

    claim_all(environment)

    items, jobs = ACCOUNTS[name]
    assert unit.job_id == sound
    account = environment.ledger.tenants.record("default")
    assert (account.waiting_items, account.open_jobs) == (2 + items, 1 + jobs)
    # The account goes with the last open job that is on it.
    environment.commit(unit)
    assert environment.redis.hexists(environment.keys.tenant("default"), "items") == bool(jobs)


def test_a_damaged_job_can_be_handed_in_again_with_its_idempotency_key(environment: Environment):
    job = a_classify_job(idempotency_key="once")
    DAMAGE["no group"](environment, environment.submit_units(1, job))
    claim_all(environment)

    again = environment.submit_units(1, job, job_id="again")

    assert again == "again"
    assert claim_all(environment) == {again}


#: What names no job and no unit.
NO_NAMES = ("", "one-word", "a b c", "gone 0", "a}b{c", "a\nb", "\xff\xfe", "\xff\xfe 0")


def tenants_that_are_none(environment: Environment) -> None:
    keys, queue = environment.keys, queue_of(CLASSIFY, 3)
    environment.redis.zadd(keys.queue(queue, "normal"), {"string": -2, "empty": -1})
    environment.redis.set(keys.tenant_jobs(queue, "normal", "string"), "a string")


def jobs_that_nobody_handed_in(environment: Environment) -> None:
    (job,) = environment.ledger.jobs.newest(1)
    group = environment.redis.hget(environment.keys.job(job.job_id), "group").decode()
    jobs = environment.keys.tenant_jobs(queue_of(CLASSIFY, 3), "normal", "default")
    for name in NO_NAMES:
        environment.redis.zadd(jobs, {name: 0, f"{group} {name}": 0})
        environment.redis.zadd(environment.keys.todo(name), {"0": 0})


def write_rows_that_seqd_has_not_written(environment: Environment) -> None:
    keys, redis = environment.keys, environment.redis
    day = environment.ledger.fleet.now_ms() // 86_400_000
    for key, field in (
        (keys.weights(), "default"),
        (keys.tenant_limits("default"), "jobs"),
        (keys.tenant_limits("default"), "priorities"),
        (keys.usage(day), "default tokens"),
        (keys.rates(), queue_of(CLASSIFY, 3)),
        (keys.work_done(), queue_of(CLASSIFY, 3)),
        (keys.evictions(), "tenant_kept_bytes"),
        (keys.limits(), "failures_ttl_s"),
        (keys.failures_replayed(), "1-0"),
        (keys.paused_models(), "other"),
        (keys.cordons(), "host:h2"),
        (keys.placements(), "moods"),
    ):
        redis.hset(key, field, b"1.5 \xff")
    redis.xadd(keys.failures(), {"f": b"\xff{"})
    redis.xadd(keys.failures(), {"f": "{}"}, id=f"{10**18}-0")


def put_a_string(name: str):
    """Put a string in the place of a key that all jobs share."""
    return lambda at: at.redis.set(getattr(at.keys, name)(), "a string")


def put_a_string_for_the_tenant(environment: Environment) -> None:
    keys, day = environment.keys, environment.ledger.fleet.now_ms() // 86_400_000
    for key in (keys.tenant_limits("default"), keys.usage(day)):
        environment.redis.set(key, "a string")


#: Damage to what is around jobs.
AROUND = {
    "virtual times": lambda at: at.redis.set(at.keys.virtual_times("normal"), "many"),
    "classes of a worker": lambda at: at.redis.set(at.keys.worker_classes("worker-a"), "many"),
    "tenants and queues": tenants_that_are_none,
    "jobs of a tenant": jobs_that_nobody_handed_in,
    "warnings": lambda at: at.redis.zadd(at.keys.warnings(), dict.fromkeys(NO_NAMES, 0)),
    "timers": lambda at: at.redis.zadd(at.keys.timers(), dict.fromkeys(NO_NAMES, 0)),
    "leases": lambda at: at.redis.sadd(at.keys.worker_leases("worker-a"), *NO_NAMES),
    "rows": write_rows_that_seqd_has_not_written,
    "limits and use of the tenant": put_a_string_for_the_tenant,
    **{
        name: put_a_string(name)
        for name in (
            *("weights", "rates", "work_done", "evictions", "evicted", "failures"),
            *("failures_replayed", "paused_models", "quarantined"),
        )
    },
}


@pytest.mark.parametrize("damage", AROUND.values(), ids=AROUND)
def test_damage_around_jobs_keeps_none_from_its_end_and_nobody_from_reading(
    environment: Environment, damage
):
    job_id = environment.submit_units(2)
    environment.claim_unit("worker-a")
    damage(environment)
    behind = environment.submit_units(1)

    environment.ledger.work.expire()
    environment.ledger.work.release_worker("worker-a", crashed=False)
    with_errors = environment.submit_units(1)

    assert {job_id, behind, with_errors} <= claim_all(environment, errored=1)
    ended = {environment.record(one).state for one in (job_id, behind, with_errors)}
    assert ended == {JobState.COMPLETED}
    warnings = environment.redis.zrange(environment.keys.warnings(), 0, -1)
    assert {name.encode() for name in NO_NAMES}.isdisjoint(warnings)
    read_what_is_around(environment)


def read_what_is_around(environment: Environment) -> None:
    """Read all that views show beside jobs; who has nothing to show shows nothing."""
    ledger = environment.ledger
    ledger.backlog.note_rate(queue_of(CLASSIFY, 3), 1, 1.0)
    for read in (
        *(ledger.backlog.rates, ledger.queues.states, ledger.overviews.read, ledger.figures.read),
        *(ledger.tenants.all, ledger.tenants.usage, ledger.retention.evictions),
        *(ledger.cordons.rules, ledger.placements.rules, ledger.model_pauses.all),
        *(ledger.failures.count, ledger.jobs.quarantined),
    ):
        read()
    ledger.transport.run(Taken(ledger.failures.pages(ANY_FAILURE)).take())
    assert len(ledger.jobs.newest(10)) == 3


def test_a_queue_that_is_none_leads_to_new_jobs_again(environment: Environment):
    environment.redis.set(environment.keys.queue(queue_of(CLASSIFY, 3), "normal"), "a string")
    environment.redis.set(environment.keys.queues("bulk"), "a string")
    assert environment.claim() is None

    jobs = {
        environment.submit_units(1, a_classify_job(priority=name)) for name in ("normal", "bulk")
    }

    assert claim_all(environment) == jobs


def max_score(environment: Environment) -> int:
    """When the last timer is due."""
    return int(environment.redis.zrange(environment.keys.timers(), -1, -1, withscores=True)[0][1])


def test_a_lease_of_a_damaged_job_keeps_no_other_from_running_out(environment: Environment):
    brief = environment.with_settings(lease_s=0.001)
    damaged, sound = (brief.submit_units(1, job_id=name) for name in ("damaged", "sound"))
    assert {brief.claim_unit().job_id, brief.claim_unit().job_id} == {damaged, sound}
    environment.redis.hset(environment.keys.crashes(damaged), "0", "many")
    environment.redis.zadd(environment.keys.timers(), dict.fromkeys(NO_NAMES, 0))

    brief.wait_for_clock(max_score(environment))
    brief.ledger.work.expire()

    assert environment.claim_unit().job_id == sound
    assert environment.record(damaged).state is JobState.FAILED


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


def fail_job(environment: Environment, unit: Unit) -> bool:
    return environment.ledger.work.fail_job(unit, a_failure())


@pytest.mark.parametrize(
    ("give_up", "damage"),
    [(release_unit, "no group"), (split, "no group"), (fail_job, "total is text")],
)
def test_a_unit_of_a_damaged_job_can_be_given_up(environment: Environment, give_up, damage: str):
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()
    DAMAGE[damage](environment, job_id)

    assert not give_up(environment, unit)
    assert environment.claim() is None

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
    fleet.publish_catalog([a_catalog_entry(model="markov")])
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
