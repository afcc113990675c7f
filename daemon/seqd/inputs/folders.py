"""Finds and reads the files of a labelled folder, `LABEL/*.txt`, as `aclImdb` has them.

Follows no link: a folder under an allowed root must not lead out of it. Used by `records`
and, to find the training half of the whole `aclImdb` folder, by `datasets`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from seqd.errors import InvalidInput
from seqd.inputs.faults import BadEntry, undecodable
from seqd.inputs.paths import open_regular, shown
from seqd.inputs.streams import MAX_LINE_BYTES
from seqd_schemas import ItemErrorCode

#: Label folder of reviews without a label, which nobody classifies or learns from.
UNLABELLED = "unsup"

_HALVES = ("test", "train")


def text_files(folder: Path) -> Iterator[str]:
    """Give the paths of all `LABEL/NAME.txt` within the folder, ordered by label and name.

    Raises InvalidInput if there is none.
    """
    found = False
    for label in _subfolders(folder):
        for name in _listed(folder / label):
            if name.endswith(".txt"):
                found = True
                yield f"{label}/{name}"
    if not found:
        raise InvalidInput(_no_texts(folder))


def training_half(folder: Path) -> Path:
    """Give the folder's `train` folder if it has one with label folders in it, else itself."""
    half = folder / "train"
    is_half = half.is_dir() and not half.is_symlink() and bool(_subfolders(half))
    return half if is_half else folder


def read_text_file(path: Path) -> str:
    """Read one small text file whole; raise BadEntry if it is none, InvalidInput if no file."""
    try:
        descriptor = open_regular(path)
    except InvalidInput as error:
        raise BadEntry(ItemErrorCode.INVALID_INPUT, str(error)) from None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_LINE_BYTES + 1)
    if len(content) > MAX_LINE_BYTES:
        raise BadEntry(
            ItemErrorCode.TOO_LONG, f"the file is longer than {MAX_LINE_BYTES:,} bytes. Split it"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise undecodable(error) from None


def _subfolders(folder: Path) -> list[str]:
    names = []
    for name in _listed(folder):
        path = folder / name
        if path.is_symlink() and path.is_dir():
            raise InvalidInput(
                f"{shown(path)} is a link; label folders must be folders. Copy it there instead"
            )
        if path.is_dir() and name != UNLABELLED and not name.startswith("."):
            names.append(name)
    return names


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InvalidInput(f"{shown(folder)} cannot be listed: {error.strerror}") from error


def _no_texts(folder: Path) -> str:
    halves = [name for name in _HALVES if (folder / name).is_dir()]
    if halves:
        return (
            f"{shown(folder)} holds no LABEL/*.txt; it has {' and '.join(halves)}. "
            "Name the one to read"
        )
    return f"{shown(folder)} holds no LABEL/*.txt, such as pos/0_9.txt; that is what is due here"
