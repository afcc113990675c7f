"""Two versions with a plugin's own task: figures by sums of counts, and paired intervals."""

import random

import pytest

from seqd.analysis.label_figures import LabelFigures
from seqd.analysis.task_comparison import PAIRED, TaskAnswers, compare_tasks
from seqd_schemas import Labels, Score, ScoredLabel


def labels(names: set[str]) -> Labels:
    return Labels(labels=tuple(ScoredLabel(label=name, score=0.5) for name in sorted(names)))


def test_figures_are_those_of_an_evaluation_on_the_items_that_both_answered() -> None:
    draw = random.Random(4)
    answers = [TaskAnswers(PAIRED["labels"]) for _ in range(2)]
    figures = [LabelFigures() for _ in range(2)]
    for number in range(100):
        truth = frozenset(draw.sample("abcd", draw.randrange(4)))
        outputs = [labels(set(draw.sample("abcd", draw.randrange(4)))) for _ in range(2)]
        for version, output in enumerate(outputs):
            is_error = number == 10 * (version + 1)
            answers[version].add(None if number == 5 else truth, None if is_error else output)
            if number not in (5, 10, 20):
                figures[version].add(truth, output)

    found = compare_tasks(PAIRED["labels"], *answers)

    for name, difference in found.items():
        one, other = (each.report().metrics[name].value for each in figures)
        assert (difference.first, difference.second) == pytest.approx((one, other))
        assert difference.difference == pytest.approx(other - one)
        assert difference.items == 97
    assert [(one.errored, one.unlabelled) for one in answers] == [(1, 1), (1, 1)]


def test_one_item_has_no_interval_and_none_at_all_no_figures() -> None:
    answers = [TaskAnswers(PAIRED["score"]) for _ in range(2)]
    answers[0].add(1.0, None)
    answers[1].add(1.0, Score(score=1.0))
    with pytest.raises(ValueError, match="no item has a true output and two answers"):
        compare_tasks(PAIRED["score"], *answers)
    for one in answers:
        one.add(1.0, Score(score=2.0))

    found = compare_tasks(PAIRED["score"], *answers)

    assert found["mean_absolute_error"].interval is None
    assert found["mean_absolute_error"].items == 1


def test_a_few_items_have_no_interval_since_it_would_be_too_narrow() -> None:
    def of_scores(scores: list[float]) -> TaskAnswers:
        answers = TaskAnswers(PAIRED["score"])
        for score in scores:
            answers.add(0.0, Score(score=score))
        return answers

    few = compare_tasks(PAIRED["score"], of_scores([0.5] * 19), of_scores([0.4] * 19))
    enough = compare_tasks(PAIRED["score"], of_scores([0.5] * 20), of_scores([0.4] * 20))

    assert few["mean_absolute_error"].interval is None
    assert enough["mean_absolute_error"].interval == pytest.approx((-0.1, -0.1))
