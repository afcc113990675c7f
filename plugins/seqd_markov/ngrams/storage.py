"""Stores n-gram counts as small named arrays, and checks them when they are read.

Sorted n-grams are front-coded: of each one only the digits that differ from the one before are
stored.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from seqd_markov.ngrams.counting import NgramCounts
from seqd_markov.ngrams.trie import Digits, Floats, KeyLayout

Array = npt.NDArray[np.generic]

_FORMAT = 1
#: What `ngram_settings` has, in this order; `begin` is the id + 1, 0 for none.
_SETTINGS = ("format", "order", "symbols", "begin")

MAX_SYMBOLS = 2**31 - 2
MAX_ORDER = 8

_LARGEST_COUNT = 2.0**53


def counts_to_arrays(stored: NgramCounts) -> dict[str, Array]:
    """Return the arrays by name, each in the smallest type that holds it."""
    layout, counts, begin = stored.layout, stored.counts, stored.begin
    digits = layout.unpack(stored.keys)
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
    if stored.discounts is not None:
        arrays["ngram_discounts"] = stored.discounts
    return arrays


def counts_from_arrays(arrays: Mapping[str, Array]) -> NgramCounts:
    """Return the counts that arrays hold. Raises ValueError, which says what is wrong."""
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
    keys = layout.pack(digits, len(counts))
    return NgramCounts(layout.length - 1, layout.symbols, begin, keys, counts, discounts)


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
