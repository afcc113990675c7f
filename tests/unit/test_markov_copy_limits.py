"""Samples that are written anew because of copies, and what of them is streamed."""

import pytest

import seqd_markov.generation
from markov_builders import a_generator, a_version, generated, sample_of
from seqd.errors import Stopped
from seqd.testing import MemoryRunContext
from seqd_markov.generation import Generator
from seqd_schemas import FinishReason, Generation, ItemError

LETTERS = "the cat sat on the mat, and the rat sat on the cat. " * 3
#: Short contexts: what is written is not the text again.
SHORT = a_version(LETTERS, order=1)


def texts(outcome):
    return [sample.text for sample in outcome.samples]


def test_the_longest_copy_is_that_of_the_text_alone():
    sample = sample_of("the ", Generator(SHORT), length=60, seed=2)

    spans = [
        sample.text[first:last]
        for first in range(61)
        for last in range(first + 1, 61)
        if sample.text[first:last] in LETTERS
    ]
    assert sample.longest_copy == max(map(len, spans))


def test_a_version_that_did_not_keep_its_text_knows_no_copies():
    generator = a_generator(LETTERS, order=1, keep_text=False)

    assert sample_of("the ", generator, length=60).longest_copy is None


def test_copies_cannot_be_kept_out_without_the_training_text():
    generator = a_generator(LETTERS, order=1, keep_text=False)

    (outcome,) = generated("the ", generator=generator, max_copied=5)

    assert outcome == ItemError(
        code="invalid_input",
        message="max_copied is 5, but this version did not keep its training text to look for "
        "copies in. Leave max_copied out, or train with keep_text.",
    )


def test_no_sample_has_more_in_a_row_than_it_may():
    (free,) = generated("the ", generator=Generator(SHORT), samples=20, length=40)
    (kept,) = generated(
        "the ", generator=Generator(SHORT), samples=20, length=40, max_copied=6, tries=1_000
    )

    assert max(sample.longest_copy for sample in free.samples) > 6
    assert max(sample.longest_copy for sample in kept.samples) <= 6
    # What was good the first time is as it was.
    good = [sample for sample in free.samples if sample.longest_copy <= 6]
    assert len(good) > 3
    assert all(sample in kept.samples for sample in good)


@pytest.mark.parametrize("symbols", [1, 4, 7])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stop": ["mat", "sat t"]},
        {"max_copied": 6},
        {"max_copied": 6, "stop": ["mat", "sat t"]},
    ],
)
def test_steps_of_any_length_make_the_same_samples(monkeypatch, symbols, more):
    asked = {"generator": Generator(SHORT), "samples": 6, "length": 50, "tries": 200} | more
    whole = generated("the ", **asked)
    monkeypatch.setattr(seqd_markov.generation, "_CHARACTERS_AT_ONCE", symbols)
    context = MemoryRunContext()

    deltas = generated("the ", context=context, **asked)

    assert deltas == whole
    assert [context.streamed_text(0, place) for place in range(6)] == texts(whole[0])


def test_a_sample_that_copies_at_each_try_is_an_error_that_says_so():
    (outcome,) = generated("the ", generator=Generator(SHORT), max_copied=1, tries=3)

    assert outcome == ItemError(
        code="invalid_input",
        message="A sample at temperature 1 has more than 1 characters in a row from the training "
        "text in each of 3 tries. Raise max_copied, tries or the temperature, or ask for shorter "
        "samples.",
    )


def test_a_prompt_whose_samples_copy_does_not_disturb_its_neighbours():
    parameters = {"max_copied": 6, "tries": 2, "length": 30, "seed": 4}
    generator = Generator(SHORT)

    outcomes = generated(*["the "] * 12, generator=generator, **parameters)

    assert {type(outcome) for outcome in outcomes} == {Generation, ItemError}
    for index, outcome in enumerate(outcomes):
        assert generated("the ", generator=generator, first=index, **parameters) == [outcome]


def test_what_takes_no_chance_is_tried_once():
    questions = []
    for tries in (1, 1_000):
        context = MemoryRunContext()
        (outcome,) = generated(
            "the ", generator=Generator(SHORT), context=context, temperature=0.0, max_copied=1,
            tries=tries,
        )  # fmt: skip
        assert isinstance(outcome, ItemError)
        questions.append(context.stop_questions)

    assert questions[0] == questions[1]


def test_nothing_of_a_sample_that_was_thrown_away_is_streamed():
    context = MemoryRunContext()

    outcomes = generated(
        *["the "] * 12,
        generator=Generator(SHORT),
        context=context,
        max_copied=8,
        tries=2,
        length=30,
    )

    for index, outcome in enumerate(outcomes):
        expected = outcome.samples[0].text if isinstance(outcome, Generation) else ""
        assert context.streamed_text(index) == expected


@pytest.mark.parametrize("symbols", [1, 256])
def test_a_copy_that_a_stop_sequence_cuts_short_is_none(monkeypatch, symbols):
    monkeypatch.setattr(seqd_markov.generation, "_CHARACTERS_AT_ONCE", symbols)
    # Of order 8 the text goes on as it stands: "cat. the cat sat on the mat".
    generator = a_generator(LETTERS, order=8, smoothing="none")

    cut = sample_of("and the ra", generator, stop="sat on the", max_copied=3, length=100)
    (whole,) = generated("and the ra", generator=generator, max_copied=3, length=100)

    assert (cut.text, cut.longest_copy, cut.finish_reason) == ("t ", 2, FinishReason.STOP)
    assert isinstance(whole, ItemError)


def test_streamed_deltas_hold_no_stop_text_back_for_ever_and_give_none_away():
    context = MemoryRunContext()
    generator = Generator(SHORT)

    (outcome,) = generated(
        "the ",
        generator=generator,
        context=context,
        samples=8,
        length=1_500,
        stop=["on the m", "zz"],
    )

    reasons = {sample.finish_reason for sample in outcome.samples}
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH}
    for place, text in enumerate(texts(outcome)):
        assert context.streamed_text(0, place) == text
        assert "on the m" not in text
    assert len(context.deltas) > 8


def test_a_stop_ends_the_search_for_copies():
    undisturbed = MemoryRunContext()
    generated("the ", generator=a_generator(LETTERS, order=1), context=undisturbed, length=30)

    for questions in range(undisturbed.stop_questions):
        with pytest.raises(Stopped):
            generated(
                "the ",
                generator=a_generator(LETTERS, order=1),
                context=MemoryRunContext(stop_after=questions),
                length=30,
            )
