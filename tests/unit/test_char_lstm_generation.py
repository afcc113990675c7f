"""The `generate` task of `char_lstm`: prompts, refusals, streams, independence of batching."""

import pytest
from pydantic import ValidationError

from char_lstm_builders import a_generator
from seqd.errors import Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import MemoryRunContext
from seqd_char_lstm import GenerateParameters
from seqd_schemas import Generation, ItemError

GENERATOR = a_generator()


def generated(*prompts, generator=GENERATOR, context=None, **parameters):
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    return generator.generate(
        items, GenerateParameters(**{"length": 20, **parameters}), context or MemoryRunContext()
    )


def sampled(prompt, **parameters):
    (outcome,) = generated(prompt, **parameters)
    return outcome.samples


def test_each_prompt_gets_its_samples_temperatures_first():
    (outcome,) = generated("Bad cab", temperature=[1.0, 0.0], samples=2, length=30, seed=7)

    assert isinstance(outcome, Generation)
    assert outcome.prompt == "Bad cab"
    assert [sample.temperature for sample in outcome.samples] == [1.0, 1.0, 0.0, 0.0]
    assert {len(sample.text) for sample in outcome.samples} == {30}
    assert {sample.seed for sample in outcome.samples} == {7}
    assert outcome.samples[2].text == outcome.samples[3].text != outcome.samples[0].text


def test_of_a_long_prompt_the_last_window_is_read():
    assert sampled("日本 and all that: bad cab.") == sampled("bad cab.")


def test_a_short_prompt_stands_behind_the_end_of_the_lead_in():
    assert sampled("abc") == sampled("ab. dabc")  # the lead-in is "a cab. d"


def test_an_empty_prompt_goes_on_from_the_lead_in():
    assert sampled("") == sampled("a cab. d")


def test_a_prompt_is_lower_cased_where_the_training_text_was():
    assert sampled("BAD CAB.") == sampled("bad cab.")


def test_unknown_characters_are_refused_with_the_known_ones():
    (outcome,) = generated("bad\x00 café")

    assert outcome == ItemError(
        code="invalid_input",
        message="The last 8 characters of the prompt have '\\x00' 'f' 'é', which the model does "
        "not know. It knows 6 characters: ' ' '.' 'a' 'b' 'c' 'd'. Leave the others out.",
    )


def test_upper_case_is_unknown_to_a_version_that_kept_the_case_and_has_none():
    (outcome,) = generated("Bad", generator=a_generator(lower_case=False))

    assert isinstance(outcome, ItemError)


def test_a_lone_surrogate_is_refused_wherever_it_stands():
    (outcome,) = generated("\ud800 bad bad bad bad")

    assert (outcome.code, outcome.message) == (
        "decode_error",
        "The prompt has a lone surrogate, which is no character. Send valid text.",
    )


def test_a_bad_prompt_does_not_disturb_its_neighbours():
    first, bad, last = generated("bad", "日", "bad")

    assert [first] == generated("bad")
    assert isinstance(bad, ItemError)
    assert isinstance(last, Generation)


def test_an_outcome_does_not_depend_on_its_batch():
    prompts = ["bad cab", "", "日", "a", "dad.", *["abc cba"] * 20]
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    parameters = GenerateParameters(length=100, temperature=[0.5, 1.5], samples=3, seed=3)

    together = GENERATOR.generate(items, parameters, MemoryRunContext())
    apart = [GENERATOR.generate([item], parameters, MemoryRunContext())[0] for item in items[::-1]]

    assert together == apart[::-1]  # to the last bit of the mean log-probabilities


def test_a_sample_does_not_depend_on_what_else_is_asked_for():
    (alone,) = sampled("bad", temperature=1.5)

    assert sampled("bad", temperature=[0.3, 1.5], samples=4)[4] == alone


def test_a_shorter_sample_is_the_beginning_of_a_longer_one():
    (short,), (long,) = sampled("bad", length=70), sampled("bad", length=150)

    assert long.text.startswith(short.text)


def test_another_seed_and_another_place_give_other_texts():
    first, second = generated("bad", "bad", length=60)
    (other,) = generated("bad", length=60, seed=1)

    assert len({outcome.samples[0].text for outcome in (first, second, other)}) == 3


def test_the_pieces_streamed_are_the_texts_returned():
    context = MemoryRunContext()

    outcomes = generated("a", "bad", temperature=[0.5, 1.0], samples=2, length=150, context=context)

    for index, outcome in enumerate(outcomes):
        for place, sample in enumerate(outcome.samples):
            assert context.streamed_text(index, place) == sample.text
    assert len(context.pieces) == 2 * 4 * 3  # 150 characters are three pieces of 64


def test_a_stop_is_heeded_at_each_character():
    context = MemoryRunContext(stop_after=8 + 3)  # the window, then three characters

    with pytest.raises(Stopped, match="The writing was stopped before its end"):
        generated("bad", length=10_000, context=context)

    assert context.stop_questions == 8 + 3 + 1


def test_no_prompts_give_no_outcomes():
    assert generated() == []


def test_a_version_says_what_it_weighs_and_what_a_prompt_costs():
    GENERATOR.warm_up()

    # ids 6, units 16: inputs 6 x 64, recurrent 16 x 64, dense 16 x 6, its bias 6; 4 bytes each
    assert GENERATOR.memory_bytes == 4 * (6 * 64 + 16 * 64 + 16 * 6 + 6)
    assert GENERATOR.cost_tokens("whatever" * 100) == GENERATOR.cost_tokens("") == 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 0),
        ("length", 10_001),
        ("samples", 17),
        ("temperature", -0.1),
        ("temperature", 10.5),
        ("temperature", []),
        ("temperature", [0.1] * 9),
        ("temperature", float("nan")),
        ("seed", -1),
        ("seed", 2**32),
        ("top_k", 2),
    ],
)
def test_a_parameter_out_of_range_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        GenerateParameters.model_validate({name: value})
