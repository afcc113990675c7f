"""The plugin's own tests: what is decorated is a class like any other."""

from pathlib import Path

import pytest

from seqd.plugin import InvalidData, LabelledRecord
from seqd_tfidf import Tfidf

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install scikit-learn")

TEXTS = {
    "warm": ["a warm film", "a clever story and a fine cast", "moving and fine"],
    "cold": ["a dull film", "a weak story and a poor cast", "long and cold"],
}
RECORDS = [LabelledRecord(text, label) for label in TEXTS for text in TEXTS[label] * 10]


def test_a_text_gets_the_class_whose_words_it_has_once_saved_and_loaded(tmp_path: Path) -> None:
    trained = Tfidf.train(RECORDS)
    trained.save(tmp_path)

    texts = ["a clever cast", "a poor story"]
    labels = Tfidf.load(tmp_path).classify(texts, probabilities=True)

    assert [label.label for label in labels] == ["warm", "cold"]
    assert labels == trained.classify(texts, probabilities=True)
    assert trained.metrics == {"validation_accuracy": 1}


def test_texts_without_words_are_refused() -> None:
    with pytest.raises(InvalidData, match="cannot count the words"):
        Tfidf.train([LabelledRecord("!", "warm"), LabelledRecord("?", "cold")])
