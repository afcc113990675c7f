"""Stop texts in a text that comes in pieces: what comes out, and when."""

from hypothesis import given
from hypothesis import strategies as st

from seqd_char_lstm.stopping import HeldBack, StopTexts


def let_out(stops, *pieces):
    """What comes out for each piece, what is left at the end, and whether it stopped."""
    held_back = HeldBack(StopTexts(stops))
    out = [held_back.add(piece) for piece in pieces]
    return out, held_back.rest(), held_back.is_stopped


def test_without_stop_texts_everything_comes_out_at_once():
    assert let_out([], "ab", "", "c") == (["ab", "", "c"], "", False)


def test_what_may_begin_a_stop_text_is_held_back_until_it_is_certain():
    assert let_out(["end."], "the e", "n", "emy, the end") == (
        ["the ", "", "enemy, the "],
        "end",
        False,
    )


def test_nothing_of_a_stop_text_and_nothing_behind_it_comes_out():
    assert let_out(["end."], "the en", "d. And", " more") == (["the ", "", ""], "", True)


def test_of_several_the_one_that_is_complete_first_counts():
    assert let_out(["bcd", "c"], "abcd") == (["ab"], "", True)


def test_of_several_complete_at_once_the_one_that_began_first_counts():
    assert let_out(["c", "bc"], "abcd") == (["a"], "", True)


def plain(text, stops):
    """Look for each stop text after every character."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


texts = st.text("ab", max_size=12)


@given(st.lists(texts, max_size=6), st.lists(st.text("ab", min_size=1, max_size=5), max_size=4))
def test_however_a_text_is_cut_what_comes_out_is_what_a_plain_search_leaves(pieces, stops):
    out, rest, is_stopped = let_out(stops, *pieces)

    assert ("".join(out) + rest, is_stopped) == plain("".join(pieces), stops)
