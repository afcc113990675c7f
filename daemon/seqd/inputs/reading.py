"""A file or folder that a worker has open, whose entries become items from any position on."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from seqd.errors import InvalidInput
from seqd.inputs.buckets import ObjectContent
from seqd.inputs.file_state import FileState
from seqd.inputs.items import ItemRules
from seqd.inputs.paths import (
    READ,
    Roots,
    below_roots,
    check_path,
    compression_of,
    format_of,
    locate,
    open_regular,
    shown,
)
from seqd.inputs.records import Entries, LinesReader, reader_of
from seqd.inputs.streams import START, Content, FileContent, FilePosition, open_text_bytes
from seqd.objects import is_url
from seqd_schemas import FileFormat, FileSource, Item, RefusedItem

#: Bytes that are read at once for a checksum: one line may have hundreds of megabytes.
_BLOCK_BYTES = 1024 * 1024

#: Bytes of the first line of a CSV file that count in each checksum.
_HEADER_BYTES = 64 * 1024


class InputFile:
    """A file or folder, all of which is read in the state in which it was when it was opened.

    What takes the place of a file at its path is not read. Memory is bounded whatever it holds.
    """

    def __init__(
        self,
        source: FileSource,
        *,
        roots: Roots | None = None,
        rules: ItemRules | None = None,
    ) -> None:
        """Raise InvalidInput where the path or its format will not do.

        With `roots`, the file must be under one of them (`check_path`). `rules` say what an item is
        made of; by default, the text field of the source. Of a URL, StoreUnreachable, too.
        """
        self._content: Content | None = None
        self._source = source
        is_object = roots is not None and is_url(source.path)
        if roots is not None and is_object:
            self._path = Path(below_roots(source.path, roots, READ))
        else:
            self._path = locate(source.path) if roots is None else check_path(source.path, roots)
        self._format = self._format_of(source)
        self._rules = rules or ItemRules(id_field=source.id_field, text_field=source.text_field)
        self.is_compressed = compression_of(self._path) is not None
        if is_object:
            self._content = ObjectContent(source.path)
        self.state = FileState.of(self._path) if self._content is None else self._content.state()
        if self._format is not FileFormat.FOLDER and not is_object:
            self._content = FileContent(open_regular(self._path))
        #: By which readers look for a change at the path; None of an object, which tells it itself.
        self._seen = None if is_object else self.state
        reader = self.reader()
        #: True where no two entries can have the same identifier.
        self.has_unique_ids = reader.has_unique_ids
        #: True where reading can begin at any entry, which costs nothing.
        self.has_cheap_places = self._format is not FileFormat.FOLDER and not self.is_compressed
        #: True where an entry is a line of a plain file, so that reading can begin at any.
        self.has_line_entries = isinstance(reader, LinesReader) and not self.is_compressed

    def _format_of(self, source: FileSource) -> FileFormat:
        return format_of(self._path, source.format)

    def reader(self, start: FilePosition = START) -> Entries:
        """Return a reader of its records, from a position on at which another has been."""
        opener = None if self._format is FileFormat.FOLDER else self._open
        return reader_of(
            self._path,
            self._format,
            self._source,
            start,
            opener,
            fields=self._rules.fields,
            state=self._seen,
        )

    def items(self, reader: Entries | None = None) -> Iterator[Item | RefusedItem]:
        """Yield all entries in order, or those that a `reader` finds.

        A record that is no item comes as a RefusedItem in its place, its line in the message; one
        without an identifier is called `line-7` after its line. Raises InvalidInput for the file as
        a whole: at the first `next`, but for a compressed file that turns out to be torn or to be a
        bomb, and for one that is changed meanwhile.
        """
        reader = reader or self.reader()
        is_empty = reader.start == START
        for entry in reader.entries():
            is_empty = False
            yield self._rules.entry(entry.value, entry.position, entry.where)
        if is_empty:
            raise self.no_entry()

    def no_entry(self) -> InvalidInput:
        """Return the error for a file that has nothing in it."""
        return InvalidInput(f"{shown(self._path)} holds no entry; at least one is due")

    def checksum(self, begin: int, end: int, so_far: int = 0) -> int:
        """Return the CRC-32 of the bytes between two places of a plain file, behind others.

        And of those that say which column is which.
        """
        assert self._content is not None, "a folder has no bytes"
        block = memoryview(bytearray(_BLOCK_BYTES))
        if begin and self._format is FileFormat.CSV:
            size = self._content.read_into(block[: min(begin, _HEADER_BYTES)], 0)
            so_far = crc32(bytes(block[:size]).partition(b"\n")[0], so_far)
        while begin < end:
            size = self._content.read_into(block[: end - begin], begin)
            if not size:
                break  # it has become shorter, so this is another checksum
            so_far, begin = crc32(block[:size], so_far), begin + size
        return so_far

    def identifiers(self, end: FilePosition) -> Generator[str]:
        """Yield the identifiers of the entries in front of `end`; none that cannot come twice.

        Of each record no more is read than that takes: a fifth of the time.
        """
        if end == START or self.has_unique_ids:
            return
        reader = self.reader()
        for entry in reader.entries():
            if reader.position.line > end.line:
                return
            yield self._rules.custom_id(entry.value, entry.position)

    def refuse_changed(self) -> None:
        """Raise InvalidInput where the open file was written to.

        Not of a folder, whose files are looked at once all of them were read.
        """
        if self._content is not None:
            self.state.check(self._path, self._content.state())

    def close(self) -> None:
        """Close the file; nothing more is read."""
        if self._content is not None:
            self._content.close()
            self._content = None

    __del__ = close

    def _open(self, path: Path) -> AbstractContextManager[BinaryIO]:
        return open_text_bytes(path, self.state, self._content)
