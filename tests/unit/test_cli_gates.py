"""The condition on which a version goes into service, on comparisons that are given."""

import math

import pytest

from seqd.analysis.comparison import (
    Comparison,
    VersionFacts,
    compared_texts,
)
from seqd.cli.models import comparing
from seqd.cli.models.gates import Condition, Decision
from seqd.cli.ui.screen import Screen
from store_builders import a_change


def decided(monkeypatch: pytest.MonkeyPatch, comparison: Comparison, metric: str = "") -> Decision:
    """Return what a gate makes of a comparison."""
    monkeypatch.setattr(comparing, "compare_versions", lambda *given: comparison)
    condition = Condition("a.txt", metric, 0.0, {}, "label", {})
    return condition.decide("topics@1", "topics@2", Screen())


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


def test_a_version_is_better_than_one_that_cannot_write_the_text_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decision = decided(monkeypatch, of_texts(math.inf, 2.0))

    assert decision.is_better
    assert decision.figures == {"bits_per_char_after": 2.0, "items": 10.0}
    assert a_change(1, 2, gate=decision.figures).gate == decision.figures
