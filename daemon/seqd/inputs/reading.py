"""Items of a file or folder, read lazily and in order: from a `FileSource` to `Item`s."""

from collections.abc import Callable, Iterator
from pathlib import Path

from seqd.errors import InvalidInput
from seqd.inputs.items import ItemRules
from seqd.inputs.paths import check_path, format_of, locate, shown
from seqd.inputs.records import Value, reader_of
from seqd_schemas import FileSource, Item, RefusedItem


def read_items(
    source: FileSource,
    *,
    roots: tuple[Path, ...] | None = None,
    allow_empty: bool = False,
    on_record: Callable[[Value], None] = lambda value: None,
) -> Iterator[Item | RefusedItem]:
    """Yield the entries of a file or folder.

    A record that is no item comes as a RefusedItem in its place, its line in the message. A
    record without an identifier is called `line-7` after its line. Memory is bounded whatever
    the file holds. `on_record` is told each record, whole, in front of its entry, which has no
    place for its other fields.

    With `roots`, the file must be under one of them (`check_path`). Raises InvalidInput for
    the file as a whole, at the first `next`, except for a compressed file that turns out to be
    torn or to be a bomb: then after the entries in front, and the job must fail.
    """
    path = locate(source.path) if roots is None else check_path(source.path, roots)
    reader = reader_of(path, format_of(path, source.format), source)
    rules = ItemRules(
        id_field=source.id_field, text_field=source.text_field, allow_empty=allow_empty
    )
    is_empty = True
    for entry in reader.entries():
        is_empty = False
        on_record(entry.value)
        yield rules.entry(entry.value, entry.position, entry.where)
    if is_empty:
        raise InvalidInput(f"{shown(path)} holds no entry; at least one is due")
