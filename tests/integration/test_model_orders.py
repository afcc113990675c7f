"""Models from Python: what a client without a store sees and changes, through a real worker.

Each test has a model of its own, with versions 1 to 3 of which the first is in service.
"""

import os
import pwd
import secrets
import socket
import threading

import pytest

from async_builders import face_of, faces
from builders import a_worker_status
from ledger_fixtures import publish_entries
from seqd.client import (
    Client,
    InvalidData,
    InvalidRequest,
    ModelHandle,
    NoFitWorker,
    OrderAnswer,
    OrderUnfinished,
    SeqdError,
    ServiceChanged,
    UnknownModel,
    WrongState,
)
from seqd.ledger import Ledger, connect
from seqd.models.store import ModelStore
from seqd_schemas import Cordon, JobState, ModelOrder, OrderAction
from store_builders import a_change, publish, shape_of
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Whom a change is by.
ME = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


@pytest.fixture(scope="module")
def client(module_cluster: Cluster) -> Client:
    return module_cluster.operator()


@pytest.fixture(scope="module")
def store(module_cluster: Cluster) -> ModelStore:
    return ModelStore(module_cluster.settings.store_dir, {})


@pytest.fixture
def model(store: ModelStore, client: Client) -> str:
    return published(store, client, ['{"records": 1}'] * 3)


def published(store: ModelStore, client: Client, contents: list[str]) -> str:
    """Make a model of versions with these files, and wait until clients see all of them."""
    name = f"m_{secrets.token_hex(4)}"
    for content in contents:
        publish(store, name, "echo", content)

    def is_published() -> bool:
        entry = client.catalog().get(name)
        return entry is not None and len(entry.versions) == len(contents)

    wait_until(is_published, f"all versions of {name} are published")
    return name


def an_order(model: str, version: int | None = 2, **changes: object) -> ModelOrder:
    fields = {
        "order_id": f"o{secrets.token_hex(6)}",
        "action": OrderAction.PROMOTE.value,
        "model": model,
        "version": version,
        "expected": 1,
        "by": "me@here",
        "ordered_at_ms": 1,
    }
    return ModelOrder.model_validate(fields | changes)


def test_a_client_promotes_labels_and_goes_back_and_the_model_tells_of_it(
    module_cluster: Cluster, client: Client, model: str, store: ModelStore
):
    found = client.model(model)

    assert (found.name, found.plugin, found.in_service) == (model, "echo", 1)
    assert [one.version for one in found.versions] == [1, 2, 3]
    assert found.labels == {"latest": 3, "production": 1}
    assert [(one.to_version, one.why) for one in found.history()] == [(1, "its first version")]
    assert {"echo", model} <= {one.name for one in client.models()}

    answer = found.promote(2, reason="more accurate")

    assert (answer.before, answer.in_service, answer.notes) == (1, 2, ())
    assert found.in_service == 2
    assert client.classify(["a"], model=model).record().version == 2
    (change,) = found.history()[1:]
    assert (change.from_version, change.to_version, change.by) == (1, 2, ME)
    assert (change.why, change.order_id) == ("more accurate", answer.order_id)
    assert store.labels(model) == {"production": 2, "latest": 3}

    # A worker that has the model loads the next version before that is in service.
    (worker,) = module_cluster.workers
    client.classify(["a"], model=model).wait(timeout_s=120)
    wait_until(lambda: f"{model}@2" in worker.known_status().models_loaded, "it is loaded")

    found.promote("latest")

    assert f"{model}@3" in worker.known_status().models_loaded

    for before, in_service in ((3, 2), (2, 1)):
        answer = found.rollback(reason="worse on Fridays")
        assert (answer.before, answer.in_service) == (before, in_service)
    assert shape_of(store, model) == [(None, 1), (1, 2), (2, 3), (3, 2), (2, 1)]
    assert found.history()[-1].is_rollback
    with pytest.raises(WrongState, match=f"{model}@1 is the first version of {model} in service"):
        found.rollback()

    found.label(2, "best")

    assert found.labels == {"latest": 3, "production": 1, "best": 2}
    assert client.classify(["a"], model=f"{model}@best").record().version == 2
    found.unlabel("best", "best")
    assert found.labels == store.labels(model) == {"latest": 3, "production": 1}


def test_a_handle_that_does_not_know_what_is_in_service_changes_nothing(
    client: Client, model: str, store: ModelStore
):
    stale = client.model(model)
    store.put_in_service(model, a_change(1, 3))

    with pytest.raises(ServiceChanged) as refused:
        stale.promote(2)

    assert str(refused.value) == (
        f"{model}@3 is in service, no longer {model}@1: somebody was faster. {model}@2 comes too "
        f"late, and nothing is changed. Look at it with `seqd models history {model}`, and say it "
        "again"
    )
    said = [(one.action, one.target, one.outcome) for one in client.audit(2)]
    assert said == [
        ("models.promote", f"{model}@2", ServiceChanged.code),
        ("models.promote", f"{model}@2", ""),
    ]
    assert store.labels(model) == {"production": 3, "latest": 3}
    wait_until(lambda: client.model(model).in_service == 3, "it is published")
    stale.refresh()
    assert stale.promote(2).before == 3


def test_of_two_promotions_by_clients_at_once_one_wins_and_the_other_is_told(
    client: Client, model: str, store: ModelStore
):
    client.classify(["a"], model=model).wait(timeout_s=120)
    ended: dict[int, OrderAnswer | SeqdError] = {}

    def promote(found: ModelHandle, version: int) -> None:
        try:
            ended[version] = found.promote(version)
        except SeqdError as error:
            ended[version] = error

    handles = {version: client.model(model) for version in (2, 3)}
    threads = [
        threading.Thread(target=promote, args=(found, version))
        for version, found in handles.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    now = store.resolve(model)[1]
    (loser,) = {2, 3} - {now}
    assert isinstance(ended[now], OrderAnswer)
    assert isinstance(ended[loser], ServiceChanged)
    assert shape_of(store, model) == [(None, 1), (1, now)]
    assert "candidate" not in store.labels(model)


def test_what_there_is_not_is_refused_before_anything_is_ordered(client: Client, model: str):
    found = client.model(model)

    with pytest.raises(UnknownModel, match=r"no model named 'topisc'\."):
        client.model("topisc")
    with pytest.raises(InvalidRequest, match="allowed: a model's name without a version"):
        client.model(f"{model}@2")
    with pytest.raises(InvalidRequest, match="label is 'No Label'; allowed: up to 40 of a-z"):
        found.label(2, "No Label")
    with pytest.raises(InvalidRequest, match=r"warm_timeout_s is -1; allowed: 0 to 3,600 seconds"):
        found.promote(2, warm_timeout_s=-1)
    with pytest.raises(InvalidRequest, match="version is True; allowed: a version's number"):
        found.promote(True)
    with pytest.raises(InvalidRequest, match="version is None; allowed: a version's number"):
        found.promote(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="share is None; allowed: a number above 0 and at"):
        found.canary(2, None)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="label is None; allowed: up to 40 of a-z"):
        found.label(2, None)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=f"are both {model}@3; name two versions"):
        found.compare(3, "latest", [{"text": "a", "label": "a"}])
    with pytest.raises(InvalidData, match="no record has a label in its field 'stars'"):
        found.compare(1, 2, [{"text": "a", "label": "a"}], label_field="stars")
    with pytest.raises(InvalidData, match="no label of the records is a class of either version"):
        found.compare(1, 2, [{"text": "a", "label": "x"}])


@faces
def test_a_client_compares_two_versions_on_the_same_records(
    module_cluster: Cluster, client: Client, store: ModelStore, face: str
):
    name = published(store, client, ['{"records": 1}', '{"records": 1, "prefix": "n"}'])
    truths = {"a": "a", "b": "nb", "o": "yes", "bad": "a", "c": None}
    records = [{"text": text, "label": label} for text, label in truths.items()]

    with face_of(module_cluster, face) as asked:
        model = asked.do(lambda: asked.client.model(name))
        found = asked.do(lambda: model.compare(1, "latest", records, label_map={"yes": "no"}))

    assert (found.task, found.data, found.items) == ("classify", "records", 3)
    assert (found.first.ref, found.second.ref) == (f"{name}@1", f"{name}@2")
    accuracy = found.metrics["accuracy"]
    assert (round(accuracy.first, 3), round(accuracy.second, 3)) == (0.333, 0.667)
    assert found.answers is not None
    assert (found.answers.unlabelled, found.answers.errored, found.answers.changed) == (1, 1, 3)
    assert [(one.custom_id, one.text, one.truth) for one in found.changes] == [
        ("row-1", "a", "a"),
        ("row-2", "b", "nb"),
        ("row-3", "o", "no"),
    ]
    assert [(one.first.label, one.second.label) for one in found.changes] == [
        ("a", "na"),
        ("b", "nb"),
        ("o", "no"),
    ]


def ledger_of(cluster: Cluster) -> Ledger:
    assert cluster.settings.redis_url is not None
    return Ledger(connect(cluster.settings.redis_url), cluster.settings)


@pytest.mark.parametrize("is_made_before", [False, True])
def test_an_order_that_is_sent_twice_or_whose_worker_died_after_the_change_is_carried_out_once(
    module_cluster: Cluster, model: str, store: ModelStore, is_made_before: bool
):
    orders, order = ledger_of(module_cluster).orders, an_order(model)
    if is_made_before:
        store.put_in_service(model, a_change(1, 2, order_id=order.order_id))

    orders.place(order, 120)
    wait_until(lambda: orders.answer_to(order.order_id)[0] is not None, "it is answered")
    orders.place(order, 120)

    answer, worker = orders.answer_to(order.order_id)
    assert answer is not None and answer.failure is None
    assert (answer.before, answer.in_service) == (1, 2)
    assert worker == answer.worker == module_cluster.workers[0].name
    assert orders.open() == []
    assert shape_of(store, model) == [(None, 1), (1, 2)]


def test_an_order_that_no_worker_takes_is_cancelled_and_the_client_is_told(
    module_cluster: Cluster, client: Client, model: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("seqd.client.model.TAKE_S", 1.0)
    ledger = ledger_of(module_cluster)
    entry = client.catalog()[model].model_copy(update={"model": f"{model}_elsewhere"})
    publish_entries(ledger.fleet, [entry])

    with pytest.raises(NoFitWorker) as refused:
        client.model(f"{model}_elsewhere").promote(2)

    assert str(refused.value) == (
        f"no worker that is up has {model}_elsewhere@2 in a store that it may write: the order was "
        "cancelled after 1 s, and nothing was changed. `seqd status` shows the workers"
    )
    assert ledger.orders.open() == []


def test_an_order_while_every_worker_is_drained_is_refused_at_once(empty_cluster: Cluster):
    empty_cluster.publish_catalog()
    cordon = Cordon(phase="drained", target="host:h1", since_ms=1)
    ledger_of(empty_cluster).fleet.publish_worker(a_worker_status(cordon=cordon))

    with pytest.raises(NoFitWorker) as refused:
        empty_cluster.operator().model("echo").label(1, "kept")

    assert str(refused.value) == (
        "every worker is drained, and the model store is beside the workers: nothing was changed. "
        "End the drain with `seqd workers uncordon --host h1`, and say it again"
    )


def test_a_client_is_told_of_a_worker_that_is_still_at_its_order_which_goes_on(
    module_cluster: Cluster,
    client: Client,
    model: str,
    store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
):
    client.classify(["a"], model=model).wait(timeout_s=120)
    busy = client.classify(["a"] * 200, model=model, parameters={"delay_ms": 1_500})
    wait_until(lambda: busy.record().state is JobState.RUNNING, "it runs, and loads no version")
    # Of 10 s to be taken and 30 to load, 6 are left.
    monkeypatch.setattr("seqd.client.model.ANSWER_S", -34.0)

    with pytest.raises(OrderUnfinished) as told:
        client.model(model).promote(2, warm_timeout_s=30)

    assert told.value.exit_status == 75
    worker = module_cluster.workers[0].name
    assert str(told.value).startswith(f"{worker} has taken the order and not answered within 6 s;")
    busy.cancel()
    wait_until(lambda: store.resolve(model)[1] == 2, "it goes on")


def test_a_worker_that_dies_at_an_order_is_followed_by_another_that_carries_it_out(
    empty_cluster: Cluster,
):
    store = ModelStore(empty_cluster.settings.store_dir, {})
    for _ in range(2):
        publish(store, "topics", "echo")
    empty_cluster.start_ready("first")
    orders, order = ledger_of(empty_cluster).orders, an_order("topics", warm_s=60)
    # It loads version 1, and is then busy, so that it does not load version 2 and is waited for.
    client = empty_cluster.client()
    client.classify(["a"], model="topics@1").wait(timeout_s=120)
    busy = client.classify(["a"] * 400, model="topics@1", parameters={"delay_ms": 100})
    wait_until(lambda: busy.record().counts.done > 0, "it runs")

    orders.place(order, 120)
    wait_until(lambda: orders.answer_to(order.order_id)[1] == "first", "it is taken")
    empty_cluster.workers[0].kill()
    busy.cancel()
    empty_cluster.start_ready("second")
    wait_until(lambda: orders.answer_to(order.order_id)[0] is not None, "it is answered")

    answer, worker = orders.answer_to(order.order_id)
    assert answer is not None and (answer.failure, worker) == (None, "second")
    assert shape_of(store, "topics") == [(None, 1), (1, 2)]
    assert store.labels("topics") == {"production": 2, "latest": 2}


def test_what_a_worker_that_died_had_removed_is_answered_by_another(empty_cluster: Cluster):
    store, orders = (
        ModelStore(empty_cluster.settings.store_dir, {}),
        ledger_of(empty_cluster).orders,
    )
    for _ in range(2):
        publish(store, "topics", "echo")
    removal = an_order("topics", 2, action=OrderAction.REMOVE)
    orders.place(removal, 120)
    orders.take(removal.order_id, "dead", 1.0)
    store.remove("topics", 2)

    empty_cluster.start_ready()
    wait_until(lambda: orders.answer_to(removal.order_id)[0], "it is answered")

    answer = orders.answer_to(removal.order_id)[0]
    assert answer is not None and (answer.failure, answer.in_service) == (None, 1)
    assert store.numbers("topics") == [1]
