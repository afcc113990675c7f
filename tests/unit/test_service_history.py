"""Which version was in service when: `history.jsonl`, and where a rollback goes by it."""

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.models import serving_store
from seqd.models.model_records import MAX_CHANGES, note_change, read_history, version_before
from seqd.models.store import ModelStore
from seqd_schemas import ServiceChange
from store_builders import a_change, publish, shape_of, train

BY_HAND = "the label was moved by hand, or by a process that died"


@pytest.fixture
def store(tmp_path):
    """A store with three versions of `topics`, of which the first is in service."""
    store = ModelStore(tmp_path, {})
    for job in ("job-1", "job-2", "job-3"):
        train(store, job)
        store.finalize("topics", job)
    return store


def lines_of(store: ModelStore) -> list[dict[str, object]]:
    text = (store.folder_of("topics") / "history.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def promote(store: ModelStore, version: int, **changes: object) -> None:
    now = store.labels("topics").get("production")
    store.put_in_service("topics", a_change(now, version, **changes))


def test_a_label_that_was_moved_by_hand_is_in_the_history_until_the_next_change_writes_it_down(
    store,
):
    labels = store.folder_of("topics") / "labels.json"
    labels.write_text('{"production": 3}')
    shown = store.history("topics")
    written = len(lines_of(store))

    promote(store, 2)

    assert written == 1
    assert (shown[-1].from_version, shown[-1].to_version) == (1, 3)
    assert (shown[-1].why, shown[-1].by) == (BY_HAND, "")
    assert shape_of(store) == [(None, 1), (1, 3), (3, 2)]
    assert [line.get("why") for line in lines_of(store)] == ["its first version", BY_HAND, None]


def test_a_process_killed_between_label_and_line_leaves_a_change_that_is_seen(store, monkeypatch):
    def die(folder: Path, change: ServiceChange) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving_store, "note_change", die)
    with pytest.raises(KeyboardInterrupt):
        promote(store, 2)
    with pytest.raises(KeyboardInterrupt):
        publish(store, "moods", "echo")  # a first version
    monkeypatch.undo()

    assert store.resolve("topics") == ("topics", 2)
    assert [one.why for one in store.history("topics")] == ["its first version", BY_HAND]
    assert version_before(store.history("topics"), 2) == 1
    assert (store.resolve("moods"), store.history("moods")) == (("moods", 1), [])
    store.put_in_service("moods", a_change(1, publish(store, "moods", "echo")))
    assert shape_of(store, "moods") == [(1, 2)]


@pytest.mark.parametrize(
    "line", ["", "{", '{"to_version": 2}', '{"at_ms": -1}', "\udcff", '{"at_ms":1,"why":3}']
)
def test_a_line_that_cannot_be_read_is_left_out_with_a_warning(store, line, caplog):
    promote(store, 2)
    file = store.folder_of("topics") / "history.jsonl"
    first, second = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([first, line.encode(errors="surrogateescape"), second, b""]))

    with caplog.at_level(logging.WARNING):
        shape = shape_of(store)

    assert shape == [(None, 1), (1, 2)]
    assert [one.message for one in caplog.records] == [f"{file}: line 2 cannot be read"]


def test_a_line_of_a_later_release_is_read_as_far_as_it_is_known(store):
    file = store.folder_of("topics") / "history.jsonl"
    later = {"at_ms": 5, "from_version": 1, "to_version": 1, "approved_by": "a committee"}
    with file.open("a") as lines:
        lines.write(json.dumps(later) + "\n")

    assert shape_of(store) == [(None, 1), (1, 1)]


def test_the_newest_thousand_changes_are_kept(tmp_path):
    note_change(tmp_path, a_change(None, 1))
    lines = [a_change(number, number + 1) for number in range(1, MAX_CHANGES)]
    content = "".join(f"{one.model_dump_json(exclude_defaults=True)}\n" for one in lines)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write(content)
    full = read_history(tmp_path, MAX_CHANGES)

    note_change(tmp_path, a_change(MAX_CHANGES, MAX_CHANGES + 1))

    assert (len(full), full[0].from_version) == (MAX_CHANGES, None)
    kept = read_history(tmp_path, MAX_CHANGES + 1)
    assert (len(kept), kept[0].from_version) == (MAX_CHANGES, 1)
    assert (kept[-1].from_version, kept[-1].to_version) == (MAX_CHANGES, MAX_CHANGES + 1)


def walk(steps: list[int | str]) -> tuple[list[ServiceChange], int]:
    """Take the steps as `seqd models promote` and `rollback` do, from a first version 1."""
    changes, now = [a_change(None, 1)], 1
    for step in steps:
        to = version_before(changes, now) if isinstance(step, str) else step
        if to is None or to == now:
            continue
        changes.append(a_change(now, to, is_rollback=isinstance(step, str)))
        now = to
    return changes, now


@given(st.lists(st.one_of(st.integers(1, 4), st.just("back")), max_size=40))
def test_rollbacks_undo_promotions_one_by_one_and_come_to_an_end(steps):
    changes, now = walk(steps)
    undone = [1]
    for step in steps:
        if step == "back":
            undone = undone[:-1] or undone
        elif step != undone[-1]:
            undone.append(step)  # a number
    seen = [now]

    while (before := version_before(changes, now)) is not None:
        changes.append(a_change(now, before, is_rollback=True))
        seen.append(now := before)
        assert len(seen) <= len(undone)

    assert seen == undone[::-1]
