"""Classifications held against the truth: figures by hand, what is kept, and what always holds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_the_figures_of_a_small_set_are_those_of_a_hand_count():
    report = report_of(
        ("a", a_prediction("a", 0.9, a=0.9, b=0.1)),
        ("a", a_prediction("b", 0.8, a=0.2, b=0.8)),
        ("b", a_prediction("b", 0.6, a=0.4, b=0.6)),
        (None, a_prediction("b", 0.6, a=0.4, b=0.6)),
        ("b", None),
    )

    metrics = report.metrics
    assert (report.items, report.unlabelled, report.errored) == (3, 1, 1)
    assert metrics["accuracy"].value == pytest.approx(2 / 3)
    assert (metrics["accuracy"].low, metrics["accuracy"].high) == pytest.approx(
        (0.2077, 0.9385), abs=1e-4
    )
    # Brier 1950: the squares of both classes' misses, (0.02 + 1.28 + 0.32) / 3.
    assert metrics["brier_score"].value == pytest.approx(0.54)
    assert {name: one.method for name, one in metrics.items()} == {
        "accuracy": "wilson",
        "f1_macro": "bootstrap",
        "log_loss": "normal",
        "brier_score": "normal",
        "calibration_error": None,
    }
    assert report.confusion == ((1, 1), (0, 1))
    (first, second) = report.classes
    assert (first.label, first.items, first.predicted, first.precision) == ("a", 2, 1, 1.0)
    assert (second.recall, second.f1) == (1.0, pytest.approx(2 / 3))
    assert [(one.truth, one.predicted, one.items) for one in kept(report).confusion] == [
        ("a", "a", 1),
        ("a", "b", 1),
        ("b", "b", 1),
    ]


def test_a_label_that_the_model_does_not_know_counts_as_wrong_and_not_in_the_loss():
    report = report_of(
        ("rot", a_prediction("rot", rot=0.8, gelb=0.2)),
        ("lila", a_prediction("rot", rot=0.8, gelb=0.2)),
    )

    values = values_of(report)
    assert (values["accuracy"], report.unknown_labels) == (0.5, 1)
    assert values["log_loss"] == pytest.approx(-math.log(0.8))
    assert values["brier_score"] == pytest.approx((0.08 + 0.68 + 1) / 2)
    assert [one.label for one in report.classes if not one.is_known] == ["lila"]


def test_the_loss_takes_the_true_classs_probability_and_never_the_logarithm_of_zero():
    report = report_of(("gelb", a_prediction("rot", 1.0, rot=1.0, gelb=0.0)))

    assert values_of(report)["log_loss"] == pytest.approx(-math.log(5e-6))


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


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*CLASSES, "unknown", None]),
            st.sampled_from(CLASSES),
            st.floats(0.0, 1.0),
        ),
        min_size=1,
    ).filter(lambda answers: any(truth is not None for truth, *_ in answers))
)
def test_counts_add_up_whatever_was_answered(given):
    labelled = [answer for answer in given if answer[0] is not None]

    report = report_of(*((truth, a_prediction(got, score)) for truth, got, score in given))

    assert sum(map(sum, report.confusion)) == report.items == len(labelled)
    assert sum(one.items for one in report.classes) == report.items
    assert sum(one.predicted for one in report.classes) == report.items
    assert sum(part.items for part in report.calibration) == report.items
    assert all(part.lower <= part.mean_score <= part.upper + 1e-9 for part in report.calibration)
    values = values_of(report)
    assert 0.0 <= values["calibration_error"] <= 1.0
    right = sum(truth == got for truth, got, _ in labelled)
    assert values["accuracy"] == pytest.approx(right / len(labelled))
    assert from_stored(VersionEvaluation, to_stored(kept(report))) == kept(report)


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
