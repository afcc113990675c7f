"""What becomes of what a plugin gives for an item: a result that all can read, or an error.

The worker runs in this process; a function hands it what a plugin may make without a check.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)

from redis_fixtures import Server
from seqd.hookspecs import PluginParameters
from seqd.testing import RunningServices, StubModel, running_services
from seqd_schemas import (
    Classification,
    Embedding,
    FinishReason,
    GeneratedSample,
    Generation,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    Labels,
    ScoredLabel,
    TaskOutput,
    Vector,
)

pytestmark = pytest.mark.processes

NAN = float("nan")
Share = Annotated[float, Field(ge=0, le=1)]


class WithProbabilities(PluginParameters):
    """Of a plugin that gives the probabilities of all classes where it is asked."""

    probabilities: bool = Field(default=False, description="Give them.")


class Plain(Classification):
    """A subclass that adds nothing."""


class Rich(Classification):
    """A subclass with a field of its own."""

    language: str = "en"


class RichSample(GeneratedSample):
    """A sample with a field of its own."""

    tokens: int = 3


class Number(BaseModel):
    a: int = Field(ge=0, le=3, description="A number.")


class Stripped(BaseModel):
    a: Annotated[str, StringConstraints(strip_whitespace=True, max_length=3)] = Field(
        description="A text."
    )


class Strict(TaskOutput):
    model_config = ConfigDict(strict=True)
    shares: tuple[Share, ...] = Field(max_length=4, description="Shares.")


class Outcomes:
    """A worker whose plugin gives for text `n` the n-th outcome of a test."""

    def __init__(self, services: RunningServices) -> None:
        self.services = services
        self.given: list[object] = []
        services.serve({"topics": StubModel(self._give, self._give, parameters=WithProbabilities)})
        self.client = services.client()

    def _give(self, text: str) -> object:
        return self.given[int(text)]

    def of(
        self, *outcomes: object, task: str = "classify", **asked: object
    ) -> list[ItemSuccess | ItemFailure]:
        self.given = list(outcomes)
        hand_in = getattr(self.client, task)
        texts = [str(number) for number in range(len(outcomes))]
        return list(hand_in(texts, model="topics", **asked).results())

    def errors(self, *outcomes: object, task: str = "classify") -> list[str]:
        """Return what is said of each, all of which are errors of the plugin."""
        results = self.of(*outcomes, task=task)
        assert {one.error.code for one in results} == {ItemErrorCode.PLUGIN_ERROR}
        return [one.error.message for one in results]

    def labelled(self, *outcomes: Classification, **asked: object) -> list[Classification]:
        return [one.unwrap() for one in self.of(*outcomes, **asked)]

    def run(self, *outcomes: BaseModel) -> list[object]:
        """Return what a reader gets of outputs of own classes: JSON, or the message of an error."""
        kinds = {f"give_{at}": type(one) for at, one in enumerate(outcomes)}
        self.given = list(outcomes)
        tasks = {task: (self._give, kind) for task, kind in kinds.items()}
        name = f"own_{id(outcomes):x}"
        self.services.serve({name: StubModel(run=tasks)})
        jobs = [self.client.run([str(at)], model=name, task=task) for at, task in enumerate(kinds)]
        results = [next(job.results()) for job in jobs]
        return [one.output if one.ok else one.error.message for one in results]


@pytest.fixture(scope="module")
def outcomes(redis_server: Server) -> Iterator[Outcomes]:
    with running_services(redis_url=redis_server.url) as services:
        made = Outcomes(services)
        yield made
        made.client.close()


def a_label(label: str = "pos", score: float = 0.7, **more: object) -> Classification:
    """Make one without any check, as a plugin may."""
    fields = {"label": label, "score": score, "truncated": False, "unknown_share": 0.0}
    return Classification.model_construct(**fields | more)


def a_sample(**fields: object) -> GeneratedSample:
    return GeneratedSample.model_construct(
        **{"text": "abc", "temperature": 1.0, "seed": 0} | fields
    )


def a_generation(*samples: object, **fields: object) -> Generation:
    return Generation.model_construct(**{"prompt": "p", "samples": samples} | fields)


#: Outcomes with a field that no result can hold, and what is said of it.
LABEL_FAULTS = {
    "score is inf: Input should be less than or equal to 1": a_label(score=math.inf),
    "score is '0.5': Input should be a valid number": a_label(score="0.5"),
    "label is '\\ud800': Input should be a valid string, unable to parse raw data as a unicode "
    "string": a_label("\ud800"),
    "probabilities.pos is nan: Input should be less than or equal to 1": a_label(
        probabilities={"pos": NAN}
    ),
    "truncated: Field required": Classification.model_construct(label="pos", score=0.5),
    "its probabilities add up to 1.1; allowed: 1, and 0.05 more for rounding": a_label(
        probabilities={"pos": 0.6, "neg": 0.5}
    ),
}
SAMPLE_FAULTS = {
    "samples.1.mean_log_prob is nan: Input should be a finite number": a_generation(
        a_sample(), a_sample(mean_log_prob=NAN)
    ),
    "samples.0.seed is 1152921504606846976: Input should be less than or equal to "
    "9007199254740992": a_generation(a_sample(seed=2**60)),
    "samples.0.finish_reason is 'bored': Input should be an instance of FinishReason": (
        a_generation(a_sample(finish_reason="bored"))
    ),
}


def test_a_field_that_no_result_can_hold_is_named_and_costs_its_item_alone(
    outcomes: Outcomes,
) -> None:
    sound, *said = outcomes.of(a_label(), *LABEL_FAULTS.values())
    written = outcomes.errors(*SAMPLE_FAULTS.values(), task="generate")

    assert sound.ok
    assert [one.error.message for one in said] + written == [
        f"The model plugin gave a {kind} that no result can hold: {fault}."
        for kind, faults in (("Classification", LABEL_FAULTS), ("Generation", SAMPLE_FAULTS))
        for fault in faults
    ]


def test_an_outcome_of_another_type_is_refused_and_a_subclass_without_a_field_is_what_it_is(
    outcomes: Outcomes,
) -> None:
    plain = Plain(label="pos", score=0.5, truncated=False)
    unchecked = ItemError.model_construct(code="bored", message="x" * 5_000, retryable=False)

    (kept,) = outcomes.labelled(plain)
    said = outcomes.errors(
        5, a_generation(), Rich(label="pos", score=0.5, truncated=False), unchecked
    )
    written = outcomes.errors(
        a_generation(RichSample(text="abc", temperature=1.0, seed=0)), task="generate"
    )

    assert kept == Classification(label="pos", score=0.5, truncated=False)
    assert said[3].startswith(
        "The model plugin gave a ItemError that no result can hold: code is 'bored':"
    )
    assert said[:3] + written == [
        "The model plugin gave int as an outcome; its contract (B1) allows Classification and "
        "ItemError.",
        "The model plugin gave Generation as an outcome; its contract (B1) allows Classification "
        "and ItemError.",
        "The model plugin gave Rich with the field 'language', which would be lost: a result "
        "holds the fields of Classification only.",
        "The model plugin gave RichSample with the field 'tokens', which would be lost: a "
        "result holds the fields of GeneratedSample only.",
    ]


def test_what_a_model_wrote_is_refused_where_no_reader_takes_it(outcomes: Outcomes) -> None:
    samples = [a_sample(text="\0" * 1_000_000) for _ in range(12)]

    taken, refused = outcomes.of(
        a_generation(*samples[:10]), a_generation(*samples), task="generate"
    )

    assert taken.ok
    assert refused.error.message == (
        "What the model wrote is 72,001,839 bytes as JSON; allowed: 67,108,864. Ask for fewer or "
        "shorter samples of each prompt."
    )


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.floats(),
    st.floats(0, 1),
    st.text(st.characters(exclude_categories=()), max_size=3),
    st.sampled_from(["classification", "a" * 257, FinishReason.STOP]),
    st.dictionaries(st.text(max_size=2), st.floats(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.floats(0, 1), max_size=2),
)


def fields_of(
    kind: type[BaseModel], sound: Mapping[str, object]
) -> st.SearchStrategy[dict[str, object]]:
    """Sound fields, some of them replaced by anything, and some left out."""
    some = st.dictionaries(st.sampled_from(sorted(kind.model_fields)), anything, max_size=2)
    left_out = st.sets(st.sampled_from(sorted(sound)), max_size=1)
    return st.builds(
        lambda changes, gone: {k: v for k, v in {**sound, **changes}.items() if k not in gone},
        some,
        left_out,
    )


LABELS = fields_of(Classification, {"label": "like", "score": 0.5, "truncated": False})
SAMPLES = fields_of(GeneratedSample, {"text": "a", "temperature": 1.0, "seed": 0})

IN_ONE_WORKER = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@IN_ONE_WORKER
@given(st.lists(LABELS, min_size=30, max_size=60), st.lists(SAMPLES, min_size=30, max_size=60))
def test_exactly_what_pydantic_takes_strictly_is_a_result_and_reads_as_it_was_made(
    outcomes: Outcomes, labels: list[dict[str, object]], samples: list[dict[str, object]]
) -> None:
    made = [Classification.model_construct(**fields) for fields in labels]
    written = [a_generation(GeneratedSample.model_construct(**fields)) for fields in samples]

    results = outcomes.of(*made), outcomes.of(*written, task="generate")

    for found, fields in zip(results[0], labels, strict=True):
        expected = strictly(Classification, fields)
        if expected is not None and sum((expected.probabilities or {}).values()) > 1.05:
            expected = None
        assert (found.output if found.ok else None) == expected
    for found, fields in zip(results[1], samples, strict=True):
        if found.ok:
            assert found.output.samples == (strictly(GeneratedSample, fields),)


def strictly(kind: type[BaseModel], fields: dict[str, object]) -> BaseModel | None:
    try:
        return TypeAdapter(kind).validate_python(fields, strict=True)
    except ValidationError:
        return None


def test_a_sound_output_of_a_plugins_own_task_is_kept_as_it_was_declared(
    outcomes: Outcomes,
) -> None:
    labels = Labels(labels=(ScoredLabel(label="a", score=0.5),))

    assert outcomes.run(
        Number(a=1), labels, Strict(shares=(0.5, 1.0)), Stripped.model_construct(a="x   ")
    ) == [{"a": 1}, labels.model_dump(mode="json"), {"shares": [0.5, 1.0]}, {"a": "x"}]


def test_vectors_that_are_too_many_bytes_are_an_error_and_their_numbers_cannot_be_changed(
    outcomes: Outcomes,
) -> None:
    numbers = Vector([0.5] * 65_536)
    fields = {f"v{number}": (Vector, Field(description="Numbers.")) for number in range(32)}
    many = create_model("Many", **fields)  # type: ignore[call-overload]

    sound, said = outcomes.run(Embedding(vector=numbers), many(**dict.fromkeys(fields, numbers)))

    assert isinstance(sound, dict)
    assert said == (
        "The Many that the model gave is 11,185,175 bytes as JSON; allowed: 8,388,608. Ask for "
        "less, or give the items in parts."
    )
    with pytest.raises(AttributeError):
        numbers.data = b"abc"  # type: ignore[misc]


def test_a_score_below_the_least_one_is_uncertain_and_all_else_stays(outcomes: Outcomes) -> None:
    given = [a_label(score=score) for score in (0.0, 0.799, 0.8, 1.0)]

    found = outcomes.labelled(*given, min_score=0.8)

    assert [one.uncertain for one in found] == [True, True, False, False]
    assert [one.model_copy(update={"uncertain": False}) for one in found] == given


#: What a plugin gave, the new names of its labels, and what becomes of it.
RENAMED = [
    # A label has its new name in the probabilities too, and two names can change places.
    (
        a_label("pos", 0.7, probabilities={"neg": 0.3, "pos": 0.7}),
        {"neg": "pos", "pos": "neg"},
        ("neg", 0.7, {"pos": 0.3, "neg": 0.7}),
    ),
    # Labels with one name are added, and the likeliest sum is the label.
    (
        a_label("good", 0.4, probabilities={"bad": 0.3, "good": 0.4, "awful": 0.3}),
        {"awful": "bad"},
        ("bad", 0.6, {"bad": 0.6, "good": 0.4}),
    ),
    # Of two sums that are equal the model's own label stays.
    (
        a_label("good", 0.5, probabilities={"bad": 0.25, "awful": 0.25, "good": 0.5}),
        {"awful": "bad"},
        ("good", 0.5, {"bad": 0.5, "good": 0.5}),
    ),
    # Without probabilities the score stays that of the model's own label.
    (a_label("awful", 0.4), {"awful": "bad"}, ("bad", 0.4, None)),
]


@pytest.mark.parametrize(("given", "label_map", "expected"), RENAMED)
def test_labels_get_their_new_names_and_probabilities_come_out_where_they_were_asked_for(
    outcomes: Outcomes,
    given: Classification,
    label_map: dict[str, str],
    expected: tuple[str, float, dict[str, float] | None],
) -> None:
    (asked,) = outcomes.labelled(given, label_map=label_map, parameters={"probabilities": True})
    (unasked,) = outcomes.labelled(given, label_map=label_map)

    assert (asked.label, asked.score, asked.probabilities) == expected
    assert (unasked.label, unasked.score, unasked.probabilities) == (*expected[:2], None)


names = st.sampled_from(["a", "b", "c", "d"])
shares = st.dictionaries(names, st.integers(1, 10_000), min_size=1).map(
    lambda parts: {name: part / sum(parts.values()) for name, part in parts.items()}
)


@IN_ONE_WORKER
@given(
    st.lists(shares, min_size=1, max_size=40),
    st.dictionaries(names, names, min_size=1),
    st.floats(0, 1),
)
def test_whatever_is_renamed_no_probability_is_lost_and_the_score_is_the_labels(
    outcomes: Outcomes,
    parts: list[dict[str, float]],
    label_map: dict[str, str],
    min_score: float,
) -> None:
    given = [
        a_label(likeliest := max(one, key=one.__getitem__), one[likeliest], probabilities=one)
        for one in parts
    ]

    found = outcomes.labelled(
        *given, label_map=label_map, min_score=min_score, parameters={"probabilities": True}
    )

    for before, after in zip(parts, found, strict=True):
        sums = after.probabilities or {}
        assert set(sums) == {label_map.get(name, name) for name in before}
        assert math.isclose(sum(sums.values()), 1.0, abs_tol=1e-8)
        assert after.score == sums[after.label] == max(sums.values())
        assert after.uncertain is (after.score < min_score)
