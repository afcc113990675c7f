"""Answers held against the truth: figures by hand, and what holds for any predictions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.analysis.evaluation import Evaluation
from seqd_schemas import Classification

CLASSES = ["blau", "gelb", "rot"]


def a_prediction(label: str, score: float = 0.8, **probabilities: float) -> Classification:
    return Classification(
        label=label, score=score, truncated=False, probabilities=probabilities or None
    )


def test_precision_and_recall_are_those_of_a_hand_count() -> None:
    evaluation = Evaluation()

    for truth, got in [("rot", "rot"), ("rot", "rot"), ("rot", "gelb"), ("gelb", "rot")]:
        evaluation.add(truth, a_prediction(got))

    red = next(one for one in evaluation.report().classes if one.label == "rot")
    assert (red.items, red.predicted) == (3, 3)
    assert red.precision == pytest.approx(2 / 3)
    assert red.recall == pytest.approx(2 / 3)
    assert red.f1 == pytest.approx(2 / 3)
    assert evaluation.report().accuracy == 0.5


def test_a_label_that_the_model_does_not_know_counts_as_wrong_and_not_in_the_loss() -> None:
    evaluation = Evaluation()

    evaluation.add("rot", a_prediction("rot", rot=0.8, gelb=0.2))
    evaluation.add("lila", a_prediction("rot", rot=0.8, gelb=0.2))

    report = evaluation.report()
    assert report.accuracy == 0.5
    assert report.unknown_labels == 1
    assert report.log_loss == pytest.approx(-math.log(0.8))
    assert [one.label for one in report.classes if not one.is_known] == ["lila"]


def test_items_without_a_label_or_an_answer_are_left_out_and_counted() -> None:
    evaluation = Evaluation()

    evaluation.add("rot", a_prediction("rot"))
    evaluation.add(None, a_prediction("rot"))
    evaluation.add("rot", None)

    report = evaluation.report()
    assert (report.items, report.unlabelled, report.errored) == (1, 1, 1)


def test_the_loss_takes_the_true_classs_probability_and_never_the_logarithm_of_zero() -> None:
    evaluation = Evaluation()

    evaluation.add("gelb", a_prediction("rot", 1.0, rot=1.0, gelb=0.0))

    assert evaluation.report().log_loss == pytest.approx(-math.log(5e-6))


def test_there_is_no_loss_where_the_true_classs_probability_is_not_told() -> None:
    evaluation = Evaluation()

    evaluation.add("gelb", a_prediction("rot"))

    assert evaluation.report().log_loss is None


def test_answers_that_are_right_as_often_as_they_claim_have_no_calibration_error() -> None:
    evaluation = Evaluation()

    for number in range(10):
        evaluation.add("rot" if number < 7 else "gelb", a_prediction("rot", 0.7))

    assert evaluation.report().calibration_error == pytest.approx(0.0)


def test_predictions_that_claim_too_much_have_the_gap_as_their_calibration_error() -> None:
    evaluation = Evaluation()

    for number in range(10):
        evaluation.add("rot" if number < 5 else "gelb", a_prediction("rot", 0.9))

    assert evaluation.report().calibration_error == pytest.approx(0.4)


def test_without_items_there_is_no_report() -> None:
    with pytest.raises(ValueError, match="no item has both a true label and a prediction"):
        Evaluation().report()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*CLASSES, "unknown", None]),
            st.sampled_from(CLASSES),
            st.floats(0.0, 1.0),
        ),
        min_size=1,
    )
)
def test_counts_add_up_whatever_was_answered(
    predictions: list[tuple[str | None, str, float]],
) -> None:
    evaluation = Evaluation()
    for truth, got, score in predictions:
        evaluation.add(truth, a_prediction(got, score))
    labelled = [answer for answer in predictions if answer[0] is not None]
    if not labelled:
        return

    report = evaluation.report()

    assert sum(map(sum, report.confusion)) == report.items == len(labelled)
    assert sum(one.items for one in report.classes) == report.items
    assert sum(one.predicted for one in report.classes) == report.items
    assert sum(part.items for part in report.calibration) == report.items
    assert all(part.lower <= part.mean_score <= part.upper + 1e-9 for part in report.calibration)
    assert 0.0 <= report.calibration_error <= 1.0
    assert report.accuracy == pytest.approx(
        sum(truth == got for truth, got, _ in labelled) / len(labelled)
    )
