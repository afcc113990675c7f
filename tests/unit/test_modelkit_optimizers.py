"""The optimizers of `seqd_modelkit` by hand: decay, clipping, and the moving average."""

import numpy as np
import pytest

from seqd_modelkit.optimizers import AdamW, ExponentialMovingAverage, clip_scale


def test_matrices_decay_and_biases_do_not():
    weights = {"matrix": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)}
    adamw = AdamW(weights, weight_decay=0.5)

    adamw.step({name: np.zeros_like(array) for name, array in weights.items()}, 0.1)

    np.testing.assert_allclose(weights["matrix"], 0.95)
    np.testing.assert_allclose(weights["bias"], 1.0)


def test_a_gradient_longer_than_its_limit_is_cut_to_that():
    gradients = {"one": np.array([3.0], np.float32), "other": np.array([[4.0]], np.float32)}

    assert clip_scale(gradients, 2.5) == pytest.approx(0.5)
    assert clip_scale(gradients, 6.0) == 1.0
    assert clip_scale(gradients, 0.0) == 1.0


def test_a_moving_average_begins_with_the_first_steps_and_then_keeps_its_momentum():
    mean = ExponentialMovingAverage(0.5)

    for step, value in ((1, 4.0), (2, 8.0), (1_000, 2.0)):
        mean.add({"one": np.array([value], np.float32)}, step)

    # 4; then 2/11 of it and 9/11 of 8; then a half of each
    expected = 0.5 * (4.0 * 2 / 11 + 8.0 * 9 / 11) + 0.5 * 2.0
    assert mean.arrays["one"] == pytest.approx(expected, rel=1e-6)
