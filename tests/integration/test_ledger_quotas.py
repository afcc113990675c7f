"""What is refused before Redis is in danger, and what one job or tenant may take of it all."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import a_chunk, a_classify_job, a_text_chunk, a_train_job, some_results
from ledger_fixtures import BRIEFLY_S, Environment
from seqd.errors import QuotaExceeded, RedisFull
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd_schemas import Priority, UploadSource

pytestmark = pytest.mark.processes

#: What can change a tenant's account.
STEPS = ("submit", "claim", "commit", "split", "cancel", "pause")


def with_limits(environment: Environment, **limits: object) -> Environment:
    """Publish the limits that an operator has set, as a worker does when it boots."""
    changed = environment.with_settings(**limits)
    changed.ledger.fleet.publish_limits(changed.settings)
    return changed


def account(environment: Environment, tenant: str = "default") -> dict[str, int]:
    """Return what of a tenant is open and waits."""
    row = environment.redis.hgetall(environment.keys.tenant(tenant))
    return {name.decode(): int(value) for name, value in row.items() if name != b"kept_bytes"}


def test_a_tenant_with_as_many_open_jobs_as_it_may_have_is_refused_another(
    environment: Environment,
) -> None:
    with_limits(environment, max_tenant_jobs=2)
    first = environment.submit_units(1)
    environment.submit_units(1)

    with pytest.raises(QuotaExceeded) as refused:
        environment.submit_units(1)

    assert str(refused.value) == (
        "Tenant 'default' has 2 open jobs; allowed: 2 (SEQD_MAX_TENANT_JOBS of the workers). "
        "Nothing was written. Try again in 5 s, when some are done."
    )
    assert refused.value.retry_after_s == 5.0
    environment.submit_units(1, a_classify_job(tenant="other"))
    environment.ledger.control.cancel(first)
    environment.submit_units(1)


def test_a_request_that_is_sent_again_is_not_refused(environment: Environment) -> None:
    with_limits(environment, max_tenant_jobs=1)
    job = a_classify_job(idempotency_key="again")
    first = environment.submit(job, chunk=a_chunk(), sealed=True)

    assert environment.submit(job, chunk=a_chunk(), sealed=True) == first


def test_a_tenant_with_as_many_items_waiting_as_it_may_have_is_refused_more(
    environment: Environment,
) -> None:
    with_limits(environment, max_tenant_items=3)
    environment.submit_units(1)

    with pytest.raises(QuotaExceeded, match="has 2 items waiting; allowed: 3"):
        environment.submit_units(1)

    environment.commit(environment.claim_unit())
    environment.submit_units(1)


def test_an_upload_waits_until_the_tenants_other_items_are_done(environment: Environment) -> None:
    with_limits(environment, max_tenant_items=4)
    environment.submit_units(1)
    job_id = environment.submit(chunk=a_chunk())

    assert environment.append(job_id, 1) == "full"
    environment.commit(environment.claim_unit())
    assert environment.append(job_id, 1) == "added"


def test_a_tenant_with_as_many_bytes_waiting_as_it_may_have_is_refused_more(
    environment: Environment,
) -> None:
    with_limits(environment, max_tenant_bytes=64 * 1024)
    environment.redis.hset(environment.keys.tenant("default"), mapping={"bytes": 65_530, "jobs": 1})

    with pytest.raises(QuotaExceeded, match="has 65,530 bytes of input waiting; allowed: 65,536"):
        environment.submit_units(1)


def test_what_is_larger_than_the_whole_quota_may_come_alone(environment: Environment) -> None:
    with_limits(environment, max_tenant_items=1)

    environment.submit_units(1)

    with pytest.raises(QuotaExceeded):
        environment.submit_units(1)


def test_new_work_is_refused_before_redis_is_full(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())
    used = int(environment.redis.info("memory")["used_memory"])
    with_limits(environment, max_memory_share=0.8)
    environment.redis.config_set("maxmemory", int(used * 1.1))
    try:
        with pytest.raises(RedisFull) as refused:
            environment.submit_units(1)
        waits = environment.append(job_id, 1)
    finally:
        environment.redis.config_set("maxmemory", 0)
        environment.redis.delete(environment.keys.memory())

    assert str(refused.value) == (
        "Redis has used up the share of its maxmemory that new jobs may take "
        "(SEQD_MAX_MEMORY_SHARE of the workers). Nothing was written. Raise maxmemory, wait until "
        "old jobs have outlived their results_ttl_s, or try again in 30 s."
    )
    assert refused.value.retry_after_s == 30.0
    assert waits == "full"
    assert environment.append(job_id, 1) == "added"


def test_work_in_hand_goes_on_where_new_work_is_refused(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    with_limits(environment)
    environment.redis.set(environment.keys.memory(), "short")

    environment.commit(environment.claim_unit())
    environment.commit(environment.claim_unit())

    assert environment.record(job_id).state == "completed"


def test_a_redis_that_is_quite_full_refuses_with_the_time_to_wait(environment: Environment) -> None:
    with_limits(environment)
    environment.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(RedisFull) as refused:
            environment.submit_units(1)
    finally:
        environment.redis.config_set("maxmemory", 0)

    assert refused.value.retry_after_s == 30.0


@pytest.mark.parametrize("head", ["capped", "nothing to do"])
def test_a_claim_on_a_full_redis_gets_past_a_job_that_has_none_for_it(
    environment: Environment, head: str
) -> None:
    first = environment.submit_units(2, a_classify_job(max_running_units=1))
    held = environment.claim_unit()
    if head == "nothing to do":
        # A late commit of a unit that had gone back.
        environment.ledger.work.release_unit(held)
        environment.redis.zrem(environment.keys.todo(first), "0", "1")
    other = environment.submit_units(1)
    environment.redis.config_set("maxmemory", 1)
    try:
        claimed = environment.claim_names()
    finally:
        environment.redis.config_set("maxmemory", 0)

    assert claimed == [(other, "0")]


def test_no_limit_holds_until_a_worker_has_published_one(environment: Environment) -> None:
    assert environment.redis.exists(environment.keys.limits()) == 0

    for _ in range(3):
        environment.submit_units(1)


def test_a_job_has_no_more_units_under_way_than_it_asked_for(environment: Environment) -> None:
    job_id = environment.submit_units(4, a_classify_job(max_running_units=2))
    first, second = environment.claim_unit(), environment.claim_unit()

    assert environment.claim() is None
    environment.commit(first)
    third = environment.claim_unit()
    assert environment.claim() is None
    environment.commit(second)
    environment.commit(third)
    environment.commit(environment.claim_unit())
    assert environment.record(job_id).counts.succeeded == 8


def test_what_one_job_leaves_of_the_workers_is_for_the_others(environment: Environment) -> None:
    greedy = environment.submit_units(4, a_classify_job(max_running_units=1))
    other = environment.submit_units(1)

    assert environment.claim_names() + environment.claim_names() == [(greedy, "0"), (other, "0")]


@pytest.mark.parametrize("way", ["release_unit", "expire", "release"])
def test_a_unit_that_comes_back_makes_room_for_the_next(environment: Environment, way: str) -> None:
    quick = environment.with_settings(lease_s=BRIEFLY_S if way == "expire" else 30.0)
    job_id = environment.submit_units(2, a_classify_job(max_running_units=1))
    unit = quick.claim_unit()
    if way != "expire":
        assert environment.claim() is None

    if way == "release_unit":
        environment.ledger.work.release_unit(unit)
    elif way == "release":
        environment.ledger.work.release_worker("worker-a", crashed=False)
    else:
        quick.expire_due()

    assert environment.claim_names() == [(job_id, "0")]


def test_the_operator_bounds_the_units_of_every_job(environment: Environment) -> None:
    with_limits(environment, max_job_units=1)
    environment.submit_units(3, a_classify_job(max_running_units=2))
    environment.claim_unit()

    assert environment.claim() is None


def test_interactive_work_comes_first_however_much_is_waiting(environment: Environment) -> None:
    environment.submit_units(5, a_classify_job(priority=Priority.BULK))
    environment.claim_unit()
    urgent = environment.submit_units(1, a_classify_job(priority=Priority.INTERACTIVE))

    assert environment.claim_names() == [(urgent, "0")]


def test_an_upload_is_charged_and_its_account_goes_with_its_end(environment: Environment) -> None:
    job = a_train_job(source=UploadSource())
    job_id = environment.submit(job, version=None, unit_items=1)
    environment.ledger.submissions.append(job, job_id, 0, a_text_chunk())
    charged = account(environment)
    environment.ledger.submissions.seal(job, job_id, 1)
    sealed = account(environment)
    environment.ledger.control.cancel(job_id)

    assert charged["jobs"] == 1 and charged["bytes"] > 0 and "items" not in charged
    assert sealed == charged | {"items": 1}
    assert account(environment) == {}


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
def test_an_account_is_what_the_tenants_open_jobs_add_up_to(
    environment: Environment, steps: list[str]
) -> None:
    jobs, held = [], []
    for step in steps:
        if step == "submit":
            jobs.append(environment.submit_units(2))
        elif step == "claim" and (claim := environment.claim()):
            held += claim.units
        elif step == "commit" and held:
            unit = held.pop()
            chunk = unpack_items(unit.blob)
            environment.ledger.work.commit(unit, some_results(len(chunk.items)), chunk)
        elif step == "split" and held:
            unit = held.pop()
            if parts := split_chunk(unpack_items(unit.blob)):
                environment.ledger.work.split(unit, parts)
        elif step == "cancel" and jobs:
            environment.ledger.control.cancel(jobs[0])
        elif step == "pause" and jobs:
            environment.ledger.control.pause(jobs[-1])

    records = [environment.record(job_id) for job_id in jobs]
    still_open = [record for record in records if not record.state.is_terminal]
    waiting = [
        environment.redis.hvals(environment.keys.input(record.job_id)) for record in still_open
    ]
    expected = {
        "jobs": len(still_open),
        "items": sum(record.counts.processing for record in still_open),
        "bytes": sum(len(blob) for blobs in waiting for blob in blobs),
    }
    assert account(environment) == (expected if still_open else {})
    for job_id in jobs:  # the next example begins with nothing
        environment.ledger.control.cancel(job_id)
    assert account(environment) == {}
