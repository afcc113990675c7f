"""The plugin's own tests, by `seqd.testing`: neither Redis nor a worker is needed."""

from pathlib import Path

import pytest

from seqd.errors import ArtifactDamaged, InvalidData, Stopped
from seqd.hookspecs import Artifact, LabelledRecord, WorkItem
from seqd.inputs.datasets import ListDataset
from seqd.testing import CPU, MemoryCheckpoints, MemoryRunContext, train_to_artifact
from seqd_modelkit.classification_parameters import ClassificationParameters
from seqd_schemas import Classification, ItemError
from seqd_textcnn import TextCnn

pytest.importorskip("torch", reason="torch is not installed: pip install torch")

TEXTS = {
    "warm": ["a warm film", "a clever story and a fine cast", "moving and fine"],
    "cold": ["a dull film", "a weak story and a poor cast", "long and cold"],
}
SMALL = {
    "epochs": 3,
    "patience": 0,
    "batch_size": 4,
    "learning_rate": 0.02,
    "embedding_dim": 8,
    "filters": 8,
    "seed": 5,
}


def a_set(*more: LabelledRecord) -> ListDataset:
    records = [LabelledRecord(text, label) for label, texts in TEXTS.items() for text in texts * 8]
    return ListDataset([*records, *more], "a set")


def trained(
    folder: Path, checkpoints: MemoryCheckpoints, stop_after: int | None = None
) -> Artifact:
    return train_to_artifact(
        TextCnn(), SMALL, a_set(), folder, stop_after=stop_after, checkpoints=checkpoints
    )


def classified(artifact: Artifact, *texts: str) -> list[Classification | ItemError]:
    model = TextCnn().load(artifact, CPU)
    items = [WorkItem(index, text) for index, text in enumerate(texts)]
    return list(model.classify(items, ClassificationParameters(), MemoryRunContext()))


def test_a_text_gets_the_class_whose_words_it_has(tmp_path: Path) -> None:
    artifact = trained(tmp_path, MemoryCheckpoints())

    outcomes = classified(artifact, "a clever cast", "", "a poor story")

    assert [getattr(one, "label", None) for one in outcomes] == ["warm", None, "cold"]
    assert [epoch.epoch for epoch in artifact.manifest.epochs] == [1, 2, 3]
    assert artifact.manifest.metrics["validation_accuracy"] == 1


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = trained(tmp_path / "undisturbed", MemoryCheckpoints())
    saved = MemoryCheckpoints()

    with pytest.raises(Stopped):
        trained(tmp_path / "stopped", saved, stop_after=19)
    resumed = trained(tmp_path / "resumed", saved)

    assert saved.resumes == 1
    assert resumed.manifest.files == undisturbed.manifest.files
    assert resumed.manifest.metrics == undisturbed.manifest.metrics


def test_a_record_without_a_label_is_refused(tmp_path: Path) -> None:
    data = a_set(LabelledRecord("neither", None))

    with pytest.raises(InvalidData, match=r"^Record 49 of a set has no label\."):
        train_to_artifact(TextCnn(), SMALL, data, tmp_path)


def test_a_version_with_a_damaged_file_is_refused(tmp_path: Path) -> None:
    artifact = trained(tmp_path, MemoryCheckpoints())
    (artifact.folder / "weights.safetensors").write_bytes(b"no tensors")

    with pytest.raises(ArtifactDamaged, match=r"^weights\.safetensors cannot be read: "):
        TextCnn().load(artifact, CPU)
