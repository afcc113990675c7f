"""The `generate` task of `char_lstm`: prompts, samples, streams, independence of batching."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from char_lstm_builders import a_generator, a_stream_generator
from seqd.errors import Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import CPU, MemoryRunContext
from seqd_char_lstm import GenerateParameters
from seqd_schemas import Generation, ItemError

WINDOW = a_generator()
STREAM = a_stream_generator()
MIXTURE = a_stream_generator(ngram_share=0.5, units=33)
ALL = {"window": WINDOW, "stream": STREAM, "mixture": MIXTURE}

every_generator = pytest.mark.parametrize("generator", ALL.values(), ids=ALL)


def generated(generator, *prompts, context=None, **parameters):
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    return generator.generate(
        items, GenerateParameters(**{"length": 20, **parameters}), context or MemoryRunContext()
    )


def sampled(generator, prompt, **parameters):
    (outcome,) = generated(generator, prompt, **parameters)
    return outcome.samples


@every_generator
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


@every_generator
def test_an_outcome_does_not_depend_on_its_batch(generator):
    prompts = ["bad cab", "", "\ud800", "a", "dad.", *["abc cba"] * 59]
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    parameters = GenerateParameters(
        length=70, temperature=[0.0, 1.5], samples=2, seed=3, stop="abad", repetition_penalty=1.1
    )

    together = generator.generate(items, parameters, MemoryRunContext())

    for few in (items[:1], items[1:5], items[60:], items[::-1][:7]):
        expected = [together[item.index] for item in few]
        # to the last bit of the mean log-probabilities
        assert generator.generate(few, parameters, MemoryRunContext()) == expected


@every_generator
def test_an_outcome_does_not_depend_on_the_threads(generator):
    prompts = [["abc", "", "dad a cab"][n % 3] for n in range(41)]

    alone = generated(generator, *prompts, length=60, top_p=0.9)
    shared = generated(
        generator,
        *prompts,
        length=60,
        top_p=0.9,
        context=MemoryRunContext(device=replace(CPU, threads=3)),
    )

    assert shared == alone


@every_generator
def test_a_sample_does_not_depend_on_what_else_is_asked_for(generator):
    (alone,) = sampled(generator, "bad", temperature=1.5)

    assert sampled(generator, "bad", temperature=[0.3, 1.5], samples=4)[4] == alone


@every_generator
def test_a_shorter_sample_is_the_beginning_of_a_longer_one(generator):
    (short,), (long,) = (sampled(generator, "bad", length=length) for length in (70, 150))

    assert long.text.startswith(short.text)


@every_generator
def test_another_seed_and_another_place_give_other_texts(generator):
    first, second = generated(generator, "bad", "bad", length=60, temperature=1.0)
    (other,) = generated(generator, "bad", length=60, seed=1, temperature=1.0)

    assert len({outcome.samples[0].text for outcome in (first, second, other)}) == 3


def test_a_sample_says_how_probable_and_how_varied_it_is():
    (sample,) = sampled(STREAM, "bad", length=3, temperature=0.0)
    shares = [len({sample.text[i : i + n] for i in range(4 - n)}) / (4 - n) for n in (1, 2, 3)]

    assert sample.distinct_n == pytest.approx(shares)
    assert sample.longest_copy is None
    first, second = (sampled(STREAM, "bad", length=n, temperature=0.0)[0] for n in (1, 2))
    assert len(first.distinct_n) == 1 and len(second.distinct_n) == 2
    assert 2 * second.mean_log_prob < first.mean_log_prob < 0.0


def test_the_mean_is_of_the_models_own_probabilities():
    """A sample is as probable as `measure` says of a text that the lead-in and the prompt begin."""
    generator = a_stream_generator(ngram_share=0.3)
    (sample,) = sampled(generator, "", length=50, temperature=0.3, repetition_penalty=1.5)

    figures = generator.measure(sample.text, MemoryRunContext())

    assert sample.mean_log_prob / -0.6931471805599453 == pytest.approx(figures["bits_per_char"])


# Prompts


def test_of_a_long_prompt_the_last_window_is_read():
    assert sampled(WINDOW, "cab and all that: bad cab.") == sampled(WINDOW, "bad cab.")


def test_of_a_long_prompt_a_stream_reads_the_last_1024_characters():
    tail = "bad cab " * 128

    assert sampled(STREAM, "dda" + tail) == sampled(STREAM, tail)
    assert sampled(STREAM, "dda" + tail[1:], temperature=0.0, length=1)[0].mean_log_prob != (
        sampled(STREAM, "dad" + tail[3:], temperature=0.0, length=1)[0].mean_log_prob
    )


def test_a_short_prompt_stands_behind_the_end_of_the_lead_in():
    assert sampled(WINDOW, "abc") == sampled(WINDOW, "ab. dabc")  # the lead-in is "a cab. d"


def test_a_stream_reads_its_lead_in_before_a_prompt():
    # Behind as many characters as are read, there is no room for the lead-in.
    filled = "a cab. d" * 128

    assert sampled(STREAM, filled + "abc") != sampled(STREAM, "abc")
    assert sampled(STREAM, filled) == sampled(STREAM, "a cab. d" * 127)


@every_generator
def test_an_empty_prompt_goes_on_from_the_lead_in(generator):
    (outcome,) = generated(generator, "")

    assert len(outcome.samples[0].text) == 20
    assert outcome.unknown_characters == 0


@every_generator
def test_a_prompt_is_lower_cased_where_the_training_text_was(generator):
    assert sampled(generator, "BAD CAB.") == sampled(generator, "bad cab.")


@every_generator
def test_unknown_characters_are_left_out_and_counted(generator):
    (outcome,) = generated(generator, "b日ad\x00 cafb")

    assert outcome.unknown_characters == 3
    assert outcome.samples == sampled(generator, "bad cab")


@every_generator
def test_unknown_characters_are_refused_with_the_known_ones_where_that_is_asked_for(generator):
    (outcome,) = generated(generator, "bad\x00 café", unknown="refuse")

    assert outcome == ItemError(
        code="invalid_input",
        message="The prompt has '\\x00' 'f' 'é', which the model does not know. It knows 6 "
        "characters: ' ' '.' 'a' 'b' 'c' 'd'. Leave the others out, or send unknown=skip.",
    )


def test_upper_case_is_unknown_to_a_version_that_kept_the_case_and_has_none():
    (outcome,) = generated(a_generator(lower_case=False), "Bad")

    assert outcome.unknown_characters == 1


@every_generator
def test_a_lone_surrogate_is_refused_wherever_it_stands(generator):
    (outcome,) = generated(generator, "\ud800" + 300 * "bad ")

    assert (outcome.code, outcome.message) == (
        "decode_error",
        "The prompt has a lone surrogate, which is no character. Send valid text.",
    )


@every_generator
@settings(max_examples=30, deadline=None, derandomize=True)
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


def test_a_bad_prompt_does_not_disturb_its_neighbours():
    first, bad, last = generated(STREAM, "bad", "\ud800", "bad")

    assert [first] == generated(STREAM, "bad")
    assert isinstance(bad, ItemError)
    assert isinstance(last, Generation)


@every_generator
def test_no_prompts_give_no_outcomes(generator):
    assert generated(generator) == []


# Streams and stops


@every_generator
def test_the_deltas_streamed_are_the_texts_returned(generator):
    context = MemoryRunContext()

    outcomes = generated(
        generator,
        *["a", "bad"] * 5,
        temperature=[0.5, 1.0],
        samples=2,
        length=150,
        stop=["ba", "cc.", "d d", "aaa"],
        context=context,
    )

    for index, outcome in enumerate(outcomes):
        for place, sample in enumerate(outcome.samples):
            assert context.streamed_text(index, place) == sample.text
    assert all(delta.delta for delta in context.deltas)
    reasons = {sample.finish_reason for outcome in outcomes for sample in outcome.samples}
    assert reasons == {"length", "stop"} or reasons == {"stop"}


@every_generator
def test_a_sample_ends_before_a_stop_text_wherever_the_deltas_end(generator):
    (whole,) = sampled(generator, "bad", length=400, temperature=1.0)

    for first in range(0, 200, 7):
        stop = whole.text[first : first + 5]
        (stopped,) = sampled(generator, "bad", length=400, temperature=1.0, stop=[stop, "日"])

        assert stopped.text == whole.text[: whole.text.index(stop)]
        assert stopped.finish_reason == "stop"


def test_a_stop_text_that_is_never_met_changes_nothing():
    assert sampled(STREAM, "bad", stop=["日本", "dcbadcba"]) == sampled(STREAM, "bad")


def test_a_stop_text_is_lower_cased_as_prompts_are():
    assert sampled(STREAM, "bad", stop=["A", "B"]) == sampled(STREAM, "bad", stop=["a", "b"])


def test_a_sample_that_stops_at_once_is_empty():
    (whole,) = sampled(STREAM, "bad")
    (sample,) = sampled(STREAM, "bad", stop=whole.text[0])

    assert (sample.text, sample.mean_log_prob, sample.distinct_n) == ("", None, ())


def test_a_stop_request_is_heeded_before_anything_is_written():
    context = MemoryRunContext(stop_after=0)

    with pytest.raises(Stopped, match="The writing was stopped before its end; there is no result"):
        generated(STREAM, "bad", length=10_000, context=context)

    assert context.deltas == []


@every_generator
def test_a_stop_request_is_asked_for_within_a_delta(generator):
    context = MemoryRunContext(stop_after=8)

    with pytest.raises(Stopped):
        generated(generator, "bad", length=100_000, context=context)

    # 64 characters at most between two questions, some of which went by for the prompt
    assert sum(len(delta.delta) for delta in context.deltas) <= 64 * 8


# What a version says of itself


@every_generator
def test_a_version_says_what_it_weighs(generator):
    generator.warm_up()

    assert generator.memory_bytes > 4 * 16 * 64


def test_a_prompt_costs_what_is_read_of_it():
    assert WINDOW.cost_tokens("whatever" * 100) == WINDOW.cost_tokens("") == 8
    assert [STREAM.cost_tokens(text) for text in ("", "abc", "a" * 10_000)] == [8, 11, 1_024]


# Parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 0),
        ("length", 100_001),
        ("length", 10_000_000),
        ("samples", 65),
        ("temperature", -0.1),
        ("temperature", 10.5),
        ("temperature", []),
        ("temperature", [0.1] * 9),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", float("nan")),
        ("repetition_penalty", 0.9),
        ("repetition_penalty", float("inf")),
        ("stop", ""),
        ("stop", ["a"] * 5),
        ("stop", ["a" * 65]),
        ("unknown", "guess"),
        ("seed", -1),
        ("seed", 2**32),
        ("beams", 2),
    ],
)
def test_a_parameter_out_of_range_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        GenerateParameters.model_validate({name: value})


def test_more_than_a_result_holds_is_refused():
    with pytest.raises(ValidationError) as raised:
        GenerateParameters(length=100_000, samples=4, temperature=[0.5, 1.0, 1.5])

    assert (
        "length 100,000 x samples 4 x 3 temperatures are 1,200,000 characters for each prompt; at "
        "most 1,000,000 are allowed. Ask for fewer samples a job."
    ) in str(raised.value)
