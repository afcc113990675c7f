"""The input of a job, read again beside its results: columns that are carried to the output.

They never leave this machine: a job holds the texts alone. The input is read in step with the
results, so that one record of it is held.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from seqd.cli.output_forms import Form
from seqd.cli.result_columns import INPUT_PREFIX, Wanted
from seqd.cli.sources import Texts
from seqd.client.tables import Type
from seqd.errors import InvalidInput, InvalidRequest

if TYPE_CHECKING:
    from seqd.inputs.local import LocalInput
    from seqd.inputs.records import Entry

#: Fields that the records of an input may have together.
MAX_COLUMNS = 1_000

_WHOLE_NUMBERS = range(-(2**63), 2**63)


class InputRows:
    """The fields of each entry of an input, in order, beside its result."""

    def __init__(self, source: "Texts | LocalInput", names: tuple[str, ...]) -> None:
        self._source = source
        self._names = names
        self._entries: Iterator[Entry] | None = None

    def of(self, custom_id: str) -> Mapping[str, object]:
        """Return the fields of the next entry, which is that of the next result.

        None of one that could not be read. Raises InvalidInput where the input is another by now.
        """
        from seqd.inputs.local import record_fields

        if self._entries is None:
            self._entries = iter(self._source.entries(self._names))
        entry = next(self._entries, None)
        if (
            entry is None
            or self._source.item_rules.custom_id(entry.value, entry.position) != custom_id
        ):
            found = "it has ended" if entry is None else f"it has {entry.where}"
            raise InvalidInput(
                f"the input changed while its job ran: where {custom_id[:40]!r} was, {found}. The "
                "job and its results stay readable without it"
            )
        return record_fields(entry.value, self._source.text_field)

    def finish(self) -> None:
        """Raise InvalidInput where the input was changed, or has more entries than results."""
        entry = None if self._entries is None else next(self._entries, None)
        if entry is not None:
            raise InvalidInput(
                f"the input changed while its job ran: it has {entry.where} behind the last "
                "result. The job and its results stay readable without it"
            )


def input_columns(
    source: "Texts | LocalInput", wanted: Wanted, kind: str, forms: set[Form]
) -> dict[str, object]:
    """Return the columns of an input with what they hold, as far as the output asks for it.

    Records of JSON Lines have fields of their own: they are read until the names that are asked for
    have all been seen; for `--keep all`, and where Parquet needs to know what a column holds, to
    the end. Raises InvalidInput, and InvalidRequest for too many columns.
    """
    names = wanted.of_input(kind)
    if not names:
        return {}
    known = source.columns()
    if known is None:
        is_whole = wanted.keeps_all or Form.PARQUET in forms
        return _seen(source, frozenset() if is_whole else frozenset(names))
    if Form.PARQUET in forms and not isinstance(source, Texts) and source.format == "parquet":
        return _arrow_kinds(source)
    return dict.fromkeys(known, "text")


def _arrow_kinds(source: "LocalInput") -> dict[str, object]:
    from pyarrow import types

    from seqd.inputs.parquet_rows import parquet_schema

    schema = parquet_schema(source.path)
    return {
        field.name: field.type.value_type if types.is_dictionary(field.type) else field.type
        for field in schema
    }


def _seen(source: "Texts | LocalInput", wanted: frozenset[str]) -> dict[str, object]:
    """Return the fields of all records, or of those until all that are wanted were seen."""
    from seqd.inputs.local import record_fields

    text_field = source.text_field
    kinds: dict[str, object] = {}
    missing = set(wanted)
    for entry in source.entries():
        for name, value in record_fields(entry.value, text_field).items():
            found = _kind(value)
            known = kinds.get(name)
            if name not in kinds or (found is not None and found != known):
                kinds[name] = _both(known, found)
        if missing:
            missing -= {name for name in missing if _is_seen(name, kinds, text_field)}
            if not missing:
                break
        if len(kinds) > MAX_COLUMNS:
            raise InvalidRequest(
                f"the records of the input have more than {MAX_COLUMNS:,} fields together; name "
                "those to keep: --keep stars,date"
            )
    return {name: kind or "text" for name, kind in kinds.items()}


def _is_seen(name: str, kinds: Mapping[str, object], text_field: str) -> bool:
    bare = name.removeprefix(INPUT_PREFIX)
    return name in kinds or bare in kinds or (name == "text" and text_field in kinds)


def _kind(value: object) -> Type | None:
    match value:
        case None:
            return None
        case bool():
            return "truth"
        case int():
            return "integer" if value in _WHOLE_NUMBERS else "json"
        case float():
            return "number"
        case str():
            return "text"
        case _:
            return "json"


def _both(known: object, found: Type | None) -> object:
    """Return what a column holds that holds both."""
    if known is None or found is None:
        return known or found
    if {known, found} == {"integer", "number"}:
        return "number"
    return known if known == found else "json"
