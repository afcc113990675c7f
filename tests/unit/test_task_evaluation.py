"""Figures of plugins' own tasks: by hand, and beside formulas that are written another way."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from seqd.analysis import embedding_figures
from seqd.analysis.embedding_figures import EmbeddingFigures, nearest_others
from seqd.analysis.intervals import OnlineRatio
from seqd.analysis.label_figures import LabelFigures
from seqd.analysis.score_figures import ScoreFigures, pearson, spearman
from seqd.analysis.span_figures import SpanFigures
from seqd.analysis.task_evaluation import METRICS, metric_of
from seqd.analysis.task_report import TaskReport
from seqd.analysis.text_figures import ChrF, TextFigures
from seqd.errors import InvalidData, InvalidRequest
from seqd_schemas import (
    Embedding,
    Labels,
    Score,
    ScoredLabel,
    Span,
    Spans,
    TaskSchema,
    Text,
    Vector,
)


def labels(*names: str) -> Labels:
    return Labels(labels=tuple(ScoredLabel(label=name, score=0.5) for name in names))


def spans(*parts: tuple[int, int, str]) -> Spans:
    made = tuple(Span(start=start, end=end, label=label) for start, end, label in parts)
    return Spans(spans=made)


def report_of(figures: Any, *pairs: tuple[object, object]) -> TaskReport:
    for truth, output in pairs:
        figures.add(figures.truth(truth), output)
    found = figures.report()
    assert isinstance(found, TaskReport)
    return found


def values_of(report: TaskReport) -> dict[str, float]:
    return {name: one.value for name, one in report.metrics.items()}


def test_labels_are_counted_over_all_items_and_by_label() -> None:
    report = report_of(
        LabelFigures(),
        (["a", "b"], labels("a", "c")),
        (["a"], labels("a")),
        ([], labels()),
        (["b"], labels()),
    )

    assert values_of(report) == pytest.approx(
        {
            "f1_micro": 4 / 7,
            "precision_micro": 2 / 3,
            "recall_micro": 2 / 4,
            "f1_macro": (1 + 0) / 2,
            "exact_match": 2 / 4,
        }
    )
    assert [(one.label, one.items, one.predicted, one.f1) for one in report.classes] == [
        ("a", 2, 2, 1.0),
        ("b", 2, 0, 0.0),
        ("c", 0, 1, 0.0),
    ]
    assert (report.classes[1].precision, report.classes[2].recall) == (None, None)


def test_where_nothing_is_true_and_nothing_given_there_is_no_f1() -> None:
    assert values_of(report_of(LabelFigures(), ([], labels()))) == {"exact_match": 1.0}


@pytest.mark.parametrize("value", ["a|b", " b | a |", ["a", "b"], ("a", "b", "a")])
def test_true_labels_are_a_list_or_a_text_with_bars(value: object) -> None:
    assert LabelFigures().truth(value) == {"a", "b"}


@pytest.mark.parametrize("value", [1, {"a": 1}, ["a", 1], None])
def test_what_are_no_labels_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="allowed: a list of labels"):
        LabelFigures().truth(value)


def test_spans_count_where_exact_and_their_characters_where_they_overlap() -> None:
    report = report_of(
        SpanFigures(),
        # One exact, one of another label, one two characters short.
        (
            [{"start": a, "end": b, "label": c} for a, b, c in ((0, 4, "P"), (5, 9, "P"))]
            + [{"start": 10, "end": 20, "label": "Q"}],
            spans((0, 4, "P"), (5, 9, "Q"), (10, 18, "Q")),
        ),
        ([], spans()),
    )

    values = values_of(report)
    assert values["f1_micro"] == pytest.approx(2 / 6)
    assert values["f1_macro"] == pytest.approx((2 / 3 + 0) / 2)
    assert values["exact_match"] == 0.5
    # Of P 4 of 8 and 4 characters; of Q 8 of 10 and 12.
    assert values["overlap_f1"] == pytest.approx(2 * (4 + 8) / (8 + 4 + 10 + 12))


def test_the_overlap_of_random_spans_is_that_of_sets_of_characters() -> None:
    draw = random.Random(5)
    pairs, shared, sizes = [], 0, 0
    for _ in range(50):
        both = []
        for _ in range(2):
            starts = [(draw.randrange(40), draw.choice("PQ")) for _ in range(draw.randrange(6))]
            both.append([(start, start + draw.randint(1, 9), one) for start, one in starts])
        first, second = (
            {(at, label) for start, end, label in parts for at in range(start, end)}
            for parts in both
        )
        shared, sizes = shared + len(first & second), sizes + len(first) + len(second)
        truth = [{"start": start, "end": end, "label": label} for start, end, label in both[0]]
        pairs.append((truth, spans(*both[1])))

    report = report_of(SpanFigures(), *pairs)

    assert report.metrics["overlap_f1"].value == pytest.approx(2 * shared / sizes)


def test_errors_of_scores_are_means_over_the_items() -> None:
    pairs = [(1.0, Score(score=2.0)), ("3", Score(score=3.0)), (5, Score(score=2.0))]

    values = values_of(report_of(ScoreFigures(), *pairs))

    assert values["mean_absolute_error"] == pytest.approx(4 / 3)
    assert values["root_mean_square_error"] == pytest.approx(math.sqrt(10 / 3))


def test_pearson_is_that_of_numpy_and_the_interval_holds_it() -> None:
    random_numbers = np.random.default_rng(7)
    true = random_numbers.normal(size=300)
    given = true + random_numbers.normal(size=300)

    pairs = [(one, Score(score=other)) for one, other in zip(true.tolist(), given, strict=True)]
    report = report_of(ScoreFigures(), *pairs)

    found = report.metrics["pearson"]
    assert found.value == pytest.approx(float(np.corrcoef(true, given)[0, 1]))
    assert found.method == "fisher"
    assert found.low is not None and found.high is not None
    middle, width = math.atanh(found.value), 1.959964 / math.sqrt(300 - 3)
    assert math.atanh(found.low) == pytest.approx(middle - width)
    assert math.atanh(found.high) == pytest.approx(middle + width)


def test_spearman_is_one_less_six_times_the_squares_of_ranks_without_ties() -> None:
    draw = random.Random(3)
    first, second = ([draw.random() for _ in range(40)] for _ in range(2))

    def ranks(numbers: Sequence[float]) -> list[int]:
        return [sorted(numbers).index(one) + 1 for one in numbers]

    squares = sum((a - b) ** 2 for a, b in zip(ranks(first), ranks(second), strict=True))
    due = 1 - 6 * squares / (40 * (40**2 - 1))

    assert spearman(np.array(first), np.array(second)) == pytest.approx(due)


@pytest.mark.parametrize("figure", [pearson, spearman])
def test_there_is_no_correlation_with_what_never_changes(figure: Callable[..., object]) -> None:
    assert figure(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.1, 0.1])) is None


def test_correlations_of_huge_numbers_are_finite() -> None:
    assert pearson(np.array([1e200, 2e200, 3e200]), np.array([1e-200, 2e-200, 3e-200])) == (
        pytest.approx(1.0)
    )


@pytest.mark.parametrize("value", ["nan", math.nan, math.inf, True, "a", [1], 10**400])
def test_what_is_no_number_is_no_true_score(value: object) -> None:
    with pytest.raises(ValueError, match="allowed: a finite number"):
        ScoreFigures().truth(value)


def test_chrf_of_one_text_is_as_by_hand() -> None:
    figure = ChrF()
    figure.add("abcd", "ab cx")

    # Of 4, 3, 2 and 1 n-grams on both sides 3, 2, 1 and 0 are shared; there are none of 5 and 6.
    mean = (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4
    assert figure.value == pytest.approx(mean)


def test_chrf_counts_recall_more_and_sums_over_the_set() -> None:
    pairs = [("the cat sat", "the cat"), ("on a mat", "on the mat"), ("abc", "")]
    figure = ChrF()
    for reference, text in pairs:
        figure.add(reference, text)

    precisions, recalls = [], []
    for length in range(1, 7):
        shared = of_text = of_reference = 0
        for reference, text in pairs:
            grams = [
                ["".join(one) for one in zip(*(line[at:] for at in range(length)), strict=False)]
                for line in (reference.replace(" ", ""), text.replace(" ", ""))
            ]
            of_reference, of_text = of_reference + len(grams[0]), of_text + len(grams[1])
            shared += sum(min(grams[0].count(one), grams[1].count(one)) for one in set(grams[0]))
        precisions.append(shared / of_text)
        recalls.append(shared / of_reference)
    precision, recall = sum(precisions) / 6, sum(recalls) / 6
    assert figure.value == pytest.approx(5 * precision * recall / (4 * precision + recall))


@pytest.mark.parametrize(("text", "due"), [("a text", 1.0), ("other", 0.0), ("", 0.0)])
def test_chrf_is_from_zero_to_one(text: str, due: float) -> None:
    figure = ChrF()
    figure.add("a text" if due else "1234567", text)

    assert figure.value == due


def test_texts_are_exact_but_for_spaces_at_their_ends() -> None:
    pairs = [("a b", Text(text=" a b\n")), ("a b", Text(text="ab"))]

    assert values_of(report_of(TextFigures(), *pairs)) == {"exact_match": 0.5, "chrf": 1.0}


def test_the_nearest_other_vector_is_that_of_the_largest_cosine() -> None:
    vectors = np.random.default_rng(1).normal(size=(600, 5)).astype(np.float32)

    nearest = nearest_others(vectors)

    for at in (0, 255, 256, 599):
        angles = [
            float(vectors[at] @ other / np.linalg.norm(vectors[at]) / np.linalg.norm(other))
            for other in vectors
        ]
        angles[at] = -2.0
        assert nearest[at] == int(np.argmax(angles))


def test_an_embedding_is_right_whose_nearest_neighbour_has_its_class() -> None:
    def at(*numbers: float) -> Embedding:
        return Embedding(vector=Vector(numbers))

    report = report_of(
        EmbeddingFigures(),
        ("x", at(1, 0)),
        ("x", at(9, 1)),
        ("y", at(0, 1)),
        ("y", at(1, 9)),
        ("x", at(0, 3)),
        (7, at(0, 0)),
    )

    # Wrong are the third, which is nearest to the fifth, that one, and the zero.
    assert values_of(report)["neighbour_accuracy"] == 3 / 6
    assert [(one.label, one.items) for one in report.classes] == [("x", 3), ("y", 2), ("7", 1)]


def test_vectors_beyond_the_limit_are_counted_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_figures, "MOST_ITEMS", 3)
    pairs = [("x", Embedding(vector=Vector([1.0, number]))) for number in range(5)]

    report = report_of(EmbeddingFigures(), *pairs)

    assert (report.items, report.beyond_limit) == (3, 2)


def test_vectors_of_several_lengths_and_one_vector_alone_are_refused() -> None:
    figures = EmbeddingFigures()
    figures.add("x", Embedding(vector=Vector([1.0])))

    with pytest.raises(InvalidData, match="one item with a class; allowed: two or more"):
        figures.report()
    with pytest.raises(InvalidData, match="vectors of 1 and of 2 numbers"):
        figures.add("x", Embedding(vector=Vector([1.0, 2.0])))


def test_the_interval_of_a_ratio_holds_the_true_one_in_95_of_100_cases() -> None:
    random_numbers = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        ratio = OnlineRatio()
        for whole in random_numbers.integers(0, 6, size=150):
            ratio.add(float(random_numbers.binomial(whole, 0.7)), float(whole))
        low, high = ratio.interval() or (0.0, 0.0)
        held += low <= 0.7 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_a_ratio_of_one_and_no_items_has_no_interval() -> None:
    ratio = OnlineRatio()
    assert (ratio.value, ratio.interval()) == (None, None)
    ratio.add(1, 2)
    assert (ratio.value, ratio.interval()) == (0.5, None)


def test_the_interval_of_f1_is_about_that_of_a_bootstrap() -> None:
    draw = random.Random(9)
    items = []
    figures = LabelFigures()
    for _ in range(200):
        truth, given = (set(draw.sample("abcd", draw.randrange(4))) for _ in range(2))
        figures.add(frozenset(truth), labels(*given))
        items.append((2 * len(truth & given), len(truth) + len(given)))
    sums = np.array(items)
    picked = np.random.default_rng(2).integers(0, 200, size=(2_000, 200))
    resampled = sums[picked].sum(axis=1)
    low, high = np.quantile(resampled[:, 0] / resampled[:, 1], (0.025, 0.975))

    found = figures.report().metrics["f1_micro"]

    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_each_type_of_output_has_its_figures() -> None:
    for name, metric in METRICS.items():
        assert metric.output.model_fields["type"].default == name


def test_an_output_without_figures_is_refused_with_those_that_have_some() -> None:
    schema = TaskSchema(parameters={}, unit_items=1, result={"title": "Plan", "properties": {}})

    with pytest.raises(InvalidRequest) as refused:
        metric_of("planner", "plan", schema)

    assert str(refused.value) == (
        "the outputs of planner plan are Plan, for which there are no figures; allowed: Labels, "
        "Score, Spans, Text, Embedding, and classes that derive from them"
    )


def test_the_nearest_vector_is_found_among_numbers_whose_squares_are_too_large() -> None:
    vectors = np.array([[1, 2], [3e19, 0], [2.9e19, 1e18], [0, 1]], dtype="<f4")

    assert nearest_others(vectors).tolist() == [3, 2, 1, 0]


def test_empty_brackets_in_a_cell_are_no_label() -> None:
    assert LabelFigures().truth(" [] ") == frozenset()
