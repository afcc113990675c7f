"""The weights that a training begins with, by name."""

import numpy as np

from seqd_char_lstm.artifact import Floats
from seqd_char_lstm.parameters import TrainParameters
from seqd_modelkit.initializers import glorot_uniform, lstm_bias, orthogonal


def first_weights(ids: int, parameters: TrainParameters) -> dict[str, Floats]:
    """Draw the weights that a training begins with, as Keras's layers do.

    Names: `embedding` (absent where layer 0 reads one-hot), `layer_0.kernel`, `layer_0.recurrent`,
    `layer_0.bias`, ..., `dense`, `dense_bias`, in Keras's layout.
    """
    random = np.random.default_rng((parameters.seed, 0))
    units, length = parameters.units, parameters.embedding_dim
    weights = {}
    if length:
        weights["embedding"] = random.uniform(-0.05, 0.05, (ids, length))
    for number in range(parameters.layers):
        inputs = units if number else length or ids
        weights[f"layer_{number}.kernel"] = glorot_uniform(random, inputs, 4 * units)
        weights[f"layer_{number}.recurrent"] = orthogonal(random, units, 4 * units)
        weights[f"layer_{number}.bias"] = lstm_bias(units)
    weights["dense"] = glorot_uniform(random, units, ids)
    weights["dense_bias"] = np.zeros(ids)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
