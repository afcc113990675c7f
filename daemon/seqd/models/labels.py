"""Labels of one model's versions, such as `production`, in `labels.json` beside them.

Reads and replaces that file and checks what is in it, since people edit it and restore it from
backups. `store` resolves references, and `latest`, which is computed and never stored.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from seqd.errors import ArtifactDamaged, InvalidRequest
from seqd.models.disk import write_atomically

LABELS_FILE_NAME = "labels.json"

#: The label of the highest version; nobody sets it.
LATEST = "latest"
#: The label of the version in service, which a bare model name means.
PRODUCTION = "production"

#: The label of the version that is about to go into service: workers load it before it does.
CANDIDATE = "candidate"

#: Labels of a model, and bytes of its file, that are read: a catalog entry takes no more.
MAX_LABELS = 1_000
_MAX_BYTES = 128 * 1024

#: The highest number that a version can have.
_MAX_VERSION = 999_999_999

_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")

#: What tells one state of the file from another; None where there is no file.
Signature = tuple[int, int, int, int] | None


def read_labels(folder: Path) -> dict[str, int]:
    """Return the stored labels of a model's folder; raise ArtifactDamaged if they make no sense.

    Whether the versions are there is not looked at.
    """
    path = folder / LABELS_FILE_NAME
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        labels: object = json.loads(content) if len(content) <= _MAX_BYTES else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactDamaged(f"{path} cannot be read: {error}. Mend or remove it") from error
    if len(content) > _MAX_BYTES:
        fault = f"has more than {_MAX_BYTES} bytes"
    elif isinstance(labels, dict) and all(type(number) is int for number in labels.values()):
        fault = _fault_of(labels)
    else:
        fault = "is not an object of version numbers"
    if fault:
        raise ArtifactDamaged(f"{path} {fault}. Mend or remove it")
    return cast(dict[str, int], labels)


def _fault_of(labels: Mapping[str, int]) -> str:
    """Return what is wrong with labels, '' for nothing."""
    if len(labels) > MAX_LABELS:
        return f"has {len(labels):,} labels; allowed: {MAX_LABELS:,}"
    for label, number in labels.items():
        if label == LATEST or _LABEL.fullmatch(label) is None:
            return f"has {label!r:.60}, which no version can be labelled"
        if not 0 <= number <= _MAX_VERSION:
            return f"has {label} at {number}; allowed: 0 to {_MAX_VERSION}"
    return ""


def signature_of(path: Path) -> Signature:
    """Return what changes with each change of a file, of a restored backup too."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def write_labels(folder: Path, labels: Mapping[str, int]) -> None:
    """Replace all stored labels; the caller holds the model's lock."""
    content = json.dumps(dict(labels), indent=2, sort_keys=True) + "\n"
    write_atomically(folder / LABELS_FILE_NAME, content.encode())


def check_label(label: str) -> None:
    """Raise InvalidRequest for a label that cannot be set."""
    if label == LATEST:
        raise InvalidRequest("the label latest is always the highest version; set another label")
    if _LABEL.fullmatch(label) is None:
        raise InvalidRequest(
            f"{label!r} is not a label; allowed: up to 40 of a-z 0-9 _ - with a letter in front"
        )
