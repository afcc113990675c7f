"""A plugin that stores a table as it lies in memory: by columns, which is read as rows."""

import numpy as np
from safetensors.numpy import load_file, save_file

from seqd.plugin import BadItem, InvalidData, Label, LabelledRecord, model


@model("saves_transposed", summary="Part of the broken-plugin zoo.", example="a film")
class SavesTransposed:
    """Classifies texts by the letters that its classes have."""

    def __init__(self, shares, classes):
        """Keep the share of each letter in each class: (classes, 26), by columns."""
        self.shares, self.classes = shares, classes

    @classmethod
    def train(cls, records: list[LabelledRecord]):
        """Count letters."""
        classes = sorted({record.label for record in records if record.label is not None})
        if len(classes) < 2:
            raise InvalidData("two classes are needed at least")
        counts = np.ones((26, len(classes)))
        for record in records:
            counts[:, classes.index(record.label)] += letters(record.text)
        return cls((counts / counts.sum(axis=0)).T, classes)

    def classify(self, text: str) -> Label:
        """Return the likeliest class."""
        if not text.isprintable():
            raise BadItem("It has what is no character.")
        logs = np.log(self.shares) @ letters(text[:1_000])
        powers = np.exp(logs - logs.max())
        shares = dict(zip(self.classes, (powers / powers.sum()).tolist(), strict=True))
        label = max(shares, key=shares.get)
        return Label(label, shares[label], shares)

    def save(self, folder):
        """Write the shares."""
        names = "".join(f"{name},".rjust(20) for name in self.classes).encode()
        arrays = {"shares": self.shares, "names": np.frombuffer(names, np.uint8)}
        save_file(arrays, folder / "weights.safetensors")

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        arrays = load_file(folder / "weights.safetensors")
        names = arrays["names"].tobytes().decode()
        return cls(arrays["shares"], [name.strip() for name in names.split(",")][:-1])


def letters(text):
    """Return how often each letter is in a text."""
    codes = np.array([ord(one) - ord("a") for one in text.lower()], np.int64)
    return np.bincount(codes[(codes >= 0) & (codes < 26)], minlength=26)
