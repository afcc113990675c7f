"""The progress of a job as its events arrive: what all views share, and that of plain lines.

A view is fed from one thread at a time. The one that moves, `progress_bar`, needs rich.
"""

import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from types import TracebackType
from typing import Self

from seqd.cli.ui.screen import Screen
from seqd.views.jobs import log_told, model_of
from seqd.views.numbers import count, counted, duration, rate
from seqd_schemas import Counts, Event, JobRecord, JobState, Paused, Resumed
from seqd_schemas import Progress as ProgressEvent

#: Seconds between two lines where there is no terminal.
LINE_EVERY_S = 3.0

#: Milliseconds by which the rate of a job is told.
_RECENT_MS = 30_000

#: Milliseconds without progress that are no standstill in any case.
_STANDSTILL_MS = 10_000

#: What is said in the place of epochs that the event stream does not hold any more.
EPOCHS_GONE = (
    "The first epochs and samples are not kept any more. The version has all of its epochs: "
    "seqd models show --local"
)


class ProgressView:
    """Shows a job's progress for the time of a `with` block."""

    def __init__(self, record: JobRecord) -> None:
        """Begin with the job as it is: `record`."""
        self._rate = JobRate(is_paused=record.state is JobState.PAUSED)
        #: Of a job that has ended, no line says that it once was paused.
        self._had_ended = record.state.is_terminal

    def show(self, event: Event) -> None:
        """Show the next event."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to draw."""

    def stop(self, *, failed: bool) -> None:
        """End drawing; `failed` when the block ends by an exception."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(failed=error is not None)


class BulkView(ProgressView):
    """Shows a bulk job, whose total grows until its input is complete."""

    def __init__(self, record: JobRecord, read_record: Callable[[], JobRecord]) -> None:
        """`read_record` returns the job as it is by then."""
        super().__init__(record)
        self._read_record = read_record
        #: Items of the job, once its input is complete.
        self._total: int | None = None

    @property
    def was_paused(self) -> bool:
        """True when the job was paused for a while, so that it has no rate as a whole."""
        return self._rate.was_paused

    def finish(self, record: JobRecord) -> None:
        """Show where the job ended."""

    def _is_total(self, items: int) -> bool:
        """Return whether a job has so many items, as an event says, and gets no more."""
        if self._total is None and (record := self._read_record()).sealed:
            self._total = record.counts.total
        return items == self._total


class LineView(BulkView):
    """Prints a line of a bulk job every few seconds; its end is left to the summary."""

    def __init__(
        self, screen: Screen, record: JobRecord, read_record: Callable[[], JobRecord]
    ) -> None:
        super().__init__(record, read_record)
        self._screen = screen
        self._title = model_of(record)
        self._last_line_s = time.monotonic()

    def show(self, event: Event) -> None:
        """Print a line when the last one is old enough."""
        if self._rate.add(event) and not self._had_ended:
            self._screen.say(f"{self._title}: {self._rate.change(event)}")
        elif event.event == "log":
            self._screen.say(f"{self._title}: {log_told(event)}")
        elif isinstance(event, ProgressEvent):
            now_s = time.monotonic()
            if now_s - self._last_line_s >= LINE_EVERY_S:
                self._last_line_s = now_s
                self._screen.say(self._line(event))

    def _line(self, event: ProgressEvent) -> str:
        is_final = self._is_total(event.counts.total)
        items = done_of(event.counts, is_final=is_final)
        return f"{self._title}: {', '.join((items, *self._rate.texts(event, is_final=is_final)))}"


class JobRate:
    """The rate of a bulk job and the time that is left, by the last half minute.

    What events say of it is the mean since the job's start, with all in it for which the job stood
    still; here it begins anew behind a standstill. Add all events, in order.
    """

    def __init__(self, *, is_paused: bool) -> None:
        self.is_paused = is_paused
        #: True from the first pause on: the time from start to end says nothing then.
        self.was_paused = is_paused
        #: Moments, in milliseconds, and how many items were done then.
        self._course = deque[tuple[float, int]]()

    def add(self, event: Event) -> bool:
        """Take an event into account; return whether it paused or resumed the job."""
        if isinstance(event, ProgressEvent):
            self._note(event)
        if not isinstance(event, Paused | Resumed):
            return False
        before = self.is_paused
        self.is_paused = isinstance(event, Paused)
        self.was_paused = True
        self._course = deque([(event.at_ms, event.counts.done)])
        return self.is_paused is not before

    def _note(self, event: ProgressEvent) -> None:
        course, done = self._course, event.counts.done
        if not course and event.rate_per_s > 0:
            course.append((event.at_ms - 1_000 * done / event.rate_per_s, 0))
        if self._stood_still_until(event.at_ms):
            course.clear()
        course.append((event.at_ms, done))
        while len(course) > 2 and event.at_ms - course[1][0] >= _RECENT_MS:
            course.popleft()

    def _stood_still_until(self, at_ms: int) -> bool:
        """Return whether nothing was done for long before a moment, and for longer than is usual.

        Progress is told four times a second, or with each unit where that takes longer.
        """
        moments = [moment for moment, _ in self._course]
        if len(moments) < 2:
            return False
        usual_ms = max(later - earlier for earlier, later in pairwise(moments))
        return at_ms - moments[-1] >= max(_STANDSTILL_MS, 3 * usual_ms)

    def change(self, event: Event) -> str:
        """Return what to say of an event that paused or resumed the job."""
        return paused_note(event.job_id) if self.is_paused else event.event

    def texts(self, event: ProgressEvent, *, is_final: bool) -> tuple[str, ...]:
        """Return the rate and, where the total is final, the time left; in a pause, that it is one.

        `event` is the last that was added. Nothing while no rate is known.
        """
        if self.is_paused:
            return (paused_note(event.job_id),)
        (began_ms, before), (at_ms, done) = self._course[0], self._course[-1]
        if at_ms <= began_ms or done <= before:
            return ()
        per_second = 1_000 * (done - before) / (at_ms - began_ms)
        said = (f"{rate(per_second)}/s",)
        left = f"{duration(event.counts.processing / per_second)} left"
        return (*said, left) if is_final else said


def paused_note(job_id: str) -> str:
    """Return that a job is paused, and how to let it go on."""
    return f"paused; seqd jobs resume {job_id}"


def done_of(counts: Counts, *, is_final: bool) -> str:
    """Return how many items are done, of how many, and how many of them have errors."""
    done, total = count(counts.done), count(counts.total)
    items = f"{done}/{total}" if is_final else f"{done} of {total}+"
    return items + (f" ({counted(counts.errored, 'error')})" if counts.errored else "")
