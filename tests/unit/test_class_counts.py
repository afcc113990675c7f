"""The classes of a data set: counted as it is read, the same whatever form it came in."""

import csv
import gzip
import io
import json

import pytest

from seqd.hookspecs import LabelledRecord
from seqd.inputs.datasets import MAX_COUNTED, ClassCounts, FileDataset, ListDataset
from seqd_schemas import MAX_LISTED_CLASSES, DataFingerprint, FileSource

RECORDS = [("good film", "pos"), ("bad, slow film", "neg"), ("a film", None), ("best", "pos")]


def listed(*pairs: tuple[str, str | None], description: str = "a list") -> DataFingerprint:
    return ListDataset([LabelledRecord(*pair) for pair in pairs], description).fingerprint()


def as_jsonl() -> bytes:
    rows = (json.dumps({"text": text, "label": label}) for text, label in RECORDS)
    return "".join(f"{row}\n" for row in rows).encode()


def as_csv() -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([("text", "label"), *RECORDS])
    return written.getvalue().encode()


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.jsonl.gz"])
def test_a_file_of_any_format_and_an_upload_have_one_fingerprint(tmp_path, name):
    content = as_csv() if name.endswith(".csv") else as_jsonl()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    found = FileDataset(FileSource(path=str(path))).fingerprint()

    assert found == listed(*RECORDS, description=name)
    assert list(found.classes.items()) == [("pos", 2), ("neg", 1)]
    assert (found.records, found.other_labelled) == (4, 0)


def test_labels_without_end_are_counted_in_bounded_memory():
    counts = ClassCounts()
    for number in range(MAX_COUNTED + 50):
        counts.add(f"id-{number:05}")
    for _ in range(3):
        counts.add("id-00999")
        counts.add("id-01001")

    assert len(counts.listed()) == MAX_LISTED_CLASSES
    assert list(counts.listed().items())[:2] == [("id-00999", 4), ("id-00000", 1)]
    assert sum(counts.listed().values()) + counts.other() == MAX_COUNTED + 50 + 6
