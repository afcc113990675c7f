"""`seqd settings`: every setting with its value and where that comes from; needs no daemon."""

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.tables import print_table
from seqd.masking import MASK, without_password
from seqd.settings import INTERNAL, PREFIX, Settings, description_of
from seqd.views.columns import Column


@shown
def settings() -> Found:
    """Show every setting: its value here, where that comes from, and what it is.

    Secrets are masked. Exit status 2 where one is wrong.
    """
    rows = list(_rows())
    columns: tuple[Column[dict[str, object]], ...] = (
        Column("setting", lambda row: row["name"]),
        Column("value", lambda row: in_words(row["value"]), wraps=True),
        Column("from", lambda row: row["origin"]),
        Column("what it is", lambda row: row["description"], wraps=True),
    )
    return Found(rows, lambda screen: print_table(screen, columns, rows))


def _rows() -> Iterator[dict[str, object]]:
    found = options.read_settings()
    for name, field in Settings.model_fields.items():
        if name not in INTERNAL:
            yield {
                "name": f"{PREFIX}{name.upper()}",
                "value": _value(name, field, getattr(found, name)),
                "origin": "environment" if name in found.model_fields_set else "default",
                "description": description_of(name),
            }


def _value(name: str, field: FieldInfo, value: object) -> object:
    """Return a value for JSON: a folder as text, a secret masked."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return [str(part) for part in value]
    if field.repr:
        return str(value)
    return without_password(str(value)) if name.endswith("url") else MASK


def in_words(value: object) -> str:
    """Return the value of a setting for people."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
