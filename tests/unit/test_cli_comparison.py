"""What is said of a comparison whose data has labels that no version knows."""

import pytest

from seqd.analysis.comparison import (
    Answers,
    Comparison,
    LabelCodes,
    VersionFacts,
    compare_answers,
)
from seqd.cli.ui.comparison import print_comparison
from seqd.cli.ui.screen import Screen
from seqd_schemas import Classification


def said_of(capsys: pytest.CaptureFixture[str], *truths: str) -> str:
    """Print a comparison of two versions that have two classes; return the text, on one line."""
    codes = LabelCodes()
    first, second = Answers(codes), Answers(codes)
    for truth in truths:
        for version in (first, second):
            probabilities = {"negative": 0.2, "positive": 0.8}
            version.add(
                truth,
                Classification(
                    label="positive", score=0.8, truncated=False, probabilities=probabilities
                ),
            )
    metrics, answers = compare_answers(first, second, codes)
    facts = [VersionFacts(ref=f"topics@{n}", items_per_s=None, size_bytes=None) for n in (1, 2)]
    comparison = Comparison(
        task="classify",
        data="a.jsonl",
        items=len(truths),
        first=facts[0],
        second=facts[1],
        metrics=metrics,
        answers=answers,
        changes=(),
    )
    print_comparison(Screen(), comparison, None, None)
    return " ".join(capsys.readouterr().out.split())


def test_labels_that_no_version_knows_are_told_before_the_figures_with_the_option_that_maps_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = said_of(capsys, "positive", "negative", "neg", "neg")

    sentence = (
        "2 items with labels that neither version knows ('neg') count as wrong for both. Are they "
        "classes by other names? --map-label LABEL=CLASS"
    )
    assert sentence in said
    assert said.index(sentence) < said.index("accuracy")


def test_nothing_is_said_of_labels_that_both_versions_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "--map-label" not in said_of(capsys, "positive", "negative")
