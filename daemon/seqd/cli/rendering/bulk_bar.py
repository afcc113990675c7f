"""The bar of a bulk job on a terminal, drawn over as events come. See `bulk_view`."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn
from rich.text import Text

from seqd.cli.rendering.bulk_view import items_of, title_of, whole_pace
from seqd.cli.rendering.pace import Pace, paused_note
from seqd.cli.rendering.screen import Screen, printable
from seqd_schemas import Counts, Event, JobRecord, JobState
from seqd_schemas import Progress as ProgressEvent

#: What stands in the place of the pace after an event.
_SAID = {"started": "loading", "resumed": "waiting for a worker"}


class _Mark(SpinnerColumn):
    """A spinner, until the task has a mark of its own."""

    def render(self, task: Task) -> Text:
        mark = task.fields["mark"]
        return super().render(task) if mark is None else Text(mark)  # type: ignore[return-value]


class BarView:
    """A bar that is drawn over."""

    def __init__(
        self, screen: Screen, record: JobRecord, total_is_final: Callable[[], bool]
    ) -> None:
        self._total_is_final = total_is_final
        self._pace = Pace(is_paused=record.state is JobState.PAUSED)
        self._progress = Progress(
            _Mark(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[items]}", markup=False, justify="right"),
            TextColumn("{task.fields[pace]}", markup=False),
            console=screen.console,
            expand=True,
            # Else rich sends stdout, where results may go into a file or a pipe, to the terminal.
            redirect_stdout=False,
        )
        is_paused = self._pace.is_paused
        self._task = self._progress.add_task(
            printable(title_of(record)),
            total=None,
            items=items_of(record.counts, is_final=record.sealed) if is_paused else "0",
            pace=paused_note(record.job_id) if is_paused else "waiting for a worker",
            mark=None,
        )

    @property
    def was_paused(self) -> bool:
        """True when the job stood still for a while."""
        return self._pace.was_paused

    def show(self, event: Event) -> None:
        """Move the bar."""
        self._pace.take(event)
        if self._pace.is_paused and event.event in ("paused", *_SAID):
            self._progress.update(self._task, pace=paused_note(event.job_id))
        elif event.event in _SAID:
            self._progress.update(self._task, pace=_SAID[event.event])
        elif event.event == "log":
            self._progress.console.print(printable(event.message), markup=False)
        elif isinstance(event, ProgressEvent):
            is_final = self._total_is_final()
            pace = "  ".join(self._pace.told(event, is_final=is_final))
            self._draw(event.counts, pace, is_final=is_final)

    def finish(self, record: JobRecord) -> None:
        """Leave the bar where the job ended, with the pace of the whole job."""
        self._draw(record.counts, whole_pace(record, was_paused=self.was_paused), is_final=True)
        self._mark("✓" if record.state is JobState.COMPLETED else "✗")

    def _mark(self, mark: str) -> None:
        self._progress.update(self._task, mark=mark)

    def _draw(self, counts: Counts, pace: str, *, is_final: bool) -> None:
        self._progress.update(
            self._task,
            completed=counts.done,
            # Without a total the bar only pulses: what is known so far would promise too much.
            total=counts.total if is_final else None,
            items=items_of(counts, is_final=is_final),
            pace=pace,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._mark("✗")  # nobody turns the spinner any more
        self._progress.stop()
