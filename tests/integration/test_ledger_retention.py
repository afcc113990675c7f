"""What ended jobs keep is on their tenant's account, and the oldest go where there is no room.

What an account is after each step says `tests/model`.
"""

from pathlib import Path

import pytest

from builders import a_classify_job, a_text_chunk, a_train_job
from clock_fixtures import ClockServer
from ledger_fixtures import Environment, open_environment
from seqd.errors import UnknownJob
from seqd.ledger import connect
from seqd.ledger.figures import fleet_figures
from seqd.ledger.retention import Evictions
from seqd.settings import Settings
from seqd_schemas import TenantLimits, UploadSource

pytestmark = pytest.mark.processes


def kept_bytes(environment: Environment, tenant: str = "default") -> int:
    return environment.ledger.tenants.record(tenant).kept_bytes


def a_small_job(environment: Environment, **changes: object) -> str:
    job_id = environment.submit_units(1, a_classify_job(**changes))
    environment.commit(environment.claim_unit())
    return job_id


def exist(environment: Environment, *job_ids: str) -> list[bool]:
    return [environment.ledger.jobs.exists(job_id) for job_id in job_ids]


def test_figures_tell_what_a_tenant_keeps_of_what_it_may_and_how_many_jobs_were_removed_for_it(
    environment: Environment,
) -> None:
    a_small_job(environment)
    allowed = 2 * kept_bytes(environment) - 1
    environment.publish_limits(max_tenant_kept_bytes=allowed)
    a_small_job(environment)

    figures = environment.ledger.transport.run(fleet_figures(environment.ledger))

    assert figures.evictions == Evictions(tenant_kept_bytes=1, within_hour=1)
    assert figures.tenants is not None
    (tenant,) = figures.tenants
    assert (tenant.tenant, tenant.kept_bytes) == ("default", kept_bytes(environment))
    assert tenant.limits.kept_bytes == allowed


def test_jobs_that_are_removed_within_an_hour_of_their_end_are_counted_as_such(
    clock_server: ClockServer, tmp_path: Path
) -> None:
    """Of a job that ended an hour before nobody can say that there was no time to fetch it."""
    settings = Settings(redis_url=clock_server.url, data_dir=tmp_path)
    with connect(clock_server.url) as redis:
        environment = open_environment(redis, settings)
        old = a_small_job(environment)
        environment.publish_limits(max_tenant_kept_bytes=1)
        clock_server.step(3_600.0)
        recent = a_small_job(environment)
        after_an_hour = environment.ledger.retention.evictions()
        clock_server.step(3_500.0)
        last = a_small_job(environment)
        before_one = environment.ledger.retention.evictions()

        assert exist(environment, old, recent, last) == [False, False, True]
    assert after_an_hour == Evictions(tenant_kept_bytes=1, within_hour=0)
    assert before_one == Evictions(tenant_kept_bytes=2, within_hour=1)


def test_who_asks_for_or_reads_a_job_that_had_to_make_room_is_told_so(
    environment: Environment,
) -> None:
    first = environment.submit_units(40)
    for _ in range(40):
        environment.commit(environment.claim_unit())
    handle = environment.handle(first)
    lines = handle.result_lines()
    next(lines)
    environment.publish_limits(max_tenant_kept_bytes=1)
    a_small_job(environment)

    for read in (
        handle.record,
        lambda: list(handle.results()),
        lambda: list(handle.events()),
        lambda: list(lines),
    ):
        with pytest.raises(UnknownJob) as unknown:
            read()
        assert str(unknown.value) == (
            f"No job {first!r} any more. It had ended, and was removed before its time to make "
            "room: its tenant kept more than SEQD_MAX_TENANT_KEPT_BYTES of the workers, or Redis "
            "was short of memory. `seqd status` counts such jobs. Hand it in again, and fetch "
            "its results sooner, or give Redis more memory."
        )


@pytest.mark.parametrize("who", ["a worker", "an operator"])
def test_jobs_go_until_there_is_room_where_many_before_them_were_removed_by_hand(
    environment: Environment, who: str
) -> None:
    most = 64 * 1024
    for job_id in [a_small_job(environment) for _ in range(300)][:140]:
        environment.ledger.control.remove(job_id)
    before = kept_bytes(environment)

    if who == "a worker":
        environment.publish_limits(max_tenant_kept_bytes=most)
        environment.ledger.retention.evict()
    else:
        limits = TenantLimits(kept_bytes=most)
        environment.ledger.tenants.set_limits("default", limits, evicts=True)

    assert before > most >= kept_bytes(environment) > most - 1_000


def test_the_data_of_a_training_that_ended_is_on_the_account(environment: Environment) -> None:
    job = a_train_job(source=UploadSource())
    job_id = environment.submit(job, version=None, unit_items=1)
    environment.ledger.submissions.append(job, job_id, 0, a_text_chunk(500))
    size = environment.ledger.tenants.record("default").waiting_bytes

    environment.ledger.control.cancel(job_id)

    assert kept_bytes(environment) > size > 0
    environment.ledger.control.remove(job_id)
    assert kept_bytes(environment) == 0
