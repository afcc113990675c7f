"""Sees that files of a plugin's source have changed, by reading their times again and again.

Not by the kernel's notices: those do not come from network shares, nor into containers from
another system's folders, where people edit, too. A hundred files take 1 ms to look at.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks, and how much of the time looking may take.
_LOOK_EVERY_S = 0.05
_LARGEST_SHARE = 0.1

#: Folders of a project that hold nothing of the plugin.
_NOT_SOURCE = frozenset({"__pycache__", "build", "dist", "node_modules", "site-packages"})

#: What a file is told by: when it was written, and its size.
_Seen = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Watched:
    """Which files: a folder with those below it, one folder's own, or one file."""

    path: Path
    is_recursive: bool = True

    def seen(self) -> _Seen:
        """Return what there is now; nothing where the folder is gone."""
        found: dict[str, tuple[int, int]] = {}
        for entry in self._files():
            try:
                status = entry.stat()
            except OSError:  # it went meanwhile
                continue
            found[str(Path(entry))] = status.st_mtime_ns, status.st_size
        return found

    def _files(self) -> "Iterator[os.DirEntry[str] | Path]":
        if self.path.is_file():
            yield self.path
            return
        folders = [str(self.path)]
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except OSError:
                continue
            if any(entry.name == "pyvenv.cfg" for entry in entries):
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self.is_recursive and _is_source_folder(entry.name):
                        folders.append(entry.path)
                elif _is_source_file(entry.name):
                    yield entry


class Watch:
    """Watches until it is closed; used by one thread."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._seen = watched.seen()

    def changed(self) -> list[str]:
        """Wait for a change and return the files that have changed, once nothing moves any more."""
        before, seen = self._seen, self._seen
        while True:
            began = time.monotonic()
            now = self._watched.seen()
            took_s = time.monotonic() - began
            if now == seen and now != before:
                self._seen = now
                return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            seen = now
            time.sleep(max(_LOOK_EVERY_S, took_s / _LARGEST_SHARE))


def _is_source_folder(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_SOURCE and not name.endswith(".egg-info")


def _is_source_file(name: str) -> bool:
    """Return False for what editors and Python write beside the source."""
    return not name.startswith((".", "#")) and not name.endswith(("~", ".pyc", ".swp", ".tmp"))
