"""What workers say about themselves is seen for as long as they say it."""

import pytest

from builders import a_catalog_entry, a_worker_status
from ledger_fixtures import Environment

pytestmark = pytest.mark.processes


def test_workers_are_listed_by_name(environment: Environment) -> None:
    statuses = [a_worker_status(worker=name) for name in ("b", "a")]
    for status in statuses:
        environment.ledger.fleet.publish_worker(status)

    assert environment.ledger.fleet.workers() == [statuses[1], statuses[0]]


def test_a_worker_is_taken_for_gone_after_three_missed_heartbeats(environment: Environment) -> None:
    fleet = environment.with_settings(heartbeat_s=20.0).ledger.fleet
    fleet.publish_worker(a_worker_status(worker="a"))

    life_ms = environment.redis.pttl(environment.keys.worker("a"))

    assert 50_000 < life_ms <= 60_000


def test_a_worker_that_stops_is_off_the_list_at_once(environment: Environment) -> None:
    environment.ledger.fleet.publish_worker(a_worker_status(worker="a"))

    environment.ledger.fleet.forget_worker("a")

    assert environment.ledger.fleet.workers() == []
    assert environment.redis.exists(environment.keys.worker("a"), environment.keys.workers()) == 0


def test_who_a_worker_was_is_known_for_a_day_unless_it_ended_in_order(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    for name in ("gone", "ended"):
        fleet.publish_worker(a_worker_status(worker=name, host="h1", pid=7, versions={"m": (1,)}))
    fleet.forget_worker("ended")
    environment.redis.delete(environment.keys.worker("gone"))

    last = fleet.last_records(["gone", "ended", "unknown"])

    assert {name: (one.host, one.pid, one.versions) for name, one in last.items()} == {
        "gone": ("h1", 7, {})
    }
    life_s = environment.redis.ttl(environment.keys.worker_last("gone"))
    assert 23 * 3_600 < life_s <= 24 * 3_600


def test_names_of_workers_that_are_long_gone_are_dropped(environment: Environment) -> None:
    now_ms = environment.ledger.fleet.now_ms()
    for worker, seen_at_ms in (("old", now_ms - 25 * 3_600_000), ("new", now_ms)):
        environment.ledger.fleet.publish_worker(
            a_worker_status(worker=worker, seen_at_ms=seen_at_ms)
        )

    environment.ledger.fleet.prune()

    assert environment.redis.zrange(environment.keys.workers(), 0, -1) == [b"new"]


def test_a_task_is_with_one_worker_until_its_lock_runs_out(environment: Environment) -> None:
    take = environment.ledger.fleet.take_lock

    taken = [take("task", "a", 60.0), take("task", "b", 60.0), take("task", "a", 60.0)]
    environment.redis.pexpire(environment.keys.lock("task"), 1)
    environment.wait_for_clock(environment.ledger.fleet.now_ms() + 2)

    assert taken == [True, False, True]
    assert take("task", "b", 60.0)


def test_a_lock_that_is_kept_runs_from_anew(environment: Environment) -> None:
    environment.ledger.fleet.take_lock("task", "a", 5.0)

    environment.ledger.fleet.take_lock("task", "a", 60.0)

    assert environment.redis.pttl(environment.keys.lock("task")) > 50_000


def test_a_lock_is_the_same_for_workers_of_0_2_which_take_it_by_set(
    environment: Environment,
) -> None:
    take, key = environment.ledger.fleet.take_lock, environment.keys.lock

    environment.redis.set(key("task"), "old", nx=True, px=60_000)
    take("other", "new", 60.0)

    assert not take("task", "new", 60.0)
    assert not environment.redis.set(key("other"), "old", nx=True, px=60_000)
    assert environment.redis.get(key("other")) == b"new"
    assert 50_000 < environment.redis.pttl(key("other")) <= 60_000


def test_the_catalog_has_what_was_last_said_of_each_model(environment: Environment) -> None:
    fleet = environment.ledger.fleet
    fleet.publish_catalog([a_catalog_entry(model="markov"), a_catalog_entry(summary="Old.")])

    fleet.publish_catalog([a_catalog_entry(summary="New.")])

    assert list(fleet.catalog()) == ["imdb_lstm", "markov"]
    assert fleet.catalog()["imdb_lstm"] == a_catalog_entry(summary="New.")
    assert (
        environment.redis.ttl(environment.keys.catalog()) == -1
    )  # jobs come in while no worker is up


def test_a_recent_list_of_workers_is_read_again_when_it_is_too_old(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    fleet.publish_worker(a_worker_status(worker="a"))
    first = fleet.recent_workers(60)
    fleet.publish_worker(a_worker_status(worker="b"))

    recent = fleet.recent_workers(60)
    anew = fleet.recent_workers(0)

    assert recent == first
    assert [status.worker for status in anew] == ["a", "b"]


def test_models_leave_the_catalog_that_were_published_before_a_time(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    fleet.publish_catalog([a_catalog_entry(model="old", published_at_ms=1_000)])
    fleet.publish_catalog([a_catalog_entry(model="new", published_at_ms=9_000)])

    removed = fleet.remove_published(["old", "new"], 5_000)
    nothing = fleet.remove_published(["new"], 5_000)

    assert (removed, nothing) == (["old"], [])
    assert fleet.published_models() == {"new"}
