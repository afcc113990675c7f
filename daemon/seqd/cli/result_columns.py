"""Columns of an output: which of a result and of its input, in which order, of which kind.

A table (CSV, TSV, Parquet) has rows. JSON Lines hold results as they are, with the kept columns as
`input` of each, unless `--columns` asks for rows there as well. An array (.npy) has one vector a
row. The columns of a plugin's own task are the fields of its output.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from seqd.cli.output_forms import Form
from seqd.cli.row_writers import Column
from seqd.client.tables import COLUMNS, OutputField, Type, Vectors, rows_of_output
from seqd.errors import InvalidRequest
from seqd.kinds import KINDS
from seqd_schemas import ITEM_COLUMNS, Classification, Generation, ItemFailure, ItemSuccess, JobKind

#: A column of the input whose name a column of the results has, is called by this and its name.
INPUT_PREFIX = "input_"

#: What `--keep` takes for all columns.
ALL = "all"

_OF_RESULTS: Mapping[object, Mapping[str, Type]] = {
    output: {
        "custom_id": "text",
        **{
            name: "json" if type_ == "numbers" else type_
            for name, type_ in {**COLUMNS[output], **ITEM_COLUMNS}.items()
        },
    }
    for output in (Classification, Generation)
}

_DEFAULT: Mapping[object, tuple[str, ...]] = {
    Classification: ("label", "score"),
    Generation: ("sample", "temperature", "text"),
}

_OF_ERRORS = {
    "code": "text",
    "message": "text",
    "retryable": "truth",
    "attempts": "integer",
}

#: Columns that a file of plain lines can have: hardly ever is a line break in them.
_OF_LINES = ("custom_id", "label", "score", "temperature", "sample", "seed")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of an output and of its errors."""

    #: Those of rows; None where results are written as they are, as lines of JSON.
    rows: tuple[Column, ...] | None
    #: Those of the input that are carried along with results and errors.
    kept: tuple[Column, ...] = ()

    @property
    def of_errors(self) -> tuple[Column, ...]:
        """Those of the errors, where these are rows."""
        own = tuple(Column(name, kind) for name, kind in _OF_ERRORS.items())
        return (Column("custom_id", "text"), *self.kept, *own)

    @property
    def of_input(self) -> tuple[str, ...]:
        """The fields of the input that is read again beside the results; none where it is not."""
        columns = (*self.kept, *(self.rows or ()))
        return tuple(sorted({column.field for column in columns if column.field is not None}))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `--keep` and `--columns` name."""

    keep: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    #: Columns that the results of a plugin's own task have.
    of_output: tuple[str, ...] = ()

    @classmethod
    def of(cls, keep: str | None, columns: str | None) -> "Wanted":
        """Read lists of names, with commas between them. Raises InvalidRequest."""
        return cls(_names("--keep", keep), _names("--columns", columns))

    @property
    def keeps_all(self) -> bool:
        """True for `--keep all`."""
        return self.keep == (ALL,)

    def of_input(self, kind: str) -> tuple[str, ...]:
        """Return the names that are no column of the results of a kind of job."""
        known = (*_OF_RESULTS.get(_output_of(kind), ()), *self.of_output)
        return (*self.keep, *(name for name in self.columns if name not in known))

    def beside(self, fields: Sequence[OutputField] | None) -> "Wanted":
        """Return the same beside the fields of a plugin's own output, where there are some."""
        if fields is None:
            return self
        return replace(self, of_output=tuple(_of_output(fields, Form.PARQUET)))


def columns_of(
    kind: str,
    form: Form,
    wanted: Wanted,
    inputs: Mapping[str, object],
    *,
    text_field: str = "text",
    more: tuple[str, ...] = (),
    fields: Sequence[OutputField] | None = None,
) -> Columns:
    """Return the columns of a job's output; `inputs` are those of its input that are known.

    `more` are columns of the results that a table has where none is named. `fields` are those of
    the output of a plugin's own task. Raises InvalidRequest for an unknown column.
    """
    if form is Form.NPY:
        return _of_array(kind, wanted, fields)
    if fields is not None:
        results = _of_output(fields, form)
        default = tuple(name for name in results if name not in ITEM_COLUMNS)
    else:
        named = _OF_RESULTS.get(_output_of(kind), {})
        results = {name: Column(name, type_) for name, type_ in named.items()}
        default = _DEFAULT.get(_output_of(kind), ())
    if not results:
        if form is Form.JSONL and not wanted.columns and not wanted.keep:
            return Columns(None)
        raise InvalidRequest(
            f"the results of a job of kind {kind} have no columns; allowed: a file of JSON lines"
        )
    every = [name for name in inputs if name != "custom_id"]
    names = every if wanted.keeps_all else wanted.keep
    kept = tuple(_of_input(name, inputs, results, "--keep") for name in names)
    if form is Form.JSONL and not wanted.columns:
        return Columns(None, kept)
    if wanted.columns:
        chosen = _chosen(wanted.columns, results, inputs, text_field)
        known = {(column.name, column.field) for column in chosen}
        rows = chosen + tuple(one for one in kept if (one.name, one.field) not in known)
        kept = tuple(column for column in rows if column.field)
    elif form is Form.LINES:
        rows = (_of_lines(results, default),)
    else:
        of_results = tuple(results[name] for name in default + more)
        rows = (Column("custom_id", "text"), *kept, *of_results)
    _check(form, rows, results)
    return Columns(rows, kept)


def rows_of(
    result: ItemSuccess, columns: Sequence[Column], fields: Mapping[str, object]
) -> Iterator[list[object]]:
    """Yield the rows of a result: one, or of a generation one for each sample.

    `version` is empty unless the job takes part in a roll-out.
    """
    of_item = {name: getattr(result, name) for name in ITEM_COLUMNS}
    output = result.output
    for row in (output,) if isinstance(output, dict) else rows_of_output(output):
        own = row | of_item
        yield [
            fields.get(column.field)
            if column.field is not None
            else own.get(column.name)
            if column.output is None
            else _value(column.output, column, row)
            for column in columns
        ]


def error_row(
    failure: ItemFailure, columns: Sequence[Column], fields: Mapping[str, object]
) -> list[object]:
    """Return the row of an error."""
    error = failure.error
    own = {"custom_id": failure.custom_id, "attempts": failure.attempts}
    own |= {"code": error.code.value, "message": error.message, "retryable": error.retryable}
    return [
        fields.get(column.field) if column.field is not None else own[column.name]
        for column in columns
    ]


def _names(option: str, typed: str | None) -> tuple[str, ...]:
    if typed is None:
        return ()
    names = tuple(name.strip() for name in typed.split(","))
    if "" in names:
        raise InvalidRequest(
            f"{option} is {typed!r}; allowed: names with a comma between two, such as stars,date"
        )
    if (name := _twice(names)) is not None:
        raise InvalidRequest(f"{option} names {name!r} twice; name it once")
    return names


def _twice(names: Iterable[str]) -> str | None:
    """Return the first name that comes twice; None where none does."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _of_input(
    name: str, inputs: Mapping[str, object], results: Mapping[str, Column], option: str
) -> Column:
    if name not in inputs:
        shown = ", ".join(known[:40] for known in list(inputs)[:12])
        more = " …" if len(inputs) > 12 else ""
        raise InvalidRequest(
            f"{option} names {name[:40]!r}, and the input has no such column; it has: "
            f"{shown or 'none'}{more}"
        )
    taken = name in results or name in _OF_ERRORS
    return Column(f"{INPUT_PREFIX}{name}" if taken else name, inputs[name], name)


def _chosen(
    names: Sequence[str],
    results: Mapping[str, Column],
    inputs: Mapping[str, object],
    text_field: str,
) -> tuple[Column, ...]:
    chosen = []
    for name in names:
        bare = name.removeprefix(INPUT_PREFIX)
        if name in results:
            chosen.append(results[name])
        elif name in inputs:
            chosen.append(Column(name, inputs[name], name))
        elif bare in inputs:
            chosen.append(Column(name, inputs[bare], bare))
        elif name == "text" and text_field in inputs:
            chosen.append(Column(name, inputs[text_field], text_field))
        else:
            raise InvalidRequest(
                f"--columns names {name[:40]!r}; allowed: {', '.join(results)}, and columns of the "
                f"input: {', '.join(known[:40] for known in list(inputs)[:12]) or 'none'}"
            )
    return tuple(chosen)


def _output_of(kind: str) -> object:
    """Return the class of the outputs of a kind of job; None where it has none of its own."""
    return KINDS[cast(JobKind, kind)].output


def _of_output(fields: Sequence[OutputField], form: Form) -> dict[str, Column]:
    """Return the columns of a plugin's own output, by name, those of the item around them."""
    columns = {"custom_id": Column("custom_id", "text")}
    for one in fields:
        kind: object = one.type
        if one.type == "vector":  # as it is on the wire, where lines of JSON have columns
            kind = "text" if form is Form.JSONL else Vectors(one.dimensions)
        columns[one.column] = Column(one.column, kind, output=one)
    return columns | {name: Column(name, type_) for name, type_ in ITEM_COLUMNS.items()}


def _of_array(kind: str, wanted: Wanted, fields: Sequence[OutputField] | None) -> Columns:
    """Return the one vector that an array holds. Raises InvalidRequest."""
    vectors = [one for one in fields or () if one.type == "vector"]
    names = [one.column for one in vectors]
    if not vectors:
        there = ", ".join(one.column for one in fields or ())
        has = (
            f"the output has no vector; it has: {there}"
            if fields
            else (f"the results of a job of kind {kind} have no vectors")
        )
        raise InvalidRequest(f"an array (.npy) holds vectors, and {has}. Write .jsonl or .csv")
    if wanted.keep:
        raise InvalidRequest(
            "an array (.npy) holds one vector a row, and no columns of the input; leave --keep "
            "out, or write .parquet or .jsonl"
        )
    chosen = wanted.columns or tuple(names)
    if len(chosen) != 1 or chosen[0] not in names:
        raise InvalidRequest(
            f"an array (.npy) holds one vector a row; allowed: --columns with one of "
            f"{', '.join(names)}. Or write .parquet or .jsonl"
        )
    (one,) = (one for one in vectors if one.column == chosen[0])
    return Columns((Column(one.column, Vectors(one.dimensions), output=one),))


def _of_lines(results: Mapping[str, Column], default: Sequence[str]) -> Column:
    """Return the column of plain lines where none is named: a text, or the first that may be one.

    A text may have line breaks: it is refused with what is allowed.
    """
    if "text" in default:
        return results["text"]
    return next((results[name] for name in default if _is_line(results[name])), results[default[0]])


def _value(field: OutputField, column: Column, output: Mapping[str, object]) -> object:
    """Return what a column has of a plugin's own output."""
    if field.type == "json" or column.kind == "text":
        return output if field.is_whole else output.get(field.name)
    return field.cell(output)


def _is_line(column: Column) -> bool:
    """Return True for a column that has no line break."""
    if column.output is not None:
        return column.output.is_word or column.output.type in ("number", "integer", "truth")
    return column.name in _OF_LINES


def _check(form: Form, rows: Sequence[Column], results: Mapping[str, Column]) -> None:
    if form in (Form.CSV, Form.TSV):
        _refuse_vectors(form, rows)
    if form is not Form.LINES:
        if (name := _twice(column.name for column in rows)) is not None:
            raise InvalidRequest(f"two columns of the output are called {name!r}")
        return
    allowed = [name for name, column in results.items() if _is_line(column)]
    if len(rows) != 1 or rows[0].name not in allowed:
        raise InvalidRequest(
            f"a file of plain lines has one column without line breaks; allowed: --columns with "
            f"one of {', '.join(allowed)}. Or write .csv, .tsv, .jsonl or .parquet"
        )


def _refuse_vectors(form: Form, rows: Sequence[Column]) -> None:
    vectors = [column for column in rows if isinstance(column.kind, Vectors)]
    if not vectors:
        return
    others = ",".join(column.name for column in rows if column not in vectors)
    count = cast(Vectors, vectors[0].kind).dimensions
    raise InvalidRequest(
        f"the column {vectors[0].name!r} is a vector{f' of {count:,} numbers' if count else ''}, "
        f"for which .{form} has no place. Write .npy or .parquet, or .jsonl, which has it as "
        f"base64; or leave it out: --columns {others or 'custom_id'}"
    )
