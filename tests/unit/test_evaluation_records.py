"""An evaluation as it is kept: all figures with their intervals, and bounded in size."""

import pytest

from seqd.analysis.evaluation import Evaluation
from seqd.analysis.evaluation_records import evaluation_record
from seqd.analysis.examples import HighestScored
from seqd_schemas import (
    MAX_CONFUSIONS,
    MAX_LISTED_CLASSES,
    Classification,
    DataFingerprint,
    VersionEvaluation,
    from_stored,
    to_stored,
)

DATA = DataFingerprint(description="test.jsonl", records=4, sha256="0" * 64)


def a_prediction(label: str, **probabilities: float) -> Classification:
    return Classification(
        label=label,
        score=probabilities.get(label, 0.8),
        truncated=False,
        probabilities=probabilities or None,
    )


def recorded(answers: list[tuple[str | None, Classification]]) -> VersionEvaluation:
    evaluation, examples = Evaluation(), HighestScored()
    for number, (truth, given) in enumerate(answers):
        evaluation.add(truth, given)
        examples.add(f"row-{number}", "a text", truth, given)
    return evaluation_record(
        evaluation.report(),
        examples,
        DATA,
        at_ms=7,
        by="ada@lab",
        is_training_data=False,
        parameters={"probabilities": True},
    )


def test_the_figures_of_a_small_set_are_those_of_a_hand_count() -> None:
    record = recorded(
        [
            ("a", a_prediction("a", a=0.9, b=0.1)),
            ("a", a_prediction("b", a=0.2, b=0.8)),
            ("b", a_prediction("b", a=0.4, b=0.6)),
            (None, a_prediction("b", a=0.4, b=0.6)),
        ]
    )

    metrics = record.metrics
    assert (record.items, record.unlabelled, record.by) == (3, 1, "ada@lab")
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
    assert [(one.truth, one.predicted, one.items) for one in record.confusion] == [
        ("a", "a", 1),
        ("a", "b", 1),
        ("b", "b", 1),
    ]
    assert [one.custom_id for one in record.right] == ["row-0", "row-2"]
    assert [one.custom_id for one in record.wrong] == ["row-1"]


def test_a_true_class_that_the_model_does_not_know_counts_fully_in_the_brier_score() -> None:
    record = recorded([("c", a_prediction("a", a=1.0, b=0.0))])

    assert record.metrics["brier_score"].value == pytest.approx(2.0)


def test_without_probabilities_there_is_neither_brier_score_nor_log_loss() -> None:
    record = recorded([("a", a_prediction("b")), ("b", a_prediction("a"))])

    assert {"brier_score", "log_loss"}.isdisjoint(record.metrics)


def test_many_classes_are_cut_to_those_with_most_items_and_what_is_left_out_is_counted() -> None:
    answers = [
        (f"c{number:03}", a_prediction(f"c{(number + shift) % 300:03}"))
        for number in range(300)
        for shift in range(2)
    ]
    answers += [("c299", a_prediction("c299"))] * 5

    record = recorded(list(answers))

    assert len(record.classes) == MAX_LISTED_CLASSES
    assert any(one.label == "c299" for one in record.classes)
    assert len(record.confusion) == MAX_CONFUSIONS
    assert record.confusion[0].items == 6
    assert sum(one.items for one in record.confusion) + record.confusion_left_out == record.items


def test_a_record_comes_back_from_its_file_as_it_was() -> None:
    record = recorded([("a", a_prediction("a", a=1.0)), ("b", a_prediction("a", a=1.0))])

    assert from_stored(VersionEvaluation, to_stored(record)) == record
