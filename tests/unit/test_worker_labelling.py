"""Names that a job gives to labels, and its least score: what becomes of a classification."""

from collections.abc import Mapping
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from seqd.errors import InvalidRequest
from seqd.hookspecs import PluginParameters
from seqd.worker.labelling import Labelling
from seqd_schemas import Classification, ClassifyJob, GenerateJob, UploadSource


class WithProbabilities(PluginParameters):
    """Of a plugin that gives the probabilities of all classes where it is asked."""

    probabilities: bool = Field(default=False, description="Give them.")


def a_job(**fields: object) -> ClassifyJob:
    return ClassifyJob.model_validate(
        {"schema_version": 2, "model": "topics", "source": UploadSource(), **fields}
    )


def a_labelling(
    label_map: Mapping[str, str] | None = None,
    min_score: float | None = None,
    asked: PluginParameters | None = None,
) -> Labelling:
    asked = asked or WithProbabilities(probabilities=True)
    found = Labelling.of(a_job(label_map=dict(label_map or {}), min_score=min_score), asked)
    assert found is not None
    return found


def a_classification(
    label: str = "pos", score: float = 0.7, probabilities: dict[str, float] | None = None
) -> Classification:
    return Classification(label=label, score=score, truncated=True, probabilities=probabilities)


@pytest.mark.parametrize(
    "job", [a_job(), GenerateJob(model="topics", source=UploadSource())], ids=["classify", "other"]
)
def test_a_job_that_asks_nothing_of_its_labels_has_no_labelling(job: ClassifyJob) -> None:
    assert Labelling.of(job, WithProbabilities()) is None


@pytest.mark.parametrize(
    ("score", "is_uncertain"), [(0.0, True), (0.799, True), (0.8, False), (1.0, False)]
)
def test_a_score_below_the_least_one_is_uncertain_and_all_else_stays(
    score: float, is_uncertain: bool
) -> None:
    outcome = a_labelling(min_score=0.8).applied(a_classification(score=score))

    assert outcome.uncertain is is_uncertain
    assert outcome.model_copy(update={"uncertain": False}) == a_classification(score=score)


def test_a_label_has_its_new_name_in_the_probabilities_too() -> None:
    probabilities = {"neg": 0.3, "pos": 0.7}

    outcome = a_labelling({"neg": "negative", "pos": "positive"}).applied(
        a_classification(probabilities=probabilities)
    )

    assert outcome == a_classification(
        label="positive", probabilities={"negative": 0.3, "positive": 0.7}
    )


def test_two_names_can_change_places() -> None:
    outcome = a_labelling({"neg": "pos", "pos": "neg"}).applied(
        a_classification(probabilities={"neg": 0.3, "pos": 0.7})
    )

    assert outcome == a_classification(label="neg", probabilities={"pos": 0.3, "neg": 0.7})


def test_labels_with_one_name_are_added_and_the_likeliest_sum_is_the_label() -> None:
    probabilities = {"bad": 0.3, "good": 0.4, "awful": 0.3}

    outcome = a_labelling({"awful": "bad"}, min_score=0.5).applied(
        a_classification("good", 0.4, probabilities)
    )

    assert outcome == a_classification("bad", 0.6, {"bad": 0.6, "good": 0.4})
    assert outcome.uncertain is False


def test_of_two_sums_that_are_equal_the_models_own_label_stays() -> None:
    outcome = a_labelling({"awful": "bad"}).applied(
        a_classification("good", 0.5, {"bad": 0.25, "awful": 0.25, "good": 0.5})
    )

    assert (outcome.label, outcome.score) == ("good", 0.5)


def test_probabilities_that_the_job_did_not_ask_for_are_asked_for_and_left_out() -> None:
    asked = WithProbabilities()
    labelling = a_labelling({"awful": "bad"}, asked=asked)

    outcome = labelling.applied(a_classification("good", 0.4, {"bad": 0.6, "good": 0.4}))

    assert labelling.parameters(asked) == WithProbabilities(probabilities=True)
    assert outcome.probabilities is None


@pytest.mark.parametrize(
    "asked", [PluginParameters(), WithProbabilities(probabilities=True)], ids=["none", "asked"]
)
def test_parameters_stay_where_there_is_nothing_to_add(asked: PluginParameters) -> None:
    assert a_labelling({"awful": "bad"}, asked=asked).parameters(asked) is asked


def test_without_new_names_no_probabilities_are_asked_for() -> None:
    asked = WithProbabilities()

    assert a_labelling(min_score=0.5, asked=asked).parameters(asked) is asked


def test_without_probabilities_the_score_stays_that_of_the_models_own_label() -> None:
    labelling = a_labelling({"awful": "bad"}, asked=PluginParameters())

    assert labelling.applied(a_classification("awful", 0.4)) == a_classification("bad", 0.4)


@pytest.mark.parametrize(
    ("label_map", "classes", "message"),
    [
        (
            {"negativ": "neg"},
            ("negative", "positive"),
            "label_map names 'negativ', and topics@3 has no such label; it has: 'negative', "
            "'positive'. Did you mean 'negative'?",
        ),
        (
            {"c0": "zero", "x": "ten"},
            tuple(f"c{number}" for number in range(21)),
            "label_map names 'x', and topics@3 has no such label; it has: "
            + ", ".join(f"'c{number}'" for number in range(20))
            + ", ….",
        ),
    ],
    ids=["near", "far"],
)
def test_a_label_that_the_model_has_not_is_refused_with_those_that_it_has(
    label_map: dict[str, str], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        a_labelling(label_map).check(classes, "topics@3")

    assert str(refusal.value) == message


@pytest.mark.parametrize("classes", [(), ("neg", "pos")], ids=["unknown", "known"])
def test_labels_that_may_be_the_models_are_taken(classes: tuple[str, ...]) -> None:
    a_labelling({"neg": "negative"}).check(classes, "topics@3")


names = st.sampled_from(["a", "b", "c", "d"])
shares = st.dictionaries(names, st.integers(1, 10_000), min_size=1).map(
    lambda parts: {name: part / sum(parts.values()) for name, part in parts.items()}
)


@given(shares, st.dictionaries(names, names, min_size=1), st.floats(0, 1))
def test_whatever_is_renamed_no_probability_is_lost_and_the_score_is_the_labels(
    probabilities: dict[str, float], label_map: dict[str, str], min_score: float
) -> None:
    likeliest = max(probabilities, key=lambda name: probabilities[name])
    given = a_classification(likeliest, probabilities[likeliest], probabilities)

    outcome = a_labelling(label_map, min_score).applied(given)

    sums = outcome.probabilities or {}
    assert set(sums) == {label_map.get(name, name) for name in probabilities}
    assert isclose(sum(sums.values()), 1.0, abs_tol=1e-8)
    assert outcome.score == sums[outcome.label] == max(sums.values())
    assert outcome.uncertain is (outcome.score < min_score)
    assert Classification.model_validate(outcome.model_dump()) == outcome
