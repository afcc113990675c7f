"""What serves against a plain LSTM, drawing compiled and in NumPy, and chains on their own.

`tests/models` holds it against Keras.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from char_lstm_builders import a_config, a_stepped_engine, a_stream_config, a_version, some_ngrams
from seqd_char_lstm.artifact import Version
from seqd_char_lstm.compiled_chains import CompiledEngine
from seqd_char_lstm.engine import SteppedEngine, engine_for
from seqd_modelkit.sampling import SamplingRules

IDS = 6
KINDS = [CompiledEngine, a_stepped_engine]
#: Units that fill no panel and no lane, one and more layers, both kinds of input.
VERSIONS = {
    "a window": a_version(a_config(window=8, units=16)),
    "a window wider than a panel": a_version(a_config(window=8, units=37)),
    "one layer": a_version(a_stream_config(layers=1, units=16)),
    "one-hot": a_version(a_stream_config(layers=1, units=37, embedding_dim=0)),
    "three layers": a_version(a_stream_config(layers=3, units=37)),
    "n-grams": a_version(a_stream_config(units=16, ngram_share=0.3)),
    "an alphabet wider than a panel": a_version(
        a_stream_config(units=8, alphabet="".join(map(chr, range(200, 350))), lead_in=chr(200) * 8)
    ),
}

every_version = pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
both_kinds = pytest.mark.parametrize("kind", KINDS)


def plain_log_probs(version, ids):
    """The textbook's LSTM in float64: log-probability of each id, one after the other."""
    config, weights = version.config, version.weights
    given = np.array(
        [
            plain_scores(weights, ids[max(0, end - config.window) if config.window else 0 : end])
            for end in range(len(ids))
        ]
    )
    probabilities = np.exp(given - given.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if version.ngrams is not None:
        share = config.ngram_share
        states = [version.ngrams.state_after(ids[:end]) for end in range(len(ids))]
        ngrams = version.ngrams.probabilities(np.array(states))
        probabilities = (1 - share) * probabilities + share * ngrams
    return np.log(probabilities[np.arange(len(ids)), ids])


def plain_scores(weights, ids):
    units = len(weights.dense)
    states = [(np.zeros(units), np.zeros(units)) for _ in weights.layers]
    for id_ in ids:
        inputs = np.eye(len(weights.dense_bias))[id_]
        if weights.embedding is not None:
            inputs = inputs @ weights.embedding.astype(np.float64)
        for number, layer in enumerate(weights.layers):
            hidden, cell = states[number]
            gates = inputs @ layer.kernel.astype(np.float64) + hidden @ layer.recurrent + layer.bias
            enter, forget, candidate, leave = np.split(gates, 4)
            cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
            inputs = sigmoid(leave) * np.tanh(cell)
            states[number] = inputs, cell
    return states[-1][0] @ weights.dense.astype(np.float64) + weights.dense_bias


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def some_texts(version, chains, characters, seed=0):
    ids = len(version.config.alphabet)
    return np.random.default_rng(seed).integers(0, ids, (chains, characters)).astype(np.int32)


def starts(chains):
    return np.zeros(chains, np.int64)


@every_version
@both_kinds
def test_each_character_is_as_probable_as_a_plain_lstm_says(version, kind):
    texts = some_texts(version, 3, 30)
    since = version.config.window or 0  # no window is complete before

    output = kind(version).chains(3).read(texts, starts(3))

    expected = np.array([plain_log_probs(version, text) for text in texts])
    assert np.array_equal(output.ids, texts)
    assert output.log_probs[:, since:] == pytest.approx(expected[:, since:], abs=2e-5)


@every_version
def test_compiled_and_stepped_write_the_same_text(version):
    texts, uniforms = some_texts(version, 5, 20), np.random.default_rng(1).random((5, 80))
    temperatures = np.array([0.0, 0.5, 1.0, 1.0, 1.5])
    rules = SamplingRules(top_k=5, top_p=0.9, repetition_penalty=1.2)

    outputs = []
    for kind in KINDS:
        chains = kind(version).chains(5)
        chains.read(texts, starts(5))
        outputs.append(chains.write(uniforms, temperatures, rules))

    compiled, stepped = outputs
    assert np.array_equal(compiled.ids, stepped.ids)
    assert compiled.log_probs == pytest.approx(stepped.log_probs, abs=2e-5)


def written(kind, version, texts, uniforms, places):
    chains = kind(version).chains(len(places))
    chains.read(texts[places], starts(len(places)))
    temperatures = 0.5 + np.arange(len(texts)) / len(texts)
    return chains.write(uniforms[places], temperatures[places], SamplingRules(top_p=0.95))


@pytest.mark.parametrize("units", [16, 128])
@pytest.mark.parametrize("config", [a_config(), a_stream_config(), a_stream_config(layers=1)])
@both_kinds
@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=10, unique=True))
def test_a_chain_is_the_same_to_the_last_bit_in_every_batch(kind, config, units, places):
    version = a_version(config.model_copy(update={"units": units}))
    texts, uniforms = some_texts(version, 10, 8), np.random.default_rng(1).random((10, 6))

    together = written(kind, version, texts, uniforms, np.arange(10))
    some = written(kind, version, texts, uniforms, np.array(places))

    assert np.array_equal(some.ids, together.ids[places])
    assert np.array_equal(some.log_probs, together.log_probs[places])


@every_version
@both_kinds
def test_a_text_read_and_written_in_parts_is_the_same_to_the_last_bit(version, kind):
    texts, uniforms = some_texts(version, 3, 20), np.random.default_rng(1).random((3, 40))
    forward, warm = kind(version), np.ones(3)
    rules = SamplingRules(repetition_penalty=1.3)
    whole, parted = forward.chains(3), forward.chains(3)

    whole.read(texts, starts(3))
    at_once = whole.write(uniforms, warm, rules)
    for first, end in [(0, 1), (1, 8), (8, 20)]:
        parted.read(np.ascontiguousarray(texts[:, first:end]), starts(3))
    parts = [
        parted.write(np.ascontiguousarray(uniforms[:, first:end]), warm, rules)
        for first, end in [(0, 13), (13, 14), (14, 40)]
    ]

    assert np.array_equal(np.concatenate([part.ids for part in parts], axis=1), at_once.ids)
    assert np.array_equal(
        np.concatenate([part.log_probs for part in parts], axis=1), at_once.log_probs
    )


@every_version
@both_kinds
def test_chosen_chains_go_on_alone(version, kind):
    texts = some_texts(version, 3, 24)
    whole = kind(version).chains(3)
    whole.read(np.ascontiguousarray(texts[:, :10]), starts(3))

    places = np.array([2, 0, 2])
    copy = whole.chosen(places)
    rest = np.ascontiguousarray(texts[:, 10:])
    expected = whole.read(rest, starts(3))
    output = copy.read(rest[places], starts(3))

    assert np.array_equal(output.log_probs, expected.log_probs[places])


@pytest.mark.parametrize("name", ["one layer", "three layers", "n-grams"])
@both_kinds
def test_chains_may_begin_one_after_the_other(name, kind):
    version = VERSIONS[name]
    texts = some_texts(version, 6, 20)
    begins = np.array([0, 0, 3, 11, 11, 19])

    output = kind(version).chains(6).read(texts, begins)

    for text, begin, log_probs in zip(texts, begins, output.log_probs, strict=True):
        alone = kind(version).chains(1).read(text[None, begin:].copy(), starts(1))
        assert np.array_equal(log_probs[begin:], alone.log_probs[0])


def test_preparing_leaves_the_weights_as_they_are():
    version = a_version(a_stream_config())
    before = [array.copy() for layer in version.weights.layers for array in vars(layer).values()]

    for kind in KINDS:
        kind(version).chains(1).read(some_texts(version, 1, 4), starts(1))

    after = [array for layer in version.weights.layers for array in vars(layer).values()]
    assert all(map(np.array_equal, before, after))


def test_n_grams_of_too_many_cells_for_tables_are_mixed_in_step_by_step(monkeypatch):
    version = a_version(a_stream_config(ngram_share=0.3))
    assert isinstance(engine_for(version), CompiledEngine)

    monkeypatch.setattr("seqd_char_lstm.engine.MAX_TABLE_CELLS", 10)
    assert isinstance(engine_for(version), SteppedEngine)
    assert isinstance(engine_for(Version(a_stream_config(), version.weights)), CompiledEngine)


def test_both_say_what_they_weigh():
    version = a_version(a_config(units=32))
    gates = (IDS + 32) * 4 * 32

    # The outputs are filled up to 16, and there is a row of no n-grams.
    assert CompiledEngine(version).nbytes == 4 * (gates + 33 * 16 + 2 * IDS)
    assert a_stepped_engine(version).nbytes == CompiledEngine(version).nbytes
    assert some_ngrams().nbytes < a_stepped_engine(VERSIONS["n-grams"]).nbytes
