"""Loss and gradients of a stream network over one batch, by back-propagation through time.

For some of the streams that are read side by side: `cpu_learner` has one `StreamPart` for each of
its threads. Products are BLAS's; what is between them is `compiled_lstm_steps`, or `lstm_steps`
without Numba. Held against Keras's gradients by a test.

Arrays are (steps, streams, ...): a step's rows lie together. Weights go by names: `embedding`
(absent where layer 0 reads one-hot), `layer_0.kernel`, `layer_0.recurrent`, `layer_0.bias`, ...,
`dense`, `dense_bias`, in Keras's layout.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
StepForward = Callable[[Floats, Floats, Floats, Floats, Floats, Floats], None]


class Steps(NamedTuple):
    """How a step through the gates is computed; `lstm_steps` says what the two do."""

    forward: StepForward
    backward: StepForward


def fastest_steps() -> Steps:
    """Give the compiled steps where Numba is installed, else NumPy's."""
    if importlib.util.find_spec("numba") is None:
        from seqd_char_lstm.lstm_steps import step_backward, step_forward
    else:
        from seqd_char_lstm.compiled_lstm_steps import step_backward, step_forward
    return Steps(step_forward, step_backward)


@dataclass(frozen=True, slots=True)
class Gradients:
    """What a part of a batch says about the weights."""

    #: Sum over its characters, in nats.
    loss: float
    #: Of the mean loss over the whole batch, by the weights' names.
    arrays: dict[str, Floats]


class _Layer:
    """One LSTM layer over the part's streams: its state, and what its way back needs."""

    def __init__(self, number: int, units: int, streams: int, steps: int, kernel: Steps) -> None:
        self.name = f"layer_{number}"
        self._units, self._kernel = units, kernel
        self._gates = np.empty((steps, streams, 4 * units), np.float32)
        self._tanh_c = np.empty((steps, streams, units), np.float32)
        self._recurrent = np.empty((streams, 4 * units), np.float32)
        #: States; place 0 is the one before the batch's first step, the last where it ends.
        self.h = np.zeros((steps + 1, streams, units), np.float32)
        self.c = np.zeros((steps + 1, streams, units), np.float32)

    def forward(self, projected: Floats, recurrent_kernel: Floats) -> Floats:
        """Take all steps from the state at place 0.

        `projected` (steps, streams, 4 units) is the inputs' share of the gates, bias included;
        gives the outputs (steps, streams, units).
        """
        steps = len(projected)
        gates = self._gates[:steps]
        gates[:] = projected
        for t in range(steps):
            np.matmul(self.h[t], recurrent_kernel, out=self._recurrent)
            self._kernel.forward(
                gates[t], self._recurrent, self.c[t], self.c[t + 1], self.h[t + 1], self._tanh_c[t]
            )
        return self.h[1 : steps + 1]

    def backward(
        self, d_outputs: Floats, recurrent_back: Floats, found: dict[str, Floats]
    ) -> Floats:
        """Go back through all steps; gives the gradients of what was projected.

        `recurrent_back` is the recurrent kernel transposed. Its gradient and the bias's are put
        into `found`; the outputs that gradients are given of are those of the last `forward`.
        """
        steps, streams = d_outputs.shape[:2]
        gates = self._gates[:steps]
        d_h = np.zeros((streams, self._units), np.float32)
        d_c = np.zeros((streams, self._units), np.float32)
        for t in range(steps - 1, -1, -1):
            self._kernel.backward(gates[t], self.c[t], self._tanh_c[t], d_h, d_outputs[t], d_c)
            np.matmul(gates[t], recurrent_back, out=d_h)
        rows = gates.reshape(steps * streams, -1)
        found[f"{self.name}.recurrent"] = self.h[:steps].reshape(steps * streams, -1).T @ rows
        found[f"{self.name}.bias"] = rows.sum(axis=0)
        return gates

    def move_on(self, steps: int) -> None:
        """Let the next batch begin where this one, of so many steps, ended."""
        self.h[0], self.c[0] = self.h[steps], self.c[steps]


class StreamPart:
    """Some of the streams, with the states that they carry."""

    def __init__(
        self, *, layers: int, units: int, streams: int, steps: int, kernel: Steps | None = None
    ) -> None:
        """Make room for batches of up to `steps` steps."""
        kernel = kernel or fastest_steps()
        self._layers = [_Layer(n, units, streams, steps, kernel) for n in range(layers)]

    @property
    def states(self) -> tuple[Floats, ...]:
        """Each layer's h and c where the next batch begins: (streams, units), to be changed."""
        return tuple(array[0] for layer in self._layers for array in (layer.h, layer.c))

    def gradients(
        self,
        weights: Mapping[str, Floats],
        inputs: Ids,
        targets: Ids,
        masks: Sequence[Floats | None],
        batch_characters: int,
    ) -> Gradients:
        """Read (steps, streams) ids, and go back through them.

        `masks` are multiplied onto the embedded inputs and each layer's outputs, in this order;
        None leaves them as they are. `batch_characters` are those of the whole batch.
        """
        steps = len(inputs)
        layer_inputs, outputs = self._forward(weights, inputs, masks)
        loss, d_scores = _loss(outputs @ weights["dense"] + weights["dense_bias"], targets)
        d_scores /= np.float32(batch_characters)
        found = {"dense": _rows(outputs).T @ _rows(d_scores)}
        found["dense_bias"] = _rows(d_scores).sum(axis=0)
        d_outputs: Floats = d_scores @ weights["dense"].T
        for layer, mask, x in zip(
            reversed(self._layers), reversed(masks[1:]), reversed(layer_inputs), strict=True
        ):
            if mask is not None:
                d_outputs *= mask
            recurrent_back = np.ascontiguousarray(weights[f"{layer.name}.recurrent"].T)
            d_gates = layer.backward(d_outputs, recurrent_back, found)
            layer.move_on(steps)
            if x is not None:
                found[f"{layer.name}.kernel"] = _rows(x).T @ _rows(d_gates)
                d_outputs = d_gates @ weights[f"{layer.name}.kernel"].T
        if "embedding" in weights:
            if masks[0] is not None:
                d_outputs *= masks[0]
            found["embedding"] = _by_id(inputs, d_outputs, len(weights["embedding"]))
        else:
            found["layer_0.kernel"] = _by_id(inputs, d_gates, len(weights["layer_0.kernel"]))
        return Gradients(loss, found)

    def _forward(
        self, weights: Mapping[str, Floats], inputs: Ids, masks: Sequence[Floats | None]
    ) -> tuple[list[Floats | None], Floats]:
        """Give each layer's inputs, None of one that reads one-hot, and the last one's outputs."""
        layer_inputs: list[Floats | None] = []
        x = weights["embedding"][inputs] if "embedding" in weights else None
        x = x if x is None or masks[0] is None else x * masks[0]
        for layer, mask in zip(self._layers, masks[1:], strict=True):
            layer_inputs.append(x)
            kernel = weights[f"{layer.name}.kernel"]
            projected = (kernel[inputs] if x is None else x @ kernel) + weights[
                f"{layer.name}.bias"
            ]
            x = layer.forward(projected, weights[f"{layer.name}.recurrent"])
            x = x if mask is None else x * mask
        assert x is not None
        return layer_inputs, x


def _loss(scores: Floats, targets: Ids) -> tuple[float, Floats]:
    """Give the cross-entropy's sum in nats, and its gradient by the scores, which it changes."""
    scores -= scores.max(axis=-1, keepdims=True)  # (steps, streams, ids)
    right = np.take_along_axis(scores, targets[..., None], axis=-1)
    np.exp(scores, out=scores)
    sums = scores.sum(axis=-1, keepdims=True)
    loss = float((np.log(sums) - right).sum(dtype=np.float64))
    scores /= sums
    at = targets[..., None]
    np.put_along_axis(scores, at, np.take_along_axis(scores, at, axis=-1) - np.float32(1.0), -1)
    return loss, scores


def _rows(array: Floats) -> Floats:
    return array.reshape(-1, array.shape[-1])


def _by_id(ids: Ids, gradients: Floats, count: int) -> Floats:
    """Add up the gradients of each id: (count, ...)."""
    flat = ids.reshape(-1)
    order = np.argsort(flat, kind="stable")
    present, starts = np.unique(flat[order], return_index=True)
    sums = np.zeros((count, gradients.shape[-1]), np.float32)
    sums[present] = np.add.reduceat(_rows(gradients)[order], starts, axis=0)
    return sums
