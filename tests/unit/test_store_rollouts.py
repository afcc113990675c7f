"""Roll-outs in the model store: how one begins and ends, and what is written down of it."""

import re

import pytest

from seqd.errors import InvalidRequest, ServiceChanged, UnknownModel, VersionInUse, WrongState
from seqd.models.model_records import version_before
from seqd.models.store import ModelStore
from seqd.worker.promotion import Promotion, RolloutBegin, abort, move_label, rollback_of
from seqd_schemas import ModelOrder, OrderAction, Rollout
from store_builders import a_change, publish, shape_of


@pytest.fixture
def store(tmp_path):
    """A store with three versions of `topics`, of which the first is in service."""
    store = ModelStore(tmp_path / "models", {})
    for _ in range(3):
        publish(store, "topics", "echo")
    return store


def a_rollout(version: int = 2, serving: int = 1, **changes: object) -> Rollout:
    fields = {
        "id": f"{version:016x}",
        "kind": "canary",
        "version": version,
        "serving": serving,
        "share": 0.05,
        "by": "user@host",
        "why": f"canary of topics@{version}",
        "at_ms": 1,
    }
    return Rollout.model_validate(fields | changes)


def test_a_roll_out_goes_on_for_every_process_until_it_is_ended_and_is_no_way_back(store, tmp_path):
    other = ModelStore(tmp_path / "models", {})
    store.put_in_service("topics", a_change(1, 3))
    tried = a_rollout(2, 3)

    store.begin_rollout("topics", tried)
    assert other.rollout("topics") == tried
    assert store.labels("topics") == {"production": 3, "candidate": 2, "latest": 3}
    with pytest.raises(VersionInUse, match=r"^topics@2 is tried as a canary: it is not removed\."):
        store.remove("topics", 2)

    assert other.end_rollout("topics", tried, "me", "too slow")
    assert store.rollout("topics") is None
    assert store.is_aborted("topics", tried.id)
    assert store.labels("topics") == {"production": 3, "latest": 3}
    assert not store.end_rollout("topics", tried, "me", "again"), "it had ended"
    assert shape_of(store) == [(None, 1), (1, 3), (3, 3), (3, 3)]
    assert [one.rollout for one in store.history("topics")[-2:]] == [tried] * 2
    assert version_before(store.history("topics"), 3) == 1


def test_a_candidate_is_put_in_service_and_jobs_keep_their_share(store):
    store.begin_rollout("topics", a_rollout())

    store.put_in_service("topics", a_change(1, 2))

    assert store.rollout("topics") is None
    assert store.labels("topics") == {"production": 2, "latest": 3}
    assert not store.is_aborted("topics", a_rollout().id)
    assert store.history("topics")[-1].rollout == a_rollout()


def test_another_version_in_service_aborts_a_roll_out(store):
    for move in (
        lambda: store.put_in_service("topics", a_change(1, 3)),
        lambda: store.set_label("topics", "production", 2),
    ):
        serving = store.labels("topics")["production"]
        tried = a_rollout(2 if serving == 1 else 1, serving)
        store.begin_rollout("topics", tried)

        move()

        assert store.rollout("topics") is None
        assert "candidate" not in store.labels("topics")
        assert store.history("topics")[-1].rollout == tried


def test_another_version_takes_the_place_of_the_first_and_another_share_leaves_jobs_alone(store):
    store.begin_rollout("topics", a_rollout(2))
    store.begin_rollout("topics", a_rollout(2, id="f" * 16, share=0.5))
    aborted_by_a_share = store.is_aborted("topics", a_rollout(2).id)
    store.begin_rollout("topics", a_rollout(3))

    assert not aborted_by_a_share
    assert store.rollout("topics") == a_rollout(3)
    assert store.labels("topics")["candidate"] == 3
    assert store.is_aborted("topics", "f" * 16)


@pytest.mark.parametrize(
    ("tried", "error"),
    [(a_rollout(3, serving=2), ServiceChanged), (a_rollout(9), UnknownModel)],
    ids=["beside what is not in service", "of a version that is missing"],
)
def test_a_roll_out_that_cannot_be_is_refused(store, tried, error):
    with pytest.raises(error):
        store.begin_rollout("topics", tried)

    assert store.rollout("topics") is None


@pytest.mark.parametrize("how", ["label", "folder"])
def test_a_label_moved_or_a_candidate_taken_away_by_hand_ends_a_roll_out(store, tmp_path, how):
    store.begin_rollout("topics", a_rollout())
    folder = tmp_path / "models/topics"

    if how == "label":
        (folder / "labels.json").write_text('{"production": 3}')
    else:
        (folder / "2").rename(tmp_path / "away")

    assert store.rollout("topics") is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"aborted": 7}', "aborted: Input should be a valid "),
        ("\0" * 100_000, "the whole: Invalid JSON"),
    ],
)
def test_a_damaged_file_is_no_roll_out_and_is_replaced(content, fault, store, tmp_path, caplog):
    path = tmp_path / "models/topics/rollout.json"
    path.write_text(content)
    assert store.rollout("topics") is None
    assert f"no roll-out goes on, since {path} is damaged: {fault}" in caplog.text

    store.begin_rollout("topics", a_rollout())
    assert store.rollout("topics") == a_rollout()


def an_order(action: OrderAction, **changes: object) -> ModelOrder:
    fields = {"order_id": "o1", "action": action, "model": "topics", "ordered_at_ms": 1}
    return ModelOrder.model_validate({**fields, "expected": 1, "by": "me", **changes})


def begin(store: ModelStore, serving: int = 1) -> None:
    order = an_order(OrderAction.SHADOW, version=2, share=0.5, expected=serving)
    RolloutBegin(store, order).make()


def end(store: ModelStore) -> None:
    abort(store, an_order(OrderAction.END_ROLLOUT, by="worker w1", why="too many errors"))


def test_a_rollback_right_behind_the_end_of_a_roll_out_is_refused(store):
    store.put_in_service("topics", a_change(1, 3))
    begin(store, serving=3)
    end(store)

    with pytest.raises(WrongState) as raised:
        rollback_of(store, an_order(OrderAction.ROLLBACK, expected=3))

    assert re.fullmatch(
        r"the shadow of topics@2 ended \d+ s ago, by worker w1, and topics@3 answers all items; "
        r"nothing is changed. To put another version in service: seqd models promote "
        r"topics@VERSION",
        str(raised.value),
    )


def test_a_version_whose_canary_was_aborted_meanwhile_is_not_put_in_service(store):
    begin(store)
    promotion = Promotion(store, an_order(OrderAction.PROMOTE), 2)
    end(store)

    assert promotion.is_overtaken()
    with pytest.raises(ServiceChanged) as raised:
        promotion.make()
    assert str(raised.value).startswith("topics@2 was tried meanwhile, and that was aborted;")
    assert store.labels("topics")["production"] == 1


def test_the_label_of_a_candidate_is_not_moved_while_it_is_tried(store):
    begin(store)
    with pytest.raises(InvalidRequest) as raised:
        move_label(store, "topics", 2, "candidate", "me", is_removed=True)
    assert str(raised.value) == (
        "topics@2 is tried, and has the label candidate meanwhile; nothing is changed. End that "
        "first: seqd models rollback topics"
    )
