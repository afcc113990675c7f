"""Training sets: ranked, split, encoded, refused, warned of; and the memory that they may take."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import InvalidData
from seqd_imdb_lstm import TrainParameters
from seqd_imdb_lstm.data import (
    Corpus,
    data_warnings,
    loss_weights,
    memory_limit_bytes,
    read_corpus,
    read_held_out,
)
from seqd_imdb_lstm.tokenizer import LabelledWords, tokenize
from seqd_imdb_lstm.vocabulary import Vocabulary

A_GIGABYTE = 10**9


def labelled(*texts_and_labels: tuple[str, str | None]) -> list[LabelledWords]:
    return [(tokenize(text), label) for text, label in texts_and_labels]


def a_corpus(*texts_and_labels: tuple[str, str | None], max_tokens: int = 500) -> Corpus:
    return read_corpus(labelled(*texts_and_labels), "reviews.jsonl", max_tokens, A_GIGABYTE)


def all_rows(corpus: Corpus) -> np.ndarray:
    return np.arange(len(corpus.reviews))


def test_words_are_ranked_by_frequency_and_equals_by_who_came_first():
    corpus = a_corpus(("so so bad", "neg"), ("good good so fine", "pos"))

    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_size=100)

    assert vocabulary.words == ("so", "good", "bad", "fine")  # 3, 2, 1, 1 times


def test_a_vocabulary_of_n_ids_keeps_n_less_four_words():
    corpus = a_corpus(("so so bad", "neg"), ("good good so fine", "pos"))

    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_size=6)

    assert vocabulary.words == ("so", "good")
    assert vocabulary.id_of(b"good") == 5


def test_a_vocabulary_may_be_one_word():
    corpus = a_corpus(("so so bad", "neg"), ("good so", "pos"))

    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_size=5)

    assert vocabulary.words == ("so",)
    encoded = corpus.encode(all_rows(corpus), vocabulary)
    assert [ids.tolist() for ids in encoded.reviews] == [[1, 4, 4, 2], [1, 2, 4]]


def test_words_of_held_out_rows_are_not_known():
    corpus = a_corpus(("bad", "neg"), ("good", "pos"), ("hidden", "pos"))

    vocabulary = corpus.vocabulary(np.array([0, 1]), vocabulary_size=100)

    assert vocabulary.words == ("bad", "good")


def test_only_the_words_that_the_network_will_read_are_kept_and_counted():
    corpus = a_corpus(("cut cut cut bad film", "neg"), ("fine film", "pos"), max_tokens=2)

    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_size=100)

    assert vocabulary.words == ("film", "bad", "fine")
    assert [len(ids) for ids in corpus.reviews] == [2, 2]


@pytest.mark.parametrize(
    ("given_labels", "classes"),
    [
        (("positive", "negative"), ("negative", "positive")),
        (("pos", "neg"), ("neg", "pos")),
        (("1", "0"), ("0", "1")),
    ],
)
def test_of_two_labels_the_last_in_sorted_order_is_one(given_labels, classes):
    good, bad = given_labels

    corpus = a_corpus(("fine", good), ("awful", bad))

    assert corpus.labels == classes
    assert corpus.targets.tolist() == [1, 0]
    assert corpus.targets.dtype == np.int32


def test_labels_are_sorted_as_text_whatever_they_say():
    corpus = a_corpus(("a", "10"), ("b", "2"), ("c", "1"), ("d", "2"), ("e", "x\ty 😀"), ("f", "É"))

    assert corpus.labels == ("1", "10", "2", "x\ty 😀", "É")
    assert corpus.targets.tolist() == [1, 2, 0, 2, 3, 4]


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=2, max_size=8), st.integers(5, 9), st.integers(1, 12))
def test_a_corpus_encodes_as_its_vocabulary_encodes_texts(texts, vocabulary_size, max_tokens):
    labelled_texts = ((" ".join(text), f"class {i % 3 % 2}") for i, text in enumerate(texts))
    corpus = a_corpus(*labelled_texts, max_tokens=max_tokens)
    vocabulary = corpus.vocabulary(all_rows(corpus), vocabulary_size)

    encoded = corpus.encode(all_rows(corpus), vocabulary)

    for ids, text in zip(encoded.reviews, texts, strict=True):
        assert ids.tolist() == vocabulary.encode_all([" ".join(text)], max_tokens)[0].ids.tolist()


def test_reviews_can_be_taken_one_by_one_in_slices_and_by_their_rows():
    corpus = a_corpus(("a", "x"), ("b b", "y"), ("c c c", "x"))
    reviews = corpus.encode(np.array([2, 0]), Vocabulary(["a", "b", "c"])).reviews

    assert [ids.tolist() for ids in reviews[:]] == [[1, 6, 6, 6], [1, 4]]
    assert reviews[-1].tolist() == [1, 4]
    assert [len(ids) for ids in reviews] == [4, 2]
    with pytest.raises(IndexError):
        reviews[2]


@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=60).filter(lambda each: len(set(each)) > 1),
    st.floats(0.0, 0.5),
    st.integers(0, 2**32 - 1),
)
def test_a_split_parts_all_rows_and_leaves_each_class_something_to_learn_from(each, fraction, seed):
    corpus = a_corpus(*(("word", "abcd"[number]) for number in each))

    kept, held_out = corpus.split(fraction, seed)

    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(each)))
    assert set(corpus.targets[kept].tolist()) == set(range(len(corpus.labels)))
    for target in range(len(corpus.labels)):
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
    assert corpus.targets.tolist() == [0, 1]
    assert list(corpus.record_numbers) == [2, 4]


def test_repeated_texts_are_kept_and_counted_by_whether_their_labels_agree():
    corpus = a_corpus(
        ("so so", "neg"),
        ("...", "neg"),
        ("fine", "pos"),
        ("So, so!", "pos"),
        ("fine", "pos"),
        ("so so", "neg"),
        ("well", "pos"),
        ("well", "neg"),
        ("fine", "pos"),
    )

    assert len(corpus.reviews) == 8
    assert (corpus.duplicates.same_label, corpus.duplicates.conflicting) == (3, 2)
    assert corpus.duplicates.example is not None
    assert {corpus.record_numbers[row] for row in corpus.duplicates.example} == {6, 4}  # so so


def test_texts_that_are_cut_to_the_same_end_are_no_duplicates():
    corpus = a_corpus(("good at the end", "pos"), ("bad at the end", "neg"), max_tokens=2)

    assert corpus.duplicates.conflicting == 0


THE_FIELD = "Is label_field (--label-field) the field that holds the class?"


NO_CLASS = (
    "It looks like an identifier or a measurement, of which nearly every record has its own. "
    f"{THE_FIELD} Of numbers make classes first, such as `low` and `high`."
)


NO_LABEL = (
    "Record 2 of reviews.jsonl has no label; imdb_lstm learns from reviews that all have one. "
    "Name the field that holds it (label_field; on the command line --label-field)."
)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [],
            "reviews.jsonl holds no reviews with words in them; imdb_lstm learns from labelled "
            "reviews of two classes or more.",
        ),
        (
            [("good", "pos"), ("fine", "pos")],
            "reviews.jsonl has one class only, 'pos'; imdb_lstm tells two or more apart. "
            f"{THE_FIELD}",
        ),
        (
            [("good", f"{number:04}") for number in range(2_000)],
            "reviews.jsonl has more than 1,000 classes in its first 1,001 records, such as '0000', "
            "'0001', '0002', '0003', '0004' and 996 more; imdb_lstm tells at most 1,000 apart. "
            f"{NO_CLASS}",
        ),
        (
            [("good", f"{number / 10}") for number in range(21)] * 2 + [("good", "4.75")],
            "reviews.jsonl has 22 classes in 43 records, such as '0.0', '0.1', '0.2', '0.3', "
            f"'0.4' and 17 more; a class needs several records to be learnt from. {NO_CLASS}",
        ),
        (
            [("good", "x" * 257), ("bad", "neg")],
            f"reviews.jsonl has a class of 257 characters, {'x' * 40!r}...; at most 256 are "
            f"allowed. {THE_FIELD}",
        ),
        ([("good", "pos"), ("bad", "")], NO_LABEL),
        ([("good", "pos"), ("bad", None)], NO_LABEL),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(records, message):
    with pytest.raises(InvalidData) as refused:
        a_corpus(*records)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    "labels",
    [
        ["4.5", "3.0"],
        [str(number) for number in range(20)],
        [str(number) for number in range(1_000)] * 2,
    ],
    ids=["two records", "twenty classes seen once", "a thousand classes seen twice"],
)
def test_few_records_and_many_classes_are_learnt_from(labels: list[str]):
    corpus = a_corpus(*(("same text", label) for label in labels))

    assert corpus.labels == tuple(sorted(set(labels)))


def test_a_set_larger_than_the_memory_is_refused_while_it_is_read():
    def endless() -> Iterator[LabelledWords]:
        number = 0
        while True:
            number += 1
            yield [b"word%d" % number] * 300, "ab"[number % 2]

    with pytest.raises(InvalidData) as refused:
        read_corpus(endless(), "reviews.jsonl", max_tokens=100, limit_bytes=2_000_000)

    assert str(refused.value) == (
        "reviews.jsonl is larger than this machine can learn from: its first 2,048 records take "
        "2.1 MB of memory (204,800 words, 2,049 of them different), and a training set may take "
        "2.0 MB here. Train on fewer records, with a smaller max_tokens (it is 100), or on a "
        "machine with more memory."
    )


def test_held_out_data_larger_than_what_is_left_is_refused_while_it_is_read():
    records: list[LabelledWords] = [([b"good"], "pos")] * 100_000

    with pytest.raises(InvalidData) as refused:
        read_held_out(records, "test.jsonl", Vocabulary([]), ("neg", "pos"), 9, limit_bytes=999_999)

    assert str(refused.value) == (
        "test.jsonl is larger than there is room for: its first 50,000 records take 1.0 MB of "
        "memory, and beside the training data 1.0 MB are left. Train on fewer records, with a "
        "smaller max_tokens (it is 9), or on a machine with more memory."
    )


def test_held_out_data_is_read_in_the_trainings_vocabulary_and_classes():
    vocabulary = Vocabulary(["good", "bad"])
    records = labelled(("bad film", "neg"), ("!", "pos"), ("good", "pos"))

    held_out = read_held_out(
        records, "test.jsonl", vocabulary, ("neg", "none", "pos"), 2, A_GIGABYTE
    )

    assert [ids.tolist() for ids in held_out.reviews] == [[5, 2], [1, 4]]
    assert held_out.targets.tolist() == [0, 2]
    assert held_out.targets.dtype == np.int32


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [("good", "pos"), ("good", "positive")],
            "Record 2 of test.jsonl has the class 'positive', and the training data has 'neg', "
            "'pos'. Held-out data must have the same classes.",
        ),
        ([], "test.jsonl holds no reviews with words in them to validate on."),
    ],
)
def test_held_out_data_that_does_not_fit_is_refused(records, message):
    with pytest.raises(InvalidData) as refused:
        read_held_out(
            labelled(*records), "test.jsonl", Vocabulary([]), ("neg", "pos"), 5, A_GIGABYTE
        )

    assert str(refused.value) == message


def warnings_about(*texts_and_labels: tuple[str, str], **parameters: object) -> list[str]:
    chosen = TrainParameters.model_validate(parameters)
    records = [(tokenize(text, chosen.tokenizer), label) for text, label in texts_and_labels]
    return list(data_warnings(read_corpus(records, "reviews.jsonl", 500, 10**9), chosen))


def varied(label: str, count: int) -> list[tuple[str, str]]:
    return [(f"{label} review number {number}", label) for number in range(count)]


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    targets = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2], dtype=np.int32)

    weights = loss_weights(targets, 3, "balanced")

    assert weights.tolist() == pytest.approx([12 / (3 * 6), 12 / (3 * 2), 12 / (3 * 4)])
    assert weights.dtype == np.float32


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_balanced_classes_have_the_same_total_and_the_mean_of_one(numbers: list[int]):
    targets = np.array([*numbers, *range(5)], dtype=np.int32)

    weights = loss_weights(targets, 5, "balanced")

    totals = np.bincount(targets, weights=weights[targets])
    assert totals == pytest.approx([len(targets) / 5] * 5, rel=1e-5)
    assert weights[targets].mean() == pytest.approx(1.0, rel=1e-5)


def test_a_sound_set_gives_no_warnings():
    assert warnings_about(*varied("good", 10), *varied("bad", 5)) == []


def test_left_out_and_repeated_records_are_counted():
    found = warnings_about(
        *varied("good", 3), *varied("bad", 3), ("bad review number 1", "bad"), *(("...", "bad"),)
    )

    assert found == [
        "Records left out because there is no word in them: 1.",
        "Records with the words and the label of an earlier one: 1. They are learnt from like "
        "others; one that is held out may also be trained on.",
    ]


def test_contradictions_are_counted_with_an_example():
    found = warnings_about(*varied("good", 3), *varied("bad", 3), ("good review number 1", "bad"))

    assert found == [
        "Warning: texts that stand under more than one label: 1, such as record 2 as 'good' and "
        "record 7 as 'bad'. All are learnt from; no model can get them all right."
    ]


def test_classes_that_were_seen_once_are_named():
    found = warnings_about(*varied("good", 3), *varied("bad", 1), *varied("odd", 1))

    assert found == [
        "Warning: a class was seen only once: 'bad', 'odd'. Its one record is trained on and "
        "cannot be held out, so nothing tells how well the class is learnt."
    ]


def test_skewed_classes_are_told_with_the_remedy_unless_it_was_taken():
    skewed = [*varied("good", 21), *varied("bad", 2)]

    assert warnings_about(*skewed) == [
        "Warning: 'good' has 21 records and 'bad' has 2, so the rare class is easily overlooked. "
        "With class_weight=balanced all classes count the same."
    ]
    assert warnings_about(*skewed, class_weight="balanced") == []
    assert warnings_about(*varied("good", 20), *varied("bad", 2)) == []


CHINESE = [("这部电影真的非常好看我很喜欢", "好"), ("这部电影太无聊了我非常不喜欢它", "坏")] * 3


THAI = [("ภาพยนตร์เรื่องนี้สนุกมากฉันชอบมาก", "ดี"), ("ภาพยนตร์เรื่องนี้น่าเบื่อมาก", "แย่")] * 3


def test_texts_without_spaces_are_told_with_the_tokenizer_that_helps():
    (_, found) = warnings_about(*CHINESE)

    assert found == (
        "Warning: half of the texts have words of 14 characters or more on the average, as if "
        "there were no spaces between their words; hardly any word is then seen twice. Train with "
        "tokenizer=unicode-1, to which each Chinese character and kana is a word. Texts in Thai, "
        "Lao, Khmer or Burmese need their words parted by spaces first."
    )
    assert len(warnings_about(*CHINESE, tokenizer="unicode-1")) == 1  # the duplicates


def test_thai_is_not_cut_by_either_tokenizer_and_is_told_what_to_do():
    (_, found) = warnings_about(*THAI, tokenizer="unicode-1")

    assert "tokenizer=" not in found
    assert found.endswith(
        "Texts in Thai, Lao, Khmer or Burmese need their words parted by spaces first."
    )


MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def a_root(folder: Path, groups: str, **limits: str) -> Path:
    """A tree with the files that the kernel would show, `limits` by their paths."""
    for path, content in {"proc/self/cgroup": groups, **limits}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content + "\n")
    return folder


def test_without_groups_it_is_the_machines_memory(tmp_path: Path):
    assert memory_limit_bytes(tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("own", "above"), [("1000", "max"), ("max", "1000"), ("1000", "2000"), ("2000", "1000")]
)
def test_the_smallest_limit_of_a_group_and_those_above_it_holds(tmp_path: Path, own, above):
    limits = {"sys/fs/cgroup/jobs/train/memory.max": own, "sys/fs/cgroup/jobs/memory.max": above}
    root = a_root(tmp_path, "0::/jobs/train", **limits)

    assert memory_limit_bytes(root) == 1_000


def test_a_container_that_sees_its_hosts_path_has_the_limit_at_the_top(tmp_path: Path):
    root = a_root(tmp_path, "0::/docker/1f", **{"sys/fs/cgroup/memory.max": "5000"})

    assert memory_limit_bytes(root) == 5_000


def test_a_group_without_a_limit_leaves_the_machines_memory(tmp_path: Path):
    root = a_root(tmp_path, "0::/", **{"sys/fs/cgroup/memory.max": "max"})

    assert memory_limit_bytes(root) == MACHINE


def test_a_limit_of_the_first_version_of_groups_holds_too(tmp_path: Path):
    groups = "5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n0::/"
    limits = {"sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes": "3000"}

    assert memory_limit_bytes(a_root(tmp_path, groups, **limits)) == 3_000


def test_a_limit_beyond_the_machines_memory_is_none(tmp_path: Path):
    limits = {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}

    assert memory_limit_bytes(a_root(tmp_path, "4:memory:/", **limits)) == MACHINE
