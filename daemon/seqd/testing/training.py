"""Runs a plugin's training the way a worker does, without one, down to a checked artifact."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from seqd import __version__
from seqd.errors import InvalidParameters, PluginFault
from seqd.hookspecs import Artifact, Dataset, Model, PluginParameters
from seqd.inputs.datasets import RecordDataset, stated_fingerprint
from seqd.kinds import TRAIN
from seqd.models.agreement import ask_trained, check_saved
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft
from seqd.testing.contexts import MemoryCheckpoints, MemoryTrainContext
from seqd.validation import fault_sentence
from seqd_schemas import DataFingerprint, ParameterValue

_JOB_ID = "test"


def train_to_artifact(
    model: Model,
    parameters: PluginParameters | Mapping[str, ParameterValue],
    data: Dataset,
    folder: Path,
    *,
    held_out: Dataset | None = None,
    stop_after: int | None = None,
    checkpoints: MemoryCheckpoints | None = None,
) -> Artifact:
    """Train, publish the version into a model store in `folder`, and open it again.

    The artifact's files and manifest are real: digests, parameters, metrics, fingerprint. A
    second call with the same folder makes the next version. Raises what the training raises
    (Stopped, where `stop_after` makes it stop), InvalidParameters, PluginFault where it leaves
    files that no version may hold, and VersionDiffers where they are not what was trained; then
    nothing stays in the store but what it saved in `checkpoints`, which another call goes on from.
    """
    checked = parameters_of(model, parameters)
    store = ModelStore(folder, {})
    staged = store.new_folder(model.name, _JOB_ID)
    context = MemoryTrainContext(
        staged, data, held_out, checkpoints=checkpoints, stop_after=stop_after
    )
    try:
        draft = train(model, checked, context, __version__)
        manifest = store.publish(staged, draft)
    finally:
        store.discard(staged)
    return store.open(model.name, manifest.version)


def train(
    model: Model,
    parameters: PluginParameters,
    context: MemoryTrainContext,
    plugin_version: str,
    preset: str | None = None,
) -> VersionDraft:
    """Train into the context's folder, and return what the manifest of the version is to say.

    Raises what the training raises, PluginFault for files that no version may hold or that cannot
    be loaded, and VersionDiffers where they are not what was trained.
    """
    trained = model.train(parameters, context)
    values = parameters.model_dump(mode="json")
    seed, held_out = values.get("seed"), context.held_out
    draft = VersionDraft(
        model=model.name,
        plugin_version=plugin_version,
        preset=preset,
        parameters=values,
        metrics=trained.metrics,
        epochs=context.curve.epochs,
        seed=seed if isinstance(seed, int) else None,
        data=_fingerprint(context.data, context),
        held_out=held_out.fingerprint_if_read() if isinstance(held_out, RecordDataset) else None,
        libraries=trained.libraries,
    )
    answers = ask_trained(model, trained, context)
    del trained  # else it would be in memory twice
    check_saved(context.folder, draft, answers)
    return draft


def parameters_of(
    model: Model, parameters: PluginParameters | Mapping[str, ParameterValue]
) -> PluginParameters:
    """Return a training's parameters, read by its class. Raises InvalidParameters."""
    if isinstance(parameters, PluginParameters):
        return parameters
    if TRAIN not in model.tasks:
        raise InvalidParameters(f"{model.name} has no task train; it has {', '.join(model.tasks)}")
    try:
        return model.tasks[TRAIN].parameters.model_validate(dict(parameters))
    except ValidationError as error:
        fault = fault_sentence(error, noun="parameter")
        raise InvalidParameters(f"{model.name} {TRAIN}: {fault}.") from None


def _fingerprint(data: Dataset, context: MemoryTrainContext) -> DataFingerprint:
    if isinstance(data, RecordDataset):
        return data.fingerprint()
    if context.stated_fingerprint is None:
        raise PluginFault(
            f"the training never called context.fingerprint, so nobody knows what {data.named} held"
        )
    records, sha256 = context.stated_fingerprint
    return stated_fingerprint(data.description, records, sha256, context.stated_classes)
