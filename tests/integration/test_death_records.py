"""Deaths of children in their worker's record, and what dead workers held, which is released."""

import logging
from itertools import pairwise
from pathlib import Path

import pytest

from builders import a_worker_status
from ledger_fixtures import Environment
from seqd.cli.daemon import DeadWorkers
from seqd.ledger.units import Death
from seqd.local.slots import parse_slot
from seqd.worker.context import Identity
from seqd.worker.death_record import DeathRecord, Deaths, DeathsFile
from seqd_schemas import (
    MAX_DEATH_CHARS,
    MAX_DEATHS,
    DeathCause,
    WorkerState,
    WorkerStatus,
)

pytestmark = pytest.mark.processes

HUNG = Death(DeathCause.HANG, "It hung.")
KILLED = Death(DeathCause.SIGNAL, "It was ended by SIGKILL.")


def record_of(
    environment: Environment, folder: Path, name: str = "w1"
) -> tuple[DeathRecord, DeathsFile]:
    settings = environment.settings.model_copy(update={"data_dir": folder})
    identity = Identity(name=name, slot=parse_slot("all@cpu:0"), host="host", labels={})
    record = DeathRecord(settings, environment.ledger, identity, ())
    return record, DeathsFile(settings, name)


def published(environment: Environment) -> WorkerStatus:
    (status,) = environment.ledger.fleet.workers()
    return status


def test_a_worker_whose_children_die_before_they_publish_is_in_the_fleet(
    environment: Environment, tmp_path: Path
) -> None:
    record, _ = record_of(environment, tmp_path)

    record.note(KILLED, 11)
    record.note(HUNG, 12)

    status = published(environment)
    assert (status.worker, status.state) == ("w1", WorkerState.STARTING)
    assert [(death.cause, death.pid) for death in status.deaths] == [
        (DeathCause.SIGNAL, 11),
        (DeathCause.HANG, 12),
    ]
    assert status.death_counts == {DeathCause.SIGNAL: 1, DeathCause.HANG: 1}


def test_a_disk_that_has_no_room_for_deaths_loses_none_that_this_worker_has_seen(
    environment: Environment, tmp_path: Path
) -> None:
    record, _ = record_of(environment, tmp_path)
    record.note(KILLED, 11)
    (tmp_path / "run").rename(tmp_path / "kept")
    (tmp_path / "run").touch()

    record.note(KILLED, 12)
    record.note(HUNG, 13)

    status = published(environment)
    assert [death.pid for death in status.deaths] == [11, 12, 13]
    assert status.death_counts == {DeathCause.SIGNAL: 2, DeathCause.HANG: 1}


def test_workers_that_somebody_has_named_tell_of_their_own_deaths_alone(
    environment: Environment, tmp_path: Path
) -> None:
    record, _ = record_of(environment, tmp_path, "cpu:0@node-1")
    _, other = record_of(environment, tmp_path, "cpu:0@node-2")

    record.note(KILLED, 11)

    assert other.deaths() == Deaths()


def test_a_worker_whose_child_dies_has_been_starting_since_then_however_often_it_dies_again(
    environment: Environment, tmp_path: Path
) -> None:
    record, _ = record_of(environment, tmp_path)
    now_ms = environment.ledger.fleet.now_ms()
    ready = a_worker_status(worker="w1", started_at_ms=now_ms - 60_000, seen_at_ms=now_ms)
    environment.ledger.fleet.publish_worker(ready)

    record.note(KILLED, 11)
    first_ms = published(environment).started_at_ms
    record.note(KILLED, 12)

    assert first_ms >= now_ms
    assert published(environment).started_at_ms == first_ms


def test_the_next_child_reads_the_last_deaths_and_counts_all(
    environment: Environment, tmp_path: Path
) -> None:
    record, file = record_of(environment, tmp_path)
    long = Death(DeathCause.EXIT, "x" * 500)

    for number in range(MAX_DEATHS + 2):
        record.note(long, number)

    told = file.deaths()
    assert [death.pid for death in told.deaths] == list(range(2, MAX_DEATHS + 2))
    assert told.counts_of == {"w1": {DeathCause.EXIT: MAX_DEATHS + 2}}
    assert {len(death.message) for death in told.deaths} == {MAX_DEATH_CHARS}


@pytest.mark.parametrize(
    "names",
    [("w1",) * 3, tuple(f"cpu:0@host-{nonce * 6}" for nonce in "abc")],
    ids=["given", "made"],
)
def test_deaths_of_the_last_hour_are_told_after_orderly_restarts(
    environment: Environment, tmp_path: Path, names: tuple[str, str, str]
) -> None:
    first, file = record_of(environment, tmp_path, names[0])
    first.note(KILLED, 11)
    first.note(HUNG, 12)
    told = file.deaths()
    old = told.deaths[0].model_copy(update={"at_ms": told.deaths[0].at_ms - 3_600_001})
    file.write(Deaths(deaths=(old, told.deaths[1]), counts_of=told.counts_of))

    for before, after in pairwise(names):
        environment.ledger.fleet.forget_worker(before)
        record, file = record_of(environment, tmp_path, after)
        record.take_over(was_asked_to_end=False)

        assert file.deaths() == Deaths(deaths=told.deaths[1:])


def test_deaths_of_a_worker_that_ends_after_the_one_in_its_place_has_started_are_told_by_that(
    environment: Environment, tmp_path: Path
) -> None:
    before, _ = record_of(environment, tmp_path, "cpu:0@host-aaaaaa")
    after, file = record_of(environment, tmp_path, "cpu:0@host-bbbbbb")
    after.take_over(was_asked_to_end=False)

    before.note(HUNG, 1)

    told = file.deaths()
    assert [death.cause for death in told.deaths] == [DeathCause.HANG]
    assert "cpu:0@host-bbbbbb" not in told.counts_of


def test_a_file_of_deaths_that_cannot_be_read_is_none(
    environment: Environment, tmp_path: Path
) -> None:
    record, file = record_of(environment, tmp_path)
    record.note(HUNG, 1)
    next(tmp_path.glob("run/w1.deaths")).write_text("{")

    assert file.deaths().deaths == ()


def test_leases_that_redis_does_not_take_back_are_told_once_and_when_it_does(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    environment.submit_units(1)
    environment.claim_unit("w1")
    dead = DeadWorkers(environment.ledger)
    dead.add("w1")

    environment.redis.config_set("min-replicas-to-write", 1)
    try:
        for _ in range(3):
            dead.release()
    finally:
        environment.redis.config_set("min-replicas-to-write", 0)
    (told,) = caplog.messages
    assert told.startswith("leases of w1 not released yet: ")
    assert "NOREPLICAS" in told
    dead.release()
    dead.release()

    assert caplog.messages[1:] == ["leases of all dead workers are released"]
    assert {one.levelno for one in caplog.records} == {logging.WARNING}
    assert environment.claim_unit("w2").crashes == 1
    assert not dead.is_due()
