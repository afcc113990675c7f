"""Stop texts: found as if each had been looked for after every character, wherever pieces end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_markov.stopping import StopTexts

texts = st.text("ab", max_size=30)
stops = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4)


def looked_for(text, stops):
    """Where the text ends, found character by character."""
    for end in range(len(text) + 1):
        found = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if found:
            return min(found)
    return None


@given(texts, stops)
def test_the_stop_text_that_is_whole_first_is_found_at_its_beginning(text, stops):
    assert StopTexts(stops).find(text, 0) == looked_for(text, stops)


@given(texts, stops, st.integers(1, 7))
def test_a_stop_text_is_found_over_the_borders_of_pieces(text, stops, size):
    stop_texts, found = StopTexts(stops), None

    for end in range(size, len(text) + size, size):
        found = stop_texts.find(text[:end], max(0, end - size))
        if found is not None:
            break

    assert found == looked_for(text, stops)


@given(texts, stops)
def test_what_is_handed_over_before_a_stop_text_comes_is_never_part_of_it(text, stops):
    ends_at = looked_for(text, stops)
    written = text if ends_at is None else text[:ends_at]
    stop_texts = StopTexts(stops)

    for end in range(len(text) + 1):
        if looked_for(text[:end], stops) is not None:
            break
        settled = end - stop_texts.held(text[:end])
        assert written.startswith(text[:settled])


@pytest.mark.parametrize(
    ("text", "stops", "held"),
    [
        ("a sentence.", [], 0),
        ("a sentence.", ["\n"], 0),
        ("a sentence.\n", ["\n\n"], 1),
        ("...", ["...x", ".y"], 3),
        ("aab", ["aaba"], 3),
        ("aab", ["ab", "bb"], 1),
    ],
)
def test_no_more_is_held_back_than_may_begin_a_stop_text(text, stops, held):
    assert StopTexts(stops).held(text) == held
