"""The folder of uploaded files: how one comes into it, and how it goes.

The record in the ledger is there before the file and after it, so that any gateway finds what one
that has died left behind.
"""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from seqd.errors import FilesUnusable, InvalidRequest, SeqdError
from seqd.gateway.batch_lines import FileLines, lines_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.uploads import UploadForm
from seqd.inputs.paths import KNOWN_SUFFIXES, Compression
from seqd.ledger.submissions import new_job_id
from seqd.validation import shown
from seqd_schemas import FilePurpose, FileSource, UploadedFile

log = logging.getLogger(__name__)

#: Seconds after which an upload of which nothing more is heard counts as broken off, and seconds
#: between two signs of life of one.
_BROKEN_OFF_S: Final = 600
_RENEWED_S: Final = 60.0

#: Shortest time that a caller may ask for.
SHORTEST_TTL_S: Final = 60

#: Seconds between two searches for what is to be removed, and files of one step.
_SWEEP_S: Final = 60.0
_SWEPT_AT_ONCE: Final = 100

#: Ends of the names of files, which tell workers their format.
_SUFFIXES: Final = [
    known + end for known in KNOWN_SUFFIXES for end in ("", *(one.suffix for one in Compression))
]
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/\\]")


def path_of(folder: Path, file: UploadedFile) -> Path:
    """Return where a file lies: of a batch as JSON Lines, as is any other whose name tells none."""
    ends = [end for end in _SUFFIXES if file.filename.lower().endswith(end)]
    is_batch = file.purpose is FilePurpose.BATCH
    return folder / f"{file.file_id}{'.jsonl' if is_batch or not ends else ends[0]}"


def file_id_of(source: object) -> str | None:
    """Return the uploaded file that a job reads; None of any other input."""
    if not isinstance(source, FileSource):
        return None
    name = Path(source.path).name.partition(".")[0]
    return name if name.startswith("file-") else None


class Upload:
    """A file that is on its way into the folder."""

    def __init__(self, seqd: GatewayClient, begun: UploadedFile) -> None:
        """`begun` is its record so far."""
        self._seqd = seqd
        self.record = begun
        self._renewed_s = monotonic()

    @property
    def part(self) -> Path:
        """Where it is written to."""
        return self._seqd.settings.files_dir / f"{self.record.file_id}.part"

    async def renew(self, size_bytes: int) -> None:
        """Give a sign of life, and reserve more where it has more bytes than were told."""
        is_more = size_bytes > self.record.bytes
        if is_more or monotonic() - self._renewed_s > _RENEWED_S:
            await self._keep(_BROKEN_OFF_S, bytes=max(size_bytes, self.record.bytes))
            self._renewed_s = monotonic()

    async def finish(self, form: UploadForm) -> UploadedFile:
        """Give the file its name and its whole record. Raises InvalidRequest."""
        purpose, ttl_s, found = self._purpose_of(form), self._ttl_of(form), FileLines(0)
        if not form.size_bytes:
            raise InvalidRequest("The file is empty; at least one line is due.")
        if purpose is FilePurpose.BATCH:
            found = await asyncio.to_thread(lines_of, self.part)
        named = {
            "filename": _UNPRINTABLE.sub("_", form.filename)[:255],
            "purpose": purpose,
            "bytes": form.size_bytes,
            **found._asdict(),
        }
        path = path_of(self.part.parent, self.record.model_copy(update=named))
        await asyncio.to_thread(_rename, self.part, path)
        return await self._keep(ttl_s, sha256=form.sha256, **named)

    async def _keep(self, ttl_s: int, **changes: object) -> UploadedFile:
        files = self._seqd.ledger.uploaded_files
        until_ms = await self._seqd.ask(files.now_ms.steps()) + ttl_s * 1_000
        whole = {**dict(self.record), "expires_at_ms": until_ms, **changes}
        record = UploadedFile.model_validate(whole)
        await self._seqd.ask(files.keep.steps(record))
        self.record = record
        return record

    def _ttl_of(self, form: UploadForm) -> int:
        most_s = self._seqd.settings.gateway_files_ttl_s
        anchor, told = (form.field(f"expires_after[{part}]") for part in ("anchor", "seconds"))
        if anchor is None and told is None:
            return most_s
        seconds = int(told) if told and re.fullmatch("[0-9]{1,9}", told) else 0
        if anchor != "created_at" or not SHORTEST_TTL_S <= seconds <= most_s:
            raise InvalidRequest(
                f"expires_after is {shown(told)} seconds from {shown(anchor)}; allowed: "
                f"{SHORTEST_TTL_S} to {most_s} seconds from 'created_at'."
            )
        return seconds

    def _purpose_of(self, form: UploadForm) -> FilePurpose:
        given = form.field("purpose")
        if given not in tuple(FilePurpose):
            raise InvalidRequest(f"purpose is {shown(given)}; allowed: {', '.join(FilePurpose)}.")
        return FilePurpose(given)


@asynccontextmanager
async def uploading(seqd: GatewayClient, tenant: str, told_bytes: int) -> AsyncIterator[Upload]:
    """Reserve what a file is told to have; unless it is finished, nothing stays of it.

    Raises QuotaExceeded, and FilesUnusable for an error of the disk.
    """
    now_ms = await seqd.ask(seqd.ledger.uploaded_files.now_ms.steps())
    begun = UploadedFile(
        file_id=f"file-{new_job_id()}",
        tenant=tenant,
        filename="",
        purpose=FilePurpose.BATCH,
        bytes=told_bytes,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + _BROKEN_OFF_S * 1_000,
    )
    await seqd.ask(seqd.ledger.uploaded_files.keep.steps(begun))
    upload = Upload(seqd, begun)
    try:
        await asyncio.to_thread(seqd.settings.files_dir.mkdir, parents=True, exist_ok=True)
        yield upload
    except BaseException as error:
        await remove(seqd, upload.record)
        if isinstance(error, OSError):
            log.warning("a file cannot be kept: %s", error)
            raise FilesUnusable("The file cannot be kept now.") from error
        raise


async def remove(seqd: GatewayClient, file: UploadedFile) -> None:
    """Remove a file and its record."""
    files = seqd.ledger.uploaded_files
    # Due first: whoever looks for it finds none, and it goes even if this gateway dies now.
    now_ms = await seqd.ask(files.now_ms.steps())
    await seqd.ask(files.keep.steps(file.model_copy(update={"expires_at_ms": now_ms})))
    await _remove_due(seqd, [file.file_id])


async def sweep(seqd: GatewayClient) -> None:
    """Remove the files whose time is over, and what was left of uploads that broke off."""
    while names := await seqd.ask(seqd.ledger.uploaded_files.due.steps(_SWEPT_AT_ONCE)):
        await _remove_due(seqd, names)


async def sweeping(seqd: GatewayClient) -> None:
    """Sweep once a minute without end; that other gateways do so, too, harms nothing."""
    while True:
        try:
            await sweep(seqd)
        except (SeqdError, OSError) as error:
            log.warning("files that are due stay for now: %s", error)
        await asyncio.sleep(_SWEEP_S)


async def _remove_due(seqd: GatewayClient, names: Sequence[str]) -> None:
    await asyncio.to_thread(_unlink, seqd.settings.files_dir, names)
    await seqd.ask(seqd.ledger.uploaded_files.drop.steps(names))


def _unlink(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        for end in (*_SUFFIXES, ".part"):
            (folder / f"{name}{end}").unlink(missing_ok=True)


def _rename(part: Path, path: Path) -> None:
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
