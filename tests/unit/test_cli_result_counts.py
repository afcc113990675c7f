"""What a bulk job comes to: counts, first errors, accuracy."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_builders import a_failure, a_success
from seqd.cli.ui.summary import ResultCounts

LABELS = st.sampled_from(["positive", "negative"])


def test_accuracy_counts_labelled_items_that_were_classified() -> None:
    counts = ResultCounts(deque(["positive", "negative", None, "negative", "negative"]))

    counts.add(a_success(label="positive"))  # right
    counts.add(a_success(label="positive"))  # wrong
    counts.add(a_success(label="positive"))  # has no label
    counts.add(a_failure())  # has no result
    counts.add(a_success(label="negative"))  # right

    assert counts.labelled == 3
    assert counts.accuracy == pytest.approx(2 / 3)
    assert (counts.succeeded, counts.errored) == (4, 1)


def test_without_labels_there_is_no_accuracy() -> None:
    counts = ResultCounts(deque([None, None]))

    counts.add(a_success())
    counts.add(a_success())

    assert counts.accuracy is None
    assert not counts.labels_differ


def test_the_labels_of_counted_results_are_not_kept() -> None:
    truth = deque(["positive", "negative", "negative"])
    counts = ResultCounts(truth)

    counts.add(a_success(label="positive"))
    counts.add(a_failure())

    assert list(truth) == ["negative"]
    assert counts.accuracy == 1.0


def test_labels_of_other_names_give_no_accuracy_of_zero() -> None:
    counts = ResultCounts(deque(["pos", "neg"]))

    counts.add(a_success(label="positive"))
    counts.add(a_success(label="negative"))

    assert counts.accuracy is None
    assert counts.labels_differ
    assert counts.true_labels == ["neg", "pos"]


def test_only_the_first_three_errors_are_kept() -> None:
    counts = ResultCounts()

    for number in range(5):
        counts.add(a_failure(f"item-{number}"))

    assert [failure.custom_id for failure in counts.first_errors] == ["item-0", "item-1", "item-2"]
    assert counts.errored == 5


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1))
def test_accuracy_is_the_share_of_equal_labels(pairs: list[tuple[str, str]]) -> None:
    counts = ResultCounts(deque(truth for truth, _ in pairs))

    for _, predicted in pairs:
        counts.add(a_success(label=predicted))

    right = sum(truth == predicted for truth, predicted in pairs)
    if counts.labels_differ:
        assert right == 0
    else:
        assert counts.accuracy == right / len(pairs)
