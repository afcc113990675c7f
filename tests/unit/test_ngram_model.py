"""The back-off automaton: a proper distribution after every text, by the longest known context."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqd_modelkit.ngrams.model
from ngram_builders import BEGIN, SYMBOLS, begins, counted, ids, orders, sequences, texts
from seqd_modelkit.ngrams import NgramModel, Smoothing, fit

smoothings = st.sampled_from(list(Smoothing))


@st.composite
def models(draw, smoothing=smoothings) -> NgramModel:
    """A model of any text, pruned or not."""
    counts = counted(draw(texts), draw(orders), draw(begins))
    least = draw(st.integers(1, 3))
    return fit(counts.pruned(least) if least > 1 else counts, draw(smoothing), 0.3)


def all_states(model):
    return np.arange(model.states)


@settings(deadline=None, max_examples=200)
@given(models())
def test_the_probabilities_after_each_context_sum_to_one(model):
    rows = model.probabilities(all_states(model))

    assert rows.shape == (model.states, SYMBOLS)
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12
    assert rows.min() >= 0


@settings(deadline=None)
@given(models(st.sampled_from([s for s in Smoothing if s is not Smoothing.NONE])))
def test_with_smoothing_nothing_is_impossible_but_a_beginning(model):
    rows = model.probabilities(all_states(model))

    predicted = [symbol for symbol in range(SYMBOLS) if symbol != model.begin]
    assert (rows[:, predicted] > 0).all()
    assert model.begin is None or (rows[:, model.begin] == 0).all()


@settings(deadline=None)
@given(models(), st.lists(st.integers(0, 10**6), min_size=1, max_size=9))
def test_a_row_does_not_depend_on_the_others_to_the_last_bit(model, picks):
    states = np.array(picks) % model.states

    together = model.probabilities(states)

    for state, row in zip(states, together, strict=True):
        assert np.array_equal(model.probabilities(np.array([state]))[0], row)


@settings(deadline=None)
@given(texts, orders, begins, texts)
def test_the_state_is_the_longest_known_ending_of_what_was_read(text, order, begin, read):
    model = fit(counted(text, order, begin))

    state = model.state_after(ids(*read))

    known = sequences(text, order, begin)
    endings = [tuple(read[first:]) for first in range(len(read) + 1)]
    longest = next(e for e in endings if not e or (e in known and len(e) <= order))
    assert tuple(model.context(state)) == longest


@settings(deadline=None)
@given(models(), texts, texts)
def test_reading_in_two_parts_is_reading_the_whole(model, first, second):
    between = model.state_after(ids(*first))

    assert model.state_after(ids(*second), between) == model.state_after(ids(*first, *second))


@settings(deadline=None)
@given(models(), texts, texts)
def test_the_log_probabilities_of_a_text_are_those_met_on_the_way(model, before, text):
    state = model.state_after(ids(*before))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seqd_modelkit.ngrams.model, "_SPAN_SYMBOLS", 7)
        logs = model.log_probs(ids(*text), state)

    states = np.array([state])
    for symbol, log in zip(text, logs, strict=True):
        if symbol in (-1, model.begin):
            assert np.isnan(log)
        else:
            with np.errstate(divide="ignore"):
                assert log == np.log(model.probabilities(states)[0, symbol])
        states = model.advance(states, ids(symbol))


@settings(deadline=None)
@given(models())
def test_tables_have_the_same_probabilities_and_states(model):
    tables = model.tables()

    states = all_states(model)
    rows = model.probabilities(states).astype(np.float32)
    assert np.array_equal(tables.probabilities, rows)
    for symbol in range(SYMBOLS):
        after = model.advance(states, np.full(model.states, symbol))
        assert np.array_equal(tables.next_states[:, symbol], after)


def test_tables_of_too_many_cells_are_refused(monkeypatch):
    monkeypatch.setattr(seqd_modelkit.ngrams.model, "MAX_TABLE_CELLS", 7)

    with pytest.raises(ValueError, match="3 states x 4 symbols are 12 cells; at most 7 are"):
        fit(counted([0, 1], 1)).tables()


@settings(deadline=None)
@given(models())
def test_the_arcs_and_weights_that_are_handed_out_make_the_same_probabilities(model):
    arcs = model.arcs

    assert arcs.backoffs[0] == 0
    assert (np.minimum(arcs.backoffs, arcs.uniforms) == 0).all()
    rows = np.zeros((model.states, SYMBOLS))
    for state in range(model.states):
        rows[state] = arcs.backoffs[state] * rows[arcs.lower[state]] + arcs.uniforms[state]
        own = slice(arcs.starts[state], arcs.starts[state + 1])
        rows[state, arcs.symbols[own]] += arcs.discounted[own]
        if model.begin is not None:
            rows[state, model.begin] = 0.0

    assert np.array_equal(rows, model.probabilities(all_states(model)))


def test_a_model_of_no_text_takes_all_symbols_as_alike():
    model = fit(counted([], 2))

    assert model.states == 1
    assert model.probabilities(np.array([0])).tolist() == [[0.25] * 4]


def test_an_unknown_symbol_ends_the_context():
    model = fit(counted([0, 1, 2, 0, 1, 2], 2))

    assert model.state_after(ids(0, 1, -1)) == 0
    assert tuple(model.context(model.state_after(ids(0, -1, 1)))) == (1,)


def test_after_a_beginning_only_what_began_a_text_is_known():
    text = [BEGIN, 0, 1, 2, BEGIN, 0, 2, 1]
    model = fit(counted(text, 2, BEGIN), Smoothing.NONE)

    state = model.state_after(ids(1, 2, BEGIN))

    assert tuple(model.context(state)) == (BEGIN,)
    assert model.probabilities(np.array([state])).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("additive", [0.0, -1.0, float("nan"), float("inf")])
def test_an_addition_that_is_no_positive_number_is_refused(additive):
    with pytest.raises(ValueError, match="must be above 0"):
        fit(counted([0], 1), Smoothing.ADDITIVE, additive)


def test_a_smoothing_may_be_given_by_its_name():
    assert fit(counted([0], 1), "witten_bell").smoothing is Smoothing.WITTEN_BELL


def test_an_alphabet_of_a_beginning_alone_predicts_nothing():
    with pytest.raises(ValueError, match="no symbol can be predicted"):
        fit(counted([0], 1, begin=0, symbols=1))


@settings(deadline=None, max_examples=200)
@given(models(), st.data())
def test_the_usual_context_is_the_most_frequent_whole_one_that_ends_alike(model, data):
    state = data.draw(st.integers(0, model.states - 1))

    usual = model.most_frequent_extension(state)

    ending = model.context(state).tolist()
    times = {
        one: float(model.arcs.counts[one - 1])
        for one in range(1, model.states)
        if len(model.context(one)) == model.order
        and model.context(one)[model.order - len(ending) :].tolist() == ending
    }
    if times:
        assert times[usual] == max(times.values())
    else:
        assert usual == state
