"""Training data of `imdb_lstm`: ranking, splitting, encoding, and the data that is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import InvalidData
from seqd_imdb_lstm.corpus import Corpus, LabelledWords, read_corpus, read_held_out
from seqd_imdb_lstm.reviews import Vocabulary, words_of


def labelled(*texts_and_labels: tuple[str, str | None]) -> list[LabelledWords]:
    return [(words_of(text), label) for text, label in texts_and_labels]


def a_corpus(*texts_and_labels: tuple[str, str | None]) -> Corpus:
    return read_corpus(labelled(*texts_and_labels), "reviews.jsonl")


def all_rows(corpus: Corpus) -> np.ndarray:
    return np.arange(len(corpus.reviews))


def test_words_are_ranked_by_frequency_and_equals_by_who_came_first():
    corpus = a_corpus(("so so bad", "neg"), ("good good so fine", "pos"))

    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_words=100)

    assert vocabulary.words == ("so", "good", "bad", "fine")  # 3, 2, 1, 1 times


def test_a_vocabulary_of_n_ids_keeps_n_less_four_words():
    corpus = a_corpus(("so so bad", "neg"), ("good good so fine", "pos"))

    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_words=6)

    assert vocabulary.words == ("so", "good")
    assert vocabulary.id_of(b"good") == 5


def test_words_of_held_out_rows_are_not_known():
    corpus = a_corpus(("bad", "neg"), ("good", "pos"), ("hidden", "pos"))

    vocabulary = corpus.vocabulary(np.array([0, 1]), vocabulary_words=100)

    assert vocabulary.words == ("bad", "good")


@pytest.mark.parametrize(
    ("given_labels", "classes"),
    [
        (("positive", "negative"), ("negative", "positive")),
        (("pos", "neg"), ("neg", "pos")),
        (("1", "0"), ("0", "1")),
    ],
)
def test_the_last_label_in_sorted_order_is_one(given_labels, classes):
    good, bad = given_labels

    corpus = a_corpus(("fine", good), ("awful", bad))

    assert corpus.labels == classes
    assert corpus.targets.tolist() == [1.0, 0.0]


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=2, max_size=8), st.integers(5, 9), st.integers(1, 12))
def test_a_corpus_encodes_as_its_vocabulary_encodes_texts(texts, vocabulary_words, max_tokens):
    corpus = a_corpus(*((" ".join(text), f"class {i % 2}") for i, text in enumerate(texts)))
    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_words)

    encoded = corpus.encode(all_rows(corpus), vocabulary, max_tokens)

    for ids, text in zip(encoded.reviews, texts, strict=True):
        assert ids.tolist() == vocabulary.encode(" ".join(text), max_tokens).ids.tolist()


@given(
    st.lists(st.booleans(), min_size=2, max_size=60).filter(lambda ones: 0 < sum(ones) < len(ones)),
    st.floats(0.0, 0.5),
    st.integers(0, 2**32 - 1),
)
def test_a_split_parts_all_rows_and_leaves_each_class_something_to_learn_from(ones, fraction, seed):
    corpus = a_corpus(*(("word", "ab"[one]) for one in ones))

    kept, held_out = corpus.split(fraction, seed)

    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(ones)))
    assert set(corpus.targets[kept].tolist()) == {0.0, 1.0}
    for target in (0.0, 1.0):
        of_class = int((corpus.targets == target).sum())
        held_out_of_class = int((corpus.targets[held_out] == target).sum())
        assert held_out_of_class == min(round(fraction * of_class), of_class - 1)


def test_a_split_depends_on_its_seed_alone():
    corpus = a_corpus(*((f"word{i}", "ab"[i % 2]) for i in range(40)))

    first, again, other = (corpus.split(0.25, seed)[1].tolist() for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_records_without_a_word_are_left_out_and_counted():
    corpus = a_corpus(("...", "neg"), ("bad", "neg"), ("", "pos"), ("good", "pos"))

    assert corpus.wordless == 2
    assert corpus.targets.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [],
            "reviews.jsonl holds no reviews with words in them; imdb_lstm learns from labelled "
            "reviews of two classes.",
        ),
        (
            [("good", "pos"), ("fine", "pos")],
            "reviews.jsonl has one class only, 'pos'; imdb_lstm tells exactly two apart. Is "
            "label_field (--label-field) the field that holds the class?",
        ),
        (
            [("good", "a"), ("fine", "b"), ("bad", "c")],
            "reviews.jsonl has 3 classes, 'a', 'b', 'c'; imdb_lstm tells exactly two apart. Is "
            "label_field (--label-field) the field that holds the class?",
        ),
        (
            [("good", f"{number:04}") for number in range(2_000)],
            "reviews.jsonl has 2,000 classes, '0000', '0001', '0002', '0003', '0004' and 1,995 "
            "more; imdb_lstm tells exactly two apart. Is label_field (--label-field) the field "
            "that holds the class?",
        ),
        (
            [("good", "x" * 257), ("bad", "neg")],
            "reviews.jsonl has a class of 257 characters, "
            f"{'x' * 40!r}...; at most 256 are allowed. Is label_field (--label-field) the field "
            "that holds the class?",
        ),
        (
            [("good", "pos"), ("bad", "")],
            "Record 2 of reviews.jsonl has no label; imdb_lstm learns from reviews that all "
            "have one. Name the field that holds it (label_field; on the command line "
            "--label-field).",
        ),
        (
            [("good", "pos"), ("bad", None)],
            "Record 2 of reviews.jsonl has no label; imdb_lstm learns from reviews that all "
            "have one. Name the field that holds it (label_field; on the command line "
            "--label-field).",
        ),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(records, message):
    with pytest.raises(InvalidData) as refused:
        a_corpus(*records)

    assert str(refused.value) == message


def test_held_out_data_is_read_in_the_trainings_vocabulary_and_classes():
    vocabulary = Vocabulary(["good", "bad"])
    records = labelled(("bad film", "neg"), ("!", "pos"), ("good", "pos"))

    held_out = read_held_out(records, "test.jsonl", vocabulary, ("neg", "pos"), max_tokens=2)

    assert [ids.tolist() for ids in held_out.reviews] == [[5, 2], [1, 4]]
    assert held_out.targets.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [("good", "positive")],
            "test.jsonl has the class 'positive', and the training data has 'neg' and 'pos'. "
            "Held-out data must have the same classes.",
        ),
        ([], "test.jsonl holds no reviews with words in them to validate on."),
    ],
)
def test_held_out_data_that_does_not_fit_is_refused(records, message):
    with pytest.raises(InvalidData) as refused:
        read_held_out(labelled(*records), "test.jsonl", Vocabulary([]), ("neg", "pos"), 5)

    assert str(refused.value) == message
