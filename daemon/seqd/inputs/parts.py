"""A folder that workers write the results of a job into: part files, and a manifest at the end.

A part is put once: whoever finds one under its name takes that for the result, and changes nothing.
So two workers that do the same work leave one file, whatever each of them does later. All goes
through `PartFolder`, whose few steps another kind of place can offer, too.
"""

import os
import re
import secrets
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from seqd.errors import InvalidInput, OutputExists, OutputUnwritable
from seqd.inputs.paths import below_roots, open_below, shown

#: Names the job that the folder is of; hidden, as drafts are, from whoever reads a folder of data.
OWNER = ".seqd-job"
MANIFEST = "manifest.json"

#: Names that seqd writes, and those of drafts, with a point in front and eight digits behind.
_WRITTEN = re.compile(
    r"(\.)?(part-\d{8,}(-(?P<job>[^.]+))?\.jsonl|manifest\.json|\.seqd-job)(?(1)\.[0-9a-f]{8})"
)

_DRAFT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def part_name(unit: int, job_id: str | None) -> str:
    """Return the name of the file with a unit's results; `job_id` is set of a retry."""
    return f"part-{unit:08d}.jsonl" if job_id is None else f"part-{unit:08d}-{job_id}.jsonl"


def output_path(path: str, roots: tuple[Path, ...]) -> Path:
    """Return the real path of a folder below one of the roots. Raises InvalidInput."""
    return below_roots(
        path,
        roots,
        done="written to",
        does="write to",
        setting="SEQD_OUTPUT_ROOTS",
        instead="Leave the output out, so that the results go through Redis",
    )


class PartFolder:
    """A folder of parts that is open; every name is one in that folder. Steps raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = open_below(path, _FOLDER_FLAGS)

    @classmethod
    def claim(cls, path: Path, job_id: str, continued: Collection[str]) -> None:
        """Make a folder, and give it to a job; one that is given is for those that continue it.

        Raises OutputExists where it holds something else or is another job's, and OutputUnwritable
        where it cannot be made or written to.
        """
        try:
            with suppress(FileExistsError):
                path.mkdir()
            with closing(cls(path)) as folder:
                folder._claim(job_id, continued)
        except OSError as error:
            raise OutputUnwritable(
                f"{shown(path)} cannot be written to by the workers ({error.strerror}). Name a "
                "folder that they may write to, in one that exists"
            ) from error

    def _claim(self, job_id: str, continued: Collection[str]) -> None:
        owner = self.owner()
        if owner is None:
            if names := [name for name in self._names() if not name.startswith(f".{OWNER}.")]:
                raise OutputExists(
                    f"{shown(self.path)} is not empty: it holds {shown(min(names))}. Name a new "
                    "folder, or empty it"
                )
            owner = self.put_once(OWNER, job_id.encode()).decode()
        if owner in continued:
            self.replace(OWNER, job_id.encode())
        elif owner != job_id:
            raise OutputExists(
                f"{shown(self.path)} holds the results of job {shown(owner)}. Name a new folder; "
                "or, once that has ended, have done what it left undone: seqd jobs retry "
                f"{shown(owner)}"
            )

    def owner(self) -> str | None:
        """Return the job that the folder is of; None where it is nobody's."""
        try:
            return self.read(OWNER).decode(errors="replace")
        except FileNotFoundError:
            return None

    def put_once(self, name: str, content: bytes) -> bytes:
        """Write a file that is not there; return what it holds, which may be of who was first."""
        draft = self._draft(name, content)
        try:
            os.link(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            return self.read(name)
        finally:
            os.unlink(draft, dir_fd=self._folder)
        os.fsync(self._folder)
        return content

    def replace(self, name: str, content: bytes) -> None:
        """Write a file as a whole, over one that may be there."""
        draft = self._draft(name, content)
        os.replace(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=self._folder), "rb") as file:
            return file.read()

    def refuse_gone(self, name: str, size_bytes: int) -> None:
        """Raise InvalidInput where a part is not there any more, or has another size."""
        try:
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_size
        except FileNotFoundError:
            found = -1
        if found != size_bytes:
            raise InvalidInput(
                f"{shown(self.path / name)}, which the workers wrote, is gone or another by now. "
                "Leave the folder to the job until it has ended"
            )

    def keep_only(self, parts: Collection[str], of_jobs: Collection[str]) -> None:
        """Remove the drafts of jobs, and their parts but these: what a retry has replaced."""
        kept = {*parts, OWNER, MANIFEST}
        for name in self._names():
            found = _WRITTEN.fullmatch(name)
            if found and name not in kept and found["job"] in {None, *of_jobs}:
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=self._folder)

    def _names(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return [entry.name for entry in entries]

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
        """Close the folder."""
        os.close(self._folder)


def read_part(folder: str, name: str, digest: str) -> bytes:
    """Return the content of a part. Raises InvalidInput where it is not there, or another."""
    from hashlib import sha256

    path = Path(folder) / name
    try:
        with closing(PartFolder(Path(folder).resolve())) as opened:
            content = opened.read(name)
    except OSError as error:
        raise InvalidInput(
            f"{shown(path)}, which has results of the job, cannot be read here ({error.strerror}). "
            "Read them where the folder is, as the workers see it"
        ) from error
    if sha256(content).hexdigest() != digest:
        raise InvalidInput(
            f"{shown(path)} is not what the workers wrote: somebody has changed it. Put it back, "
            "or hand the job in again"
        )
    return content
