"""Cuts a stream of entries into units, by number of items and by size, the same way each time.

Used by the client that uploads and by the worker that reads a file, so that one input makes
the same units whoever cuts it, and cutting again after a crash gives the same numbers.
"""

from collections.abc import Iterable, Iterator, Sequence

from seqd_schemas import (
    Item,
    ItemChunk,
    ItemFailure,
    ItemSuccess,
    LabelledText,
    RefusedItem,
    TextChunk,
)

#: Characters of text after which a unit is closed, whatever its number of items.
UNIT_CHARS = 4 * 1024 * 1024

#: Records of a training set in one chunk.
TEXTS_IN_CHUNK = 2_048


def chunks_of(entries: Iterable[Item | RefusedItem], unit_items: int) -> Iterator[ItemChunk]:
    """Cut entries into chunks of at most `unit_items`, lazily and in order."""
    first_index, held, chars = 0, list[Item | RefusedItem](), 0
    for entry in entries:
        held.append(entry)
        chars += len(entry.text) if isinstance(entry, Item) else 0
        if len(held) >= unit_items or chars >= UNIT_CHARS:
            yield _chunk(first_index, held)
            first_index, held, chars = first_index + len(held), [], 0
    if held:
        yield _chunk(first_index, held)


def text_chunks_of(texts: Iterable[LabelledText]) -> Iterator[TextChunk]:
    """Cut a training set into chunks, lazily and in order."""
    held, chars = list[LabelledText](), 0
    for text in texts:
        held.append(text)
        chars += len(text.text)
        if len(held) >= TEXTS_IN_CHUNK or chars >= UNIT_CHARS:
            yield TextChunk(texts=tuple(held))
            held, chars = [], 0
    if held:
        yield TextChunk(texts=tuple(held))


def halves_of(chunk: ItemChunk) -> tuple[ItemChunk, ItemChunk] | None:
    """Cut a chunk in two; None for a single entry."""
    middle = len(chunk.items) // 2
    if middle == 0:
        return None
    first = chunk.first_index
    return (
        _chunk(first, list(chunk.items[:middle])),
        _chunk(first + middle, list(chunk.items[middle:])),
    )


def failed_items(
    chunk: ItemChunk, results: Sequence[ItemSuccess | ItemFailure]
) -> ItemChunk | None:
    """Give the items of a unit whose results are errors; None when there are none.

    Entries that were refused before they were read hold no text, so they are not among them.
    """
    failed: list[Item | RefusedItem] = [
        entry
        for entry, result in zip(chunk.items, results, strict=True)
        if isinstance(entry, Item) and isinstance(result, ItemFailure)
    ]
    return _chunk(chunk.first_index, failed) if failed else None


def _chunk(first_index: int, entries: list[Item | RefusedItem]) -> ItemChunk:
    # Every entry was validated when it was made; doing it again would cost as much as packing.
    return ItemChunk.model_construct(type="items", first_index=first_index, items=tuple(entries))
