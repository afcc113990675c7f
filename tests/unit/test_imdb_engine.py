"""The compiled engine against the same network written as plainly as can be."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imdb_builders import a_config, a_version, a_version_with_a_long_memory, plain_probabilities
from seqd_imdb_lstm.artifact import VersionConfig
from seqd_imdb_lstm.engine import CompiledEngine, probabilities_of
from seqd_modelkit.lstm_cell import DEPTH, LANES

CONFIGS = {
    "tutorial": {},
    "three classes": {"labels": ("neg", "none", "pos")},
    "masked": {"padding": "masked"},
    "read from both ends": {"padding": "masked", "bidirectional": True},
    "pooled": {"padding": "masked", "pooling": "mean_max"},
    "pooled, read from both ends": {
        "padding": "masked",
        "pooling": "mean_max",
        "bidirectional": True,
        "labels": ("neg", "none", "pos"),
    },
    "few words known to the LSTM": {"lstm_vocabulary_size": 6},
    # the product takes four units at a time, and vectors have 4, 8 or 16 numbers
    "one unit": {"units": 1},
    "thirty-three units": {"units": 33},
}
EVERY_CONFIG = pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
#: Reviews that run together.
BLOCK_REVIEWS = 16
LISTS = st.lists(st.lists(st.integers(1, 8), max_size=12), min_size=1, max_size=40)


def as_ids(reviews: list[list[int]]) -> list[np.ndarray]:
    return [np.array(ids, dtype=np.int32) for ids in reviews]


def random_reviews(count: int, config: VersionConfig) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    lengths = random.integers(0, config.max_tokens + 1, count)
    return [random.integers(1, config.vocabulary_size, n).astype(np.int32) for n in lengths]


@EVERY_CONFIG
@settings(deadline=None, max_examples=15)
@given(reviews=LISTS, seed=st.integers(0, 5))
def test_reviews_of_all_lengths_in_one_batch_get_the_padded_networks_probabilities(
    changes, reviews, seed
):
    version = a_version(a_config(**changes), seed=seed)

    got = CompiledEngine(version).probabilities(as_ids(reviews))

    assert got.dtype == np.float32
    expected = np.array([plain_probabilities(version, ids) for ids in reviews])
    assert got == pytest.approx(expected, abs=4e-6)
    assert got.sum(axis=1) == pytest.approx(np.ones(len(reviews)), abs=1e-6)


@EVERY_CONFIG
@settings(deadline=None, max_examples=15)
@given(reviews=LISTS, cuts=st.lists(st.integers(0, 40), max_size=4), order=st.randoms())
def test_any_batching_gives_what_one_by_one_gives_bit_for_bit(changes, reviews, cuts, order):
    engine = CompiledEngine(a_version(a_config(**changes)))
    ids = as_ids(reviews)
    alone = [engine.probabilities([one])[0].tolist() for one in ids]
    rows = list(range(len(ids)))
    order.shuffle(rows)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]

    for first, after in pairwise(bounds):
        batch = rows[first:after]
        together = engine.probabilities([ids[row] for row in batch])

        assert together.tolist() == [alone[row] for row in batch]


def test_more_reviews_than_a_block_keep_their_order():
    version = a_version(a_config())
    reviews = random_reviews(2 * BLOCK_REVIEWS + 3, version.config)

    got = CompiledEngine(version).probabilities(reviews)

    expected = [plain_probabilities(version, ids.tolist()) for ids in reviews]
    assert got == pytest.approx(np.array(expected), abs=4e-6)


@EVERY_CONFIG
def test_no_reviews_give_no_probabilities(changes):
    config = a_config(**changes)

    got = CompiledEngine(a_version(config)).probabilities([])

    assert got.shape == (0, len(config.labels))


@EVERY_CONFIG
def test_gates_driven_far_into_saturation_stay_finite(changes):
    engine = CompiledEngine(a_version(a_config(**changes), scale=1e4))

    got = engine.probabilities(as_ids([[1, 2, 3], [4] * 12]))

    assert np.isfinite(got).all()
    assert ((got >= 0.0) & (got <= 1.0)).all()


def test_at_full_length_it_gives_the_padded_networks_probabilities():
    config = a_config(vocabulary_size=50, max_tokens=500, embedding_dim=32, units=100)
    version = a_version_with_a_long_memory(config)
    reviews = random_reviews(64, config)

    got = CompiledEngine(version).probabilities(reviews)

    expected = np.array([plain_probabilities(version, ids.tolist()) for ids in reviews])
    assert np.ptp(got[:, 1]) > 0.1  # they say something
    assert got == pytest.approx(expected, abs=2e-5)  # Keras's sigmoid is that far from the truth


def test_an_engine_tells_for_how_many_tokens_it_computes():
    engine = CompiledEngine(a_version(a_config()))
    reviews = as_ids([[4] * length for length in (2, 7, 0, 3, 2, 5)])

    # four rows are as long as the longest of them: 7 7 7 7, then 2 2 2 2
    assert engine.computed_tokens(reviews) == 4 * 7 + 4 * 2
    assert engine.computed_tokens([]) == 0


def test_memory_is_that_of_the_table_the_kernel_the_pad_states_and_a_block():
    memory_bytes = CompiledEngine(a_version(a_config())).memory_bytes

    # table 9 × 20, recurrent kernel 5 × 20, two states after 0 to 12 pads of 5 each, output 5
    arrays = 180 + 100 + 2 * 13 * 5 + 5
    # the kernel is filled up to 8 units, and 16 rows have gates of 20, h of 8, and 3 times 5
    assert (LANES, DEPTH) == (4, 4)
    assert memory_bytes == 4 * (arrays + 3 * 20 + 16 * (20 + 8 + 3 * 5))


def test_log_odds_far_from_zero_become_probabilities_without_overflow():
    got = probabilities_of(np.array([[-1000.0], [0.0], [1000.0]], dtype=np.float32))
    of_three = probabilities_of(np.array([[1000.0, 0.0, -1000.0]], dtype=np.float32))

    assert got.tolist() == [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    assert of_three.tolist() == [[1.0, 0.0, 0.0]]
