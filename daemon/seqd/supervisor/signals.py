"""Signals as a count and a wake-up, inside a block that puts the old handlers back.

A Python signal handler may run between any two steps, so it does the least: count, and write
a byte into a socket that the main loop waits on.
"""

import select
import signal
import socket
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType, TracebackType
from typing import Self

#: A closed terminal (SIGHUP) stops the daemon as Ctrl-C does.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers


#: Seconds within which a second signal is taken for an echo of the first.
ECHO_S = 0.3


class StopRequests:
    """How often the supervisor was asked to stop: once asks, twice forces."""

    def __init__(self) -> None:
        self.count = 0
        self._asked_at = -ECHO_S
        self._old_handlers: dict[signal.Signals, _Handler] = {}
        self._sockets: tuple[socket.socket, socket.socket] | None = None

    def add(self) -> None:
        """Ask to stop; safe in a signal handler and from any thread, before the block too."""
        self.count += 1
        self._wake()

    def wait(self, timeout_s: float) -> None:
        """Wait for a signal, a request, or the end of a child; wakes early rather than late."""
        if self._sockets is None:
            raise RuntimeError("wait inside the block")
        _, receiver = self._sockets
        if select.select([receiver], [], [], max(0.0, timeout_s))[0]:
            receiver.recv(4_096)

    def _wake(self) -> None:
        if self._sockets is None:
            return  # Nobody waits: the count is enough.
        try:
            self._sockets[0].send(b"x")
        except BlockingIOError:
            return  # Full of wake-ups that nobody has read yet: one more changes nothing.

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        # Under a wrapper that hands signals on, one Ctrl-C arrives twice, at the same moment.
        if monotonic() - self._asked_at >= ECHO_S:
            self._asked_at = monotonic()
            self.add()

    def _on_child(self, number: int, frame: FrameType | None) -> None:
        self._wake()

    def __enter__(self) -> Self:
        self._sockets = socket.socketpair()
        for end in self._sockets:
            end.setblocking(False)
        # Only the main thread may set handlers; elsewhere `add` is the way to stop.
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                # `nohup seqd up &` has SIGHUP and SIGINT ignored, and means it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handle(number, self._on_stop)
            self._handle(signal.SIGCHLD, self._on_child)
        return self

    def _handle(self, number: signal.Signals, handler: _Handler) -> None:
        old = signal.signal(number, handler)
        # None stands for a handler that was not set from Python, which cannot be put back.
        self._old_handlers[number] = signal.SIG_DFL if old is None else old

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        sockets, self._sockets = self._sockets, None
        for end in sockets or ():
            end.close()
