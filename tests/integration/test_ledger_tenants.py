"""What an operator sets for a tenant holds from the next step on, and loses nothing.

What weights do is in `test_ledger_fairness`.
"""

import secrets

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job, a_generate_job
from inbox_builders import Producer, a_request
from ledger_fixtures import Environment, publish_entries
from seqd.admission import Admitted
from seqd.errors import (
    InvalidRequest,
    NotAllowed,
    QuotaExceeded,
    SeqdError,
    UnknownTenant,
    WrongState,
)
from seqd.ledger import tenants as tenants_module
from seqd.ledger.submissions import BatchTemplate
from seqd.worker.inbox import Inbox
from seqd_schemas import Item, ItemChunk, Priority, TenantLimits, TenantRecord

pytestmark = pytest.mark.processes

KIB = 1024

Fields = dict[str, object]


def set_limits(environment: Environment, name: str = "default", **limits: object) -> TenantRecord:
    return environment.ledger.tenants.set_limits(name, TenantLimits.model_validate(limits))


def large_ended_jobs(environment: Environment, tenant: str) -> list[str]:
    """Give five jobs that were cancelled, and keep 32 kB of input each."""
    jobs = []
    for _ in range(5):
        item = Item(custom_id="a", text=secrets.token_hex(32 * KIB))
        chunk = ItemChunk(first_index=0, items=(item,))
        jobs.append(environment.submit(a_classify_job(tenant=tenant), chunk=chunk))
        environment.ledger.control.cancel(jobs[-1])
    return jobs


OWN, ALL = "seqd tenants show alice", "SEQD_MAX_{} of the workers"
TRY_AGAIN = " ({}). Nothing was written. Try again in 5 s, when some are done."
JOBS = f"Tenant 'alice' has 1 open job; allowed: 1{TRY_AGAIN}"
ITEMS = f"Tenant 'alice' has 2 items waiting; allowed: 2{TRY_AGAIN}"
TTL = "results_ttl_s is 61; allowed: at most 60 ({}). Fetch the results within that time."

#: What all tenants may do, what this one may do, what it asks for, and what it is told.
REFUSED: dict[str, tuple[Fields, Fields, Fields, type[SeqdError], str]] = {
    "jobs of all": (
        {"max_tenant_jobs": 1},
        {},
        {},
        QuotaExceeded,
        JOBS.format(ALL.format("TENANT_JOBS")),
    ),
    "jobs": ({}, {"jobs": 1}, {}, QuotaExceeded, JOBS.format(OWN)),
    "items of all": (
        {"max_tenant_items": 2},
        {},
        {},
        QuotaExceeded,
        ITEMS.format(ALL.format("TENANT_ITEMS")),
    ),
    "items": ({}, {"items": 2}, {}, QuotaExceeded, ITEMS.format(OWN)),
    "no jobs": (
        {},
        {"jobs": 0},
        {},
        NotAllowed,
        f"Tenant 'alice' may hand in no job now ({OWN}). Nothing was written. The operator has to "
        "allow it.",
    ),
    "priority": (
        {},
        {"priorities": ["bulk"]},
        {"priority": "interactive"},
        NotAllowed,
        f"Tenant 'alice' may not use the priority interactive; allowed: bulk ({OWN}). Hand the job "
        "in with another priority.",
    ),
    "time to live of all": (
        {"max_results_ttl_s": 60},
        {},
        {"results_ttl_s": 61},
        InvalidRequest,
        TTL.format(ALL.format("RESULTS_TTL_S")),
    ),
    "time to live": (
        {},
        {"results_ttl_s": 60},
        {"results_ttl_s": 61},
        InvalidRequest,
        TTL.format(OWN),
    ),
}


@pytest.mark.parametrize(("all_may", "own", "asked", "kind", "said"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_by_a_limit_says_where_to_look_in_each_way_to_hand_jobs_in(
    environment: Environment,
    all_may: Fields,
    own: Fields,
    asked: Fields,
    kind: type[SeqdError],
    said: str,
) -> None:
    publish_entries(environment.ledger.fleet, [a_catalog_entry(model="echo")])
    plain: Fields = {"tenant": "alice", "results_ttl_s": 60}
    fields = plain | asked
    environment.publish_limits(**all_may)
    upload = environment.submit(a_classify_job(**plain), chunk=a_chunk())
    if own:
        set_limits(environment, "alice", **own)
    template = BatchTemplate(a_classify_job(**fields), Admitted(3, 8), "c")
    producer = Producer(environment.redis, environment.keys)
    inbox = Inbox(environment.ledger, environment.settings, "worker-a")

    with pytest.raises(kind) as refused:
        environment.submit_units(1, a_classify_job(**fields))
    (together,) = environment.ledger.submissions.submit_each(template, [("j1", a_chunk(1))])
    entry = producer.add_job(a_request(["a"], **fields), "mine")
    inbox.run_once()
    failure = producer.answer_to(entry).failure

    assert str(refused.value) == str(together) == said
    assert refused.value.retry_after_s == (5.0 if kind is QuotaExceeded else None)
    assert failure is not None
    assert (failure.code, failure.message) == (refused.value.code, said)
    # Others may, and what is open goes on.
    environment.submit_units(1, a_classify_job(**(fields if own else plain) | {"tenant": "bob"}))
    added = environment.append(upload, 1, job=a_classify_job(**plain))
    assert added == ("full" if "items" in said else "added")
    assert environment.claim() is not None


def test_fewer_kept_bytes_than_are_kept_are_refused_unless_ended_jobs_may_go(
    environment: Environment,
) -> None:
    jobs = large_ended_jobs(environment, "default")
    kept = environment.ledger.tenants.record("default").kept_bytes

    with pytest.raises(WrongState, match=f"keeps {kept:,} bytes .* Say --evict"):
        set_limits(environment, kept_bytes=64 * KIB)
    stayed = [environment.ledger.jobs.exists(job_id) for job_id in jobs]
    limits = TenantLimits(kept_bytes=64 * KIB)
    record = environment.ledger.tenants.set_limits("default", limits, evicts=True)

    assert stayed == [True] * 5
    assert record.kept_bytes <= 64 * KIB < 100_000 < kept
    assert environment.ledger.jobs.exists(jobs[-1])
    assert not environment.ledger.jobs.exists(jobs[0])


def test_what_was_set_is_shown_beside_what_holds_and_what_there_is_of_whoever_has_something(
    environment: Environment,
) -> None:
    environment.publish_limits(max_tenant_jobs=7, max_tenant_items=70)
    environment.submit_units(1, a_classify_job(tenant="keeps"))
    environment.commit(environment.claim_unit())
    environment.submit_units(2, a_classify_job(tenant="alice"))
    environment.submit_units(1, a_generate_job(tenant="waits"))

    record = set_limits(environment, "alice", jobs=3, weight=2.5, priorities=["bulk", "normal"])
    set_limits(environment, "limited", jobs=1)

    assert record.own == TenantLimits(
        jobs=3, weight=2.5, priorities=(Priority.BULK, Priority.NORMAL)
    )
    assert (record.limits.jobs, record.limits.items, record.limits.weight) == (3, 70, 2.5)
    assert (record.open_jobs, record.waiting_items) == (1, 4)
    shown, listed = environment.ledger.tenants.show("alice"), environment.ledger.tenants.all()
    assert shown == record
    assert [one.tenant for one in listed] == ["alice", "keeps", "limited", "waits"]
    assert listed[0] == record


def test_nothing_is_left_of_a_tenant_whose_limits_are_all_taken_away(
    environment: Environment,
) -> None:
    set_limits(environment, "alice", jobs=1, weight=2, priorities=["bulk"])
    with pytest.raises(UnknownTenant, match=r"Did you mean 'alice'\?"):
        environment.ledger.tenants.show("alcie")

    environment.ledger.tenants.set_limits("alice", unset=list(TenantLimits.model_fields))

    assert environment.redis.keys(f"{environment.keys.prefix}:*") == []
    with pytest.raises(UnknownTenant, match=r"^No tenant 'alice' has limits, jobs or results"):
        environment.ledger.tenants.show("alice")


def test_a_limit_that_is_both_set_and_taken_away_is_refused(environment: Environment) -> None:
    with pytest.raises(InvalidRequest, match=r"^jobs is to be set and to be taken away"):
        environment.ledger.tenants.set_limits("alice", TenantLimits(jobs=1), unset=["jobs"])

    assert environment.redis.keys(f"{environment.keys.prefix}:*") == []


def test_the_tenants_with_limits_are_bounded(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants_module, "MAX_TENANTS", 2)
    for name in ("a", "b"):
        set_limits(environment, name, jobs=1)

    with pytest.raises(QuotaExceeded, match=r"^2 tenants have limits of their own"):
        set_limits(environment, "c", jobs=1)

    set_limits(environment, "a", jobs=2)
    environment.ledger.tenants.set_limits("a", unset=["jobs"])
    set_limits(environment, "c", weight=2)
