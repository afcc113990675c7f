"""The texts of a bench: from files, made up, written for both sides, and padded by the peers."""

import json
import statistics
from pathlib import Path

import pytest

from seqd.bench.peers.padding import padded, ranks_of, read_reviews, real_tokens
from seqd.bench.texts import (
    Reviews,
    file_in,
    labelled_reviews_of,
    made_up_reviews,
    reviews_of,
    running_text,
)
from seqd.cli.bench import read_sizes
from seqd.errors import InvalidInput, InvalidRequest

THREE = Reviews((("one", "a"), ("two words", "b"), ("three", "a")), "a test")


def test_made_up_reviews_are_as_long_as_those_of_people():
    lengths = [len(text.split()) for text, _ in made_up_reviews(2_000)]

    # Of the 25,000 of the Large Movie Review Dataset the median is 174, the mean 234.
    assert 150 < statistics.median(lengths) < 200
    assert 200 < statistics.mean(lengths) < 270
    assert 10 <= min(lengths) < 60
    assert 700 < max(lengths) <= 2_500


def test_the_same_seed_makes_the_same_reviews_up():
    assert list(made_up_reviews(20, 1)) == list(made_up_reviews(20, 1))
    assert list(made_up_reviews(20, 1)) != list(made_up_reviews(20, 2))


def test_a_file_of_more_reviews_than_there_are_repeats_them_with_new_ids(tmp_path):
    path = THREE.write(tmp_path / "reviews.jsonl", 5)

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["custom_id"] for row in rows] == [f"review-{number}" for number in range(1, 6)]
    assert [row["text"] for row in rows] == ["one", "two words", "three", "one", "two words"]
    assert rows[3]["label"] == "a"


def test_peers_read_what_was_written(tmp_path):
    path = THREE.write(tmp_path / "reviews.jsonl")

    assert read_reviews(str(path)) == (["one", "two words", "three"], ["a", "b", "a"])


def test_texts_are_read_from_a_file_up_to_a_number(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("first\nsecond\nthird\n")

    found = reviews_of(path, 2)

    assert [text for text, _ in found.rows] == ["first", "second"]
    assert found.source == "texts.txt"


def test_labels_are_read_where_a_training_takes_them(tmp_path):
    path = THREE.write(tmp_path / "reviews.jsonl")

    assert labelled_reviews_of(path, 10).rows == THREE.rows


def test_a_file_without_a_text_is_refused(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": ""}\n')

    with pytest.raises(InvalidInput, match="holds no text that can be used"):
        reviews_of(path, 2)


def test_a_data_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(InvalidInput) as refused:
        file_in(tmp_path, Path("nietzsche.txt"))

    assert str(refused.value) == (
        f"--data is {tmp_path}, which has no nietzsche.txt; allowed: a folder with "
        "imdb/train.jsonl.gz, imdb/test-5k.jsonl.gz and nietzsche.txt. Name another, or leave it "
        "away for made-up texts."
    )


def test_without_a_folder_there_is_no_file_and_the_text_is_made_up():
    assert file_in(None, Path("nietzsche.txt")) is None

    text, source = running_text(None)
    assert len(text) >= 600_000
    assert source == "a made-up text"


def test_a_text_that_is_no_utf8_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(InvalidInput, match="allowed: a text in UTF-8"):
        running_text(path)


def test_peers_pad_and_cut_at_the_front_as_the_tutorial_does():
    texts = ["the cat, the dog", "the the the the the rare"]

    ids = padded(texts, ranks_of(texts, 6), longest=5)

    # 0 pads, 1 starts, 2 is unknown; of 6 ids two are words: `the`, then `cat`.
    assert ids.tolist() == [[1, 4, 5, 4, 2], [4, 4, 4, 4, 2]]
    assert padded(["cat"], ranks_of(texts, 6), longest=4).tolist() == [[0, 0, 1, 5]]


def test_real_tokens_are_those_that_are_no_padding():
    # A start and two words; a start and nine, cut to five.
    assert real_tokens(["two words", "a b c d e f g h i"], longest=5) == 3 + 5


@pytest.mark.parametrize(
    ("text", "sizes"), [("10", [10]), ("10000, 100000", [10_000, 100_000]), ("1,2,3", [1, 2, 3])]
)
def test_sizes_are_read(text, sizes):
    assert read_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "a", "1,", "2,1", "1,1", "0", "-5", "1e3", "9" * 20])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(InvalidRequest) as refused:
        read_sizes(text)

    assert str(refused.value) == (
        f"--sizes is {text!r}; allowed: whole numbers from 1 to 99,999,999, ascending, joined by "
        "commas, such as 10000,100000"
    )
