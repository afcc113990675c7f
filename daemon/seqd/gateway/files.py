"""`/v1/files`: files that callers upload, and the results of batches as files.

An uploaded file lies where workers read it (SEQD_GATEWAY_FILES), its record in the ledger. What a
batch gave is no file: it is read from the results of its job. A file is sent back as a whole, or
the part of it that a request asks for by `Range`.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Annotated, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seqd.errors import FILE_ERRORS, FilesUnusable, InvalidInput, InvalidRequest, UnknownFile
from seqd.gateway.batch_jobs import output_file_of
from seqd.gateway.bodies import Answer, page_of
from seqd.gateway.callers import Caller, Reader, SeqdClient, Submitter
from seqd.gateway.file_places import name_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.stored_files import SHORTEST_TTL_S, files_of, remove, uploading
from seqd.gateway.uploads import UploadForm, too_large
from seqd.inputs.streams import Content
from seqd.ledger.uploaded_files import Place
from seqd.validation import shown
from seqd_schemas import FilePurpose, UploadedFile

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/files", tags=["files"])

#: Media type of what a batch gave.
LINES: Final = "application/jsonl"

#: Bytes of a form beside its file.
_FORM_BYTES: Final = 64 * 1024

_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"enum": [purpose.value for purpose in FilePurpose]},
                        "expires_after[anchor]": {"enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": SHORTEST_TTL_S},
                    },
                }
            }
        },
    }
}

#: Media type of an uploaded file.
BYTES: Final = "application/octet-stream"

#: Bytes that are read at once, beside the event loop.
_BLOCK_BYTES: Final = 256 * 1024

#: One range; a request for several is answered with the whole file.
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))")


@router.post("", openapi_extra=_FORM)
async def create_file(request: Request, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Keep an uploaded file: `batch`, whose lines are checked, or `fine-tune`.

    A file for batches whose lines no batch can be made of is kept: its `status_details` say why.
    """
    most_bytes = seqd.settings.gateway_max_file_bytes
    told = request.headers.get("content-length", "")
    length = int(told) if re.fullmatch(r"[0-9]{1,18}", told) else 0
    if length > most_bytes + _FORM_BYTES:
        raise too_large(most_bytes)
    content_type = request.headers.get("content-type", "")
    async with uploading(seqd, caller.tenant, min(length, most_bytes)) as upload:
        form = UploadForm(content_type, upload.create, most_bytes)
        await form.read(request.stream(), lambda: upload.renew(form.size_bytes))
        file = await upload.finish(form)
    await seqd.ask(seqd.ledger.audit.note.steps("files.new", file.file_id, {"bytes": file.bytes}))
    return file_object(file)


@router.get("")
async def list_files(
    caller: Reader,
    seqd: SeqdClient,
    purpose: FilePurpose | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    after: Annotated[str | None, Query(max_length=128)] = None,
    order: Literal["asc", "desc"] = "desc",
) -> Answer:
    """Return the files that the caller has uploaded, the newest first or last."""
    place = Place(limit + 1, after, newest_first=order == "desc")
    found = await seqd.ask(seqd.ledger.uploaded_files.page.steps(caller.tenant, place, purpose))
    return page_of([file_object(one) for one in found], limit)


@router.get("/{file_id}")
async def show_file(file_id: str, caller: Reader, seqd: SeqdClient) -> Answer:
    """Return what is known of a file."""
    output = await output_file_of(file_id, caller, seqd)
    return file_object(await file_of(file_id, caller, seqd)) if output is None else output.shown()


@router.get(
    "/{file_id}/content",
    response_class=StreamingResponse,
    responses={200: {"content": {LINES: {}, BYTES: {}}}, 206: {"description": "A part."}},
)
async def read_file(file_id: str, request: Request, caller: Reader, seqd: SeqdClient) -> Response:
    """Return the content of a file, or a part of an uploaded one by `Range`.

    Of a batch that still runs, these are the results up to the first that is missing.
    """
    output = await output_file_of(file_id, caller, seqd)
    if output is not None:
        return StreamingResponse(output.lines(), media_type=LINES)
    file = await file_of(file_id, caller, seqd)
    try:
        name = name_of(file.file_id, file.filename)
        content = await run_in_threadpool(files_of(seqd).open, name)
    except FILE_ERRORS as error:
        log.warning("%s. Is SEQD_GATEWAY_FILES the same for all gateways?", error)
        raise FilesUnusable(f"The content of {file_id} is away.") from error
    return Download(request, file, content)


@router.delete("/{file_id}")
async def delete_file(file_id: str, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Remove an uploaded file; a batch that has not read all of it yet fails."""
    if await output_file_of(file_id, caller, seqd) is not None:
        raise InvalidRequest(
            f"{file_id} is what a batch gave, which is kept as long as the batch. Leave it."
        )
    file = await file_of(file_id, caller, seqd)
    await seqd.ask(seqd.ledger.audit.note.steps("files.remove", file_id))
    await remove(seqd, file)
    return {"id": file_id, "object": "file", "deleted": True}


async def file_of(file_id: str, caller: Caller, seqd: GatewayClient) -> UploadedFile:
    """Return the record of a caller's file. Raises UnknownFile."""
    file = await seqd.ask(seqd.ledger.uploaded_files.get.steps(file_id))
    if file is None or caller.only_tenant not in (None, file.tenant):
        raise UnknownFile(
            f"There is no file {shown(file_id)}. GET /v1/files lists those there are."
        )
    return file


def file_object(file: UploadedFile) -> Answer:
    """Return a file as OpenAI's clients read it; ours has its digest and lines, too."""
    fault = file.fault
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at_ms // 1_000,
        "expires_at": file.expires_at_ms // 1_000,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed" if fault is None else "error",
        "status_details": None if fault is None else f"line {fault.line}: {fault.message}",
        "sha256": file.sha256,
        "lines": file.lines if file.purpose is FilePurpose.BATCH else None,
    }


class Download(StreamingResponse):
    """The response; it closes the content."""

    def __init__(self, request: Request, file: UploadedFile, content: Content) -> None:
        """Raise HTTPException for a part that the file does not have."""
        begin, end = 0, file.bytes
        etag, quoted = f'"{file.sha256}"', quote(file.filename, safe="")
        named = f'="{quoted}"' if quoted == file.filename else f"*=utf-8''{quoted}"
        headers = {
            "accept-ranges": "bytes",
            "content-disposition": f"attachment; filename{named}",
            "etag": etag,
        }
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        if is_part := asked is not None and request.headers.get("if-range", etag) == etag:
            begin, end = _place_of(asked, file.bytes)
            headers["content-range"] = f"bytes {begin}-{end - 1}/{file.bytes}"
        headers["content-length"] = str(end - begin)
        self._content = content
        self._name = file.file_id
        super().__init__(self._blocks(begin, end), 206 if is_part else 200, headers, BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the content is closed whether anybody has read it or not."""
        with closing(self._content):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the head and all blocks.

        Where one cannot be read, the connection is closed in front of the end that was told.
        """
        try:
            await super().stream_response(send)
        except FILE_ERRORS as error:
            log.warning("%s breaks off as it is read: %s", self._name, error)

    async def _blocks(self, begin: int, end: int) -> AsyncIterator[bytes]:
        block = memoryview(bytearray(_BLOCK_BYTES))
        while begin < end:
            size = await run_in_threadpool(self._content.read_into, block[: end - begin], begin)
            if not size:
                raise InvalidInput("it has become shorter")
            yield bytes(block[:size])
            begin += size


def _place_of(asked: re.Match[str], size_bytes: int) -> tuple[int, int]:
    """Return where a part begins and ends. Raises HTTPException where the file has no such part."""
    first, last, length = asked.groups()
    begin = int(first) if first else max(0, size_bytes - int(length))
    end = min(size_bytes, int(last) + 1) if last else size_bytes
    if begin >= end:
        raise HTTPException(
            416,
            f"range is {asked[0]!r}; allowed: one that begins within {size_bytes:,} bytes.",
            headers={"content-range": f"bytes */{size_bytes}"},
        )
    return begin, end
