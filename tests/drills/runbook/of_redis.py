"""Faults of Redis: a failover, read-only, full, gone, and a clock that is wrong."""

from collections.abc import Callable
from functools import partial

from clock_fixtures import ClockServer
from drills.runbook.fault import Fault, by_doctor
from drills.runbook.stack import Stack, a_stack_with_a_clock, a_stack_with_sentinels
from seqd.ledger import connect

#: A port of loopback on which nobody listens.
_NOBODY = "1"

#: Bytes of a Redis that is full: fewer than any uses.
_FULL_BYTES = 1_000_000

_HOUR_S = 3_600.0


def _primary_dies(stack: Stack) -> Callable[[], object]:
    assert stack.sentinels is not None
    group, primary = stack.sentinels, stack.sentinels.primary()
    primary.kill()

    def start_again() -> None:
        group.wait_for_failover(primary)
        primary.start()

    return start_again


def _becomes_a_replica(stack: Stack) -> Callable[[], object]:
    redis = connect(stack.own_server().url)
    redis.replicaof("127.0.0.1", _NOBODY)
    return partial(redis.replicaof, "NO", "ONE")


def _is_full(stack: Stack) -> Callable[[], object]:
    redis = connect(stack.own_server().url)
    redis.config_set("maxmemory", _FULL_BYTES)
    return partial(redis.config_set, "maxmemory", 0)


def _dies(stack: Stack) -> Callable[[], object]:
    server = stack.own_server()
    server.kill()
    return server.restart


def _clock_is_wrong(stack: Stack) -> Callable[[], object]:
    server = stack.own_server()
    assert isinstance(server, ClockServer)
    server.step(_HOUR_S)
    return partial(server.step, -_HOUR_S)


FAULTS = (
    Fault(
        "failover",
        inject=_primary_dies,
        named=by_doctor("redis-unreachable", "redis-no-replica"),
        stack=a_stack_with_sentinels,
    ),
    Fault("redis-read-only", inject=_becomes_a_replica, named=by_doctor("redis-not-writable")),
    Fault("redis-full", inject=_is_full, named=by_doctor("redis-memory-high")),
    Fault("redis-gone", inject=_dies, named=by_doctor("redis-unreachable")),
    Fault(
        "clock",
        inject=_clock_is_wrong,
        named=by_doctor("redis-clock-skew"),
        stack=a_stack_with_a_clock,
    ),
)
