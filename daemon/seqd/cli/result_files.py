"""Writes the results of a job to files, in input order, errors apart; a file is complete or absent.

`results.jsonl` gets the successes and `results.errors.jsonl` the errors, if there are any.
Both are written under other names and renamed at the end.
"""

import gzip
import secrets
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from seqd.errors import InvalidRequest
from seqd_schemas import ItemFailure, ItemSuccess

_GZIP = ".gz"

_File = IO[bytes] | gzip.GzipFile


class ResultFiles:
    """A results file and its errors file, for the time of a `with` block.

    Opened at once, so that a folder that cannot be written is known before the work begins.
    Leaving the block without `commit` removes what was written. A name that ends in `.gz` is
    compressed.
    """

    def __init__(self, path: Path, *, source: str | None = None) -> None:
        """Open the draft. Raises InvalidRequest; `source` is the input, never to be replaced."""
        self.path = path
        self.errors_path = errors_path(path)
        self.errors = 0
        self._drafts: dict[Path, Path] = {}
        self._check(source)
        self._results = self._open(path)
        self._failures: _File | None = None

    def write(self, result: ItemSuccess | ItemFailure, json: bytes | None = None) -> None:
        """Append a result, as a line of JSON, to the file of results or of errors.

        `json` is that line, without its end, where the caller has it.
        """
        if isinstance(result, ItemSuccess):
            file = self._results
        else:
            self.errors += 1
            if self._failures is None:
                self._failures = self._open(self.errors_path)
            file = self._failures
        try:
            file.write((json or result.model_dump_json().encode()) + b"\n")
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def commit(self) -> None:
        """Put the files in place. An errors file of an earlier run goes when there are none."""
        try:
            self._close()
            for path, draft in self._drafts.items():
                draft.replace(path)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._drafts.clear()
        if not self.errors:
            self.errors_path.unlink(missing_ok=True)

    def _check(self, source: str | None) -> None:
        if self.path.is_dir():
            raise InvalidRequest(f"--out is {str(self.path)!r}, a folder; name a file in it")
        if source not in (None, "-") and self.path.exists() and self.path.samefile(str(source)):
            raise InvalidRequest(
                f"--out is {str(self.path)!r}, which is the input itself; name another file"
            )

    def _open(self, path: Path) -> _File:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            file = _open_new(draft, compressed=path.suffix == _GZIP)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._drafts[path] = draft
        return file

    def _close(self) -> None:
        for file in (self._results, self._failures):
            if file is not None and not file.closed:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        for draft in self._drafts.values():
            draft.unlink(missing_ok=True)


def errors_path(path: Path) -> Path:
    """Return the errors file of a results file: `results.errors.jsonl` for `results.jsonl`."""
    compressed = path.suffix == _GZIP
    plain = path.with_suffix("") if compressed else path
    return path.with_name(f"{plain.stem}.errors{plain.suffix}{_GZIP if compressed else ''}")


def _open_new(path: Path, *, compressed: bool) -> _File:
    """Return a new file, to be closed by the caller."""
    if compressed:
        # The level of the gzip program; the module's own default is slower and no smaller.
        return gzip.open(path, "xb", compresslevel=6)
    return path.open("xb")


def _unwritable(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(
        f"--out is {str(path)!r}, which cannot be written ({error.strerror or error}). Name a "
        "file in a folder that exists, is yours, and has room"
    )
