"""The bar of a bulk job on a terminal, redrawn as events arrive."""

from collections.abc import Callable

from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn
from rich.text import Text

from seqd.cli.ui.progress import BulkView, done_of, paused_note
from seqd.cli.ui.screen import Screen
from seqd.escaping import printable
from seqd.views.jobs import log_told, model_of, seconds_of
from seqd.views.numbers import duration, rate
from seqd_schemas import Counts, Event, JobRecord, JobState
from seqd_schemas import Progress as ProgressEvent

#: What stands in the place of the rate after an event.
_NOTES = {"started": "loading", "resumed": "waiting for a worker"}


class BarView(BulkView):
    """Draws one bar."""

    def __init__(
        self, screen: Screen, record: JobRecord, read_record: Callable[[], JobRecord]
    ) -> None:
        super().__init__(record, read_record)
        self._progress = Progress(
            _MarkColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[items]}", markup=False, justify="right"),
            TextColumn("{task.fields[rate]}", markup=False),
            console=screen.console,
            expand=True,
            # Else rich sends stdout, where results may go into a file or a pipe, to the terminal.
            redirect_stdout=False,
        )
        is_paused = self._rate.is_paused
        self._task = self._progress.add_task(
            printable(model_of(record)),
            total=None,
            items=done_of(record.counts, is_final=record.sealed) if is_paused else "0",
            rate=paused_note(record.job_id) if is_paused else "waiting for a worker",
            mark=None,
        )

    def show(self, event: Event) -> None:
        """Move the bar."""
        self._rate.add(event)
        if self._rate.is_paused and event.event in ("paused", *_NOTES):
            self._progress.update(self._task, rate=paused_note(event.job_id))
        elif event.event in _NOTES:
            self._progress.update(self._task, rate=_NOTES[event.event])
        elif event.event == "log":
            self._progress.console.print(printable(log_told(event)), markup=False)
        elif isinstance(event, ProgressEvent):
            is_final = self._is_total(event.counts.total)
            texts = self._rate.texts(event, is_final=is_final)
            self._draw(event.counts, "  ".join(texts), is_final=is_final)

    def finish(self, record: JobRecord) -> None:
        """Leave the bar where the job ended, with the rate of the whole job."""
        self._draw(record.counts, self._whole_rate(record), is_final=True)
        self._set_mark("✓" if record.state is JobState.COMPLETED else "✗")

    def start(self) -> None:
        """Begin to draw."""
        self._progress.start()

    def stop(self, *, failed: bool) -> None:
        """Leave the bar as it is, the spinner replaced where the block failed."""
        if failed:
            self._set_mark("✗")
        self._progress.stop()

    def _set_mark(self, mark: str) -> None:
        self._progress.update(self._task, mark=mark)

    def _draw(self, counts: Counts, rate_text: str, *, is_final: bool) -> None:
        self._progress.update(
            self._task,
            completed=counts.done,
            # Without a total the bar shows no share: what is known so far would promise too much.
            total=counts.total if is_final else None,
            items=done_of(counts, is_final=is_final),
            rate=rate_text,
        )

    def _whole_rate(self, record: JobRecord) -> str:
        """Return how fast the ended job was, or how long it took where it was paused."""
        seconds = seconds_of(record)
        if not seconds:
            return "0/s"
        if self.was_paused:
            return f"{duration(seconds)} with its pauses"
        return f"{rate(record.counts.done / seconds)}/s  {duration(seconds)}"


class _MarkColumn(SpinnerColumn):
    """A spinner, until the task has a mark of its own."""

    def render(self, task: Task) -> Text:
        mark = task.fields["mark"]
        return super().render(task) if mark is None else Text(mark)  # type: ignore[return-value]
