"""The estimators as arrays and JSON, and a version in memory.

scikit-learn stores an estimator as a pickle, which runs code when it is read, so a version may have
none. What these two have learnt is a list of terms and three arrays.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from seqd_modelkit.artifacts import ArtifactConfig, check_weights, read_tensors, write_tensors
from seqd_modelkit.text_classifier import TextClassifier
from seqd_modelkit.training import Weights

WEIGHTS_FILE: Final = "weights.safetensors"

#: Bytes of a term: a str and an entry in a dict.
_BYTES_PER_TERM: Final = 150


class TfidfConfig(ArtifactConfig):
    """What a version says of itself in `config.json`."""

    FORMAT: ClassVar[int] = 1

    format: Literal[1] = 1
    labels: tuple[str, ...] = Field(min_length=2)
    terms: tuple[str, ...] = Field(min_length=1)
    ngram_order: int = Field(ge=1)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays; two classes have one row."""
        rows = 1 if len(self.labels) == 2 else len(self.labels)
        return {
            "idf": (len(self.terms),),
            "coef": (rows, len(self.terms)),
            "intercept": (rows,),
        }


def new_vectorizer(ngram_order: int, **more: object) -> TfidfVectorizer:
    """Return a vectorizer; `more` are its other arguments."""
    return TfidfVectorizer(
        ngram_range=(1, ngram_order), sublinear_tf=True, dtype=np.float32, **more
    )


def set_coefficients(
    classifier: LogisticRegression, classes: int, arrays: Mapping[str, npt.NDArray[np.generic]]
) -> None:
    """Make a classifier one that was fitted, with these coefficients."""
    classifier.classes_ = np.arange(classes)
    classifier.coef_ = np.array(arrays["coef"])
    classifier.intercept_ = np.array(arrays["intercept"])


def write_version(config: TfidfConfig, weights: Weights, folder: Path) -> None:
    """Write a version's files; `weights` as in `TfidfConfig.shapes`."""
    config.write(folder)
    write_tensors(folder / WEIGHTS_FILE, weights)


class LoadedTfidf(TextClassifier):
    """A version in memory."""

    batch_items: ClassVar[int] = 256

    def __init__(self, config: TfidfConfig, weights: Weights) -> None:
        """Make estimators that were fitted of what they had learnt."""
        super().__init__(config.labels)
        terms = {term: number for number, term in enumerate(config.terms)}
        self._vectorizer = new_vectorizer(config.ngram_order, vocabulary=terms)
        self._vectorizer.idf_ = weights["idf"]
        self._classifier = LogisticRegression()
        set_coefficients(self._classifier, len(config.labels), weights)
        arrays_bytes = sum(array.nbytes for array in weights.values())
        self.memory_bytes = arrays_bytes + _BYTES_PER_TERM * len(terms)

    @classmethod
    def read(cls, folder: Path) -> "LoadedTfidf":
        """Return the version of a folder; raise ArtifactDamaged."""
        config = TfidfConfig.read(folder)
        tensors = read_tensors(folder / WEIGHTS_FILE)
        return cls(config, check_weights(tensors, config.shapes(), WEIGHTS_FILE, 1e6))

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.floating]:
        """Return (texts, classes)."""
        return np.asarray(self._classifier.predict_proba(self._vectorizer.transform(texts)))
