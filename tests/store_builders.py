"""Builders of model stores: versions that hold next to nothing, and stores of before."""

from pathlib import Path

from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft, seal_folder
from seqd_schemas import DataFingerprint, FileDigest, ModelManifest, ServiceChange

DATA = DataFingerprint(description="none", records=1, sha256="0" * 64)


def a_version_draft(model: str = "topics", plugin: str = "", **changes: object) -> VersionDraft:
    """What a training says of its version."""
    fields: dict[str, object] = {
        "plugin_version": "1.0",
        "parameters": {},
        "metrics": {},
        "data": DATA,
        "created_at_ms": 1,
    }
    return VersionDraft(model=model, plugin=plugin, **(fields | changes))  # type: ignore[arg-type]


def publish(
    store: ModelStore,
    model: str = "topics",
    plugin: str = "",
    content: str = '{"records": 1}',
    **changes: object,
) -> int:
    """Publish a version as a training does that began no publication; returns its number."""
    folder = store.new_folder(model, "run")
    (folder / "echo.json").write_text(content)
    return store.publish(folder, a_version_draft(model, plugin, **changes)).version


def train(store: ModelStore, job_id: str, model: str = "topics", plugin: str = "echo") -> int:
    """Publish a version as the training of a job does, up to its commit."""
    folder = store.new_folder(model, job_id)
    (folder / "echo.json").write_text('{"records": 1}')
    store.begin_publish(model, job_id, "attempt-1")
    return store.publish(folder, a_version_draft(model, plugin, job_id=job_id), "attempt-1").version


def a_starter(folder: Path, model: str = "echo") -> Path:
    """Make the version 0 that ships with a plugin."""
    folder.mkdir(parents=True)
    (folder / "echo.json").write_text('{"records": 1}')
    seal_folder(folder, a_version_draft(model), 0)
    return folder


def a_change(from_version: int | None, to_version: int | None, **changes: object) -> ServiceChange:
    """A change of the version in service."""
    fields = {"at_ms": 1, "from_version": from_version, "to_version": to_version}
    return ServiceChange.model_validate(fields | changes)


def shape_of(store: ModelStore, model: str = "topics") -> list[tuple[int | None, int | None]]:
    """Return a model's history as pairs: from which version to which."""
    return [(one.from_version, one.to_version) for one in store.history(model)]


def a_manifest(**changes: object) -> ModelManifest:
    """The manifest of a version with one file."""
    fields: dict[str, object] = {
        "model": "topics",
        "plugin": "imdb_lstm",
        "version": 2,
        "plugin_version": "0.3.0",
        "parameters": {"epochs": 2},
        "metrics": {"validation_loss": 0.5},
        "data": DataFingerprint(description="topics.jsonl", records=4, sha256="1" * 64),
        "libraries": {"numpy": "2.4.6"},
        "created_at_ms": 1,
        "files": {"weights.safetensors": FileDigest(sha256="2" * 64, size_bytes=3_000)},
    }
    return ModelManifest.model_validate(fields | changes)


def manifests_of(store: ModelStore, model: str) -> list[ModelManifest]:
    """Return the manifests of a model's versions, each opened and checked."""
    return [store.open(model, number).manifest for number in store.numbers(model)]


def files_of(root: Path) -> dict[str, bytes]:
    """Return all files below a folder with their content, but for locks."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
