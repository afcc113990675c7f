"""What the signal does to a fleet under KEDA's and the HPA's rules, load by load.

`make scale-picture` draws the same courses.
"""

from dataclasses import replace
from functools import cache

import pytest

from scale.autoscaler import Autoscaler, Metrics, ScaledObject
from scale.fleet import Fleet
from scale.loads import REVIEWS, Arrival, Load, loads, one_huge_job, wave
from scale.simulation import GRACE_S, SCRAPE_S, START_S, Course, Span, simulate

LOADS = {load.name: load for load in loads()}

#: From growing to shrinking, or back, at most.
TURNS_AN_HOUR = 2


@cache
def course_of(name: str) -> Course:
    return simulate(LOADS[name])


@pytest.fixture(params=LOADS)
def course(request: pytest.FixtureRequest) -> Course:
    return course_of(request.param)


def test_all_work_is_done_and_the_fleet_is_gone_at_the_end(course: Course):
    assert course.done_items == sum(arrival.items for arrival in course.load.arrivals)
    assert course.signal_s[-1] == 0
    assert course.replicas[-1] == 0


def test_a_fleet_of_none_wakes_for_the_first_job(course: Course):
    first_s = course.load.arrivals[0].at_s
    woken_s = next(at for at, pods in enumerate(course.replicas) if pods)

    assert course.replicas[: int(first_s)] == [0] * int(first_s)
    # Seen by a scrape, and then by KEDA's next look.
    assert woken_s - first_s <= SCRAPE_S + ScaledObject.polling_s + 1


def test_the_number_of_pods_does_not_flap(course: Course):
    assert course.turns <= TURNS_AN_HOUR * course.load.length_s / 3_600


def test_a_pod_that_ends_while_it_works_takes_no_longer_than_its_unit_and_loses_nothing(
    course: Course,
):
    longest_s = max(
        course.load.unit_items[queue] * item_s for queue, item_s in course.load.item_s.items()
    )

    assert longest_s < GRACE_S
    assert all(ending.took_s <= longest_s + 1 for ending in course.busy_endings)
    assert sum(ending.lost_s for ending in course.endings) == 0


def test_nothing_goes_before_the_work_is_done_but_what_is_not_needed(course: Course):
    """While much is left, the fleet is as large as the rules allow."""
    spec = ScaledObject()
    for at, (left_s, pods) in enumerate(zip(course.true_s, course.replicas, strict=True)):
        earlier_s = min(course.signal_s[max(0, at - 180) : at + 1])
        if left_s > spec.target_s and earlier_s > spec.target_s:
            assert pods >= min(spec.max_replicas, earlier_s / spec.target_s / (1 + 0.1)) - 1, at


def test_jobs_are_done_within_the_target_the_start_of_pods_and_a_few_looks():
    course = course_of("daily wave")

    waits_s = [
        left_s / max(pods, 1) for left_s, pods in zip(course.true_s, course.replicas, strict=True)
    ]

    # A scrape, a look, the start of a pod, and the work of the target.
    assert max(waits_s) <= 2 * (ScaledObject.target_s + START_S)


def test_one_huge_job_has_all_pods_and_they_go_when_it_is_done():
    course = course_of("one huge job")

    at_once_s = course.load.work_s / ScaledObject.max_replicas
    gone_s = max(at for at, pods in enumerate(course.replicas) if pods)

    assert max(course.replicas) == ScaledObject.max_replicas
    assert course.ended_s - 60 <= at_once_s + START_S + 90
    # The window, the halvings a minute, and the cooldown of the last.
    assert gone_s - course.ended_s <= ScaledObject.down_window_s + 5 * 60 + ScaledObject.cooldown_s


def test_idle_pods_go_before_busy_ones_by_the_deletion_cost(course: Course):
    # A cost is a few seconds old at worst.
    assert sum(e.was_busy and e.another_was_idle for e in course.endings) <= 2


@pytest.mark.parametrize(("has_cost", "busy_ended"), [(True, 0), (False, 4)])
def test_without_the_deletion_cost_the_youngest_go_whatever_they_do(
    has_cost: bool, busy_ended: int
):
    load = Load("four units", (Arrival(20, REVIEWS, 800),), {REVIEWS: 0.5}, {REVIEWS: 200}, 600)
    fleet = Fleet(load, start_s=10, grace_s=GRACE_S, has_deletion_cost=has_cost)
    fleet.scale(4, 0)
    for now_s in range(60):
        if now_s == 15:
            for pod in fleet.pods:  # older than those that work
                pod.ready_s = 100
            fleet.scale(8, now_s)
        if now_s == 40:
            for pod in fleet.pods[:4]:
                pod.ready_s = 10
        fleet.step(now_s)

    fleet.scale(4, 60)

    assert sum(pod.asked_s is not None and pod.unit is not None for pod in fleet.pods) == busy_ended


@pytest.mark.parametrize("to_s", [400, 1_500])
def test_a_prometheus_that_is_down_takes_no_pod_away(to_s: int):
    load = one_huge_job()
    outage = Span(200, to_s)

    course = simulate(load, outages=(outage,))

    during = course.replicas[outage.from_s : outage.to_s]
    assert during == [ScaledObject.max_replicas] * len(during)
    assert course.replicas[-1] == 0


def test_a_trickle_keeps_one_pod_and_not_one_start_for_each_job():
    course = course_of("trickle")

    assert max(course.replicas) == 1
    assert course.wakes <= 3 < len(course.load.arrivals) / 50


def test_an_activation_above_zero_would_let_the_last_item_wait_for_ever():
    load = Load("one item", (Arrival(30, REVIEWS, 1),), {REVIEWS: 0.05}, {REVIEWS: 200}, 1_800)

    woken, never = simulate(load), simulate(load, replace(ScaledObject(), activation=1.0))

    assert woken.done_items == 1
    assert never.done_items == 0


def test_the_hpa_goes_up_by_its_policies_and_down_by_the_highest_wish_of_its_window():
    scaler = Autoscaler(ScaledObject(target_s=10, cooldown_s=60, down_window_s=60))
    current, seen = 0, []
    for now_s in range(0, 315, 15):
        left_s = 90.0 if now_s <= 60 else 10.0 if now_s <= 200 else 0.0
        current = scaler.replicas(now_s, current, Metrics(left_s))
        seen.append(current)

    # 1 at once, then 4 more a period, then what is wished; after the window half a minute's pods;
    # the last one when nothing was active for longer than the cooldown.
    assert seen[:3] == [5, 9, 9]
    assert seen == sorted(seen[:5]) + sorted(seen[5:], reverse=True)
    assert seen[7] == 9
    assert seen[-1] == 0


def test_without_the_trigger_on_busy_workers_a_wave_is_followed_in_circles_and_costs_less():
    """What is left says nothing of what comes: pods that keep up with it make it vanish."""
    both, alone = course_of("daily wave"), simulate(wave(), ScaledObject(busy_target=None))

    assert both.turns == 1
    assert both.busy_endings == []
    assert alone.turns > 20
    assert len(alone.busy_endings) > 20
    # A unit of 200 items at 0.05 s, and the step of the simulation.
    assert max(ending.took_s for ending in alone.busy_endings) <= 11
    assert sum(ending.lost_s for ending in alone.busy_endings) == 0
    assert alone.pod_s < both.pod_s <= 1.6 * both.load.work_s
