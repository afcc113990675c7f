"""Counted n-grams as small arrays and back, everything checked on the way in.

Front coding: of each n-gram only the digits that differ from the one before it are kept. Used by
`counting`; whoever writes a file (`arrays` of a model) adds nothing but the bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqd_ngrams.keys import Coding, Digits, Floats, Keys

Array = npt.NDArray[np.generic]

_FORMAT = 1
#: What `ngram_settings` has, in this order; `begin` is the id + 1, 0 for none.
_SETTINGS = ("format", "order", "symbols", "begin")

MAX_SYMBOLS = 2**31 - 2
MAX_ORDER = 8
_LARGEST_COUNT = 2.0**53


@dataclass(frozen=True)
class Stored:
    """What was read."""

    coding: Coding
    begin: int | None
    digits: Digits
    counts: Floats
    discounts: Floats | None


def stored_counts(
    coding: Coding, keys: Keys, counts: Floats, *, begin: int | None, discounts: Floats | None
) -> dict[str, Array]:
    """Give the arrays, each in the smallest type that holds it."""
    digits = coding.unpack(keys)
    fresh = np.ones(digits.shape, np.bool_)  # digits that are not as in the n-gram before
    fresh[:, 1:] = np.logical_or.accumulate(digits[:, 1:] != digits[:, :-1], axis=0)
    shared = coding.length - fresh.sum(axis=0)
    whole = bool((counts == np.floor(counts)).all()) and counts.max(initial=0) < _LARGEST_COUNT
    arrays: dict[str, Array] = {
        "ngram_settings": np.array(
            [_FORMAT, coding.length - 1, coding.symbols, 0 if begin is None else begin + 1],
            np.uint32,
        ),
        "ngram_shared": shared.astype(np.uint8),
        "ngram_digits": _smallest(digits.T[fresh.T]),
        "ngram_counts": _smallest(counts.astype(np.uint64)) if whole else counts,
    }
    if discounts is not None:
        arrays["ngram_discounts"] = discounts
    return arrays


def read_counts(arrays: Mapping[str, Array]) -> Stored:
    """Check arrays and give what they hold. Raises ValueError, which says what is wrong."""
    needed = {"ngram_settings", "ngram_shared", "ngram_digits", "ngram_counts"}
    if not needed <= arrays.keys() <= needed | {"ngram_discounts"}:
        raise ValueError(f"arrays {sorted(arrays)} are there; due are {sorted(needed)}")
    coding, begin = _settings(arrays["ngram_settings"])
    shared = _unsigned(arrays, "ngram_shared").astype(np.int64)
    fresh = _unsigned(arrays, "ngram_digits")
    digits = _digits(coding, shared, fresh)
    _check_digits(coding, digits, begin)
    counts = _counts(arrays["ngram_counts"], len(shared))
    discounts = arrays.get("ngram_discounts")
    if discounts is not None:
        discounts = _discounts(discounts, coding.length)
    return Stored(coding, begin, digits, counts, discounts)


def _smallest(numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.unsignedinteger]:
    smallest: npt.NDArray[np.unsignedinteger] = numbers.astype(
        np.min_scalar_type(int(numbers.max(initial=0)))
    )
    return smallest


def _settings(array: Array) -> tuple[Coding, int | None]:
    if array.shape != (len(_SETTINGS),) or array.dtype.kind != "u":
        raise ValueError(f"'ngram_settings' is {array.dtype} of shape {array.shape}")
    form, order, symbols, begin = (int(number) for number in array)
    if form != _FORMAT:
        raise ValueError(f"'ngram_settings' has format {form}; this version reads {_FORMAT}")
    if not 1 <= order <= MAX_ORDER or not 1 <= symbols <= MAX_SYMBOLS or begin > symbols:
        raise ValueError(f"order {order}, {symbols} symbols and begin {begin} are not possible")
    return Coding(order + 1, symbols), begin - 1 if begin else None


def _unsigned(arrays: Mapping[str, Array], name: str) -> npt.NDArray[np.unsignedinteger]:
    array = arrays[name]
    if array.dtype.kind != "u" or array.ndim != 1:
        raise ValueError(
            f"{name!r} is {array.dtype} of shape {array.shape}; due is a row of unsigned integers"
        )
    return array  # type: ignore[return-value]  # its kind was looked at


def _digits(
    coding: Coding, shared: npt.NDArray[np.int64], fresh: npt.NDArray[np.unsignedinteger]
) -> Digits:
    if len(shared) and (shared[0] != 0 or shared.max() >= coding.length):
        raise ValueError("'ngram_shared' says that an n-gram is as the one before it")
    own = coding.length - shared
    if own.sum() != len(fresh):
        raise ValueError(f"'ngram_digits' has {len(fresh)} digits; due are {own.sum()}")
    if len(fresh) and fresh.max() > coding.other:
        raise ValueError(f"'ngram_digits' has {fresh.max()}; the largest is {coding.other}")
    # A digit that is shared is the last fresh one of its place.
    ends = np.cumsum(own)
    digits = np.empty((coding.length, len(shared)), np.uint32)
    rows = np.arange(len(shared))
    for place in range(coding.length):
        last = np.maximum.accumulate(np.where(shared <= place, rows, 0))
        digits[place] = fresh[ends[last] - coding.length + place]
    return digits


def _check_digits(coding: Coding, digits: Digits, begin: int | None) -> None:
    over = (digits[:-1] == 0) | (digits[:-1] == coding.other)
    if (digits[1:][over] != 0).any():
        raise ValueError("'ngram_digits' goes on after an end")
    if ((digits[0] == 0) | (digits[0] == coding.other)).any():
        raise ValueError("'ngram_digits' has an n-gram of no symbol")
    if begin is not None and (digits[1:] == begin + 1).any():
        raise ValueError("'ngram_digits' has the beginning of a text inside of one")
    keys = coding.pack(digits, digits.shape[1])
    rises = np.zeros(max(0, keys.shape[1] - 1), np.bool_)
    for column in reversed(keys):
        rises = np.where(column[1:] == column[:-1], rises, column[1:] > column[:-1])
    if not rises.all():
        raise ValueError("'ngram_digits' is not in order")


def _counts(array: Array, ngrams: int) -> Floats:
    if array.shape != (ngrams,) or array.dtype.kind not in "uf":
        raise ValueError(f"'ngram_counts' is {array.dtype} of shape {array.shape}; due {ngrams}")
    counts: Floats = array.astype(np.float64)
    if not ((counts > 0) & (counts <= _LARGEST_COUNT)).all():
        raise ValueError("'ngram_counts' has a count that is not above 0, or is too large")
    return counts


def _discounts(array: Array, lengths: int) -> Floats:
    if array.shape != (lengths, 3) or array.dtype.kind != "f":
        raise ValueError(f"'ngram_discounts' is {array.dtype} of shape {array.shape}")
    discounts: Floats = array.astype(np.float64)
    if not ((discounts > 0) & (discounts <= [1.0, 2.0, 3.0])).all():
        raise ValueError("'ngram_discounts' has one that is not above 0, or above its count")
    return discounts
