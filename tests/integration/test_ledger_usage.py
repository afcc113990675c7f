"""What tenants have used is counted once for each unit, by day, whoever computed it how often.

How many items and trainings these are, of any walk, says `tests/model`; here are tokens and time.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from builders import (
    a_chunk,
    a_classify_job,
    a_sweep_job,
    a_train_job,
    a_training_result,
    some_results,
)
from ledger_fixtures import Environment
from seqd.errors import InvalidRequest
from seqd.ledger.blobs import unpack_items
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Finished, Use
from seqd_schemas import TenantUsage

pytestmark = pytest.mark.processes

DAY_MS = 86_400_000


def today(environment: Environment) -> date:
    return datetime.fromtimestamp(environment.ledger.fleet.now_ms() / 1000, UTC).date()


def used(environment: Environment, **fields: object) -> TenantUsage:
    return TenantUsage.model_validate({"day": today(environment).isoformat()} | fields)


def commit(environment: Environment, unit: Unit, use: Use) -> CommitOutcome:
    """Commit results of all items of a unit."""
    chunk = unpack_items(unit.blob)
    results = some_results(len(chunk.items), first=chunk.first_index)
    return environment.ledger.work.commit(unit, results, use=use)


def write_day(environment: Environment, days_ago: int, **fields: str) -> str:
    """Write what was used on a day; `alice_items` is the field of that tenant's items."""
    number = environment.ledger.fleet.now_ms() // DAY_MS - days_ago
    key = environment.keys.usage(number)
    rows = {name.replace("_", " ", 1): value for name, value in fields.items()}
    if rows:
        environment.redis.hset(key, mapping=rows)
    return key


def test_units_count_with_their_items_tokens_and_time_also_where_they_are_committed_together(
    environment: Environment,
) -> None:
    environment.submit_units(2, a_classify_job(tenant="alice"))
    environment.submit_units(1, a_classify_job(tenant="bob"))
    for _ in range(3):
        commit(environment, environment.claim_unit(), Use(30, 1_500))
    for tenant in ("alice", "bob", "alice"):
        job = a_classify_job(tenant=tenant)
        environment.submit(job, chunk=a_chunk(1), sealed=True, unit_items=8)
    claim = environment.claim()
    assert claim is not None and len(claim.units) == 3
    environment.ledger.work.commit_batch(
        Finished(unit, some_results(1), use=Use(tokens=5, busy_ms=10)) for unit in claim.units
    )

    assert environment.ledger.tenants.usage() == [
        used(environment, tenant="alice", items=6, tokens=70, busy_s=3.02),
        used(environment, tenant="bob", items=3, tokens=35, busy_s=1.51),
    ]


def test_trainings_and_those_of_sweeps_count_as_trainings(environment: Environment) -> None:
    environment.submit(a_train_job(tenant="alice"), version=None, unit_items=1)
    work = environment.ledger.work
    work.commit_training(environment.claim_unit(), a_training_result(), Use(busy_ms=60_000))
    sweep = a_sweep_job(tenant="alice")
    environment.submit(sweep, chunk=a_chunk(1), sealed=True, version=None, unit_items=1)
    work.commit(environment.claim_unit(), some_results(1), use=Use(busy_ms=30_000))

    assert environment.ledger.tenants.usage() == [
        used(environment, tenant="alice", trainings=2, busy_s=90.0)
    ]


@pytest.mark.parametrize(("days", "keys"), [(2, 1), (0, 0)])
def test_a_day_is_kept_for_as_many_days_as_the_setting_says(
    environment: Environment, days: int, keys: int
) -> None:
    there = environment.with_settings(usage_days=days)
    there.submit_units(1)
    there.commit(there.claim_unit())

    key = environment.keys.usage(environment.ledger.fleet.now_ms() // DAY_MS)

    assert len(environment.ledger.tenants.usage()) == environment.redis.exists(key) == keys
    assert not keys or 2 * 86_400 < environment.redis.ttl(key) <= 3 * 86_400


def test_the_days_that_are_asked_for_come_in_order(environment: Environment) -> None:
    for days_ago in (1, 40, 3):
        write_day(environment, days_ago, alice_items=str(days_ago), bob_items="1")
    now = today(environment)
    usage = environment.ledger.tenants.usage

    assert [row.items for row in usage(tenant="alice")] == [40, 3, 1]
    since = now - timedelta(days=3)
    assert [row.items for row in usage(since=since, tenant="alice")] == [3, 1]
    until = now - timedelta(days=2)
    assert [row.items for row in usage(until=until, tenant="alice")] == [40, 3]
    both = usage(since=since, until=until)
    assert [(row.tenant, row.items) for row in both] == [("alice", 3), ("bob", 1)]
    assert usage(since=now + timedelta(days=1)) == []


def test_the_tenants_of_a_day_are_bounded_and_the_others_counted_together(
    environment: Environment,
) -> None:
    key = write_day(environment, 0)
    for what in ("items", "trainings", "tokens", "busy_ms"):
        environment.redis.hset(key, mapping={f"t{number} {what}": 1 for number in range(10_000)})

    for tenant in ("late", "later", "t5"):
        environment.submit_units(1, a_classify_job(tenant=tenant))
        commit(environment, environment.claim_unit(), Use(3, 4))

    found = {usage.tenant: usage for usage in environment.ledger.tenants.usage()}
    assert len(found) == 10_001
    assert (found["*"].items, found["*"].tokens, found["*"].busy_s) == (4, 6, 0.008)
    assert (found["t5"].items, found["t5"].tokens) == (3, 4)


@pytest.mark.parametrize("ends", ["cancelled", "completed"])
def test_what_the_units_of_a_job_took_is_counted_at_its_end_at_the_latest(
    environment: Environment, ends: str
) -> None:
    """Between two progress events it stands in the job, whose end may come by any script."""
    job_id = environment.submit_units(6)
    for _ in range(5):
        commit(environment, environment.claim_unit(), Use(tokens=10, busy_ms=1_000))

    if ends == "cancelled":
        environment.ledger.control.cancel(job_id)
    else:
        environment.commit(environment.claim_unit())

    items = 10 if ends == "cancelled" else 12
    assert environment.ledger.tenants.usage() == [
        used(environment, tenant="default", items=items, tokens=50, busy_s=5.0)
    ]


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("day", ["2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)])
def test_a_day_that_is_no_date_is_refused(environment: Environment, name: str, day: Any) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        environment.ledger.tenants.usage(**{name: day})

    assert str(refusal.value) == (f"{name} is {day!r}; allowed: a date, such as date(2026, 11, 1).")
