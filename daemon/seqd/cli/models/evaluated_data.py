"""The data of an evaluation while a job reads them: which data they are, and what an item said."""

import hashlib
import json
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from seqd.errors import InvalidData
from seqd.hookspecs import LabelledRecord
from seqd.inputs.datasets import FingerprintTaker
from seqd.validation import shown
from seqd_schemas import MAX_EXAMPLE_CHARS, Item, RefusedItem

if TYPE_CHECKING:
    from seqd.cli.sources import Feed
    from seqd.inputs.items import ItemRules
    from seqd.inputs.records import Entry
    from seqd_schemas import DataFingerprint, ModelManifest


class EvaluatedData:
    """The items of a feed, to be read once. Their fingerprint is that of a training on them."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self._taker = FingerprintTaker()
        #: The beginning of each item's text, in order. Whoever compares results with them removes
        #: them at the front, so that only a few are held.
        self.texts: deque[str] = deque()

    def __iter__(self) -> Iterator[Item | RefusedItem]:
        for entry in self._feed:
            text = entry.text if isinstance(entry, Item) else None
            self.texts.append("" if text is None else text[:MAX_EXAMPLE_CHARS])
            if text is not None:
                self._taker.add(LabelledRecord(text, self._feed.labels[-1]))
            yield entry

    def fingerprint(self, description: str) -> "DataFingerprint":
        """Return the fingerprint of the items that have been read."""
        return self._taker.fingerprint(description)


class TaskData:
    """The items of a feed for a plugin's own task, to be read once, each with its true output.

    The field with the true output is no part of the item. A true output may be as long as a text,
    so the file is read again beside the results, and one of them is held.
    """

    def __init__(
        self, feed: "Feed", rules: "ItemRules", field: str, read: Callable[[object], object]
    ) -> None:
        """`read` returns a true output as the figures take it; it raises ValueError."""
        self._feed = feed
        self._rules = rules
        self._field = field
        self._read = read
        self._texts = FingerprintTaker()
        self._digest = hashlib.sha256()
        self._truths: Iterator[object | None] | None = None

    def __iter__(self) -> Iterator[Item | RefusedItem]:
        for entry in self._entries():
            given, value = self._given(entry.value), entry.value
            if isinstance(value, Mapping) and self._rules.fields is not None:
                value = {name: one for name, one in value.items() if name != self._field}
            item = self._rules.entry(value, entry.position, entry.where)
            self._truth(given, entry.where)  # before the work: what cannot be read ends it
            if isinstance(item, Item):
                self._texts.add(LabelledRecord(item.text, None))
                content = json.dumps([item.text, given], sort_keys=True, default=str)
                self._digest.update(content.encode() + b"\n")
            yield item

    def next_truth(self) -> object | None:
        """Return the true output of the next item, from the first; None where it has none.

        Raises InvalidInput where the file was changed since the items were read.
        """
        if self._truths is None:
            self._truths = (self._truth(self._given(e.value), e.where) for e in self._entries())
        return next(self._truths)

    def fingerprint(self, description: str) -> "DataFingerprint":
        """Return the fingerprint of the items that have been read, with their true outputs."""
        texts = self._texts.fingerprint(description)
        return texts.model_copy(update={"sha256": self._digest.hexdigest()})

    def _entries(self) -> "Iterator[Entry]":
        yield from self._feed.source.entries((self._field, *(self._rules.fields or ())))

    def _given(self, value: object) -> object:
        return value.get(self._field) if isinstance(value, Mapping) else None

    def _truth(self, given: object, where: str) -> object | None:
        is_nan = isinstance(given, float) and math.isnan(given)  # how pandas writes a missing one
        if given is None or is_nan or (isinstance(given, str) and not given.strip()):
            return None
        try:
            return self._read(given)
        except ValueError as error:
            raise InvalidData(
                f"{where}: its {self._field} is {shown(given)}, {error}. Mend it, or name the "
                "field with the true output by --label-field"
            ) from None


def is_learnt(manifest: "ModelManifest", data: "DataFingerprint") -> bool:
    """Return True where a version was trained on these very texts."""
    learnt = manifest.data
    return learnt.sha256 == data.sha256 or (
        learnt.text_sha256 is not None and learnt.text_sha256 == data.text_sha256
    )
