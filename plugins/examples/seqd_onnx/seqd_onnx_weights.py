"""Makes weights for `seqd_onnx` elsewhere: `python -m seqd_onnx_weights FILE FOLDER`.

Fits the logistic regression of scikit-learn to counts of words, and writes it as a network: an
embedding of each word, as wide as there are classes, whose sum is the logits.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression


def make_weights(data: Path, folder: Path) -> None:
    """Write network.onnx, words.json and classes.json for lines of JSON with text and label."""
    records = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    vectorizer = CountVectorizer(min_df=2, max_features=20_000)
    counts = vectorizer.fit_transform([record["text"] for record in records])
    fitted = LogisticRegression(C=0.05, max_iter=500).fit(counts, [one["label"] for one in records])
    embedding, bias = fitted.coef_.T, fitted.intercept_  # (words, classes), (classes,)
    if len(fitted.classes_) == 2:  # the logit of the second, where that of the first is 0
        embedding, bias = np.pad(embedding, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(network(np.pad(embedding, ((1, 0), (0, 0))), bias), folder / "network.onnx")
    words = vectorizer.get_feature_names_out().tolist()
    for name, value in (("words", words), ("classes", fitted.classes_.tolist())):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")


def network(embedding: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """Return the network: ids (texts, tokens) to probabilities (texts, classes)."""
    arrays = {"embedding": embedding, "bias": bias}
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["embedding", "ids"], ["embedded"]),
            helper.make_node("ReduceSum", ["embedded", "tokens"], ["summed"], keepdims=0),
            helper.make_node("Add", ["summed", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "words",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["texts", None])],
        [
            *(
                numpy_helper.from_array(one.astype(np.float32), name)
                for name, one in arrays.items()
            ),
            numpy_helper.from_array(np.array([1], np.int64), "tokens"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    make_weights(Path(sys.argv[1]), Path(sys.argv[2]))
