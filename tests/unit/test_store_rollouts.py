"""Roll-outs in the model store: how one begins and ends, and what is written down of it."""

import json
import re
import threading
from pathlib import Path

import pytest

from seqd.errors import InvalidRequest, ServiceChanged, UnknownModel, VersionInUse, WrongState
from seqd.models.history import version_before
from seqd.models.store import ModelStore
from seqd.worker.promotion import Promotion, move_label, rollback_of
from seqd.worker.rollout_change import RolloutBegin, abort
from seqd_schemas import Rollout, RolloutKind
from store_builders import a_change, publish, shape_of


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
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


def reopened(store: ModelStore, tmp_path: Path) -> ModelStore:
    """Return the store as another process sees it."""
    return ModelStore(tmp_path / "models", {})


def test_a_roll_out_goes_on_for_every_process_until_it_is_ended(
    store: ModelStore, tmp_path: Path
) -> None:
    other = reopened(store, tmp_path)
    assert other.rollout("topics") is None

    store.begin_rollout("topics", a_rollout())
    assert other.rollout("topics") == a_rollout()
    assert store.labels("topics") == {"production": 1, "candidate": 2, "latest": 3}

    assert other.end_rollout("topics", a_rollout(), "me", "too slow")
    assert store.rollout("topics") is None
    assert store.is_aborted("topics", a_rollout().id)
    assert store.labels("topics") == {"production": 1, "latest": 3}
    assert not store.end_rollout("topics", a_rollout(), "me", "again"), "it had ended"


def test_begin_and_end_stand_in_the_history_and_are_no_change_to_go_back_to(
    store: ModelStore,
) -> None:
    store.put_in_service("topics", a_change(1, 3))
    store.begin_rollout("topics", a_rollout(2, 3))
    store.end_rollout("topics", a_rollout(2, 3), "me", "too slow")

    assert shape_of(store) == [(None, 1), (1, 3), (3, 3), (3, 3)]
    assert [one.rollout for one in store.history("topics")[-2:]] == [a_rollout(2, 3)] * 2
    assert version_before(store.history("topics"), 3) == 1


def test_a_candidate_is_put_in_service_and_jobs_keep_their_share(store: ModelStore) -> None:
    store.begin_rollout("topics", a_rollout())

    store.put_in_service("topics", a_change(1, 2))

    assert store.rollout("topics") is None
    assert store.labels("topics") == {"production": 2, "latest": 3}
    assert not store.is_aborted("topics", a_rollout().id)
    assert store.history("topics")[-1].rollout == a_rollout()


def test_another_version_in_service_aborts_a_roll_out(store: ModelStore) -> None:
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


def test_a_roll_out_of_another_version_takes_the_place_of_the_first(store: ModelStore) -> None:
    store.begin_rollout("topics", a_rollout(2))
    store.begin_rollout("topics", a_rollout(3, share=0.5))

    assert store.rollout("topics") == a_rollout(3, share=0.5)
    assert store.labels("topics")["candidate"] == 3
    assert store.is_aborted("topics", a_rollout(2).id)


def test_another_share_of_the_same_version_leaves_jobs_as_they_are(store: ModelStore) -> None:
    store.begin_rollout("topics", a_rollout(2))
    store.begin_rollout("topics", a_rollout(2, id="f" * 16, share=0.5))

    assert not store.is_aborted("topics", a_rollout(2).id)


def test_a_roll_out_beside_a_version_that_is_not_in_service_is_refused(store: ModelStore) -> None:
    with pytest.raises(ServiceChanged) as raised:
        store.begin_rollout("topics", a_rollout(3, serving=2))
    assert str(raised.value).startswith(
        "topics@1 is in service, no longer topics@2: somebody was faster. topics@3 comes"
    )
    assert store.rollout("topics") is None


def test_a_label_that_was_moved_by_hand_ends_a_roll_out(store: ModelStore, tmp_path: Path) -> None:
    store.begin_rollout("topics", a_rollout())
    (tmp_path / "models/topics/labels.json").write_text('{"production": 3}')
    assert store.rollout("topics") is None


def test_a_candidate_that_is_gone_is_not_tried(store: ModelStore, tmp_path: Path) -> None:
    store.begin_rollout("topics", a_rollout())
    (tmp_path / "models/topics/2").rename(tmp_path / "away")
    assert store.rollout("topics") is None


def test_a_candidate_is_not_removed_while_it_is_tried(store: ModelStore) -> None:
    store.begin_rollout("topics", a_rollout())
    with pytest.raises(VersionInUse) as raised:
        store.remove("topics", 2)
    assert str(raised.value) == (
        "topics@2 is tried as a canary: it is not removed. End that first: seqd models promote "
        "topics@2 --share 0%"
    )
    with pytest.raises(UnknownModel, match="no version topics@9"):
        store.begin_rollout("topics", a_rollout(9))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"current": {"share": 7}}', "\0" * 100_000])
def test_a_damaged_file_is_no_roll_out_and_is_replaced(
    content: str, store: ModelStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "models/topics/rollout.json"
    path.write_text(content)
    assert store.rollout("topics") is None
    assert f"no roll-out goes on, since {path} is damaged" in caplog.text

    store.begin_rollout("topics", a_rollout())
    assert store.rollout("topics") == a_rollout()


def test_a_file_of_a_later_release_is_read_as_far_as_it_is_known(
    store: ModelStore, tmp_path: Path
) -> None:
    store.begin_rollout("topics", a_rollout())
    path = tmp_path / "models/topics/rollout.json"
    content = json.loads(path.read_text())
    content["current"] |= {"kind": "mirror", "of": "later"}
    path.write_text(json.dumps(content))

    found = store.rollout("topics")
    assert found is not None
    assert found.kind == "mirror"


def test_the_last_hundred_aborted_ones_are_known(store: ModelStore) -> None:
    for number in range(101):
        one = a_rollout(id=f"{number:016x}")
        store.begin_rollout("topics", one)
        assert store.end_rollout("topics", one, "me", "")
    assert not store.is_aborted("topics", f"{0:016x}")
    assert all(store.is_aborted("topics", f"{number:016x}") for number in range(1, 101))


def test_of_two_that_end_a_roll_out_at_once_one_does(store: ModelStore) -> None:
    store.begin_rollout("topics", a_rollout())
    ended = []
    threads = [
        threading.Thread(
            target=lambda: ended.append(store.end_rollout("topics", a_rollout(), "me", ""))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [False] * 7 + [True]


def begin(store: ModelStore, version: int) -> RolloutBegin:
    return RolloutBegin(
        store,
        "topics",
        version,
        kind=RolloutKind.SHADOW,
        share=0.5,
        max_error_rate=0.01,
        why="more data",
        by="user@host",
    )


def test_the_version_in_service_is_not_tried_beside_itself(store: ModelStore) -> None:
    with pytest.raises(WrongState) as raised:
        begin(store, 1)
    assert str(raised.value) == (
        "topics@1 is in service already, and answers all items; nothing is changed"
    )


def test_begin_and_end_say_why(store: ModelStore) -> None:
    begin(store, 2).begin()
    assert store.history("topics")[-1].why == (
        "shadow of topics@2 with 50% of the items: more data"
    )
    assert abort(store, "topics", "me", "too slow").version == 2
    assert store.history("topics")[-1].why == "shadow of topics@2 aborted: too slow"
    with pytest.raises(WrongState) as raised:
        abort(store, "topics", "me", "")
    assert str(raised.value) == (
        "no version of topics is tried beside the one in service; nothing is changed"
    )


def test_what_was_aborted_is_known_though_the_rest_of_the_file_is_damaged(
    store: ModelStore, tmp_path: Path
) -> None:
    store.begin_rollout("topics", a_rollout())
    store.end_rollout("topics", a_rollout(), "me", "")
    path = tmp_path / "models/topics/rollout.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"current": {"share": 7}}))

    assert store.is_aborted("topics", a_rollout().id)
    store.begin_rollout("topics", a_rollout(3))
    assert store.is_aborted("topics", a_rollout().id)


def test_what_was_known_holds_while_the_file_cannot_be_read(
    store: ModelStore, tmp_path: Path
) -> None:
    store.begin_rollout("topics", a_rollout())
    path = tmp_path / "models/topics/rollout.json"
    other = reopened(store, tmp_path)
    assert store.rollout("topics") == a_rollout()
    content = path.read_bytes()
    path.unlink()
    path.mkdir()  # what cannot be read, also for root

    assert store.rollout("topics") == a_rollout()
    assert not store.is_aborted("topics", a_rollout().id)
    # Nothing is known here: the version in service answers.
    assert other.rollout("topics") is None
    assert other.is_aborted("topics", a_rollout().id)
    path.rmdir()
    path.write_bytes(content)
    assert other.rollout("topics") == a_rollout()


def test_a_rollback_right_behind_the_end_of_a_roll_out_is_refused(store: ModelStore) -> None:
    store.put_in_service("topics", a_change(1, 3))
    begin(store, 2).begin()
    abort(store, "topics", "worker w1", "too many errors")

    with pytest.raises(WrongState) as raised:
        rollback_of(store, "topics", "", "me")

    assert re.fullmatch(
        r"the shadow of topics@2 ended \d+ s ago, by worker w1, and topics@3 answers all items; "
        r"nothing is changed. To put another version in service: seqd models promote "
        r"topics@VERSION",
        str(raised.value),
    )


def test_a_version_whose_canary_was_aborted_meanwhile_is_not_put_in_service(
    store: ModelStore,
) -> None:
    begin(store, 2).begin()
    promotion = Promotion(store, "topics", 2, "", "me")
    abort(store, "topics", "worker w1", "too many errors")

    assert promotion.is_overtaken()
    with pytest.raises(ServiceChanged) as raised:
        promotion.put_in_service()
    assert str(raised.value).startswith("topics@2 was tried meanwhile, and that was aborted;")
    assert store.labels("topics")["production"] == 1


def test_the_label_of_a_candidate_is_not_moved_while_it_is_tried(store: ModelStore) -> None:
    begin(store, 2).begin()
    with pytest.raises(InvalidRequest) as raised:
        move_label(store, "topics", 2, "candidate", "me", is_removed=True)
    assert str(raised.value) == (
        "topics@2 is tried, and has the label candidate meanwhile; nothing is changed. End that "
        "first: seqd models rollback topics"
    )
