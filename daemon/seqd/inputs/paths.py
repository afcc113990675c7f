"""Decides which file or folder an input is, and whether it may be opened at all.

Looks at names and kinds only and opens nothing but regular files. What is in a file is the
business of `streams` and `records`.
"""

import os
import stat
from pathlib import Path

from seqd.errors import InvalidInput
from seqd_schemas import FileFormat

#: Formats by the end of the name, in front of which `.gz` may follow.
KNOWN_SUFFIXES = {
    ".jsonl": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".txt": FileFormat.LINES,
}

_KINDS = (
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def check_path(path: str | Path, roots: tuple[Path, ...]) -> Path:
    """Give the real path, links resolved, of a file or folder under one of the roots.

    Raises InvalidInput for a relative path, one that leads outside all roots (existing or
    not: what lies outside is not told), a missing one, and what is no file or folder.
    """
    asked = Path(path)
    if not asked.is_absolute():
        raise InvalidInput(f"{shown(asked)} is a relative path; allowed: an absolute one")
    if not roots:
        raise InvalidInput(
            f"{shown(asked)} may not be read: no folder is open to jobs here. Upload the items, "
            "or set SEQD_INPUT_ROOTS on the workers to the folders that jobs may read"
        )
    real = _resolved(asked)
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        names = ", ".join(str(root) for root in roots)
        raise InvalidInput(
            f"{shown(asked)} is outside the folders that jobs may read: {names}. Move it there, "
            "or add its folder to SEQD_INPUT_ROOTS on the workers"
        )
    _status(real)
    return real


def locate(path: str | Path) -> Path:
    """Give the real path of an existing file or folder; raise InvalidInput if there is none."""
    real = _resolved(Path(path))
    _status(real)
    return real


def format_of(path: Path, declared: FileFormat) -> FileFormat:
    """Give the declared format, or for AUTO the one that the name tells.

    Raises InvalidInput where the name tells nothing, or where a folder meets a file's format.
    """
    if path.is_dir():
        if declared in (FileFormat.AUTO, FileFormat.FOLDER):
            return FileFormat.FOLDER
        raise InvalidInput(f"{shown(path)} is a folder; a {declared} input is one file")
    if declared is FileFormat.FOLDER:
        raise InvalidInput(f"{shown(path)} is a file; a folder input holds LABEL/*.txt")
    if declared is not FileFormat.AUTO:
        return declared
    plain = path.with_suffix("") if is_gzip(path) else path
    known = KNOWN_SUFFIXES.get(plain.suffix.lower())
    if known is None:
        raise InvalidInput(
            f"the format of {shown(path)} is unknown; known names end in "
            f"{', '.join(KNOWN_SUFFIXES)}, each also with .gz. Rename it, or name its format: "
            "jsonl, csv or lines"
        )
    return known


def is_gzip(path: Path) -> bool:
    """Tell whether the name says that the file is compressed with gzip."""
    return path.suffix.lower() == ".gz"


def open_regular(path: Path) -> int:
    """Open a regular file for reading and give its descriptor, which the caller closes.

    Never opens a device or waits on a pipe, and follows no link at the end of the path: pass
    the real path. Raises InvalidInput.
    """
    kind = _status(path)
    if stat.S_ISDIR(kind):
        raise InvalidInput(f"{shown(path)} is a folder; a file is due here")
    try:
        # Non-blocking, in case a pipe took the file's place since the look at it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"{shown(path)} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{shown(path)} is not a regular file any more")
    return descriptor


def shown(path: Path) -> str:
    """Give a path as a message shows it: control characters and surrogates escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        raise InvalidInput(f"{shown(path)} is not a usable path: {error}") from error


def _status(path: Path) -> int:
    """Give the mode of a file or folder; raise InvalidInput for anything else."""
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f"{shown(path)} does not exist. Check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"{shown(path)} cannot be read: {reason}") from error
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return mode
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
    raise InvalidInput(f"{shown(path)} is {kind}; allowed: a regular file or a folder")
