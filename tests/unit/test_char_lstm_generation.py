"""The `generate` task of `char_lstm`: prompts, samples, streams, independence of batching."""

import math
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from char_lstm_builders import STREAM, WINDOW, a_generator
from seqd.hookspecs import WorkItem
from seqd.testing import CPU, MemoryRunContext
from seqd_char_lstm import GenerateParameters
from seqd_schemas import Generation, ItemError

CONFIGS = {
    "window": WINDOW,
    "stream": STREAM,
    "mixture": STREAM | {"mixes": True, "units": 33},
}


@cache
def of_kind(kind):
    """A loaded version, which no test changes."""
    return a_generator(CONFIGS[kind])


@pytest.fixture(scope="module", params=CONFIGS)
def generator(request):
    return of_kind(request.param)


@pytest.fixture
def carried():
    return of_kind("stream")


def generated(generator, *prompts, context=None, **parameters):
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    return generator.generate(
        items, GenerateParameters(**{"length": 20, **parameters}), context or MemoryRunContext()
    )


def sampled(generator, prompt, **parameters):
    (outcome,) = generated(generator, prompt, **parameters)
    return outcome.samples


def test_each_prompt_gets_its_samples_temperatures_first(generator):
    (outcome,) = generated(
        generator, "Bad cab", temperature=[1.0, 0.0], samples=2, length=30, seed=7
    )

    assert isinstance(outcome, Generation)
    assert outcome.prompt == "Bad cab"
    assert [sample.temperature for sample in outcome.samples] == [1.0, 1.0, 0.0, 0.0]
    assert {len(sample.text) for sample in outcome.samples} == {30}
    assert {sample.seed for sample in outcome.samples} == {7}
    assert {sample.finish_reason for sample in outcome.samples} == {"length"}
    assert outcome.samples[2].text == outcome.samples[3].text != outcome.samples[0].text
    assert generated(generator) == []


def test_an_outcome_does_not_depend_on_its_batch_nor_on_the_threads(generator):
    prompts = ["bad cab", "", "\ud800", "a", "dad.", *["abc cba"] * 59]
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    parameters = GenerateParameters(
        length=70, temperature=[0.0, 1.5], samples=2, seed=3, stop="abad", repetition_penalty=1.1
    )
    threads = MemoryRunContext(device=replace(CPU, threads=3))

    together = generator.generate(items, parameters, MemoryRunContext())

    for few in (items[:1], items[1:5], items[60:], items[::-1][:7]):
        expected = [together[item.index] for item in few]
        # to the last bit of the mean log-probabilities
        assert generator.generate(few, parameters, MemoryRunContext()) == expected
    assert generator.generate(items, parameters, threads) == together


def test_a_sample_depends_on_seed_and_place_and_on_nothing_else_that_is_asked_for(generator):
    (alone,) = sampled(generator, "bad", temperature=1.5, length=70)
    (longer,) = sampled(generator, "bad", temperature=1.5, length=150)
    among = sampled(generator, "bad", temperature=[0.3, 1.5], samples=4, length=70)
    _, elsewhere = generated(generator, "bad", "bad", temperature=1.5, length=70)
    (other,) = sampled(generator, "bad", temperature=1.5, length=70, seed=1)

    assert among[4] == alone
    assert longer.text.startswith(alone.text)
    assert len({alone.text, elsewhere.samples[0].text, other.text}) == 3


def test_a_sample_says_how_varied_it_is(carried):
    (sample,) = sampled(carried, "bad", length=3, temperature=0.0)
    first, second = (sampled(carried, "bad", length=n, temperature=0.0)[0] for n in (1, 2))

    shares = [len({sample.text[i : i + n] for i in range(4 - n)}) / (4 - n) for n in (1, 2, 3)]
    assert sample.distinct_n == pytest.approx(shares)
    assert sample.longest_copy is None
    assert len(first.distinct_n) == 1 and len(second.distinct_n) == 2


def test_a_sample_is_as_probable_as_measure_says_of_its_text():
    mixture = of_kind("mixture")
    (sample,) = sampled(mixture, "", length=50, temperature=0.3, repetition_penalty=1.5)

    figures = mixture.measure(sample.text, MemoryRunContext())

    assert -sample.mean_log_prob / math.log(2) == pytest.approx(figures["bits_per_char"])


# Prompts


@pytest.mark.parametrize(
    ("kind", "prompt", "same", "unknown"),
    [
        *[(kind, "BAD CAB.", "bad cab.", 0) for kind in CONFIGS],
        *[(kind, "b日ad\x00 cafb", "bad cab", 3) for kind in CONFIGS],
        ("window", "cab and all that: bad cab.", "bad cab.", 7),  # its last window
        ("window", "abc", "ab. dabc", 0),  # behind the end of the lead-in, "a cab. d"
        ("stream", "dda" + "bad cab " * 128, "bad cab " * 128, 0),  # its last 1,024 characters
        ("stream", "a cab. d" * 128, "a cab. d" * 127, 0),  # behind the lead-in
    ],
)
def test_a_prompt_is_read_as_another(kind, prompt, same, unknown):
    generator = of_kind(kind)

    (outcome,) = generated(generator, prompt)

    assert outcome.samples == sampled(generator, same)
    assert outcome.unknown_characters == unknown


def test_unknown_characters_are_refused_with_the_known_ones_where_that_is_asked_for(carried):
    (outcome,) = generated(carried, "bad\x00 café", unknown="refuse")

    assert outcome == ItemError(
        code="invalid_input",
        message="The prompt has '\\x00' 'f' 'é', which the model does not know. It knows 6 "
        "characters: ' ' '.' 'a' 'b' 'c' 'd'. Leave the others out, or send unknown=skip.",
    )


def test_a_lone_surrogate_is_refused_and_does_not_disturb_its_neighbours(generator):
    first, bad, last = generated(generator, "bad", "\ud800" + 300 * "bad ", "bad")

    assert (bad.code, bad.message) == (
        "decode_error",
        "The prompt has a lone surrogate, which is no character. Send valid text.",
    )
    assert [first] == generated(generator, "bad")
    assert isinstance(last, Generation)


@given(
    prompts=st.lists(st.text(st.characters(), max_size=60) | st.text("abcd. ", max_size=60)),
    length=st.integers(1, 40),
    temperature=st.floats(0.0, 10.0) | st.lists(st.floats(0.0, 10.0), min_size=1, max_size=3),
    top_k=st.integers(0, 1_000_000),
    top_p=st.floats(0.0, 1.0, exclude_min=True),
    repetition_penalty=st.floats(1.0, 10.0),
    stop=st.lists(st.text(st.characters(), min_size=1, max_size=64), max_size=4)
    | st.text("abcd. ", min_size=1, max_size=2),
    samples=st.integers(1, 3),
    unknown=st.sampled_from(["skip", "refuse"]),
)
def test_any_prompt_is_continued_or_refused_by_the_rules(generator, prompts, length, **parameters):
    outcomes = generated(generator, *prompts, length=length, **parameters)

    assert len(outcomes) == len(prompts)
    for outcome in outcomes:
        if isinstance(outcome, Generation):
            for sample in outcome.samples:
                assert len(sample.text) == length or sample.finish_reason == "stop"
                assert len(sample.text) <= length
                assert set(sample.text) <= set(" .abcd")


# Streams and stops


def test_a_sample_ends_before_a_stop_text_wherever_the_deltas_end(generator):
    (whole,) = sampled(generator, "bad", length=400, temperature=1.0)

    for first in range(0, 200, 7):
        stop = whole.text[first : first + 5]
        context = MemoryRunContext()
        (outcome,) = generated(
            generator, "bad", context=context, length=400, temperature=1.0, stop=[stop, "日"]
        )

        (stopped,) = outcome.samples
        assert stopped.text == whole.text[: whole.text.index(stop)] == context.streamed_text(0)
        assert stopped.finish_reason == "stop"


def test_a_stop_text_is_lower_cased_as_prompts_are_and_may_never_be_met(carried):
    assert sampled(carried, "bad", stop=["A", "B"]) == sampled(carried, "bad", stop=["a", "b"])
    assert sampled(carried, "bad", stop=["日本", "dcbadcba"]) == sampled(carried, "bad")


def test_what_was_held_back_for_a_stop_text_is_streamed_at_the_end(carried):
    (whole,) = sampled(carried, "bad")
    context = MemoryRunContext()

    (outcome,) = generated(carried, "bad", context=context, stop=f"{whole.text[-3:]}日")

    assert context.streamed_text(0) == outcome.samples[0].text == whole.text


def test_a_sample_that_stops_at_once_is_empty(carried):
    (whole,) = sampled(carried, "bad")
    (sample,) = sampled(carried, "bad", stop=whole.text[0])

    assert (sample.text, sample.mean_log_prob, sample.distinct_n) == ("", None, ())


# What a version says of itself


def test_a_prompt_costs_what_is_read_of_it(carried):
    windowed = of_kind("window")

    assert windowed.cost_tokens("whatever" * 100) == windowed.cost_tokens("") == 8
    assert [carried.cost_tokens(text) for text in ("", "abc", "a" * 10_000)] == [8, 11, 1_024]


def test_more_than_a_result_holds_is_refused():
    with pytest.raises(ValidationError) as raised:
        GenerateParameters(length=100_000, samples=4, temperature=[0.5, 1.0, 1.5])

    assert (
        "length 100,000 x samples 4 x 3 temperatures are 1,200,000 characters for each prompt; at "
        "most 1,000,000 are allowed. Ask for fewer samples a job."
    ) in str(raised.value)
