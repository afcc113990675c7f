"""Two versions on the same items: figures by hand, what holds for any answers, and the verdict."""

import math
from collections.abc import Sequence

import pytest

from seqd.analysis.comparison import (
    AnswersCompared,
    Comparison,
    Difference,
    MetricId,
    VersionFacts,
    difference_of,
    verdict_of,
)
from seqd.analysis.measures import CLASSIFICATION
from seqd.cli.models import comparing
from seqd.cli.models.comparing import judged_on
from seqd.cli.models.measured_items import Asked
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest
from seqd_schemas import Classification
from store_builders import a_change

LABELS = ("blau", "gelb", "rot")

#: A true label or none, and two answers, or None for an error.
Row = tuple[str | None, str | None, str | None]


def a_prediction(label: str | None, share: float = 0.8) -> Classification | None:
    if label is None:
        return None
    rest = (1.0 - share) / 2
    shares = {name: share if name == label else rest for name in LABELS}
    return Classification(label=label, score=share, truncated=False, probabilities=shares)


def compared(
    rows: Sequence[Row], shares: tuple[float, float] = (0.8, 0.8)
) -> tuple[dict[MetricId, Difference], AnswersCompared]:
    predictions = [
        (truth, a_prediction(one, shares[0]), a_prediction(other, shares[1]))
        for truth, one, other in rows
    ]
    return of_predictions(*predictions)


def of_predictions(
    *rows: tuple[str | None, Classification | None, Classification | None],
) -> tuple[dict[MetricId, Difference], AnswersCompared]:
    pair = CLASSIFICATION.pair()
    for truth, one, other in rows:
        pair.first.add(truth, one)
        pair.second.add(truth, other)
    metrics, answers = pair.compare()
    assert answers is not None
    return metrics, answers


def a_comparison(rows: Sequence[Row], shares: tuple[float, float] = (0.8, 0.8)) -> Comparison:
    metrics, answers = compared(rows, shares)
    return Comparison(
        task="classify",
        data="test.jsonl",
        items=metrics["accuracy"].items,
        first=VersionFacts(ref="m@1", items_per_s=None, size_bytes=None),
        second=VersionFacts(ref="m@2", items_per_s=None, size_bytes=None),
        metrics=metrics,
        answers=answers,
        changes=(),
    )


def a_text_comparison(first: float, second: float) -> Comparison:
    facts = VersionFacts(ref="w@1", items_per_s=None, size_bytes=None)
    return Comparison(
        task="generate",
        data="book.txt",
        items=100,
        first=facts,
        second=facts.model_copy(update={"ref": "w@2"}),
        metrics={"bits_per_char": difference_of(first, second, None, None, 100)},
        answers=None,
        changes=(),
    )


def test_the_table_of_who_is_right_is_that_of_a_hand_count():
    rows = [
        *[("rot", "rot", "rot")] * 4,
        *[("rot", "rot", "gelb")] * 1,
        *[("gelb", "rot", "gelb")] * 3,
        *[("gelb", "rot", "blau")] * 2,
    ]

    metrics, answers = compared(rows)

    right = answers.right
    assert (right.both, right.first_only, right.second_only, right.neither) == (4, 1, 3, 2)
    assert (metrics["accuracy"].first, metrics["accuracy"].second) == (0.5, 0.7)
    assert metrics["accuracy"].difference == pytest.approx(0.2)
    assert answers.mcnemar_p == pytest.approx(0.625)
    assert (answers.agreement, answers.changed) == (0.4, 6)


def test_accuracy_and_log_loss_are_those_of_an_evaluation():
    rows: list[Row] = [
        ("rot", "rot", "gelb"),
        ("gelb", "rot", "gelb"),
        ("lila", "rot", "gelb"),
        (None, "rot", "rot"),
    ]
    alone = [CLASSIFICATION.answers(), CLASSIFICATION.answers()]
    for truth, *labels in rows:
        for answers, label in zip(alone, labels, strict=True):
            answers.add(truth, a_prediction(label))

    metrics, _ = compared(rows)

    one, other = (answers.report().metrics for answers in alone)
    for name in ("accuracy", "log_loss"):
        found = metrics[name]
        assert (found.first, found.second) == pytest.approx((one[name].value, other[name].value))
    assert (metrics["accuracy"].items, metrics["log_loss"].items) == (3, 2)


def test_without_probabilities_log_loss_and_the_label_sets_are_not_known():
    bare = Classification(label="rot", score=0.9, truncated=False)

    metrics, answers_compared = of_predictions(("rot", bare, bare))

    assert list(metrics) == ["accuracy", "f1_macro"]
    assert answers_compared.labels is None


def test_labels_that_are_not_known_everywhere_are_told_apart():
    one, other = _of({"rot": 0.9, "alt": 0.1}), _of({"rot": 0.9, "blau": 0.1})

    _, answers = of_predictions(*((truth, one, other) for truth in ("rot", "blau", "lila")))

    assert answers.labels is not None
    assert answers.labels.unknown_to_both == ("lila",)
    assert answers.labels.unknown_to_first == ("blau",)
    assert answers.labels.unknown_to_second == ()
    assert (answers.labels.only_first, answers.labels.only_second) == (("alt",), ("blau",))
    assert answers.unknown_items == 1


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="no item has a true label and two answers"):
        compared([("rot", None, "rot"), (None, "rot", "rot")])


@pytest.mark.parametrize(
    ("rows", "metric", "by", "reason"),
    [
        ([("rot", "rot", "rot")] * 9, "accuracy", 0.0, "accuracy is the same"),
        (
            [("rot", "rot", "gelb")] * 5 + [("rot", "rot", "rot")] * 5,
            "accuracy",
            0.0,
            "accuracy is worse by 0.5000",
        ),
        (
            [("rot", "rot", "rot")] * 90 + [("rot", "gelb", "rot")] * 10,
            "accuracy",
            0.2,
            "accuracy is better by 0.1000; 0.2 is asked for",
        ),
        (
            [("rot", "rot", "rot")] * 19 + [("rot", "gelb", "rot")],
            "accuracy",
            0.0,
            "accuracy is better by 0.0500, which may be chance: the 95% interval of the "
            "difference, -0.1163 to +0.2361, has 0 in it",
        ),
        (
            [("rot", "gelb", "rot")],
            "log_loss",
            0.0,
            "log_loss is better by 2.0794 on one item, which may be chance",
        ),
        (
            [("rot", "gelb", "rot")] * 20 + [("rot", "rot", None)],
            "accuracy",
            0.0,
            "it gives an error on 1 of the items, and m@1 on 0",
        ),
    ],
)
def test_what_is_not_better_says_why(rows, metric, by, reason):
    verdict = verdict_of(a_comparison(rows), metric, by)

    assert (verdict.is_better, verdict.reason) == (False, reason)


def test_a_version_gains_nothing_by_a_class_that_it_lacks():
    one, other = _of({"rot": 0.4, "blau": 0.6}), _of({"rot": 0.9, "gelb": 0.1})
    metrics, answers = of_predictions(*((truth, one, other) for truth in ("rot", "blau") * 20))
    found = a_comparison([("rot", "rot", "rot")]).model_copy(
        update={"metrics": metrics, "answers": answers}
    )

    verdict = verdict_of(found, "log_loss")

    assert verdict.gain > 0
    assert (verdict.is_better, verdict.reason) == (
        False,
        "log_loss leaves out the items of its missing class 'blau'",
    )


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [
        (2.0, 1.9, True),
        (1.9, 2.0, False),
        (math.inf, 1.9, True),
        (1.9, math.inf, False),
        (math.inf, math.inf, False),
    ],
)
def test_fewer_bits_a_character_are_better(first, second, better):
    verdict = verdict_of(a_text_comparison(first, second), "bits_per_char")

    assert verdict.is_better is better


def test_a_gate_keeps_the_figures_that_json_has_numbers_for(monkeypatch):
    better = a_text_comparison(math.inf, 2.0)
    monkeypatch.setattr(comparing, "compare_versions", lambda *given: better)

    verdict, figures = judged_on("w@1", "w@2", Asked(file="book.txt"), None, 0.0, Screen())

    assert verdict.is_better
    assert figures == {"bits_per_char_after": 2.0, "items": 100.0}
    assert a_change(1, 2, gate=figures).gate == figures


def test_a_figure_that_is_not_known_decides_nothing():
    with pytest.raises(InvalidRequest) as raised:
        verdict_of(a_text_comparison(2.0, 1.9), "accuracy")

    assert str(raised.value) == "accuracy is no figure of these versions; known: bits_per_char"


def _of(probabilities: dict[str, float]) -> Classification:
    label = max(probabilities, key=lambda name: probabilities[name])
    return Classification(
        label=label, score=probabilities[label], truncated=False, probabilities=probabilities
    )
