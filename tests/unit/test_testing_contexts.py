"""What plugin authors test with: contexts that record, and a training down to its artifact."""

import json

import numpy as np
import pytest
from pydantic import Field

from seqd.errors import InvalidParameters, PluginFault, Stopped
from seqd.hookspecs import (
    Checkpoint,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    TrainContext,
    TrainedModel,
)
from seqd.inputs.datasets import NamedDataset, TextDataset
from seqd.testing import (
    EpochReport,
    MemoryCheckpoints,
    MemoryTrainContext,
    SampleReport,
    StepReport,
    train_to_artifact,
)


class CountingParameters(PluginParameters):
    seed: int = Field(default=7, ge=0, le=99, description="Seed.")
    epochs: int = Field(default=2, ge=1, le=9, description="Epochs.")


class CountingModel(Model):
    """Counts characters; the smallest model that can be trained."""

    name = "counting"
    summary = "Counts characters."
    tasks = {"train": TaskSpec(CountingParameters)}  # noqa: RUF012

    def load(self, artifact, device) -> LoadedModel:
        raise NotImplementedError

    def train(self, parameters, context) -> TrainedModel:
        assert isinstance(parameters, CountingParameters)
        if context.data.named:
            count = 3
            if context.data.named == "counting:known":
                context.fingerprint(3, "1" * 64)
        else:
            count = len(context.data.text())
        for epoch in range(1, parameters.epochs + 1):
            if context.stop_requested():
                raise Stopped("asked to")
            context.epoch(epoch, parameters.epochs, 0.1, loss=1 / epoch)
        (context.folder / "count.json").write_text(json.dumps(count))
        return TrainedModel(metrics={"characters": count}, libraries={"numpy": "2"})


def test_a_training_context_keeps_what_it_is_told(tmp_path):
    data = TextDataset("abab", "two letters")
    context = MemoryTrainContext(tmp_path / "new", data)
    protocol: TrainContext = context

    protocol.step(1, 4, loss=2.0)
    protocol.epoch(1, 2, 0.5, loss=1.5)
    protocol.sample(1, 0.5, "a", "bab")
    protocol.log("hello")
    protocol.fingerprint(4, "0" * 64)

    assert context.steps == [StepReport(1, 4, {"loss": 2.0})]
    assert context.epochs == [EpochReport(1, 2, 0.5, {"loss": 1.5})]
    assert context.samples == [SampleReport(1, 0.5, "a", "bab")]
    assert context.logs == ["hello"]
    assert context.stated_fingerprint == (4, "0" * 64)
    assert list(context.folder.iterdir()) == []
    assert context.checkpoints.last is None
    assert (context.data, context.held_out) == (data, None)


def test_a_second_context_goes_on_from_the_checkpoints_and_the_epochs_saved_of_a_first(tmp_path):
    checkpoints = MemoryCheckpoints(due_every=2)
    data = TextDataset("abab", "two letters")
    first = MemoryTrainContext(tmp_path / "first", data, checkpoints=checkpoints)
    second = MemoryTrainContext(tmp_path / "second", data, checkpoints=checkpoints)

    fresh = second.checkpoints.load()
    due = [first.checkpoints.due() for _ in range(4)]
    first.checkpoints.save({"a": np.array([1.5])}, {"epoch": 0})
    first.epoch(1, 3, 0.5, loss=2.0)
    first.checkpoints.save({"a": np.array([2.5])}, {"epoch": 1})
    first.epoch(2, 3, 0.5, loss=1.5)
    found = second.checkpoints.load()
    second.epoch(2, 3, 0.25, loss=1.5)

    assert fresh is None
    assert due == [False, True, False, True]
    assert found is not None
    assert (found.arrays["a"].tolist(), found.progress) == ([2.5], {"epoch": 1})
    assert (checkpoints.saves, checkpoints.resumes) == (2, 1)
    assert [(one.epoch, one.seconds) for one in second.curve.epochs] == [(1, 0.5), (2, 0.25)]
    second.checkpoints.save({}, {"epoch": 2})
    assert first.checkpoints.load() == Checkpoint({}, {"epoch": 2})


def test_what_a_disk_could_not_keep_is_refused_in_memory_too(tmp_path):
    context = MemoryTrainContext(tmp_path, TextDataset("abab", "two letters"))

    with pytest.raises(PluginFault, match="numbers of NumPy go into arrays"):
        context.checkpoints.save({}, {"loss": np.float64(1)[None]})


def test_a_training_ends_as_an_artifact_with_a_real_manifest_and_the_next_version(tmp_path):
    data = TextDataset("abab", "two letters")

    artifact = train_to_artifact(CountingModel(), {"epochs": 3}, data, tmp_path)
    second = train_to_artifact(CountingModel(), CountingParameters(seed=8), data, tmp_path)

    manifest = artifact.manifest
    assert (artifact.folder / "count.json").read_text() == "4"
    assert (manifest.model, manifest.version, manifest.seed) == ("counting", 1, 7)
    assert manifest.parameters == {"seed": 7, "epochs": 3}
    assert manifest.metrics == {"characters": 4.0}
    assert manifest.data == data.fingerprint()
    assert manifest.files["count.json"].size_bytes == 1
    assert (second.manifest.version, second.manifest.seed) == (2, 8)


def test_a_named_data_sets_fingerprint_is_the_one_that_the_training_stated(tmp_path):
    artifact = train_to_artifact(CountingModel(), {}, NamedDataset("counting:known"), tmp_path)

    assert artifact.manifest.data.model_dump(exclude_defaults=True) == {
        "description": "counting:known",
        "records": 3,
        "sha256": "1" * 64,
    }


@pytest.mark.parametrize(
    ("parameters", "data", "refusal", "said"),
    [
        ({}, NamedDataset("counting:other"), PluginFault, r"never called context\.fingerprint"),
        (
            {"epochs": 10},
            TextDataset("a", "a"),
            InvalidParameters,
            r"^counting train: parameter 'epochs' is 10: Input should be less than or equal to \d",
        ),
    ],
)
def test_a_training_without_a_fingerprint_or_out_of_range_is_refused(
    tmp_path, parameters, data, refusal, said
):
    with pytest.raises(refusal, match=said):
        train_to_artifact(CountingModel(), parameters, data, tmp_path)


def test_a_report_that_a_worker_could_not_publish_fails_the_test_as_well(tmp_path):
    context = MemoryTrainContext(tmp_path / "new", TextDataset("abab", "two letters"))

    with pytest.raises(PluginFault) as refusal:
        context.epoch(1, 3, float("nan"), loss=0.5)

    assert str(refusal.value) == (
        "The training reports what cannot be published, by context.epoch(): seconds is nan: Input "
        "should be a finite number. Correct the plugin."
    )
    assert context.epochs == []
