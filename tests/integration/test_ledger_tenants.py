"""What an operator sets for a tenant holds from the next step on, and loses nothing."""

import secrets
from collections import Counter

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job, a_generate_job
from inbox_builders import Producer, a_request
from ledger_fixtures import Environment
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
from seqd.ledger.tenants import checked_limits
from seqd.worker.inbox import Inbox
from seqd_schemas import Item, ItemChunk, Priority, TenantLimits, TenantRecord

pytestmark = pytest.mark.processes

#: Items of a full unit.
FULL = 8


def set_limits(environment: Environment, name: str = "default", **limits: object) -> TenantRecord:
    return environment.ledger.tenants.set_limits(name, TenantLimits.model_validate(limits))


def with_settings(environment: Environment, **changes: object) -> Environment:
    """Publish the limits of a worker's settings, as it does when it boots."""
    changed = environment.with_settings(**changes)
    changed.ledger.fleet.publish_limits(changed.settings)
    return changed


def submit_many(environment: Environment, tenant: str, units: int, **fields: object) -> str:
    """Submit a job of so many full units."""
    job = a_classify_job(tenant=tenant, **fields)
    job_id = environment.submit(job, chunk=a_chunk(FULL), unit_items=FULL)
    for unit in range(1, units):
        chunk = a_chunk(FULL, first=FULL * unit)
        environment.ledger.submissions.append(job, job_id, unit, chunk)
    return job_id


def a_large_ended_job(environment: Environment, tenant: str) -> str:
    """Give a job that was cancelled, and keeps 32 kB of input."""
    item = Item(custom_id="a", text=secrets.token_hex(32 * 1024))
    chunk = ItemChunk(first_index=0, items=(item,))
    job_id = environment.submit(a_classify_job(tenant=tenant), chunk=chunk)
    environment.ledger.control.cancel(job_id)
    return job_id


def claimed(environment: Environment, claims: int, *, releases: bool = False) -> Counter[str]:
    """Claim so many times; return the units that each tenant got."""
    got: Counter[str] = Counter()
    for _ in range(claims):
        found = environment.claim()
        assert found is not None, "nothing is claimable"
        for unit in found.units:
            tenant = environment.redis.hget(environment.keys.job(unit.job_id), "tenant")
            assert tenant is not None
            got[tenant.decode()] += 1
            if releases:
                environment.ledger.work.release_unit(unit)
    return got


def test_a_refusal_by_a_tenants_own_limit_says_where_to_look(environment: Environment) -> None:
    set_limits(environment, "alice", items=3)
    environment.submit_units(1, a_classify_job(tenant="alice"))

    with pytest.raises(QuotaExceeded) as refused:
        environment.submit_units(1, a_classify_job(tenant="alice"))

    assert str(refused.value) == (
        "Tenant 'alice' has 2 items waiting; allowed: 3 (seqd tenants show alice). Nothing was "
        "written. Try again in 5 s, when some are done."
    )


def test_a_tenant_that_may_have_no_job_is_refused_and_its_open_jobs_go_on(
    environment: Environment,
) -> None:
    upload = environment.submit(a_classify_job(tenant="alice"), chunk=a_chunk())
    set_limits(environment, "alice", jobs=0)

    with pytest.raises(NotAllowed) as refused:
        environment.submit_units(1, a_classify_job(tenant="alice"))

    assert str(refused.value) == (
        "Tenant 'alice' may hand in no job now (seqd tenants show alice). Nothing was written. "
        "The operator has to allow it."
    )
    assert environment.append(upload, 1, job=a_classify_job(tenant="alice")) == "added"
    assert environment.commit(environment.claim_unit()) == "committed"


@pytest.mark.parametrize("priority", ["interactive", "normal"])
def test_a_priority_that_a_tenant_may_not_use_is_refused_with_those_that_it_may(
    environment: Environment, priority: str
) -> None:
    set_limits(environment, "alice", priorities=["bulk"])

    with pytest.raises(NotAllowed) as refused:
        environment.submit_units(1, a_classify_job(tenant="alice", priority=priority))

    assert refused.value.code == "not_allowed"
    assert str(refused.value) == (
        f"Tenant 'alice' may not use the priority {priority}; allowed: bulk (seqd tenants show "
        "alice). Hand the job in with another priority."
    )
    environment.submit_units(1, a_classify_job(tenant="alice", priority="bulk"))
    environment.submit_units(1, a_classify_job(tenant="bob", priority=priority))


def test_results_may_be_kept_as_long_as_the_tenants_own_limit_says(
    environment: Environment,
) -> None:
    with_settings(environment, max_results_ttl_s=3_600)
    set_limits(environment, "short", results_ttl_s=60)
    set_limits(environment, "long", results_ttl_s=7_200)

    with pytest.raises(InvalidRequest) as refused:
        environment.submit_units(1, a_classify_job(tenant="short", results_ttl_s=61))

    assert str(refused.value) == (
        "results_ttl_s is 61; allowed: at most 60 (seqd tenants show short). Fetch the results "
        "within that time."
    )
    environment.submit_units(1, a_classify_job(tenant="short", results_ttl_s=60))
    environment.submit_units(1, a_classify_job(tenant="long", results_ttl_s=7_200))
    with pytest.raises(InvalidRequest, match=r"at most 3,600 .SEQD_MAX_RESULTS_TTL_S of the"):
        environment.submit_units(1, a_classify_job(tenant="other", results_ttl_s=7_200))


@pytest.mark.parametrize(
    ("limits", "request_fields", "code"),
    [
        ({"priorities": ["bulk"]}, {"priority": "interactive"}, "not_allowed"),
        ({"jobs": 0}, {}, "not_allowed"),
        ({"results_ttl_s": 60}, {"results_ttl_s": 61}, "invalid_request"),
        ({"items": 1}, {}, "quota_exceeded"),
    ],
)
def test_an_entry_of_the_inbox_is_rejected_with_what_a_client_gets(
    environment: Environment,
    limits: dict[str, object],
    request_fields: dict[str, object],
    code: str,
) -> None:
    environment.ledger.fleet.publish_catalog([a_catalog_entry(model="echo")])
    environment.ledger.fleet.publish_limits(environment.settings)
    producer = Producer(environment.redis, environment.keys)
    inbox = Inbox(environment.ledger, environment.settings, "worker-a")
    set_limits(environment, "alice", **{"results_ttl_s": 31_622_400} | limits)
    if code == "quota_exceeded":
        environment.submit_units(1, a_classify_job(tenant="alice", results_ttl_s=60))

    entry = producer.add_job(a_request(["a"], tenant="alice", **request_fields), "mine")
    while producer.waiting():
        inbox.run_once()
    answer = producer.answer_to(entry)

    assert answer.outcome == "rejected"
    assert answer.failure is not None
    assert answer.failure.code == code
    assert "seqd tenants show alice" in answer.failure.message


def test_jobs_that_are_handed_in_together_are_refused_alike(environment: Environment) -> None:
    set_limits(environment, "alice", jobs=2)
    template = BatchTemplate(a_classify_job(tenant="alice"), version=3, unit_items=8, client="c")

    outcomes = environment.ledger.submissions.submit_each(
        template, ((f"j{number}", a_chunk(1)) for number in range(4))
    )

    assert [isinstance(outcome, SeqdError) for outcome in outcomes] == [False, False, True, True]


def test_fewer_kept_bytes_than_are_kept_are_refused_unless_ended_jobs_may_go(
    environment: Environment,
) -> None:
    jobs = [a_large_ended_job(environment, "default") for _ in range(5)]
    kept = environment.ledger.tenants.record("default").kept_bytes
    assert kept > 100_000

    with pytest.raises(WrongState, match=f"keeps {kept:,} bytes .* Say --evict"):
        set_limits(environment, kept_bytes=64 * 1024)

    assert all(environment.ledger.jobs.exists(job_id) for job_id in jobs)
    record = environment.ledger.tenants.set_limits(
        "default", TenantLimits(kept_bytes=64 * 1024), evicts=True
    )
    assert record.kept_bytes <= 64 * 1024
    assert environment.ledger.jobs.exists(jobs[-1])
    assert not environment.ledger.jobs.exists(jobs[0])


def test_a_tenant_that_may_keep_more_than_others_does(environment: Environment) -> None:
    with_settings(environment, max_tenant_kept_bytes=64 * 1024)
    set_limits(environment, "large", kept_bytes=10_000_000)
    kept = {}
    for tenant in ("large", "other"):
        for _ in range(5):
            a_large_ended_job(environment, tenant)
    environment.ledger.retention.evict()

    for tenant in ("large", "other"):
        kept[tenant] = environment.ledger.tenants.record(tenant).kept_bytes
    assert kept["large"] > 100_000
    assert kept["other"] <= 64 * 1024


def test_what_was_set_is_shown_beside_what_holds_and_what_there_is(
    environment: Environment,
) -> None:
    with_settings(environment, max_tenant_jobs=7, max_tenant_items=70)
    environment.submit_units(2, a_classify_job(tenant="alice"))

    record = set_limits(environment, "alice", jobs=3, weight=2.5, priorities=["bulk", "normal"])

    assert record.own == TenantLimits(
        jobs=3, weight=2.5, priorities=(Priority.BULK, Priority.NORMAL)
    )
    assert (record.limits.jobs, record.limits.items, record.limits.weight) == (3, 70, 2.5)
    assert (record.open_jobs, record.waiting_items) == (1, 4)
    assert environment.ledger.tenants.show("alice") == record
    assert environment.ledger.tenants.all() == [record]


def test_the_list_has_who_waits_who_keeps_and_who_has_limits(environment: Environment) -> None:
    environment.submit_units(1, a_classify_job(tenant="keeps"))
    environment.commit(environment.claim_unit())
    environment.submit_units(1, a_generate_job(tenant="waits"))
    set_limits(environment, "limited", jobs=1)

    names = [record.tenant for record in environment.ledger.tenants.all()]

    assert names == ["keeps", "limited", "waits"]


def test_nothing_is_left_of_a_tenant_whose_limits_are_all_taken_away(
    environment: Environment,
) -> None:
    set_limits(environment, "alice", jobs=1, weight=2, priorities=["bulk"])

    environment.ledger.tenants.set_limits("alice", unset=list(TenantLimits.model_fields))

    assert environment.redis.keys(f"{environment.keys.prefix}:*") == []
    with pytest.raises(UnknownTenant, match=r"^No tenant 'alice' has limits, jobs or results"):
        environment.ledger.tenants.show("alice")


def test_an_unknown_tenant_is_told_with_one_that_has_a_similar_name(
    environment: Environment,
) -> None:
    set_limits(environment, "alice", jobs=1)

    with pytest.raises(UnknownTenant, match=r"Did you mean 'alice'\?"):
        environment.ledger.tenants.show("alcie")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"weight": "0"}, "limit 'weight' is '0': Input should be greater than or equal to 0.01."),
        ({"weight": "-1"}, "limit 'weight' is '-1': Input should be greater than or equal to"),
        ({"weight": "1e9"}, "limit 'weight' is '1e9': Input should be less than or equal to 1000."),
        ({"weight": "nan"}, "limit 'weight' is 'nan': "),
        ({"weight": "heavy"}, "limit 'weight' is 'heavy': Input should be a valid number"),
        ({"jobs": "-1"}, "limit 'jobs' is '-1': Input should be greater than or equal to 0."),
        ({"items": "0"}, "limit 'items' is '0': Input should be greater than or equal to 1."),
        ({"bytes": "1"}, "limit 'bytes' is '1': Input should be greater than or equal to 65536."),
        ({"results_ttl_s": "1"}, "limit 'results_ttl_s' is '1': Input should be greater"),
        ({"priorities": ["urgent"]}, "limit 'priorities.0' is 'urgent': Input should be 'inter"),
        ({"priorities": []}, "limit 'priorities' is []: Tuple should have at least 1 item"),
    ],
)
def test_a_wrong_limit_is_refused_by_name_and_bound(
    limits: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_limits(limits)

    assert str(refused.value).startswith(message)


def test_a_change_that_says_nothing_or_two_things_is_refused(environment: Environment) -> None:
    set_limits_of = environment.ledger.tenants.set_limits

    with pytest.raises(InvalidRequest, match=r"^There is nothing to set. Name a limit: bytes, "):
        set_limits_of("alice", TenantLimits())
    with pytest.raises(InvalidRequest, match=r"'job' is no limit .* Did you mean 'jobs'"):
        set_limits_of("alice", unset=["job"])
    with pytest.raises(InvalidRequest, match=r"^jobs is to be set and to be taken away"):
        set_limits_of("alice", TenantLimits(jobs=1), unset=["jobs"])
    with pytest.raises(InvalidRequest, match=r"^The tenant is 'a b'; allowed: 1 to 64 letters"):
        set_limits_of("a b", TenantLimits(jobs=1))
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


@pytest.mark.parametrize("weight", ["heavy", "0", "-3", "1e300", "nan", "inf", "0x10", " 3"])
def test_a_weight_that_was_edited_by_hand_counts_as_one_and_is_named(
    environment: Environment, weight: str
) -> None:
    environment.redis.hset(environment.keys.weights(), "odd", weight)
    for tenant in ("odd", "one"):
        submit_many(environment, tenant, 20)

    assert claimed(environment, 20) == {"odd": 10, "one": 10}
    if weight != " 3":
        (said,) = environment.ledger.tenants.show("odd").damaged
        assert said == f"'weight' is {weight!r}, which seqd has not written."


def test_limits_that_were_edited_by_hand_are_not_heeded_and_named(
    environment: Environment,
) -> None:
    with_settings(environment, max_tenant_jobs=2)
    key = environment.keys.tenant_limits("odd")
    environment.redis.hset(
        key, mapping={"jobs": "-1", "items": "many", "priorities": "urgent", "colour": "blue"}
    )

    environment.submit_units(1, a_classify_job(tenant="odd"))
    environment.submit_units(1, a_classify_job(tenant="odd"))
    with pytest.raises(QuotaExceeded, match="SEQD_MAX_TENANT_JOBS"):
        environment.submit_units(1, a_classify_job(tenant="odd"))

    record = environment.ledger.tenants.show("odd")
    assert record.own == TenantLimits()
    assert sorted(record.damaged) == [
        "'colour' is 'blue', which seqd has not written.",
        "'items' is 'many', which seqd has not written.",
        "'jobs' is '-1', which seqd has not written.",
        "'priorities' is 'urgent', which seqd has not written.",
    ]


def test_keys_of_another_type_cost_no_claim_and_no_commit_and_are_made_anew(
    environment: Environment,
) -> None:
    day = environment.ledger.fleet.now_ms() // 86_400_000
    keys = environment.keys
    for key in (keys.weights(), keys.tenant_limits("default"), keys.usage(day)):
        environment.redis.set(key, "something else")

    job_id = environment.submit_units(1)
    assert environment.commit(environment.claim_unit()) == "completed"

    assert environment.record(job_id).state == "completed"
    damaged = environment.ledger.tenants.show("default").damaged
    assert [said.partition(":")[0] for said in damaged] == [
        "Its limits cannot be read",
        "Its weight cannot be read",
    ]
    assert environment.ledger.tenants.usage() == []
    assert set_limits(environment, jobs=1, weight=2).damaged == ()
