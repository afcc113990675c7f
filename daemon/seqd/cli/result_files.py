"""Writes the results of a job, in input order, errors apart; a file is complete or absent.

`results.jsonl` gets the successes and `results.errors.jsonl` the errors, if there are any.
Both are written under other names and renamed at the end, the errors first.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from seqd.cli.drafts import Outlet, open_outlet, refuse_to_replace, sync_folder, unwritable
from seqd.cli.output_forms import WITHOUT_ERRORS, Form, Target, errors_path
from seqd.cli.result_columns import Columns, error_row, rows_of
from seqd.cli.row_writers import RowWriter, json_bytes, writer_of
from seqd.errors import InvalidRequest
from seqd_schemas import ItemFailure, ItemSuccess, to_stored

if TYPE_CHECKING:
    from seqd.cli.input_rows import InputRows

_AS_THEY_ARE = Columns(None)


class ResultFiles:
    """A results file and its errors file, for the time of a `with` block.

    Opened at once, so that a folder that cannot be written is known before the work begins.
    Leaving the block without `commit` removes what was written. Of a stream (standard output, a
    pipe, a device) what was written stays; it takes the errors as well, where it holds results as
    they are and no errors file is named.
    """

    def __init__(
        self,
        out: Target,
        errors: Target | None,
        *,
        source: str | None = None,
        columns: Columns = _AS_THEY_ARE,
        rows: "InputRows | None" = None,
        replaces: bool = True,
    ) -> None:
        """Open the drafts. Raises InvalidRequest, OutputExists and OutputUnwritable.

        `source` is the input, never to be replaced; `rows` are its fields, where `columns` name
        some. A file that exists is replaced only where it `replaces`.
        """
        self._target = out
        self.path = self._target.path
        #: True where nothing gets a name at the end.
        self.is_stream = self._target.is_stream
        #: True where it is standard output.
        self.is_stdout = self._target.is_stdout
        self._errors_target = errors
        #: The errors file; None where a stream has none.
        self.errors_path = self._errors_target.path if self._errors_target else None
        self.errors = 0
        self._columns = columns
        self._rows = rows
        self._replaces = replaces
        self._check(source)
        self._outlets: list[Outlet] = []
        self._errors_file: Outlet | None = None
        self._errors_out: RowWriter | None = None
        self._rows_out: RowWriter | None = None
        try:
            self._open()
        except BaseException:
            self.discard()
            raise

    def write(self, result: ItemSuccess | ItemFailure, json: bytes | None = None) -> None:
        """Append a result to the file of results or of errors.

        `json` is its line of JSON as it is stored, without the end, where the caller has it. It is
        made in the same form where not, so that a file is the same however its results were read.
        """
        fields = {} if self._rows is None else self._rows.of(result.custom_id)
        try:
            if isinstance(result, ItemSuccess):
                self._write_success(result, json, fields)
            else:
                self.errors += 1
                self._write_failure(result, json, fields)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(self.path, error) from None

    def commit(self, facts: Mapping[str, str] | None = None) -> None:
        """Put the files in place. An errors file of an earlier run goes when there are none.

        `facts` say what made the results; files whose form has metadata carry them. Raises
        InvalidInput where the input is another by now.
        """
        if self._rows is not None:
            self._rows.finish()
        try:
            for writer in (self._rows_out, self._errors_out):
                if writer is not None:
                    writer.finish(facts or {})
            for outlet in self._outlets:
                outlet.seal()
            if self._errors_file is not None and self._errors_target is not None:
                self._place_errors(self._errors_file, self._errors_target)
            self._results.place(replaces=self._replaces)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(self.path, error) from None

    def discard(self) -> None:
        """Remove what has no name yet."""
        for writer in (self._rows_out, self._errors_out):
            if writer is not None:
                writer.give_up()
        for outlet in self._outlets:
            outlet.discard()

    def _place_errors(self, outlet: Outlet, target: Target) -> None:
        if self.errors or target.is_stream:
            outlet.place(replaces=self._replaces)
            return
        outlet.discard()
        target.path.unlink(missing_ok=True)
        sync_folder(target.path.parent)

    def _check(self, source: str | None) -> None:
        targets = [("--out", self._target)]
        if self._errors_target is not None:
            targets.append(("--errors", self._errors_target))
        for option, target in targets:
            path = target.path
            if target.is_stream:
                continue
            if source not in (None, "-") and path.exists() and path.samefile(str(source)):
                raise InvalidRequest(
                    f"{option} is {str(path)!r}, which is the input itself; name another file"
                )
            above = path.absolute().parent.parent
            if source is not None and Path(source).is_dir() and above.samefile(source):
                raise InvalidRequest(
                    f"{option} is {str(path)!r}, which is in a label folder of the input; name a "
                    "file outside of it"
                )
            if not self._replaces:
                refuse_to_replace(path, option)
        if len(targets) > 1 and targets[0][1].path.absolute() == targets[1][1].path.absolute():
            raise InvalidRequest(
                f"--errors is {str(self.errors_path)!r}, and so is --out; name two files"
            )

    def _open(self) -> None:
        self._results = self._opened(self._target, "--out")
        if (errors := self._errors_target) is not None:
            self._errors_file = self._opened(errors, "--errors")
            if errors.form is not Form.JSONL:
                self._error_columns = self._columns.of_errors
                self._errors_out = writer_of(
                    errors.form, self._errors_file.file, self._error_columns
                )
        if self._columns.rows is not None:
            self._rows_out = writer_of(self._target.form, self._results.file, self._columns.rows)

    def _opened(self, target: Target, option: str) -> Outlet:
        outlet = open_outlet(target, option)
        self._outlets.append(outlet)
        return outlet

    def _write_success(
        self, result: ItemSuccess, json: bytes | None, fields: Mapping[str, object]
    ) -> None:
        if self._rows_out is None or self._columns.rows is None:
            self._results.file.write(self._line(result, json, fields))
            return
        for row in rows_of(result, self._columns.rows, fields):
            self._rows_out.write(row)

    def _write_failure(
        self, failure: ItemFailure, json: bytes | None, fields: Mapping[str, object]
    ) -> None:
        if self._target.form in WITHOUT_ERRORS and self._rows_out is not None:
            self._rows_out.write([None])  # so that the lines of all others keep their places
        if self._errors_out is not None:
            self._errors_out.write(error_row(failure, self._error_columns, fields))
        elif self._errors_file is not None:
            self._errors_file.file.write(self._line(failure, json, fields))
        elif self._rows_out is None:
            self._results.file.write(self._line(failure, json, fields))

    def _line(
        self, result: ItemSuccess | ItemFailure, json: bytes | None, fields: Mapping[str, object]
    ) -> bytes:
        line = json or to_stored(result).encode()
        if not self._columns.kept:
            return line + b"\n"
        kept = {
            column.field: fields[column.field]
            for column in self._columns.kept
            if column.field is not None and column.field in fields
        }
        return line[:-1] + b',"input":' + json_bytes(kept) + b"}\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()


def errors_beside(target: Target) -> Target | None:
    """Return the errors file of a results file; None of a stream."""
    if target.is_stream:
        return None
    path = errors_path(target.path)
    form = Form.JSONL if target.form in WITHOUT_ERRORS else target.form
    return Target(path, form, target.compression)
