"""Figures of plugins' own tasks: by hand, by formulas written another way, of two versions."""

import math
import random

import numpy as np
import pytest

from seqd.analysis.measures import MEASURES, Report
from seqd.errors import InvalidData
from seqd_schemas import Embedding, Labels, Score, ScoredLabel, Span, Spans, Text, Vector


def labels(*names: str) -> Labels:
    return Labels(labels=tuple(ScoredLabel(label=name, score=0.5) for name in names))


def spans(*parts: tuple[int, int, str]) -> Spans:
    made = tuple(Span(start=start, end=end, label=label) for start, end, label in parts)
    return Spans(spans=made)


def report_of(kind: str, *pairs: tuple[object, object]) -> Report:
    measure = MEASURES[kind]
    answers = measure.answers()
    for truth, output in pairs:
        answers.add(measure.truth(truth), output)
    return answers.report()


def values_of(report: Report) -> dict[str, float]:
    return {name: one.value for name, one in report.metrics.items()}


def test_labels_are_counted_over_all_items_and_by_label():
    report = report_of(
        "labels",
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


def test_where_nothing_is_true_and_nothing_given_there_is_no_f1():
    assert values_of(report_of("labels", ([], labels()))) == {"exact_match": 1.0}


@pytest.mark.parametrize(
    ("kind", "value", "truth"),
    [
        ("labels", "a|b", {"a", "b"}),
        ("labels", " b | a |", {"a", "b"}),
        ("labels", ("a", "b", "a"), {"a", "b"}),
        ("labels", " [] ", set()),
        ("score", "3", 3.0),
        ("embedding", True, "true"),
    ],
)
def test_a_true_output_is_read_as_a_file_has_it(kind, value, truth):
    assert MEASURES[kind].truth(value) == truth


@pytest.mark.parametrize(
    ("kind", "allowed", "values"),
    [
        ("labels", "a list of labels", [1, {"a": 1}, ["a", 1], None]),
        ("score", "a finite number", ["nan", math.nan, math.inf, True, "a", [1], 10**400]),
        ("spans", "a list of up to", ["a", 7]),
        ("text", "a text of up to", [1, None]),
        ("embedding", "the name of a class", ["", [1], "x" * 257]),
    ],
)
def test_what_is_no_true_output_is_refused(kind, allowed, values):
    for value in values:
        with pytest.raises(ValueError, match=f"allowed: {allowed}"):
            MEASURES[kind].truth(value)


def test_spans_count_where_exact_and_their_characters_where_they_overlap():
    report = report_of(
        "spans",
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


def test_scores_have_mean_errors_and_correlations_with_fishers_interval():
    draw = np.random.default_rng(7)
    true = draw.normal(size=300)
    given = true + draw.normal(size=300)

    few = report_of(
        "score", (1.0, Score(score=2.0)), ("3", Score(score=3.0)), (5, Score(score=2.0))
    )
    many = report_of(
        "score", *((t, Score(score=g)) for t, g in zip(true.tolist(), given, strict=True))
    )

    values = values_of(few)
    assert values["mean_absolute_error"] == pytest.approx(4 / 3)
    assert values["root_mean_square_error"] == pytest.approx(math.sqrt(10 / 3))
    found = many.metrics["pearson"]
    assert found.value == pytest.approx(float(np.corrcoef(true, given)[0, 1]))
    assert found.method == "fisher"
    assert found.low is not None and found.high is not None
    middle, width = math.atanh(found.value), 1.959964 / math.sqrt(300 - 3)
    assert math.atanh(found.low) == pytest.approx(middle - width)
    assert math.atanh(found.high) == pytest.approx(middle + width)


def test_chrf_counts_recall_more_and_sums_over_the_set():
    pairs = [("the cat sat", "the cat"), ("on a mat", "on the mat"), ("abc", "")]

    found = report_of("text", *((reference, Text(text=text)) for reference, text in pairs))

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
    due = 5 * precision * recall / (4 * precision + recall)
    assert found.metrics["chrf"].value == pytest.approx(due)


@pytest.mark.parametrize(
    ("reference", "text", "exact", "chrf"),
    [
        # Of 4, 3, 2 and 1 n-grams on both sides 3, 2, 1 and 0 are shared; there are none of 5.
        ("abcd", "ab cx", 0, (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4),
        ("a text", " a text\n", 1, 1.0),
        ("1234567", "other", 0, 0.0),
        ("1234567", "", 0, 0.0),
    ],
)
def test_texts_are_exact_but_for_spaces_at_their_ends_and_chrf_is_as_by_hand(
    reference, text, exact, chrf
):
    values = values_of(report_of("text", (reference, Text(text=text))))

    assert values == pytest.approx({"exact_match": exact, "chrf": chrf})


def at(*numbers: float) -> Embedding:
    return Embedding(vector=Vector(numbers))


def test_an_embedding_is_right_whose_nearest_neighbour_has_its_class():
    report = report_of(
        "embedding",
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


def test_the_nearest_vector_is_that_of_the_largest_cosine_also_of_huge_numbers():
    vectors = np.random.default_rng(1).normal(size=(600, 5)).astype(np.float32)
    cosines = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    np.fill_diagonal(cosines, -2.0)
    classes = [str(number % 3) for number in range(600)]
    right = sum(
        classes[int(row.argmax())] == one for row, one in zip(cosines, classes, strict=True)
    )

    found = report_of("embedding", *((c, at(*v)) for c, v in zip(classes, vectors, strict=True)))
    huge = report_of(
        "embedding",
        *(("x", at(1, 2)), ("y", at(3e19, 0)), ("y", at(2.9e19, 1e18)), ("x", at(0, 1))),
    )

    assert values_of(found)["neighbour_accuracy"] == right / 600
    assert values_of(huge)["neighbour_accuracy"] == 1.0


def test_vectors_beyond_the_limit_are_counted_and_left_out(monkeypatch):
    monkeypatch.setattr("seqd.analysis.measures.MOST_ITEMS", 3)

    report = report_of("embedding", *(("x", at(1.0, number)) for number in range(5)))

    assert (report.items, report.beyond_limit) == (3, 2)


def test_vectors_of_several_lengths_and_one_vector_alone_are_refused():
    with pytest.raises(InvalidData, match="one item with a class; allowed: two or more"):
        report_of("embedding", ("x", at(1.0)))
    with pytest.raises(InvalidData, match="vectors of 1 and of 2 numbers"):
        report_of("embedding", ("x", at(1.0)), ("x", at(1.0, 2.0)))


def test_figures_of_two_versions_are_those_of_each_on_the_items_that_both_answered():
    draw = random.Random(4)
    measure = MEASURES["labels"]
    pair, alone = measure.pair(), [measure.answers(), measure.answers()]
    for number in range(100):
        truth = measure.truth(draw.sample("abcd", draw.randrange(4)))
        outputs = [labels(*draw.sample("abcd", draw.randrange(4))) for _ in range(2)]
        for version, (answers, output) in enumerate(
            zip((pair.first, pair.second), outputs, strict=True)
        ):
            is_error = number == 10 * (version + 1)
            answers.add(None if number == 5 else truth, None if is_error else output)
            if number not in (5, 10, 20):
                alone[version].add(truth, output)

    found, _ = pair.compare()

    reports = [each.report() for each in alone]
    for name, difference in found.items():
        one, other = (each.metrics[name].value for each in reports)
        assert (difference.first, difference.second) == pytest.approx((one, other))
        assert difference.difference == pytest.approx(other - one)
        assert difference.items == 97
    assert (pair.first.errored, pair.first.unlabelled) == (1, 1)


def test_a_few_items_have_no_interval_since_it_would_be_too_narrow():
    def compared(*items: tuple[float | None, float | None]) -> tuple[float, float] | None:
        pair = MEASURES["score"].pair()
        for scores in items:
            for answers, score in zip((pair.first, pair.second), scores, strict=True):
                answers.add(0.0, None if score is None else Score(score=score))
        metrics, _ = pair.compare()
        return metrics["mean_absolute_error"].interval

    assert compared(*[(0.5, 0.4)] * 19) is None
    assert compared(*[(0.5, 0.4)] * 20) == pytest.approx((-0.1, -0.1))
    with pytest.raises(ValueError, match="no item has a true output and two answers"):
        compared((None, 1.0))
