"""Sources of a job's input: each gives it chunk by chunk, as the job's units are cut."""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import chain
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, runtime_checkable

from seqd.errors import DuplicateCustomId, InvalidInput, InvalidRequest, UnknownItem
from seqd.inputs.duplicates import DuplicateGuard, refuse_duplicates
from seqd.inputs.items import ItemRules, task_rules
from seqd.inputs.training import texts_of
from seqd.kinds import KINDS
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import ItemCutter, chunks_of, indexed_items, text_chunks_of, unpack_items
from seqd.ledger.exchange import Exchange, Finish, Next, Reading, Taken
from seqd.ledger.jobs import Jobs, RetryableUnit
from seqd.validation import shown
from seqd_schemas import (
    FileSource,
    Item,
    ItemChunk,
    ItemFailure,
    ItemSuccess,
    Job,
    LabelledText,
    ModelReference,
    NamedSource,
    RefusedItem,
    RunJob,
    TextChunk,
)

if TYPE_CHECKING:
    from seqd.client.requests import RecordOptions, TrainOptions
    from seqd_schemas import TaskSchema

Record = str | Mapping[str, object]
#: What becomes an item of a job.
Value = Record | Item | RefusedItem
Values = Iterable[Value] | AsyncIterable[Value]
T = TypeVar("T")
OneResult = TypeVar("OneResult", bound="ItemSuccess[object] | ItemFailure")


@runtime_checkable
class _OfFile(Protocol):
    """Values that are read of a file, which may be written to meanwhile."""

    def refuse_written(self) -> None:
        """Raise InvalidInput where the file was written to since its reading began."""


class Source:
    """An input, from its first chunk to its last; one that is its owner's is not closed."""

    def begin(self, unit_items: int, read: Sequence[ItemChunk | TextChunk] = ()) -> None:
        """Cut into chunks of at most `unit_items`; once more what was `read` of it before."""

    def next(self) -> Exchange[ItemChunk | TextChunk | None]:
        """Return the next chunk; None at the end."""
        raise NotImplementedError

    def finish(self) -> Exchange[None]:
        """Close what is read, of which nothing more is wanted."""
        yield from ()


class Entries(Source):
    """Items of an iterable, which is read lazily."""

    def __init__(self, entries: Iterable[Item | RefusedItem]) -> None:
        self._entries = iter(entries)
        self._chunks: Iterator[ItemChunk] = iter(())

    def begin(self, unit_items: int, read: Sequence[ItemChunk | TextChunk] = ()) -> None:
        """Cut into chunks of at most `unit_items`; once more what was `read` of it before."""
        self._chunks = chunks_of(chain(entries_in(read), self._entries), unit_items)

    def next(self) -> Exchange[ItemChunk | None]:
        """Return the next chunk; None at the end."""
        return cast(ItemChunk | None, (yield Next(self._chunks)))


class AsyncEntries(Source):
    """Items of an asynchronous iterable, which is read lazily."""

    def __init__(
        self,
        values: AsyncIterable[Value],
        rules: ItemRules,
    ) -> None:
        self._values = aiter(values)
        self._rules = rules
        self._entries = self._read()
        self._chunks: AsyncIterator[ItemChunk] = self._cut(ItemCutter(1), ())

    def begin(self, unit_items: int, read: Sequence[ItemChunk | TextChunk] = ()) -> None:
        """Cut into chunks of at most `unit_items`; once more what was `read` of it before."""
        self._chunks = self._cut(ItemCutter(unit_items), entries_in(read))

    def next(self) -> Exchange[ItemChunk | None]:
        """Return the next chunk; None at the end."""
        return cast(ItemChunk | None, (yield Next(self._chunks)))

    def finish(self) -> Exchange[None]:
        """Close what is read: a generator that nobody asks any more would end with its loop."""
        yield Finish((self._chunks, self._entries, self._values))

    async def _cut(
        self, cutter: ItemCutter, read: Iterable[Item | RefusedItem]
    ) -> AsyncIterator[ItemChunk]:
        for entry in read:
            if (chunk := cutter.add(entry)) is not None:
                yield chunk
        async for entry in self._entries:
            if (chunk := cutter.add(entry)) is not None:
                yield chunk
        if (chunk := cutter.rest()) is not None:
            yield chunk

    async def _read(self) -> AsyncIterator[Item | RefusedItem]:
        guard, number = DuplicateGuard(), 0
        while True:
            is_closed = isinstance(self._values, AsyncGeneratorType) and not self._values.ag_frame
            try:
                value = await anext(self._values)
            except StopAsyncIteration:
                refuse_if_closed(number, is_closed=is_closed)
                break
            number += 1
            entry = self._rules.item(value, number)
            guard.add(entry.custom_id)
            yield entry
        guard.finish()


class Texts(Source):
    """A training set, and behind it what is held out of it, in chunks of their own size."""

    def __init__(
        self, texts: Iterable[LabelledText], held_out: Iterable[LabelledText] = ()
    ) -> None:
        self._chunks = chain(text_chunks_of(texts), text_chunks_of(held_out, held_out=True))

    def next(self) -> Exchange[TextChunk | None]:
        """Return the next chunk; None at the end."""
        return cast(TextChunk | None, (yield Next(self._chunks)))


class FailedItems(Source):
    """An ended job's items that have no output, in the job's order, a unit of them at a time.

    Entries that never were readable hold no text and are left out.
    """

    def __init__(self, jobs: Jobs, job_id: str, units: Sequence[RetryableUnit]) -> None:
        self.jobs = jobs
        self.job_id = job_id
        self._units = iter(units)
        self._found: list[Item] = []
        self._cutter = ItemCutter(1)

    def find(self) -> Exchange[bool]:
        """Read on until there is an item; False where there is none."""
        while not self._found:
            unit = next(self._units, None)
            if unit is None:
                return False
            blob = yield from self.jobs.retryable_input.steps(self.job_id, unit)
            self._found = indexed_items(unpack_items(blob))[::-1]
        return True

    def begin(self, unit_items: int, read: Sequence[ItemChunk | TextChunk] = ()) -> None:
        """Cut into chunks of at most `unit_items`; once more what was `read` of it before."""
        items = [entry for entry in entries_in(read) if isinstance(entry, Item)]
        self._found += items[::-1]
        self._cutter = ItemCutter(unit_items)

    def next(self) -> Exchange[ItemChunk | None]:
        """Return the next chunk; None at the end."""
        while (item := (yield from self.take())) is not None:
            if (chunk := self._cutter.add(item)) is not None:
                return chunk
        return self._cutter.rest()

    def take(self) -> Exchange[Item | None]:
        """Return the next item; None at the end."""
        return self._found.pop() if (yield from self.find()) else None

    def names(self) -> Exchange[tuple[str, ...]]:
        """Return the identifiers of all that are left."""
        names = []
        while (item := (yield from self.take())) is not None:
            names.append(item.custom_id)
        return tuple(names)


class ChosenItems(FailedItems):
    """Failed items of an ended job by its results: those of some errors, or some with another text.

    Those with another text need not have been readable before.
    """

    def __init__(
        self,
        failed: FailedItems,
        results: Reading[OneResult],
        *,
        codes: Collection[str] | None = None,
        corrected: Mapping[str, Item] | None = None,
    ) -> None:
        """`failed` are the items whose texts are known, `results` say which failed, in order.

        Without `codes`, of any error; `corrected` are the new items by identifier.
        """
        super().__init__(failed.jobs, failed.job_id, ())
        self._failed = failed
        self._results = cast("Taken[ItemSuccess[object] | ItemFailure]", Taken(results))
        self._codes = codes
        self._corrected = corrected or {}
        #: Position of the next result in the job.
        self._index = 0
        #: The next item whose text is known.
        self._known: Item | None = None

    def find(self) -> Exchange[bool]:
        """Read on until there is an item; False where there is none."""
        while not self._found:
            result = yield from self._results.take()
            if result is None:
                return False
            known = yield from self._known_item(result.custom_id)
            item = self._corrected_item(result.custom_id, known)
            if item is not None and self._is_meant(result):
                self._found = [item]
            self._index += 1
        return True

    def _is_meant(self, result: OneResult) -> bool:
        if not isinstance(result, ItemFailure):
            return False
        return self._codes is None or result.error.code in self._codes

    def _corrected_item(self, custom_id: str, known: Item | None) -> Item | None:
        corrected = self._corrected.get(custom_id)
        if corrected is None:
            return known
        index = self._index if known is None else known.index
        return corrected.model_copy(update={"index": index})

    def _known_item(self, custom_id: str) -> Exchange[Item | None]:
        self._known = self._known or (yield from self._failed.take())
        if self._known is None or self._known.custom_id != custom_id:
            return None
        found, self._known = self._known, None
        return found


def corrections_of(texts: Mapping[str, Record], rules: ItemRules) -> dict[str, Item]:
    """Return the items that new texts are, by identifier; raise InvalidInput for one that is none.

    Of a task whose input is a record, they are new records. Raises InvalidRequest for anything but
    a mapping.
    """
    noun = "text" if rules.fields is None else "record"
    if not isinstance(texts, Mapping):
        raise InvalidRequest(
            f"The corrected items are one {type(texts).__name__}; allowed: a mapping of custom_id "
            f"to {noun}."
        )
    items = dict[str, Item]()
    for custom_id, text in texts.items():
        where = f"the new {noun} of item {custom_id!r}"
        value: Record = {**_fields(text), rules.id_field: custom_id}
        if rules.fields is not None and not isinstance(text, Mapping):
            value = text  # which is refused as what it is
        entry = rules.entry(value, "row-1", where)
        if isinstance(entry, RefusedItem):
            raise InvalidInput(f"{entry.refused.message} Nothing was sent.")
        items[entry.custom_id] = entry
    return items


def _fields(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {"text": value}


def refuse_unfailed(
    job_id: str, results: Reading[OneResult], names: Collection[str]
) -> Exchange[None]:
    """Raise UnknownItem where a job has no item of a name, InvalidRequest where that has an output.

    Reads the results up to the last of them.
    """
    taken, left = Taken(results), set(names)
    while left and (result := (yield from taken.take())) is not None:
        if result.custom_id not in left:
            continue
        if not isinstance(result, ItemFailure):
            raise InvalidRequest(
                f"Item {result.custom_id!r} of job {job_id} has an output; allowed: items with an "
                "error, which `errors()` gives. Leave it out, or hand it in as a new job. Nothing "
                "was sent."
            )
        left.remove(result.custom_id)
    if left:
        first = next(name for name in names if name in left)
        raise UnknownItem(
            f"Job {job_id} has no item {first!r}, whose text is to be corrected. `errors()` gives "
            "those that failed. Nothing was sent."
        )


def entries_in(read: Iterable[ItemChunk | TextChunk]) -> Iterator[Item | RefusedItem]:
    """Yield the entries of chunks of items."""
    return (entry for chunk in read if isinstance(chunk, ItemChunk) for entry in chunk.items)


def entries_by(rules: ItemRules, values: Iterable[Value]) -> Entries:
    """Return the items that values are by the rules, each with an identifier of its own."""
    entries = (rules.item(value, number) for number, value in enumerate(whole(values), start=1))
    return Entries(_refuse_duplicates(entries, values))


def _refuse_duplicates(
    entries: Iterator[Item | RefusedItem], values: object
) -> Iterator[Item | RefusedItem]:
    """Pass entries through; raise DuplicateCustomId, but InvalidInput where their file changed."""
    try:
        yield from refuse_duplicates(entries)
    except DuplicateCustomId:
        if isinstance(values, _OfFile):
            values.refuse_written()
        raise


def rules_of(
    ledger: LedgerParts, job: Job, options: "RecordOptions | None" = None
) -> Exchange[ItemRules]:
    """Return the rules by which the values of a job become items.

    Of a plugin's own task the catalog says them; `options` have the names of fields.
    """
    asked = options or {}
    id_field, text_field = asked.get("id_field", "custom_id"), asked.get("text_field", "text")
    task = None
    if isinstance(job, RunJob):
        task = yield from published_task(ledger, job)
    if task is not None:
        return task_rules(task, id_field, text_field)
    # Where there is no such task, sending the job says so.
    is_empty_allowed = KINDS[job.kind].allows_empty
    return ItemRules(id_field=id_field, text_field=text_field, allow_empty=is_empty_allowed)


def published_task(ledger: LedgerParts, job: RunJob) -> "Exchange[TaskSchema | None]":
    """Return what the catalog says of a job's task; None where no model of the name can do it."""
    catalog = yield from ledger.fleet.catalog_for.steps(job)
    entry = catalog.get(ModelReference.parse(job.model).name)
    return None if entry is None else entry.run_tasks.get(job.task)


def items_by(rules: ItemRules, values: Iterable[Value]) -> Iterator[Item | RefusedItem]:
    """Yield the items that values are by the rules, whatever identifiers they have."""
    return (rules.item(value, number) for number, value in enumerate(listed(values), start=1))


def training_set_of(
    data: Iterable[Record] | FileSource | NamedSource,
    held_out: Iterable[Record] | FileSource | NamedSource | None,
    options: "TrainOptions",
) -> Texts | None:
    """Return what of a training's data is to be uploaded; None where workers find all of it."""
    fields = {
        "text_field": options.get("text_field", "text"),
        "label_field": options.get("label_field", "label"),
    }
    texts: Iterable[LabelledText] = ()
    validating: Iterable[LabelledText] = ()
    if is_data_here := not isinstance(data, FileSource | NamedSource):
        texts = _some(texts_of(listed(data), **fields), "There are no items; at least one is due.")
    if is_held_out_here := not isinstance(held_out, FileSource | NamedSource | None):
        rows = texts_of(listed(held_out), row="held-out row", **fields)
        validating = _some(rows, "The held-out data has no records; at least one is due.")
    return Texts(texts, validating) if is_data_here or is_held_out_here else None


def whole(values: Iterable[T]) -> Iterator[T]:
    """Yield values; raise InvalidInput where somebody else has closed their generator half-way."""
    iterator, number = iter(listed(values)), 0
    while True:
        is_closed = isinstance(iterator, GeneratorType) and iterator.gi_frame is None
        try:
            value = next(iterator)
        except StopIteration:
            refuse_if_closed(number, is_closed=is_closed)
            return
        number += 1
        yield value


def refuse_if_closed(number: int, *, is_closed: bool) -> None:
    """Raise InvalidInput for a generator that had ended before it was asked for its end."""
    if is_closed and number:
        raise InvalidInput(
            f"The generator of the items was closed after {number:,} of them, by somebody else: "
            "whether there are more is not known. Hand the job in again with all of its items."
        )


def listed(values: Iterable[T]) -> Iterable[T]:
    """Refuse one string or record: it would be taken for its letters, or its fields' names."""
    if isinstance(values, str | bytes | Mapping):
        raise InvalidRequest(
            f"The items are one {type(values).__name__}; allowed: an iterable of texts or records. "
            "Put it into a list."
        )
    # `__getitem__` alone is enough to be iterated over, as data sets are that have no `__iter__`.
    if not isinstance(values, Iterable) and not hasattr(values, "__getitem__"):
        raise InvalidRequest(
            f"The items are {shown(values)}; allowed: an iterable of texts or records."
        )
    return values


def _some(texts: Iterable[LabelledText], otherwise: str) -> Iterator[LabelledText]:
    """Yield the texts; raise InvalidRequest where there are none."""
    text = None
    for text in texts:
        yield text
    if text is None:
        raise InvalidRequest(otherwise)
