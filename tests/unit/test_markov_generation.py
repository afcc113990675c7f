"""The `generate` and `measure` tasks of `markov`: every prompt, streams, reproducibility."""

import math

import pytest
from pydantic import ValidationError

from markov_builders import CATS, SENTENCES, a_generator, a_version, generated, sample_of, words
from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import MemoryRunContext
from seqd_markov import GenerateParameters
from seqd_markov.generation import Generator
from seqd_schemas import FinishReason, Generation, ItemError


def test_each_prompt_gets_its_samples_temperatures_first():
    (outcome,) = generated("the", temperature=[1.0, 0.0], samples=2, length=30, seed=7)

    assert isinstance(outcome, Generation)
    assert (outcome.prompt, outcome.unknown_characters) == ("the", 0)
    assert [sample.temperature for sample in outcome.samples] == [1.0, 1.0, 0.0, 0.0]
    assert {len(sample.text) for sample in outcome.samples} == {30}
    assert {sample.seed for sample in outcome.samples} == {7}
    assert {sample.finish_reason for sample in outcome.samples} == {FinishReason.LENGTH}
    assert outcome.samples[2].text == outcome.samples[3].text


def test_as_many_characters_of_a_prompt_count_as_the_model_reads():
    long, short = generated("zz the ca", "ca", temperature=0.0)

    assert long.samples == short.samples


def test_a_prompt_is_lower_cased_where_the_training_text_was():
    upper, lower = generated("THE C", "the c", temperature=0.0)

    assert upper.samples == lower.samples


def test_unknown_characters_end_the_context_and_are_counted():
    unknown, nothing = generated("日本 the 日", "", temperature=0.0)

    assert unknown.unknown_characters == 3
    assert unknown.samples == nothing.samples


def test_what_stands_behind_an_unknown_character_is_read():
    unknown, known = generated("日ca", "ca", temperature=0.0)

    assert unknown.samples == known.samples


def test_a_prompt_that_is_short_is_read_where_it_stands_most_often():
    usual, whole = generated("a", "ca", generator=a_generator(order=2), temperature=0.0)

    # Of "ca", "ma" and "ra" the first comes twice.
    assert usual.samples[0].text == whole.samples[0].text
    assert usual.samples[0].mean_log_prob == whole.samples[0].mean_log_prob


def test_a_word_that_is_known_in_lower_case_alone_is_taken_as_that():
    shouted = sample_of("The CAT", Generator(words()))
    plain = sample_of("The cat", Generator(words()))
    (outcome,) = generated("The CAT", generator=Generator(words()))

    assert outcome.unknown_characters == 0
    assert shouted == plain


def test_upper_case_is_unknown_to_a_version_of_small_letters_that_kept_the_case():
    (outcome,) = generated("THE", generator=a_generator(lower_case=False))

    assert outcome.unknown_characters == 3


def test_unknown_words_are_counted_by_their_characters():
    (outcome,) = generated("The zebra sat on Mars.", generator=Generator(words()))

    assert outcome.unknown_characters == len("zebraMars")


def test_an_empty_prompt_begins_a_sentence_where_there_are_sentences():
    sample = sample_of("", Generator(words()), temperature=0.0)

    assert sample.text.startswith("The ")
    assert sample.text in SENTENCES
    assert sample.finish_reason is FinishReason.END


def test_a_prompt_whose_sentence_has_ended_is_followed_by_another():
    ended, nothing = generated("The cat sat. ", "", generator=Generator(words()), temperature=0.0)

    assert ended.samples[0].text == nothing.samples[0].text


def test_a_sentence_goes_on_from_its_prompt():
    sample = sample_of("Did the cat see", Generator(words()), top_k=1)

    assert (sample.text, sample.finish_reason) == (" it?", FinishReason.END)


def test_more_sentences_are_written_where_they_are_asked_for():
    sample = sample_of("", Generator(words()), sentences=3, length=1_000, seed=5)

    assert sum(map(sample.text.count, ".!?")) == 3
    assert sample.finish_reason is FinishReason.END


def test_a_lone_surrogate_is_refused_wherever_it_stands():
    (outcome,) = generated("\ud800 the")

    assert (outcome.code, outcome.message) == (
        "decode_error",
        "The prompt has a lone surrogate, which is no character. Send valid text.",
    )


def test_a_bad_prompt_does_not_disturb_its_neighbours():
    alone = generated("t")
    first, bad, last = generated("t", "\ud800", "t")

    assert [first] == alone
    assert isinstance(bad, ItemError)
    assert isinstance(last, Generation)


@pytest.mark.parametrize("smoothing", ["none", "additive", "witten_bell", "kneser_ney"])
def test_writing_goes_on_behind_what_nothing_follows(smoothing):
    generator = a_generator("az", order=1, smoothing=smoothing)

    assert len(sample_of("z", generator, length=5_000).text) == 5_000


def test_an_outcome_does_not_depend_on_its_batch():
    prompts = ["t", "", "日", "the cat", "t"]
    parameters = {"length": 300, "temperature": [0.5, 1.5], "samples": 3, "seed": 3, "stop": "rat"}
    generator = a_generator()

    together = generated(*prompts, generator=generator, **parameters)
    apart = [
        generated(prompt, generator=a_generator(), first=index, **parameters)[0]
        for index, prompt in reversed(list(enumerate(prompts)))
    ]

    assert together == apart[::-1]


def test_a_text_is_the_same_in_a_batch_of_many_and_by_itself():
    together = generated(*["the "] * 300, length=40)

    assert [together[7]] == generated("the ", first=7, length=40)
    assert [together[299]] == generated("the ", first=299, length=40)


def test_a_sample_does_not_depend_on_what_else_is_asked_for():
    (alone,) = generated("t", temperature=1.5, length=80)
    (among,) = generated("t", temperature=[0.3, 1.5], samples=4, length=80)

    assert among.samples[4] == alone.samples[0]


def test_a_shorter_text_is_the_beginning_of_a_longer_one():
    assert sample_of("t", length=700).text.startswith(sample_of("t", length=300).text)


def test_another_seed_gives_another_text():
    assert sample_of("t", length=80).text != sample_of("t", length=80, seed=1).text


def test_the_same_prompt_at_another_place_gets_another_text():
    first, second = generated("t", "t", length=80)

    assert first.samples[0].text != second.samples[0].text


def test_items_of_one_index_of_two_jobs_are_streamed_apart():
    context = MemoryRunContext()
    items = [WorkItem(0, "the"), WorkItem(0, "a rat")]

    first, second = a_generator().generate(items, GenerateParameters(length=20), context)

    assert first.samples[0].text != second.samples[0].text
    assert {delta.delta for delta in context.deltas} == {
        first.samples[0].text,
        second.samples[0].text,
    }


def test_the_deltas_streamed_are_the_texts_returned():
    context = MemoryRunContext()

    outcomes = generated("t", "a", temperature=[0.5, 1.0], samples=2, length=600, context=context)

    for index, outcome in enumerate(outcomes):
        for place, sample in enumerate(outcome.samples):
            assert context.streamed_text(index, place) == sample.text
    assert len(context.deltas) == 2 * 4 * 3  # 600 characters are three deltas of 256


def test_figures_are_of_the_text_and_the_models_own_at_every_temperature():
    generator = a_generator("abab", order=1, smoothing="none")

    (outcome,) = generated("a", generator=generator, temperature=[0.0, 1.0], length=9)

    for sample in outcome.samples:
        assert (sample.text, sample.mean_log_prob) == ("babababab", 0.0)
        assert sample.distinct_n == pytest.approx((2 / 9, 2 / 8, 2 / 7))
        assert sample.longest_copy == 4  # abab


def test_the_mean_log_probability_is_what_the_model_gives_the_text():
    version = a_version(order=2)
    sample = sample_of("the ", Generator(version), length=50, temperature=0.7)

    prompt, text = version.tokenizer.encode("the "), version.tokenizer.encode(sample.text)
    logs = version.model.log_probs(text, version.model.state_after(prompt))
    assert sample.mean_log_prob == pytest.approx(logs.mean(), abs=1e-12)


def test_stop_texts_are_lower_cased_where_the_training_text_was():
    assert sample_of("the ", stop="CAT", length=500).finish_reason is FinishReason.STOP


def test_a_stop_text_that_never_comes_leaves_the_length_to_end_the_text():
    sample = sample_of("the ", stop=["no such text"], length=500)

    assert (len(sample.text), sample.finish_reason) == (500, FinishReason.LENGTH)


def test_a_stop_ends_the_generation_without_a_result():
    with pytest.raises(Stopped, match="The writing was stopped before its end"):
        generated("t", context=MemoryRunContext(stop_after=1), length=10_000)


def test_no_prompts_give_no_outcomes():
    assert generated() == []


def test_many_ways_of_drawing_take_no_more_memory_than_is_said():
    generator = a_generator()

    for number in range(40):
        generated("t", generator=generator, temperature=1.0 + number / 40, length=5)
        generated("t", generator=generator, top_p=0.5 + number / 80, length=5)

    kept = sum(sampler.nbytes for sampler in generator._samplers.values())
    assert len(generator._samplers) >= 2
    assert kept <= generator._samplers_bytes < generator.memory_bytes


def test_a_text_is_measured_in_bits_a_character():
    generator = a_generator("abab", order=1, smoothing="none", additive=0.5)

    figures = generator.measure("baba", MemoryRunContext())

    # With additive smoothing: b is half of all, a follows b once of 1, b follows a twice of 2.
    bits = -math.log2(0.5 * (1.5 / 2) * (2.5 / 3) * (1.5 / 2))
    assert figures == {"bits_per_char": pytest.approx(bits / 4), "unknown_share": 0.0}


def test_a_text_of_words_is_measured_by_its_perplexity_too():
    figures = Generator(words()).measure("The cat sat on Mars.", MemoryRunContext())

    assert figures.keys() == {"bits_per_char", "unknown_share", "perplexity"}
    assert figures["unknown_share"] == pytest.approx(1 / 7)
    assert all(math.isfinite(figure) and figure > 0 for figure in figures.values())


def test_measuring_says_how_far_it_is():
    context = MemoryRunContext()

    a_generator().measure(CATS, context)

    assert [batch.real_tokens for batch in context.batches] == [len(CATS)]


@pytest.mark.parametrize("text", ["", "日本"])
def test_a_text_without_a_known_character_cannot_be_measured(text):
    with pytest.raises(InvalidData, match="none that the version knows; there is nothing"):
        a_generator().measure(text, MemoryRunContext())


def test_a_text_with_a_lone_surrogate_cannot_be_measured():
    with pytest.raises(InvalidData, match="has a lone surrogate"):
        a_generator().measure("a\ud800", MemoryRunContext())


def test_a_stop_ends_the_measuring():
    with pytest.raises(Stopped, match="The measuring was stopped"):
        a_generator().measure(CATS, MemoryRunContext(stop_after=0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 0),
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
        ("stop", ""),
        ("stop", ["a"] * 5),
        ("stop", ["a" * 65]),
        ("stop", ["\ud800"]),
        ("sentences", -1),
        ("max_copied", -1),
        ("tries", 0),
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
