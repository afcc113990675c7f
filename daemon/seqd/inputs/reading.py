"""Items of a file or folder, read lazily and in order: from a `FileSource` to `Item`s.

Reading can go on at any entry: `FileItems.position` says where.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from seqd.errors import InvalidInput
from seqd.inputs.file_state import FileState
from seqd.inputs.items import ItemRules
from seqd.inputs.paths import check_path, compression_of, format_of, locate, shown
from seqd.inputs.records import LinesReader, Reader, Value, entry_ends, reader_of
from seqd.inputs.streams import START, FilePosition
from seqd_schemas import FileFormat, FileSource, Item, RefusedItem


def read_items(
    source: FileSource,
    *,
    roots: tuple[Path, ...] | None = None,
    rules: ItemRules | None = None,
    on_record: Callable[[Value], None] = lambda value: None,
) -> Iterator[Item | RefusedItem]:
    """Yield the entries of a file or folder.

    A record that is no item comes as a RefusedItem in its place, its line in the message. A
    record without an identifier is called `line-7` after its line. Memory is bounded whatever
    the file holds. `on_record` is told each record, whole, in front of its entry, which has no
    place for its other fields.

    `rules` say what an item is made of; by default, the text field of the source.

    With `roots`, the file must be under one of them (`check_path`). Raises InvalidInput for
    the file as a whole, at the first `next`, except for a compressed file that turns out to be
    torn or to be a bomb, and for one that was changed meanwhile: then after the entries in front,
    and the job must fail.
    """
    yield from FileItems(source, roots=roots, rules=rules).entries(on_record)


class FileItems:
    """The entries of a file or folder from `start` on; `read_items` says what they are.

    All is read in the state in which it is now. Raises InvalidInput, at once, where the path or its
    format will not do.
    """

    def __init__(
        self,
        source: FileSource,
        *,
        roots: tuple[Path, ...] | None = None,
        rules: ItemRules | None = None,
        start: FilePosition = START,
    ) -> None:
        self._source = source
        self._path = locate(source.path) if roots is None else check_path(source.path, roots)
        self._format = format_of(self._path, source.format)
        self._rules = rules or ItemRules(id_field=source.id_field, text_field=source.text_field)
        self._start = start
        #: That in which all is read.
        self.state = FileState.of(self._path)
        self._reader = self._reader_at(start)

    @property
    def position(self) -> FilePosition:
        """Where the entry behind the last one begins."""
        return self._reader.position

    @property
    def has_line_entries(self) -> bool:
        """True where an entry is a line of a plain file, so that reading can begin at any."""
        return isinstance(self._reader, LinesReader) and compression_of(self._path) is None

    @property
    def has_unique_ids(self) -> bool:
        """True where no two entries can have the same identifier."""
        return self._reader.has_unique_ids

    def ends(self) -> Generator[FilePosition]:
        """Yield where each entry behind `start` ends, and read no more of it; of lines only."""
        return entry_ends(self._path, self._start, self.state)

    def has_changed(self) -> bool:
        """Return True when the file was written to; False while it is away from its path.

        False also of a folder, whose files are looked at once all of them were read.
        """
        if self._format is FileFormat.FOLDER:
            return False
        now = FileState.of(self._path)
        return now != self.state and not self.state.is_of_another(now)

    def is_replaced(self) -> bool:
        """Return True when another file is at the path, or none."""
        return self.state.is_of_another(FileState.of(self._path))

    def entries(
        self, on_record: Callable[[Value], None] = lambda value: None
    ) -> Iterator[Item | RefusedItem]:
        """Yield them in order, once."""
        is_empty = self._start == START
        for entry in self._reader.entries():
            is_empty = False
            on_record(entry.value)
            yield self._rules.entry(entry.value, entry.position, entry.where)
        if is_empty:
            raise InvalidInput(f"{shown(self._path)} holds no entry; at least one is due")

    def identifiers_in_front(self) -> Generator[str]:
        """Yield the identifiers of the entries in front of `start`; none that cannot come twice.

        Of each record no more is read than that takes: a fifth of the time.
        """
        if self._start == START or self._reader.has_unique_ids:
            return
        reader = self._reader_at(START)
        for entry in reader.entries():
            if reader.position.line > self._start.line:
                return
            yield self._rules.custom_id(entry.value, entry.position)

    def _reader_at(self, start: FilePosition) -> Reader:
        fields = self._rules.fields
        return reader_of(
            self._path, self._format, self._source, start, fields=fields, state=self.state
        )
