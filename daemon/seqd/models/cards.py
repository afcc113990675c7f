"""A version's card: its manifest, what was measured of it, and when it was in service.

What was measured stands in `evaluations/VERSION.json` in the model's folder, and not in the
version, which never changes: evaluations on data that came later, and speeds. It says which version
it is of by a digest, so that it is not taken for that of another one under the same number, such as
the starter of another release.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from seqd.errors import ArtifactDamaged, UnknownModel
from seqd.hookspecs import Artifact
from seqd.models.disk import read_file, writing
from seqd.models.model_records import PRODUCTION, measurements_file, read_stored, write_stored
from seqd.models.shared_store import repeated
from seqd.models.store import ModelStore
from seqd_schemas import (
    MAX_EVALUATIONS,
    MAX_SPEEDS,
    MeasuredSpeed,
    ModelCard,
    ModelManifest,
    VersionEvaluation,
    VersionMeasurements,
)

log = logging.getLogger(__name__)

#: Largest file that is read, in bytes. A usual evaluation takes 3 kB; with 100 classes of the
#: longest names, eight of them stay below this.
_MAX_BYTES: Final = 16 * 2**20

#: Files of tensors, and the longest head that is read, in bytes; a tensor takes about 100.
_TENSORS: Final = ".safetensors"
_MAX_HEAD_BYTES: Final = 2**24


def card_of(store: ModelStore, artifact: Artifact) -> ModelCard:
    """Return the card of a version. Raises ArtifactDamaged where labels cannot be read."""
    manifest = artifact.manifest
    name, version = manifest.model, manifest.version
    labels = store.labels(name)
    measured = read_measurements(store.folder_of(name), manifest)
    numbers = {
        file: numbers_in(artifact.folder / file)
        for file in manifest.files
        if file.endswith(_TENSORS)
    }
    return ModelCard(
        model=name,
        version=version,
        is_in_service=labels.get(PRODUCTION) == version,
        labels=tuple(sorted(label for label, number in labels.items() if number == version)),
        version_sha256=version_digest(manifest),
        size_bytes=manifest.size_bytes,
        numbers={file: count for file, count in numbers.items() if count is not None},
        manifest=manifest,
        evaluations=measured.evaluations,
        speeds=measured.speeds,
        history=tuple(
            change
            for change in store.history(name)
            if version in (change.from_version, change.to_version)
            or (change.rollout is not None and change.rollout.version == version)
        ),
    )


def numbers_in(path: Path) -> int | None:
    """Return the numbers of all tensors of a file; None where its head makes no sense.

    The head is JSON behind its length in eight bytes: each tensor's name with its shape.
    """
    try:
        length = int.from_bytes(read_file(path, 8), "little")
        if length > _MAX_HEAD_BYTES:
            return None
        head: dict[str, dict[str, list[int]]] = json.loads(read_file(path, 8 + length)[8:])
        tensors = (tensor for name, tensor in head.items() if name != "__metadata__")
        sizes: list[int] = [math.prod(tensor["shape"]) for tensor in tensors]
        return sum(sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def version_digest(manifest: ModelManifest) -> str:
    """Return the SHA-256 over a version's files: name and digest, a line each, sorted by name."""
    lines = (f"{name} {file.sha256}\n" for name, file in sorted(manifest.files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_measurements(folder: Path, manifest: ModelManifest) -> VersionMeasurements:
    """Return what was measured of a version; `folder` is its model's.

    Nothing where nothing was, and where the file is of another version or cannot be read, which a
    warning in the log says.
    """
    digest = version_digest(manifest)
    path = measurements_file(folder, manifest.version)
    try:
        found = read_stored(
            path, VersionMeasurements, "what was measured", "Mend or remove it", _MAX_BYTES
        )
        if found is not None and found.version_sha256 == digest:
            return found
    except ArtifactDamaged as error:
        log.warning("%s", error)
    return VersionMeasurements(version_sha256=digest)


def keep_evaluation(
    store: ModelStore, manifest: ModelManifest, evaluation: VersionEvaluation
) -> None:
    """Keep an evaluation in the place of that of the same task, data and parameters.

    Raises StoreUnwritable, and UnknownModel where the version was removed meanwhile.
    """

    def what(one: VersionEvaluation) -> tuple[object, ...]:
        return one.task, one.data.sha256, one.parameters

    def kept(known: VersionMeasurements) -> dict[str, object]:
        others = [one for one in known.evaluations if what(one) != what(evaluation)]
        return {"evaluations": (*others, evaluation)[-MAX_EVALUATIONS:]}

    _change(store, manifest, kept)


def keep_speed(store: ModelStore, manifest: ModelManifest, speed: MeasuredSpeed) -> None:
    """Keep a speed in the place of that of its machine, slot and task. Raises as above."""

    def place(one: MeasuredSpeed) -> tuple[str, str, str]:
        return one.machine, one.slot, one.task

    def kept(known: VersionMeasurements) -> dict[str, object]:
        others = [one for one in known.speeds if place(one) != place(speed)]
        return {"speeds": (*others, speed)[-MAX_SPEEDS:]}

    _change(store, manifest, kept)


@repeated
def _change(
    store: ModelStore,
    manifest: ModelManifest,
    change: Callable[[VersionMeasurements], dict[str, object]],
) -> None:
    """Change what was measured of a version; the folder is made where there is none."""
    folder = store.folder_of(manifest.model)
    file = measurements_file(folder, manifest.version)
    with writing(folder):
        file.parent.mkdir(parents=True, exist_ok=True)
    with store.changing(manifest.model):
        if manifest.version and not (folder / str(manifest.version)).is_dir():
            raise UnknownModel(f"{manifest.model}@{manifest.version} was removed meanwhile")
        known = read_measurements(folder, manifest)
        write_stored(file, known.model_copy(update=change(known)))
