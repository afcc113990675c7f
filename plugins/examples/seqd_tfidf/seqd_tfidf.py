"""A plugin for seqd: classifies texts by logistic regression on tf-idf, in scikit-learn."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from seqd.plugin import InvalidData, Label, LabelledRecord, load_arrays, model, save_arrays
from seqd_modelkit.labelled_texts import split_records
from seqd_modelkit.training_parameters import Seed, ValidationSplit


@model(
    "tfidf",
    summary="Tells classes of text apart by logistic regression on tf-idf.",
    libraries=["scikit-learn"],
    batch_items=256,
    unit_items=2_048,
)
class Tfidf:
    """A vectorizer and a classifier that were fitted, as arrays and JSON: a pickle can run code."""

    def __init__(self, config: dict[str, Any], arrays: dict[str, Any]) -> None:
        """`config` has classes, terms and n-grams, `arrays` has idf, coef and intercept."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        self.config, self.arrays, self.classes = config, arrays, config["classes"]
        self.metrics = dict[str, float]()
        self.vectorizer = TfidfVectorizer(
            ngram_range=(1, config["ngrams"]), sublinear_tf=True, vocabulary=config["terms"]
        )
        self.vectorizer.idf_ = arrays["idf"]
        self.classifier = LogisticRegression()
        self.classifier.classes_ = np.arange(len(self.classes))
        self.classifier.coef_, self.classifier.intercept_ = arrays["coef"], arrays["intercept"]

    @classmethod
    def train(
        cls,
        records: list[LabelledRecord],
        held_out: list[LabelledRecord] | None = None,
        vocabulary_size: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000,
        ngrams: Annotated[int, Field(ge=1, le=5)] = 2,
        inverse_l2: Annotated[float, Field(gt=0, le=1_000_000)] = 10.0,
        validation_split: ValidationSplit = 0.1,
        seed: Seed = 7,
    ) -> Self:
        """Count the terms, and fit their weights.

        vocabulary_size: Terms that the model knows: the most frequent ones.
        ngrams: Words of the longest term: 2 has pairs of words, too.
        inverse_l2: Inverse strength of the L2 regularization, the C of scikit-learn.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        split = split_records(records, held_out, validation_split=validation_split, seed=seed)
        vectorizer = TfidfVectorizer(
            ngram_range=(1, ngrams), sublinear_tf=True, max_features=vocabulary_size
        )
        try:
            features = vectorizer.fit_transform(split.training.texts)
        except ValueError as error:
            raise InvalidData(
                f"scikit-learn cannot count the words of the texts: {error}"
            ) from None
        fitted = LogisticRegression(C=inverse_l2, max_iter=200).fit(
            features, split.training.targets
        )
        terms = vectorizer.get_feature_names_out().tolist()
        arrays = {"idf": vectorizer.idf_, "coef": fitted.coef_, "intercept": fitted.intercept_}
        made = cls({"classes": split.classes, "terms": terms, "ngrams": ngrams}, arrays)
        if split.validation.texts:
            held_out_features = vectorizer.transform(split.validation.texts)
            accuracy = fitted.score(held_out_features, split.validation.targets)
            made.metrics["validation_accuracy"] = accuracy
        return made

    def save(self, folder: Path) -> None:
        """Write config.json and weights.safetensors."""
        (folder / "config.json").write_text(json.dumps(self.config))
        weights = {name: one.astype(np.float32) for name, one in self.arrays.items()}
        save_arrays(folder / "weights.safetensors", weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config = json.loads((folder / "config.json").read_text())
        return cls(config, load_arrays(folder / "weights.safetensors"))

    def classify(self, texts: list[str], probabilities: bool = False) -> list[Label]:
        """Return the most probable class of each text.

        probabilities: True: the output has the probability of each class.
        """
        rows = self.classifier.predict_proba(self.vectorizer.transform(texts)).tolist()
        return [
            Label.likeliest(dict(zip(self.classes, row, strict=True)), with_all=probabilities)
            for row in rows
        ]
