"""The packed kernels against the same network written as plainly as can be, and each other."""

import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imdb_builders import a_config, a_version, a_version_with_a_long_memory, plain_probabilities
from seqd_imdb_lstm.artifact import VersionConfig
from seqd_imdb_lstm.compiled_lstm import DEPTH, LANES
from seqd_imdb_lstm.packed_compiled import CompiledKernel
from seqd_imdb_lstm.packed_engine import PackedEngine, fastest_kernel, probabilities_of
from seqd_imdb_lstm.packed_numpy import BATCH_SEQUENCES, NumpyKernel

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
BOTH = pytest.mark.parametrize("kernel", [CompiledKernel, NumpyKernel])
EVERY_CONFIG = pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
LISTS = st.lists(st.lists(st.integers(1, 8), max_size=12), min_size=1, max_size=40)


def as_ids(reviews: list[list[int]]) -> list[np.ndarray]:
    return [np.array(ids, dtype=np.int32) for ids in reviews]


def random_reviews(count: int, config: VersionConfig) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    lengths = random.integers(0, config.max_tokens + 1, count)
    return [random.integers(1, config.vocabulary_size, n).astype(np.int32) for n in lengths]


@BOTH
@EVERY_CONFIG
@settings(deadline=None, max_examples=15)
@given(reviews=LISTS, seed=st.integers(0, 5))
def test_reviews_of_all_lengths_in_one_batch_get_the_padded_networks_probabilities(
    kernel, changes, reviews, seed
):
    version = a_version(a_config(**changes), seed=seed)

    got = PackedEngine(version, kernel).probabilities(as_ids(reviews))

    assert got.dtype == np.float32
    expected = np.array([plain_probabilities(version, ids) for ids in reviews])
    assert got == pytest.approx(expected, abs=4e-6)
    assert got.sum(axis=1) == pytest.approx(np.ones(len(reviews)), abs=1e-6)


@EVERY_CONFIG
@settings(deadline=None, max_examples=15)
@given(reviews=LISTS, cuts=st.lists(st.integers(0, 40), max_size=4), order=st.randoms())
def test_any_batching_gives_what_one_by_one_gives_bit_for_bit(changes, reviews, cuts, order):
    engine = PackedEngine(a_version(a_config(**changes)), CompiledKernel)
    ids = as_ids(reviews)
    alone = [engine.probabilities([one])[0].tolist() for one in ids]
    rows = list(range(len(ids)))
    order.shuffle(rows)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]

    for first, after in pairwise(bounds):
        batch = rows[first:after]
        together = engine.probabilities([ids[row] for row in batch])

        assert together.tolist() == [alone[row] for row in batch]


@EVERY_CONFIG
def test_any_batching_of_the_numpy_kernel_gives_what_one_by_one_gives_within_1e_6(changes):
    config = a_config(**changes)
    reviews = random_reviews(50, config)
    engine = PackedEngine(a_version(config), NumpyKernel)

    together = engine.probabilities(reviews)

    alone = np.concatenate([engine.probabilities([ids]) for ids in reviews])
    assert together == pytest.approx(alone, abs=1e-6)


@BOTH
def test_more_reviews_than_a_block_keep_their_order(kernel):
    version = a_version(a_config())
    reviews = random_reviews(2 * BATCH_SEQUENCES + 3, version.config)

    got = PackedEngine(version, kernel).probabilities(reviews)

    expected = [plain_probabilities(version, ids.tolist()) for ids in reviews]
    assert got == pytest.approx(np.array(expected), abs=4e-6)


@BOTH
@EVERY_CONFIG
def test_no_reviews_give_no_probabilities(kernel, changes):
    config = a_config(**changes)

    got = PackedEngine(a_version(config), kernel).probabilities([])

    assert got.shape == (0, len(config.labels))


@BOTH
@EVERY_CONFIG
def test_gates_driven_far_into_saturation_stay_finite(kernel, changes):
    engine = PackedEngine(a_version(a_config(**changes), scale=1e4), kernel)

    got = engine.probabilities(as_ids([[1, 2, 3], [4] * 12]))

    assert np.isfinite(got).all()
    assert ((got >= 0.0) & (got <= 1.0)).all()


def test_the_kernels_agree_at_full_length():
    config = a_config(vocabulary_size=50, max_tokens=500, embedding_dim=32, units=100)
    version = a_version_with_a_long_memory(config)
    reviews = random_reviews(64, config)

    compiled, in_numpy = (
        PackedEngine(version, kernel).probabilities(reviews)
        for kernel in (CompiledKernel, NumpyKernel)
    )

    assert np.ptp(compiled[:, 1]) > 0.1  # they say something
    assert compiled == pytest.approx(in_numpy, abs=2e-6)


@pytest.mark.parametrize(
    ("kernel", "computed"),
    [
        # four rows are as long as the longest of them: 7 7 7 7, then 2 2 2 2
        (CompiledKernel, 4 * 7 + 4 * 2),
        (NumpyKernel, 7 + 5 + 3 + 2 + 2 + 0),
    ],
)
def test_an_engine_tells_for_how_many_tokens_it_computes(kernel: Callable, computed: int):
    engine = PackedEngine(a_version(a_config()), kernel)
    reviews = as_ids([[4] * length for length in (2, 7, 0, 3, 2, 5)])

    assert engine.computed_tokens(reviews) == computed
    assert engine.computed_tokens([]) == 0


def test_memory_is_that_of_the_table_the_kernel_the_pad_states_and_a_block():
    version = a_version(a_config())

    in_numpy = PackedEngine(version, NumpyKernel).memory_bytes
    compiled = PackedEngine(version, CompiledKernel).memory_bytes

    # table 9 × 20, recurrent kernel 5 × 20, two states after 0 to 12 pads of 5 each, output 5
    assert in_numpy == 4 * (180 + 100 + 2 * 13 * 5 + 5)
    # the kernel is filled up to 8 units, and 16 rows have gates of 20, h of 8, and 3 times 5
    assert (LANES, DEPTH) == (4, 4)
    assert compiled == in_numpy + 4 * (3 * 20 + 16 * (20 + 8 + 3 * 5))


def test_without_numba_the_kernel_in_numpy_serves(monkeypatch: pytest.MonkeyPatch):
    assert fastest_kernel() is CompiledKernel
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ImportError
    monkeypatch.delitem(sys.modules, "seqd_imdb_lstm.packed_compiled")
    monkeypatch.delitem(sys.modules, "seqd_imdb_lstm.compiled_lstm")

    assert fastest_kernel() is NumpyKernel


def test_log_odds_far_from_zero_become_probabilities_without_overflow():
    got = probabilities_of(np.array([[-1000.0], [0.0], [1000.0]], dtype=np.float32))
    of_three = probabilities_of(np.array([[1000.0, 0.0, -1000.0]], dtype=np.float32))

    assert got.tolist() == [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    assert of_three.tolist() == [[1.0, 0.0, 0.0]]
