"""The packed kernel against the same network written as plainly as can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd_imdb_lstm.packed_numpy import BATCH_REVIEWS, PackedNumpyEngine
from seqd_imdb_lstm.version import VersionConfig, Weights, shapes_of

MAX_TOKENS = 12
WORD_IDS = 9


def random_weights(seed: int = 0, units: int = 5, scale: float = 1.0) -> Weights:
    config = VersionConfig(
        vocabulary_words=WORD_IDS,
        max_tokens=MAX_TOKENS,
        embedding_length=3,
        lstm_units=units,
        labels=("neg", "pos"),
    )
    random = np.random.default_rng(seed)
    return Weights(
        **{
            name: (scale * random.normal(size=shape)).astype(np.float32)
            for name, shape in shapes_of(config).items()
        }
    )


def plain_probability(weights: Weights, ids: list[int]) -> float:
    """Read the padded review id by id, in double precision, gate by gate."""

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    h = c = np.zeros(weights.recurrent_kernel.shape[0])
    for number in [0] * (MAX_TOKENS - len(ids)) + ids:
        x = weights.embedding[number].astype(np.float64)
        i, f, new, o = np.split(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
    return float(sigmoid(h @ weights.output_kernel + weights.output_bias)[0])


def as_ids(reviews: list[list[int]]) -> list[np.ndarray]:
    return [np.array(ids, dtype=np.int32) for ids in reviews]


REVIEWS = st.lists(
    st.lists(st.integers(0, WORD_IDS - 1), max_size=MAX_TOKENS), min_size=1, max_size=12
)


@settings(deadline=None)
@given(REVIEWS, st.integers(0, 5))
def test_reviews_of_all_lengths_in_one_batch_get_the_padded_networks_probability(reviews, seed):
    weights = random_weights(seed)

    got = PackedNumpyEngine(weights, MAX_TOKENS).probabilities(as_ids(reviews))

    assert got.dtype == np.float32
    expected = [plain_probability(weights, ids) for ids in reviews]
    assert got == pytest.approx(expected, abs=2e-6)


def test_more_reviews_than_a_batch_keep_their_order():
    random = np.random.default_rng(1)
    reviews = [
        random.integers(0, WORD_IDS, random.integers(0, MAX_TOKENS + 1)).tolist()
        for _ in range(2 * BATCH_REVIEWS + 3)
    ]
    engine = PackedNumpyEngine(random_weights(), MAX_TOKENS)

    together = engine.probabilities(as_ids(reviews))

    alone = [engine.probabilities(as_ids([ids]))[0] for ids in reviews]
    assert together == pytest.approx(np.array(alone), abs=1e-6)


def test_no_reviews_give_no_probabilities():
    assert PackedNumpyEngine(random_weights(), MAX_TOKENS).probabilities([]).shape == (0,)


def test_gates_driven_far_into_saturation_stay_finite():
    engine = PackedNumpyEngine(random_weights(scale=1e4), MAX_TOKENS)

    got = engine.probabilities(as_ids([[1, 2, 3], [4] * MAX_TOKENS]))

    assert np.isfinite(got).all()
    assert ((got >= 0.0) & (got <= 1.0)).all()


def test_memory_is_that_of_the_table_the_kernel_and_the_pad_states():
    engine = PackedNumpyEngine(random_weights(units=5), MAX_TOKENS)

    # table 9 × 20, recurrent kernel 5 × 20, output 5, two states after 0 to 12 pads of 5 each
    assert engine.memory_bytes == 4 * (180 + 100 + 5 + 2 * 13 * 5)
