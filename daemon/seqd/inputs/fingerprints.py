"""Takes the fingerprint of training data: a digest that any change to it changes.

Every text and label goes in behind its length, so that no two data sets read the same. Fed
by `datasets`, record by record.
"""

import hashlib
from collections.abc import Iterable

from seqd.hookspecs import LabelledRecord
from seqd_schemas import DataFingerprint

#: Length that stands for a label that is not there.
_NO_LABEL = b"\xff" * 8


class FingerprintTaker:
    """Takes one data set's records in order; `size` is the number of records or characters."""

    def __init__(self, *, counts_characters: bool = False) -> None:
        self._digest = hashlib.sha256()
        self._counts_characters = counts_characters
        self.size = 0

    def add(self, record: LabelledRecord) -> None:
        """Take the next record."""
        if record.label is None:
            self._digest.update(_NO_LABEL)
        else:
            self._add_text(record.label)
        self._add_text(record.text)
        self.size += len(record.text) if self._counts_characters else 1

    def add_pieces(self, size_bytes: int, pieces: Iterable[str]) -> None:
        """Take a running text of so many bytes that comes in pieces, as `add` would the whole."""
        self._digest.update(_NO_LABEL)
        self._digest.update(size_bytes.to_bytes(8, "big"))
        for piece in pieces:
            self._digest.update(piece.encode())
            self.size += len(piece)

    def fingerprint(self, description: str) -> DataFingerprint:
        """Give the fingerprint of what was taken so far."""
        return DataFingerprint(
            description=description[:512], records=self.size, sha256=self._digest.hexdigest()
        )

    def _add_text(self, text: str) -> None:
        content = text.encode()
        self._digest.update(len(content).to_bytes(8, "big"))
        self._digest.update(content)
