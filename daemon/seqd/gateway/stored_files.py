"""Uploaded files: how one comes into its place, and how it goes.

The record in the ledger is there before the file and after it, so that any gateway finds what one
that has died left behind.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import monotonic
from typing import Final

from starlette.concurrency import run_in_threadpool

from seqd.errors import FilesUnusable, InvalidRequest, SeqdError, StoreUnwritable
from seqd.gateway.batch_lines import FileLines, lines_of
from seqd.gateway.file_places import FilePlace, FileWriter, name_of, place_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.uploads import UploadForm
from seqd.ledger.exchange import server_ms
from seqd.ledger.submissions import new_job_id
from seqd.validation import shown
from seqd_schemas import FileFormat, FilePurpose, FileSource, UploadedFile

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

#: What the place of files raises where it is away, full, or no one's.
_UNUSABLE: Final = (OSError, StoreUnwritable)


def files_of(seqd: GatewayClient) -> FilePlace:
    """Return where the files of a gateway lie."""
    return place_of(seqd.settings.files_root)


def source_of(file: UploadedFile, seqd: GatewayClient, asked: FileSource) -> FileSource:
    """Return a file as workers read it, as `asked`; of a batch as JSON Lines, whatever its name."""
    changes: dict[str, object] = {
        "path": files_of(seqd).path_of(name_of(file.file_id, file.filename))
    }
    if file.purpose is FilePurpose.BATCH and asked.format is FileFormat.AUTO:
        changes["format"] = FileFormat.JSONL
    return asked.model_copy(update=changes)


def file_id_of(source: object) -> str | None:
    """Return the uploaded file that a job reads; None of any other input."""
    if not isinstance(source, FileSource):
        return None
    name = Path(source.path).name.partition(".")[0]
    return name if name.startswith("file-") else None


class Upload:
    """A file that is on its way into its place."""

    def __init__(self, seqd: GatewayClient, begun: UploadedFile) -> None:
        """`begun` is its record so far."""
        self._seqd = seqd
        self.record = begun
        self._renewed_s = monotonic()

    def create(self, filename: str) -> FileWriter:
        """Begin the file by the name that its caller has given it."""
        return files_of(self._seqd).create(name_of(self.record.file_id, filename))

    async def renew(self, size_bytes: int) -> None:
        """Give a sign of life, and reserve more where it has more bytes than were told."""
        is_more = size_bytes > self.record.bytes
        if is_more or monotonic() - self._renewed_s > _RENEWED_S:
            await self._keep(_BROKEN_OFF_S, bytes=max(size_bytes, self.record.bytes))
            self._renewed_s = monotonic()

    async def finish(self, form: UploadForm) -> UploadedFile:
        """Give the file its whole record. Raises InvalidRequest, and InvalidInput for no lines."""
        purpose, ttl_s, found = self._purpose_of(form), self._ttl_of(form), FileLines(0)
        if not form.size_bytes:
            raise InvalidRequest("The file is empty; at least one line is due.")
        if purpose is FilePurpose.BATCH:
            found = await run_in_threadpool(self._lines, form.filename)
        return await self._keep(
            ttl_s,
            filename=form.filename,
            purpose=purpose,
            bytes=form.size_bytes,
            sha256=form.sha256,
            **found._asdict(),
        )

    def _lines(self, filename: str) -> FileLines:
        name = name_of(self.record.file_id, filename)
        with closing(files_of(self._seqd).open(name)) as content:
            return lines_of(content, filename)

    async def _keep(self, ttl_s: int, **changes: object) -> UploadedFile:
        files = self._seqd.ledger.uploaded_files
        until_ms = await self._seqd.ask(server_ms()) + ttl_s * 1_000
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

    Raises QuotaExceeded, and FilesUnusable for an error of its place.
    """
    now_ms = await seqd.ask(server_ms())
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
        yield upload
    # Of what is cancelled, as this gateway ends, a block may be on its way still: that is swept.
    except Exception as error:
        await remove(seqd, upload.record)
        if isinstance(error, _UNUSABLE):
            log.warning("a file cannot be kept: %s", error)
            raise FilesUnusable("The file cannot be kept now.") from error
        raise


async def remove(seqd: GatewayClient, file: UploadedFile) -> None:
    """Remove a file and its record: at once, or by the sweep where its place is away."""
    files = seqd.ledger.uploaded_files
    # Due first: whoever looks for it finds none, and it goes even if this gateway dies now.
    now_ms = await seqd.ask(server_ms())
    await seqd.ask(files.keep.steps(file.model_copy(update={"expires_at_ms": now_ms})))
    try:
        await _remove_due(seqd, [file.file_id])
    except _UNUSABLE as error:
        log.warning("%s stays for now: %s", file.file_id, error)


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
    await run_in_threadpool(files_of(seqd).remove, names)
    await seqd.ask(seqd.ledger.uploaded_files.drop.steps(names))
