"""Any prompt and any parameters at all to `markov`: one typed outcome a prompt, or a refusal."""

import math
from functools import cache

import pytest
from hypothesis import strategies as st
from pydantic import ValidationError

from hostile_cases import hostile, texts, wild
from markov_builders import CATS, a_generator, a_word_generator
from seqd.errors import InvalidData
from seqd.hookspecs import WorkItem
from seqd.testing import MemoryRunContext
from seqd_markov import GenerateParameters
from seqd_schemas import FinishReason, Generation, ItemError

pytestmark = pytest.mark.slow

VERSIONS = {
    "characters": lambda: a_generator(CATS, order=3),
    "tutorial": lambda: a_generator(CATS, order=1, smoothing="none"),
    "pruned": lambda: a_generator(CATS, order=3, smoothing="additive", min_count=2),
    "lines": lambda: a_generator("ab c\n" * 9, sentences=True, sentence_ends="lines"),
    "words": a_word_generator,
    "words without an end": lambda: a_word_generator(sentences=False, keep_text=False),
    "mixing": lambda: a_generator(CATS, smoothing="mixing"),
    "any script": lambda: a_generator("日本語のa\0b\r\n‮👩‍👩‍👧" * 2),
}
generator_of = cache(lambda name: VERSIONS[name]())

_stop_texts = st.one_of(
    st.text(min_size=1, max_size=4),
    st.lists(st.sampled_from(["a", "th", "the", " ", "\n", "at", "e c"]), max_size=4),
)
#: Within the bounds, and at their edges.
_sound = st.fixed_dictionaries(
    {"length": st.sampled_from([1, 2, 30, 300])},
    optional={
        "temperature": st.one_of(
            st.floats(0, 10), st.sampled_from([0.0, 5e-324, 1e-9, 0.001, 10.0, [0.0, 1.0, 0.5]])
        ),
        "top_k": st.sampled_from([0, 1, 2, 1_000_000]),
        "top_p": st.one_of(st.floats(0, 1, exclude_min=True), st.sampled_from([5e-324, 1.0])),
        "stop": _stop_texts,
        "sentences": st.sampled_from([0, 1, 3, 1_000]),
        "samples": st.integers(1, 3),
        "seed": st.sampled_from([0, 1, 2**32 - 1]),
        "max_copied": st.sampled_from([0, 1, 5, 1_000_000]),
        "tries": st.integers(1, 3),
    },
)
_any = st.dictionaries(st.sampled_from(sorted(GenerateParameters.model_fields)), wild, max_size=4)


def assert_sound(sample, parameters):
    assert len(sample.text) <= parameters.max_characters
    assert not any(stop in sample.text for stop in parameters.stops)
    assert sample.mean_log_prob is None or (
        math.isfinite(sample.mean_log_prob) and sample.mean_log_prob <= 0.0
    )
    assert (sample.text == "") <= (sample.distinct_n in {(), (1.0,), (1.0, 1.0)})
    assert isinstance(sample.finish_reason, FinishReason)
    if parameters.max_copied:
        assert sample.longest_copy <= parameters.max_copied


@pytest.mark.parametrize("name", VERSIONS)
@hostile(st.lists(texts, min_size=1, max_size=3), _sound)
def test_any_prompt_is_continued_with_any_parameters(name, prompts, given):
    parameters = GenerateParameters.model_validate(given)
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    context = MemoryRunContext()

    outcomes = generator_of(name).generate(items, parameters, context)

    assert len(outcomes) == len(prompts)
    for index, (prompt, outcome) in enumerate(zip(prompts, outcomes, strict=True)):
        if isinstance(outcome, ItemError):
            is_surrogate = outcome.code == "decode_error"
            assert is_surrogate == any("\ud800" <= character <= "\udfff" for character in prompt)
            assert is_surrogate or parameters.max_copied
            continue
        assert isinstance(outcome, Generation)
        assert outcome.model_dump_json()
        assert len(outcome.samples) == parameters.samples * len(parameters.temperatures)
        for place, sample in enumerate(outcome.samples):
            assert_sound(sample, parameters)
            assert context.streamed_text(index, place) == sample.text


@hostile(_any)
def test_parameters_of_any_kind_are_taken_or_refused_by_name(given):
    try:
        parameters = GenerateParameters.model_validate(given)
    except ValidationError as error:
        assert all(fault["loc"] == () or fault["loc"][0] in given for fault in error.errors())
    else:
        # A large sound one would take its time.
        small = parameters.model_copy(
            update={"length": min(parameters.length, 20), "samples": 1, "tries": 2}
        )
        (outcome,) = a_generator().generate([WorkItem(0, "the ")], small, MemoryRunContext())
        assert isinstance(outcome, Generation | ItemError)


@pytest.mark.parametrize("name", VERSIONS)
@hostile(texts)
def test_any_text_is_measured_or_is_refused(name, text):
    try:
        figures = generator_of(name).measure(text, MemoryRunContext())
    except InvalidData as error:
        assert len(str(error)) > 20
    else:
        assert figures["bits_per_char"] >= 0
        assert 0 <= figures["unknown_share"] <= 1
