"""What `markov` writes and measures: prompts, ends, copies, streams, reproducibility."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markov_builders import (
    CATS,
    SENTENCES,
    a_generator,
    a_word_generator,
    generated,
    measured,
    sample_of,
)
from seqd.errors import InvalidData, Stopped
from seqd.testing import MemoryRunContext
from seqd_schemas import FinishReason, Generation, ItemError

LETTERS = "the cat sat on the mat, and the rat sat on the cat. " * 3


def short():
    """Short contexts: what is written is not the text again."""
    return a_generator(LETTERS, order=1)


def texts(outcome):
    return [sample.text for sample in outcome.samples]


# Prompts


def test_each_prompt_gets_its_samples_temperatures_first():
    (outcome,) = generated("the", temperature=[1.0, 0.0], samples=2, length=30, seed=7)

    assert isinstance(outcome, Generation)
    assert (outcome.prompt, outcome.unknown_characters) == ("the", 0)
    assert [sample.temperature for sample in outcome.samples] == [1.0, 1.0, 0.0, 0.0]
    assert {len(sample.text) for sample in outcome.samples} == {30}
    assert {sample.seed for sample in outcome.samples} == {7}
    assert {sample.finish_reason for sample in outcome.samples} == {FinishReason.LENGTH}
    assert outcome.samples[2].text == outcome.samples[3].text


@pytest.mark.parametrize(
    ("prompt", "same", "unknown"),
    [
        ("tt the ca", "ca", 0),  # as many characters count as the model reads
        ("THE C", "the c", 0),  # lower-cased as the training text was
        ("日本 the 日", "", 3),  # an unknown character ends the context
        ("日ca", "ca", 1),  # and what stands behind it is read
        ("a", "ca", 0),  # of ca, ma and ra the first comes twice
    ],
)
def test_a_prompt_is_read_as_another(prompt, same, unknown):
    outcome, other = generated(prompt, same, temperature=0.0)

    assert outcome.samples == other.samples
    assert outcome.unknown_characters == unknown


@pytest.mark.parametrize(
    ("prompt", "same", "unknown"),
    [
        ("The CAT", "The cat", 0),  # known in lower case alone
        ("The zebra sat on Mars.", "The cat sat.", len("zebraMars")),
        ("The cat sat. ", "", 0),  # a sentence that has ended is followed by another
    ],
)
def test_a_prompt_of_words_is_read_as_another(prompt, same, unknown):
    outcome, other = generated(prompt, same, generator=a_word_generator(), temperature=0.0)

    assert outcome.samples[0].text.strip() == other.samples[0].text.strip()
    assert outcome.unknown_characters == unknown


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("The rat", " sat on the mat!"),
        ("The rat ", "sat on the mat!"),
        ("Did the zebra on the", " mat!"),
        ("Did the cat see", " it?"),
        ("Did the cat see it?", " The cat sat."),
    ],
)
def test_a_sentence_goes_on_from_its_prompt_one_space_behind_it(prompt, text):
    sample = sample_of(prompt, a_word_generator(smoothing="none"), temperature=0.0)

    assert (sample.text, sample.finish_reason) == (text, FinishReason.END)


def test_a_lone_surrogate_is_refused_and_does_not_disturb_its_neighbours():
    first, bad, last = generated("t", "\ud800 the", "t")

    assert (bad.code, bad.message) == (
        "decode_error",
        "Character 0 of the text is a lone surrogate, which is no character. Send valid text.",
    )
    assert [first] == generated("t")
    assert [last] == generated("t", first=2)
    assert generated() == []


@pytest.mark.parametrize("smoothing", ["none", "additive", "witten_bell", "kneser_ney"])
def test_writing_goes_on_behind_what_nothing_follows(smoothing):
    generator = a_generator("az", order=1, smoothing=smoothing)

    assert len(sample_of("z", generator, length=2_000).text) == 2_000


# Ends


def test_as_many_sentences_are_written_as_are_asked_for_and_without_a_number_to_the_length():
    generator = a_word_generator()

    three = sample_of("", generator, sentences=3, length=1_000, seed=5)
    whole = sample_of("", generator, sentences=0, length=500)

    assert sum(map(three.text.count, ".!?")) == 3
    assert three.finish_reason is FinishReason.END
    assert whole.finish_reason is FinishReason.LENGTH
    assert sum(map(whole.text.count, ".!?")) > 50


def test_lines_are_sentences_of_characters_too():
    generator = a_generator("ab c\nde f", sentences=True, sentence_ends="lines", smoothing="none")

    (outcome,) = generated("", generator=generator, samples=20, sentences=2)

    assert set(texts(outcome)) <= {f"{a}\n{b}" for a in ("ab c", "de f") for b in ("ab c", "de f")}
    assert {sample.finish_reason for sample in outcome.samples} == {FinishReason.END}


def test_words_that_do_not_fit_the_result_are_left_out_whole():
    word = "w" * 400
    generator = a_generator(f"{word} {word}x " * 3, words=True, sentences=False, smoothing="none")

    one, none = (sample_of("", generator, length=length, temperature=0.0) for length in (6, 2))

    # A word of the length may have 128 characters, with all that stands between words.
    assert (one.text, one.finish_reason) == (word, FinishReason.LENGTH)
    assert (none.text, none.mean_log_prob) == ("", None)


@pytest.mark.parametrize("first", [0, 5, 250, 253, 255, 256, 257, 511])
@pytest.mark.parametrize("more", [{}, {"max_copied": 600}])
def test_a_sample_ends_before_a_stop_text_wherever_the_deltas_end(first, more):
    (whole,) = generated("the ", generator=short(), length=700, seed=3, **more)[0].samples
    stop = whole.text[first : first + 6]
    context = MemoryRunContext()

    (outcome,) = generated(
        "the ", generator=short(), context=context, length=700, seed=3, stop=[stop, "zz"], **more
    )

    (stopped,) = outcome.samples
    assert stopped.text == whole.text[: whole.text.index(stop)] == context.streamed_text(0)
    assert stopped.finish_reason is FinishReason.STOP


def test_a_sample_that_stops_at_once_is_empty_and_has_no_figures():
    sample = sample_of("ca", stop=["t", " ", ".", ","], temperature=0.0)

    assert (sample.text, sample.mean_log_prob, sample.distinct_n) == ("", None, ())
    assert sample.longest_copy == 0


def test_stop_texts_are_lower_cased_where_the_training_text_was():
    assert sample_of("the ", stop="CAT", length=500).finish_reason is FinishReason.STOP


# Copies


def longest(text, corpus):
    """Characters of the longest part of a text that stands in another, by trying each."""
    lengths = range(len(text), 0, -1)
    return next(
        (n for n in lengths for i in range(len(text) - n + 1) if text[i : i + n] in corpus), 0
    )


@given(
    st.text("ab", min_size=3, max_size=80)
    | st.text("abcdefgh ", min_size=3, max_size=200)
    | st.text("".join(map(chr, range(0x4E00, 0x4F40))), min_size=3, max_size=200)
)
def test_the_longest_copy_is_the_one_that_a_search_of_every_span_finds(corpus):
    if len(set(corpus)) < 2 or not corpus.strip():
        return
    generator = a_generator.__wrapped__(corpus, order=1)

    (outcome,) = generated("", generator=generator, samples=5, length=60, temperature=[0.5, 2.0])

    assert [sample.longest_copy for sample in outcome.samples] == [
        longest(text, corpus) for text in texts(outcome)
    ]


@pytest.mark.parametrize(
    "corpus",
    [
        "".join(np.random.default_rng(0).choice(list("abcd"), 3_000)),
        "ab" * 500,
        "".join(chr(0x10000 + number) for number in range(70_000)),
    ],
    ids=["a long text", "one that repeats itself", "70,000 characters"],
)
def test_a_long_copy_is_found_to_its_last_character(corpus):
    generator = a_generator(corpus, order=8, smoothing="none")

    # Eight characters in a row stand almost nowhere twice, so the text goes on as it stands.
    sample = sample_of(corpus[:8], generator, length=300, seed=1)

    assert sample.longest_copy == longest(sample.text, corpus)
    assert sample.longest_copy >= 50


def test_a_version_that_did_not_keep_its_text_knows_no_copies_and_keeps_none_out():
    generator = a_generator(LETTERS, order=1, keep_text=False)

    (outcome,) = generated("the ", generator=generator, max_copied=5)

    assert sample_of("the ", generator, length=60).longest_copy is None
    assert outcome == ItemError(
        code="invalid_input",
        message="max_copied is 5, but this version did not keep its training text to look for "
        "copies in. Leave max_copied out, or train with keep_text.",
    )


def test_no_sample_has_more_in_a_row_than_it_may_and_what_was_good_is_as_it_was():
    (free,) = generated("the ", generator=short(), samples=20, length=40)
    (kept,) = generated("the ", generator=short(), samples=20, length=40, max_copied=6, tries=1_000)

    assert max(sample.longest_copy for sample in free.samples) > 6
    assert max(sample.longest_copy for sample in kept.samples) <= 6
    good = [sample for sample in free.samples if sample.longest_copy <= 6]
    assert len(good) > 3
    assert all(sample in kept.samples for sample in good)


def test_a_sample_that_copies_at_each_try_is_an_error_that_says_so():
    (outcome,) = generated("the ", generator=short(), max_copied=1, tries=3)

    assert outcome == ItemError(
        code="invalid_input",
        message="A sample at temperature 1 has more than 1 characters in a row from the training "
        "text in each of 3 tries. Raise max_copied, tries or the temperature, or ask for shorter "
        "samples.",
    )


# Reproducibility, streams, stops


def test_an_outcome_does_not_depend_on_its_batch_nor_on_what_was_written_before():
    prompts = ["t", "", "日", "the cat", *["the "] * 296]
    parameters = {"length": 40, "temperature": [0.5, 1.5], "samples": 2, "seed": 3, "stop": "rat"}
    used, fresh = a_generator(order=3), a_generator.__wrapped__(order=3)

    together = generated(*prompts, generator=used, **parameters)
    for number in range(12):  # more ways of drawing than are kept
        generated("t", generator=used, temperature=1.0 + number / 40, top_p=0.5, length=5)

    for index in (299, 7, 3, 2, 1, 0):
        for generator in (used, fresh):
            alone = generated(prompts[index], generator=generator, first=index, **parameters)
            assert alone == [together[index]]


def test_a_sample_does_not_depend_on_what_else_is_asked_for():
    (alone,) = generated("t", temperature=1.5, length=80)
    (among,) = generated("t", temperature=[0.3, 1.5], samples=4, length=80)

    assert among.samples[4] == alone.samples[0]


def test_a_shorter_text_is_the_beginning_of_a_longer_one():
    assert sample_of("t", length=700).text.startswith(sample_of("t", length=300).text)


def test_another_seed_another_place_and_another_sample_give_other_texts():
    first, second = generated("t", "t", samples=2, length=80)
    (other,) = generated("t", length=80, seed=1)

    assert len({*texts(first), *texts(second), *texts(other)}) == 5


def test_a_stop_ends_a_measurement():
    with pytest.raises(Stopped, match="The measuring was stopped"):
        a_generator().measure(CATS, MemoryRunContext(stop_after=0))


# Figures


def test_figures_are_of_the_text_and_the_models_own_at_every_temperature():
    generator = a_generator("abab", order=1, smoothing="none")

    (outcome,) = generated("a", generator=generator, temperature=[0.0, 1.0], length=9)

    for sample in outcome.samples:
        assert (sample.text, sample.mean_log_prob) == ("babababab", 0.0)
        assert sample.distinct_n == pytest.approx((2 / 9, 2 / 8, 2 / 7))
        assert sample.longest_copy == 4  # abab


def test_a_text_is_measured_by_the_probabilities_of_its_characters():
    generator = a_generator("abab", order=1, smoothing="none", additive=0.5)
    context = MemoryRunContext()

    figures = generator.measure("baba", context)

    # With additive smoothing: b is half of all, a follows b once of 1, b follows a twice of 2.
    bits = -math.log2(0.5 * (1.5 / 2) * (2.5 / 3) * (1.5 / 2))
    assert figures == {"bits_per_char": pytest.approx(bits / 4), "unknown_share": 0.0}
    assert [batch.real_tokens for batch in context.batches] == [4]


def test_unknown_characters_are_left_out_and_end_the_context():
    generator = a_generator()

    figures, the, cat = (measured(text, generator) for text in ("the日cat", "the", "cat"))

    assert figures["unknown_share"] == pytest.approx(1 / 7)
    halves = (the["bits_per_char"] + cat["bits_per_char"]) / 2
    assert figures["bits_per_char"] == pytest.approx(halves)


def test_words_are_measured_by_their_perplexity_too_and_known_ones_leave_room_for_the_unknown():
    text = " ".join(f"w{number} " * (number + 1) for number in range(150))
    generator = a_generator(
        text, words=True, sentences=False, order=1, smoothing="additive", max_vocabulary=100
    )

    known, unknown = measured("w149", generator), measured("zebra", generator)
    farther = measured("日本日本日", generator)

    # w0 to w49 are not in the vocabulary: 1,275 of 11,325 words.
    total = 11_325
    seen = total - 1_275
    bits = -math.log2((150 + 0.1) / (seen + 10)) - math.log2(1 - 1_275 / total)
    assert known["bits_per_char"] == pytest.approx(bits / 4)
    assert known["perplexity"] == pytest.approx(2**bits)
    assert (known["unknown_share"], unknown["unknown_share"]) == (0.0, 1.0)
    assert unknown["perplexity"] == pytest.approx(2 ** (5 * unknown["bits_per_char"]))
    # Characters that no word had cost most of all.
    assert unknown["bits_per_char"] + 4 < farther["bits_per_char"] < 1_000


@pytest.mark.parametrize("parameters", [{}, {"sentences": True}, {"words": True}])
def test_a_text_like_the_learnt_one_takes_fewer_bits_and_in_chunks_as_many(parameters, monkeypatch):
    generator = a_generator(SENTENCES, lower_case=False, **parameters)

    like, unlike = (measured(text, generator) for text in ("The rat sat.", "Tar eht tas."))
    whole = measured(SENTENCES, generator)
    monkeypatch.setattr("seqd_markov.data.CHUNK_CHARACTERS", 30)

    assert like["bits_per_char"] < unlike["bits_per_char"]
    assert measured(SENTENCES, generator) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "none that the version knows; there is nothing"),
        ("日本", "none that the version knows; there is nothing"),
        ("a\ud800", "has a lone surrogate"),
    ],
)
def test_a_text_that_cannot_be_measured_is_refused(text, message):
    with pytest.raises(InvalidData, match=message):
        measured(text, a_generator())
