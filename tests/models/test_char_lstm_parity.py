"""What a version predicts, held against Keras: both kinds of version, all engines."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

from char_lstm_builders import a_stepped_engine, some_weights
from seqd.hookspecs import Device
from seqd_char_lstm import TrainParameters
from seqd_char_lstm.artifact import Config, Version
from seqd_char_lstm.chains import Characters, Engine
from seqd_char_lstm.compiled_chains import CompiledEngine
from seqd_char_lstm.engine import SteppedEngine, engine_for
from seqd_char_lstm.learner import learner_for
from seqd_modelkit.sampling import SamplingRules

pytestmark = [pytest.mark.network, pytest.mark.smoke]

ALPHABET = "".join(map(chr, range(97, 123)))


def a_keras_engine(version: Version) -> SteppedEngine:
    """What serves where Numba is missing."""
    from seqd_char_lstm.network import KerasNetwork

    return SteppedEngine(version, KerasNetwork(version.weights, version.config.window))


ENGINES: list[Callable[[Version], Engine]] = [CompiledEngine, a_stepped_engine, a_keras_engine]


def some_text(texts: int, characters: int) -> np.ndarray:
    """Random ids; of a text of chance alone no prediction is near 0 or 1."""
    random = np.random.default_rng(2)
    return random.integers(0, len(ALPHABET), (texts, characters)).astype(np.int32)


def a_config(**values: object) -> Config:
    return Config.model_validate({"alphabet": ALPHABET, "lower_case": True, **values})


@pytest.mark.slow
def test_a_version_that_reads_windows_predicts_what_keras_does():
    from seqd_char_lstm.network import WindowNetwork

    texts = some_text(64, 41)
    network = WindowNetwork(ids=26, window=40, units=128, learning_rate=0.01, seed=3)
    for _ in range(5):  # away from the start, where all is small
        network.train_step(texts[:, :40], texts[:, 0])
    config = a_config(reads="window", window=40, units=128, lead_in="a" * 40)
    version = Version(config, network.weights())

    expected = np.log(network.probabilities(texts[:, :40])[np.arange(64), texts[:, 40]])

    for engine in ENGINES:
        chains = engine(version).chains(64)
        found = chains.read(texts, np.zeros(64, np.int64)).log_probs[:, 40]
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=str(engine))
        assert found.std() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("embedding_dim", "layers"),
    [(0, 1), (0, 2), (12, 1), (12, 2)],
)
def test_a_version_that_reads_a_stream_predicts_what_keras_does(layers, embedding_dim):
    import keras

    from seqd_char_lstm.network import KerasLearner

    texts = some_text(8, 101)
    sizes = {"units": 48, "layers": layers, "embedding_dim": embedding_dim}
    learner = KerasLearner(
        26, TrainParameters(mode="stream", batch_size=8, steps=100, dropout=0.0, **sizes)
    )
    for _ in range(5):  # away from the start, where all is small
        learner.step(texts[:, :50], texts[:, :1].repeat(50, axis=1), 0.01)
    learner.begin_epoch()
    config = a_config(reads="stream", lead_in="a", **sizes)
    version = Version(config, learner.weights())

    scores = keras.ops.log_softmax(learner.network.predict_on_batch(texts[:, :-1]))
    expected = np.take_along_axis(np.asarray(scores), texts[:, 1:, None], axis=2)[..., 0]

    for engine in ENGINES:
        chains = engine(version).chains(8)
        found = chains.read(texts, np.zeros(8, np.int64)).log_probs[:, 1:]
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=str(engine))
        assert found.std() > 0.1


@pytest.mark.parametrize("reads", [{"reads": "window", "window": 8}, {"reads": "stream"}])
def test_without_numba_keras_writes_the_same_text_and_learns(reads, monkeypatch):
    config = a_config(lead_in="a" * 8, units=16, **reads)
    version = Version(config, some_weights(config))
    random = np.random.default_rng(1)
    prompts, uniforms = some_text(3, 12), random.random((3, 20))
    rules, temperatures = (
        SamplingRules(top_p=0.9, repetition_penalty=1.2),
        np.array([0.0, 0.7, 1.2]),
    )

    def written(engine: Engine) -> Characters:
        chains = engine.chains(3)
        chains.read(prompts, np.zeros(3, np.int64))
        return chains.chosen(np.array([2, 0, 1])).write(uniforms, temperatures, rules)

    expected = written(engine_for(version))
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ImportError
    engine = engine_for(version)
    found = written(engine)

    assert isinstance(engine, SteppedEngine)
    assert np.array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-5)
    learner = learner_for(26, TrainParameters(mode="stream", units=8), Device("cpu:0", "cpu"))
    assert learner.library_versions().keys() >= {"keras"}
