"""Where uploaded files lie: in a folder, or in a bucket of S3.

A file is under its name from its first byte on; that it is whole its record says.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from seqd.inputs.buckets import ObjectContent
from seqd.inputs.paths import KNOWN_SUFFIXES, Compression
from seqd.inputs.streams import Content, FileContent
from seqd.objects import Objects, Wording

#: Ends of the names of files, which tell workers their format.
_ENDS: Final = [
    known + end for known in KNOWN_SUFFIXES for end in ("", *(one.suffix for one in Compression))
]

_WORDING: Final = Wording(
    called="the place of uploaded files ",
    bucket="set SEQD_GATEWAY_FILES to s3://BUCKET/FOLDER of one that is there",
    writers="the gateway needs",
    meanwhile="Callers are told to try again",
)


def name_of(file_id: str, filename: str) -> str:
    """Return the name of a file where it lies: it ends as the caller's, else as JSON Lines do."""
    ends = [end for end in _ENDS if filename.lower().endswith(end)]
    return f"{file_id}{ends[0] if ends else '.jsonl'}"


class FileWriter(Protocol):
    """A file that is written."""

    def write(self, data: bytes, /) -> object:
        """Add to its content."""

    def finish(self) -> None:
        """Have all of it be there, whatever happens to the machine."""

    def close(self) -> None:
        """Write nothing more; what is not finished is for `FilePlace.remove`."""


class FilePlace(Protocol):
    """All uploaded files. Raises OSError, and of a bucket StoreUnreachable and StoreUnwritable."""

    def path_of(self, name: str) -> str:
        """Return what names a file to workers."""

    def create(self, name: str) -> FileWriter:
        """Begin a file."""

    def open(self, name: str) -> Content:
        """Open a whole file; also raises InvalidInput where it is away."""

    def remove(self, file_ids: Sequence[str]) -> None:
        """Remove what there is of files, whole or begun."""


@cache
def place_of(root: Path | str) -> FilePlace:
    """Return the place at a path or a URL. Raises InvalidSettings where s3fs is not installed."""
    return _Folder(root) if isinstance(root, Path) else _Bucket(root)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path_of(self, name: str) -> str:
        return str(self._folder / name)

    def create(self, name: str) -> FileWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        return _NewFile(self._folder / name)

    def open(self, name: str) -> Content:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        return FileContent(os.open(self._folder / name, flags))

    def remove(self, file_ids: Sequence[str]) -> None:
        for file_id in file_ids:
            for end in _ENDS:
                (self._folder / f"{file_id}{end}").unlink(missing_ok=True)


class _NewFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o666)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> None:
        os.fsync(self._descriptor)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._descriptor)


class _Bucket:
    def __init__(self, url: str) -> None:
        self._objects = Objects(url, _WORDING)

    def path_of(self, name: str) -> str:
        return f"{self._objects.url}/{name}"

    def create(self, name: str) -> FileWriter:
        return self._objects.writer(name)

    def open(self, name: str) -> Content:
        return ObjectContent(self.path_of(name))

    def remove(self, file_ids: Sequence[str]) -> None:
        for file_id in file_ids:
            self._objects.remove_begun(file_id)
            for name in self._objects.files("", file_id):
                self._objects.remove(name)
