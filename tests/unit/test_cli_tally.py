"""What a bulk job comes to: counts, first errors, accuracy."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_builders import a_failure, a_success
from seqd.cli.tally import Tally

LABELS = st.sampled_from(["positive", "negative"])


def test_accuracy_counts_labelled_items_that_were_classified() -> None:
    tally = Tally(deque(["positive", "negative", None, "negative", "negative"]))

    tally.add(a_success(label="positive"))  # right
    tally.add(a_success(label="positive"))  # wrong
    tally.add(a_success(label="positive"))  # has no label
    tally.add(a_failure())  # has no result
    tally.add(a_success(label="negative"))  # right

    assert tally.labelled == 3
    assert tally.accuracy == pytest.approx(2 / 3)
    assert (tally.succeeded, tally.errored) == (4, 1)


def test_without_labels_there_is_no_accuracy() -> None:
    tally = Tally(deque([None, None]))

    tally.add(a_success())
    tally.add(a_success())

    assert tally.accuracy is None
    assert not tally.labels_differ


def test_the_labels_of_counted_results_are_not_kept() -> None:
    truth = deque(["positive", "negative", "negative"])
    tally = Tally(truth)

    tally.add(a_success(label="positive"))
    tally.add(a_failure())

    assert list(truth) == ["negative"]
    assert tally.accuracy == 1.0


def test_labels_of_other_names_give_no_accuracy_of_zero() -> None:
    tally = Tally(deque(["pos", "neg"]))

    tally.add(a_success(label="positive"))
    tally.add(a_success(label="negative"))

    assert tally.accuracy is None
    assert tally.labels_differ
    assert tally.true_labels == ["neg", "pos"]


def test_only_the_first_three_errors_are_kept() -> None:
    tally = Tally()

    for number in range(5):
        tally.add(a_failure(f"item-{number}"))

    assert [failure.custom_id for failure in tally.first_errors] == ["item-0", "item-1", "item-2"]
    assert tally.errored == 5


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1))
def test_accuracy_is_the_share_of_equal_labels(pairs: list[tuple[str, str]]) -> None:
    tally = Tally(deque(truth for truth, _ in pairs))

    for _, predicted in pairs:
        tally.add(a_success(label=predicted))

    right = sum(truth == predicted for truth, predicted in pairs)
    if tally.labels_differ:
        assert right == 0
    else:
        assert tally.accuracy == right / len(pairs)
