"""The wavefront against a plain LSTM that reads each window from its beginning."""

import numpy as np
import pytest

from char_lstm_builders import some_weights
from seqd_char_lstm.forward import Folded, Wavefront

WINDOW, IDS, UNITS = 6, 5, 8


def plain_scores(weights, window):
    """The textbook's LSTM in float64, gates in Keras's order."""
    hidden, cell = np.zeros(UNITS), np.zeros(UNITS)
    for id_ in window:
        gates = weights.kernel[id_].astype(np.float64) + hidden @ weights.recurrent + weights.bias
        enter, forget, candidate, leave = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        hidden = sigmoid(leave) * np.tanh(cell)
    return hidden @ weights.dense + weights.dense_bias


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.mark.parametrize("chains", [1, 3, 20])
def test_the_scores_are_those_of_the_last_window_after_every_character(chains):
    weights = some_weights(IDS, UNITS)
    texts = np.random.default_rng(0).integers(0, IDS, (chains, 4 * WINDOW))
    wavefront = Wavefront(Folded.of(weights), WINDOW, chains)

    for end, ids in enumerate(texts.T, start=1):
        wavefront.read(ids)
        if end >= WINDOW:
            expected = [plain_scores(weights, text[end - WINDOW : end]) for text in texts]
            assert wavefront.scores() == pytest.approx(np.array(expected), abs=2e-6)


@pytest.mark.parametrize("units", [8, 128])
def test_a_chains_scores_are_the_same_to_the_last_bit_in_every_batch(units):
    folded = Folded.of(some_weights(IDS, units))
    texts = np.random.default_rng(1).integers(0, IDS, (21, 60))

    def scores_of(chosen):
        wavefront = Wavefront(folded, 40, len(chosen))
        for ids in texts[chosen].T:
            wavefront.read(ids)
        return wavefront.scores()

    together = scores_of(np.arange(21))

    for chosen in ([0], [20], [3, 7], list(range(9)), list(range(20, -1, -1))):
        assert np.array_equal(scores_of(np.array(chosen)), together[chosen])


def test_chosen_chains_go_on_alone():
    folded = Folded.of(some_weights(IDS, UNITS))
    texts = np.random.default_rng(2).integers(0, IDS, (3, 2 * WINDOW))
    whole = Wavefront(folded, WINDOW, 3)
    for ids in texts[:, :WINDOW].T:
        whole.read(ids)

    copy = whole.chosen(np.array([2, 0, 2]))
    for ids in texts[:, WINDOW:].T:
        whole.read(ids)
        copy.read(ids[[2, 0, 2]])

    assert np.array_equal(copy.scores(), whole.scores()[[2, 0, 2]])


def test_folding_leaves_the_weights_as_they_are():
    weights = some_weights(IDS, UNITS)
    before = {name: array.copy() for name, array in vars(weights).items()}

    Folded.of(weights)

    assert all(np.array_equal(before[name], array) for name, array in vars(weights).items())
