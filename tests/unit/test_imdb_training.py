"""Trainings of `imdb_lstm` on tiny sets: what is learnt, held out, kept, warned of and refused."""

import os
from itertools import count

import numpy as np
import pytest
from pydantic import ValidationError

from imdb_builders import (
    BOTH,
    POOLED,
    a_context,
    a_set,
    classified,
    files_of,
    good_and_bad,
    json_of,
    loaded,
    trained,
)
from seqd.errors import (
    CheckpointDamaged,
    InvalidData,
    InvalidParameters,
    Stopped,
)
from seqd.hookspecs import LabelledRecord
from seqd.inputs.datasets import NamedDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from seqd_imdb_lstm import TrainParameters
from seqd_imdb_lstm.data import memory_limit_bytes

#: So little that nothing is learnt.
STILL = {"learning_rate": 1e-6, "validation_split": 0.0}


def varied(label: str, count: int) -> list[tuple[str, str]]:
    return [(f"{label} review number {number}", label) for number in range(count)]


# Learning


def test_what_tells_the_classes_apart_is_learnt_and_steps_and_epochs_are_reported(tmp_path):
    context = a_context(tmp_path, good_and_bad(120))

    result = trained(context, epochs=6, validation_split=0.2)
    good, empty, bad = classified(loaded(context), "a good film", "", "a bad film")

    # 120 reviews less 24 held out, 8 a step, 6 epochs
    assert [(step.done, step.total) for step in context.steps] == [(n, 72) for n in range(1, 73)]
    assert all(step.metrics.keys() == {"loss", "accuracy"} for step in context.steps)
    assert [(one.epoch, one.epochs) for one in context.epochs] == [(n, 6) for n in range(1, 7)]
    last = context.epochs[-1].metrics
    assert last.keys() == {"loss", "accuracy", "validation_loss", "validation_accuracy"}
    assert result.metrics == last
    assert (last["validation_accuracy"], last["validation_loss"] < 0.2) == (1.0, True)
    assert result.libraries.keys() == {"numpy", "numba"}
    assert context.logs[-1] == (
        "Training on 96 reviews, 48 'neg', 48 'pos', with 15 known words; validating on 24."
    )
    assert (good.label, empty.code, bad.label) == ("pos", "invalid_input", "neg")


@pytest.mark.parametrize(
    "parameters",
    [
        {"word_dropout": 0.1, "embedding_dropout": 0.1, "dropout": 0.2, "ema_momentum": 0.9},
        {"schedule": "cosine", "clipnorm": 1.0, "window_tokens": 9},
        BOTH | {"batching": "shuffled"},
    ],
    ids=str,
)
def test_pooled_networks_learn_with_all_that_is_switched_on(tmp_path, parameters):
    context = a_context(tmp_path, good_and_bad(80))

    trained(context, epochs=12, validation_split=0.0, **POOLED, **parameters)

    outcomes = classified(loaded(context), "a good film and a", "a bad film and a")
    assert [outcome.label for outcome in outcomes] == ["pos", "neg"]


def test_an_epoch_goes_through_every_review_once_however_it_is_cut_into_batches(tmp_path):
    records = [(f"{'good ' * (n % 9)}film word{n}", "ab"[n % 3 == 0]) for n in range(50)]
    losses = []
    for number, parameters in enumerate(
        ({}, {"batching": "shuffled"}, {"batch_size": 50}, {"batch_size": 1})
    ):
        context = a_context(tmp_path / str(number), records)
        trained(context, **STILL, **parameters)
        losses += [epoch.metrics["loss"] for epoch in context.epochs]

    # While nothing is learnt, the mean over all reviews is the same.
    assert losses == pytest.approx([losses[0]] * 8, abs=1e-4)


@pytest.mark.parametrize("parameters", [{"word_dropout": 0.3}, {"window_tokens": 3} | POOLED])
def test_other_words_are_hidden_and_other_windows_read_at_each_epoch(tmp_path, parameters):
    hidden, plain = (
        a_context(tmp_path / "1", good_and_bad()),
        a_context(tmp_path / "2", good_and_bad()),
    )

    trained(hidden, **STILL, **parameters)
    trained(plain, **STILL, **POOLED)

    first, second = (epoch.metrics["loss"] for epoch in hidden.epochs)
    assert hidden.epochs[0].metrics.keys() == {"loss", "accuracy"}
    assert abs(first - second) > 10 * abs(np.subtract(*(e.metrics["loss"] for e in plain.epochs)))


def test_weighed_classes_are_not_overlooked_however_rare(tmp_path):
    records = [(f"{'selten ' * (label == 'b')}{word}", label)
               for label, times in (("a", 100), ("b", 2)) for word in ("eins", "zwei", "drei")
               for _ in range(times)]  # fmt: skip
    # The sign of the rare class stands in the frequent one too, in one record of ten.
    records += [("selten eins", "a")] * 20
    contexts = [a_context(tmp_path / name, records) for name in ("plain", "weighed")]

    for context, weight in zip(contexts, ("none", "balanced"), strict=True):
        trained(context, epochs=3, validation_split=0.0, class_weight=weight, learning_rate=0.02)

    plain, weighed = map(loaded, contexts)
    assert json_of(contexts[0], "config.json")["class_counts"] == [320, 6]
    assert classified(plain, "selten eins")[0].label == "a"
    assert classified(weighed, "selten zwei")[0].label == "b"


def test_three_classes_of_chinese_are_told_apart_by_their_characters(tmp_path):
    signs = {"快递": "包裹送货到了没有", "发票": "金额账单付款退税", "技术": "屏幕电池机器坏了"}
    records = [
        (f"你好，{letters[n % 6 : n % 6 + 3]}，谢谢。", label)
        for n in range(60)
        for label, letters in signs.items()
    ]
    context = a_context(tmp_path, records)

    trained(context, tokenizer="unicode-1", epochs=4, learning_rate=0.05)

    outcomes = classified(
        loaded(context), "你好，包到裹，谢谢。", "你好，退付金，谢谢。", "你好，屏坏池，谢谢。"
    )
    assert json_of(context, "config.json")["class_counts"] == [57, 57, 57]
    assert [outcome.label for outcome in outcomes] == ["快递", "发票", "技术"]
    assert all(outcome.unknown_share == 0.0 for outcome in outcomes)


@pytest.mark.parametrize(
    ("records", "changes"),
    [
        ([("gut", "a"), ("schlecht", "b")], {}),
        ([("gleich", "a"), ("gleich", "b")] * 10, {}),
        ([("gut", "a"), ("schlecht", "b")] * 10, {"vocabulary_size": 5}),
        ([("gut so", "a"), ("na ja", "b")] * 10 + [("nie", "c")], {"class_weight": "balanced"}),
        ([("gut", "a"), ("schlecht", "b")] * 10, {"max_tokens": 1}),
        ([("x", "4.5"), ("x", "3.0")], {}),
        ([("x", str(number)) for number in range(20)], {}),
        ([("x", str(number)) for number in range(1_000)] * 2, {}),
    ],
    ids=["two", "equal", "one word", "seen once", "one id", "numbers", "twenty", "a thousand"],
)
def test_an_odd_set_gives_a_version_that_answers(tmp_path, records, changes):
    context = a_context(tmp_path, records)

    trained(context, epochs=1, **changes)

    (outcome,) = classified(loaded(context), records[0][0])
    assert set(outcome.probabilities) == {label for _, label in records}
    assert sum(outcome.probabilities.values()) == pytest.approx(1.0, abs=6e-3)


# Two branches

PAIRS = {
    "pos": ("good film", "good fun", "good", "not bad film"),
    "neg": ("bad film", "bad fun", "bad", "not good film"),
}
TWO_BRANCHES = POOLED | {"ngram_order": 2, "ngram_buckets": 1024, "ngram_l2": 0.1, "units": 8}


def pairs() -> list[tuple[str, str]]:
    return [
        (f"{text} {number % 5}", label)
        for number in range(30)
        for label, texts in PAIRS.items()
        for text in texts
    ]


def test_n_grams_tell_what_pairs_of_words_mean_and_no_stranger_changes_it(tmp_path):
    context = a_context(tmp_path, pairs())
    words_alone = a_context(tmp_path / "words", pairs())

    figures = trained(context, validation_split=0.2, lstm_share=0.0, **TWO_BRANCHES).metrics
    trained(words_alone, **TWO_BRANCHES | {"ngram_order": 1, "lstm_share": 0.0})

    model, texts = loaded(context), PAIRS["pos"] + PAIRS["neg"]
    together = classified(model, *texts)
    assert [outcome.label for outcome in together] == ["pos"] * 4 + ["neg"] * 4
    assert together == [classified(model, text)[0] for text in texts]
    (stranger,) = classified(model, "good zebra")
    assert stranger.score == classified(model, "good")[0].score
    confused = classified(loaded(words_alone), *texts)
    assert [outcome.label for outcome in confused] != ["pos"] * 4 + ["neg"] * 4
    assert figures["validation_accuracy"] == 1.0
    assert figures["validation_loss"] < figures["lstm_validation_loss"]
    assert figures["lstm_loss"] > 0.0


def test_n_grams_tell_three_classes_apart(tmp_path):
    words = {"a": "good", "b": "bad", "c": "not"}
    records = [(f"{word} film", label) for label, word in words.items()] * 20
    context = a_context(tmp_path, records)

    trained(context, **TWO_BRANCHES, lstm_share=0.0)

    outcomes = classified(loaded(context), *words.values())
    assert [outcome.label for outcome in outcomes] == list(words)


def test_probabilities_are_the_weighted_mean_of_the_log_odds(tmp_path):
    logits = []
    for share in (0.0, 1.0, 0.25):
        context = a_context(tmp_path / str(share), pairs())
        trained(context, **TWO_BRANCHES, lstm_share=share, epochs=1)
        outcomes = classified(loaded(context), *PAIRS["pos"], *PAIRS["neg"])
        scores = np.array([outcome.probabilities["pos"] for outcome in outcomes])
        logits.append(np.log(scores / (1 - scores)))

    of_ngrams, of_lstm, averaged = logits
    assert averaged == pytest.approx(0.25 * of_lstm + 0.75 * of_ngrams, abs=5e-3)


def test_a_stop_is_honoured_while_the_n_grams_are_fitted(tmp_path):
    class StopsAtTheTable(MemoryTrainContext):
        def stop_requested(self) -> bool:
            return len(self.epochs) == 2

    context = StopsAtTheTable(tmp_path, a_set(pairs()))

    with pytest.raises(Stopped, match="while it fitted its n-grams"):
        trained(context, **TWO_BRANCHES)

    assert list(tmp_path.iterdir()) == []


# Words, classes, what is held out


@pytest.mark.parametrize(
    ("records", "changes", "words"),
    [
        # 3, 2, 1, 1 times; equals by who came first
        ([("so so bad", "a"), ("good good so fine", "b")], {}, ["so", "good", "bad", "fine"]),
        # of n ids four are no words
        ([("so so bad", "a"), ("good good so fine", "b")], {"vocabulary_size": 6}, ["so", "good"]),
        # only what the network reads is counted
        (
            [("cut cut bad film", "a"), ("fine film", "b")],
            {"max_tokens": 2},
            ["film", "bad", "fine"],
        ),
    ],
)
def test_the_most_frequent_words_are_known(tmp_path, records, changes, words):
    context = a_context(tmp_path, records)

    trained(context, epochs=1, validation_split=0.0, **changes)

    assert json_of(context, "vocabulary.json") == words


@pytest.mark.parametrize("split", [0.0, 0.1, 0.3, 0.5])
def test_a_split_holds_out_of_each_class_its_share_and_leaves_it_something(tmp_path, split):
    counts = {"a": 1, "b": 2, "c": 7, "d": 40}
    records = [(f"{label}{n}", label) for label, times in counts.items() for n in range(times)]
    contexts = [a_context(tmp_path / name, records) for name in ("1", "2", "3")]

    for context, seed in zip(contexts, (7, 7, 8), strict=True):
        trained(context, epochs=1, validation_split=split, seed=seed)

    learnt = [n - min(round(split * n), n - 1) for n in counts.values()]
    assert json_of(contexts[0], "config.json")["class_counts"] == learnt
    # Words of what is held out are not known.
    known = [set(json_of(context, "vocabulary.json")) for context in contexts]
    assert len(known[0]) == sum(learnt)
    assert known[0] == known[1]
    assert (known[0] != known[2]) == (split > 0.0)


def test_held_out_data_is_validated_on_and_all_of_the_data_is_trained_on(tmp_path):
    held_out = [("good film", "pos"), ("!", "pos"), ("bad bad film", "neg")]
    context = a_context(tmp_path, good_and_bad(), held_out)

    trained(context, validation_split=0.5)

    assert context.logs[-1].startswith("Training on 40 reviews, ")
    assert context.logs[-1].endswith("validating on 2.")


# Warnings


def warnings_about(folder, records, **parameters):
    context = a_context(folder, records)
    trained(context, epochs=1, **parameters)
    return context.logs[:-1]


CHINESE = [("这部电影真的非常好看我很喜欢", "好"), ("这部电影太无聊了我非常不喜欢它", "坏")] * 3
THAI = [("ภาพยนตร์เรื่องนี้สนุกมากฉันชอบมาก", "ดี"), ("ภาพยนตร์เรื่องนี้น่าเบื่อมาก", "แย่")] * 3


@pytest.mark.parametrize(
    ("records", "parameters", "expected"),
    [
        ([*varied("good", 10), *varied("bad", 5)], {}, []),
        (
            [*varied("good", 3), *varied("bad", 3), ("bad review number 1", "bad"), ("...", "bad")],
            {},
            [
                "Records left out because there is no word in them: 1.",
                "Records with the words and the label of an earlier one: 1. They are learnt from "
                "like others; one that is held out may also be trained on.",
            ],
        ),
        (
            [*varied("good", 3), *varied("bad", 3), ("Good review, number 1!", "bad")],
            {},
            [
                "Warning: texts that stand under more than one label: 1, such as record 2 as "
                "'good' and record 7 as 'bad'. All are learnt from; no model can get them all "
                "right."
            ],
        ),
        # cut to the same end, they are no duplicates
        ([(f"{word} {rest}", word) for word in ("good", "bad") for rest in ("at the end", "end")],
         {"max_tokens": 2}, []),
        (
            [*varied("good", 3), *varied("bad", 1), *varied("odd", 1)],
            {},
            [
                "Warning: a class was seen only once: 'bad', 'odd'. Its one record is trained on "
                "and cannot be held out, so nothing tells how well the class is learnt."
            ],
        ),
        (
            [*varied("good", 21), *varied("bad", 2)],
            {},
            [
                "Warning: 'good' has 21 records and 'bad' has 2, so the rare class is easily "
                "overlooked. With class_weight=balanced all classes count the same."
            ],
        ),
        ([*varied("good", 21), *varied("bad", 2)], {"class_weight": "balanced"}, []),
        ([*varied("good", 20), *varied("bad", 2)], {}, []),
    ],
)  # fmt: skip
def test_what_is_odd_about_a_set_is_told(tmp_path, records, parameters, expected):
    assert warnings_about(tmp_path, records, **parameters) == expected


def test_texts_without_spaces_are_told_with_what_helps(tmp_path):
    (_, chinese) = warnings_about(tmp_path / "1", CHINESE)
    helped = warnings_about(tmp_path / "2", CHINESE, tokenizer="unicode-1")
    (_, thai) = warnings_about(tmp_path / "3", THAI, tokenizer="unicode-1")

    assert chinese == (
        "Warning: half of the texts have words of 14 characters or more on the average, as if "
        "there were no spaces between their words; hardly any word is then seen twice. Train with "
        "tokenizer=unicode-1, to which each Chinese character and kana is a word. Texts in Thai, "
        "Lao, Khmer or Burmese need their words parted by spaces first."
    )
    assert len(helped) == 1  # the duplicates
    assert "tokenizer=" not in thai
    assert thai.endswith(
        "Texts in Thai, Lao, Khmer or Burmese need their words parted by spaces first."
    )


# Refusals

THE_FIELD = "Is label_field (--label-field) the field that holds the class?"
NO_CLASS = (
    "It looks like an identifier or a measurement, of which nearly every record has its own. "
    f"{THE_FIELD} Of numbers make classes first, such as `low` and `high`."
)
NO_LABEL = (
    "Record 2 of reviews.jsonl has no label; imdb_lstm learns from reviews that all have one. "
    "Name the field that holds it (label_field; on the command line --label-field)."
)


BUILT_IN = NamedDataset("keras:imdb")
SPLIT_BY_ANOTHER_RULE = (
    "keras:imdb holds words, not texts: keras-legacy-1 split them, so tokenizer cannot be "
    "'unicode-1'. Leave it at 'keras-legacy-1', or train from the raw reviews."
)


@pytest.mark.parametrize(
    ("data", "held_out", "parameters", "message"),
    [
        (
            a_set([("...", "pos"), ("!", "neg")]),
            None,
            {},
            "reviews.jsonl holds no reviews with words in them; imdb_lstm learns from labelled "
            "reviews of two classes or more.",
        ),
        (
            a_set([("good", "pos"), ("fine", "pos")]),
            None,
            {},
            "reviews.jsonl has one class only, 'pos'; imdb_lstm tells two or more apart. "
            f"{THE_FIELD}",
        ),
        (
            a_set([("good", f"{number:04}") for number in range(2_000)]),
            None,
            {},
            "reviews.jsonl has more than 1,000 classes in its first 1,001 records, such as '0000', "
            "'0001', '0002', '0003', '0004' and 996 more; imdb_lstm tells at most 1,000 apart. "
            f"{NO_CLASS}",
        ),
        (
            a_set([("good", f"{number / 10}") for number in range(21)] * 2 + [("good", "4.75")]),
            None,
            {},
            "reviews.jsonl has 22 classes in 43 records, such as '0.0', '0.1', '0.2', '0.3', "
            f"'0.4' and 17 more; a class needs several records to be learnt from. {NO_CLASS}",
        ),
        (a_set([("good", "pos"), ("bad", "")]), None, {}, NO_LABEL),
        (a_set([("good", "pos"), ("bad", None)]), None, {}, NO_LABEL),
        (
            a_set(good_and_bad()),
            a_set([("good", "pos"), ("good", "positive")], "test.jsonl"),
            {},
            "Record 2 of test.jsonl has the class 'positive', and the training data has 'neg', "
            "'pos'. Held-out data must have the same classes.",
        ),
        (
            a_set(good_and_bad()),
            a_set([("!", "pos")], "test.jsonl"),
            {},
            "test.jsonl holds no reviews with words in them to validate on.",
        ),
        (
            NamedDataset("keras:reuters"),
            None,
            {},
            "imdb_lstm knows no data set named 'keras:reuters'; it knows 'keras:imdb'.",
        ),
        (BUILT_IN, a_set(good_and_bad()), {"tokenizer": "unicode-1"}, SPLIT_BY_ANOTHER_RULE),
        (a_set(good_and_bad()), BUILT_IN, {"tokenizer": "unicode-1"}, SPLIT_BY_ANOTHER_RULE),
        (
            a_set([("gut", "a"), ("schlecht", "b")]),
            None,
            {"patience": 2},
            "patience is 2, and there is nothing to validate on: no class of the data has enough "
            "records to hold one out. Give held-out data, raise validation_split, or leave "
            "patience at 0.",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(tmp_path, data, held_out, parameters, message):
    with pytest.raises((InvalidData, InvalidParameters)) as refused:
        trained(MemoryTrainContext(tmp_path, data, held_out), **parameters)

    assert str(refused.value) == message
    assert list(tmp_path.iterdir()) == []


class EndlessReviews:
    """A data set that no memory holds."""

    description, named = "reviews.jsonl", None

    def records(self):
        for number in count():
            yield LabelledRecord(f"word{number} " * 100, "ab"[number % 2])


def test_sets_larger_than_the_memory_are_refused_while_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("seqd_imdb_lstm.training.memory_limit_bytes", lambda: 4_000_000)
    both = [("good", "a"), ("bad", "b")]

    with pytest.raises(InvalidData) as refused:
        trained(MemoryTrainContext(tmp_path, EndlessReviews()), max_tokens=100)
    with pytest.raises(InvalidData, match=r"^test\.jsonl is larger than there is room for: its f"):
        trained(a_context(tmp_path, both, [("good", "a")] * 300_000))

    assert str(refused.value) == (
        "reviews.jsonl is larger than this machine can learn from: its first 2,048 records take "
        "2.1 MB of memory (204,800 words, 2,049 of them different), and a training set may take "
        "2.0 MB here. Train on fewer records, with a smaller max_tokens (it is 100), or on a "
        "machine with more memory."
    )


MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        (None, {}, MACHINE),
        ("0::/jobs/train", {"jobs/train/memory.max": "1000", "jobs/memory.max": "max"}, 1_000),
        ("0::/jobs/train", {"jobs/train/memory.max": "max", "jobs/memory.max": "1000"}, 1_000),
        ("0::/jobs/train", {"jobs/train/memory.max": "2000", "jobs/memory.max": "1000"}, 1_000),
        ("0::/docker/1f", {"memory.max": "5000"}, 5_000),  # a container that sees its host's path
        ("0::/", {"memory.max": "max"}, MACHINE),
        (
            "5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n0::/",
            {"memory/docker/1f/memory.limit_in_bytes": "3000"},
            3_000,
        ),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
    ],
)
def test_the_smallest_limit_of_a_group_and_those_above_it_holds(tmp_path, groups, limits, expected):
    files = {f"sys/fs/cgroup/{path}": limit for path, limit in limits.items()}
    if groups:
        files["proc/self/cgroup"] = groups
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content + "\n")

    assert memory_limit_bytes(tmp_path) == expected


# Stopped and resumed

#: All that has a state of its own is switched on.
FULL = POOLED | {
    "window_tokens": 6,
    "clipnorm": 1.0,
    "word_dropout": 0.2,
    "embedding_dropout": 0.1,
    "dropout": 0.2,
    "schedule": "cosine",
    "ema_momentum": 0.9,
    "patience": 2,
    "class_weight": "balanced",
    "epochs": 4,
    "validation_split": 0.2,
}


@pytest.mark.parametrize("questions", [2, 6, 9, 12, 18])
def test_a_training_that_goes_on_ends_as_an_undisturbed_one_to_the_last_bit(tmp_path, questions):
    whole = a_context(tmp_path / "whole", good_and_bad())
    expected = trained(whole, **FULL)
    checkpoints = MemoryCheckpoints()
    stopped = a_context(
        tmp_path / "1", good_and_bad(), checkpoints=checkpoints, stop_after=questions
    )
    resumed = a_context(tmp_path / "2", good_and_bad(), checkpoints=checkpoints)

    with pytest.raises(Stopped, match=r"^The training was (stopped|asked to stop while it v)"):
        trained(stopped, **FULL)
    found = trained(resumed, **FULL)

    assert list(stopped.folder.iterdir()) == []
    assert found.metrics == expected.metrics
    told = [one.metrics for one in [*stopped.epochs, *resumed.epochs]]
    assert told == [one.metrics for one in whole.epochs]
    assert files_of(resumed) == files_of(whole)


def test_checkpoints_of_another_network_or_without_the_best_weights_are_refused(tmp_path):
    checkpoints, damaged = MemoryCheckpoints(), MemoryCheckpoints()
    with pytest.raises(Stopped):
        trained(
            a_context(tmp_path / "1", good_and_bad(), checkpoints=checkpoints, stop_after=8), **FULL
        )
    saved = checkpoints.last
    assert saved is not None
    damaged.save(
        {name: one for name, one in saved.arrays.items() if not name.startswith("best.")},
        saved.progress,
    )

    for kept, changes in ((checkpoints, {"units": 9}), (damaged, {})):
        with pytest.raises(CheckpointDamaged, match=r"^The checkpoint has arrays of the shapes \{"):
            trained(a_context(tmp_path / "2", good_and_bad(), checkpoints=kept), **FULL | changes)


def test_patience_ends_a_training_that_gets_worse_and_keeps_the_best_epochs_weights(tmp_path):
    # What is learnt is wrong of the reviews that it is validated on.
    swapped = [(text, {"pos": "neg", "neg": "pos"}[label]) for text, label in good_and_bad(12)]
    context = a_context(tmp_path / "1", good_and_bad(), swapped)

    figures = trained(context, epochs=40, patience=2, learning_rate=0.1).metrics

    losses = [epoch.metrics["validation_loss"] for epoch in context.epochs]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 40
    assert figures == context.epochs[best].metrics
    until_then = a_context(tmp_path / "2", good_and_bad(), swapped)
    trained(until_then, epochs=best + 1, learning_rate=0.1)
    assert files_of(context) == files_of(until_then)


# The description


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (
            {"pooling": "mean_max"},
            "pooling 'mean_max' would take in the states after each pad; with it padding must be "
            "'masked'",
        ),
        (
            {"lstm_vocabulary_size": 6, "vocabulary_size": 5},
            "lstm_vocabulary_size is 6, of vocabulary_size 5; it must not be greater",
        ),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(wrong, reason):
    with pytest.raises(ValidationError, match=reason):
        TrainParameters(**wrong)
