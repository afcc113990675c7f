"""What a model is: `model.json` in its folder, beside its versions, names the plugin's model.

Written with the model's first version: a model is made with one plugin as long as it has a version.
A plugin's own model of which nothing was trained has no such file. It also has the names that the
model had before it was renamed.
"""

import os
from pathlib import Path

from pydantic import ValidationError

from seqd.errors import ArtifactDamaged
from seqd.models.disk import write_atomically
from seqd_schemas import ModelFile, from_stored, to_stored

MODEL_FILE_NAME = "model.json"

#: Bytes of it that are read.
_MAX_BYTES = 64 * 1024


def read_plugin(folder: Path) -> str | None:
    """Return the plugin's model that a model is made with; None where the file is not there.

    Raises ArtifactDamaged where it makes no sense.
    """
    found = read_model_file(folder)
    return None if found is None else found.plugin


def read_model_file(folder: Path) -> ModelFile | None:
    """Return what the file says, None where it is not there; raises as `read_plugin` does."""
    path = folder / MODEL_FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactDamaged(f"{path} cannot be read: {error.strerror}. Mend it") from error
    try:
        return from_stored(ModelFile, content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ArtifactDamaged(
            f"{path} does not say what the model is made with: {place}: {first['msg']}. Mend it"
        ) from None


def write_plugin(folder: Path, plugin: str) -> None:
    """Write down what a model is made with; the caller holds the model's lock."""
    write_model_file(folder, ModelFile(plugin=plugin))


def write_model_file(folder: Path, model: ModelFile) -> None:
    """Replace the file; the caller holds the model's lock."""
    write_atomically(folder / MODEL_FILE_NAME, f"{to_stored(model)}\n".encode())
