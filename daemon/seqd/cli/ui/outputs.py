"""Outputs of plugins' own tasks as a person reads them: a line a result, by the task's schema.

    Anna met Bert in Oslo  Anna NAME, Bert NAME, Oslo NAME
    nothing here           none

A vector is shortened to its length and first numbers; where these are 0, its norm is there, too.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from pydantic import JsonValue

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import cut
from seqd.parameters import Schema, resolved
from seqd.wording import first_of
from seqd_schemas import ItemFailure, ItemSuccess, TaskSchema, Vector
from seqd_schemas.outputs import VECTOR_FORMAT

#: Characters of a text that are repeated in front of its output, and of one among other fields.
_ECHO_CHARS = 30
_TEXT_CHARS = 60
#: Parts of a list that are shown, and numbers of a vector.
_SHOWN_PARTS = 10
_SHOWN_NUMBERS = 3
#: Columns of an item's identifier.
_NAME_COLUMNS = 10

#: Fields that are said in a word where they are true.
_FLAGS = ("truncated",)


class OutputPrinter:
    """Prints a line for each result, in input order.

    In front of it stands the text, where several were typed, or else the item's identifier.
    """

    def __init__(
        self,
        screen: Screen,
        task: TaskSchema,
        typed: Sequence[str],
        text_of: Callable[[str], str] = lambda custom_id: "",
    ) -> None:
        """`typed` are the texts of the command line; none where a file has them.

        Then `text_of` is asked for that of each item, once and in order.
        """
        self._screen = screen
        self._schema: Schema = task.result or {}
        self._typed = typed
        self._texts = iter(typed)
        self._text_of = text_of
        self._columns = max((len(_echo(text)) for text in typed), default=_NAME_COLUMNS)

    def show(self, result: ItemSuccess | ItemFailure) -> None:
        """Print the next result; errors are in the summary."""
        text = next(self._texts, "") if self._typed else self._text_of(result.custom_id)
        if not isinstance(result, ItemSuccess) or not isinstance(result.output, dict):
            return
        line = output_line(result.output, self._schema, text)
        if len(self._typed) != 1:
            front = _echo(text) if self._typed else result.custom_id
            line = f"{front:<{self._columns}}  {line}"
        self._screen.say(line)


def is_text_alone(task: TaskSchema) -> bool:
    """Return True for a task whose output is a text, and nothing else that a person reads."""
    return list(_read_fields(task.result or {})) == ["text"]


def has_spans(task: TaskSchema) -> bool:
    """Return True for a task of whose outputs parts of the text are shown."""
    records = cast("Mapping[str, Schema]", (task.result or {}).get("$defs", {})).values()
    fields = [cast("Mapping[str, Schema]", one.get("properties", {})) for one in records]
    return any("start" in names and names.keys() <= _OF_SPANS for names in fields)


def output_line(output: Mapping[str, JsonValue], schema: Schema, text: str = "") -> str:
    """Return an output in a line: of one field its value, of several their names as well.

    `text` is the item's, of which spans show their parts. A text that is all there is stays whole.
    """
    fields = _read_fields(schema) or {name: {} for name in output}
    flags = [name for name in _FLAGS if output.get(name) is True]
    if list(fields) == ["text"] and isinstance(output.get("text"), str):
        return "  ".join([str(output["text"]), *flags])
    words = {name: _words(output.get(name), field, schema, text) for name, field in fields.items()}
    named = [f"{name} {said}" for name, said in words.items()]
    return "  ".join([*(words.values() if len(words) == 1 else named), *flags])


def _read_fields(schema: Schema) -> dict[str, Schema]:
    """Return the fields of an output that differ from one to the next."""
    fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
    return {
        name: field for name, field in fields.items() if "const" not in field and name not in _FLAGS
    }


def is_vector(field: Schema, root: Schema) -> bool:
    """Return True for a field that holds a vector, or None."""
    found = resolved(field, root)
    parts = cast("Sequence[Schema]", found.get("anyOf", ()))
    return found.get("format") == VECTOR_FORMAT or any(is_vector(part, root) for part in parts)


def _words(value: JsonValue, field: Schema, root: Schema, text: str) -> str:
    match value:
        case None:
            return "none"
        case str() if is_vector(field, root):
            return _vector_words(value)
        case str():
            return _echo(value, _TEXT_CHARS)
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.4g}"
        case list():
            items = cast("Schema", field.get("items", {}))
            return (
                first_of([_words(one, items, root, text) for one in value], _SHOWN_PARTS) or "none"
            )
        case dict():
            return _record_words(value, resolved(field, root), root, text)
    return str(value)


def _vector_words(encoded: str) -> str:
    try:
        vector = Vector.from_base64(encoded)
    except ValueError:  # somebody has changed it in Redis
        return _echo(encoded)
    shown = vector[:_SHOWN_NUMBERS]
    first = ", ".join(f"{number:.2g}" for number in shown)
    more = ", …" if len(vector) > _SHOWN_NUMBERS else ""
    # Of a sparse vector the first numbers tell nothing.
    norm = f" (norm {math.hypot(*vector):.3g})" if more and not any(shown) else ""
    return f"{len(vector):,} number{'s' if len(vector) > 1 else ''}: {first}{more}{norm}"


def _record_words(value: Mapping[str, JsonValue], record: Schema, root: Schema, text: str) -> str:
    """Return a label with its score, a span as its part of the text, another record by its names.

    One that has lists or records in it is shown as JSON.
    """
    score = value.get("score")
    shown = f" {score:.2g}" if isinstance(score, float) else ""
    start, end = value.get("start"), value.get("end")
    if isinstance(start, int) and isinstance(end, int) and value.keys() <= _OF_SPANS:
        part = _echo(text[start:end]) if text else f"{start}-{end}"
        return f"{part} {value.get('label', '')}{shown}".rstrip()
    if "label" in value and value.keys() <= _OF_LABELS:
        return f"{value['label']}{shown}"
    if any(isinstance(part, list | dict) for part in value.values()):
        return json.dumps(value, ensure_ascii=False)
    fields = cast("Mapping[str, Schema]", record.get("properties", {}))
    return " ".join(
        f"{name} {_words(part, fields.get(name, {}), root, text)}" for name, part in value.items()
    )


_OF_LABELS = frozenset({"label", "score"})
_OF_SPANS = _OF_LABELS | {"start", "end"}


def _echo(text: str, most: int = _ECHO_CHARS) -> str:
    """Return a text in one line, cut."""
    return cut(" ".join(text.split()), most)
