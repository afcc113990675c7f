"""Classifications held against the truth: figures as scikit-learn has them, and what is kept."""

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from seqd.analysis.classification import ClassAnswers, LabelCodes
from seqd.analysis.evaluation import HighestScored
from seqd.analysis.measures import CLASSIFICATION, Report
from seqd_schemas import (
    MAX_CONFUSIONS,
    MAX_EXAMPLE_CHARS,
    MAX_EXAMPLES,
    MAX_LISTED_CLASSES,
    Classification,
    Confusion,
    DataFingerprint,
    VersionEvaluation,
    from_stored,
    to_stored,
)

CLASSES = ["blau", "gelb", "rot"]

Answer = tuple[str | None, Classification | None]


def a_prediction(label: str, score: float = 0.8, **probabilities: float) -> Classification:
    return Classification(
        label=label, score=score, truncated=False, probabilities=probabilities or None
    )


def report_of(*given: Answer) -> Report:
    answers = CLASSIFICATION.answers()
    for truth, prediction in given:
        answers.add(truth, prediction)
    return answers.report()


def values_of(report: Report) -> dict[str, float]:
    return {name: one.value for name, one in report.metrics.items()}


def kept(report: Report) -> VersionEvaluation:
    data = DataFingerprint(description="test.jsonl", records=4, sha256="0" * 64)
    fields = {"data": data, "at_ms": 7, "by": "ada@lab", "task": "classify"}
    return VersionEvaluation.model_validate(fields | report.kept())


#: Three classes by their weights, of which some are 0.
WEIGHTS = st.tuples(*[st.integers(0, 9)] * 3).filter(any)


def a_share_of(weights: tuple[int, ...]) -> Classification:
    """Return a prediction with the probabilities that are as their weights."""
    shares = {name: weight / sum(weights) for name, weight in zip(CLASSES, weights, strict=True)}
    label = max(shares, key=shares.__getitem__)
    return a_prediction(label, shares[label], **shares)


@given(
    st.lists(st.tuples(st.sampled_from([*CLASSES, "lila", None]), WEIGHTS), min_size=1).filter(
        lambda answers: any(truth is not None for truth, _ in answers)
    )
)
def test_figures_are_those_of_scikit_learn_and_of_their_definitions(given):
    answers = [(truth, a_share_of(weights)) for truth, weights in given]
    labelled = [(truth, one.probabilities, one.label) for truth, one in answers if truth]

    report = report_of(*answers, ("rot", None))

    truth, shares, labels = zip(*labelled, strict=True)
    names, values = [one.label for one in report.classes], values_of(report)
    assert (report.items, report.errored) == (len(labelled), 1)
    assert (report.unlabelled, report.unknown_labels) == (
        len(answers) - len(labelled),
        truth.count("lila"),
    )
    matrix = confusion_matrix(truth, labels, labels=names).tolist()
    assert report.confusion == tuple(map(tuple, matrix))
    rows = [(one.precision, one.recall, one.f1, one.items) for one in report.classes]
    found = np.array(rows, float).T
    due = precision_recall_fscore_support(truth, labels, labels=names, zero_division=np.nan)
    assert found == pytest.approx(np.array(due), nan_ok=True)
    assert values["accuracy"] == pytest.approx(accuracy_score(truth, labels))
    # A true class that the model does not know has a probability of 0, and is not in the loss.
    misses = [
        sum((share - (name == true)) ** 2 for name, share in given.items()) + (true == "lila")
        for true, given in zip(truth, shares, strict=True)
    ]
    assert values["brier_score"] == pytest.approx(fmean(misses))  # Brier 1950
    known = [given[true] for true, given in zip(truth, shares, strict=True) if true != "lila"]
    losses = [-math.log(max(share, 5e-6)) for share in known]
    assert values.get("log_loss") == (pytest.approx(fmean(losses)) if losses else None)
    assert sum(part.items for part in report.calibration) == report.items
    assert all(part.lower <= part.mean_score <= part.upper + 1e-9 for part in report.calibration)
    assert from_stored(VersionEvaluation, to_stored(kept(report))) == kept(report)


def test_figures_say_by_which_method_their_interval_is():
    report = report_of(
        *[("rot", a_prediction("rot", gelb=0.5, rot=0.5))] * 2, ("rot", a_share_of((1, 0, 0)))
    )

    assert {name: one.method for name, one in report.metrics.items()} == {
        "accuracy": "wilson",
        "f1_macro": "bootstrap",
        "log_loss": "normal",
        "brier_score": "normal",
        "calibration_error": None,
    }
    accuracy = report.metrics["accuracy"]
    assert (accuracy.low, accuracy.high) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert report.metrics["log_loss"].low < report.metrics["log_loss"].high


def test_without_probabilities_there_is_neither_brier_score_nor_log_loss():
    report = report_of(("rot", a_prediction("rot")), ("gelb", a_prediction("rot")))

    assert {"brier_score", "log_loss"}.isdisjoint(report.metrics)
    assert (report.as_json()["log_loss"], report.as_json()["brier_score"]) == (None, None)


@pytest.mark.parametrize(("right", "score", "error"), [(7, 0.7, 0.0), (5, 0.9, 0.4)])
def test_the_calibration_error_is_the_gap_between_what_is_claimed_and_what_is_right(
    right, score, error
):
    report = report_of(
        *(("rot" if number < right else "gelb", a_prediction("rot", score)) for number in range(10))
    )

    assert values_of(report)["calibration_error"] == pytest.approx(error)


def test_of_a_least_score_the_share_and_the_accuracy_of_what_is_kept_are_told():
    answers = ClassAnswers(LabelCodes())
    for truth, prediction in (
        ("rot", a_prediction("rot", 0.9)),
        ("gelb", a_prediction("rot", 0.8)),
        ("rot", a_prediction("rot", 0.7)),
        (None, a_prediction("rot", 0.9)),
        ("rot", None),
    ):
        answers.add(truth, prediction)

    kept = answers.kept(0.8)

    assert {name: one.value for name, one in kept.items()} == {
        "kept_share": pytest.approx(2 / 3),
        "kept_accuracy": 0.5,
    }
    assert set(answers.kept(0.95)) == {"kept_share"}


def test_without_items_there_is_no_report():
    with pytest.raises(ValueError, match="no item has both a true label and a prediction"):
        report_of()


def test_many_classes_are_cut_to_those_with_most_items_and_what_is_left_out_is_counted():
    answers: list[Answer] = [
        (f"c{number:03}", a_prediction(f"c{(number + shift) % 300:03}"))
        for number in range(300)
        for shift in range(2)
    ]

    record = kept(report_of(*answers, *[("c299", a_prediction("c299"))] * 5))

    assert len(record.classes) == MAX_LISTED_CLASSES
    assert any(one.label == "c299" for one in record.classes)
    assert len(record.confusion) == MAX_CONFUSIONS
    assert record.confusion[0].items == 6
    assert sum(one.items for one in record.confusion) + record.confusion_left_out == record.items


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.floats(0, 1)), max_size=40))
def test_the_surest_answers_stay_and_of_equal_ones_the_earlier(answers):
    examples = HighestScored()
    for number, (truth, score) in enumerate(answers):
        examples.add(f"row-{number}", "x" * 1_000, truth, a_prediction("a", score))

    for label, found in (("a", examples.right()), ("b", examples.wrong())):
        numbered = [(-score, n) for n, (one, score) in enumerate(answers) if one == label]
        expected = [f"row-{number}" for _, number in sorted(numbered)[:MAX_EXAMPLES]]
        assert [one.custom_id for one in found] == expected
        assert all(one.text == "x" * MAX_EXAMPLE_CHARS for one in found)


def test_no_matrix_is_made_of_more_labels_than_have_room_and_the_largest_cells_are_kept():
    wrong = [(f"id {number}", a_prediction("rot")) for number in range(2_000)]

    report = report_of(("rot", a_prediction("rot")), ("id 7", a_prediction("rot")), *wrong)

    assert (report.confusion, report.as_json()["confusion"]) == ((), ())
    assert (report.unknown_labels, len(report.classes)) == (2_001, 2_001)
    record = kept(report)
    assert record.confusion[0] == Confusion(truth="id 7", predicted="rot", items=2)
    assert sum(one.items for one in record.confusion) + record.confusion_left_out == 2_002
