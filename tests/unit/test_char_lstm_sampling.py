"""The rules by which a character is drawn: compiled and in NumPy, by example and by frequency."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from char_lstm_builders import a_stepped_engine, a_stream_config, some_ngrams, some_weights
from seqd_char_lstm.artifact import Layer, Version, Weights
from seqd_char_lstm.compiled_chains import CompiledEngine
from seqd_modelkit.sampling import RECENT, SamplingRules

both_kinds = pytest.mark.parametrize("kind", [CompiledEngine, a_stepped_engine])

#: Of the ids 0 to 5; the sum is 1.
P = [0.05, 0.3, 0.1, 0.3, 0.05, 0.2]


def a_certain_version(probabilities):
    """A version that gives the same probabilities whatever it has read."""
    config = a_stream_config(layers=1, units=1, embedding_dim=0)
    zeros = [np.zeros_like(array) for array in vars(some_weights(config).layers[0]).values()]
    with np.errstate(divide="ignore"):
        bias = np.maximum(np.log(np.array(probabilities)), -80.0).astype(np.float32) + 3
    return Version(config, Weights(None, (Layer(*zeros),), np.zeros((1, 6), np.float32), bias))


def drawn(kind, uniforms, temperature=1.0, rules=None, probabilities=P, before=()):
    """One draw for each uniform number, each by a chain that has read `before`."""
    chains = kind(a_certain_version(probabilities)).chains(len(uniforms))
    read = np.tile(np.array(before, np.int32), (len(uniforms), 1))
    chains.read(read, np.zeros(len(uniforms), np.int64))
    output = chains.write(
        np.array(uniforms)[:, None], np.full(len(uniforms), temperature), rules or SamplingRules()
    )
    return output.ids[:, 0].tolist(), output.log_probs[:, 0]


def kept(kind, rules, **others):
    """All ids that can be drawn."""
    return sorted(set(drawn(kind, np.arange(400) / 400, rules=rules, **others)[0]))


@both_kinds
def test_a_uniform_number_picks_by_cumulated_probability(kind):
    cumulated = np.cumsum(P)[:-1]

    below, above = drawn(kind, cumulated - 1e-6)[0], drawn(kind, cumulated + 1e-6)[0]

    assert below == [0, 1, 2, 3, 4]
    assert above == [1, 2, 3, 4, 5]
    assert drawn(kind, [0.0, 1 - 2**-53])[0] == [0, 5]


@both_kinds
def test_what_rounding_carries_to_the_end_is_the_last_that_may_be_drawn(kind):
    assert drawn(kind, [1 - 2**-53], rules=SamplingRules(top_k=2))[0] == [3]


@both_kinds
@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-300])
def test_at_temperature_zero_or_next_to_it_the_most_probable_is_taken(kind, temperature):
    some = [0.1, 0.1, 0.1, 0.1, 0.2, 0.4]

    assert drawn(kind, [0.0, 0.9999], temperature, probabilities=some)[0] == [5, 5]


@both_kinds
def test_of_equals_temperature_zero_takes_the_first(kind):
    assert drawn(kind, [0.9], 0.0)[0] == [1]


@both_kinds
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_log_probabilities_are_the_models_own_whatever_the_rules(kind, temperature):
    rules = SamplingRules(top_k=3, top_p=0.8, repetition_penalty=1.5)

    ids, log_probs = drawn(kind, np.arange(20) / 20, temperature, rules, before=[1, 5])

    assert log_probs == pytest.approx(np.log(np.array(P)[ids]), abs=1e-6)


@both_kinds
@pytest.mark.parametrize(
    ("rules", "ids"),
    [
        (SamplingRules(top_k=1), [1]),  # of equals the first
        (SamplingRules(top_k=2), [1, 3]),
        (SamplingRules(top_k=4), [1, 2, 3, 5]),
        (SamplingRules(top_k=5), [0, 1, 2, 3, 5]),
        (SamplingRules(top_k=6), [0, 1, 2, 3, 4, 5]),
        (SamplingRules(top_k=1_000), [0, 1, 2, 3, 4, 5]),
        (SamplingRules(top_p=1e-9), [1]),
        (SamplingRules(top_p=0.29), [1]),
        (SamplingRules(top_p=0.31), [1, 3]),
        (SamplingRules(top_p=0.61), [1, 3, 5]),  # 0.3 + 0.3 are not enough
        (SamplingRules(top_p=0.81), [1, 2, 3, 5]),
        # Of the three that top-k leaves, 0.3 + 0.3 are three quarters.
        (SamplingRules(top_k=3, top_p=0.74), [1, 3]),
        (SamplingRules(top_k=3, top_p=0.76), [1, 3, 5]),
    ],
)
def test_top_k_and_then_top_p_leave_these(kind, rules, ids):
    assert kept(kind, rules) == ids


@both_kinds
def test_of_equals_top_p_keeps_the_first_and_no_more_than_it_takes(kind):
    assert kept(kind, SamplingRules(top_p=0.5), probabilities=[1 / 6] * 6) == [0, 1, 2]
    assert kept(kind, SamplingRules(top_p=0.51), probabilities=[1 / 6] * 6) == [0, 1, 2, 3]


@both_kinds
def test_top_p_counts_what_the_temperature_made_of_the_probabilities(kind):
    # At temperature 0.5 they are squared: 0.09 + 0.09 of 0.235 are three quarters, at 1 only 0.6.
    assert kept(kind, SamplingRules(top_p=0.75), temperature=0.5) == [1, 3]
    assert kept(kind, SamplingRules(top_p=0.75), temperature=1.0) == [1, 3, 5]


@both_kinds
def test_a_character_among_the_last_ones_counts_as_its_probability_to_the_penalty(kind):
    rules = SamplingRules(repetition_penalty=2.0)
    # 0.3 → 0.09 and 0.2 → 0.04, each once, however often it was read
    weights = np.array([0.05, 0.09, 0.1, 0.3, 0.05, 0.04])
    edges = np.cumsum(weights / weights.sum())[:-1]

    below = drawn(kind, edges - 1e-6, rules=rules, before=[1, 5, 1])[0]
    above = drawn(kind, edges + 1e-6, rules=rules, before=[1, 5, 1])[0]

    assert (below, above) == ([0, 1, 2, 3, 4], [1, 2, 3, 4, 5])
    assert drawn(kind, [0.5], 0.0, rules, before=[1])[0] == [3]


@both_kinds
def test_a_penalty_forgets_what_is_further_back(kind):
    rules = SamplingRules(repetition_penalty=2.0)

    assert drawn(kind, [0.5], 0.0, rules, before=[1, 0] + [4] * (RECENT - 2))[0] == [3]
    assert drawn(kind, [0.5], 0.0, rules, before=[1, 0] + [4] * (RECENT - 1))[0] == [1]


@both_kinds
def test_what_is_written_is_penalised_as_what_was_read(kind):
    chains = kind(a_certain_version(P)).chains(1)

    output = chains.write(np.full((1, 4), 0.5), np.zeros(1), SamplingRules(repetition_penalty=3.0))

    # 0.3 and 0.3, then 0.2; then 0.1 against 0.3 ** 3 = 0.027
    assert output.ids.tolist() == [[1, 3, 5, 2]]


def chi_square(counts, expected):
    """Pearson's statistic; `expected` are probabilities, none 0."""
    numbers = np.array(expected) * counts.sum()
    return float(((counts - numbers) ** 2 / numbers).sum())


@both_kinds
@pytest.mark.parametrize(
    ("temperature", "rules", "weights"),
    [
        (1.0, SamplingRules(), P),
        (0.5, SamplingRules(), [p**2 for p in P]),
        (2.0, SamplingRules(), [p**0.5 for p in P]),
        (1.0, SamplingRules(top_k=4), [0, 0.3, 0.1, 0.3, 0, 0.2]),
        (2.0, SamplingRules(top_p=0.7), [0, *(p**0.5 for p in P[1:4]), 0, 0.2**0.5]),
        (1.0, SamplingRules(repetition_penalty=2.0), [0.05, 0.09, 0.1, 0.3, 0.05, 0.2]),
    ],
)
def test_characters_come_as_often_as_the_rules_say(kind, temperature, rules, weights):
    uniforms = np.random.default_rng(0).random(20_000)

    ids, _ = drawn(kind, uniforms, temperature, rules, before=[1])

    expected = np.array(weights) / sum(weights)
    counts = np.bincount(ids, minlength=6)
    assert not counts[expected == 0].any()
    # 5 degrees of freedom at most: more than 20.5 in one of a thousand; the seed is fixed.
    assert chi_square(counts[expected > 0], expected[expected > 0]) < 20.5


def test_the_statistic_finds_a_wrong_distribution():
    assert chi_square(np.array([5_100, 4_900]), [0.48, 0.52]) > 20.5


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6).filter(lambda p: max(p) > 0.01),
    st.floats(0.05, 10.0),
    st.integers(0, 7),
    st.floats(0.01, 1.0),
    st.floats(1.0, 10.0),
    st.lists(st.integers(0, 5), max_size=20),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_both_kinds_draw_the_same(logits, temperature, top_k, top_p, penalty, before, uniform):
    rules = SamplingRules(top_k, top_p, penalty)

    compiled, in_numpy = (
        drawn(kind, [uniform], temperature, rules, logits, before)
        for kind in (CompiledEngine, a_stepped_engine)
    )

    assert compiled[1] == pytest.approx(in_numpy[1], abs=1e-9)
    assert compiled[0] == in_numpy[0]


@both_kinds
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_n_grams_are_mixed_in_by_their_share_before_the_temperature(kind, temperature):
    network, ngrams = a_certain_version(P), some_ngrams()
    config = network.config.model_copy(update={"ngram_share": 0.3})
    text = np.array([2, 2, 4, 1], np.int32)
    chains = kind(Version(config, network.weights, ngrams)).chains(20_000)
    chains.read(np.tile(text, (20_000, 1)), np.zeros(20_000, np.int64))

    uniforms = np.random.default_rng(0).random((20_000, 1))
    output = chains.write(uniforms, np.full(20_000, temperature), SamplingRules())

    after = ngrams.probabilities(np.array([ngrams.state_after(text)]))[0]
    mixture = 0.7 * np.array(P) + 0.3 * after
    weights = mixture ** (1 / temperature)
    assert chi_square(np.bincount(output.ids[:, 0]), weights / weights.sum()) < 20.5
    assert np.exp(output.log_probs) == pytest.approx(mixture[output.ids], abs=1e-6)
