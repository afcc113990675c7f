"""The condition on which a version goes into service, on comparisons that are given."""

import math

import pytest

from seqd.analysis.comparison import (
    Answers,
    Comparison,
    LabelCodes,
    VersionFacts,
    compare_answers,
    compared_texts,
)
from seqd.cli.models import comparing
from seqd.cli.models.gates import Condition, Decision
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest
from seqd_schemas import Classification
from store_builders import a_change


def decided(monkeypatch: pytest.MonkeyPatch, comparison: Comparison, metric: str = "") -> Decision:
    """Return what a gate makes of a comparison."""
    monkeypatch.setattr(comparing, "compare_versions", lambda *given: comparison)
    condition = Condition("a.txt", metric, 0.0, {}, "label", {})
    return condition.decide("topics@1", "topics@2", Screen())


@pytest.mark.parametrize("by", [math.nan, math.inf, -0.1], ids=str)
def test_a_least_gain_that_no_figure_can_have_is_refused_before_the_work(by: float) -> None:
    condition = Condition("there_is_none.txt", "accuracy", by, {}, "label", {})

    with pytest.raises(InvalidRequest) as refusal:
        condition.decide("topics@1", "topics@2", Screen())

    assert str(refusal.value) == f"--by is {by:g}; allowed: 0 or more, such as 0.002"


def facts() -> dict[str, VersionFacts]:
    return {
        name: VersionFacts(ref=ref, items_per_s=None, size_bytes=None)
        for name, ref in (("first", "topics@1"), ("second", "topics@2"))
    }


def of_texts(first: float, second: float) -> Comparison:
    return Comparison(
        task="generate",
        data="a.txt",
        items=10,
        metrics=compared_texts(first, second, 10),
        answers=None,
        changes=(),
        **facts(),
    )


def of_classifiers() -> Comparison:
    codes = LabelCodes()
    answers = [Answers(codes), Answers(codes)]
    for one in answers:
        one.add("a", Classification(label="a", score=1.0, truncated=False))
    metrics, compared = compare_answers(answers[0], answers[1], codes)
    return Comparison(
        task="classify",
        data="a.txt",
        items=1,
        metrics=metrics,
        answers=compared,
        changes=(),
        **facts(),
    )


def test_a_version_is_better_than_one_that_cannot_write_the_text_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decision = decided(monkeypatch, of_texts(math.inf, 2.0))

    assert decision.is_better
    assert decision.figures == {"bits_per_char_after": 2.0, "items": 10.0}
    assert a_change(1, 2, gate=decision.figures).gate == decision.figures


def test_a_figure_that_the_versions_do_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="a version gives no probabilities"):
        decided(monkeypatch, of_classifiers(), "log_loss")
