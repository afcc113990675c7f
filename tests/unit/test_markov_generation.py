"""The `generate` task of `markov`: one outcome a prompt, refusals, streams, reproducibility."""

import pytest
from pydantic import ValidationError

from seqd.errors import Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import MemoryRunContext
from seqd_markov import GenerateParameters
from seqd_markov.chain import count
from seqd_markov.generation import Generator
from seqd_schemas import Generation, ItemError

TEXT = "the cat sat on the mat, and the rat sat on the cat."


def a_generator(text=TEXT, *, lower_case=True) -> Generator:
    return Generator(count(text), lower_case=lower_case)


def generated(*prompts, generator=None, context=None, **parameters):
    items = [WorkItem(index, prompt) for index, prompt in enumerate(prompts)]
    return (generator or a_generator()).generate(
        items, GenerateParameters(**parameters), context or MemoryRunContext()
    )


def test_each_prompt_gets_its_samples_temperatures_first():
    (outcome,) = generated("the", temperature=[1.0, 0.0], samples=2, length=30, seed=7)

    assert isinstance(outcome, Generation)
    assert outcome.prompt == "the"
    assert [sample.temperature for sample in outcome.samples] == [1.0, 1.0, 0.0, 0.0]
    assert {len(sample.text) for sample in outcome.samples} == {30}
    assert {sample.seed for sample in outcome.samples} == {7}
    assert outcome.samples[2].text == outcome.samples[3].text


def test_only_the_last_character_of_a_prompt_counts():
    long, short = generated("日本 th", "h", temperature=0.0)

    assert long.samples == short.samples


def test_a_prompt_is_lower_cased_where_the_training_text_was():
    upper, lower = generated("H", "h", temperature=0.0)

    assert upper.samples == lower.samples


def test_an_upper_case_character_is_unknown_to_a_chain_of_lower_case_that_kept_the_case():
    (outcome,) = generated("H", generator=a_generator(lower_case=False))

    assert isinstance(outcome, ItemError)


def test_an_unknown_last_character_is_refused_with_the_known_ones():
    (outcome,) = generated("ab日", generator=a_generator("ab\n"))

    assert outcome == ItemError(
        code="invalid_input",
        message="The prompt ends with '日', which the chain does not know. It knows 3 characters: "
        r"'\n' 'a' 'b'. End the prompt with one of them, or send an empty one.",
    )


def test_a_message_lists_no_more_than_a_hundred_characters():
    generator = a_generator("".join(map(chr, range(0x4E00, 0x4E00 + 250))))

    (outcome,) = generated("a", generator=generator)

    assert "and 150 more. End the prompt" in outcome.message


def test_a_lone_surrogate_is_refused_wherever_it_stands():
    (outcome,) = generated("\ud800 the")

    assert (outcome.code, outcome.message) == (
        "decode_error",
        "The prompt has a lone surrogate, which is no character. Send valid text.",
    )


def test_a_bad_prompt_does_not_disturb_its_neighbours():
    alone = generated("t")
    first, bad, last = generated("t", "日", "t")

    assert [first] == alone
    assert isinstance(bad, ItemError)
    assert isinstance(last, Generation)


def test_an_empty_prompt_begins_with_a_character_of_the_text():
    (outcome,) = generated("", length=50)

    assert set(outcome.samples[0].text) <= set(TEXT)


def test_an_outcome_does_not_depend_on_its_batch():
    items = [
        WorkItem(index, prompt) for index, prompt in enumerate(["t", "", "日", "the cat", "t"])
    ]
    parameters = GenerateParameters(length=300, temperature=[0.5, 1.5], samples=3, seed=3)
    generator = a_generator()

    together = generator.generate(items, parameters, MemoryRunContext())
    apart = [
        generator.generate([item], parameters, MemoryRunContext())[0] for item in reversed(items)
    ]

    assert together == apart[::-1]


def test_a_sample_does_not_depend_on_what_else_is_asked_for():
    (alone,) = generated("t", temperature=1.5, length=80)
    (among,) = generated("t", temperature=[0.3, 1.5], samples=4, length=80)

    assert among.samples[4] == alone.samples[0]


def test_another_seed_gives_another_text():
    (first,), (second,) = generated("t", length=80), generated("t", length=80, seed=1)

    assert first.samples[0].text != second.samples[0].text


def test_the_same_prompt_at_another_place_gets_another_text():
    first, second = generated("t", "t", length=80)

    assert first.samples[0].text != second.samples[0].text


def test_the_pieces_streamed_are_the_texts_returned():
    context = MemoryRunContext()

    outcomes = generated("t", "a", temperature=[0.5, 1.0], samples=2, length=600, context=context)

    for index, outcome in enumerate(outcomes):
        for place, sample in enumerate(outcome.samples):
            assert context.streamed_text(index, place) == sample.text
    assert len(context.pieces) == 2 * 4 * 3  # 600 characters are three pieces of 256


def test_the_mean_log_probability_is_the_chains_own():
    (outcome,) = generated("a", generator=a_generator("abab"), temperature=[0.0, 1.0], length=9)

    assert [sample.mean_log_prob for sample in outcome.samples] == [0.0, 0.0]


def test_a_stop_ends_the_generation_without_a_result():
    with pytest.raises(Stopped, match="The writing was stopped before its end"):
        generated("t", context=MemoryRunContext(stop_after=1), length=10_000)


def test_no_prompts_give_no_outcomes():
    assert generated() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 0),
        ("length", 100_001),
        ("samples", 65),
        ("temperature", -0.1),
        ("temperature", 10.5),
        ("temperature", []),
        ("temperature", [0.1] * 9),
        ("temperature", float("nan")),
        ("seed", -1),
        ("seed", 2**32),
        ("order", 2),
    ],
)
def test_a_parameter_out_of_range_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        GenerateParameters.model_validate({name: value})


def test_more_characters_than_a_result_holds_are_refused_with_the_sum():
    with pytest.raises(ValidationError) as raised:
        GenerateParameters(length=100_000, samples=20, temperature=[0.5, 1.0])

    assert (
        "length 100,000 x samples 20 x 2 temperatures are 4,000,000 characters for each prompt; "
        "at most 2,000,000 are allowed." in str(raised.value)
    )
