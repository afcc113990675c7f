"""What workers say about themselves is seen for as long as they say it."""

from dataclasses import astuple

import pytest

from builders import a_catalog_entry, a_worker_status
from ledger_fixtures import Environment, note_minute, publish_entries

pytestmark = pytest.mark.processes

HOUR_MS = 3_600_000


def test_workers_are_listed_by_name_until_they_end_or_miss_three_heartbeats(
    environment: Environment,
) -> None:
    fleet = environment.with_settings(heartbeat_s=20.0).ledger.fleet
    nobody, statuses = fleet.workers(), [a_worker_status(worker=name) for name in "cab"]
    for status in statuses:
        fleet.publish_worker(status)
    listed, life_ms = fleet.workers(), environment.redis.pttl(environment.keys.worker("a"))

    fleet.forget_worker("a")
    environment.redis.delete(environment.keys.worker("b"))  # what time does

    assert nobody == []
    assert listed == sorted(statuses, key=lambda status: status.worker)
    assert 50_000 < life_ms <= 60_000
    assert [status.worker for status in fleet.workers()] == ["c"]


def test_a_recent_list_of_workers_is_read_again_when_it_is_too_old(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    fleet.publish_worker(a_worker_status(worker="a"))
    first = fleet.recent_workers(60)
    fleet.publish_worker(a_worker_status(worker="b"))

    assert fleet.recent_workers(60) == first
    assert [status.worker for status in fleet.recent_workers(0)] == ["a", "b"]


def test_who_a_worker_was_is_known_for_a_day_unless_it_ended_in_order(
    environment: Environment,
) -> None:
    fleet, now_ms = environment.ledger.fleet, environment.ledger.fleet.now_ms()
    for name, age_ms in (("gone", 0), ("ended", 0), ("up", 0), ("old", 25 * HOUR_MS)):
        status = a_worker_status(worker=name, host="h1", pid=7, versions={"m": (1,)})
        fleet.publish_worker(status.model_copy(update={"seen_at_ms": now_ms - age_ms}))
    fleet.forget_worker("ended")
    for name in ("gone", "old"):
        environment.redis.delete(environment.keys.worker(name))
    silent, last = fleet.silent_workers(), fleet.last_records(["gone", "ended", "unknown"])

    fleet.prune()

    assert silent == {"gone": now_ms, "old": now_ms - 25 * HOUR_MS}
    assert {name: (one.host, one.pid, one.versions) for name, one in last.items()} == {
        "gone": ("h1", 7, {})
    }
    life_s = environment.redis.ttl(environment.keys.worker_last("gone"))
    assert 23 * 3_600 < life_s <= 24 * 3_600
    assert environment.redis.zrange(environment.keys.workers(), 0, -1) == [b"gone", b"up"]


def test_a_task_is_with_one_worker_until_its_lock_runs_out(environment: Environment) -> None:
    take = environment.ledger.fleet.take_lock

    taken = [take("task", worker, 60.0) for worker in ("a", "b", "a")]
    other = take("other", "b", 60.0)
    environment.redis.pexpire(environment.keys.lock("task"), 1)
    environment.wait_for_clock(environment.ledger.fleet.now_ms() + 2)

    assert (taken, other) == ([True, False, True], True)
    assert take("task", "b", 5.0)
    # One that is kept runs from anew.
    assert take("task", "b", 60.0)
    assert environment.redis.pttl(environment.keys.lock("task")) > 50_000


def test_the_catalog_has_what_was_last_said_of_each_model_and_outlives_all_workers(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    publish_entries(fleet, [a_catalog_entry(model="markov"), a_catalog_entry(summary="Old.")])

    publish_entries(fleet, [a_catalog_entry(summary="New.")])

    assert list(fleet.catalog()) == ["imdb_lstm", "markov"]
    assert fleet.catalog()["imdb_lstm"] == a_catalog_entry(summary="New.")
    assert environment.redis.ttl(environment.keys.catalog()) == -1


def test_an_entry_is_not_replaced_that_its_publisher_has_not_read(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    read = fleet.catalog_rows()
    publish_entries(fleet, [a_catalog_entry(summary="By another.")])

    is_published = fleet.publish_catalog([a_catalog_entry(model="new"), a_catalog_entry()], read)

    assert not is_published
    assert fleet.catalog() == {"imdb_lstm": a_catalog_entry(summary="By another.")}


def test_models_leave_the_catalog_that_were_published_before_a_time(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    publish_entries(fleet, [a_catalog_entry(model="old", published_at_ms=1_000)])
    publish_entries(fleet, [a_catalog_entry(model="new", published_at_ms=9_000)])
    environment.redis.hset(environment.keys.catalog(), b"by hand \xff", "{}")

    removed = fleet.remove_published(["old", "new"], 5_000)
    nothing = fleet.remove_published(["new"], 5_000)

    assert (removed, nothing) == (["old"], [])
    assert fleet.published_models() == {"new", "by hand \ufffd"}


def test_of_those_who_note_a_minute_the_first_counts_and_an_hour_is_kept(
    environment: Environment,
) -> None:
    first_ms = 1_700_000_040_000  # the begin of a minute

    for minute in range(70):
        for busy in (minute % 3, 9):
            note_minute(environment.ledger, first_ms + minute * 60_000 + busy, minute, busy)

    noted = environment.ledger.minutes.last_hour(first_ms + 69 * 60_000)
    assert [(at_ms, *astuple(figures)) for at_ms, figures in noted] == [
        (first_ms + minute * 60_000, 2.5, 0.5, minute, minute % 3) for minute in range(9, 70)
    ]
    assert environment.redis.xlen(environment.keys.minutes()) == 61
