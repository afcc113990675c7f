"""What the versions of a roll-out did, counted in Redis by several workers."""

from ledger_fixtures import Environment
from seqd.ledger.rollouts import KEPT_S, VersionWork
from seqd_schemas import VersionCounts

ROLLOUT = "0123456789abcdef"


def test_work_of_all_workers_is_added_up(environment: Environment) -> None:
    rollouts = environment.ledger.rollouts
    for _ in range(99):
        rollouts.add("topics", ROLLOUT, VersionWork(1, items=95, batches_s=[0.010]))
    totals = rollouts.add(
        "topics",
        ROLLOUT,
        VersionWork(1, items=95, errors=2, batches_s=[0.250]),
        VersionWork(2, items=5, errors=1, differing=3, batches_s=[0.002, 0.004]),
    )

    assert {one.version: (one.items, one.errors) for one in totals.values()} == {
        1: (9_500, 2),
        2: (5, 1),
    }
    first, second = rollouts.of("topics", ROLLOUT)
    assert first == VersionCounts(
        version=1, items=9_500, errors=2, batches=100, busy_s=1.24, p50_ms=11.3, p99_ms=11.3
    )
    assert (second.differing, second.batches, second.busy_s) == (3, 2, 0.006)
    assert (second.p50_ms, second.p99_ms) == (2.0, 4.0)


def test_a_version_that_did_nothing_is_left_out_and_counts_go_by_themselves(
    environment: Environment,
) -> None:
    rollouts, redis = environment.ledger.rollouts, environment.ledger.redis
    assert rollouts.of("topics", ROLLOUT) == []

    totals = rollouts.add("topics", ROLLOUT, VersionWork(1, items=3), VersionWork(2))

    assert totals[2] == VersionCounts(version=2)
    key = environment.ledger.keys.rollout("topics", ROLLOUT)
    assert 0 < redis.ttl(key) <= KEPT_S
    assert rollouts.of("other", ROLLOUT) == []
