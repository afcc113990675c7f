"""The data of an evaluation while a job reads them: which data they are, and what an item said."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seqd.hookspecs import LabelledRecord
from seqd.inputs.datasets import FingerprintTaker
from seqd_schemas import MAX_EXAMPLE_CHARS, Item, RefusedItem

if TYPE_CHECKING:
    from seqd.cli.sources import Feed
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


def is_learnt(manifest: "ModelManifest", data: "DataFingerprint") -> bool:
    """Return True where a version was trained on these very texts."""
    learnt = manifest.data
    return learnt.sha256 == data.sha256 or (
        learnt.text_sha256 is not None and learnt.text_sha256 == data.text_sha256
    )
