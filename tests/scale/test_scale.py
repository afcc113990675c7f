"""What the signal does to a fleet under KEDA's and the HPA's rules, load by load.

`make scale-picture` draws the same courses.
"""

from functools import cache

import pytest

from scale.autoscaler import ScaledObject
from scale.loads import loads, one_huge_job
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


def test_one_huge_job_has_all_pods_and_they_go_when_it_is_done():
    course = course_of("one huge job")

    at_once_s = course.load.work_s / ScaledObject.max_replicas
    gone_s = max(at for at, pods in enumerate(course.replicas) if pods)

    assert max(course.replicas) == ScaledObject.max_replicas
    assert course.ended_s - 60 <= at_once_s + START_S + 90
    # The window, the halvings a minute, and the cooldown of the last.
    assert gone_s - course.ended_s <= ScaledObject.down_window_s + 5 * 60 + ScaledObject.cooldown_s


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
