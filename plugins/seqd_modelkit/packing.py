"""A one-dimensional array as compressed bytes, which fit in a safetensors file."""

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

#: Element types that `deflate` takes; only added to, since indices are stored.
DEFLATED_TYPES: Final = (
    "<u1", "<u2", "<u4", "<u8", "<i1", "<i2", "<i4", "<i8", "<f8", "<f4",
)  # fmt: skip

#: Bytes that an array may have when it is inflated: a small file must not fill the memory.
MAX_INFLATED_BYTES: Final = 2**31

_ZLIB_LEVEL = 9


def deflate(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Return a one-dimensional array as compressed bytes. Raises ValueError for any other.

    The first byte is the element type's index in DEFLATED_TYPES. The rest is one zlib stream
    (RFC 1950) of the elements, little-endian and byte-shuffled: all first bytes, then all second
    ones. The high bytes of small numbers are zeros, which compress best side by side.
    """
    kind = array.dtype.newbyteorder("<").str.replace("|", "<")
    if array.ndim != 1 or kind not in DEFLATED_TYPES:
        raise ValueError(f"{array.dtype} of shape {array.shape} is no row of numbers")
    rows = np.ascontiguousarray(array, kind).view(np.uint8).reshape(len(array), array.itemsize)
    packed = bytes([DEFLATED_TYPES.index(kind)]) + zlib.compress(rows.T.tobytes(), _ZLIB_LEVEL)
    return np.frombuffer(packed, np.uint8)


def inflate(packed: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.generic]:
    """Return the array that `deflate` was given.

    Raises ValueError, which names the array by `name` and says what is wrong.
    """
    if packed.dtype != np.uint8 or packed.ndim != 1 or not len(packed):
        raise ValueError(f"{name!r} is {packed.dtype} of shape {packed.shape}; due is packed bytes")
    if packed[0] >= len(DEFLATED_TYPES):
        raise ValueError(f"{name!r} is packed in a way that this version does not know")
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed[1:].tobytes(), MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise ValueError(f"{name!r} cannot be unpacked: {error}") from None
    kind = np.dtype(DEFLATED_TYPES[packed[0]])
    if not stream.eof or stream.unused_data or len(content) % kind.itemsize:
        raise ValueError(f"{name!r} is cut, too large, or has something behind its end")
    planes = np.frombuffer(content, np.uint8).reshape(kind.itemsize, len(content) // kind.itemsize)
    return np.ascontiguousarray(planes.T).reshape(-1).view(kind)
