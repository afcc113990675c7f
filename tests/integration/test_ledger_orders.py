"""Orders for models in the ledger: who holds one, who answers it, and when it is open no more."""

import time
from itertools import count

import pytest

from ledger_fixtures import Environment
from seqd.errors import QuotaExceeded
from seqd.ledger.orders import ModelOrders, Taking
from seqd_schemas import MAX_MODEL_ORDERS, Failure, ModelOrder, OrderAnswer
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

_NUMBERS = count()


def an_order() -> ModelOrder:
    number = next(_NUMBERS)
    return ModelOrder(
        order_id=f"order-{number}", action="promote", model="topics", version=2, ordered_at_ms=1
    )


def an_answer(order: ModelOrder, worker: str, **changes: object) -> OrderAnswer:
    return OrderAnswer.model_validate({"order_id": order.order_id, "worker": worker, **changes})


@pytest.fixture
def orders(environment: Environment) -> ModelOrders:
    return environment.ledger.orders


def test_an_order_is_open_until_it_is_answered_and_its_answer_is_kept(
    orders: ModelOrders, environment: Environment
):
    order = an_order()
    failure = Failure(code="service_changed", message="somebody was faster")

    orders.place(order, 10.0)
    assert orders.open() == [order]
    assert orders.answer_to(order.order_id) == (None, "")
    assert orders.take(order.order_id, "w1", 10.0) is Taking.HELD
    assert orders.answer_to(order.order_id) == (None, "w1")
    assert orders.answer(an_answer(order, "w1", failure=failure))

    assert orders.open() == []
    answer, worker = orders.answer_to(order.order_id)
    assert answer is not None and (answer.failure, worker) == (failure, "w1")
    assert 0 < environment.redis.pttl(environment.keys.model_order(order.order_id)) <= 600_000


def test_one_worker_holds_an_order_and_no_other_answers_it(orders: ModelOrders):
    order = an_order()
    orders.place(order, 10.0)

    taken = [orders.take(order.order_id, worker, 10.0) for worker in ("w1", "w2", "w1")]

    assert taken == [Taking.HELD, Taking.REFUSED, Taking.HELD]
    assert not orders.answer(an_answer(order, "w2"))
    assert orders.answer_to(order.order_id) == (None, "w1")


def test_an_order_of_a_silent_worker_is_taken_over_and_has_one_answer(orders: ModelOrders):
    order = an_order()
    orders.place(order, 10.0)
    orders.take(order.order_id, "w1", 0.001)

    wait_until(
        lambda: orders.take(order.order_id, "w2", 10.0) is not Taking.REFUSED, "the lease is over"
    )

    assert not orders.answer(an_answer(order, "w1"))
    assert orders.answer(an_answer(order, "w2"))
    assert not orders.answer(an_answer(order, "w2", before=7))
    answer, _ = orders.answer_to(order.order_id)
    assert answer is not None and (answer.worker, answer.before) == ("w2", None)


def test_a_worker_that_takes_an_order_over_is_told_so(orders: ModelOrders):
    order = an_order()
    orders.place(order, 10.0)
    orders.take(order.order_id, "w1", 0.001)
    time.sleep(0.01)  # longer than the lease

    assert orders.take(order.order_id, "w2", 10.0) is Taking.TAKEN_OVER


def test_a_cancelled_order_is_taken_by_nobody_and_a_held_one_is_not_cancelled(
    orders: ModelOrders, environment: Environment
):
    free, held, done = an_order(), an_order(), an_order()
    for order in (free, held, done):
        orders.place(order, 10.0)
    orders.take(held.order_id, "w1", 10.0)
    orders.take(done.order_id, "w1", 10.0)
    orders.answer(an_answer(done, "w1"))

    outcomes = [orders.cancel(order.order_id) for order in (free, held, done)]

    assert outcomes == ["ended", "taken", "answered"]
    assert orders.cancel(free.order_id) == "gone"
    assert orders.take(free.order_id, "w2", 10.0) is Taking.REFUSED
    assert orders.open() == [held]
    assert not environment.redis.exists(environment.keys.model_order(free.order_id))


def test_an_order_that_nobody_takes_is_gone_after_its_time(orders: ModelOrders):
    order = an_order()

    orders.place(order, 0.001)

    wait_until(lambda: orders.open() == [], "it is open no more")
    assert orders.take(order.order_id, "w1", 10.0) is Taking.REFUSED
    assert orders.cancel(order.order_id) == "gone"


def test_an_order_that_is_sent_twice_is_one_order(orders: ModelOrders):
    order = an_order()

    orders.place(order, 10.0)
    orders.take(order.order_id, "w1", 10.0)
    orders.place(order, 10.0)

    assert orders.answer_to(order.order_id) == (None, "w1")
    assert orders.open() == [order]


def test_more_orders_than_may_be_open_are_refused_until_some_have_ended(orders: ModelOrders):
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
