"""What dead workers held is released by their `seqd up`, as soon as Redis takes it."""

import logging

import pytest

from ledger_fixtures import Environment
from seqd.cli.dead_workers import DeadWorkers

pytestmark = pytest.mark.processes


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
