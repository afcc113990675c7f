"""Results as one matrix of NumPy: the vectors of a plugin's own output, a row each item.

The matrix is allocated once, where the number of items and that of the dimensions are known before
the first vector; else it grows.
"""

from typing import TYPE_CHECKING

import numpy as np

from seqd.client.output_fields import OutputField, vector_of
from seqd.client.results import OneResult
from seqd.errors import OutputMismatch
from seqd.ledger.exchange import Exchange, Reading, Taken
from seqd_schemas import ItemFailure

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows that a matrix begins with whose number of rows is not known.
_FIRST_ROWS = 1_024


class Matrix:
    """Rows of one length, as far as they have come."""

    def __init__(self, rows: int | None, dimensions: int | None) -> None:
        """`rows` and `dimensions` are what there will be, where that is known."""
        self._expected = _FIRST_ROWS if rows is None else rows
        #: None until the first vector, of vectors whose length nobody has stated.
        self._cells: NDArray[np.float32] | None = None
        self._count = 0
        if dimensions is not None:
            self._cells = np.empty((self._expected, dimensions), np.float32)

    def add(self, vector: "NDArray[np.float32] | None", custom_id: str) -> None:
        """Append a vector, or of an item without one a row of NaN; raises OutputMismatch."""
        if self._cells is None and vector is not None:
            self._cells = np.empty((max(self._expected, self._count + 1), len(vector)), np.float32)
            self._cells[: self._count] = np.nan
        if self._cells is not None:
            if vector is not None and len(vector) != self._cells.shape[1]:
                raise OutputMismatch(
                    f"The vector of item {custom_id!r} has {len(vector):,} numbers, and those of "
                    f"the items in front of it {self._cells.shape[1]:,}: one matrix cannot hold "
                    "both. Read `results()`, or `to_arrow()`."
                )
            if self._count == len(self._cells):
                # No view of it is anywhere else.
                self._cells.resize((2 * self._count or 1, self._cells.shape[1]), refcheck=False)
            self._cells[self._count] = np.nan if vector is None else vector
        self._count += 1

    def whole(self) -> "NDArray[np.float32]":
        """Return all rows; of no vector at all, rows without numbers."""
        if self._cells is None:
            return np.empty((self._count, 0), np.float32)
        if self._count < len(self._cells):
            self._cells.resize((self._count, self._cells.shape[1]), refcheck=False)
        return self._cells


def matrix_of(
    results: Reading[OneResult], field: OutputField, rows: int | None
) -> "Exchange[NDArray[np.float32]]":
    """Return the vectors that a field of the results has, as a matrix; `rows` where it is known."""
    matrix, taken = Matrix(rows, field.dimensions), Taken(results)
    while (result := (yield from taken.take())) is not None:
        name, vector = result.custom_id, None
        if not isinstance(result, ItemFailure) and isinstance(result.output, dict):
            value = result.output.get(field.name)
            vector = None if value is None else vector_of(value)
        matrix.add(vector, name)
    return matrix.whole()
