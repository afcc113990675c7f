"""What `seqd plugins dev --bench` measures with: the lines of a file, or made items."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.cli.plugins.subjects import entries_of, task_of_entry
from seqd.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd_schemas import CatalogEntry, Item, RefusedItem

#: Lines of a file that are taken.
_MOST_LINES = 10_000

#: Texts of 50 to 1,000 characters.
_MADE: Final = tuple(
    " ".join(["The ship left the harbour before the fog had gone."] * sentences)
    for sentences in (1, 2, 4, 10, 20)
)


def bench_entries(
    entry: "CatalogEntry", task: str, texts: str | None
) -> "tuple[Item | RefusedItem, ...]":
    """Return items to measure with. Raises InvalidInput where none can be made."""
    lines = list(_MADE) if texts is None else _lines_of(texts)
    given = task_of_entry(entry, task).input
    if texts is None and given is not None:
        lines = [json.dumps(record) for record in _examples(given, task)]
    return entries_of(entry, task, lines)


def _lines_of(path: str) -> list[str]:
    try:
        with Path(path).open(encoding="utf-8") as file:
            lines = [line.strip() for _, line in zip(range(_MOST_LINES), file, strict=False)]
    except (OSError, ValueError) as error:
        raise InvalidInput(f"--texts is {path}, which cannot be read: {error}") from None
    found = [line for line in lines if line]
    if not found:
        raise InvalidInput(f"--texts is {path}, which has no text in it; give one a line.")
    return found


def _examples(schema: "Mapping[str, object]", task: str) -> list[object]:
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples
    raise InvalidInput(
        f"{task} takes records, and its class gives no example to measure with. Give --texts FILE "
        "with a record a line, or json_schema_extra={'examples': [{…}]} in its model_config."
    )
