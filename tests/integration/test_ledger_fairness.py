"""What tenants, jobs and priorities get of the workers, by the work that it is.

Work is measured in full units, as the ledger does: items by `unit_items` of their model. The bounds
of these tests are those that the guides state. Shares among classes, and among tenants whose work
is alike, are held by the walks of `tests/model`.
"""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import a_chunk, a_classify_job, a_generate_job
from ledger_fixtures import CLASSIFY, GENERATE, Environment, queues_of
from seqd.ledger.work import Claim, LeftQueues
from seqd_schemas import Job, TenantLimits, queue_of

pytestmark = pytest.mark.processes

#: Items of a full unit.
FULL = 8

#: Full units by which tenants that always have work may differ, divided by the least weight of all,
#: when the work of each is divided by its own weight: one that is being handed out, one that a
#: batch was filled with, and one that tells queues apart. It was 2.0 in 500 random mixes.
TENANT_BOUND = 3.0

#: The same of a tenant's jobs of one model. It was 1.5.
JOB_BOUND = 3.0


def submit(environment: Environment, units: int, items: int = FULL, **fields: object) -> str:
    """Submit a job of so many units of so many items."""
    return submit_job(environment, a_classify_job(**fields), units, items)


def submit_job(environment: Environment, job: Job, units: int, items: int = FULL) -> str:
    job_id = environment.submit(job, chunk=a_chunk(items), unit_items=FULL)
    for unit in range(1, units):
        chunk = a_chunk(items, first=items * unit)
        environment.ledger.submissions.append(job, job_id, unit, chunk)
    return job_id


def set_weight(environment: Environment, tenant: str, weight: float) -> None:
    environment.ledger.tenants.set_limits(tenant, TenantLimits(weight=weight))


def claim(environment: Environment, worker: str = "worker-a") -> Claim:
    found = environment.claim(worker)
    assert found is not None, "nothing is claimable"
    return found


def shares(environment: Environment, claims: int, name_of: Callable[[str], str]) -> Counter[str]:
    """Claim so many times; returns the units that each got, by a name of their jobs."""
    found = [unit for _ in range(claims) for unit in claim(environment).units]
    return Counter(name_of(unit.job_id) for unit in found)


def tenant_of(environment: Environment) -> Callable[[str], str]:
    """Return who submitted a job."""
    return lambda job_id: environment.redis.hget(environment.keys.job(job_id), "tenant").decode()


def test_a_claim_of_one_item_counts_as_a_sixteenth_of_a_full_unit(
    environment: Environment,
) -> None:
    for seed in range(70):
        job = a_classify_job(tenant="tiny", parameters={"seed": seed})
        environment.submit(job, chunk=a_chunk(1), sealed=True, unit_items=256)
    large = a_classify_job(tenant="large")
    for _ in range(5):
        environment.submit(large, chunk=a_chunk(256), sealed=True, unit_items=256)

    got = shares(environment, 68, tenant_of(environment))

    assert got["large"] == pytest.approx(4, abs=1)


def test_who_comes_and_goes_gets_no_more_than_who_stays(environment: Environment) -> None:
    submit(environment, 60, items=2, tenant="stays")
    got: Counter[str] = Counter()

    for _ in range(20):  # A job of a full unit each time that the last one is done.
        if environment.ledger.tenants.record("goes").open_jobs == 0:
            submit(environment, 1, tenant="goes", parameters={"other": True})
        for unit in claim(environment).units:
            tenant = tenant_of(environment)(unit.job_id)
            got[tenant] += FULL if tenant == "goes" else 2
            environment.ledger.control.cancel(unit.job_id) if tenant == "goes" else None

    assert got["goes"] <= got["stays"] + FULL


@pytest.mark.parametrize(("weight", "batch"), [(1, (4, 4)), (3, (6, 2))], ids=["alike", "heavy"])
def test_a_batch_is_filled_in_fair_order_and_charged(
    environment: Environment, weight: int, batch: tuple[int, int]
) -> None:
    set_weight(environment, "many", weight)
    for number in range(60):
        submit(environment, 1, items=1, tenant="many" if number < 40 else "few")

    got = [shares(environment, 1, tenant_of(environment)) for _ in range(4)]

    assert got == [{"many": batch[0], "few": batch[1]}] * 4


def test_a_tenants_job_is_not_left_behind_by_its_like_ones_in_others_batches(
    environment: Environment,
) -> None:
    for number in range(200):
        submit(environment, 1, items=1, tenant="a")
        submit(environment, 1, items=1, tenant="b")
        if number == 20:
            waits = submit(environment, 5, items=1, tenant="b", parameters={"other": True})

    got = shares(environment, 30, lambda job_id: str(job_id == waits))

    assert got["True"] == 5


def test_who_used_what_others_left_idle_waits_for_eight_units_of_each_at_most(
    environment: Environment,
) -> None:
    work = environment.ledger.work
    submit(environment, 200, tenant="fast")
    submit_job(environment, a_generate_job(tenant="slow"), 40)
    for _ in range(150):
        assert work.claim("worker-a", queues_of((CLASSIFY,))) is not None
    submit_job(environment, a_generate_job(tenant="fast"), 40)

    waits = []
    for _ in range(30):
        found = work.claim("worker-b", queues_of((GENERATE,)))
        assert found is not None
        waits.append(found.job.tenant)

    assert waits.index("fast") <= 10
    assert Counter(waits[10:]) == {"fast": 10, "slow": 10}


def test_a_new_weight_holds_for_open_jobs_at_once_and_one_taken_away_is_one(
    environment: Environment,
) -> None:
    """Also of one that was charged for long, and stands far behind the others by it."""
    set_weight(environment, "ours", 0.01)
    for tenant in ("ours", "one"):
        submit(environment, 200, tenant=tenant)

    def share_of_ours() -> float:
        return shares(environment, 40, tenant_of(environment))["ours"]

    got = [share_of_ours()]
    for weight in (1, 3):
        set_weight(environment, "ours", weight)
        got.append(share_of_ours())
    record = environment.ledger.tenants.set_limits("ours", unset=["weight"])
    got.append(share_of_ours())

    assert got == pytest.approx([0, 20, 30, 20], abs=2)
    assert record.own == TenantLimits()


TENANTS = ("north", "south", "east")
MIXES = st.lists(
    # Of other sizes, room that a batch has left over goes to whose unit fits, whatever its weight.
    st.tuples(
        st.sampled_from(TENANTS),
        st.sampled_from([1, 2, 4, FULL]),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=3,
    max_size=8,
)
WEIGHTS = st.just((1.0, 1.0, 1.0)) | st.tuples(*[st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0])] * 3)


@given(mix=MIXES, weights=WEIGHTS, workers=st.integers(1, 3))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_tenants_that_always_have_work_get_it_by_weight_whatever_the_mix(
    environment: Environment,
    mix: list[tuple[str, int, int, bool]],
    weights: tuple[float, float, float],
    workers: int,
) -> None:
    """Of any jobs: sizes of units, parameters, models. So do a tenant's jobs of one model.

    What was claimed is released at once, so that nobody runs out of work.
    """
    environment.redis.flushdb()
    weight = dict(zip(TENANTS, weights, strict=True))
    for tenant, own in weight.items():
        set_weight(environment, tenant, own)
    jobs, queues = {}, dict[tuple[str, bool], list[str]]()
    for tenant, items, seed, is_generation in mix:
        make = a_generate_job if is_generation else a_classify_job
        job = make(tenant=tenant, parameters={"seed": seed})
        job_id = submit_job(environment, job, FULL // items + 2, items)
        jobs[job_id] = (tenant, items)
        queues.setdefault((tenant, is_generation), []).append(job_id)

    work: dict[str, float] = dict.fromkeys(weight, 0.0)
    by_job: dict[str, float] = dict.fromkeys(jobs, 0.0)
    for number in range(40):
        found = claim(environment, f"worker-{number % workers}")
        sizes = [(unit.job_id, jobs[unit.job_id][1] / FULL) for unit in found.units]
        assert sum(size for _, size in sizes) <= 1
        for job_id, size in sizes:
            by_job[job_id] += size
            work[jobs[job_id][0]] += size
        for unit in found.units:
            environment.ledger.work.release_unit(unit)

    there = {tenant for tenant, _ in jobs.values()}
    got = [work[tenant] / weight[tenant] for tenant in there]
    assert (max(got) - min(got)) * min(weight[one] for one in there) <= TENANT_BOUND, work
    for own_jobs in queues.values():
        got = [by_job[job_id] for job_id in own_jobs]
        assert max(got) - min(got) <= JOB_BOUND, by_job


def test_what_was_handed_out_is_forgotten_of_tenants_that_are_gone(
    environment: Environment,
) -> None:
    submit(environment, 60, tenant="stays")
    for number in range(20):
        submit(environment, 1, items=1, tenant=f"gone-{number}", parameters={"seed": number})
        claim(environment)
    shares(environment, 35, tenant_of(environment))

    times = environment.redis.zrange(environment.keys.virtual_times("normal"), 0, -1)

    assert set(times) == {b"stays", b":class", b":classify.imdb_lstm@3"}


#: Queues: one whose model is in memory, and two that are left.
MINE, ONE, OTHER = (queue_of(CLASSIFY, version) for version in (1, 2, 3))

LONG_S = 600.0


def submit_of(environment: Environment, *versions: int, **fields: object) -> None:
    for version in versions:
        job = a_classify_job(**fields)
        environment.submit(job, version=version, chunk=a_chunk(1), sealed=True, unit_items=1)


def version_of(claim: Claim | None) -> int | None:
    return None if claim is None else claim.version


def take(environment: Environment, *, after_ms: int = 0, **left: object) -> int | None:
    """Claim once, after a time by the server's clock; return the version of what was claimed."""
    seconds, microseconds = environment.redis.time()
    environment.wait_for_clock(seconds * 1_000 + microseconds // 1_000 + after_ms)
    return version_of(environment.ledger.work.claim("w", [MINE], LeftQueues(**left)))  # type: ignore[arg-type]


def test_without_other_work_what_nobody_has_is_claimed_at_once_and_what_another_has_after_a_wait(
    environment: Environment,
) -> None:
    submit_of(environment, 2, 3)

    held = take(environment, held=[ONE], left_s=LONG_S, held_s=LONG_S)
    cold = take(environment, cold=[OTHER], left_s=LONG_S, held_s=LONG_S)
    helped = take(environment, held=[ONE], left_s=LONG_S, held_s=0.01, after_ms=10)

    assert (held, cold, helped) == (None, 3, 2)
    assert environment.redis.hlen(environment.keys.since("normal")) == 0


def test_who_cannot_keep_up_is_helped_though_it_claims(environment: Environment) -> None:
    submit_of(environment, 2, 2, 2)
    assert version_of(environment.ledger.work.claim("holder", [ONE])) == 2

    alone = take(environment, held=[ONE], left_s=LONG_S, held_s=0.01, after_ms=10)
    submit_of(environment, 1)
    beside_other_work = take(environment, held=[ONE], left_s=LONG_S, held_s=0.01, after_ms=10)

    assert (alone, beside_other_work) == (2, 1)


@pytest.mark.parametrize(("kind", "wait_s"), [("cold", 0.05), ("held", 0.01)])
def test_beside_other_work_a_left_queue_is_claimed_from_once_nobody_has_for_a_while(
    environment: Environment, kind: str, wait_s: float
) -> None:
    """For five times as long where another worker has its model."""
    submit_of(environment, *[1] * 4, tenant="much")
    submit_of(environment, *[2] * 4, tenant="little")
    left = {kind: [ONE], "left_s": wait_s, "held_s": LONG_S}

    at_once = take(environment, **{**left, "left_s": LONG_S})
    later = [take(environment, **left, after_ms=50) for _ in range(2)]
    again = take(environment, **{**left, "left_s": LONG_S})

    assert at_once == 1
    assert 2 in later
    assert again == 1


def test_of_those_that_are_due_beside_other_work_the_longest_one_is_loaded(
    environment: Environment,
) -> None:
    submit_of(environment, *[1] * 6, tenant="much")
    submit_of(environment, 3, tenant="little", priority="interactive")
    take(environment, cold=[ONE], left_s=LONG_S, after_ms=10)
    submit_of(environment, 2, tenant="little", priority="interactive")

    due = take(environment, cold=[ONE, OTHER], left_s=0.0, after_ms=5)

    assert due == 3


def test_all_classes_are_looked_at_before_a_model_is_loaded(environment: Environment) -> None:
    submit_of(environment, 2, priority="interactive")
    submit_of(environment, 1, priority="bulk")

    assert take(environment, cold=[ONE], left_s=LONG_S) == 1
    assert take(environment, cold=[ONE], left_s=LONG_S) == 2
