"""The options that say where results go, and in what form; described and read once, here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from seqd.cli.options import takes
from seqd.cli.output_forms import Form, target_of
from seqd.cli.sources import Feed
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd.cli.result_columns import Columns, Wanted
    from seqd.cli.result_files import ResultFiles
    from seqd.client.tables import OutputField


def _option(*names: str, **described: Any) -> Any:
    return typer.Option(*names, rich_help_panel="The output", **described)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """Where results go, and in what form."""

    out: Annotated[
        Path | None,
        _option(
            "--out",
            "-o",
            help="File for the results: .jsonl, .csv, .tsv, .txt, each also as .gz or .zst, "
            ".parquet, or .npy for vectors; - is stdout.",
        ),
    ] = None
    form: Annotated[
        str | None,
        _option(
            "--out-format",
            help="Form of the output, where the file's name does not tell: jsonl, csv, tsv, lines,"
            " parquet or npy.",
        ),
    ] = None
    errors: Annotated[
        Path | None,
        _option(
            "--errors",
            help="File for the errors. Without it they go beside the results: "
            "results.errors.jsonl.",
        ),
    ] = None
    columns: Annotated[
        str | None,
        _option(
            "--columns",
            metavar="NAMES",
            help="Columns of the output, in this order: custom_id and fields of the results.",
        ),
    ] = None
    force: Annotated[bool, _option("--force", help="Replace files that exist.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions(ResultOptions):
    """The same of a command that reads an input, and hands a job in."""

    keep: Annotated[
        str | None,
        _option(
            "--keep",
            metavar="NAMES",
            help="Columns of the input to carry to the output, such as stars,date; or all.",
        ),
    ] = None
    resume: Annotated[
        bool,
        _option(
            "--resume",
            help="Go on where the same command was interrupted, by the note beside its output.",
        ),
    ] = False
    #: True where the job goes on when the command is interrupted.
    leaves: Annotated[
        bool,
        _option(
            "--detach-on-interrupt",
            help="Let Ctrl-C and SIGTERM leave the job running; else they cancel it.",
        ),
    ] = False

    def for_command(self, *, waits: bool) -> Self:
        """Return these options; raise InvalidRequest for any of a command that does not wait."""
        if not waits and self != type(self)():
            raise InvalidRequest(
                "a command that does not wait (--no-wait) writes no results, so options of the "
                "output have no use: leave them out, and read the results later by `seqd jobs "
                "results JOB --out FILE`. To wait, and leave the job running at Ctrl-C: "
                "--detach-on-interrupt"
            )
        return self

    def given(self) -> list[str]:
        """Return the options of a result that are given, by their names."""
        values = {
            "--out": self.out,
            "--out-format": self.form,
            "--errors": self.errors,
            "--columns": self.columns,
            "--force": self.force,
        }
        return [name for name, value in values.items() if value]

    @property
    def goes_to_stdout(self) -> bool:
        """True where standard output is for the results."""
        return self.out is None or self.out == Path("-")

    def wanted(self) -> "Wanted":
        """Return the columns that are named. Raises InvalidRequest."""
        from seqd.cli.result_columns import Wanted

        return Wanted.of(self.keep, self.columns)

    def reads_input(self, kind: str) -> bool:
        """Return True where columns of the input go to the output."""
        return not self.is_plain and bool(self.wanted().of_input(kind))

    @property
    def is_plain(self) -> bool:
        """True where results go to standard output as they are."""
        return not any((self.out, self.form, self.errors, self.columns, self.keep))


def _as_output(given: ResultOptions) -> OutputOptions:
    return OutputOptions(**{one.name: getattr(given, one.name) for one in fields(given)})


#: Give a command these options, as `output`; the second one that reads no input.
takes_output_options = takes(OutputOptions, "output")
takes_result_options = takes(ResultOptions, "output", _as_output)


def columns_asked(parameters: Mapping[str, object], min_score: float | None) -> tuple[str, ...]:
    """Return the columns that a classification's tables have since the job asks for them."""
    asked = {"uncertain": min_score is not None, "probabilities": parameters.get("probabilities")}
    return tuple(name for name, is_asked in asked.items() if is_asked)


@contextmanager
def opened_output(
    wanted: OutputOptions,
    kind: str,
    *,
    feed: Feed | None = None,
    source: str | None = None,
    more_columns: tuple[str, ...] = (),
    fields: "Sequence[OutputField] | None" = None,
) -> "Iterator[ResultFiles | None]":
    """Open what the options name; None where results are printed as they are.

    `source` is the input's path; `more_columns` are those that the job asked for; `fields` those of
    the output of a plugin's own task. Raises InvalidRequest, OutputExists and OutputUnwritable.
    """
    if wanted.is_plain:
        yield None
        return
    from seqd.cli.input_rows import InputRows
    from seqd.cli.result_files import ResultFiles, errors_beside

    out = target_of(wanted.out or Path("-"), wanted.form)
    errors = None if wanted.errors is None else target_of(wanted.errors, None, "--errors")
    if errors is not None and errors.is_stdout:
        raise InvalidRequest("--errors is '-'; allowed: a file, or a device such as /dev/stderr")
    if errors is not None and errors.form is Form.NPY:
        raise InvalidRequest(
            f"--errors is {str(wanted.errors)!r}, which holds numbers alone; allowed: a name that "
            "ends in .jsonl, .csv, .tsv or .parquet"
        )
    errors = errors or errors_beside(out)
    forms: set[Form] = {out.form} | ({errors.form} if errors else set())
    columns = _columns(wanted, kind, out.form, feed, forms, more_columns, fields)
    rows = None
    if feed is not None and columns.of_input:
        rows = InputRows(feed.source, columns.of_input)
    with ResultFiles(
        out, errors, source=source, columns=columns, rows=rows, replaces=wanted.force
    ) as files:
        yield files


def _columns(
    wanted: OutputOptions,
    kind: str,
    form: Form,
    feed: Feed | None,
    forms: set[Form],
    more_columns: tuple[str, ...],
    fields: "Sequence[OutputField] | None",
) -> "Columns":
    from seqd.cli.input_rows import input_columns
    from seqd.cli.result_columns import columns_of

    names = wanted.wanted().beside(fields)
    text_field, inputs = "text", dict[str, object]()
    if feed is not None:
        text_field = feed.text_field
        inputs = input_columns(feed.source, names, kind, forms)
    if Form.PARQUET in forms:
        from seqd.inputs.parquet_rows import require_pyarrow

        require_pyarrow("writing Parquet")
    return columns_of(
        kind,
        form,
        names,
        inputs,
        text_field=text_field,
        more=more_columns,
        fields=fields,
    )
