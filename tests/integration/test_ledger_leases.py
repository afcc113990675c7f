"""Units come back from workers that die, drain or give them up, and none of them twice."""

import pytest

from builders import a_classify_job, inline
from ledger_fixtures import BRIEFLY_S, CLASSIFY, GENERATE, Environment
from seqd.ledger.units import Death, Unit
from seqd_schemas import DeathCause

pytestmark = pytest.mark.processes


@pytest.fixture
def hasty(environment: Environment) -> Environment:
    """An environment in which leases run out within a millisecond, and a back-off takes one."""
    return environment.with_settings(lease_s=BRIEFLY_S, backoff_s=BRIEFLY_S)


def timer_of(environment: Environment, unit: Unit) -> float | None:
    return environment.redis.zscore(environment.keys.timers(), f"{unit.job_id} {unit.name}")


def crash(hasty: Environment, times: int) -> None:
    """Have the only unit's worker go silent so many times, waiting out each back-off."""
    for _ in range(times):
        while (claim := hasty.claim()) is None:
            hasty.expire_due()
        assert len(claim.units) == 1
        hasty.expire_due()


def test_a_lease_that_is_held_can_be_kept(environment: Environment) -> None:
    environment.submit_units(1)
    unit = environment.claim_unit()
    longer = environment.with_settings(lease_s=600.0)
    before = timer_of(environment, unit)

    kept = longer.ledger.work.renew([unit])

    after = timer_of(environment, unit)
    assert kept == [True]
    assert before is not None
    assert after is not None
    assert after - before >= 500_000


def test_nothing_to_keep_asks_nothing(environment: Environment) -> None:
    assert environment.ledger.work.renew([]) == []


def test_each_of_several_leases_is_kept_or_lost_on_its_own(environment: Environment) -> None:
    environment.submit_units(3)
    units = [environment.claim_unit() for _ in range(3)]
    environment.commit(units[1])

    assert environment.ledger.work.renew(units) == [True, False, True]


def test_a_unit_says_how_often_it_was_released_by_workers_not_fit_for_it_and_by_whom_last(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(2)
    for worker in ("worker-a", "worker a spaced"):
        unit = environment.claim_unit()
        assert environment.ledger.work.release_unit(unit, faulted_by=worker)

    faulted, other = environment.claim_unit(), environment.claim_unit()

    assert faulted.faults is not None
    assert (faulted.faults.count, faulted.faults.worker) == (2, "worker a spaced")
    assert 0 <= faulted.faults.age_s < 60
    assert (faulted.crashes, other.faults) == (0, None)
    environment.commit(faulted)
    environment.commit(other)
    assert environment.redis.exists(environment.keys.faults(job_id)) == 0


def test_how_a_worker_died_is_noted_for_its_units_and_told_once_a_job(
    environment: Environment,
) -> None:
    work, death = environment.ledger.work, Death(DeathCause.HANG, message='It "hung" in a\nloop.')
    job_id = environment.submit_units(3)
    for _ in range(2):
        environment.claim_unit("worker-a")

    work.release_worker("worker-a", crashed=True, death=death)

    units = [environment.claim_unit("worker-b") for _ in range(3)]
    assert [unit.death for unit in units] == [death, death, None]
    assert [unit.faults for unit in units] == [None, None, None]
    assert environment.events(job_id).count("log") == 1
    for unit in units:
        environment.commit(unit)
    assert environment.redis.exists(environment.keys.faults(job_id)) == 0


def test_all_leases_of_a_worker_that_stands_still_can_be_kept_and_its_jobs_are_told_once(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(3)
    held = [environment.claim_unit("worker-a") for _ in range(2)]
    other = environment.claim_unit("worker-b")
    before = [timer_of(environment, unit) or 0.0 for unit in (*held, other)]
    longer = environment.with_settings(lease_s=600.0)

    longer.ledger.work.renew_worker("worker-a", "It stands still.")
    longer.ledger.work.renew_worker("worker-a")

    after = [timer_of(environment, unit) or 0.0 for unit in (*held, other)]
    assert [end - begin >= 500_000 for begin, end in zip(before, after, strict=True)] == (
        [True, True, False]
    )
    assert environment.events(job_id).count("log") == 1
    environment.ledger.work.release_worker("worker-a", crashed=False)
    assert [environment.claim_unit("worker-c").death for _ in held] == [None, None]


def test_a_lease_that_is_over_is_not_revived_for_a_worker_that_stands_still(
    hasty: Environment,
) -> None:
    hasty.submit_units(1)
    unit = hasty.claim_unit("worker-a")
    hasty.expire_due()

    hasty.ledger.work.renew_worker("worker-a")

    assert timer_of(hasty, unit) is None
    assert hasty.claim_unit("worker-b").crashes == 1


def test_a_lease_is_lost_when_another_worker_has_the_unit(hasty: Environment) -> None:
    hasty.submit_units(1)
    zombie = hasty.claim_unit("worker-a")
    hasty.expire_due()
    living = hasty.claim_unit("worker-b")

    assert hasty.ledger.work.renew([zombie, living]) == [False, True]


def test_a_lease_is_lost_when_it_has_expired_even_if_nobody_took_the_unit(
    hasty: Environment,
) -> None:
    hasty.submit_units(1)
    unit = hasty.claim_unit()
    hasty.expire_due()

    assert hasty.ledger.work.renew([unit]) == [False]
    assert hasty.claim_unit().attempt == 2


def test_a_lease_is_lost_when_its_job_is_cancelled(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()

    environment.ledger.control.cancel(job_id)

    assert environment.ledger.work.renew([unit]) == [False]
    assert timer_of(environment, unit) is None


def test_a_unit_that_is_released_is_claimable_at_once(environment: Environment) -> None:
    environment.submit_units(1)
    unit = environment.claim_unit("worker-a")

    assert environment.ledger.work.release_unit(unit)

    again = environment.claim_unit("worker-b")
    assert (again.name, again.attempt, again.crashes) == (unit.name, 2, 0)


def test_a_unit_that_is_released_for_later_waits(environment: Environment) -> None:
    environment.submit_units(1)
    unit = environment.claim_unit()

    now_ms = environment.ledger.fleet.now_ms()
    assert environment.ledger.work.release_unit(unit, wait_s=60.0)

    early = environment.claim()
    due_ms = timer_of(environment, unit)
    asleep = environment.ledger.work.expire()
    # Its time comes a minute sooner than it would.
    environment.redis.zincrby(environment.keys.timers(), -60_000, f"{unit.job_id} {unit.name}")
    woken = environment.expire_due()
    assert (early, asleep, woken) == (None, 0, 1)
    assert due_ms is not None and due_ms >= now_ms + 60_000
    assert environment.claim_unit().crashes == 0


def test_a_unit_can_be_released_as_crashed(environment: Environment) -> None:
    environment.submit_units(1)

    environment.ledger.work.release_unit(environment.claim_unit(), crashed=True)

    assert environment.claim_unit().crashes == 1


def test_a_unit_cannot_be_released_twice(environment: Environment) -> None:
    environment.submit_units(1)
    unit = environment.claim_unit()
    environment.ledger.work.release_unit(unit)
    current = environment.claim_unit()

    assert not environment.ledger.work.release_unit(unit, crashed=True)

    assert environment.ledger.work.renew([current]) == [True]
    assert environment.redis.hgetall(environment.keys.crashes(unit.job_id)) == {}


def test_a_drained_worker_releases_all_it_holds_and_nothing_else(environment: Environment) -> None:
    environment.submit_units(3)
    mine = [environment.claim_unit("worker-a") for _ in range(2)]
    other = environment.claim_unit("worker-b")
    environment.notified.clear()

    environment.ledger.work.release_worker("worker-a", crashed=False)

    again = [environment.claim_unit("worker-c") for _ in range(2)]
    assert [(unit.name, unit.crashes) for unit in again] == [("0", 0), ("1", 0)]
    assert environment.ledger.work.renew([*mine, other]) == [False, False, True]
    assert environment.notified[0] == CLASSIFY
    assert environment.redis.exists(environment.keys.worker_leases("worker-a")) == 0


def test_a_worker_that_died_leaves_a_crash_with_each_unit(environment: Environment) -> None:
    environment.submit_units(2)
    for _ in range(2):
        environment.claim_unit("worker-a")

    environment.ledger.work.release_worker("worker-a", crashed=True)

    assert [environment.claim_unit().crashes for _ in range(2)] == [1, 1]


def test_a_release_rings_once_for_each_route(environment: Environment) -> None:
    for model in ("imdb_lstm", "imdb_gru"):
        environment.submit_units(2, a_classify_job(model=model))
    routes = (CLASSIFY, "classify.imdb_gru", GENERATE)
    for _ in range(4):
        environment.claim("worker-a", routes)
    environment.notified.clear()

    environment.ledger.work.release_worker("worker-a", crashed=False)

    assert sorted(environment.notified) == ["classify.imdb_gru", CLASSIFY]


def test_a_worker_that_holds_nothing_releases_nothing(environment: Environment) -> None:
    environment.submit_units(1)
    unit = environment.claim_unit("worker-a")

    environment.ledger.work.release_worker("worker-b", crashed=True)

    assert environment.ledger.work.renew([unit]) == [True]


def test_the_list_of_what_a_worker_holds_outlives_its_leases_and_not_for_ever(
    environment: Environment,
) -> None:
    environment.submit_units(1)
    unit = environment.claim_unit("worker-a")
    key = environment.keys.worker_leases("worker-a")
    environment.redis.expire(key, 5)

    environment.ledger.work.renew([unit])

    assert environment.redis.ttl(key) == 24 * 3600


def test_silence_is_a_crash_and_the_unit_is_claimable_again(hasty: Environment) -> None:
    hasty.submit_units(1)
    hasty.claim_unit("worker-a")
    hasty.notified.clear()

    woken = hasty.expire_due()

    assert woken == 1
    assert hasty.notified == [CLASSIFY]
    assert hasty.claim_unit("worker-b").crashes == 1


def test_a_lease_that_runs_is_left_alone(environment: Environment) -> None:
    environment.submit_units(1)
    unit = environment.claim_unit()

    assert environment.ledger.work.expire() == 0
    assert environment.ledger.work.renew([unit]) == [True]


def test_the_wait_doubles_with_each_crash_after_the_first(hasty: Environment) -> None:
    patient = hasty.with_settings(backoff_s=100.0)
    hasty.submit_units(1)
    waits_ms = []

    for crashes in range(1, 5):
        unit = hasty.claim_unit()
        at_ms = timer_of(hasty, unit)
        assert at_ms is not None
        hasty.wait_for_clock(int(at_ms))
        now_ms = patient.ledger.fleet.now_ms()
        patient.ledger.work.expire()
        due_ms = timer_of(hasty, unit)
        waits_ms.append(0 if due_ms is None else due_ms - now_ms)
        if crashes > 1:
            hasty.redis.zadd(hasty.keys.timers(), {f"{unit.job_id} {unit.name}": 1})
            patient.ledger.work.expire()

    assert waits_ms == pytest.approx([0, 100_000, 200_000, 400_000], abs=2_000)


def test_a_unit_that_waits_is_not_claimable(hasty: Environment) -> None:
    hasty.submit_units(1)
    crash(hasty, times=2)

    early = hasty.claim()
    woken = hasty.expire_due()

    assert (early, woken) == (None, 1)
    assert hasty.claim_unit().crashes == 2


def test_a_unit_that_a_zombie_commits_while_it_waits_is_done(hasty: Environment) -> None:
    job_id = hasty.submit_units(2)
    zombie = hasty.claim_unit("worker-a")
    hasty.ledger.work.release_unit(zombie, wait_s=600.0)

    hasty.commit(zombie)

    assert timer_of(hasty, zombie) is None
    assert hasty.record(job_id).units_done == 1


def test_the_crashes_of_a_coalesced_claim_are_counted_for_each_unit(
    environment: Environment,
) -> None:
    for _ in range(2):
        environment.submit(a_classify_job(source=inline("good")), unit_items=2)
    assert len(environment.claim_names("worker-a")) == 2

    environment.ledger.work.release_worker("worker-a", crashed=True)

    assert [environment.claim_unit("worker-b").crashes for _ in range(2)] == [1, 1]


def test_all_of_a_fleet_that_died_is_woken_in_one_look(hasty: Environment) -> None:
    for _ in range(210):
        hasty.submit(a_classify_job(source=inline("good")), unit_items=300)
    assert [len(hasty.claim_names()) for _ in range(2)] == [200, 10]
    hasty.wait_for_clock(hasty.ledger.fleet.now_ms() + 2)

    assert [hasty.ledger.work.expire() for _ in range(2)] == [210, 0]


def test_a_unit_that_crashed_before_waits_also_when_its_worker_was_seen_to_die(
    environment: Environment,
) -> None:
    patient = environment.with_settings(backoff_s=100.0)
    job_id = patient.submit_units(1)
    patient.claim_unit()
    patient.ledger.work.release_worker("worker-a", crashed=True)
    again = patient.claim_unit()
    now_ms = environment.ledger.fleet.now_ms()

    patient.ledger.work.release_worker("worker-a", crashed=True)

    assert again.crashes == 1
    assert patient.claim() is None
    waits_until_ms = environment.redis.zscore(environment.keys.timers(), f"{job_id} 0")
    assert waits_until_ms == pytest.approx(now_ms + 100_000, abs=2_000)
