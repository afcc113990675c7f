"""What operators order in the ledger: cordons, placements and changes of models.

Each is bounded in number, and seen by whoever looks at one number.
"""

from collections.abc import Callable
from itertools import count

import pytest

from ledger_fixtures import Environment
from seqd.errors import InvalidRequest, QuotaExceeded
from seqd.ledger.rules import ModelOrders, Taking
from seqd_schemas import (
    MAX_CORDON_RULES,
    MAX_MODEL_ORDERS,
    MAX_PLACEMENTS,
    CordonAction,
    CordonRule,
    Failure,
    ModelOrder,
    OrderAnswer,
    PlacementRule,
)
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

NUMBERS = count()


def a_cordon(target: str = "host:h1", at_ms: int = 1, **changes: object) -> CordonRule:
    rule = CordonRule(target=target, action=CordonAction.CORDON, by="ops@h1", at_ms=at_ms)
    return rule.model_copy(update=changes)


def a_placement(model: str = "topics", target: str = "kind:gpu", **more: object) -> PlacementRule:
    known = {"model": model, "targets": (target,), "by": "ops@h1", "at_ms": 1}
    return PlacementRule.model_validate(known | more)


def test_cordons_stand_until_they_are_removed_one_a_target_and_a_restart_beside_it(
    environment: Environment,
) -> None:
    cordons = environment.ledger.cordons
    first, second = a_cordon(at_ms=1), a_cordon("label:pool=a", at_ms=2, reason="repair")
    drain = a_cordon(action=CordonAction.DRAIN, at_ms=5)
    restart = a_cordon(action=CordonAction.RESTART, at_ms=6)

    changed = [cordons.change(add=[second, first]), cordons.change(add=[drain, restart])]
    standing = cordons.rules()
    changed.append(cordons.change(remove=[drain]))

    assert changed == [2, 2, 1]
    assert standing == [second, drain, restart]
    assert cordons.rules() == [second, restart]


def test_placements_stand_until_they_are_removed_one_a_model(environment: Environment) -> None:
    placements = environment.ledger.placements
    moods, elsewhere = a_placement("moods", reason="tests"), a_placement(target="label:zone=a")

    placed = [placements.place(rule) for rule in (a_placement(), moods, elsewhere)]
    standing = placements.rules()
    removed = [placements.remove("topics"), placements.remove("topics")]

    assert (placed, removed) == ([True, True, True], [True, False])
    assert standing == {"moods": moods, "topics": elsewhere}
    assert list(placements.rules()) == ["moods"]


def test_the_version_changes_with_the_rules_and_only_with_them(environment: Environment) -> None:
    cordons, placements = environment.ledger.cordons, environment.ledger.placements

    def versions_of(
        version: Callable[[], bytes | None], add: Callable[[], object], remove: Callable[[], object]
    ) -> list[bytes | None]:
        found = [version()]
        for change in (add, add, remove, remove):
            change()
            found.append(version())
        return found

    due = [None, b"1", b"1", b"2", b"2"]
    assert due == versions_of(
        cordons.version,
        lambda: cordons.change(add=[a_cordon()]),
        lambda: cordons.change(remove=[a_cordon()]),
    )
    assert due == versions_of(
        placements.version,
        lambda: placements.place(a_placement()),
        lambda: placements.remove("topics"),
    )


def test_too_many_rules_are_refused_and_none_of_them_stands(environment: Environment) -> None:
    cordons, placements = environment.ledger.cordons, environment.ledger.placements
    cordons.change(add=[a_cordon(f"host:h{n}", at_ms=n) for n in range(MAX_CORDON_RULES - 1)])
    for number in range(MAX_PLACEMENTS):
        placements.place(a_placement(f"m{number}"))

    with pytest.raises(InvalidRequest) as cordoned:
        cordons.change(add=[a_cordon("host:a"), a_cordon("host:b")])
    with pytest.raises(InvalidRequest) as placed:
        placements.place(a_placement("one_more"))

    assert str(cordoned.value) == (
        "257 rules would stand; allowed: 256. Remove those that are not needed any more (`seqd "
        "workers list` shows them, `seqd workers uncordon` removes them), or mean many workers by "
        "one --label."
    )
    assert str(placed.value) == (
        "257 models would be placed; allowed: 256. Remove those that need no placement any more: "
        "`seqd models place` lists all, `seqd models place NAME --anywhere` removes one."
    )
    assert len(cordons.rules()) == MAX_CORDON_RULES - 1
    assert cordons.change(add=[a_cordon("host:a")]) == 1
    assert placements.place(a_placement("m0", "kind:cpu"))
    assert len(placements.rules()) == MAX_PLACEMENTS


def an_order() -> ModelOrder:
    return ModelOrder(
        order_id=f"order-{next(NUMBERS)}",
        action="promote",
        model="topics",
        version=2,
        ordered_at_ms=1,
    )


def an_answer(order: ModelOrder, worker: str, **changes: object) -> OrderAnswer:
    return OrderAnswer.model_validate({"order_id": order.order_id, "worker": worker, **changes})


@pytest.fixture
def orders(environment: Environment) -> ModelOrders:
    return environment.ledger.orders


def test_what_changes_leaves_one_notice_and_what_changes_nothing_leaves_none(
    environment: Environment, orders: ModelOrders
) -> None:
    ledger, key, order = environment.ledger, environment.keys.notices(), an_order()
    left = []

    for change in (
        lambda: ledger.cordons.change(add=[a_cordon()]),
        lambda: ledger.placements.place(a_placement()),
        lambda: orders.place(order, 10.0),
        lambda: ledger.cordons.change(add=[a_cordon()]),
        lambda: ledger.placements.place(a_placement()),
        lambda: orders.place(order, 10.0),
    ):
        change()
        left.append(environment.redis.xrange(key))

    assert [len(entries) for entries in left] == [1] * 6
    assert len({entries[0][0] for entries in left[:3]}) == 3
    assert left[3:] == left[2:3] * 3


def test_an_order_is_one_workers_until_it_is_answered_and_its_answer_is_kept(
    orders: ModelOrders, environment: Environment
) -> None:
    order, failure = an_order(), Failure(code="service_changed", message="somebody was faster")

    orders.place(order, 10.0)
    before = orders.open(), orders.answer_to(order.order_id)
    taken = [orders.take(order.order_id, worker, 10.0) for worker in ("w1", "w2", "w1")]
    orders.place(order, 10.0)  # sent twice it is one order
    held = orders.open(), orders.answer_to(order.order_id)
    answered = [orders.answer(an_answer(order, worker, failure=failure)) for worker in ("w2", "w1")]

    assert before == ([order], (None, ""))
    assert taken == [Taking.HELD, Taking.REFUSED, Taking.HELD]
    assert held == ([order], (None, "w1"))
    assert answered == [False, True]
    assert orders.open() == []
    answer, worker = orders.answer_to(order.order_id)
    assert answer is not None and (answer.failure, worker) == (failure, "w1")
    assert 0 < environment.redis.pttl(environment.keys.model_order(order.order_id)) <= 600_000


def test_an_order_of_a_silent_worker_is_taken_over_and_has_one_answer(orders: ModelOrders) -> None:
    order, taken = an_order(), list[Taking]()
    orders.place(order, 10.0)
    orders.take(order.order_id, "w1", 0.001)

    def is_taken() -> bool:
        taken.append(orders.take(order.order_id, "w2", 10.0))
        return taken[-1] is not Taking.REFUSED

    wait_until(is_taken, "the lease is over")

    assert taken[-1] is Taking.TAKEN_OVER
    assert not orders.answer(an_answer(order, "w1"))
    assert orders.answer(an_answer(order, "w2"))
    assert not orders.answer(an_answer(order, "w2", before=7))
    answer, _ = orders.answer_to(order.order_id)
    assert answer is not None and (answer.worker, answer.before) == ("w2", None)


def test_a_cancelled_order_is_taken_by_nobody_and_a_held_one_is_not_cancelled(
    orders: ModelOrders, environment: Environment
) -> None:
    free, held, done, late = (an_order() for _ in range(4))
    for order in (free, held, done):
        orders.place(order, 10.0)
    orders.place(late, 0.001)
    for order in (held, done):
        orders.take(order.order_id, "w1", 10.0)
    orders.answer(an_answer(done, "w1"))
    environment.wait_for_clock(environment.ledger.fleet.now_ms() + 5)
    assert orders.take(late.order_id, "w2", 10.0) is Taking.REFUSED

    # Nothing leads to an order that is gone, nor to one that is answered.
    key = environment.keys.model_orders()
    open_ids = [order.order_id.encode() for order in (free, held)]
    assert sorted(environment.redis.zrange(key, 0, -1)) == sorted(open_ids)
    outcomes = [orders.cancel(order.order_id) for order in (free, held, done, late)]

    assert outcomes == ["ended", "taken", "answered", "gone"]
    assert orders.cancel(free.order_id) == "gone"
    for order in (free, done):
        assert orders.take(order.order_id, "w2", 10.0) is Taking.REFUSED
    assert orders.open() == [held]


def test_more_orders_than_may_be_open_are_refused_until_some_have_ended(
    orders: ModelOrders,
) -> None:
    many = [an_order() for _ in range(MAX_MODEL_ORDERS)]
    for order in many:
        orders.place(order, 10.0)

    with pytest.raises(QuotaExceeded) as refused:
        orders.place(an_order(), 10.0)
    orders.cancel(many[0].order_id)
    orders.place(an_order(), 10.0)

    assert str(refused.value) == (
        f"{MAX_MODEL_ORDERS} changes of models are open, which is as many as may. Nothing was "
        "changed. Try again when workers have carried them out."
    )
    assert refused.value.retry_after_s == 5.0
    assert len(orders.open()) == MAX_MODEL_ORDERS
