"""The form of an upload, read as it comes: its file goes to its place, its fields are kept.

No more of the file is in memory than the block that has just come.
"""

import re
from collections.abc import AsyncIterable, Awaitable, Callable
from hashlib import sha256
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from seqd.errors import FileTooLarge, InvalidRequest
from seqd.gateway.file_places import FileWriter
from seqd.validation import shown

#: Bytes that are parsed and written at once, beside the event loop.
_BLOCK_BYTES: Final = 512 * 1024

#: Fields of a form beside its file, and bytes of each.
_MOST_FIELDS: Final = 16
_MOST_FIELD_BYTES: Final = 4_096

_FORM: Final = b"multipart/form-data"

#: What no name of a file has, and the most characters of one that are kept.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/\\]")
_MOST_NAME_CHARS: Final = 255


class UploadForm:
    """A form with one file, called `file`, which is written as it comes."""

    def __init__(
        self, content_type: str, create: Callable[[str], FileWriter], most_bytes: int
    ) -> None:
        """`create` begins the file by its name. Raises InvalidRequest for what is no form."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != _FORM or not boundary:
            raise InvalidRequest(
                f"The content type is {shown(content_type)}; allowed: {_FORM.decode()}, with the "
                "parts file and purpose."
            )
        self._boundary = boundary
        self._create = create
        self._most_bytes = most_bytes
        self._writer: FileWriter | None = None
        self._digest = sha256()
        self._header, self._headers = [b"", b""], dict[bytes, bytes]()
        self._fields = dict[str, bytearray]()
        #: Of the part that is read: the value of its field; None of the file.
        self._value: bytearray | None = None
        self._is_whole = False
        #: How the caller calls the file.
        self.filename = ""
        self.size_bytes = 0

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
        """Read all of it, and finish the file; calls `on_block` after each block.

        Raises InvalidRequest, FileTooLarge, and what the stream, and whoever writes, raise.
        """
        block = bytearray()
        try:
            parser = MultipartParser(
                self._boundary,
                {
                    "on_header_field": lambda data, start, end: self._name(0, data[start:end]),
                    "on_header_value": lambda data, start, end: self._name(1, data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_part,
                    "on_part_data": lambda data, start, end: self._add(data[start:end]),
                    "on_end": self._end,
                },
            )
            async for chunk in stream:
                block += chunk
                if len(block) >= _BLOCK_BYTES:
                    await run_in_threadpool(parser.write, bytes(block))
                    block.clear()
                    await on_block()
            await run_in_threadpool(parser.write, bytes(block))
            if not self._is_whole:
                raise InvalidRequest("The form ends in the middle of a part. Send it again, whole.")
            if self._writer is None:
                raise InvalidRequest("The form has no part `file` with a file. Add one.")
            await run_in_threadpool(self._writer.finish)
        except FormParserError as error:
            raise InvalidRequest(f"The body is no multipart form: {error}.") from None
        finally:
            if self._writer is not None:
                self._writer.close()

    def _name(self, which: int, data: bytes) -> None:
        self._header[which] += data  # the parser bounds its length

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _begin_part(self) -> None:
        _, options = parse_options_header(self._headers.pop(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" not in options:
            self._value = self._fields[name] = bytearray()
            if len(self._fields) > _MOST_FIELDS:
                raise InvalidRequest(f"The form has more than {_MOST_FIELDS} fields.")
            return
        if name != "file" or self._writer is not None:
            raise InvalidRequest(f"The form has a file {shown(name)}; allowed: one, called file.")
        self._value = None
        filename = options[b"filename"].decode(errors="replace")
        self.filename = _UNPRINTABLE.sub("_", filename)[:_MOST_NAME_CHARS]
        self._writer = self._create(self.filename)

    def _add(self, data: bytes) -> None:
        if self._value is not None:
            self._value += data
            if len(self._value) > _MOST_FIELD_BYTES:
                raise InvalidRequest(
                    f"A field of the form has more than {_MOST_FIELD_BYTES:,} bytes. Is it a file "
                    "without its filename?"
                )
        elif self._writer is not None:
            self.size_bytes += len(data)
            if self.size_bytes > self._most_bytes:
                raise too_large(self._most_bytes)
            self._digest.update(data)
            self._writer.write(data)

    def _end(self) -> None:
        self._is_whole = True


def too_large(most_bytes: int) -> FileTooLarge:
    """Return the error for a file with more bytes than one may have."""
    return FileTooLarge(f"A file may have {most_bytes:,} bytes at most. Split it.")
