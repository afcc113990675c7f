"""The form of an upload, read as it comes: its file goes to the disk, its fields are kept.

No more of the file is in memory than the block that has just come.
"""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from seqd.errors import FileTooLarge, InvalidRequest
from seqd.validation import shown

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

#: Bytes that are parsed and written at once, beside the event loop.
_BLOCK_BYTES: Final = 512 * 1024

#: Seconds for which nothing may come of a form.
SILENCE_S: Final = 60.0

#: Fields of a form beside its file, and bytes of each.
_MOST_FIELDS: Final = 16
_MOST_FIELD_BYTES: Final = 4_096


class UploadForm:
    """A form with one file, called `file`; use it as a context manager."""

    def __init__(self, content_type: str, path: Path, most_bytes: int) -> None:
        """The file goes to `path`. Raises InvalidRequest for what is no form."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise InvalidRequest(
                f"The content type is {shown(content_type)}; allowed: multipart/form-data, with "
                "the parts file and purpose."
            )
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise _no_form(error) from None
        self._path = path
        self._most_bytes = most_bytes
        self._descriptor: int | None = None
        self._digest = sha256()
        self._header, self._headers = [b"", b""], dict[bytes, bytes]()
        self._name = ""
        self._is_file = self._is_whole = False
        self._fields = dict[str, bytearray]()
        #: How the caller calls the file; None before it has come.
        self.filename: str | None = None
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return self._digest.hexdigest()

    def field(self, name: str) -> str | None:
        """Return the value of a part that is no file; None where there is none."""
        value = self._fields.get(name)
        return None if value is None else value.decode(errors="replace")

    async def read(
        self, stream: AsyncIterable[bytes], on_block: Callable[[], Awaitable[object]]
    ) -> None:
        """Read all of it, and have the file on the disk; calls `on_block` after each block.

        Raises InvalidRequest, FileTooLarge, OSError of the disk, and what the stream raises.
        """
        block = bytearray()
        async for chunk in _heard(stream):
            block += chunk
            if len(block) >= _BLOCK_BYTES:
                await asyncio.to_thread(self._write, bytes(block))
                block.clear()
                await on_block()
        await asyncio.to_thread(self._finish, bytes(block))

    def _write(self, block: bytes) -> None:
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise _no_form(error) from None

    def _finish(self, block: bytes) -> None:
        self._write(block)
        if not self._is_whole:
            raise InvalidRequest("The form ends in the middle of a part. Send it again, whole.")
        if self._descriptor is None:
            raise InvalidRequest("The form has no part `file` with a file. Add one.")
        os.fsync(self._descriptor)

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": lambda data, start, end: self._add_data(data[start:end]),
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._headers = {}

    def _add_header(self, which: int, data: bytes) -> None:
        self._header[which] += data  # the parser bounds its length

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode(errors="replace")
        self._is_file = b"filename" in options
        if not self._is_file:
            if len(self._fields) >= _MOST_FIELDS:
                raise InvalidRequest(f"The form has more than {_MOST_FIELDS} fields.")
            self._fields[self._name] = bytearray()
            return
        if self._name != "file" or self._descriptor is not None:
            raise InvalidRequest(
                f"The form has a file {shown(self._name)}; allowed: one, called file."
            )
        self.filename = options[b"filename"].decode(errors="replace")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o666)

    def _add_data(self, data: bytes) -> None:
        if self._descriptor is None or not self._is_file:
            value = self._fields[self._name]
            value += data
            if len(value) > _MOST_FIELD_BYTES:
                raise InvalidRequest(
                    f"The field {shown(self._name)} of the form has more than "
                    f"{_MOST_FIELD_BYTES:,} bytes. Is the file without a filename?"
                )
            return
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _end(self) -> None:
        self._is_whole = True


async def _heard(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Give what a stream does; raises InvalidRequest where nothing comes for `SILENCE_S`."""
    chunks = aiter(stream)
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise InvalidRequest(
                f"Nothing came of the upload for {SILENCE_S:g} s. Send it again."
            ) from None
        yield chunk


def too_large(most_bytes: int) -> FileTooLarge:
    """Return the error for a file with more bytes than one may have."""
    return FileTooLarge(
        f"The file has more than {most_bytes:,} bytes, which is what one may have. Split it."
    )


def _no_form(error: FormParserError) -> InvalidRequest:
    return InvalidRequest(f"The body is no multipart form: {error}.")
