"""The terminal of `seqd top`: reads keys, draws frames, and gives the terminal back as it was."""

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from rich.console import Console, Group
from rich.live import Live

from seqd.cli.exits import INTERRUPTED, OK, TERMINATED
from seqd.cli.top.frame import frame, most_scroll
from seqd.cli.top.reading import Reader, TopState, open_for_reads, server_of
from seqd.cli.top.view import View, pressed
from seqd.ledger import Ledger
from seqd.settings import Settings

#: Seconds after which a lone Esc is taken for one, and between two frames while nothing comes.
_ESCAPE_S: Final = 0.1
_DRAW_S: Final = 1.0

#: What keys are called here, where not as prompt_toolkit calls them.
_NAMES: Final = {
    Keys.ControlM: "enter",
    Keys.ControlJ: "enter",
    Keys.ControlI: "tab",
    Keys.ControlH: "backspace",
}


def watch(console: Console, settings: Settings, view: View, every_s: float) -> int:
    """Draw until a key or a signal ends it; return the exit status.

    Raises what is wrong before anything is drawn, such as a server's address that is none.
    """
    ledger, server = open_for_reads(settings), server_of(settings)
    # What the log would say stands on the screen, or would destroy it.
    logging.getLogger("seqd").addHandler(logging.NullHandler())
    return asyncio.run(_Session(console, ledger, server, view, every_s).run())


class _Session:
    """One `seqd top`, from the first frame to the last."""

    def __init__(
        self, console: Console, ledger: Ledger, server: str, view: View, every_s: float
    ) -> None:
        self._console = console
        self._view = view
        self._status = OK
        self._fault: Exception | None = None
        #: What was read last, and what is shown: not the same while the display is paused.
        self._read = self._shown = TopState(server)
        self._changed = asyncio.Event()
        self._reader = Reader(ledger, server, every_s, self._on_state, self._on_fault)

    async def run(self) -> int:
        """Draw until the end; return the exit status."""
        self._loop = asyncio.get_running_loop()
        keys = create_input()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, number)
        self._loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
        screen = Live(console=self._console, screen=True, auto_refresh=False)
        with keys.raw_mode(), screen, keys.attach(lambda: self._on_keys(keys)):
            self._reader.start()
            try:
                while not self._view.has_ended:
                    self._draw(screen)
                    self._changed.clear()
                    try:
                        await asyncio.wait_for(self._changed.wait(), _DRAW_S)
                    except TimeoutError:
                        continue  # the seconds that Redis is away go on
            finally:
                self._reader.close()
        if self._fault is not None:
            raise self._fault
        return self._status

    def _draw(self, screen: Live) -> None:
        width, height = self._console.size
        if not self._view.is_paused:
            self._shown = self._read
        state = self._reader.as_it_stands(self._shown)
        lines = frame(state, self._view, width, height)
        screen.update(Group(*lines), refresh=True)

    def _on_keys(self, keys: Input) -> None:
        self._take(keys.read_keys())
        if keys.closed:
            self._end(signal.SIGHUP)  # the terminal has gone
        self._loop.call_later(_ESCAPE_S, lambda: self._take(keys.flush_keys()))

    def _take(self, keys: list[KeyPress]) -> None:
        for press in keys:
            key = press.key
            self._press(_NAMES.get(key, key.value) if isinstance(key, Keys) else key)

    def _press(self, key: str) -> None:
        most = most_scroll(self._shown, self._view, *self._console.size)
        self._view = pressed(self._view, key, most)
        if key == "c-c":
            self._status = INTERRUPTED
        self._changed.set()

    def _end(self, number: signal.Signals) -> None:
        self._status = INTERRUPTED if number == signal.SIGINT else TERMINATED
        self._view = replace(self._view, has_ended=True)
        self._changed.set()

    def _on_state(self, state: TopState) -> None:
        """Take a state from the thread that reads."""
        self._post(lambda: self._set_state(state))

    def _on_fault(self, error: Exception) -> None:
        self._post(lambda: self._set_fault(error))

    def _post(self, change: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(change)
        except RuntimeError:
            return  # the loop has ended meanwhile

    def _set_state(self, state: TopState) -> None:
        self._read = state
        self._changed.set()

    def _set_fault(self, error: Exception) -> None:
        self._fault = error
        self._end(signal.SIGTERM)
