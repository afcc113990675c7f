"""A sample while it is written: where it ends, how it is spelled, and its figures."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markov_builders import SENTENCES, a_version, words
from seqd_markov.drafts import Draft, Rules, Start
from seqd_markov.stopping import StopTexts
from seqd_schemas import FinishReason

LETTERS = a_version("abcdefgh" * 2).tokens
WORDS = words().tokens
LINES = a_version("ab c\nde f", sentences=True, sentence_ends="lines").tokens


def a_draft(
    tokens=LETTERS,
    *,
    length=100,
    characters=1_000,
    sentences=1,
    stop=(),
    after=None,
    is_spaced=True,
):
    rules = Rules(length, characters, sentences, StopTexts(stop))
    return Draft(tokens, rules, Start(0, after, is_spaced))


def take(draft, *pieces):
    """Go on with pieces of symbols, each of log-probability -1, -2 and so on."""
    drawn = 0
    for ids in pieces:
        if draft.reason is None:
            logs = -1.0 - np.arange(drawn, drawn + len(ids))
            draft.take(np.array(ids, np.int64), logs, 0)
            drawn += len(ids)
    return draft


def letters(text):
    return LETTERS.encode(text)


def sentence(text, tokens=WORDS):
    """The ids of a sentence, and of its end."""
    return [*tokens.encode(text), tokens.end]


def test_a_draft_ends_at_its_length_and_takes_no_symbol_more():
    draft = take(a_draft(length=5), letters("abc"), letters("defg"))

    assert (draft.text, draft.reason) == ("abcde", FinishReason.LENGTH)
    assert draft.mean_log_prob() == -3.0


def test_a_draft_that_is_not_at_its_end_says_how_much_room_there_is():
    draft = take(a_draft(length=5), letters("abc"))

    assert (draft.reason, draft.room) == (None, 2)


def test_a_stop_text_is_no_part_of_the_text_nor_of_its_figures():
    draft = take(a_draft(stop=["cd"]), letters("abc"), letters("dee"))

    assert (draft.text, draft.reason) == ("ab", FinishReason.STOP)
    assert draft.mean_log_prob() == -1.5
    assert draft.distinct() == (1.0, 1.0)
    assert draft.written().ids.tolist() == letters("ab").tolist()


def test_a_stop_text_in_the_last_symbols_goes_before_the_length():
    draft = take(a_draft(length=4, stop=["d"]), letters("abcdef"))

    assert (draft.text, draft.reason) == ("abc", FinishReason.STOP)


def test_a_stop_text_behind_the_length_is_not_met():
    draft = take(a_draft(length=4, stop=["e"]), letters("abcdef"))

    assert (draft.text, draft.reason) == ("abcd", FinishReason.LENGTH)


def test_a_text_that_stops_at_once_is_empty_and_has_no_figures():
    draft = take(a_draft(stop=["a"]), letters("abc"))

    assert (draft.text, draft.mean_log_prob(), draft.distinct()) == ("", None, ())


def test_what_may_begin_a_stop_text_is_not_settled():
    draft = take(a_draft(stop=["cdx"]), letters("abcd"))
    assert draft.settled == 2

    take(draft, letters("e"))

    assert draft.settled == 5


def test_all_is_settled_at_the_end():
    assert take(a_draft(length=3, stop=["bcd"]), letters("abc")).settled == 3


def test_distinct_counts_different_runs_of_one_to_three_symbols():
    draft = take(a_draft(length=6), letters("ababac"))

    # a b c of 6; ab ba ac of 5; aba bab bac of 4
    assert draft.distinct() == pytest.approx((3 / 6, 3 / 5, 3 / 4))


def test_a_sentence_ends_a_text():
    draft = take(a_draft(WORDS), sentence("The cat sat.") + sentence("The rat"))

    assert (draft.text, draft.reason) == ("The cat sat.", FinishReason.END)
    assert draft.mean_log_prob() == -2.5


def test_as_many_sentences_are_written_as_are_wanted_wherever_pieces_end():
    ids = sentence("The cat sat.") + sentence("Did the cat see it?") + sentence("The rat")

    for cut in range(1, len(ids)):
        draft = take(a_draft(WORDS, sentences=2), ids[:cut], ids[cut:])

        assert (draft.text, draft.reason) == (
            "The cat sat. Did the cat see it?",
            FinishReason.END,
        )


def test_without_a_number_of_sentences_a_text_goes_on_to_its_length():
    ids = sentence("The cat sat.") * 3

    draft = take(a_draft(WORDS, sentences=0, length=8), ids)

    assert (draft.text, draft.reason) == ("The cat sat. The cat sat", FinishReason.LENGTH)


def test_an_end_before_anything_is_written_ends_the_prompts_sentence_alone():
    draft = take(a_draft(WORDS, after=0, is_spaced=False), [WORDS.end, *sentence("The cat sat.")])

    assert (draft.text, draft.reason) == (" The cat sat.", FinishReason.END)


def test_an_end_behind_an_end_is_no_sentence():
    ids = [*sentence("The cat sat."), WORDS.end, *sentence("The rat")]

    text = take(a_draft(WORDS, sentences=2), ids).text

    assert text.split() == ["The", "cat", "sat.", "The", "rat"]


def test_lines_are_sentences_of_characters_too():
    ids = sentence("ab c", LINES) + sentence("de f", LINES)

    draft = take(a_draft(LINES, sentences=2), ids[:3], ids[3:])

    assert (draft.text, draft.reason) == ("ab c\nde f", FinishReason.END)


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
    draft = a_draft(WORDS, after=last, is_spaced=is_spaced)

    assert take(draft, WORDS.encode("sat on")).text == text


def test_words_that_do_not_fit_are_left_out_whole():
    draft = take(a_draft(WORDS, characters=9), WORDS.encode("the cat sat on"))

    assert (draft.text, draft.reason) == ("the cat", FinishReason.LENGTH)
    assert draft.mean_log_prob() == -1.5


def test_a_first_word_that_does_not_fit_leaves_nothing():
    draft = take(a_draft(WORDS, characters=2), WORDS.encode("the cat"))

    assert (draft.text, draft.reason, draft.mean_log_prob()) == ("", FinishReason.LENGTH, None)


def test_words_know_their_characters():
    draft = take(a_draft(WORDS, after=0, is_spaced=False), WORDS.encode("cat sat on"))

    written = draft.written()

    assert [
        draft.text[first:last] for first, last in zip(written.starts, written.ends, strict=True)
    ] == ["cat", "sat", "on"]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=6), min_size=1, max_size=6),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_a_part_of_the_symbols_begins_at_or_before_and_ends_where_asked(pieces, since, until):
    draft = take(a_draft(length=1_000), *pieces)
    ids = [symbol for piece in pieces for symbol in piece]

    part = draft.written(since, until)

    assert part.ids.tolist() == ids[min(since, len(ids) - 1) : until]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_pieces_of_any_length_make_the_same_text(data):
    ids = [symbol for text in SENTENCES.split("\n") if text for symbol in sentence(text)]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(ids) - 1), max_size=6)))
    places = [0, *cuts, len(ids)]

    whole = take(a_draft(WORDS, sentences=0, length=60, stop=["see it", "mat!"]), ids)
    pieces = [ids[first:last] for first, last in pairwise(places)]
    cut = take(a_draft(WORDS, sentences=0, length=60, stop=["see it", "mat!"]), *pieces)

    assert (cut.text, cut.reason) == (whole.text, whole.reason)
    assert cut.distinct() == whole.distinct()
    assert cut.mean_log_prob() == whole.mean_log_prob()
