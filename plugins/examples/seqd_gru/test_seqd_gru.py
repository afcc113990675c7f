"""The plugin's own tests: what is decorated is trained as a worker does, and called as it is."""

from pathlib import Path

import pytest

from seqd.inputs.datasets import ListDataset
from seqd.plugin import BadItem, Label, LabelledRecord
from seqd.plugin.decorated import decorated_models
from seqd.testing import train_to_artifact
from seqd_gru import Gru

pytest.importorskip("keras", reason="Keras is not installed: pip install 'seqd[cpu]'")

TEXTS = {"warm": ["a warm film", "a fine cast"], "cold": ["a dull film", "a poor cast"]}
RECORDS = [LabelledRecord(text, label) for label in TEXTS for text in TEXTS[label] * 12]
SMALL = {"epochs": 3, "patience": 0, "batch_size": 4, "learning_rate": 0.02, "units": 8}


def test_a_text_gets_the_class_whose_words_it_has(tmp_path: Path) -> None:
    (description,) = decorated_models(Gru)

    artifact = train_to_artifact(description, SMALL, ListDataset(RECORDS, "a set"), tmp_path)
    outcomes = Gru.load(artifact.folder).classify(["a fine film", " ", "a poor film"])

    labels = [one.label if isinstance(one, Label) else type(one) for one in outcomes]
    assert labels == ["warm", BadItem, "cold"]
    assert artifact.manifest.metrics["validation_accuracy"] == 1
