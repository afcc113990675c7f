"""Reads a text file as one running text: whole, or in pieces where it is larger than memory.

Line ends stay as they are, a byte order mark goes, whatever is no UTF-8 is refused with its line.
Used by `datasets`.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path

from seqd.errors import InvalidData, InvalidInput
from seqd.inputs.fingerprints import FingerprintTaker
from seqd.inputs.inflating import TORN
from seqd.inputs.paths import shown
from seqd.inputs.streams import explained, open_text_bytes
from seqd_schemas import DataFingerprint

#: Longest text that is read whole, in bytes.
MAX_RUNNING_TEXT_BYTES = 2**30

#: How much of a text is in memory at once where it is read in pieces.
PIECE_BYTES = 2**20


def read_running_text(path: Path) -> str:
    """Read a text file whole. Raises InvalidInput or InvalidData."""
    pieces, size_bytes = [], 0
    for piece in read_pieces(path):
        pieces.append(piece)
        size_bytes += len(piece.encode())
        if size_bytes > MAX_RUNNING_TEXT_BYTES:
            raise InvalidInput(
                f"{shown(path)} is longer than {MAX_RUNNING_TEXT_BYTES:,} bytes, which is the most "
                "that is learnt from as one text. Split it"
            )
    return "".join(pieces)


def read_pieces(path: Path) -> Iterator[str]:
    """Read a text file of any length in pieces of PIECE_BYTES. Raises as `read_running_text`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 0
    with open_text_bytes(path) as stream:
        content = b"any"
        while content:
            try:
                content = stream.read(PIECE_BYTES)
                piece = decoder.decode(content, final=not content)
            except TORN as error:
                raise explained(path, error, "somewhere in its text") from error
            except UnicodeDecodeError as error:
                line = lines + error.object.count(b"\n", 0, error.start) + 1
                raise InvalidData(
                    f"{path.name}, line {line:,}: byte {error.object[error.start]:#04x} is not "
                    "UTF-8. Convert it, as `iconv -f LATIN1 -t UTF-8` does"
                ) from None
            lines += content.count(b"\n")
            if piece:
                yield piece


def fingerprint_of(path: Path, description: str) -> DataFingerprint:
    """Take the fingerprint of a text file of any length; it is read twice."""
    size_bytes = sum(len(piece.encode()) for piece in read_pieces(path))
    taker = FingerprintTaker(counts_characters=True)
    taker.add_pieces(size_bytes, read_pieces(path))
    return taker.fingerprint(description)
