"""Rows of numbers as bytes that take less room, and back: zlib (RFC 1950), checked on the way in.

Of the arrays of n-grams, and of a text that is kept as ids, more than half is saved. The result
is a row of bytes, so that it fits in whatever file the arrays are for. Knows nothing of n-grams;
used by `model`, and by plugins for the text.

The first byte says what the numbers are, by its place in KINDS; the rest is one zlib stream of
their bytes, little-endian, all first bytes first, then all second ones: those of small numbers are
zeros, which pack best side by side.
"""

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

#: What a number may be; only added to, since places are stored.
KINDS: Final = ("<u1", "<u2", "<u4", "<u8", "<i1", "<i2", "<i4", "<i8", "<f8", "<f4")

#: Bytes that a row may have when it is inflated: a small file must not fill the memory.
MAX_BYTES: Final = 2**31

_LEVEL = 9


def deflated(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Pack a row of numbers. Raises ValueError for what is none."""
    kind = array.dtype.newbyteorder("<").str.replace("|", "<")
    if array.ndim != 1 or kind not in KINDS:
        raise ValueError(f"{array.dtype} of shape {array.shape} is no row of numbers")
    rows = np.ascontiguousarray(array, kind).view(np.uint8).reshape(len(array), array.itemsize)
    packed = bytes([KINDS.index(kind)]) + zlib.compress(rows.T.tobytes(), _LEVEL)
    return np.frombuffer(packed, np.uint8)


def inflated(packed: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.generic]:
    """Unpack what `deflated` gave. Raises ValueError, which names `name` and says what is wrong."""
    if packed.dtype != np.uint8 or packed.ndim != 1 or not len(packed):
        raise ValueError(f"{name!r} is {packed.dtype} of shape {packed.shape}; due is packed bytes")
    if packed[0] >= len(KINDS):
        raise ValueError(f"{name!r} is packed in a way that this version does not know")
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed[1:].tobytes(), MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"{name!r} cannot be unpacked: {error}") from None
    kind = np.dtype(KINDS[packed[0]])
    if not stream.eof or stream.unused_data or len(content) % kind.itemsize:
        raise ValueError(f"{name!r} is cut, too large, or has something behind its end")
    planes = np.frombuffer(content, np.uint8).reshape(kind.itemsize, len(content) // kind.itemsize)
    return np.ascontiguousarray(planes.T).reshape(-1).view(kind)
