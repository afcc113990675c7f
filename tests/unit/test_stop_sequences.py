"""Stop sequences: found as if each had been looked for after every character, in any deltas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_modelkit.stop_sequences import StopSequenceFilter, StopSequences

deltas = st.lists(st.text("ab", max_size=12), max_size=6)
stops = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4)


def looked_for(text, stops):
    """Where the text ends, found character by character."""
    for end in range(len(text) + 1):
        found = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if found:
            return min(found)
    return None


def let_out(stops, *deltas):
    """What comes out for each delta, what is left at the end, and whether it stopped."""
    stop_filter = StopSequenceFilter(StopSequences(stops))
    out = [stop_filter.add(delta) for delta in deltas]
    return out, stop_filter.rest(), stop_filter.is_stopped


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
def test_no_more_is_held_back_than_may_begin_a_stop_sequence(text, stops, held):
    assert StopSequences(stops).held(text) == held


@given(deltas, stops)
def test_however_a_text_is_cut_what_comes_out_is_what_a_plain_search_leaves(deltas, stops):
    out, rest, is_stopped = let_out(stops, *deltas)

    text = "".join(deltas)
    ends_at = looked_for(text, stops)
    assert "".join(out) + rest == (text if ends_at is None else text[:ends_at])
    assert is_stopped == (ends_at is not None)
