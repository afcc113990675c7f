"""Drawing the next characters: temperatures, frequencies, and rows on their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from seqd_char_lstm.sampling import draw

SCORES = np.log(np.array([[0.1, 0.2, 0.7]], np.float32)) + 5  # unnormalised on purpose


def drawn(uniform, temperature=1.0, scores=SCORES):
    ids, log_probs = draw(scores, np.array([temperature]), np.array([uniform]))
    return int(ids[0]), float(log_probs[0])


@pytest.mark.parametrize(
    ("uniform", "id_"), [(0.0, 0), (0.09, 0), (0.11, 1), (0.29, 1), (0.31, 2), (1 - 2**-53, 2)]
)
def test_a_uniform_number_picks_by_cumulated_probability(uniform, id_):
    assert drawn(uniform)[0] == id_


def test_a_temperature_raises_the_probabilities_to_its_inverse():
    squared = np.array([0.01, 0.04, 0.49]) / 0.54

    assert drawn(squared[0] - 0.001, temperature=0.5)[0] == 0
    assert drawn(squared[0] + 0.001, temperature=0.5)[0] == 1
    assert drawn(squared[:2].sum() + 0.001, temperature=0.5)[0] == 2


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-300])
def test_at_temperature_zero_or_next_to_it_the_most_probable_is_taken(temperature):
    assert drawn(0.0, temperature)[0] == 2


def test_of_equals_temperature_zero_takes_the_first():
    assert drawn(0.9, 0.0, np.array([[1.0, 3.0, 3.0]], np.float32))[0] == 1


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_log_probabilities_are_the_models_own_at_every_temperature(temperature):
    assert drawn(0.9999, temperature) == (2, pytest.approx(np.log(0.7), abs=1e-6))


@settings(deadline=None)
@given(
    st_numpy.arrays(np.float32, (7, 5), elements=st.floats(-50, 50, width=32)),
    st_numpy.arrays(np.float64, 7, elements=st.floats(0, 10)),
    st_numpy.arrays(np.float64, 7, elements=st.floats(0, 1, exclude_max=True)),
)
def test_a_row_does_not_depend_on_its_batch(scores, temperatures, uniforms):
    ids, log_probs = draw(scores, temperatures, uniforms)

    for row in range(7):
        one = slice(row, row + 1)
        alone = draw(scores[one], temperatures[one], uniforms[one])
        assert (alone[0][0], alone[1][0]) == (ids[row], log_probs[row])
