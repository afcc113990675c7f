"""Stored records: written without their defaults, read with fields ignored that are not known.

So records of one release can be read by another; `schemas/languages.md` has the whole rule. A
request that somebody hands in is not read so: an unknown field is refused there, since it is a
mistake.
"""

import json
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from seqd_schemas.base import FORMAT

_Record = TypeVar("_Record", bound=BaseModel)


def to_stored(record: BaseModel) -> str:
    """Return a record as JSON, without the fields that have their default value.

    Tags such as `kind`, `event` and `status` are always written: they tell readers what it is.
    """
    return record.model_dump_json(exclude_defaults=True)


def from_stored(
    kind: "type[_Record] | TypeAdapter[_Record]", content: str | bytes | bytearray
) -> _Record:
    """Return the record that `to_stored` wrote, of this release, an older or a later one.

    Unknown fields are ignored, in parts of the record, too. Raises ValidationError, also for a
    record whose `format` is higher than `FORMAT`; see `is_later`.
    """
    if isinstance(kind, TypeAdapter):
        return kind.validate_json(content, extra="ignore")
    return kind.model_validate_json(content, extra="ignore")


def is_later(content: str | bytes | bytearray) -> bool:
    """Return True for a record that only a later release can read: it states so itself."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    least = document.get("format") if isinstance(document, dict) else None
    return isinstance(least, int) and least > FORMAT
