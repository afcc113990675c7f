"""Stop sequences: found as if each had been looked for after every character, in any deltas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_modelkit.stop_sequences import StopSequenceFilter, StopSequences

texts = st.text("ab", max_size=30)
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


@given(texts, stops)
def test_the_stop_sequence_that_is_whole_first_is_found_at_its_beginning(text, stops):
    assert StopSequences(stops).find(text) == looked_for(text, stops)


@given(texts, stops, st.integers(1, 7))
def test_a_stop_sequence_is_found_over_the_borders_of_deltas(text, stops, size):
    stop_sequences, found = StopSequences(stops), None

    for end in range(size, len(text) + size, size):
        found = stop_sequences.find(text[:end], max(0, end - size))
        if found is not None:
            break

    assert found == looked_for(text, stops)


@given(texts, stops)
def test_what_is_handed_over_before_a_stop_sequence_comes_is_never_part_of_it(text, stops):
    ends_at = looked_for(text, stops)
    written = text if ends_at is None else text[:ends_at]
    stop_sequences = StopSequences(stops)

    for end in range(len(text) + 1):
        if looked_for(text[:end], stops) is not None:
            break
        settled = end - stop_sequences.held(text[:end])
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
def test_no_more_is_held_back_than_may_begin_a_stop_sequence(text, stops, held):
    assert StopSequences(stops).held(text) == held


def test_without_stop_sequences_everything_comes_out_at_once():
    assert let_out([], "ab", "", "c") == (["ab", "", "c"], "", False)


def test_what_may_begin_a_stop_sequence_is_held_back_until_it_is_certain():
    assert let_out(["end."], "the e", "n", "emy, the end") == (
        ["the ", "", "enemy, the "],
        "end",
        False,
    )


def test_nothing_of_a_stop_sequence_and_nothing_behind_it_comes_out():
    assert let_out(["end."], "the en", "d. And", " more") == (["the ", "", ""], "", True)


def test_of_several_the_one_that_is_complete_first_counts():
    assert let_out(["bcd", "c"], "abcd") == (["ab"], "", True)


def test_of_several_complete_at_once_the_one_that_began_first_counts():
    assert let_out(["c", "bc"], "abcd") == (["a"], "", True)


@given(deltas, stops)
def test_however_a_text_is_cut_what_comes_out_is_what_a_plain_search_leaves(deltas, stops):
    out, rest, is_stopped = let_out(stops, *deltas)

    text = "".join(deltas)
    ends_at = looked_for(text, stops)
    assert "".join(out) + rest == (text if ends_at is None else text[:ends_at])
    assert is_stopped == (ends_at is not None)
