"""A sample while it is aligned: where it ends, how it is spelled, and its figures."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markov_builders import SENTENCES, a_version, words
from seqd_markov.sample_buffer import SampleBuffer, SampleStart, StopConditions
from seqd_modelkit.stop_sequences import StopSequences
from seqd_schemas import FinishReason

LETTERS = a_version("abcdefgh" * 2).tokenizer
WORDS = words().tokenizer
LINES = a_version("ab c\nde f", sentences=True, sentence_ends="lines").tokenizer


def a_buffer(
    tokenizer=LETTERS,
    *,
    length=100,
    characters=1_000,
    sentences=1,
    stop=(),
    after=None,
    is_spaced=True,
):
    conditions = StopConditions(length, characters, sentences, StopSequences(stop))
    return SampleBuffer(tokenizer, conditions, SampleStart(0, after, is_spaced))


def extend(buffer, *parts):
    """Go on with parts of symbols, each of log-probability -1, -2 and so on."""
    drawn = 0
    for ids in parts:
        if buffer.reason is None:
            logs = -1.0 - np.arange(drawn, drawn + len(ids))
            buffer.add(np.array(ids, np.int64), logs, 0)
            drawn += len(ids)
    return buffer


def letters(text):
    return LETTERS.encode(text)


def sentence(text, tokenizer=WORDS):
    """The ids of a sentence, and of its end."""
    return [*tokenizer.encode(text), tokenizer.end]


def test_a_buffer_ends_at_its_length_and_takes_no_symbol_more():
    buffer = extend(a_buffer(length=5), letters("abc"), letters("defg"))

    assert (buffer.text, buffer.reason) == ("abcde", FinishReason.LENGTH)
    assert buffer.mean_log_prob() == -3.0


def test_a_buffer_that_is_not_at_its_end_says_how_much_room_there_is():
    buffer = extend(a_buffer(length=5), letters("abc"))

    assert (buffer.reason, buffer.room) == (None, 2)


def test_a_stop_sequence_is_no_part_of_the_text_nor_of_its_figures():
    buffer = extend(a_buffer(stop=["cd"]), letters("abc"), letters("dee"))

    assert (buffer.text, buffer.reason) == ("ab", FinishReason.STOP)
    assert buffer.mean_log_prob() == -1.5
    assert buffer.distinct() == (1.0, 1.0)
    assert buffer.aligned().ids.tolist() == letters("ab").tolist()


def test_a_stop_sequence_in_the_last_symbols_goes_before_the_length():
    buffer = extend(a_buffer(length=4, stop=["d"]), letters("abcdef"))

    assert (buffer.text, buffer.reason) == ("abc", FinishReason.STOP)


def test_a_stop_sequence_behind_the_length_is_not_met():
    buffer = extend(a_buffer(length=4, stop=["e"]), letters("abcdef"))

    assert (buffer.text, buffer.reason) == ("abcd", FinishReason.LENGTH)


def test_a_text_that_stops_at_once_is_empty_and_has_no_figures():
    buffer = extend(a_buffer(stop=["a"]), letters("abc"))

    assert (buffer.text, buffer.mean_log_prob(), buffer.distinct()) == ("", None, ())


def test_what_may_begin_a_stop_sequence_is_not_settled():
    buffer = extend(a_buffer(stop=["cdx"]), letters("abcd"))
    assert buffer.settled == 2

    extend(buffer, letters("e"))

    assert buffer.settled == 5


def test_all_is_settled_at_the_end():
    assert extend(a_buffer(length=3, stop=["bcd"]), letters("abc")).settled == 3


def test_distinct_counts_different_runs_of_one_to_three_symbols():
    buffer = extend(a_buffer(length=6), letters("ababac"))

    # a b c of 6; ab ba ac of 5; aba bab bac of 4
    assert buffer.distinct() == pytest.approx((3 / 6, 3 / 5, 3 / 4))


def test_a_sentence_ends_a_text():
    buffer = extend(a_buffer(WORDS), sentence("The cat sat.") + sentence("The rat"))

    assert (buffer.text, buffer.reason) == ("The cat sat.", FinishReason.END)
    assert buffer.mean_log_prob() == -2.5


def test_as_many_sentences_are_written_as_are_wanted_wherever_parts_end():
    ids = sentence("The cat sat.") + sentence("Did the cat see it?") + sentence("The rat")

    for cut in range(1, len(ids)):
        buffer = extend(a_buffer(WORDS, sentences=2), ids[:cut], ids[cut:])

        assert (buffer.text, buffer.reason) == (
            "The cat sat. Did the cat see it?",
            FinishReason.END,
        )


def test_without_a_number_of_sentences_a_text_goes_on_to_its_length():
    ids = sentence("The cat sat.") * 3

    buffer = extend(a_buffer(WORDS, sentences=0, length=8), ids)

    assert (buffer.text, buffer.reason) == ("The cat sat. The cat sat", FinishReason.LENGTH)


def test_an_end_before_anything_is_written_ends_the_prompts_sentence_alone():
    buffer = extend(
        a_buffer(WORDS, after=0, is_spaced=False), [WORDS.end, *sentence("The cat sat.")]
    )

    assert (buffer.text, buffer.reason) == (" The cat sat.", FinishReason.END)


def test_an_end_behind_an_end_is_no_sentence():
    ids = [*sentence("The cat sat."), WORDS.end, *sentence("The rat")]

    text = extend(a_buffer(WORDS, sentences=2), ids).text

    assert text.split() == ["The", "cat", "sat.", "The", "rat"]


def test_lines_are_sentences_of_characters_too():
    ids = sentence("ab c", LINES) + sentence("de f", LINES)

    buffer = extend(a_buffer(LINES, sentences=2), ids[:3], ids[3:])

    assert (buffer.text, buffer.reason) == ("ab c\nde f", FinishReason.END)


@pytest.mark.parametrize(
    ("after", "is_spaced", "text"),
    [
        ("cat", False, " sat on"),  # "the cat"
        ("cat", True, "sat on"),  # "the cat "
        (None, False, " sat on"),  # "the zebra"
        (None, True, "sat on"),  # "the zebra ", or nothing
    ],
)
def test_a_word_is_spaced_from_the_prompt_once(after, is_spaced, text):
    last = None if after is None else int(WORDS.encode(after)[0])
    buffer = a_buffer(WORDS, after=last, is_spaced=is_spaced)

    assert extend(buffer, WORDS.encode("sat on")).text == text


def test_words_that_do_not_fit_are_left_out_whole():
    buffer = extend(a_buffer(WORDS, characters=9), WORDS.encode("the cat sat on"))

    assert (buffer.text, buffer.reason) == ("the cat", FinishReason.LENGTH)
    assert buffer.mean_log_prob() == -1.5


def test_a_first_word_that_does_not_fit_leaves_nothing():
    buffer = extend(a_buffer(WORDS, characters=2), WORDS.encode("the cat"))

    assert (buffer.text, buffer.reason, buffer.mean_log_prob()) == ("", FinishReason.LENGTH, None)


def test_words_know_their_characters():
    buffer = extend(a_buffer(WORDS, after=0, is_spaced=False), WORDS.encode("cat sat on"))

    aligned = buffer.aligned()

    assert [
        buffer.text[first:last] for first, last in zip(aligned.starts, aligned.ends, strict=True)
    ] == ["cat", "sat", "on"]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=6), min_size=1, max_size=6),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_a_part_of_the_symbols_begins_at_or_before_and_ends_where_asked(parts, since, until):
    buffer = extend(a_buffer(length=1_000), *parts)
    ids = [symbol for part in parts for symbol in part]

    part = buffer.aligned(since, until)

    assert part.ids.tolist() == ids[min(since, len(ids) - 1) : until]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_parts_of_any_length_make_the_same_text(data):
    ids = [symbol for text in SENTENCES.split("\n") if text for symbol in sentence(text)]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(ids) - 1), max_size=6)))
    places = [0, *cuts, len(ids)]

    whole = extend(a_buffer(WORDS, sentences=0, length=60, stop=["see it", "mat!"]), ids)
    parts = [ids[first:last] for first, last in pairwise(places)]
    cut = extend(a_buffer(WORDS, sentences=0, length=60, stop=["see it", "mat!"]), *parts)

    assert (cut.text, cut.reason) == (whole.text, whole.reason)
    assert cut.distinct() == whole.distinct()
    assert cut.mean_log_prob() == whole.mean_log_prob()
