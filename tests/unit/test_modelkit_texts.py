"""What the model kit has for classifiers of texts: data, words, metrics, outcomes of items."""

import numpy as np
import pytest

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import LabelledRecord, WorkItem
from seqd.inputs.datasets import ListDataset
from seqd.testing import MemoryRunContext, MemoryTrainContext
from seqd_modelkit.classification_parameters import ClassificationParameters
from seqd_modelkit.labelled_texts import read_labelled_texts, validation_metrics
from seqd_modelkit.text_classifier import TextClassifier
from seqd_modelkit.words import WordVocabulary, split_words

RECORDS = [(f"text {number}", "even" if number % 2 == 0 else "odd") for number in range(20)]


def a_context(folder, records, held_out=None, **options):
    sets = [
        None if one is None else ListDataset([LabelledRecord(*record) for record in one], "a set")
        for one in (records, held_out)
    ]
    return MemoryTrainContext(folder, *sets, **options)


def split_of(folder, records, held_out=None, share=0.2):
    return read_labelled_texts(a_context(folder, records, held_out), validation_split=share, seed=3)


def test_a_share_of_each_class_is_held_out_and_the_same_one_for_a_seed(tmp_path):
    labels, training, validation = split_of(tmp_path, RECORDS)

    again = split_of(tmp_path, RECORDS)
    texts = dict(RECORDS)
    assert labels == ("even", "odd")
    assert (len(training), sorted(validation.targets)) == (16, [0, 0, 1, 1])
    assert [texts[text] for text in validation.texts] == [labels[n] for n in validation.targets]
    assert {*training.texts, *validation.texts} == set(texts)
    assert again.validation.texts == validation.texts


def test_held_out_data_is_what_is_validated_on_and_all_else_is_learnt_from(tmp_path):
    _, training, validation = split_of(tmp_path, RECORDS, [("unseen", "odd")])

    assert (len(training), validation.texts, validation.targets.tolist()) == (20, ("unseen",), [1])


@pytest.mark.parametrize(
    ("records", "held_out", "message"),
    [
        ([("a", "x"), ("b", None)], None, "Record 2 of a set has no label. A classifier learns "
         "from labels: give each record one."),
        ([("a", "x"), ("b", "x")], None, "a set has one, 'x' where a classifier needs two classes "
         "or more. Add records with other labels."),
        (RECORDS, [("a", "x")], "a set has the class 'x', which a set does not have. Leave its "
         "records out, or train on some."),
    ],
)  # fmt: skip
def test_data_that_no_classifier_can_learn_from_is_refused(tmp_path, records, held_out, message):
    with pytest.raises(InvalidData) as caught:
        split_of(tmp_path, records, held_out)

    assert str(caught.value) == message


def test_the_metrics_of_a_validation_are_loss_in_nats_and_accuracy():
    targets = np.array([0, 1, 1], np.int32)
    rows = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])

    found = validation_metrics(lambda batch: rows[batch], targets, lambda: False, batch_size=2)

    loss = -(np.log(0.5) + np.log(0.75) + np.log(1e-7)) / 3
    assert found == {
        "validation_loss": pytest.approx(loss),
        "validation_accuracy": pytest.approx(2 / 3),
    }
    assert validation_metrics(lambda batch: rows, targets[:0], lambda: False) == {}
    with pytest.raises(Stopped):
        validation_metrics(lambda batch: rows, targets, lambda: True)


def test_words_are_known_by_how_often_they_are_and_others_are_unknown():
    vocabulary = WordVocabulary.of_texts(["A fine film!", "a dull film, a film"], 2)

    assert split_words("It's GOOD.") == ["it", "'", "s", "good", "."]
    assert (vocabulary.words, vocabulary.ids) == (("a", "film"), 4)
    assert vocabulary.encode("A new film", 10).tolist() == [2, 1, 3]
    assert vocabulary.encode("film film film", 2).tolist() == [3, 3]
    assert vocabulary.encode(" ", 2).tolist() == [1]


class Length(TextClassifier):
    """Short or long, by the number of characters."""

    memory_bytes = 1
    batch_items = 2

    def __init__(self):
        super().__init__(["short", "long"])
        self.calls = []

    def probabilities(self, texts):
        self.calls.append(list(texts))
        share = np.array([min(len(text), 10) / 10 for text in texts], np.float32)
        return np.stack([1 - share, share], axis=1)

    def is_truncated(self, text):
        return len(text) > 10


def test_each_item_has_its_outcome_and_a_bad_one_an_error():
    model, context = Length(), MemoryRunContext()
    texts = ["abc", " ", "half \ud83d", "x" * 12, ""]
    items = [WorkItem(index, text) for index, text in enumerate(texts)]

    outcomes = model.classify(items, ClassificationParameters(probabilities=True), context)

    short, blank, surrogate, long, empty = outcomes
    assert (short.label, short.score, short.truncated) == ("short", 0.7, False)
    assert short.probabilities == {"short": 0.7, "long": 0.3}
    assert (long.label, long.score, long.truncated) == ("long", 1.0, True)
    assert [one.code for one in (blank, surrogate, empty)] == [
        "invalid_input", "decode_error", "invalid_input",
    ]  # fmt: skip
    assert model.calls == [["abc"], ["x" * 12]]
    assert [report.items for report in context.batches] == [2, 2, 1]
