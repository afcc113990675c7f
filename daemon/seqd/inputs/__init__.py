"""Inputs: files, folders and a caller's values, as items of a job or as training data.

Uses no Redis and no Celery, and keeps memory bounded. `items` and `reading` make items, `datasets`
training data,
`duplicates` guards identifiers, `paths` says what may be read.
"""

from typing import TYPE_CHECKING

from seqd.deferred import deferred

if TYPE_CHECKING:
    from seqd.inputs.datasets import (
        FileDataset,
        ListDataset,
        NamedDataset,
        RecordDataset,
        TextDataset,
    )
    from seqd.inputs.duplicates import DuplicateGuard, refuse_duplicates
    from seqd.inputs.items import items_of
    from seqd.inputs.paths import check_path
    from seqd.inputs.reading import read_items

__all__ = [
    "DuplicateGuard",
    "FileDataset",
    "ListDataset",
    "NamedDataset",
    "RecordDataset",
    "TextDataset",
    "check_path",
    "items_of",
    "read_items",
    "refuse_duplicates",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred(
        globals(),
        {
            "DuplicateGuard": "duplicates",
            "FileDataset": "datasets",
            "ListDataset": "datasets",
            "NamedDataset": "datasets",
            "RecordDataset": "datasets",
            "TextDataset": "datasets",
            "check_path": "paths",
            "items_of": "items",
            "read_items": "reading",
            "refuse_duplicates": "duplicates",
        },
    )
