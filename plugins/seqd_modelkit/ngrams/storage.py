"""Stores n-gram counts as small named arrays, and checks them when they are read.

Sorted n-grams are front-coded: of each one only the digits that differ from the one before are
stored. `deflate` then compresses a one-dimensional array to bytes that fit in a safetensors file.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_modelkit.ngrams.trie import Digits, Floats, KeyLayout, Keys

Array = npt.NDArray[np.generic]

_FORMAT = 1
#: What `ngram_settings` has, in this order; `begin` is the id + 1, 0 for none.
_SETTINGS = ("format", "order", "symbols", "begin")

MAX_SYMBOLS = 2**31 - 2
MAX_ORDER = 8

#: Element types that `deflate` takes; only added to, since indices are stored.
DEFLATED_TYPES: Final = (
    "<u1", "<u2", "<u4", "<u8", "<i1", "<i2", "<i4", "<i8", "<f8", "<f4",
)  # fmt: skip

#: Bytes that an array may have when it is inflated: a small file must not fill the memory.
MAX_INFLATED_BYTES: Final = 2**31

_ZLIB_LEVEL = 9
_LARGEST_COUNT = 2.0**53


@dataclass(frozen=True)
class StoredCounts:
    """Counts as they are stored."""

    layout: KeyLayout
    begin: int | None
    digits: Digits
    counts: Floats
    discounts: Floats | None


def counts_to_arrays(
    layout: KeyLayout, keys: Keys, counts: Floats, *, begin: int | None, discounts: Floats | None
) -> dict[str, Array]:
    """Return the arrays by name, each in the smallest type that holds it."""
    digits = layout.unpack(keys)
    fresh = np.ones(digits.shape, np.bool_)  # digits that the n-gram before does not share
    fresh[:, 1:] = np.logical_or.accumulate(digits[:, 1:] != digits[:, :-1], axis=0)
    shared = layout.length - fresh.sum(axis=0)
    whole = bool((counts == np.floor(counts)).all()) and counts.max(initial=0) < _LARGEST_COUNT
    arrays: dict[str, Array] = {
        "ngram_settings": np.array(
            [_FORMAT, layout.length - 1, layout.symbols, 0 if begin is None else begin + 1],
            np.uint32,
        ),
        "ngram_shared": shared.astype(np.uint8),
        "ngram_digits": _smallest(digits.T[fresh.T]),
        "ngram_counts": _smallest(counts.astype(np.uint64)) if whole else counts,
    }
    if discounts is not None:
        arrays["ngram_discounts"] = discounts
    return arrays


def counts_from_arrays(arrays: Mapping[str, Array]) -> StoredCounts:
    """Return what arrays hold. Raises ValueError, which says what is wrong."""
    needed = {"ngram_settings", "ngram_shared", "ngram_digits", "ngram_counts"}
    if not needed <= arrays.keys() <= needed | {"ngram_discounts"}:
        raise ValueError(f"arrays {sorted(arrays)} are there; due are {sorted(needed)}")
    layout, begin = _read_settings(arrays["ngram_settings"])
    shared = _unsigned(arrays, "ngram_shared").astype(np.int64)
    fresh = _unsigned(arrays, "ngram_digits")
    digits = _read_digits(layout, shared, fresh)
    _check_digits(layout, digits, begin)
    counts = _read_counts(arrays["ngram_counts"], len(shared))
    discounts = arrays.get("ngram_discounts")
    if discounts is not None:
        discounts = _read_discounts(discounts, layout.length)
    return StoredCounts(layout, begin, digits, counts, discounts)


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


def _smallest(numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.unsignedinteger]:
    smallest: npt.NDArray[np.unsignedinteger] = numbers.astype(
        np.min_scalar_type(int(numbers.max(initial=0)))
    )
    return smallest


def _read_settings(array: Array) -> tuple[KeyLayout, int | None]:
    if array.shape != (len(_SETTINGS),) or array.dtype.kind != "u":
        raise ValueError(f"'ngram_settings' is {array.dtype} of shape {array.shape}")
    form, order, symbols, begin = (int(number) for number in array)
    if form != _FORMAT:
        raise ValueError(f"'ngram_settings' has format {form}; this version reads {_FORMAT}")
    if not 1 <= order <= MAX_ORDER or not 1 <= symbols <= MAX_SYMBOLS or begin > symbols:
        raise ValueError(f"order {order}, {symbols} symbols and begin {begin} are not possible")
    return KeyLayout(order + 1, symbols), begin - 1 if begin else None


def _unsigned(arrays: Mapping[str, Array], name: str) -> npt.NDArray[np.unsignedinteger]:
    array = arrays[name]
    if array.dtype.kind != "u" or array.ndim != 1:
        raise ValueError(
            f"{name!r} is {array.dtype} of shape {array.shape}; due is a row of unsigned integers"
        )
    return array  # type: ignore[return-value]  # its kind was looked at


def _read_digits(
    layout: KeyLayout, shared: npt.NDArray[np.int64], fresh: npt.NDArray[np.unsignedinteger]
) -> Digits:
    if len(shared) and (shared[0] != 0 or shared.max() >= layout.length):
        raise ValueError("'ngram_shared' says that an n-gram is as the one before it")
    own = layout.length - shared
    if own.sum() != len(fresh):
        raise ValueError(f"'ngram_digits' has {len(fresh)} digits; due are {own.sum()}")
    if len(fresh) and fresh.max() > layout.pruned_digit:
        raise ValueError(f"'ngram_digits' has {fresh.max()}; the largest is {layout.pruned_digit}")
    # A shared digit is the last fresh one at its position.
    ends = np.cumsum(own)
    digits = np.empty((layout.length, len(shared)), np.uint32)
    rows = np.arange(len(shared))
    for position in range(layout.length):
        last = np.maximum.accumulate(np.where(shared <= position, rows, 0))
        digits[position] = fresh[ends[last] - layout.length + position]
    return digits


def _check_digits(layout: KeyLayout, digits: Digits, begin: int | None) -> None:
    over = (digits[:-1] == 0) | (digits[:-1] == layout.pruned_digit)
    if (digits[1:][over] != 0).any():
        raise ValueError("'ngram_digits' goes on after an end")
    if ((digits[0] == 0) | (digits[0] == layout.pruned_digit)).any():
        raise ValueError("'ngram_digits' has an n-gram of no symbol")
    if begin is not None and (digits[1:] == begin + 1).any():
        raise ValueError("'ngram_digits' has the beginning of a text inside of one")
    keys = layout.pack(digits, digits.shape[1])
    rises = np.zeros(max(0, keys.shape[1] - 1), np.bool_)
    for column in reversed(keys):
        rises = np.where(column[1:] == column[:-1], rises, column[1:] > column[:-1])
    if not rises.all():
        raise ValueError("'ngram_digits' is not in order")


def _read_counts(array: Array, ngrams: int) -> Floats:
    if array.shape != (ngrams,) or array.dtype.kind not in "uf":
        raise ValueError(f"'ngram_counts' is {array.dtype} of shape {array.shape}; due {ngrams}")
    counts: Floats = array.astype(np.float64)
    if not ((counts > 0) & (counts <= _LARGEST_COUNT)).all():
        raise ValueError("'ngram_counts' has a count that is not above 0, or is too large")
    return counts


def _read_discounts(array: Array, lengths: int) -> Floats:
    if array.shape != (lengths, 3) or array.dtype.kind != "f":
        raise ValueError(f"'ngram_discounts' is {array.dtype} of shape {array.shape}")
    discounts: Floats = array.astype(np.float64)
    if not ((discounts > 0) & (discounts <= [1.0, 2.0, 3.0])).all():
        raise ValueError("'ngram_discounts' has one that is not above 0, or above its count")
    return discounts
