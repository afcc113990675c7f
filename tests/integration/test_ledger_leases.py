"""Units come back from workers that die, drain or give them up, and none of them twice."""

import pytest

from builders import a_classify_job, inline
from ledger_fixtures import BRIEFLY_S, CLASSIFY, GENERATE, Scene
from seqd.ledger.work import Unit

pytestmark = pytest.mark.processes


@pytest.fixture
def hasty(scene: Scene) -> Scene:
    """A scene in which leases run out within a millisecond, and a back-off takes one."""
    return scene.with_settings(lease_s=BRIEFLY_S, backoff_s=BRIEFLY_S)


def timer_of(scene: Scene, unit: Unit) -> float | None:
    return scene.redis.zscore(scene.keys.timers(), f"{unit.job_id} {unit.name}")


def crash(hasty: Scene, times: int) -> None:
    """Have the only unit's worker go silent so many times, waiting out each back-off."""
    for _ in range(times):
        while (claim := hasty.claim()) is None:
            hasty.expire_due()
        assert len(claim.units) == 1
        hasty.expire_due()


def test_a_lease_that_is_held_can_be_kept(scene: Scene) -> None:
    scene.submit_units(1)
    unit = scene.claim_unit()
    longer = scene.with_settings(lease_s=600.0)
    before = timer_of(scene, unit)

    kept = longer.ledger.work.renew([unit])

    after = timer_of(scene, unit)
    assert kept == [True]
    assert before is not None
    assert after is not None
    assert after - before >= 500_000


def test_nothing_to_keep_asks_nothing(scene: Scene) -> None:
    assert scene.ledger.work.renew([]) == []


def test_each_of_several_leases_is_kept_or_lost_on_its_own(scene: Scene) -> None:
    scene.submit_units(3)
    units = [scene.claim_unit() for _ in range(3)]
    scene.commit(units[1])

    assert scene.ledger.work.renew(units) == [True, False, True]


def test_a_lease_is_lost_when_another_worker_has_the_unit(hasty: Scene) -> None:
    hasty.submit_units(1)
    zombie = hasty.claim_unit("worker-a")
    hasty.expire_due()
    living = hasty.claim_unit("worker-b")

    assert hasty.ledger.work.renew([zombie, living]) == [False, True]


def test_a_lease_is_lost_when_it_has_expired_even_if_nobody_took_the_unit(hasty: Scene) -> None:
    hasty.submit_units(1)
    unit = hasty.claim_unit()
    hasty.expire_due()

    assert hasty.ledger.work.renew([unit]) == [False]
    assert hasty.claim_unit().attempt == 2


def test_a_lease_is_lost_when_its_job_is_cancelled(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    unit = scene.claim_unit()

    scene.ledger.control.cancel(job_id)

    assert scene.ledger.work.renew([unit]) == [False]
    assert timer_of(scene, unit) is None


def test_a_unit_that_is_released_is_claimable_at_once(scene: Scene) -> None:
    scene.submit_units(1)
    unit = scene.claim_unit("worker-a")

    assert scene.ledger.work.release_unit(unit)

    again = scene.claim_unit("worker-b")
    assert (again.name, again.attempt, again.crashes) == (unit.name, 2, 0)


def test_a_unit_that_is_released_for_later_waits(scene: Scene) -> None:
    scene.submit_units(1)
    unit = scene.claim_unit()

    assert scene.ledger.work.release_unit(unit, wait_s=0.02)

    early = scene.claim()
    due_ms = timer_of(scene, unit)
    woken = scene.expire_due()
    assert (early, woken) == (None, 1)
    assert due_ms is not None
    assert scene.ledger.fleet.now_ms() > due_ms
    assert scene.claim_unit().crashes == 0


def test_a_unit_can_be_released_as_crashed(scene: Scene) -> None:
    scene.submit_units(1)

    scene.ledger.work.release_unit(scene.claim_unit(), crashed=True)

    assert scene.claim_unit().crashes == 1


def test_a_unit_cannot_be_released_twice(scene: Scene) -> None:
    scene.submit_units(1)
    unit = scene.claim_unit()
    scene.ledger.work.release_unit(unit)
    current = scene.claim_unit()

    assert not scene.ledger.work.release_unit(unit, crashed=True)

    assert scene.ledger.work.renew([current]) == [True]
    assert scene.redis.hgetall(scene.keys.crashes(unit.job_id)) == {}


def test_a_drained_worker_gives_back_all_it_holds_and_nothing_else(scene: Scene) -> None:
    scene.submit_units(3)
    mine = [scene.claim_unit("worker-a") for _ in range(2)]
    other = scene.claim_unit("worker-b")
    scene.notified.clear()

    scene.ledger.work.release_worker("worker-a", crashed=False)

    again = [scene.claim_unit("worker-c") for _ in range(2)]
    assert [(unit.name, unit.crashes) for unit in again] == [("0", 0), ("1", 0)]
    assert scene.ledger.work.renew([*mine, other]) == [False, False, True]
    assert scene.notified[0] == CLASSIFY
    assert scene.redis.exists(scene.keys.worker_leases("worker-a")) == 0


def test_a_worker_that_died_leaves_a_crash_with_each_unit(scene: Scene) -> None:
    scene.submit_units(2)
    for _ in range(2):
        scene.claim_unit("worker-a")

    scene.ledger.work.release_worker("worker-a", crashed=True)

    assert [scene.claim_unit().crashes for _ in range(2)] == [1, 1]


def test_a_release_rings_once_for_each_route(scene: Scene) -> None:
    for model in ("imdb_lstm", "imdb_gru"):
        scene.submit_units(2, a_classify_job(model=model))
    routes = (CLASSIFY, "classify.imdb_gru", GENERATE)
    for _ in range(4):
        scene.claim("worker-a", routes)
    scene.notified.clear()

    scene.ledger.work.release_worker("worker-a", crashed=False)

    assert sorted(scene.notified) == ["classify.imdb_gru", CLASSIFY]


def test_a_worker_that_holds_nothing_releases_nothing(scene: Scene) -> None:
    scene.submit_units(1)
    unit = scene.claim_unit("worker-a")

    scene.ledger.work.release_worker("worker-b", crashed=True)

    assert scene.ledger.work.renew([unit]) == [True]


def test_the_list_of_what_a_worker_holds_outlives_its_leases_and_not_for_ever(
    scene: Scene,
) -> None:
    scene.submit_units(1)
    unit = scene.claim_unit("worker-a")
    key = scene.keys.worker_leases("worker-a")
    scene.redis.expire(key, 5)

    scene.ledger.work.renew([unit])

    assert scene.redis.ttl(key) == 24 * 3600


def test_silence_is_a_crash_and_the_unit_is_claimable_again(hasty: Scene) -> None:
    hasty.submit_units(1)
    hasty.claim_unit("worker-a")
    hasty.notified.clear()

    woken = hasty.expire_due()

    assert woken == 1
    assert hasty.notified == [CLASSIFY]
    assert hasty.claim_unit("worker-b").crashes == 1


def test_a_lease_that_runs_is_left_alone(scene: Scene) -> None:
    scene.submit_units(1)
    unit = scene.claim_unit()

    assert scene.ledger.work.expire() == 0
    assert scene.ledger.work.renew([unit]) == [True]


def test_the_wait_doubles_with_each_crash_after_the_first(hasty: Scene) -> None:
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


def test_a_unit_that_waits_is_not_claimable(hasty: Scene) -> None:
    hasty.submit_units(1)
    crash(hasty, times=2)

    early = hasty.claim()
    woken = hasty.expire_due()

    assert (early, woken) == (None, 1)
    assert hasty.claim_unit().crashes == 2


def test_a_unit_that_a_zombie_commits_while_it_waits_is_done(hasty: Scene) -> None:
    job_id = hasty.submit_units(2)
    zombie = hasty.claim_unit("worker-a")
    hasty.ledger.work.release_unit(zombie, wait_s=600.0)

    hasty.commit(zombie)

    assert timer_of(hasty, zombie) is None
    assert hasty.record(job_id).units_done == 1


def test_the_crashes_of_a_coalesced_claim_are_counted_for_each_unit(scene: Scene) -> None:
    for _ in range(2):
        scene.submit(a_classify_job(source=inline("good")), unit_items=2)
    assert len(scene.claim_names("worker-a")) == 2

    scene.ledger.work.release_worker("worker-a", crashed=True)

    assert [scene.claim_unit("worker-b").crashes for _ in range(2)] == [1, 1]


def test_all_of_a_fleet_that_died_is_woken_in_one_look(hasty: Scene) -> None:
    for _ in range(210):
        hasty.submit(a_classify_job(source=inline("good")), unit_items=300)
    assert len(hasty.claim_names()) == 210
    hasty.wait_for_clock(hasty.ledger.fleet.now_ms() + 2)

    assert [hasty.ledger.work.expire() for _ in range(2)] == [210, 0]


def test_a_unit_that_crashed_before_waits_also_when_its_worker_was_seen_to_die(
    scene: Scene,
) -> None:
    patient = scene.with_settings(backoff_s=100.0)
    job_id = patient.submit_units(1)
    patient.claim_unit()
    patient.ledger.work.release_worker("worker-a", crashed=True)
    again = patient.claim_unit()
    now_ms = scene.ledger.fleet.now_ms()

    patient.ledger.work.release_worker("worker-a", crashed=True)

    assert again.crashes == 1
    assert patient.claim() is None
    waits_until_ms = scene.redis.zscore(scene.keys.timers(), f"{job_id} 0")
    assert waits_until_ms == pytest.approx(now_ms + 100_000, abs=2_000)
