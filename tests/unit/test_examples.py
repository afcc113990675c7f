"""The answers that a version was surest of: a few of many, whatever order they come in."""

from hypothesis import given
from hypothesis import strategies as st

from seqd.analysis.examples import HighestScored
from seqd_schemas import MAX_EXAMPLE_CHARS, MAX_EXAMPLES, Classification


def an_answer(label: str, score: float) -> Classification:
    return Classification(label=label, score=score, truncated=False)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.floats(0, 1)), max_size=40))
def test_those_with_the_highest_scores_stay_and_of_equal_ones_the_earlier(
    answers: list[tuple[str | None, float]],
) -> None:
    examples = HighestScored()
    for number, (truth, score) in enumerate(answers):
        examples.add(f"row-{number}", "text", truth, an_answer("a", score))

    for truth, kept in (("a", examples.right()), ("b", examples.wrong())):
        numbered = [(-score, n) for n, (one, score) in enumerate(answers) if one == truth]
        expected = [f"row-{number}" for _, number in sorted(numbered)[:MAX_EXAMPLES]]
        assert [one.custom_id for one in kept] == expected


def test_of_a_long_text_the_beginning_is_kept() -> None:
    examples = HighestScored()

    examples.add("row-1", "x" * 10_000, "a", an_answer("b", 0.5))

    (example,) = examples.wrong()
    assert example.text == "x" * MAX_EXAMPLE_CHARS
    assert (example.truth, example.predicted, example.score) == ("a", "b", 0.5)
