"""Memory in which a child counts, and which its parent reads; on Linux only.

It is the parent's, so what was counted stays when a child dies, up to the last step, and the next
child goes on. It has no name in any folder: no file is left behind, and no full disk matters. Its
pages are reserved when it is made, and it cannot shrink, so no write to it can fail.

Each series has an entry, with its name and labels, and numbers. Numbers are written in place.
"""

import fcntl
import json
import logging
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, Self

log = logging.getLogger(__name__)

#: Entries and numbers for 100 models with all that is counted of each.
_ENTRY_BYTES: Final = 192 * 1024
_NUMBERS: Final = 24 * 1024

#: Numbers of the widest series.
_WIDEST: Final = 32

#: How many bytes of the entries are written: they count once this says so.
_HEAD_BYTES: Final = 8
_BYTES: Final = _HEAD_BYTES + _ENTRY_BYTES + 8 * _NUMBERS

#: In front of each entry: its numbers, and the bytes of its text.
_ENTRY = struct.Struct("=HH")
_NAME: Final = "seqd-metrics"


@dataclass(frozen=True, slots=True)
class Series:
    """One series: what is counted, its labels' values, and its numbers."""

    name: str
    labels: tuple[str, ...]
    numbers: tuple[float, ...]


class CounterMemory:
    """The memory. One process writes at a time; it may do so from several threads."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor of it."""
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, _BYTES)
        self._view = memoryview(self._map)
        self._used = self._view[:_HEAD_BYTES].cast("q")
        #: Written in place: `numbers[at] += 1`.
        self.numbers = self._view[_HEAD_BYTES + _ENTRY_BYTES :].cast("d")
        self._lock = Lock()
        self._places: dict[tuple[str, ...], int] = {}
        #: The first stand for all series for which there is no room.
        self._next = _WIDEST
        for series, at in self._entries():
            self._places[series.name, *series.labels] = at
            self._next = at + len(series.numbers)

    @classmethod
    def create(cls) -> Self | None:
        """Make it, in the parent, before its child starts; None where that is not possible."""
        if not hasattr(os, "memfd_create"):
            log.warning("no work is counted for metrics: this system has no memfd")
            return None
        try:
            descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.posix_fallocate(descriptor, 0, _BYTES)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        except OSError as error:
            log.warning("no work is counted for metrics: %d bytes of memory: %s", _BYTES, error)
            return None
        return cls(descriptor)

    @classmethod
    def of_parent(cls) -> Self | None:
        """Open that of this process's parent; None where it has none."""
        folder = Path(f"/proc/{os.getppid()}/fd")
        for link in folder.iterdir() if os.access(folder, os.R_OK) else ():
            with suppress(FileNotFoundError):  # closed just now
                if str(link.readlink()).startswith(f"/memfd:{_NAME} "):
                    return cls(os.open(link, os.O_RDWR | os.O_CLOEXEC))
        log.warning("no work is counted for metrics: no memory for it in %s", folder)
        return None

    def place(self, name: str, *labels: str, width: int = 1) -> int:
        """Return where the numbers of a series begin; a new one has zeros."""
        key = (name, *labels)
        with self._lock:
            known = self._places.get(key)
            if known is not None:
                return known
            text = json.dumps(key).encode()
            entry, used = _ENTRY.pack(width, len(text)) + text, self._used[0]
            if used + len(entry) > _ENTRY_BYTES or self._next + width > _NUMBERS:
                return 0
            begin = _HEAD_BYTES + used
            self._view[begin : begin + len(entry)] = entry
            self._used[0] = used + len(entry)  # last: a reader sees it whole, or not at all
            self._places[key] = at = self._next
            self._next += width
            return at

    def series(self) -> Iterator[Series]:
        """Yield all series, in the order in which they were added."""
        for series, _ in self._entries():
            yield series

    def clear(self, name: str) -> None:
        """Set the numbers of all series of a name to 0."""
        for series, at in self._entries():
            if series.name == name:
                for place in range(at, at + len(series.numbers)):
                    self.numbers[place] = 0.0

    def _entries(self) -> Iterator[tuple[Series, int]]:
        entries = bytes(self._view[_HEAD_BYTES : _HEAD_BYTES + self._used[0]])
        begin, at = 0, _WIDEST
        while begin < len(entries):
            width, size = _ENTRY.unpack_from(entries, begin)
            begin += _ENTRY.size
            name, *labels = json.loads(entries[begin : begin + size])
            yield Series(name, tuple(labels), tuple(self.numbers[at : at + width])), at
            begin, at = begin + size, at + width
