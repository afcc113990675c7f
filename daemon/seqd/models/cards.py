"""A version's card: its manifest, what was measured of it, and when it was in service."""

from seqd.hookspecs import Artifact
from seqd.models.labels import PRODUCTION
from seqd.models.measurements import read_measurements, version_digest
from seqd.models.store import ModelStore
from seqd.models.tensor_files import SUFFIX, numbers_in
from seqd_schemas import ModelCard, ServiceChange


def card_of(store: ModelStore, artifact: Artifact) -> ModelCard:
    """Return the card of a version. Raises ArtifactDamaged where labels cannot be read."""
    manifest = artifact.manifest
    name, version = manifest.model, manifest.version
    labels = store.labels(name)
    measured = read_measurements(store.folder_of(name), manifest)
    return ModelCard(
        model=name,
        version=version,
        is_in_service=labels.get(PRODUCTION) == version,
        labels=tuple(sorted(label for label, number in labels.items() if number == version)),
        version_sha256=version_digest(manifest),
        size_bytes=manifest.size_bytes,
        numbers=_numbers(artifact),
        manifest=manifest,
        evaluations=measured.evaluations,
        speeds=measured.speeds,
        history=tuple(
            change
            for change in store.history(name)
            if version in (change.from_version, change.to_version, _tried_in(change))
        ),
    )


def _tried_in(change: ServiceChange) -> int | None:
    return None if change.rollout is None else change.rollout.version


def _numbers(artifact: Artifact) -> dict[str, int]:
    names = (name for name in artifact.manifest.files if name.endswith(SUFFIX))
    counts = {name: numbers_in(artifact.folder / name) for name in names}
    return {name: number for name, number in counts.items() if number is not None}
