"""Items of a bulk job: a caller's strings and records, checked one by one.

What is wrong with one entry becomes a refused item in its place; its neighbours are not touched.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

from seqd.errors import wire_text
from seqd.validation import did_you_mean
from seqd_schemas import MAX_TEXT_CHARS, Item, ItemError, ItemErrorCode, RefusedItem

if TYPE_CHECKING:
    from seqd_schemas import TaskSchema


class BadEntry(Exception):
    """One entry is not an item; `reason` is a clause without the entry's place."""

    def __init__(self, code: ItemErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def invalid(reason: str) -> BadEntry:
    """Make the fault of an entry that is not usable as it is."""
    return BadEntry(ItemErrorCode.INVALID_INPUT, reason)


def undecodable(error: UnicodeDecodeError) -> BadEntry:
    """Make the fault of bytes that are not UTF-8, naming the first such byte, counted from 0."""
    byte = error.object[error.start]
    return BadEntry(
        ItemErrorCode.DECODE_ERROR,
        f"byte {byte:#04x} at byte {error.start} is not UTF-8. "
        "Convert the input, as `iconv -f LATIN1 -t UTF-8` does",
    )


_CUSTOM_ID = re.compile(r"[^\x00-\x1f\x7f]{1,128}")

#: A character takes at most this many bytes of UTF-8.
_MAX_BYTES_PER_CHAR = 4

#: Of a record's field names, those that an error message lists.
_SHOWN_FIELDS = 12


def items_of(
    values: Iterable[str | Mapping[str, object] | Item | RefusedItem],
    *,
    id_field: str = "custom_id",
    text_field: str = "text",
    allow_empty: bool = False,
) -> Iterator[Item | RefusedItem]:
    """Yield one entry per value, in order: an item, or why the value is not one.

    A string is a text, and what is an entry already passes as it is. Of a record, `id_field`,
    else its field `id`, else the position (`row-1`, `row-2` …) is the identifier.
    `allow_empty` lets an empty text through, as a generation from nothing needs it. Does not
    look for duplicates: see `duplicates`.
    """
    rules = ItemRules(id_field=id_field, text_field=text_field, allow_empty=allow_empty)
    for number, value in enumerate(values, start=1):
        yield rules.item(value, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRules:
    """Which fields an item is made of, and whether its text may be empty."""

    id_field: str = "custom_id"
    text_field: str = "text"
    allow_empty: bool = False
    #: Of a task whose input is a record, its fields: True where the record must have it.
    fields: Mapping[str, bool] | None = None
    #: The name of the class, which may stand beside a record's fields: evaluations read it.
    label_field: str = "label"

    def item(self, value: object, number: int) -> Item | RefusedItem:
        """Return value number `number`, from 1, as an entry; one that is one already as it is."""
        if isinstance(value, Item | RefusedItem):
            return value
        return self.entry(value, f"row-{number}", f"row {number}")

    def entry(self, value: object, position: str, where: str) -> Item | RefusedItem:
        """Make an item of a string or record, or of anything else its refusal.

        `position` is the identifier of a value that has none of its own, `where` how a
        person finds it. A BadEntry is refused as it is.
        """
        custom_id = position
        try:
            text = value
            if not isinstance(value, str):
                record = record_of(value)
                custom_id = self._custom_id(record, position)
                text = self._content(record)
            elif self.fields is not None:
                raise invalid(f"it is a text; allowed: a record with the fields {self._listed()}")
            checked = check_text(text, allow_empty=self.allow_empty)
        except BadEntry as bad:
            end = "" if bad.reason.endswith("?") else "."
            error = ItemError(code=bad.code, message=wire_text(f"{where}: {bad.reason}{end}"))
            return RefusedItem(custom_id=custom_id, refused=error)
        return Item(custom_id=custom_id, text=checked)

    def _content(self, record: Mapping[str, object]) -> object:
        """Return the text of a record; of a task that takes records, its fields as JSON."""
        if self.fields is None:
            return text_of(record, self.text_field)
        given = record.get("input")
        record = {name: one for name, one in record.items() if name not in self._of_items()}
        if isinstance(given, Mapping) and "input" not in self.fields and len(record) == 1:
            record = given
        for name, is_required in self.fields.items():
            if is_required and name not in record:
                raise invalid(f"it has no field {name!r}; allowed: the fields {self._listed()}")
        unknown = next((name for name in record if name not in self.fields), None)
        if unknown is not None:
            meant = did_you_mean(str(unknown), self.fields)
            raise invalid(
                f"it has a field {str(unknown)[:40]!r} that the task does not take; allowed: the "
                f"fields {self._listed()}{meant and f'.{meant}'}"
            )
        try:
            return to_json(dict(record), inf_nan_mode="constants").decode()
        except ValueError as error:
            raise invalid(f"it cannot be written as JSON ({error})") from None

    def _of_items(self) -> tuple[str, ...]:
        """Return the names that may stand beside the record's fields."""
        names = (self.id_field, "id", self.label_field)
        return tuple(name for name in names if name not in (self.fields or ()))

    def _listed(self) -> str:
        return ", ".join(self.fields or ())

    def custom_id(self, value: object, position: str) -> str:
        """Return the identifier of the entry that `entry` makes of a value, and no more of it."""
        try:
            return (
                position if isinstance(value, str) else self._custom_id(record_of(value), position)
            )
        except BadEntry:
            return position

    def _custom_id(self, record: Mapping[str, object], position: str) -> str:
        value = record.get(self.id_field)
        if value is None:
            value = record.get("id")
        if value is None:
            return position
        if isinstance(value, int) and not isinstance(value, bool):
            value = number_text(value, "identifier")
        if not isinstance(value, str):
            raise invalid(f"its identifier is {_kind(value)}; allowed: a string or an integer")
        if _CUSTOM_ID.fullmatch(value) is None or lone_surrogate(value) is not None:
            raise invalid(
                f"its identifier {value[:40]!a} ({len(value):,} characters) is not allowed; "
                "allowed: 1 to 128 characters, none of them a control character"
            )
        return value


def task_rules(
    task: "TaskSchema",
    id_field: str = "custom_id",
    text_field: str = "text",
    label_field: str = "label",
) -> ItemRules:
    """Return the rules by which values become items of a plugin's own task."""
    if task.input is None:
        return ItemRules(id_field=id_field, text_field=text_field, allow_empty=task.allows_empty)
    required = cast("Sequence[str]", task.input.get("required", ()))
    names = cast("Mapping[str, object]", task.input.get("properties", {}))
    fields = {name: name in required for name in names}
    return ItemRules(
        id_field=id_field, text_field=text_field, fields=fields, label_field=label_field
    )


def record_of(value: object) -> Mapping[str, object]:
    """Return the value if it is a record; raise BadEntry if it is anything else."""
    if isinstance(value, BadEntry):
        raise value
    if not isinstance(value, Mapping):
        raise invalid(f"it is {_kind(value)}; allowed: a string, or a record with a text field")
    return value


def text_of(record: Mapping[str, object], text_field: str) -> object:
    """Return a record's text field; raise BadEntry naming the fields there are if it is missing.

    A record without the field `a.b` may have an `a` that is a record with `b`.
    """
    text = record.get(text_field)
    if text is None and text_field not in record and "." in text_field:
        text = _inner(record, text_field)
    if text is None and text_field in record:
        raise invalid(f"its field {text_field!r} is null; allowed: a string")
    if text is None:
        names = [str(name)[:40] for name in record]
        shown = ", ".join(names[:_SHOWN_FIELDS]) + (" …" if len(names) > _SHOWN_FIELDS else "")
        raise invalid(
            f"it has no field {text_field!r}; its fields: {shown or 'none'}. "
            "Name the one with the text as text_field (--text-field)"
        )
    return text


def _inner(record: object, path: str) -> object:
    """Return what stands inside records at a path, `body.input`; None where nothing does."""
    for name in path.split("."):
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def check_text(text: object, *, allow_empty: bool = False) -> str:
    """Return the text if an item may hold it; raise BadEntry if not."""
    if not isinstance(text, str):
        raise invalid(f"its text is {_kind(text)}; allowed: a string")
    if not allow_empty and (not text or text.isspace()):
        raise invalid("text is blank" if text else "text is empty")
    if len(text) > MAX_TEXT_CHARS:
        raise _too_long(f"{len(text):,} characters")
    surrogate = lone_surrogate(text)
    if surrogate is not None:
        raise BadEntry(
            ItemErrorCode.DECODE_ERROR,
            f"its text holds a lone surrogate, U+{ord(text[surrogate]):04X}, at character "
            f"{surrogate:,}, counted from 0; allowed: Unicode text that UTF-8 can hold",
        )
    # Counted only where it can matter: encoding an ordinary review twice would cost a tenth.
    if len(text) * _MAX_BYTES_PER_CHAR > MAX_TEXT_CHARS:
        size_bytes = len(text.encode())
        if size_bytes > MAX_TEXT_CHARS:
            raise _too_long(f"{size_bytes:,} bytes of UTF-8")
    return text


def number_text(value: int, what: str) -> str:
    """Return a whole number as text; raise BadEntry for one that Python writes no digits of."""
    try:
        return str(value)
    except ValueError:
        raise invalid(
            f"its {what} is a number of {value.bit_length():,} bits; allowed: up to 128 digits"
        ) from None


def lone_surrogate(text: str) -> int | None:
    """Return the place of the first lone surrogate, counted from 0; None if there is none."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def _too_long(size: str) -> BadEntry:
    return BadEntry(
        ItemErrorCode.TOO_LONG,
        f"its text has {size}; allowed: {MAX_TEXT_CHARS:,} characters and as many bytes of "
        "UTF-8. Cut it or split it",
    )


def _kind(value: object) -> str:
    names = {"NoneType": "null", "dict": "an object", "list": "a list", "bool": "a boolean"}
    return names.get(type(value).__name__, f"of type {type(value).__name__}")
