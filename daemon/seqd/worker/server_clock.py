"""Tells a step of the server's clock from time that has passed."""

from dataclasses import dataclass
from time import monotonic

#: Seconds by which the server's clock may differ from the time that has passed here: neither a slow
#: call nor NTP that slews a clock is a step.
STEP_S = 2.0


@dataclass(slots=True)
class ServerClock:
    """The server's clock beside the monotonic one of this machine."""

    #: Seconds by which it is ahead of the monotonic one; None before the first look.
    _ahead_s: float | None = None

    def stepped_s(self, server_ms: int) -> float:
        """Return by how many seconds it was set forward since the last look; back is below 0."""
        ahead_s = server_ms / 1000 - monotonic()
        step_s = 0.0 if self._ahead_s is None else ahead_s - self._ahead_s
        self._ahead_s = ahead_s
        return step_s if abs(step_s) >= STEP_S else 0.0
