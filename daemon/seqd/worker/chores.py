"""What a worker does beside computing: chores in threads, which go on whatever goes wrong.

Redis away or full is expected and costs a line; anything else is a bug and costs a traceback.
Either way the next round comes, since a daemon whose chores have silently ended looks healthy
and is not. `reconciler` and `inbox` are chores; `leases` and `node` use `outlive` alone.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Event, Thread

from seqd.errors import REDIS_ERRORS

log = logging.getLogger(__name__)

#: Seconds for which a chore may finish its round when the worker ends.
CLOSE_S = 10.0


def outlive(what_failed: str, step: Callable[[], None]) -> bool:
    """Take a step; log what went wrong. False when something did."""
    try:
        step()
    except REDIS_ERRORS as error:
        log.warning("%s: %s", what_failed, error)
        return False
    except Exception:
        log.exception("%s", what_failed)
        return False
    return True


class Chore(ABC):
    """Something that is looked at again and again, in a thread of the worker's parent."""

    def __init__(self, name: str, pause_s: float) -> None:
        """`pause_s` is the wait after each look, or, of a chore that blocks, a failed one."""
        self._name = name
        self._pause_s = pause_s
        self._closed = Event()
        self._thread = Thread(target=self._run, name=f"seqd-{name}", daemon=True)

    #: True for a chore whose look itself waits for something to do.
    blocks = False

    @abstractmethod
    def look(self) -> None:
        """Do what is due."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask_to_end(self) -> None:
        """Begin nothing new; does not wait."""
        self._closed.set()

    def close(self) -> None:
        """End, within one look."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closed.is_set():
            went_well = outlive(f"the {self._name} could not look", self.look)
            if not (self.blocks and went_well):
                self._closed.wait(self._pause_s)
