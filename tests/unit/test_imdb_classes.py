"""Class weights, and the doubts about a training set that its caller is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_imdb_lstm import TrainParameters
from seqd_imdb_lstm.classes import balanced_weights
from seqd_imdb_lstm.corpus import read_corpus
from seqd_imdb_lstm.remarks import remarks
from seqd_imdb_lstm.reviews import words_of


def remarks_on(*texts_and_labels: tuple[str, str], **parameters: object) -> list[str]:
    chosen = TrainParameters.model_validate(parameters)
    records = [(words_of(text, chosen.tokenizer), label) for text, label in texts_and_labels]
    return list(remarks(read_corpus(records, "reviews.jsonl", 500, 10**9), chosen))


def varied(label: str, count: int) -> list[tuple[str, str]]:
    return [(f"{label} review number {number}", label) for number in range(count)]


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    targets = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2], dtype=np.int32)

    weights = balanced_weights(targets, 3)

    assert weights.tolist() == pytest.approx([12 / (3 * 6), 12 / (3 * 2), 12 / (3 * 4)])
    assert weights.dtype == np.float32


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_balanced_classes_have_the_same_total_and_the_mean_of_one(numbers: list[int]):
    targets = np.array([*numbers, *range(5)], dtype=np.int32)

    weights = balanced_weights(targets, 5)

    totals = np.bincount(targets, weights=weights[targets])
    assert totals == pytest.approx([len(targets) / 5] * 5, rel=1e-5)
    assert weights[targets].mean() == pytest.approx(1.0, rel=1e-5)


def test_a_sound_set_gives_no_remarks():
    assert remarks_on(*varied("good", 10), *varied("bad", 5)) == []


def test_left_out_and_repeated_records_are_counted():
    found = remarks_on(
        *varied("good", 3), *varied("bad", 3), ("bad review number 1", "bad"), *(("...", "bad"),)
    )

    assert found == [
        "Records left out because there is no word in them: 1.",
        "Records with the words and the label of an earlier one: 1. They are learnt from like "
        "others; one that is held out may also be trained on.",
    ]


def test_contradictions_are_counted_with_an_example():
    found = remarks_on(*varied("good", 3), *varied("bad", 3), ("good review number 1", "bad"))

    assert found == [
        "Warning: texts that stand under more than one label: 1, such as record 2 as 'good' and "
        "record 7 as 'bad'. All are learnt from; no model can get them all right."
    ]


def test_classes_that_were_seen_once_are_named():
    found = remarks_on(*varied("good", 3), *varied("bad", 1), *varied("odd", 1))

    assert found == [
        "Warning: a class was seen only once: 'bad', 'odd'. Its one record is trained on and "
        "cannot be held out, so nothing tells how well the class is learnt."
    ]


def test_skewed_classes_are_told_with_the_remedy_unless_it_was_taken():
    skewed = [*varied("good", 21), *varied("bad", 2)]

    assert remarks_on(*skewed) == [
        "Warning: 'good' has 21 records and 'bad' has 2, so the rare class is easily overlooked. "
        "With class_weight=balanced all classes count the same."
    ]
    assert remarks_on(*skewed, class_weight="balanced") == []
    assert remarks_on(*varied("good", 20), *varied("bad", 2)) == []


CHINESE = [("这部电影真的非常好看我很喜欢", "好"), ("这部电影太无聊了我非常不喜欢它", "坏")] * 3
THAI = [("ภาพยนตร์เรื่องนี้สนุกมากฉันชอบมาก", "ดี"), ("ภาพยนตร์เรื่องนี้น่าเบื่อมาก", "แย่")] * 3


def test_texts_without_spaces_are_told_with_the_tokenizer_that_helps():
    (_, found) = remarks_on(*CHINESE)

    assert found == (
        "Warning: half of the texts have words of 14 characters or more on the average, as if "
        "there were no spaces between their words; hardly any word is then seen twice. Train with "
        "tokenizer=unicode-1, to which each Chinese character and kana is a word. Texts in Thai, "
        "Lao, Khmer or Burmese need their words parted by spaces first."
    )
    assert len(remarks_on(*CHINESE, tokenizer="unicode-1")) == 1  # the repeats


def test_thai_is_not_cut_by_either_tokenizer_and_is_told_what_to_do():
    (_, found) = remarks_on(*THAI, tokenizer="unicode-1")

    assert "tokenizer=" not in found
    assert found.endswith(
        "Texts in Thai, Lao, Khmer or Burmese need their words parted by spaces first."
    )
