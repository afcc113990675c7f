"""Sees a bulk job through: progress on the way, results to where they go, a summary at the end.

Shared by `seqd classify`, `generate` and `jobs results`; each brings its own way of showing
a result.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.cli.exits import MISTAKE, OK
from seqd.cli.following import following
from seqd.cli.rendering.bulk_view import bulk_view
from seqd.cli.rendering.screen import Screen, data_goes_to_a_terminal
from seqd.cli.rendering.summary import Course, say_bulk_summary
from seqd.cli.rendering.tables import print_json
from seqd.cli.tally import Tally
from seqd.client import JobHandle
from seqd_schemas import Event, ItemFailure, ItemSuccess, JobRecord, JobState

if TYPE_CHECKING:
    from seqd.cli.result_files import ResultFiles

Result = ItemSuccess | ItemFailure


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go: into files, or else one by one to `print_result`."""

    files: "ResultFiles | None"
    print_result: Callable[[Result], None]
    as_json: bool

    def write(self, result: Result, json: bytes | None = None) -> None:
        """Take the next result, with its JSON where that is known."""
        if self.files is None:
            self.print_result(result)
        else:
            self.files.write(result, json)


def result_files(
    out: Path | None, source: str | None
) -> "AbstractContextManager[ResultFiles | None]":
    """Open the files of `--out`; nothing without it."""
    if out is None:
        return nullcontext()
    from seqd.cli.result_files import ResultFiles

    return ResultFiles(out, source=source)


def print_line(result: Result) -> None:
    """Print a result on stdout as a line of JSON."""
    print(result.model_dump_json())  # noqa: T201


def print_event(event: Event) -> None:
    """Print an event on stdout as a line of JSON."""
    print(event.model_dump_json(), flush=True)  # noqa: T201


def see_through(
    handle: JobHandle,
    screen: Screen,
    output: Output,
    tally: Tally,
    total_is_final: Callable[[], bool],
    results: Iterator[Result] | None = None,
) -> int:
    """Read all results, put them where they go, and give the exit status.

    `results` are to be read in the place of the job's own. Raises JobFailed, JobCancelled (by
    somebody else), and what the input itself raised; the files of `--out` are then not written.
    """
    # What the command has imported stays: the collector need not look at it again and again while
    # items come and go. That was a tenth of the command's time for each item.
    gc.freeze()
    course = read_results(handle, screen, output, tally, total_is_final, results)
    if course.record.state is JobState.CANCELLED:
        handle.wait()  # ended, so this only raises
    if output.files is not None:
        output.files.commit()
    say_bulk_summary(screen, course, tally, output.files)
    if output.as_json and output.files is not None:
        print_json(_summary(course.record, tally, output.files))
    return MISTAKE if tally.errored else OK


def read_results(
    handle: JobHandle,
    screen: Screen,
    output: Output,
    tally: Tally,
    total_is_final: Callable[[], bool],
    results: Iterator[Result] | None = None,
) -> Course:
    """Read all results of a job, the progress shown meanwhile; gives how it went.

    `results` are to be read in the place of the job's own.
    """
    may_move = output.files is not None or not data_goes_to_a_terminal()
    with bulk_view(screen, handle.record(), total_is_final, may_move=may_move) as view:
        with following(handle, view.show):
            lines = handle.result_lines() if results is None else _without_json(results)
            for result, json in lines:
                tally.add(result)
                output.write(result, json)
        # After the last event, which else might draw over it.
        record = handle.record()
        view.finish(record)
    return Course(record, view.was_paused)


def _without_json(results: Iterator[Result]) -> Iterator[tuple[Result, bytes | None]]:
    return ((result, None) for result in results)


def _summary(record: JobRecord, tally: Tally, files: "ResultFiles") -> dict[str, object]:
    return {
        "job": record,
        "accuracy": tally.accuracy,
        "labelled_items": tally.labelled,
        "results": str(files.path),
        "errors": str(files.errors_path) if files.errors else None,
    }
