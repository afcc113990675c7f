"""Digests of requests and their input: what tells a repeated request from a different one.

A request's digest covers all of it but its items. The input goes on from there, so that one digest
stands for the request and all entries so far; how they were cut into chunks does not matter, nor
whether they came inline. Where held-out records begin does. Fields that are at their defaults are
left out of both: a field that a later release adds changes no digest.
"""

import hashlib
import json
from typing import TYPE_CHECKING

from seqd_schemas import Job, UploadSource

if TYPE_CHECKING:
    from seqd.ledger.blobs import PackedChunk

#: Hex digits of a digest: 128 bits.
DIGITS = 32

#: What stands between the records to learn from and those to validate on: no record begins so.
_HELD_OUT = b"held out\n"


class InputDigest:
    """The running digest of a request and of its input, entry by entry."""

    def __init__(self, job: Job) -> None:
        self._hash = hashlib.sha256(_canonical(job))
        self._is_held_out = False

    def add(self, chunk: "PackedChunk") -> None:
        """Go on with the entries of the next chunk."""
        if chunk.is_held_out and not self._is_held_out:
            self._is_held_out = True
            self._hash.update(_HELD_OUT)
        self._hash.update(_content(chunk))

    def hex_with(self, chunk: "PackedChunk") -> str:
        """Return what `hex` would after `add` of a chunk of items, and add nothing."""
        hash_ = self._hash.copy()
        hash_.update(_content(chunk))
        return hash_.hexdigest()[:DIGITS]

    def hex(self) -> str:
        """Return the digest of what was added so far; of nothing, that of the request."""
        return self._hash.hexdigest()[:DIGITS]


def _content(chunk: "PackedChunk") -> bytes:
    # Without the brackets of the array, so that it does not matter where a chunk ends.
    return chunk.entries[1:-1] + b"," if chunk.size else b""


def _canonical(job: Job) -> bytes:
    # Inline items are input, and `expected_items` is for the ETA alone.
    is_input = job.source.type in ("inline", "records", "upload")
    request = job.model_copy(update={"source": UploadSource()}) if is_input else job
    fields = request.model_dump(mode="json", exclude_defaults=True) | {"kind": job.kind}
    text = json.dumps(fields, sort_keys=True)
    return text.encode("utf-8", "surrogatepass") + b"\n"
