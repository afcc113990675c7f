"""A folder that workers write the results of a job into: part files, and a manifest at the end.

A part is put once: whoever finds one under its name takes that for the result, and changes nothing.
So two workers that do the same work leave one file, whatever each of them does later. All goes
through `PartFolder`, which takes few steps of the place where it is: of a disk, or of a bucket.
"""

import errno
import json
import logging
import os
import re
import secrets
from collections.abc import Collection
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from seqd.errors import (
    InvalidInput,
    OutputExists,
    OutputUnwritable,
    StoreUnreachable,
    StoreUnwritable,
)
from seqd.inputs.buckets import bucket_of, refusals_as
from seqd.inputs.paths import Access, Roots, below_roots, open_below, shown
from seqd.objects import is_url

log = logging.getLogger(__name__)

#: Names the job that the folder is of; hidden, as drafts are, from whoever reads a folder of data.
OWNER = ".seqd-job"
MANIFEST = "manifest.json"

#: What a folder of `--engine ray` has in the place of a job's name.
_OF_RAY = re.compile("ray-[0-9a-f]{24}")

#: Names that seqd writes, and those of drafts, with a point in front and eight digits behind.
_WRITTEN = re.compile(
    r"(\.)?(part-\d{8,}(-(?P<job>[^.]+))?\.jsonl|manifest\.json|\.seqd-job)(?(1)\.[0-9a-f]{8})"
)

_DRAFT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def part_name(unit: int, job_id: str | None) -> str:
    """Return the name of the file with a unit's results; `job_id` is set of a retry."""
    return f"part-{unit:08d}.jsonl" if job_id is None else f"part-{unit:08d}-{job_id}.jsonl"


_WRITE = Access(
    "written to",
    "write to",
    "SEQD_OUTPUT_ROOTS",
    "Leave the output folder out, so that the results go through Redis",
)


def output_place(folder: str, roots: Roots) -> str:
    """Return the real path, or the URL, of a folder below one of the roots. Raises InvalidInput."""
    return below_roots(folder, roots, _WRITE)


class Place(Protocol):
    """Where files of one folder are, by their names. Steps raise OSError, or StoreUnwritable."""

    def names(self) -> Collection[str]:
        """Return the names of all files."""

    def size_of(self, name: str) -> int | None:
        """Return the bytes of a file; None where there is none."""

    def read(self, name: str) -> bytes:
        """Return what a file holds. Raises FileNotFoundError."""

    def put_once(self, name: str, content: bytes) -> bool:
        """Write a file; False where there is one."""

    def replace(self, name: str, content: bytes) -> None:
        """Write a file as a whole, over one that may be there."""

    def remove(self, name: str) -> None:
        """Remove a file, if it can be."""

    def close(self) -> None:
        """Close the folder."""


class PartFolder:
    """A folder of parts that is open. Steps raise what those of its place do."""

    def __init__(self, folder: str) -> None:
        """`folder` is a real path, or a URL."""
        self.name = folder
        self._place: Place = _Bucket(folder) if is_url(folder) else _Disk(Path(folder))

    @classmethod
    def claim(cls, folder: str, job_id: str, continued: Collection[str]) -> None:
        """Make a folder, and give it to a job; one that is given is for those that continue it.

        Raises OutputExists where it holds something else or is another job's, and OutputUnwritable
        where it cannot be made or written to; StoreUnreachable where a bucket does not answer.
        """
        try:
            if not is_url(folder):
                with suppress(FileExistsError):
                    Path(folder).mkdir()
            with closing(cls(folder)) as opened, refusals_as(OutputUnwritable):
                opened._claim(job_id, continued)
        except OSError as error:
            raise OutputUnwritable(
                f"{shown(folder)} cannot be written to by the workers ({error.strerror}). Name a "
                "folder that they may write to, in one that exists"
            ) from error

    def _claim(self, job_id: str, continued: Collection[str]) -> None:
        owner, name = self.owner(), shown(self.name)
        if owner is None:
            if names := [one for one in self._place.names() if not one.startswith(f".{OWNER}.")]:
                raise OutputExists(
                    f"{name} is not empty: it holds {shown(min(names))}. Name a new folder, or "
                    "empty it"
                )
            owner = self.put_once(OWNER, job_id.encode()).decode()
        if owner in continued:
            self.replace(OWNER, job_id.encode())
        elif owner != job_id:
            raise OutputExists(f"{name} holds the results of {self._held_by(owner)}")
        if self._place.put_once(OWNER, job_id.encode()):
            raise OutputUnwritable(
                f"the server of {name} puts an object whatever the condition (If-None-Match), so "
                "workers would undo each other's results. Name a folder in a bucket of one that "
                "keeps to it, as Amazon S3 does"
            )

    def _held_by(self, owner: str) -> str:
        """Return whose results the folder holds, and what to do."""
        if is_of_ray(owner):
            return "a job that --engine ray computed. Name a new folder"
        if self._is_whole():
            return f"job {shown(owner)}, which is complete. Name a new folder"
        return (
            f"job {shown(owner)}. Name a new folder; or, once that has ended, have done what it "
            f"left undone: seqd jobs retry {shown(owner)}"
        )

    def _is_whole(self) -> bool:
        """Return whether each item has a result, as the manifest says."""
        try:
            found = json.loads(self._place.read(MANIFEST))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(found, dict) and found.get("errored") == 0

    def owner(self) -> str | None:
        """Return the job that the folder is of; None where it is nobody's."""
        try:
            return self._place.read(OWNER).decode(errors="replace")
        except FileNotFoundError:
            return None

    def put_once(self, name: str, content: bytes) -> bytes:
        """Write a file that is not there; return what it holds, which may be of who was first."""
        return content if self._place.put_once(name, content) else self._place.read(name)

    def replace(self, name: str, content: bytes) -> None:
        """Write a file as a whole, over one that may be there."""
        self._place.replace(name, content)

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return self._place.read(name)

    def refuse_gone(self, name: str, size_bytes: int) -> None:
        """Raise InvalidInput where a part is not there any more, or has another size."""
        if self._place.size_of(name) != size_bytes:
            raise InvalidInput(
                f"{shown(self.name)}/{name}, which the workers wrote, is gone or another by now. "
                "Leave the folder to the job until it has ended"
            )

    def keep_only(self, parts: Collection[str], of_jobs: Collection[str]) -> None:
        """Remove the drafts of jobs, and their parts but these: what a retry has replaced."""
        kept = {*parts, OWNER, MANIFEST}
        for name in self._place.names():
            found = _WRITTEN.fullmatch(name)
            if found and name not in kept and found["job"] in {None, *of_jobs}:
                self._place.remove(name)

    def close(self) -> None:
        """Close the folder."""
        self._place.close()


class _Disk:
    """A folder of a disk, which is open: what takes its place at its path is none of it."""

    def __init__(self, path: Path) -> None:
        self._folder = open_below(path, _FOLDER_FLAGS)

    def names(self) -> Collection[str]:
        with os.scandir(self._folder) as entries:
            return [entry.name for entry in entries]

    def size_of(self, name: str) -> int | None:
        with suppress(FileNotFoundError):
            return os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_size
        return None

    def read(self, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=self._folder), "rb") as file:
            return file.read()

    def put_once(self, name: str, content: bytes) -> bool:
        draft = self._draft(name, content)
        try:
            os.link(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            return False
        finally:
            os.unlink(draft, dir_fd=self._folder)
        os.fsync(self._folder)
        return True

    def replace(self, name: str, content: bytes) -> None:
        draft = self._draft(name, content)
        os.replace(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(name, dir_fd=self._folder)

    def _draft(self, name: str, content: bytes) -> str:
        draft = f".{name}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, _DRAFT_FLAGS, 0o644, dir_fd=self._folder), "wb") as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                os.unlink(draft, dir_fd=self._folder)
                raise
        return draft

    def close(self) -> None:
        os.close(self._folder)


class _Bucket:
    """A folder of a bucket: what the names of its objects begin with."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bucket, self._folder = bucket_of(url)
        #: What was there when it was asked for; a request for each of many parts takes minutes.
        self._seen: dict[str, int] | None = None

    def names(self) -> Collection[str]:
        return self._sizes()

    def size_of(self, name: str) -> int | None:
        if self._seen is None:
            self._seen = self._sizes()
        return self._seen.get(name)

    def _sizes(self) -> dict[str, int]:
        found = self._bucket.files(self._folder)
        return {name: stat.size_bytes for name, stat in found.items()}

    def read(self, name: str) -> bytes:
        found = self._bucket.read(self._key(name))
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "No such object", f"{self._url}/{name}")
        return found[0]

    def put_once(self, name: str, content: bytes) -> bool:
        if self._bucket.put(self._key(name), content) is not None:
            return True
        if self._bucket.stat(self._key(name)) is None:
            raise StoreUnreachable(f"{self._url}/{name} is being put by another request just now")
        return False

    def replace(self, name: str, content: bytes) -> None:
        self._bucket.put(self._key(name), content, etag=None)
        if self._seen is not None:
            self._seen[name] = len(content)

    def remove(self, name: str) -> None:
        try:
            self._bucket.remove(self._key(name))
        except StoreUnwritable as error:  # the manifest tells what counts
            log.warning("%s/%s is left: %s", self._url, name, error)

    def close(self) -> None:
        pass

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name


def owner_by_ray(digest: str) -> str:
    """Return what stands for a job of `--engine ray`, by the digest of what it is asked for."""
    return f"ray-{digest[:24]}"


def is_of_ray(owner: str) -> bool:
    """Return whether a folder's owner is a job of `--engine ray`."""
    return _OF_RAY.fullmatch(owner) is not None


def owner_of(folder: str) -> str | None:
    """Return the job that a folder is of, if it is there and somebody's."""
    if not is_url(folder) and not Path(folder).is_dir():
        return None
    with closing(PartFolder(real_folder(folder))) as opened, refusals_as(InvalidInput):
        return opened.owner()


def read_part(folder: str, name: str, digest: str) -> bytes:
    """Return the content of a part. Raises InvalidInput where it is not there, or another.

    And StoreUnreachable where a bucket does not answer.
    """
    path = f"{folder.rstrip('/')}/{name}"
    try:
        with closing(PartFolder(real_folder(folder))) as opened, refusals_as(InvalidInput):
            content = opened.read(name)
    except OSError as error:
        raise InvalidInput(
            f"{shown(path)}, which has results of the job, cannot be read here "
            f"({error.strerror}). Read them where the folder is, as the workers see it"
        ) from error
    if sha256(content).hexdigest() != digest:
        raise InvalidInput(
            f"{shown(path)} is not what the workers wrote: somebody has changed it. Put it back, "
            "or hand the job in again"
        )
    return content


def real_folder(folder: str) -> str:
    """Return the real path, links resolved, of a folder; a URL as it is."""
    return folder.rstrip("/") if is_url(folder) else str(Path(folder).resolve())
