"""What the model kit has for classifiers of texts: data and words."""

import pytest

from seqd.errors import InvalidData
from seqd.hookspecs import LabelledRecord
from seqd_modelkit.labelled_texts import split_records
from seqd_modelkit.words import WordVocabulary, split_words

RECORDS = [(f"text {number}", "even" if number % 2 == 0 else "odd") for number in range(20)]


def split_of(records, held_out=None, share=0.2):
    sets = [
        None if one is None else [LabelledRecord(*record) for record in one]
        for one in (records, held_out)
    ]
    return split_records(*sets, validation_split=share, seed=3)


def test_a_share_of_each_class_is_held_out_and_the_same_one_for_a_seed():
    classes, training, validation = split_of(RECORDS)

    again = split_of(RECORDS)
    texts = dict(RECORDS)
    assert classes == ["even", "odd"]
    assert (len(training.texts), sorted(validation.targets)) == (16, [0, 0, 1, 1])
    assert [texts[text] for text in validation.texts] == [classes[n] for n in validation.targets]
    assert {*training.texts, *validation.texts} == set(texts)
    assert again.validation.texts == validation.texts


def test_held_out_data_is_what_is_validated_on_and_all_else_is_learnt_from():
    _, training, validation = split_of(RECORDS, [("unseen", "odd")])

    assert (len(training.texts), validation.texts, validation.targets.tolist()) == (
        20, ["unseen"], [1],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "held_out", "message"),
    [
        ([("a", "x"), ("b", None)], None, "The text 'b' of the data has no label. A classifier "
         "learns from labels: give each record one."),
        ([("a", "x"), ("b", "x")], None, "The data has 1 of the two classes or more that a "
         "classifier needs: ['x']. Add records with other labels."),
        (RECORDS, [("a", "x")], "The held-out data has the class 'x', which the data does not "
         "have. Leave its records out, or train on some."),
    ],
)  # fmt: skip
def test_data_that_no_classifier_can_learn_from_is_refused(records, held_out, message):
    with pytest.raises(InvalidData) as caught:
        split_of(records, held_out)

    assert str(caught.value) == message


def test_words_are_known_by_how_often_they_are_and_others_are_unknown():
    vocabulary = WordVocabulary.of_texts(["A fine film!", "a dull film, a film"], 2)

    assert split_words("It's GOOD.") == ["it", "'", "s", "good", "."]
    assert (vocabulary.words, vocabulary.ids) == (("a", "film"), 4)
    assert vocabulary.encode_all(["A new film", "film", " "], 10).tolist() == [
        [2, 1, 3, 0], [3, 0, 0, 0], [1, 0, 0, 0],
    ]  # fmt: skip
    assert vocabulary.encode_all(["film film film"], 2).tolist() == [[3, 3]]
