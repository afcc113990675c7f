"""The autoscale signal: seconds of work left, from items, rates and what trainings say."""

import pytest

from builders import a_worker_status
from seqd.kinds import kind_of_task
from seqd.scaling import (
    QueueWork,
    Rate,
    RouteWork,
    item_seconds,
    queue_seconds,
    work_left,
)

QUEUE = "classify.imdb_lstm@3"


def a_rate(items: float = 100.0, seconds: float = 2.0, at_ms: int = 1_000) -> Rate:
    return Rate(items, seconds, at_ms)


def test_a_new_version_is_reckoned_by_the_one_that_was_measured_last():
    rates = {
        "classify.imdb_lstm@1": a_rate(seconds=9.0, at_ms=1),
        "classify.imdb_lstm@2": a_rate(seconds=4.0, at_ms=2),
        "classify.other@1": a_rate(seconds=1.0, at_ms=3),
    }

    assert item_seconds(QUEUE, rates) == (0.04, True)


@pytest.mark.parametrize("task", ["classify", "generate", "train"])
def test_what_was_never_measured_counts_by_a_default_that_wakes_a_fleet_of_none(task):
    item_s, is_measured = item_seconds(f"{task}.new@1", {})

    assert item_s == kind_of_task(task).item_s > 0
    assert not is_measured


def test_a_training_in_hand_counts_as_long_as_it_says_and_those_behind_it_as_the_last_ones():
    rates = {"train.markov": a_rate(items=1, seconds=60.0)}
    work = QueueWork("train.markov", items=3, leased_items=1, reported=1, reported_s=12.0)

    assert queue_seconds(work, rates) == 12.0 + 2 * 60.0


@pytest.mark.parametrize(("behind", "is_measured"), [(0, True), (1, False)])
def test_what_trainings_say_is_measured_and_what_is_behind_them_goes_by_a_default(
    behind, is_measured
):
    work = QueueWork("train.new", items=1 + behind, leased_items=1, reported=1, reported_s=12.0)

    (route,) = work_left([work], {}, [])

    assert route.is_measured == is_measured


def test_versions_of_a_model_are_one_signal_and_known_models_without_work_are_zero():
    queues = [
        QueueWork(QUEUE, items=100, leased_items=40),
        QueueWork("classify.imdb_lstm@4", items=50),
    ]
    rates = {QUEUE: a_rate(), "classify.imdb_lstm@4": a_rate(seconds=4.0)}
    known = [("classify", "imdb_lstm"), ("generate", "markov")]

    routes = work_left(queues, rates, [], known)

    assert routes == [
        # 100 at 0.02 s and 50 at 0.04 s
        RouteWork("classify", "imdb_lstm", seconds=4.0, unserved_s=4.0, items=150, leased_items=40),
        RouteWork("generate", "markov"),
    ]


def test_work_that_a_worker_can_run_is_not_unserved():
    queues = [QueueWork(QUEUE, items=100), QueueWork("classify.imdb_lstm@4", items=100)]
    rates = {QUEUE: a_rate(), "classify.imdb_lstm@4": a_rate()}
    worker = a_worker_status(tasks=("classify",), versions={"imdb_lstm": (3,)})

    (route,) = work_left(queues, rates, [worker])

    assert (route.seconds, route.unserved_s) == (4.0, 2.0)
