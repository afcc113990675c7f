"""A plugin for seqd: classifies texts by a network in ONNX whose weights were made elsewhere."""

import json
import re
from pathlib import Path
from typing import Any, Self

import numpy as np

from seqd.plugin import Device, Label, model

MAX_TOKENS = 500


@model(
    "onnx", summary="Tells classes of text apart by a network in ONNX.", libraries=["onnxruntime"]
)
class Onnx:
    """A session of ONNX Runtime, and the words and classes that its network knows."""

    def __init__(self, session: Any, words: list[str], classes: list[str]) -> None:
        self.session, self.classes = session, classes
        self.ids = {word: number for number, word in enumerate(words, 1)}

    @classmethod
    def load(cls, folder: Path, device: Device) -> Self:
        """Read network.onnx, words.json and classes.json."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = device.threads
        providers = ["CUDAExecutionProvider"] if device.kind == "gpu" else ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(folder / "network.onnx", options, providers)
        words, classes = (
            json.loads((folder / file).read_text(encoding="utf-8"))
            for file in ("words.json", "classes.json")
        )
        return cls(session, words, classes)

    def classify(self, texts: list[str], probabilities: bool = False) -> list[Label]:
        """Return the most probable class of each text.

        probabilities: True: the output has the probability of each class.
        """
        found = [re.findall(r"\w\w+", text.lower()) for text in texts]
        ids = np.zeros((len(texts), MAX_TOKENS), np.int64)  # 0 is no word, and weighs nothing
        for row, words in zip(ids, found, strict=True):
            known = [self.ids[word] for word in words if word in self.ids][:MAX_TOKENS]
            row[: len(known)] = known
        (rows,) = self.session.run(["probabilities"], {"ids": ids})  # (texts, classes)
        return [
            Label.likeliest(dict(zip(self.classes, row, strict=True)), with_all=probabilities)
            for row in rows.tolist()
        ]
