"""The learner of stream networks on a CPU: its gradients, its states, and any number of threads.

`tests/models` holds it against Keras.
"""

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged
from seqd_char_lstm.learner import CompiledLearner, StreamNetwork
from seqd_char_lstm.parameters import TrainParameters
from seqd_char_lstm.weights import first_weights
from seqd_modelkit.optimizers import AdamW

IDS, STREAMS, STEPS = 11, 6, 9


def parameters(**changes: object) -> TrainParameters:
    given = {
        "mode": "stream",
        "units": 24,
        "embedding_dim": 7,
        "batch_size": STREAMS,
        "steps": STEPS,
        "dropout": 0.0,
    }
    return TrainParameters.model_validate(given | changes)


def batch(number: int = 0, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    inputs = random.integers(0, IDS, (STREAMS, steps)).astype(np.int32)
    return inputs, random.integers(0, IDS, (STREAMS, steps)).astype(np.int32)


@pytest.mark.parametrize("embedding_dim", [0, 7])
@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_are_the_slopes_of_the_loss(layers, embedding_dim):
    chosen = parameters(layers=layers, embedding_dim=embedding_dim)
    weights = {name: 3 * array for name, array in first_weights(IDS, chosen).items()}
    inputs, targets = (array.T.copy() for array in batch())

    def part() -> StreamNetwork:
        return StreamNetwork(layers=layers, units=24, streams=STREAMS, steps=STEPS)

    def loss() -> float:
        masks = [None] * (layers + 1)
        return part().gradients(weights, inputs, targets, masks, inputs.size).loss / inputs.size

    masks = [None] * (layers + 1)
    found = part().gradients(weights, inputs, targets, masks, inputs.size).arrays

    for name, gradient in found.items():
        direction = gradient / np.linalg.norm(gradient)
        before = weights[name].copy()
        weights[name] = before + np.float32(3e-3) * direction
        above = loss()
        weights[name] = before - np.float32(3e-3) * direction
        slope = (above - loss()) / 6e-3
        weights[name] = before
        assert slope == pytest.approx(np.linalg.norm(gradient), rel=0.01), name


@pytest.mark.parametrize("threads", [2, 4, 32])
def test_any_number_of_threads_learns_the_same(threads):
    chosen = parameters(dropout=0.25, input_dropout=0.1, recurrent_dropout=0.1, ema_momentum=0.9)
    alone, together = CompiledLearner(IDS, chosen, 1), CompiledLearner(IDS, chosen, threads)

    losses = [(alone.step(*batch(n), 1e-2), together.step(*batch(n), 1e-2)) for n in range(5)]

    assert losses[-1][0] < losses[0][0] + 1.0
    for one, other in losses:
        assert other == pytest.approx(one, rel=1e-5)


def test_a_state_that_is_taken_over_leads_to_the_same_weights():
    chosen = parameters(layers=2, dropout=0.25, recurrent_dropout=0.1, ema_momentum=0.9)
    undisturbed, stopped = CompiledLearner(IDS, chosen, 2), CompiledLearner(IDS, chosen, 2)
    for number in range(3):
        undisturbed.step(*batch(number), 1e-2)
        stopped.step(*batch(number), 1e-2)

    resumed = CompiledLearner(IDS, chosen, 2)
    resumed.restore(stopped.state())
    for number in range(3, 6):
        undisturbed.step(*batch(number), 1e-2)
        resumed.step(*batch(number), 1e-2)

    np.testing.assert_equal(resumed.state(), undisturbed.state())


def test_the_state_of_another_network_is_refused():
    other = CompiledLearner(IDS, parameters(units=12)).state()

    with pytest.raises(CheckpointDamaged):
        CompiledLearner(IDS, parameters()).restore(other)


def test_the_states_of_the_streams_are_carried_until_the_epoch_ends():
    learner, chosen = CompiledLearner(IDS, parameters()), parameters()
    inputs, targets = batch(0, 2 * STEPS)
    whole = StreamNetwork(layers=1, units=24, streams=STREAMS, steps=2 * STEPS)
    weights, masks = first_weights(IDS, chosen), [None, None]
    at_once = whole.gradients(weights, inputs.T.copy(), targets.T.copy(), masks, inputs.size).loss

    halves = (slice(0, STEPS), slice(STEPS, None))
    carried = [learner.gradients(inputs[:, half], targets[:, half]).loss for half in halves]
    learner.begin_epoch()
    anew = learner.gradients(inputs[:, halves[1]], targets[:, halves[1]]).loss

    assert sum(carried) == pytest.approx(at_once, rel=1e-6)
    assert anew != carried[1]


def test_a_last_batch_may_have_fewer_steps():
    learner = CompiledLearner(IDS, parameters())
    learner.step(*batch(0), 1e-2)

    assert learner.step(*batch(1, steps=2), 1e-2) > 0.0


def test_dropout_hides_its_share_and_keeps_the_mean():
    learner = CompiledLearner(IDS, parameters(units=512, dropout=0.4, input_dropout=0.2))

    embedded, outputs = learner._dropout_masks(STEPS, np.random.default_rng(0))

    assert embedded is not None and outputs is not None
    assert embedded.shape == (STEPS, STREAMS, 7) and outputs.shape == (STEPS, STREAMS, 512)
    assert (outputs == 0.0).mean() == pytest.approx(0.4, abs=0.02)
    assert outputs.mean() == pytest.approx(1.0, abs=0.02)
    assert (embedded == 0.0).mean() == pytest.approx(0.2, abs=0.08)


def test_recurrent_weights_that_a_step_leaves_out_do_not_learn_from_it():
    chosen = parameters(recurrent_dropout=0.5)
    learner = CompiledLearner(IDS, chosen)

    gradient = learner.gradients(*batch()).arrays["layer_0.recurrent"]

    assert (gradient == 0.0).mean() == pytest.approx(0.5, abs=0.05)
    whole = CompiledLearner(IDS, parameters()).gradients(*batch()).arrays["layer_0.recurrent"]
    assert (whole != 0.0).all()


def test_the_version_gets_the_moving_average_of_the_weights():
    plain = CompiledLearner(IDS, parameters())
    averaged = CompiledLearner(IDS, parameters(ema_momentum=0.5))

    seen = []
    for number in range(4):
        plain.step(*batch(number), 1e-2)
        averaged.step(*batch(number), 1e-2)
        seen.append(plain.weights().dense)

    expected = first_weights(IDS, parameters())["dense"]
    for step, dense in enumerate(seen, 1):
        expected = expected + (dense - expected) * (1 - min(0.5, (1 + step) / (10 + step)))
    np.testing.assert_allclose(averaged.weights().dense, expected, rtol=1e-5, atol=1e-7)


def test_a_long_gradient_is_cut_to_its_length():
    cut = CompiledLearner(IDS, parameters(clipnorm=1e-6, weight_decay=0.0))
    free = CompiledLearner(IDS, parameters(clipnorm=0.0, weight_decay=0.0))

    cut.step(*batch(), 1e-2)
    free.step(*batch(), 1e-2)

    # Of Adam's first step only a gradient that is not far above epsilon says how long it was.
    first = first_weights(IDS, parameters())["dense"]
    assert np.abs(cut.weights().dense - first).max() < np.abs(free.weights().dense - first).max()


def test_matrices_decay_and_biases_do_not():
    weights = {"matrix": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)}
    adamw = AdamW(weights, weight_decay=0.5)

    adamw.step({name: np.zeros_like(array) for name, array in weights.items()}, 0.1)

    np.testing.assert_allclose(weights["matrix"], 0.95)
    np.testing.assert_allclose(weights["bias"], 1.0)
