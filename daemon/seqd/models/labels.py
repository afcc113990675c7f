"""Labels of one model's versions, such as `production`, in `labels.json` beside them.

Reads and replaces that file and checks the names. `store` resolves
references, and `latest`, which is computed and never stored.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from seqd.errors import ArtifactDamaged, InvalidRequest
from seqd.models.disk import exclusive, write_atomically, writing

#: The label of the highest version; nobody sets it.
LATEST = "latest"
#: The label that a bare model name means, where it is set.
PRODUCTION = "production"

_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def read_labels(folder: Path) -> dict[str, int]:
    """Return the stored labels of a model's folder; raise ArtifactDamaged if they make no sense."""
    path = folder / "labels.json"
    try:
        labels = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ArtifactDamaged(f"{path} cannot be read: {error}. Mend or remove it") from error
    if not isinstance(labels, dict) or not all(type(number) is int for number in labels.values()):
        raise ArtifactDamaged(f"{path} is not an object of version numbers. Mend or remove it")
    return labels


def write_label(folder: Path, label: str, version: int) -> None:
    """Move one label, leaving the others as they are even if somebody moves them right now."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        write_labels(folder, read_labels(folder) | {label: version})


def write_labels(folder: Path, labels: Mapping[str, int]) -> None:
    """Replace all stored labels; the caller holds the model's lock."""
    content = json.dumps(dict(labels), indent=2, sort_keys=True) + "\n"
    write_atomically(folder / "labels.json", content.encode())


def check_label(label: str) -> None:
    """Raise InvalidRequest for a label that cannot be set."""
    if label == LATEST:
        raise InvalidRequest("the label latest is always the highest version; set another label")
    if _LABEL.fullmatch(label) is None:
        raise InvalidRequest(
            f"{label!r} is not a label; allowed: up to 40 of a-z 0-9 _ - with a letter in front"
        )
