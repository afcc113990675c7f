"""The tutorial's network in ONNX Runtime, its LSTM one operator, over padded arrays.

What one gets who exports the network and serves it without Keras. The graph is built by hand:
an export of Keras's LSTM becomes a loop, which is slower. Weights are small and random.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from seqd.bench.peers.padding import Ids, padded, ranks_of, read_reviews
from seqd.bench.peers.protocol import serve

#: The oldest operator set that has what is used; any ONNX Runtime of recent years runs it.
_OPERATORS = 14

Floats = npt.NDArray[np.float32]


class OnnxPadded:
    """A session and its input."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Read the reviews, build the graph, run it once."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = asked["threads"]
        self.weights = _weights(asked["words"], asked["embedding"], asked["units"])
        graph = _graph(self.weights, asked["units"])
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        texts, _ = read_reviews(asked["reviews"])
        self.padded: Ids = padded(texts, ranks_of(texts, asked["words"]), asked["longest"])
        self._batch = asked["batch"]
        self.predict(self.padded[: 2 * self._batch])
        return {"reviews": len(texts)}

    def run(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Predict all."""
        began = time.perf_counter()
        self.predict(self.padded)
        return {"seconds": time.perf_counter() - began}

    def predict(self, reviews: Ids) -> Floats:
        """Give each review's probability, (reviews, 1)."""
        batches = (reviews[at : at + self._batch] for at in range(0, len(reviews), self._batch))
        return np.concatenate([self._session.run(None, {"ids": batch})[0] for batch in batches])


def _weights(words: int, embedding: int, units: int) -> dict[str, Floats]:
    """Draw small weights, in ONNX's shapes."""
    shapes = {
        "table": (words, embedding),
        "W": (1, 4 * units, embedding),
        "R": (1, 4 * units, units),
        "B": (1, 8 * units),
        "kernel": (units, 1),
        "bias": (1,),
    }
    draw = np.random.default_rng(0)
    return {
        name: draw.uniform(-0.05, 0.05, shape).astype(np.float32) for name, shape in shapes.items()
    }


def _graph(weights: Mapping[str, Floats], units: int) -> bytes:
    """Give the graph: ids (batch, time) → probability (batch, 1)."""
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    first_axis = numpy_helper.from_array(np.array([0], dtype=np.int64), "first_axis")
    nodes = [
        helper.make_node("Transpose", ["ids"], ["by_time"], perm=[1, 0]),
        helper.make_node("Gather", ["table", "by_time"], ["embedded"]),
        helper.make_node("LSTM", ["embedded", "W", "R", "B"], ["", "last"], hidden_size=units),
        helper.make_node("Squeeze", ["last", "first_axis"], ["state"]),
        helper.make_node("Gemm", ["state", "kernel", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "time"])
    out = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1])
    graph = helper.make_graph(nodes, "tutorial", [ids], [out], [*constants, first_axis])
    operators = [helper.make_opsetid("", _OPERATORS)]
    model = helper.make_model(graph, opset_imports=operators, ir_version=8)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    peer = OnnxPadded()
    serve({"prepare": peer.prepare, "run": peer.run})
