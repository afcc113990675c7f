"""The two learners of stream mode, NumPy and Keras, held against each other."""

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged, Stopped
from seqd.hookspecs import Device
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from seqd_char_lstm import CharLstm, TrainParameters
from seqd_char_lstm.artifact import named
from seqd_char_lstm.learner import CompiledLearner
from seqd_char_lstm.weights import first_weights

pytestmark = pytest.mark.network

IDS = 7
STREAMS, STEPS = 6, 9
TEXT = np.random.default_rng(1).integers(0, IDS, (STREAMS, 40)).astype(np.int32)


def some_parameters(**values: object) -> TrainParameters:
    """A small network whose dropout is off, since each learner draws its own."""
    small = {"mode": "stream", "units": 8, "batch_size": STREAMS, "steps": STEPS, "dropout": 0.0}
    return TrainParameters.model_validate(small | values)


def batch(number: int, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of one batch."""
    first = number * STEPS
    return TEXT[:, first : first + steps], TEXT[:, first + 1 : first + steps + 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [{"layers": 1, "embedding_dim": 0}, {"layers": 2, "embedding_dim": 5}], ids=str
)
def test_gradients_agree_with_keras(network):
    import keras

    from seqd_char_lstm.network import build_stream_network, stream_variables

    parameters = some_parameters(**network)
    model = build_stream_network(IDS, parameters)
    variables = stream_variables(model)
    before = first_weights(IDS, parameters)
    for name, array in before.items():
        variables[name].assign(array)
    # One step of size 1 takes off exactly the gradient.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss)
    model.train_on_batch(*batch(0))

    found = CompiledLearner(IDS, parameters, threads=2).gradients(*batch(0)).arrays

    assert found.keys() == variables.keys()
    for name, gradient in found.items():
        expected = before[name] - variables[name].numpy()
        assert np.abs(expected).max() > 1e-4, name
        np.testing.assert_allclose(gradient, expected, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {"layers": 1, "embedding_dim": 5, "clipnorm": 0.05, "weight_decay": 0.1},
        {"layers": 1, "embedding_dim": 0, "clipnorm": 0.0, "weight_decay": 0.0},
        {"layers": 2, "embedding_dim": 5, "clipnorm": 0.0, "weight_decay": 1.0},
        {"layers": 2, "embedding_dim": 0, "clipnorm": 0.05, "ema_momentum": 0.6},
    ],
    ids=str,
)
def test_steps_agree_with_keras_where_each_goes_on_from_the_state_before(parameters):
    from seqd_char_lstm.network import KerasLearner

    chosen = some_parameters(**parameters)
    learners = [CompiledLearner(IDS, chosen), KerasLearner(IDS, chosen)]

    losses = [
        [learner.step(*batch(number), rate) for number, rate in enumerate((0.01, 0.02, 0.005))]
        for learner in learners
    ]

    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    ours, kerass = (named(learner.weights()) for learner in learners)
    for name, array in ours.items():
        # Adam divides a gradient by its own size, so that a rounded one shows in its weight.
        np.testing.assert_allclose(array, kerass[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_new_epoch_begins_from_zeros_with_both():
    from seqd_char_lstm.network import KerasLearner

    parameters = some_parameters()
    losses = []
    for learner in (CompiledLearner(IDS, parameters), KerasLearner(IDS, parameters)):
        carried = [learner.step(*batch(number), 1e-9) for number in (0, 1)]
        learner.begin_epoch()
        losses.append([*carried, learner.step(*batch(1), 1e-9), learner.step(*batch(2, 3), 1e-9)])

    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-6)
    _, after_a_batch, from_zeros, _ = losses[0]
    assert abs(after_a_batch - from_zeros) > 1e-5


@pytest.mark.slow
def test_kerass_learner_goes_on_from_its_state_and_refuses_that_of_another_network():
    from seqd_char_lstm.network import KerasLearner

    parameters = some_parameters(dropout=0.3, input_dropout=0.2, ema_momentum=0.9, layers=2)
    learner = KerasLearner(IDS, parameters)
    learner.step(*batch(0), 0.01)
    state = learner.state()

    expected = [learner.step(*batch(number), 0.01) for number in (1, 2)]
    other = KerasLearner(IDS, parameters)
    other.restore(state)
    found = [other.step(*batch(number), 0.01) for number in (1, 2)]

    assert found == expected
    for name, array in learner.state().items():
        assert np.array_equal(array, other.state()[name]), name
    with pytest.raises(CheckpointDamaged, match="saved by another version of char_lstm"):
        KerasLearner(IDS, parameters.model_copy(update={"units": 9})).restore(state)


@pytest.mark.slow
def test_dropout_hides_from_kerass_learner_what_it_learns_from():
    from seqd_char_lstm.network import KerasLearner

    without = CompiledLearner(IDS, some_parameters()).step(*batch(0), 0.01)
    losses = [
        KerasLearner(IDS, some_parameters(**rates)).step(*batch(0), 0.01)
        for rates in ({"dropout": 0.5}, {"input_dropout": 0.5})
    ]

    assert all(abs(loss - without) > 1e-4 for loss in losses)


@pytest.mark.slow
def test_on_a_gpu_slot_keras_learns_and_a_stopped_training_goes_on(tmp_path):
    text = TextDataset("the cat sat on a mat. " * 30, "a test")  # no cuDNN is needed for it
    device = Device(slot="gpu:0", kind="gpu")
    parameters = some_parameters(
        epochs=2,
        dropout=0.2,
        recurrent_dropout=0.1,
        ema_momentum=0.9,
        validation_split=0.1,
        sample_length=5,
    )
    saved = MemoryCheckpoints()

    def context(name: str, **options: object) -> MemoryTrainContext:
        return MemoryTrainContext(tmp_path / name, text, device=device, **options)

    whole = context("whole")
    stopped = context("stopped", checkpoints=saved, stop_after=7)
    resumed = context("resumed", checkpoints=saved)

    expected = CharLstm().train(parameters, whole)
    with pytest.raises(Stopped):
        CharLstm().train(parameters, stopped)
    found = CharLstm().train(parameters, resumed)

    assert "keras" in found.libraries
    assert whole.logs == [
        "Not used on a GPU: recurrent_dropout. cuDNN has no LSTM that leaves recurrent weights "
        "out; more dropout does something alike."
    ]
    assert found.metrics == expected.metrics
    assert [one.read_bytes() for one in sorted(resumed.folder.iterdir())] == [
        one.read_bytes() for one in sorted(whole.folder.iterdir())
    ]
