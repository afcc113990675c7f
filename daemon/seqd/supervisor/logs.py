"""One log file for each slot, appended to by its workers, bounded at each start.

A worker writes to the open file itself, so the supervisor may die without losing a line; the
price is that the bound holds only between two starts.
"""

import re
from pathlib import Path
from typing import BinaryIO

from seqd.errors import InvalidSettings

#: A log that is longer at a worker's start is set aside as `.1`, in place of the one before.
MAX_LOG_BYTES = 10 * 1024 * 1024

#: What is read back at most to show a log's end.
_TAIL_BYTES = 16 * 1024


def log_path(folder: Path, slot: str) -> Path:
    """Name the log of a slot: `train@cpu` writes `train-cpu.log`."""
    return folder / f"{re.sub('[^A-Za-z0-9_]+', '-', slot)}.log"


def make_log_folder(folder: Path) -> None:
    """Make the folder; raises InvalidSettings where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(
            f"SEQD_DATA_DIR is {folder.parent}, where {folder} cannot be made ({error.strerror}): "
            "set it to a folder that this user may write."
        ) from None


def open_log(path: Path, max_bytes: int = MAX_LOG_BYTES) -> BinaryIO:
    """Open a log for a worker to append to, after setting a long one aside."""
    if path.exists() and path.stat().st_size > max_bytes:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def last_lines(path: Path, count: int, since_byte: int = 0) -> list[str]:
    """Give up to `count` last lines that were written behind byte `since_byte`."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(since_byte, end - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    return text.splitlines()[-count:]
