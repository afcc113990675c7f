"""What was measured of a version: `evaluations/VERSION.json` in its model's folder.

It stands beside the version and not in it, since a version never changes: evaluations on data that
came later, and speeds. It says which version it is of by a digest, so that it is not taken for that
of another one under the same number, such as the starter of another release.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from seqd.errors import UnknownModel
from seqd.models.disk import exclusive, write_atomically, writing
from seqd_schemas import (
    MAX_EVALUATIONS,
    MAX_SPEEDS,
    MeasuredSpeed,
    ModelManifest,
    Parameters,
    VersionEvaluation,
    VersionMeasurements,
    from_stored,
    to_stored,
)

log = logging.getLogger(__name__)

MEASUREMENTS_FOLDER: Final = "evaluations"

#: Largest file that is read, in bytes. A usual evaluation takes 3 kB; with 100 classes of the
#: longest names, eight of them stay below this.
_MAX_BYTES: Final = 16 * 2**20


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
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_MAX_BYTES)
        found = from_stored(VersionMeasurements, content)
    except FileNotFoundError:
        return VersionMeasurements(version_sha256=digest)
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        log.warning("%s cannot be read: %s", path, reason)
        return VersionMeasurements(version_sha256=digest)
    if found.version_sha256 != digest:
        return VersionMeasurements(version_sha256=digest)
    return found


def keep_evaluation(folder: Path, manifest: ModelManifest, evaluation: VersionEvaluation) -> None:
    """Keep an evaluation in the place of that of the same task, data and parameters.

    Raises StoreUnwritable, and UnknownModel where the version was removed meanwhile.
    """
    with _changing(folder, manifest):
        known = read_measurements(folder, manifest)
        others = [one for one in known.evaluations if _what(one) != _what(evaluation)]
        kept = (*others, evaluation)[-MAX_EVALUATIONS:]
        _write(folder, manifest, known.model_copy(update={"evaluations": kept}))


def keep_speed(folder: Path, manifest: ModelManifest, speed: MeasuredSpeed) -> None:
    """Keep a speed in the place of that of its machine, slot and task.

    Raises as `keep_evaluation` does.
    """
    with _changing(folder, manifest):
        known = read_measurements(folder, manifest)
        others = [one for one in known.speeds if _place(one) != _place(speed)]
        kept = (*others, speed)[-MAX_SPEEDS:]
        _write(folder, manifest, known.model_copy(update={"speeds": kept}))


def measurements_file(folder: Path, version: int) -> Path:
    """Return the file of a version's measurements, there or not; `folder` is its model's."""
    return folder / MEASUREMENTS_FOLDER / f"{version}.json"


@contextmanager
def _changing(folder: Path, manifest: ModelManifest) -> Iterator[None]:
    """Keep others from a model's folder, which is made for a starter that has none yet."""
    with writing(folder):
        (folder / MEASUREMENTS_FOLDER).mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        if manifest.version and not (folder / str(manifest.version)).is_dir():
            raise UnknownModel(f"{manifest.model}@{manifest.version} was removed meanwhile")
        yield


def _what(evaluation: VersionEvaluation) -> tuple[str, str, Parameters]:
    return evaluation.task, evaluation.data.sha256, evaluation.parameters


def _place(speed: MeasuredSpeed) -> tuple[str, str, str]:
    return speed.machine, speed.slot, speed.task


def _write(folder: Path, manifest: ModelManifest, measurements: VersionMeasurements) -> None:
    path = measurements_file(folder, manifest.version)
    write_atomically(path, f"{to_stored(measurements)}\n".encode())
