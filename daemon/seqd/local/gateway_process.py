"""The gateway beside the workers of `seqd up`: a process, started again where it ends."""

import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import Self

from seqd.local.child import (
    Child,
    deaths_in_a_row,
    log_path,
    make_folder,
    restart_wait_s,
)
from seqd.local.log_file import log_limits
from seqd.local.supervisor import settings_variables
from seqd.settings import Settings

#: Seconds that open requests have at the end; a gateway takes some 30.
_STOP_S = 35.0


class GatewayProcess:
    """The gateway's process; use it as a context manager."""

    def __init__(self, settings: Settings, redis_url: str, say: Callable[[str], None]) -> None:
        """`say` is told when it ends by itself."""
        self._settings = settings
        self._variables = settings_variables(settings, redis_url)
        self._say = say
        self._child: Child | None = None
        self._deaths = 0
        self._due_s = 0.0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.end_within(_STOP_S)

    def look(self) -> None:
        """Start it again where it has ended, later after each end in a row."""
        child, now_s = self._child, monotonic()
        if child is None:
            if now_s >= self._due_s:
                self._start()
        elif child.has_ended():
            self._deaths = deaths_in_a_row(self._deaths, now_s - child.started_s)
            wait_s = restart_wait_s(self._deaths)
            self._say(
                f"The gateway ended, {child.end_in_words()}; it is started again in {wait_s:g} s. "
                f"Its log, {child.log}, ends with:\n{child.log_tail(4)}"
            )
            self._child, self._due_s = None, now_s + wait_s

    def _start(self) -> None:
        folder = self._settings.data_dir / "logs"
        make_folder(folder)
        self._child = Child.start(
            "gateway",
            # -P: no module of the working folder in the place of one of ours.
            [sys.executable, "-P", "-m", "seqd", "gateway"],
            {**os.environ, **self._variables},
            log_path(folder, "gateway"),
            log_limits(self._settings),
        )
        self._child.started_s = monotonic()
