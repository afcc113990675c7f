"""Training data: records, running text, and a fingerprint that any change moves."""

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import InvalidData, InvalidInput
from seqd.hookspecs import LabelledRecord
from seqd.inputs import datasets
from seqd.inputs.datasets import FileDataset, ListDataset, NamedDataset
from seqd.inputs.streams import FileContent
from seqd_schemas import FileSource


def a_dataset(folder, name, content, **fields):
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return FileDataset(FileSource(path=str(path), **fields))


def labelled(*pairs):
    return ListDataset([LabelledRecord(text, label) for text, label in pairs], "a list")


def test_labels_become_text_and_missing_ones_none(tmp_path):
    lines = b'{"text": "a", "label": 1}\n{"text": "b", "label": null}\n{"text": "c"}\n"d"'
    data = a_dataset(tmp_path, "a.jsonl.gz", lines)

    records = list(data.records())

    assert [(r.text, r.label) for r in records] == [
        ("a", "1"),
        ("b", None),
        ("c", None),
        ("d", None),
    ]
    assert (data.description, data.named) == ("a.jsonl.gz", None)
    assert data.text() == "a\nb\nc\nd"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"label": "pos"}', "it has no field 'text'; its fields: label."),
        (b'{"text": "a", "label": [1]}', "its label is of type list; allowed: a string, number or"),
        (b"{", "it is not JSON (Expecting property name"),
    ],
)
def test_the_first_bad_line_ends_the_reading_with_its_number(tmp_path, line, reason):
    data = a_dataset(tmp_path, "a.jsonl", b'"good enough"\n' + line + b"\n")

    with pytest.raises(InvalidData) as raised:
        list(data.records())

    assert str(raised.value).startswith(f"a.jsonl, line 2: {reason}")


def test_a_text_file_is_one_running_text_unchanged(tmp_path):
    data = a_dataset(tmp_path, "a.txt", "\ufeffone\r\n\n two ü\r".encode())

    assert data.text() == "one\r\n\n two ü\r"
    assert list(data.records()) == [LabelledRecord("one\r\n\n two ü\r", None)]
    assert data.fingerprint().records == 13  # characters


def test_a_text_file_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    data = a_dataset(tmp_path, "a.txt", b"one line\ntwo lines \xe9\n")

    with pytest.raises(InvalidData) as raised:
        data.text()

    assert str(raised.value) == (
        "a.txt, line 2: byte 0xe9 is not UTF-8. Convert it, as `iconv -f LATIN1 -t UTF-8` does"
    )


@pytest.mark.parametrize("top", ["", "train"])
def test_an_aclimdb_folder_gives_its_training_half(tmp_path, top):
    for name in ("train/pos/0.txt", "train/neg/0.txt", "test/pos/0.txt", "train/unsup/0.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "train" / "labeledBow.feat").write_text("0:1")

    data = FileDataset(FileSource(path=str(tmp_path / top)))

    assert list(data.records()) == [
        LabelledRecord("train/neg/0.txt", "neg"),
        LabelledRecord("train/pos/0.txt", "pos"),
    ]


def test_the_fingerprint_is_taken_while_somebody_else_reads(tmp_path):
    data = a_dataset(tmp_path, "a.jsonl", b'{"text": "a", "label": "x"}\n"b"\n')
    list(data.records())
    (tmp_path / "a.jsonl").unlink()

    fingerprint = data.fingerprint()

    assert fingerprint.records == 2
    assert fingerprint.sha256 == labelled(("a", "x"), ("b", None)).fingerprint().sha256


PAIRS = st.lists(st.tuples(st.text("ab", max_size=3), st.none() | st.text("ab", max_size=2)))


@given(PAIRS.filter(bool), PAIRS.filter(bool))
def test_two_data_sets_have_one_fingerprint_only_if_they_are_equal(left, right):
    same = labelled(*left).fingerprint() == labelled(*right).fingerprint()

    assert same == (left == right)


def test_data_without_records_is_refused():
    with pytest.raises(InvalidData, match="a list holds no record; at least one is due"):
        labelled().fingerprint()


def test_a_named_data_set_has_a_name_and_no_records():
    data = NamedDataset("keras:imdb")

    assert (data.named, data.description) == ("keras:imdb", "keras:imdb")
    with pytest.raises(InvalidData, match="keras:imdb is a plugin's own data set"):
        data.records()


def test_a_running_text_over_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "MAX_RUNNING_TEXT_BYTES", 3)
    data = a_dataset(tmp_path, "a.txt", b"four")

    with pytest.raises(InvalidInput, match="is longer than 3 bytes"):
        data.text()


def test_records_come_in_segments_with_their_labels(tmp_path):
    data = a_dataset(tmp_path, "a.jsonl", b'{"text": "a", "label": "pos"}\n"b"')

    segments = list(data.segments())

    assert [(p.text, p.label, p.ends_record) for p in segments] == [
        ("a", "pos", True),
        ("b", None, True),
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_running_text_in_segments_is_whole_and_has_its_fingerprint(tmp_path, monkeypatch, name):
    monkeypatch.setattr(datasets, "SEGMENT_BYTES", 3)
    text = "né\r\n日本 🙂 and more\n"
    data = a_dataset(tmp_path, name, text.encode())
    whole = FileDataset(FileSource(path=str(tmp_path / name)))

    segments = list(data.segments())

    assert "".join(segment.text for segment in segments) == text == whole.text()
    assert len(segments) > 5
    assert not any(segment.ends_record for segment in segments)
    assert data.fingerprint() == whole.fingerprint()


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl", "a.jsonl.gz"])
def test_an_object_is_read_as_a_file_of_its_name(tmp_path, name):
    whole = a_dataset(tmp_path, name, b'{"text": "a", "label": "x"}\n{"text": "b"}\n')
    content = FileContent(os.open(tmp_path / name, os.O_RDONLY))
    source = FileSource(path=f"s3://bucket/folder/{name}")

    data = FileDataset(source, Path("s3:/bucket/folder") / name, content)

    assert data.fingerprint() == whole.fingerprint()
    assert list(data.segments()) == list(whole.segments())
    assert list(data.records()) == list(whole.records())
    content.close()


def test_a_running_text_in_segments_may_be_longer_than_one_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "MAX_RUNNING_TEXT_BYTES", 3)
    data = a_dataset(tmp_path, "a.txt", b"abcdef")

    assert [segment.text for segment in data.segments()] == ["abcdef"]
    assert data.fingerprint().records == 6
