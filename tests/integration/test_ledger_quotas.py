"""What is refused before Redis is in danger, and what one job or tenant may take of it all."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import a_chunk, a_classify_job, a_text_chunk, a_train_job, some_results
from ledger_fixtures import BRIEFLY_S, Scene
from seqd.errors import QuotaExceeded, RedisFull
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd_schemas import Priority, UploadSource

pytestmark = pytest.mark.processes

#: What can change a tenant's account.
STEPS = ("submit", "claim", "commit", "split", "cancel", "pause")


def with_limits(scene: Scene, **limits: object) -> Scene:
    """Publish the limits that an operator has set, as a worker does when it boots."""
    changed = scene.with_settings(**limits)
    changed.ledger.fleet.publish_limits(changed.settings)
    return changed


def account(scene: Scene, tenant: str = "default") -> dict[str, int]:
    row = scene.redis.hgetall(scene.keys.tenant(tenant))
    return {name.decode(): int(value) for name, value in row.items()}


def test_a_tenant_with_as_many_open_jobs_as_it_may_have_is_refused_another(scene: Scene) -> None:
    with_limits(scene, max_tenant_jobs=2)
    first = scene.submit_units(1)
    scene.submit_units(1)

    with pytest.raises(QuotaExceeded) as refused:
        scene.submit_units(1)

    assert str(refused.value) == (
        "Tenant 'default' has 2 open jobs; allowed: 2 (SEQD_MAX_TENANT_JOBS of the workers). "
        "Nothing was written. Try again in 5 s, when some are done."
    )
    assert refused.value.retry_after_s == 5.0
    scene.submit_units(1, a_classify_job(tenant="other"))
    scene.ledger.control.cancel(first)
    scene.submit_units(1)


def test_a_request_that_is_sent_again_is_not_refused(scene: Scene) -> None:
    with_limits(scene, max_tenant_jobs=1)
    job = a_classify_job(idempotency_key="again")
    first = scene.submit(job, chunk=a_chunk(), sealed=True)

    assert scene.submit(job, chunk=a_chunk(), sealed=True) == first


def test_a_tenant_with_as_many_items_waiting_as_it_may_have_is_refused_more(scene: Scene) -> None:
    with_limits(scene, max_tenant_items=3)
    scene.submit_units(1)

    with pytest.raises(QuotaExceeded, match="has 2 items waiting; allowed: 3"):
        scene.submit_units(1)

    scene.commit(scene.claim_unit())
    scene.submit_units(1)


def test_an_upload_waits_until_the_tenants_other_items_are_done(scene: Scene) -> None:
    with_limits(scene, max_tenant_items=4)
    scene.submit_units(1)
    job_id = scene.submit(chunk=a_chunk())

    assert scene.append(job_id, 1) == "full"
    scene.commit(scene.claim_unit())
    assert scene.append(job_id, 1) == "added"


def test_a_tenant_with_as_many_bytes_waiting_as_it_may_have_is_refused_more(scene: Scene) -> None:
    with_limits(scene, max_tenant_bytes=64 * 1024)
    scene.redis.hset(scene.keys.tenant("default"), mapping={"bytes": 65_530, "jobs": 1})

    with pytest.raises(QuotaExceeded, match="has 65,530 bytes of input waiting; allowed: 65,536"):
        scene.submit_units(1)


def test_what_is_larger_than_the_whole_quota_may_come_alone(scene: Scene) -> None:
    with_limits(scene, max_tenant_items=1)

    scene.submit_units(1)

    with pytest.raises(QuotaExceeded):
        scene.submit_units(1)


def test_new_work_is_refused_before_redis_is_full(scene: Scene) -> None:
    job_id = scene.submit(chunk=a_chunk())
    used = int(scene.redis.info("memory")["used_memory"])
    with_limits(scene, max_memory_share=0.8)
    scene.redis.config_set("maxmemory", int(used * 1.1))
    try:
        with pytest.raises(RedisFull) as refused:
            scene.submit_units(1)
        waits = scene.append(job_id, 1)
    finally:
        scene.redis.config_set("maxmemory", 0)
        scene.redis.delete(scene.keys.memory())

    assert str(refused.value) == (
        "Redis has used up the share of its maxmemory that new jobs may take "
        "(SEQD_MAX_MEMORY_SHARE of the workers). Nothing was written. Raise maxmemory, wait until "
        "old jobs have outlived their results_ttl_s, or try again in 30 s."
    )
    assert refused.value.retry_after_s == 30.0
    assert waits == "full"
    assert scene.append(job_id, 1) == "added"


def test_work_in_hand_goes_on_where_new_work_is_refused(scene: Scene) -> None:
    job_id = scene.submit_units(2)
    with_limits(scene)
    scene.redis.set(scene.keys.memory(), "short")

    scene.commit(scene.claim_unit())
    scene.commit(scene.claim_unit())

    assert scene.record(job_id).state == "completed"


def test_a_redis_that_is_quite_full_refuses_with_the_time_to_wait(scene: Scene) -> None:
    with_limits(scene)
    scene.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(RedisFull) as refused:
            scene.submit_units(1)
    finally:
        scene.redis.config_set("maxmemory", 0)

    assert refused.value.retry_after_s == 30.0


@pytest.mark.parametrize("head", ["capped", "nothing to do"])
def test_a_claim_on_a_full_redis_gets_past_a_job_that_has_none_for_it(
    scene: Scene, head: str
) -> None:
    first = scene.submit_units(2, a_classify_job(max_running_units=1))
    held = scene.claim_unit()
    if head == "nothing to do":
        # A late commit of a unit that had gone back.
        scene.ledger.work.release_unit(held)
        scene.redis.zrem(scene.keys.todo(first), "0", "1")
    other = scene.submit_units(1)
    scene.redis.config_set("maxmemory", 1)
    try:
        claimed = scene.claim_names()
    finally:
        scene.redis.config_set("maxmemory", 0)

    assert claimed == [(other, "0")]


def test_no_limit_holds_until_a_worker_has_published_one(scene: Scene) -> None:
    assert scene.redis.exists(scene.keys.limits()) == 0

    for _ in range(3):
        scene.submit_units(1)


def test_a_job_has_no_more_units_under_way_than_it_asked_for(scene: Scene) -> None:
    job_id = scene.submit_units(4, a_classify_job(max_running_units=2))
    first, second = scene.claim_unit(), scene.claim_unit()

    assert scene.claim() is None
    scene.commit(first)
    third = scene.claim_unit()
    assert scene.claim() is None
    scene.commit(second)
    scene.commit(third)
    scene.commit(scene.claim_unit())
    assert scene.record(job_id).counts.succeeded == 8


def test_what_one_job_leaves_of_the_workers_is_for_the_others(scene: Scene) -> None:
    greedy = scene.submit_units(4, a_classify_job(max_running_units=1))
    other = scene.submit_units(1)

    assert scene.claim_names() + scene.claim_names() == [(greedy, "0"), (other, "0")]


@pytest.mark.parametrize("way", ["release_unit", "expire", "release"])
def test_a_unit_that_comes_back_makes_room_for_the_next(scene: Scene, way: str) -> None:
    quick = scene.with_settings(lease_s=BRIEFLY_S if way == "expire" else 30.0)
    job_id = scene.submit_units(2, a_classify_job(max_running_units=1))
    unit = quick.claim_unit()
    if way != "expire":
        assert scene.claim() is None

    if way == "release_unit":
        scene.ledger.work.release_unit(unit)
    elif way == "release":
        scene.ledger.work.release_worker("worker-a", crashed=False)
    else:
        quick.expire_due()

    assert scene.claim_names() == [(job_id, "0")]


def test_the_operator_bounds_the_units_of_every_job(scene: Scene) -> None:
    with_limits(scene, max_job_units=1)
    scene.submit_units(3, a_classify_job(max_running_units=2))
    scene.claim_unit()

    assert scene.claim() is None


def test_interactive_work_comes_first_however_much_is_waiting(scene: Scene) -> None:
    scene.submit_units(5, a_classify_job(priority=Priority.BULK))
    scene.claim_unit()
    urgent = scene.submit_units(1, a_classify_job(priority=Priority.INTERACTIVE))

    assert scene.claim_names() == [(urgent, "0")]


def test_an_upload_is_charged_and_its_account_goes_with_its_end(scene: Scene) -> None:
    job = a_train_job(source=UploadSource())
    job_id = scene.submit(job, version=None, unit_items=1)
    scene.ledger.submissions.append(job, job_id, 0, a_text_chunk())
    charged = account(scene)
    scene.ledger.submissions.seal(job, job_id, 1)
    sealed = account(scene)
    scene.ledger.control.cancel(job_id)

    assert charged["jobs"] == 1 and charged["bytes"] > 0 and "items" not in charged
    assert sealed == charged | {"items": 1}
    assert account(scene) == {}


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
def test_an_account_is_what_the_tenants_open_jobs_add_up_to(scene: Scene, steps: list[str]) -> None:
    jobs, held = [], []
    for step in steps:
        if step == "submit":
            jobs.append(scene.submit_units(2))
        elif step == "claim" and (claim := scene.claim()):
            held += claim.units
        elif step == "commit" and held:
            unit = held.pop()
            chunk = unpack_items(unit.blob)
            scene.ledger.work.commit(unit, some_results(len(chunk.items)), chunk)
        elif step == "split" and held:
            unit = held.pop()
            if parts := split_chunk(unpack_items(unit.blob)):
                scene.ledger.work.split(unit, parts)
        elif step == "cancel" and jobs:
            scene.ledger.control.cancel(jobs[0])
        elif step == "pause" and jobs:
            scene.ledger.control.pause(jobs[-1])

    records = [scene.record(job_id) for job_id in jobs]
    still_open = [record for record in records if not record.state.is_terminal]
    waiting = [scene.redis.hvals(scene.keys.input(record.job_id)) for record in still_open]
    expected = {
        "jobs": len(still_open),
        "items": sum(record.counts.processing for record in still_open),
        "bytes": sum(len(blob) for blobs in waiting for blob in blobs),
    }
    assert account(scene) == (expected if still_open else {})
    for job_id in jobs:  # the next example begins with nothing
        scene.ledger.control.cancel(job_id)
    assert account(scene) == {}
