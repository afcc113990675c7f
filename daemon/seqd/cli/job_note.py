"""The file beside an output that names the job whose results go into it."""

import json
import os
from contextlib import suppress
from pathlib import Path

from seqd.cli.drafts import sync_folder, unwritable
from seqd.errors import InvalidRequest


class JobNote:
    """The file beside `out`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._path = out.with_name(f".{out.name}.job")

    def read(self) -> str | None:
        """Return the job's id; None without a file. Raises InvalidRequest for another file."""
        try:
            return str(json.loads(self._path.read_bytes())["job_id"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(
                f"{str(self._path)!r} should name the job of an interrupted command, and cannot be "
                f"read ({error}). Remove it, and look for the job: seqd jobs list"
            ) from None

    def write(self, job_id: str) -> None:
        """Note a job, so that it outlives a power failure. Raises OutputUnwritable."""
        draft = self._path.with_name(f"{self._path.name}.part")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump({"job_id": job_id}, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise unwritable(self.out, error) from None
        sync_folder(self._path.parent)

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
