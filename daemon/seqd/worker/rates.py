"""How fast this slot works off each queue, from claim to commit: what autoscaling reckons by."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

#: Seconds between two notes at least: many small jobs in a row are one note.
NOTE_EVERY_S = 1.0


class RateMeter:
    """Sums items and busy seconds by queue. Safe to share between threads."""

    def __init__(self, note: Callable[[str, int, float, int], None]) -> None:
        """`note` writes queue, items, seconds and errors down."""
        self._note = note
        self._lock = Lock()
        self._sums: dict[str, tuple[int, float, int]] = {}
        self._noted_at = monotonic()

    def add(self, queue: str, items: int, seconds: float, errors: int = 0) -> None:
        """Add a claim: its items, the seconds from the claim to the commit, items with errors."""
        with self._lock:
            known_items, known_s, known_errors = self._sums.get(queue, (0, 0.0, 0))
            self._sums[queue] = known_items + items, known_s + seconds, known_errors + errors

    def note(self) -> None:
        """Write down what was added since. What cannot be written is lost, and the rest kept."""
        with self._lock:
            sums, self._sums = self._sums, {}
            self._noted_at = monotonic()
        for queue, (items, seconds, errors) in sums.items():
            self._note(queue, items, seconds, errors)

    def note_if_due(self) -> None:
        """The same, unless it was done within the last second."""
        if monotonic() - self._noted_at >= NOTE_EVERY_S:
            self.note()
