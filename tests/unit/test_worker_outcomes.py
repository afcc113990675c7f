"""Whatever a plugin gives for an item, what is committed of it can be read by everybody."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from builders import some_items
from seqd.ledger.blobs import MAX_RESULT_BYTES, pack_results, unpack_results
from seqd.worker.outcomes import checked, results_of
from seqd_schemas import (
    Classification,
    FinishReason,
    GeneratedSample,
    Generation,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    RefusedItem,
)

NAN = float("nan")


class Plain(Classification):
    """A subclass that adds nothing."""


class Rich(Classification):
    """A subclass with a field of its own."""

    language: str = "en"


class RichSample(GeneratedSample):
    """A sample with a field of its own."""

    tokens: int = 3


def a_classification(**fields: object) -> Classification:
    """Make one without any check, as a plugin may."""
    return Classification.model_construct(
        **{"label": "like", "score": 0.5, "truncated": False} | fields
    )


def a_sample(**fields: object) -> GeneratedSample:
    return GeneratedSample.model_construct(
        **{"text": "abc", "temperature": 1.0, "seed": 0} | fields
    )


def a_generation(*samples: object, **fields: object) -> Generation:
    return Generation.model_construct(**{"prompt": "p", "samples": samples} | fields)


def reason_against(outcome: object, output: type = Classification) -> str:
    """Return what the item's error says."""
    error = checked(outcome, output)
    assert isinstance(error, ItemError)
    assert error.code is ItemErrorCode.PLUGIN_ERROR
    return error.message


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (
            a_classification(score=math.inf),
            "score is inf: Input should be less than or equal to 1",
        ),
        (a_classification(score="0.5"), "score is '0.5': Input should be a valid number"),
        (
            a_classification(unknown_share=-1.0),
            "unknown_share is -1.0: Input should be greater than or equal to 0",
        ),
        (a_classification(truncated=1), "truncated is 1: Input should be a valid boolean"),
        (
            a_classification(label="\ud800"),
            "label is '\\ud800': Input should be a valid string, unable to parse raw data as a "
            "unicode string",
        ),
        (
            a_classification(probabilities={"like": NAN}),
            "probabilities.like is nan: Input should be less than or equal to 1",
        ),
        (a_classification(type="other"), "type is 'other': Input should be 'classification'"),
        (Classification.model_construct(label="like", score=0.5), "truncated: Field required"),
        (
            a_classification(probabilities={"like": 0.6, "dislike": 0.5}),
            "its probabilities add up to 1.1; allowed: 1, and 0.05 more for rounding",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_no_result_can_hold_is_named(outcome: Classification, fault: str) -> None:
    assert reason_against(outcome) == (
        f"The model plugin gave a Classification that no result can hold: {fault}."
    )


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (
            a_generation(a_sample(), a_sample(mean_log_prob=NAN)),
            "samples.1.mean_log_prob is nan: Input should be a finite number",
        ),
        (
            a_generation(a_sample(text="a\udc00")),
            "samples.0.text is 'a\\udc00': Input should be a valid string, unable to parse raw "
            "data as a unicode string",
        ),
        (
            a_generation(a_sample(seed=2**60)),
            f"samples.0.seed is {2**60}: Input should be less than or equal to {2**53}",
        ),
        (
            a_generation(a_sample(finish_reason="bored")),
            "samples.0.finish_reason is 'bored': Input should be an instance of FinishReason",
        ),
        (
            a_generation("abc"),
            "samples.0 is 'abc': Input should be a valid dictionary or instance of GeneratedSample",
        ),
        (
            Generation.model_construct(prompt="p", samples=None),
            "samples is None: Input should be a valid tuple",
        ),
    ],
    ids=["nan", "surrogate", "seed", "reason", "text", "none"],
)
def test_a_field_of_a_sample_is_named_too(outcome: Generation, fault: str) -> None:
    assert reason_against(outcome, Generation) == (
        f"The model plugin gave a Generation that no result can hold: {fault}."
    )


@pytest.mark.parametrize(
    ("outcome", "output", "message"),
    [
        (
            "like",
            Classification,
            "The model plugin gave str as an outcome; its contract (B1) allows Classification and "
            "ItemError.",
        ),
        (
            a_classification(),
            Generation,
            "The model plugin gave Classification as an outcome; its contract (B1) allows "
            "Generation and ItemError.",
        ),
        (
            Rich(label="like", score=0.5, truncated=False),
            Classification,
            "The model plugin gave Rich with the field 'language', which would be lost: a result "
            "holds the fields of Classification only.",
        ),
        (
            a_generation(RichSample(text="abc", temperature=1.0, seed=0)),
            Generation,
            "The model plugin gave RichSample with the field 'tokens', which would be lost: a "
            "result holds the fields of GeneratedSample only.",
        ),
    ],
    ids=["text", "other output", "subclass", "subclass of a sample"],
)
def test_an_outcome_of_another_type_is_refused(outcome: object, output: type, message: str) -> None:
    assert reason_against(outcome, output) == message


def test_a_subclass_without_a_field_of_its_own_becomes_the_record_that_it_is() -> None:
    outcome = checked(Plain(label="like", score=0.5, truncated=False), Classification)

    assert type(outcome) is Classification
    assert outcome == Classification(label="like", score=0.5, truncated=False)


def test_an_error_that_a_plugin_made_without_a_check_is_one_that_can_be_read() -> None:
    given = ItemError.model_construct(code="bored", message="x" * 5_000, retryable=False)

    assert reason_against(given).startswith(
        "The model plugin gave a ItemError that no result can hold: code is 'bored':"
    )


def test_a_wrong_outcome_is_its_items_error_and_the_others_stand() -> None:
    refused = ItemError(code=ItemErrorCode.TOO_LONG, message="too long")
    entries = [*some_items(3), RefusedItem(custom_id="row-4", refused=refused)]
    sound, wrong = a_classification(), a_classification(score=NAN)

    results = results_of(entries, iter([sound, wrong, sound]), Classification, attempts=2)

    kinds = [type(result) for result in results]
    assert kinds == [ItemSuccess, ItemFailure, ItemSuccess, ItemFailure]
    assert [result.custom_id for result in results] == [entry.custom_id for entry in entries]
    assert isinstance(results[1], ItemFailure)
    assert (results[1].error.code, results[1].attempts) == (ItemErrorCode.PLUGIN_ERROR, 2)
    assert isinstance(results[3], ItemFailure)
    assert results[3].error == refused


def test_what_a_model_wrote_is_refused_where_no_reader_takes_it() -> None:
    samples = [a_sample(text="\0" * 1_000_000) for _ in range(12)]

    assert isinstance(checked(a_generation(*samples[:10]), Generation), Generation)
    assert reason_against(a_generation(*samples), Generation) == (
        f"What the model wrote is 72,001,858 bytes as JSON; allowed: {MAX_RESULT_BYTES:,}. Ask "
        "for fewer or shorter samples of each prompt."
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


def fields_of(kind: type, sound: dict[str, object]) -> st.SearchStrategy[dict[str, object]]:
    """Sound fields, some of them replaced by anything, and some left out."""
    some = st.dictionaries(st.sampled_from(sorted(kind.model_fields)), anything, max_size=2)  # type: ignore[attr-defined]
    left_out = st.sets(st.sampled_from(sorted(sound)), max_size=1)
    return st.builds(
        lambda changes, gone: {k: v for k, v in (sound | changes).items() if k not in gone},
        some,
        left_out,
    )


@given(fields_of(Classification, {"label": "like", "score": 0.5, "truncated": False}))
def test_the_quick_look_at_a_classification_says_what_pydantic_says(
    fields: dict[str, object],
) -> None:
    try:
        expected = TypeAdapter(Classification).validate_python(fields, strict=True)
    except ValidationError:
        expected = None
    if expected is not None and sum((expected.probabilities or {}).values()) > 1.05:
        expected = None

    outcome = checked(Classification.model_construct(**fields), Classification)

    assert outcome == expected if expected is not None else isinstance(outcome, ItemError)


@pytest.mark.parametrize(
    ("make", "fields", "output"),
    [
        (
            Classification.model_construct,
            fields_of(Classification, {"label": "like", "score": 0.5, "truncated": False}),
            Classification,
        ),
        (
            lambda **fields: a_generation(a_sample(**fields)),
            fields_of(GeneratedSample, {"text": "a", "temperature": 1.0, "seed": 0}),
            Generation,
        ),
        (
            ItemError.model_construct,
            fields_of(ItemError, {"code": ItemErrorCode.TOO_LONG, "message": ""}),
            Classification,
        ),
    ],
    ids=["classification", "sample", "error"],
)
def test_whatever_is_taken_reads_as_it_was_written(
    make: Callable[..., object], fields: st.SearchStrategy[dict[str, object]], output: type
) -> None:
    @given(fields)
    def check(values: dict[str, object]) -> None:
        results = results_of(some_items(1), iter([make(**values)]), output, 1)

        assert list(unpack_results(pack_results(results)[0])) == results

    check()
