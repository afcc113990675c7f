"""A bulk job from its first result to its summary: progress, results, files, exit status.

Each command brings its own way of printing a result.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Thread
from typing import TYPE_CHECKING

from seqd.cli.exits import MISTAKE, OK
from seqd.cli.ui.progress import BulkView, LineView
from seqd.cli.ui.screen import Screen, data_goes_to_a_terminal
from seqd.cli.ui.stdout import print_json, stdout
from seqd.cli.ui.summary import BulkOutcome, ResultCounts, say_bulk_summary
from seqd.client import JobHandle
from seqd.escaping import printable_json
from seqd_schemas import Event, ItemFailure, ItemSuccess, JobRecord, JobState

if TYPE_CHECKING:
    from seqd.cli.result_files import ResultFiles

Result = ItemSuccess | ItemFailure

#: Seconds that the last events may take after the last result.
_LAST_EVENTS_S = 5.0


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go: into files, or else one by one to `print_result`."""

    files: "ResultFiles | None"
    print_result: Callable[[Result], None]

    def write(self, result: Result, json: bytes | None = None) -> None:
        """Write the next result, or its JSON where that is known."""
        if self.files is None:
            self.print_result(result)
        else:
            self.files.write(result, json)

    def commit(self, made_by: Sequence[JobRecord]) -> None:
        """Put the files in place, with facts about the jobs that made the results."""
        if self.files is not None:
            from seqd.client.tables import facts_of

            self.files.commit(facts_of(made_by))


@contextmanager
def following(handle: JobHandle, show: Callable[[Event], None]) -> Iterator[None]:
    """Pass the job's events to `show`, from another thread, during a `with` block.

    A block that ends without an error waits for the terminal event, and raises what reading
    the events, or `show`, raised.
    """
    failures: list[Exception] = []

    def follow() -> None:
        try:
            for event in handle.events():
                show(event)
        except Exception as error:  # noqa: BLE001 (raised again by the thread that waits)
            failures.append(error)

    # A daemon thread: an interrupted command ends without it.
    thread = Thread(target=follow, name="seqd-events", daemon=True)
    thread.start()
    yield
    thread.join(_LAST_EVENTS_S)
    if failures:
        raise failures[0]


def print_line(result: Result) -> None:
    """Print a result on stdout as a line of JSON."""
    print(printable_json(result.model_dump_json()), file=stdout())


def print_event(event: Event) -> None:
    """Print an event on stdout as a line of JSON."""
    print(printable_json(event.model_dump_json()), file=stdout(), flush=True)


def follow_bulk_job(
    handle: JobHandle,
    screen: Screen,
    output: Output,
    counts: ResultCounts,
    results: Iterator[Result] | None = None,
) -> int:
    """Write all results of a job and its summary; return the exit status.

    `results` are read in the place of the job's own: those of an earlier job of which this one is
    the rest, with its own. Raises JobFailed, JobCancelled (by somebody else), and what the input
    itself raised; the files of `--out` are then not written.
    """
    # What the command has imported stays: the collector need not look at it again and again while
    # items come and go. That was a tenth of the command's time for each item.
    gc.freeze()
    outcome = read_results(handle, screen, output, counts, results)
    if outcome.record.state is JobState.CANCELLED:
        handle.wait()  # ended, so this only raises
    outcome = replace(outcome, is_rest=results is not None)
    output.commit([outcome.record])
    say_bulk_summary(screen, outcome, counts, output.files)
    if screen.is_beside_json and output.files is not None and not output.files.is_stdout:
        print_json(_summary(outcome.record, counts, output.files))
    return MISTAKE if counts.errored else OK


def read_results(
    handle: JobHandle,
    screen: Screen,
    output: Output,
    counts: ResultCounts,
    results: Iterator[Result] | None = None,
) -> BulkOutcome:
    """Write all results of a job, its progress shown meanwhile; return how it ended.

    `results` are read in the place of the job's own.
    """
    may_move = output.files is not None or not data_goes_to_a_terminal()
    with bulk_view(screen, handle.record, may_move=may_move) as view:
        with following(handle, view.show):
            plain = ((result, None) for result in results or ())
            for result, json in handle.result_lines() if results is None else plain:
                counts.add(result)
                output.write(result, json)
        # After the last event, which might otherwise draw over it.
        record = handle.record()
        view.finish(record)
    return BulkOutcome(record, view.was_paused)


def bulk_view(
    screen: Screen, read_record: Callable[[], JobRecord], *, may_move: bool = True
) -> BulkView:
    """Return the view of a job that suits the screen; `read_record` returns the job as it is.

    Nothing may move where results are printed
    on the same terminal: they would tear the bar.
    """
    record = read_record()
    if screen.is_live and may_move:
        # Here: rich's progress takes long to import, and most programs' output is no terminal.
        from seqd.cli.ui.progress_bar import BarView

        return BarView(screen, record, read_record)
    return LineView(screen, record, read_record)


def _summary(record: JobRecord, counts: ResultCounts, files: "ResultFiles") -> dict[str, object]:
    return {
        "job": record,
        "accuracy": counts.accuracy,
        "labelled_items": counts.labelled,
        "uncertain_items": counts.uncertain,
        "results": str(files.path),
        "errors": str(files.errors_path) if files.errors and files.errors_path else None,
    }
