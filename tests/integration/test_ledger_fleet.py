"""What workers say about themselves is seen for as long as they say it."""

import pytest

from builders import a_catalog_entry, a_worker_status
from ledger_fixtures import Scene

pytestmark = pytest.mark.processes


def test_workers_are_listed_by_name(scene: Scene) -> None:
    statuses = [a_worker_status(worker=name) for name in ("b", "a")]
    for status in statuses:
        scene.ledger.fleet.publish_worker(status)

    assert scene.ledger.fleet.workers() == [statuses[1], statuses[0]]


def test_nobody_is_listed_where_nobody_is_up(scene: Scene) -> None:
    assert scene.ledger.fleet.workers() == []


def test_a_worker_is_taken_for_gone_after_three_missed_heartbeats(scene: Scene) -> None:
    fleet = scene.with_settings(heartbeat_s=0.5).ledger.fleet
    fleet.publish_worker(a_worker_status(worker="a"))

    life_ms = scene.redis.pttl(scene.keys.worker("a"))

    assert 1_000 < life_ms <= 1_500


def test_a_worker_whose_time_is_over_is_not_listed(scene: Scene) -> None:
    scene.ledger.fleet.publish_worker(a_worker_status(worker="a"))
    scene.redis.delete(scene.keys.worker("a"))

    assert scene.ledger.fleet.workers() == []


def test_a_worker_that_stops_is_off_the_list_at_once(scene: Scene) -> None:
    scene.ledger.fleet.publish_worker(a_worker_status(worker="a"))

    scene.ledger.fleet.forget_worker("a")

    assert scene.ledger.fleet.workers() == []
    assert scene.redis.exists(scene.keys.worker("a"), scene.keys.workers()) == 0


def test_names_of_workers_that_are_long_gone_are_dropped(scene: Scene) -> None:
    now_ms = scene.ledger.fleet.now_ms()
    for worker, seen_at_ms in (("old", now_ms - 25 * 3_600_000), ("new", now_ms)):
        scene.ledger.fleet.publish_worker(a_worker_status(worker=worker, seen_at_ms=seen_at_ms))

    scene.ledger.fleet.prune()

    assert scene.redis.zrange(scene.keys.workers(), 0, -1) == [b"new"]


def test_a_chore_is_with_one_worker_until_its_lock_runs_out(scene: Scene) -> None:
    take = scene.ledger.fleet.take_lock

    taken = [take("chore", "a", 60.0), take("chore", "b", 60.0), take("chore", "a", 60.0)]
    scene.redis.pexpire(scene.keys.lock("chore"), 1)
    scene.wait_for_clock(scene.ledger.fleet.now_ms() + 2)

    assert taken == [True, False, True]
    assert take("chore", "b", 60.0)


def test_a_lock_that_is_kept_runs_from_anew(scene: Scene) -> None:
    scene.ledger.fleet.take_lock("chore", "a", 5.0)

    scene.ledger.fleet.take_lock("chore", "a", 60.0)

    assert scene.redis.pttl(scene.keys.lock("chore")) > 50_000


def test_two_chores_have_a_lock_each(scene: Scene) -> None:
    assert scene.ledger.fleet.take_lock("chore", "a", 60.0)
    assert scene.ledger.fleet.take_lock("other", "b", 60.0)


def test_the_catalog_has_what_was_last_said_of_each_model(scene: Scene) -> None:
    fleet = scene.ledger.fleet
    fleet.publish_catalog([a_catalog_entry(model="markov"), a_catalog_entry(summary="Old.")])

    fleet.publish_catalog([a_catalog_entry(summary="New.")])

    assert list(fleet.catalog()) == ["imdb_lstm", "markov"]
    assert fleet.catalog()["imdb_lstm"] == a_catalog_entry(summary="New.")
    assert scene.redis.ttl(scene.keys.catalog()) == -1  # jobs come in while no worker is up
