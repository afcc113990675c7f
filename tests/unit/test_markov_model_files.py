"""Versions of characters and of words on disk: whole again when read, and never believed unseen."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from seqd.errors import ArtifactDamaged
from seqd.hookspecs import Artifact
from seqd.inputs.datasets import TextDataset
from seqd.testing import CPU, MemoryTrainContext, train_to_artifact
from seqd_markov import Markov, MarkovWords
from seqd_markov.model import load, save
from seqd_modelkit.ngrams import deflate

TEXT = "The cat sat. The dog ran. A cat ran. The cat sat on a dog. "
NGRAMS = "ngrams.safetensors"


def a_version(folder, model=None, **parameters) -> Artifact:
    data = TextDataset(TEXT, "a test")
    return train_to_artifact(
        model or Markov(), {"order": 2, "validation_split": 0.0} | parameters, data, folder
    )


@pytest.mark.parametrize("model", [Markov(), MarkovWords()])
@pytest.mark.parametrize("sentences", [False, True])
def test_a_version_is_read_back_whole(tmp_path, model, sentences):
    artifact = a_version(tmp_path, model, sentences=sentences)
    version = load(artifact.folder)

    again = MemoryTrainContext(tmp_path / "again", TextDataset(TEXT, "a test")).folder
    save(again, version)

    for path in artifact.folder.iterdir():
        if path.name != "manifest.json":
            assert (again / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", [NGRAMS, "config.json", "vocabulary.json"])
def test_a_missing_file_is_a_damaged_artifact(tmp_path, name):
    artifact = a_version(tmp_path, MarkovWords())
    (artifact.folder / name).unlink()

    with pytest.raises(ArtifactDamaged, match=rf"^{name} cannot be (read|used): "):
        load(artifact.folder)


def test_a_file_that_is_no_safetensors_is_a_damaged_artifact(tmp_path):
    artifact = a_version(tmp_path)
    (artifact.folder / NGRAMS).write_bytes(b"not a tensor")

    with pytest.raises(ArtifactDamaged, match=r"^ngrams\.safetensors cannot be read: "):
        Markov().load(artifact, CPU)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"alphabet": ""},
        {"alphabet": "ba"},
        {"level": "words"},
        {"unknown_share": 1.0},
        {"sentence_ends": "never"},
    ],
)
def test_a_config_that_is_not_this_formats_is_a_damaged_artifact(tmp_path, change):
    artifact = a_version(tmp_path)
    config = artifact.folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))

    with pytest.raises(ArtifactDamaged, match=r"^config\.json cannot be used: "):
        load(artifact.folder)


def test_a_field_of_a_config_that_a_later_seqd_added_is_ignored(tmp_path):
    artifact = a_version(tmp_path)
    config = artifact.folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"added_later": 1}))

    assert load(artifact.folder) is not None


@pytest.mark.parametrize("words", [[], ["a", "a"], ["a", ""], {"a": 1}, [1], "a"])
def test_a_vocabulary_that_is_none_is_a_damaged_artifact(tmp_path, words):
    artifact = a_version(tmp_path, MarkovWords())
    (artifact.folder / "vocabulary.json").write_text(json.dumps(words))

    with pytest.raises(ArtifactDamaged, match=r"^vocabulary\.json cannot be used: "):
        load(artifact.folder)


@pytest.mark.parametrize(
    ("model", "file", "change"),
    [
        (Markov(), "config.json", lambda config: config | {"alphabet": config["alphabet"] + "ÿ"}),
        (Markov(), "config.json", lambda config: config | {"sentences": True}),
        (MarkovWords(), "config.json", lambda config: config | {"alphabet": "ab"}),
        (MarkovWords(), "vocabulary.json", lambda words: [*words, "more"]),
        (MarkovWords(), "config.json", lambda config: config | {"level": "characters"}),
    ],
)
def test_files_of_different_versions_are_a_damaged_artifact(tmp_path, model, file, change):
    artifact = a_version(tmp_path, model)
    path = artifact.folder / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(ArtifactDamaged, match=r"^ngrams\.safetensors: .*\. Train the model again"):
        load(artifact.folder)


DAMAGES = {
    "a text of floats": (
        {"text": deflate(np.ones(3, np.float32))},
        r"'text' is float32 of shape \(3,\)",
    ),
    "a text that is not packed": ({"text": np.ones(3, np.int8)}, "due is packed bytes"),
    "a text of other symbols": (
        {"text": deflate(np.array([0, 99], np.int8))},
        "'text' has ids from 0 to 99",
    ),
    "a text of impossible ids": (
        {"text": deflate(np.array([-2, 0], np.int8))},
        "possible are -1 to 12",
    ),
    "another tensor": ({"more": np.ones(1, np.uint8)}, "arrays .* are there"),
    "a spelling": ({"spelling_more": np.ones(1, np.uint8)}, "a version of characters has 1 arrays"),
    "a count of zero": ({"ngram_counts": deflate(np.zeros(44, np.uint8))}, "'ngram_counts'"),
}


@pytest.mark.parametrize(("changes", "message"), DAMAGES.values(), ids=DAMAGES)
def test_tensors_that_do_not_fit_together_are_a_damaged_artifact(tmp_path, changes, message):
    artifact = a_version(tmp_path)
    path = artifact.folder / NGRAMS
    save_file(load_file(path) | changes, path)

    with pytest.raises(ArtifactDamaged, match=message):
        load(artifact.folder)
