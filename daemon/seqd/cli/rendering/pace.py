"""How fast a bulk job goes and how long it will take, across its pauses. Pure.

Fed all events of a job, in order. The rate that an event carries counts from the job's start, so
it is of no use once the job has stood still: from a resumption on it is reckoned here. Used by
`bulk_view`.
"""

from seqd.cli.rendering.numbers import duration, rate
from seqd_schemas import Event, Paused, Progress, Resumed


def paused_note(job_id: str) -> str:
    """Say that a job is paused, and how to let it go on."""
    return f"paused; seqd jobs resume {job_id}"


class Pace:
    """What may be said of a job's pace. `is_paused` until it is resumed."""

    def __init__(self, *, is_paused: bool) -> None:
        self.is_paused = is_paused
        #: True from the first pause on: the time from its start to its end says nothing then.
        self.was_paused = is_paused
        self._resumed: Resumed | None = None

    def take(self, event: Event) -> bool:
        """Take in an event; True when it paused the job, or resumed it."""
        if not isinstance(event, Paused | Resumed):
            return False
        before = self.is_paused
        self.is_paused = isinstance(event, Paused)
        self.was_paused = True
        self._resumed = event if isinstance(event, Resumed) else None
        return self.is_paused is not before

    def told(self, event: Progress, *, is_final: bool) -> tuple[str, ...]:
        """Give the rate and, once the total is known, the time left; in a pause, that it is one."""
        if self.is_paused:
            return (paused_note(event.job_id),)
        per_second, left_s = self._figures(event)
        if per_second is None:
            return ()
        told = (f"{rate(per_second)}/s",)
        return (*told, f"{duration(left_s)} left") if is_final and left_s is not None else told

    def _figures(self, event: Progress) -> tuple[float | None, float | None]:
        if self._resumed is None:
            return event.rate_per_s, event.eta_s
        seconds = (event.at_ms - self._resumed.at_ms) / 1000
        items = event.counts.done - self._resumed.counts.done
        if seconds <= 0 or items <= 0:
            return None, None
        return items / seconds, event.counts.processing * seconds / items
