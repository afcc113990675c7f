"""The tutorial's network in ONNX Runtime, its LSTM one operator, over padded arrays.

What one gets who exports the network and serves it without Keras. The graph is built by hand: an
export of Keras's LSTM becomes a loop, which is slower. Weights are small and random.
"""

import time

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.peers.padding import padded, ranks_of, read_reviews


class Program:
    def __init__(self, reviews: str, sizes: dict[str, int], batch: int, threads: int) -> None:
        texts, _ = read_reviews(reviews)
        self.ids = padded(texts, ranks_of(texts, sizes["words"]), sizes["longest"])
        self.batch, self.weights = batch, weights_of(sizes)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        graph = graph_of(self.weights, sizes["units"])
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(graph, options, providers=providers)

    def predict(self) -> float:
        """Predict all; gives seconds."""
        began = time.perf_counter()
        self.probabilities()
        return time.perf_counter() - began

    def probabilities(self) -> npt.NDArray[np.float32]:
        """Return each review's probability, (reviews, 1)."""
        batches = np.split(self.ids, range(self.batch, len(self.ids), self.batch))
        return np.concatenate([self.session.run(None, {"ids": batch})[0] for batch in batches])


def weights_of(sizes: dict[str, int]) -> dict[str, npt.NDArray[np.float32]]:
    """Draw small weights, in ONNX's shapes."""
    units, embedding = sizes["units"], sizes["embedding"]
    shapes = {"table": (sizes["words"], embedding), "kernel": (units, 1), "bias": (1,)}
    shapes |= {"W": (1, 4 * units, embedding), "R": (1, 4 * units, units), "B": (1, 8 * units)}
    draw = np.random.default_rng(0).uniform
    return {name: draw(-0.05, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}


def graph_of(weights: dict[str, npt.NDArray[np.float32]], units: int) -> bytes:
    """Return the graph: ids (batch, time) → probability (batch, 1)."""
    node, value = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Transpose", ["ids"], ["by_time"], perm=[1, 0]),
        node("Gather", ["table", "by_time"], ["embedded"]),
        node("LSTM", ["embedded", "W", "R", "B"], ["", "last"], hidden_size=units),
        node("Squeeze", ["last", "first_axis"], ["state"]),
        node("Gemm", ["state", "kernel", "bias"], ["logit"]),
        node("Sigmoid", ["logit"], ["probability"]),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        **weights,
        "first_axis": np.array([0], dtype=np.int64),
    }
    known = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    inputs = [value("ids", TensorProto.INT32, ["batch", "time"])]
    outputs = [value("probability", TensorProto.FLOAT, ["batch", 1])]
    graph = helper.make_graph(nodes, "tutorial", inputs, outputs, known)
    # The oldest operator set that has what is used; any ONNX Runtime of recent years runs it.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return bytes(model.SerializeToString())
