"""`--map-label`: labels of the data that the model calls otherwise."""

import pytest

from seqd.cli.label_map import mapped_label, read_label_map, suggested_options
from seqd.errors import InvalidRequest


def test_labels_are_called_what_the_options_say_and_others_stay():
    mapping = read_label_map(["neg=negative", "pos=positive", "1=a=b"])

    assert mapping == {"neg": "negative", "pos": "positive", "1": "a=b"}
    assert [mapped_label(label, mapping) for label in ("neg", "other", None)] == [
        "negative",
        "other",
        None,
    ]


@pytest.mark.parametrize("pair", ["neg", "=negative", "neg="])
def test_what_is_no_pair_is_refused(pair: str):
    with pytest.raises(InvalidRequest) as refused:
        read_label_map([pair])

    assert str(refused.value) == (
        f"--map-label is {pair!r}; allowed: LABEL=CLASS, such as neg=negative"
    )


def test_a_label_is_given_once():
    with pytest.raises(InvalidRequest) as refused:
        read_label_map(["neg=negative", "neg=bad"])

    assert str(refused.value) == "--map-label names the label 'neg' twice; give it once"


def test_a_class_has_no_longer_name_than_a_label_of_data():
    assert read_label_map([f"neg={'n' * 256}"]) == {"neg": "n" * 256}

    with pytest.raises(InvalidRequest) as refused:
        read_label_map([f"neg={'n' * 257}"])

    assert str(refused.value) == "--map-label names a class of 257 characters; allowed: 256"


@pytest.mark.parametrize(
    ("labels", "classes", "options"),
    [
        (
            {"neg", "pos"},
            {"negative", "positive"},
            "--map-label neg=negative --map-label pos=positive",
        ),
        ({"Positive"}, {"negative", "positive"}, "--map-label Positive=positive"),
        ({"film s"}, {"films"}, "--map-label 'film s=films'"),
        ({"5", "1"}, {"negative", "positive"}, ""),
        ({"neg", "nega"}, {"negative"}, "--map-label neg=negative"),
        ({"neg"}, set(), ""),
    ],
)
def test_labels_are_mapped_to_the_classes_that_look_like_them(
    labels: set[str], classes: set[str], options: str
):
    assert suggested_options(labels, classes) == options
