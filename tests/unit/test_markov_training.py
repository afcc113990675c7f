"""Training, storing and loading a chain, as the daemon does it."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from seqd.errors import ArtifactDamaged, InvalidData, Stopped
from seqd.hookspecs import Artifact
from seqd.inputs import TextDataset
from seqd.testing import CPU, MemoryTrainContext, train_to_artifact
from seqd_markov import Markov, TrainParameters


def a_version(folder, text="Abab a.", held_out=None, **parameters) -> Artifact:
    return train_to_artifact(
        Markov(),
        parameters,
        TextDataset(text, "a test"),
        folder,
        held_out=held_out and TextDataset(held_out, "held out"),
    )


def test_a_training_reports_what_it_counted(tmp_path):
    artifact = a_version(tmp_path)

    metrics = artifact.manifest.metrics
    assert sorted(metrics) == ["bits_per_char", "characters", "states", "transitions"]
    assert (metrics["characters"], metrics["states"], metrics["transitions"]) == (7, 4, 5)


def test_a_held_out_text_is_measured_too(tmp_path):
    metrics = a_version(tmp_path, held_out="BABA").manifest.metrics

    assert metrics["validation_bits_per_char"] > metrics["bits_per_char"]


def test_upper_case_is_kept_where_it_is_asked_for(tmp_path):
    folded, kept = a_version(tmp_path), a_version(tmp_path, lower_case=False)

    assert folded.manifest.metrics["states"] + 1 == kept.manifest.metrics["states"]


def test_a_training_reports_its_steps_and_one_epoch(tmp_path):
    context = MemoryTrainContext(tmp_path / "new", TextDataset("abab", "a test"))

    Markov().train(TrainParameters(), context)

    assert [(step.done, step.total) for step in context.steps] == [(0, 1), (1, 1)]
    assert [(report.epoch, report.epochs) for report in context.epochs] == [(1, 1)]


def test_the_same_text_gives_the_same_bytes(tmp_path):
    first, second = a_version(tmp_path), a_version(tmp_path)

    assert first.manifest.files == second.manifest.files


def test_both_files_have_the_permissions_of_a_file_made_by_the_user(tmp_path):
    context = MemoryTrainContext(tmp_path / "new", TextDataset("abab", "a test"))
    (tmp_path / "plain").write_bytes(b"")

    Markov().train(TrainParameters(), context)

    modes = {path.stat().st_mode for path in context.folder.iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_a_stop_ends_the_training_without_a_version(tmp_path):
    context = MemoryTrainContext(tmp_path, TextDataset("abab", "a test"), stop_after=0)

    with pytest.raises(Stopped, match="The counting was stopped after span 0 of 1"):
        Markov().train(TrainParameters(), context)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size", "different"), [("a", 1, 1), ("aaa", 3, 1), ("aA", 2, 1), ("\n \n", 3, 2)]
)
def test_a_text_of_one_character_or_of_blanks_cannot_be_learnt_from(
    tmp_path, text, size, different
):
    with pytest.raises(InvalidData) as raised:
        a_version(tmp_path, text)

    assert str(raised.value) == (
        f"The text has {size} characters, {different} of them different; a chain needs 2 different "
        "ones at least, and something else than spaces. Give a longer text."
    )


def test_a_missing_file_is_a_damaged_artifact(tmp_path):
    artifact = a_version(tmp_path)
    (artifact.folder / "chain.safetensors").unlink()

    with pytest.raises(ArtifactDamaged, match=r"^chain\.safetensors cannot be read: "):
        Markov().load(artifact, CPU)


def test_a_file_that_is_no_safetensors_is_a_damaged_artifact(tmp_path):
    artifact = a_version(tmp_path)
    (artifact.folder / "chain.safetensors").write_bytes(b"not a tensor")

    with pytest.raises(ArtifactDamaged, match=r"^chain\.safetensors cannot be read: "):
        Markov().load(artifact, CPU)


@pytest.mark.parametrize("change", [{"format": 2}, {"alphabet": ""}, {"order": 1}])
def test_a_config_that_is_not_this_formats_is_a_damaged_artifact(tmp_path, change):
    artifact = a_version(tmp_path)
    config = artifact.folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))

    with pytest.raises(ArtifactDamaged, match=r"^config\.json cannot be used: "):
        Markov().load(artifact, CPU)


DAMAGES = {
    "too many characters": ({"character_counts": np.ones(9, np.uint8)}, "has 9 entries for 4"),
    "too few rows": ({"row_starts": np.array([0, 5], np.uint8)}, "'row_starts' has 2 entries, not"),
    "falling rows": ({"row_starts": np.array([0, 3, 2, 2, 5], np.uint8)}, "does not rise from 0"),
    "unknown states": ({"successors": np.array([0, 1, 2, 3, 9], np.uint8)}, "states that there"),
    "a count of zero": ({"counts": np.array([1, 0, 1, 1, 1], np.uint8)}, "'counts' has a zero"),
    "floats": ({"counts": np.ones(5, np.float32)}, r"'counts' is float32 of shape \(5,\)"),
    "another tensor": ({"more": np.ones(1, np.uint8)}, "has the tensors"),
}


@pytest.mark.parametrize(("changes", "message"), DAMAGES.values(), ids=DAMAGES)
def test_tensors_that_do_not_fit_together_are_a_damaged_artifact(tmp_path, changes, message):
    artifact = a_version(tmp_path)
    path = artifact.folder / "chain.safetensors"
    save_file(load_file(path) | changes, path)

    with pytest.raises(ArtifactDamaged, match=message):
        Markov().load(artifact, CPU)
