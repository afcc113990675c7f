"""Operators' rules in the ledger: all or none, bounded, and seen by whoever looks at one number."""

import pytest

from builders import a_worker_status
from ledger_fixtures import Environment
from seqd.errors import InvalidRequest
from seqd_schemas import MAX_CORDON_RULES, CordonAction, CordonRule

pytestmark = pytest.mark.processes


def a_rule(target: str = "host:h1", at_ms: int = 1, **changes: object) -> CordonRule:
    rule = CordonRule(target=target, action=CordonAction.CORDON, by="ops@h1", at_ms=at_ms)
    return rule.model_copy(update=changes)


def test_rules_stand_until_they_are_removed(environment: Environment) -> None:
    cordons = environment.ledger.cordons
    first, second = a_rule(at_ms=1), a_rule("label:pool=a", at_ms=2, reason="repair")

    added = cordons.change(add=[second, first])
    standing = cordons.rules()
    removed = cordons.change(remove=[first])

    assert (added, standing, removed) == (2, [first, second], 1)
    assert cordons.rules() == [second]


def test_a_rule_takes_the_place_of_one_with_its_target(environment: Environment) -> None:
    cordons = environment.ledger.cordons
    cordons.change(add=[a_rule()])

    drain = a_rule(action=CordonAction.DRAIN, at_ms=5)
    cordons.change(add=[drain])

    assert cordons.rules() == [drain]


def test_a_restart_stands_beside_a_rule_with_its_target(environment: Environment) -> None:
    cordons = environment.ledger.cordons
    restart = a_rule(action=CordonAction.RESTART, at_ms=2)

    cordons.change(add=[a_rule(), restart])

    assert cordons.rules() == [a_rule(), restart]


def test_the_version_changes_with_the_rules_and_only_with_them(environment: Environment) -> None:
    cordons = environment.ledger.cordons

    versions = [cordons.version()]
    for change in ({"add": [a_rule()]}, {"add": [a_rule()]}, {"remove": [a_rule()]}):
        cordons.change(**change)  # type: ignore[arg-type]
        versions.append(cordons.version())
    nothing = cordons.change(remove=[a_rule()])

    assert versions == [None, b"1", b"1", b"2"]
    assert nothing == 0


def test_too_many_rules_are_refused_and_none_of_them_stands(environment: Environment) -> None:
    cordons = environment.ledger.cordons
    cordons.change(add=[a_rule(f"host:h{n}", at_ms=n) for n in range(MAX_CORDON_RULES - 1)])

    with pytest.raises(InvalidRequest) as refused:
        cordons.change(add=[a_rule("host:a"), a_rule("host:b")])

    assert str(refused.value) == (
        "257 rules would stand; allowed: 256. Remove those that are not needed any more (`seqd "
        "workers list` shows them, `seqd workers uncordon` removes them), or mean many workers by "
        "one --label."
    )
    assert len(cordons.rules()) == MAX_CORDON_RULES - 1
    assert cordons.change(add=[a_rule("host:a")]) == 1


def test_what_somebody_wrote_by_hand_is_left_out(environment: Environment, caplog) -> None:
    environment.ledger.cordons.change(add=[a_rule()])
    environment.redis.hset(environment.keys.cordons(), "host:h2", "no JSON")

    assert environment.ledger.cordons.rules() == [a_rule()]
    assert "a CordonRule in Redis was left out" in caplog.text


def test_who_was_not_heard_of_is_silent_and_who_ended_is_not(environment: Environment) -> None:
    fleet = environment.ledger.fleet
    for name in ("dead", "ended", "up"):
        fleet.publish_worker(a_worker_status(worker=name, seen_at_ms=7))
    environment.redis.delete(environment.keys.worker("dead"))
    fleet.forget_worker("ended")

    assert fleet.silent_workers() == {"dead": 7}


def test_what_a_worker_has_in_hand_is_counted_by_jobs_and_units(environment: Environment) -> None:
    environment.submit_units(2)
    environment.submit_units(1)
    environment.claim("worker-a")

    held = environment.ledger.fleet.in_hand(["worker-a", "worker-b"])

    assert held["worker-b"] == (0, 0)
    assert held["worker-a"][1] == sum(
        environment.redis.scard(environment.keys.worker_leases(name)) for name in ["worker-a"]
    )
    assert held["worker-a"][0] >= 1
