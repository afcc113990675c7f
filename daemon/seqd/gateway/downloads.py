"""An uploaded file sent back, or the part of it that a request asks for by `Range`."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from seqd.errors import FILE_ERRORS, InvalidInput
from seqd.inputs.streams import Content
from seqd_schemas import UploadedFile

log = logging.getLogger(__name__)

#: Media type of an uploaded file.
BYTES: Final = "application/octet-stream"

#: Bytes that are read at once, beside the event loop.
_BLOCK_BYTES: Final = 256 * 1024

#: One range; a request for several is answered with the whole file.
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))")


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
