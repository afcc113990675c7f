"""The options that say where results go, and in what form; described and read once, here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from seqd.cli.options import taking
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd.cli.output_forms import Form
    from seqd.cli.result_columns import Columns, Wanted
    from seqd.cli.result_files import ResultFiles
    from seqd.cli.sources import Feed
    from seqd.client.output_fields import OutputField

#: Heading of these options in the help of a command.
_PANEL = "The output"


def _option(kind: object, *names: str, metavar: str | None = None, text: str) -> object:
    return Annotated[kind, typer.Option(*names, metavar=metavar, help=text, rich_help_panel=_PANEL)]


_OUT = _option(
    Path | None,
    "--out",
    "-o",
    text="File for the results: .jsonl, .csv, .tsv, .txt, each also as .gz or .zst, .parquet, or "
    ".npy for vectors; - is stdout.",
)
_FORM = _option(
    str | None,
    "--out-format",
    text="Its form, where the name does not tell: jsonl, csv, tsv, lines, parquet or npy.",
)
_ERRORS = _option(
    Path | None,
    "--errors",
    text="File for the errors; else beside the results, as results.errors.jsonl.",
)
_COLUMNS = _option(
    str | None,
    "--columns",
    metavar="NAMES",
    text="Columns of the output in order, such as text,label,score.",
)
_COLUMNS_OF_RUN = _option(
    str | None,
    "--columns",
    metavar="NAMES",
    text="Columns of the output in order: custom_id, fields of the task's output, or of the input.",
)
_COLUMNS_OF_JOB = _option(
    str | None,
    "--columns",
    metavar="NAMES",
    text="Columns of the output in order, such as custom_id,label,score.",
)
_KEEP = _option(
    str | None,
    "--keep",
    metavar="NAMES",
    text="Columns of the input to carry to the output, such as stars,date; or all.",
)
_FORCE = _option(bool, "--force", text="Replace files that exist.")
_RESUME = _option(
    bool, "--resume", text="Go on where an interrupted command for the same file stopped."
)
_LEAVE = _option(
    bool,
    "--detach-on-interrupt",
    text="Let Ctrl-C and SIGTERM leave the job running; else they cancel it.",
)

#: Options of every command that writes results, by the names in `OutputOptions`.
_OF_RESULTS = {
    "out": (_OUT, None),
    "form": (_FORM, None),
    "errors": (_ERRORS, None),
    "columns": (_COLUMNS_OF_JOB, None),
    "force": (_FORCE, False),
}
#: And of those that read an input and hand a job in.
_OF_INPUT = {
    "columns": (_COLUMNS, None),
    "keep": (_KEEP, None),
    "resume": (_RESUME, False),
    "leaves": (_LEAVE, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What was asked for."""

    out: Path | None = None
    form: str | None = None
    errors: Path | None = None
    columns: str | None = None
    force: bool = False
    keep: str | None = None
    resume: bool = False
    #: True where the job goes on when the command is interrupted.
    leaves: bool = False

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

    @property
    def goes_to_stdout(self) -> bool:
        """True where standard output is for the results."""
        return self.out is None or self.out == Path("-")

    def wanted(self) -> "Wanted":
        """Return the columns that are named. Raises InvalidRequest."""
        from seqd.cli.result_columns import Wanted

        return Wanted.of(self.keep, self.columns)

    def reads_input(self, kind: str, fields: "Sequence[OutputField] | None" = None) -> bool:
        """Return True where columns of the input go to the output.

        `fields` are those of the output of a plugin's own task.
        """
        return bool(self.wanted().beside(fields).of_input(kind))

    @property
    def is_plain(self) -> bool:
        """True where results go to standard output as they are."""
        return not any((self.out, self.form, self.errors, self.columns, self.keep))


def takes_output_options(
    *, has_input: bool = True, of_run: bool = False
) -> Callable[..., Callable[..., None]]:
    """Give a command these options; it gets them as `output`, an `OutputOptions`.

    `of_run` is for the command whose results have the fields that a plugin declares.
    """
    ours = _OF_RESULTS | (_OF_INPUT if has_input else {})
    if of_run:
        ours["columns"] = (_COLUMNS_OF_RUN, None)

    def read(given: dict[str, object]) -> OutputOptions:
        return OutputOptions(**given)  # type: ignore[arg-type]

    return lambda command: taking(command, "output", ours, read)


def columns_asked(parameters: Mapping[str, object], min_score: float | None) -> tuple[str, ...]:
    """Return the columns that a classification's tables have since the job asks for them."""
    asked = {"uncertain": min_score is not None, "probabilities": parameters.get("probabilities")}
    return tuple(name for name, is_asked in asked.items() if is_asked)


@contextmanager
def opened_output(
    wanted: OutputOptions,
    kind: str,
    *,
    feed: "Feed | None" = None,
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
    from seqd.cli.output_forms import Form, target_of
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
    beside = errors or errors_beside(out)
    forms: set[Form] = {out.form} | ({beside.form} if beside else set())
    columns = _columns(wanted, kind, feed, forms, more_columns, fields)
    rows = None
    if feed is not None and columns.needs_input:
        names = {column.field for column in (*columns.kept, *(columns.rows or ()))}
        rows = InputRows(feed.source, tuple(sorted(name for name in names if name)))
    with ResultFiles(
        out, errors=errors, source=source, columns=columns, rows=rows, replaces=wanted.force
    ) as files:
        yield files


def _columns(
    wanted: OutputOptions,
    kind: str,
    feed: "Feed | None",
    forms: "set[Form]",
    more_columns: tuple[str, ...],
    fields: "Sequence[OutputField] | None" = None,
) -> "Columns":
    from seqd.cli.input_rows import input_columns
    from seqd.cli.output_forms import Form, target_of
    from seqd.cli.result_columns import columns_of

    form = target_of(wanted.out or Path("-"), wanted.form).form
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
