"""What is said of an evaluation: first what cannot be right, and how labels can be mapped."""

import pytest

from seqd.analysis.evaluation import Evaluation
from seqd.analysis.evaluation_records import evaluation_record
from seqd.analysis.examples import HighestScored
from seqd.cli.ui.evaluations import print_evaluation
from seqd.cli.ui.screen import Screen
from seqd_schemas import Classification
from store_builders import DATA


def said_of(capsys: pytest.CaptureFixture[str], *truths: str) -> str:
    """Print an evaluation of a model that has two classes; return the text, on one line."""
    counts = Evaluation()
    probabilities = {"negative": 0.2, "positive": 0.8}
    for truth in truths:
        given = Classification(
            label="positive", score=0.8, truncated=False, probabilities=probabilities
        )
        counts.add(truth, given)
    evaluation = evaluation_record(
        counts.report(),
        HighestScored(),
        DATA,
        at_ms=1,
        by="user@host",
        is_training_data=False,
        parameters={},
    )
    print_evaluation(Screen(), evaluation, model="topics@1")
    return " ".join(capsys.readouterr().out.split())


def test_labels_of_which_some_match_are_told_first_with_the_mapping_of_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = said_of(capsys, "positive", "neg", "neg")

    assert said.startswith(
        "2 items of classes that the model does not know ('neg') counted as wrong, and not in the "
        "log loss. To map them: --map-label neg=negative"
    )


def test_a_label_that_is_none_of_the_models_by_another_name_is_not_to_be_mapped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = said_of(capsys, "positive", "negative", "neg")

    assert said.startswith(
        "1 item of classes that the model does not know ('neg') counted as wrong, and not in the "
        "log loss. model topics@1"
    )


def test_nothing_is_said_of_labels_that_the_model_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_of(capsys, "positive", "negative").startswith("model topics@1")
