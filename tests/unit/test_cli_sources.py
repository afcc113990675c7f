"""What a command works on: files, standard input, texts; and training data."""

import gzip
import io
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from backports import zstd

from seqd.cli.sources import data_of, feed_of, file_source, records_here, records_of
from seqd.errors import InvalidInput, InvalidRequest
from seqd_schemas import FileFormat, FileSource, Item, NamedSource, RefusedItem


class Stdin:
    """Standard input that holds the given bytes."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def a_file(folder: Path, *records: Mapping[str, object], name: str = "in.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_file_is_fed_in_order_with_its_labels(tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        {"id": "a", "text": "fine", "label": "positive"},
        {"id": "b", "text": "", "label": "negative"},
        {"id": "c", "text": "good"},
    )

    with feed_of(str(path), [], {}, label_field="label") as feed:
        entries = list(feed)

    assert [entry.custom_id for entry in entries] == ["a", "b", "c"]
    assert isinstance(entries[1], RefusedItem)
    assert list(feed.labels) == ["positive", "negative", None]
    assert feed.is_complete


def test_labels_may_stand_in_another_field(tmp_path: Path) -> None:
    path = a_file(tmp_path, {"text": "fine", "label": "wrong", "truth": 1})

    with feed_of(str(path), [], {}, label_field="truth") as feed:
        list(feed)

    assert list(feed.labels) == ["1"]


def test_without_a_field_no_labels_are_kept(tmp_path: Path) -> None:
    path = a_file(tmp_path, {"text": "fine", "label": "positive"})

    with feed_of(str(path), [], {}) as feed:
        entries = list(feed)

    assert len(entries) == 1
    assert not feed.labels


def test_a_label_that_is_none_does_not_spoil_its_item(tmp_path: Path) -> None:
    path = a_file(tmp_path, {"text": "fine", "label": {"not": "a label"}})

    with feed_of(str(path), [], {}, label_field="label") as feed:
        entries = list(feed)

    assert isinstance(entries[0], Item)
    assert list(feed.labels) == [None]


def test_the_number_of_entries_is_open_until_the_last_was_read(tmp_path: Path) -> None:
    path = a_file(tmp_path, {"text": "one"}, {"text": "two"})

    with feed_of(str(path), [], {}) as feed:
        entries = iter(feed)
        next(entries)

        assert not feed.is_complete


def test_texts_are_fed_as_they_are() -> None:
    with feed_of(None, ["one", "two"], {}) as feed:
        entries = list(feed)

    assert [(entry.custom_id, entry.text) for entry in entries if isinstance(entry, Item)] == [
        ("row-1", "one"),
        ("row-2", "two"),
    ]


@pytest.mark.parametrize(
    ("content", "texts"),
    [(b'{"text": "one"}\n"two"\n', ["one", "two"]), (b"one\ntwo\n", ["one", "two"])],
)
def test_standard_input_is_json_lines_where_it_looks_like_it(
    monkeypatch: pytest.MonkeyPatch, content: bytes, texts: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(content))

    with feed_of("-", [], {}) as feed:
        entries = list(feed)

    assert [entry.text for entry in entries if isinstance(entry, Item)] == texts


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_compressed_standard_input_is_inflated(
    monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(compress(b'{"text": "one"}\n"two"\n')))

    with feed_of("-", [], {}) as feed:
        entries = list(feed)

    assert [entry.text for entry in entries if isinstance(entry, Item)] == ["one", "two"]


@pytest.mark.parametrize(("compress", "name"), [(gzip.compress, "gzip"), (zstd.compress, "zstd")])
def test_a_pipe_that_ends_in_the_middle_is_called_as_it_is_compressed(
    monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes], name: str
) -> None:
    lines = b"".join(b"%s\n" % secrets.token_hex(500).encode() for _ in range(2_000))
    monkeypatch.setattr("sys.stdin", Stdin(compress(lines)[:-2_000]))

    message = (
        rf"^the {name} file standard input ends in the middle, after line [\d,]+: .*`{name} -t`"
    )
    with feed_of("-", [], {}) as feed, pytest.raises(InvalidInput, match=message):
        list(feed)


@pytest.mark.parametrize(
    ("file", "texts", "message"),
    [
        (None, [], "there is nothing to work on; give a file"),
        ("x.jsonl", ["one"], "a file and texts are both given; give one of the two"),
    ],
)
def test_a_file_and_texts_exclude_each_other(
    file: str | None, texts: list[str], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)), feed_of(file, texts, {}):
        pass


def test_a_wrong_format_lists_the_right_ones(tmp_path: Path) -> None:
    message = "--format is 'xml'; allowed: auto, jsonl, csv, lines, folder"

    with pytest.raises(InvalidRequest, match=message):
        file_source(a_file(tmp_path), format="xml")


def test_training_data_is_named_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_file(tmp_path, {"text": "fine", "label": "positive"})
    monkeypatch.chdir(tmp_path)

    source = data_of("in.jsonl", text_field="text", label_field="label")

    assert source == FileSource(path=str(path.resolve()), format=FileFormat.JSONL)


def test_a_data_set_of_the_plugin_is_named_as_it_is() -> None:
    assert data_of("keras:imdb") == NamedSource(name="keras:imdb")


def test_a_relative_path_that_is_missing_is_refused_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidInput, match=r"missing.jsonl does not exist. Check the path"):
        data_of("missing.jsonl")


def test_an_absolute_path_that_is_missing_is_left_to_the_worker_to_judge() -> None:
    source = data_of("/on/another/machine/reviews.jsonl", format="auto")

    assert source == FileSource(path="/on/another/machine/reviews.jsonl")


def test_a_running_text_is_sent_without_the_loss_of_a_character(tmp_path: Path) -> None:
    text = "one\n\n  two\r\nthree\n" + "a line of a long text\n" * 10_000
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())

    records = list(records_of(file_source(path)))

    assert len(records) == 4
    assert "\n".join(str(record["text"]) for record in records) == text


def test_what_only_the_workers_have_is_not_sent(tmp_path: Path) -> None:
    elsewhere, named = data_of("/nowhere/test.jsonl"), data_of("keras:imdb")
    here = data_of(str(a_file(tmp_path, {"text": "fine"})))

    assert (records_here(elsewhere), records_here(named)) == (elsewhere, named)
    assert list(cast(Iterator[object], records_here(here))) == [{"text": "fine", "label": None}]


def test_labelled_records_are_sent_with_their_labels(tmp_path: Path) -> None:
    path = a_file(tmp_path, {"review": "fine", "mood": "good"})
    source = file_source(path, text_field="review", label_field="mood")

    assert list(records_of(source)) == [{"text": "fine", "label": "good"}]
