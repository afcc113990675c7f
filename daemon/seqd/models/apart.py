"""Loads plugins in a process of its own: one that ends its process, or hangs, costs nothing else.

Whoever asks has a function that finds something there, `answer` says it, and `run_apart` reads it.
This module as a program finds how the plugins of this machine stand.
"""

import faulthandler
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from seqd.errors import InvalidSettings
from seqd.local.parent_death import launch_command
from seqd.models.plugin_frames import Frame, dumped_frames, place_among

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds that the process may take beside what it is given: it starts, and imports the daemon.
_START_S: Final = 60.0

#: What `faulthandler` writes when its time is up, in front of the stacks.
_TIMEOUT: Final = "Timeout ("

#: What it writes where a signal ends the process, in front of the stacks.
_FATAL: Final = "Fatal Python error"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process that loads plugins has ended."""

    #: What it has found; None where it ended before, by itself or since its time was up.
    found: object = None
    is_late: bool = False
    #: Its exit status; of a signal the number, negative.
    status: int = 0
    #: Where it stood in a plugin.
    place: Frame | None = None
    #: What was printed, by whomever.
    printed: str = ""

    @property
    def stood(self) -> str:
        """Where it stood, as the end of a sentence; nothing where nobody knows."""
        return f": it stood in {self.place}" if self.place else ""

    @property
    def how(self) -> str:
        """With what it has ended, and where in a plugin, where that is known."""
        how = f"status {self.status}" if self.status >= 0 else f"signal {-self.status}"
        return f"{how} in {self.place}" if self.place else how

    @property
    def last_line(self) -> str:
        """The last line that was printed, before what `faulthandler` writes of a signal."""
        words = self.printed.partition(_FATAL)[0]
        return (words.strip().splitlines() or ["it said nothing"])[-1]


def run_apart(
    module: str,
    arguments: Sequence[str],
    seconds: float,
    *,
    environment: Mapping[str, str] | None = None,
    package: str = "",
) -> Ended:
    """Run `python -m module`, which gives an `answer`, and return how it ended.

    `package` is the plugin that is loaded, where it is one. The process ends with this thread.
    """
    command = [sys.executable, "-P", "-m", module, *arguments, f"{seconds:g}"]
    # Files and no pipes: a process that a plugin has started may keep those open.
    with TemporaryFile() as answer, TemporaryFile() as printed:
        try:
            status = subprocess.run(  # noqa: S603 (our own command, no shell)
                launch_command(command),
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=printed,
                timeout=seconds + _START_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return Ended(is_late=True)
        answer.seek(0)
        printed.seek(0)
        said, text = answer.read(), printed.read().decode(errors="replace")
    if said:
        return Ended(json.loads(said))
    place = place_among(dumped_frames(text.rpartition(_TIMEOUT)[2]), package)
    return Ended(None, _TIMEOUT in text, status, place, text)


def answer(seconds: str, find: Callable[[], object]) -> NoReturn:
    """Say what is found within so many seconds, and end this process, whatever threads it has."""
    output = os.dup(1)
    os.dup2(2, 1)  # what plugins print, at whatever time, goes to standard error
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    os.write(output, json.dumps(find()).encode())
    os._exit(0)


class PluginsHere(NamedTuple):
    """How the plugins of this machine stand."""

    #: Name and reason of each that is broken.
    broken: Sequence[tuple[str, str]]
    #: What is said of required plugins that are not ready; '' where all are.
    required: str


def plugins_here(settings: "Settings", seconds: float) -> PluginsHere | Ended:
    """Return how the plugins here stand, or how the process has ended that loads them."""
    ended = run_apart(__name__, [str(settings.data_dir)], seconds)
    return PluginsHere(*ended.found) if isinstance(ended.found, list) else ended


def main(data_dir: str, seconds: str) -> None:
    """Find how the plugins here stand."""
    from seqd.models.registry import Registry
    from seqd.settings import load_settings
    from seqd_schemas import PluginState

    def find() -> PluginsHere:
        logging.disable(logging.CRITICAL)  # what is broken stands in the answer
        settings, required = load_settings(data_dir=data_dir), ""
        try:
            registry = Registry.load(settings)
        except InvalidSettings as error:
            required = str(error)
            nothing = {"required_plugins": (), "required_models": ()}
            try:
                registry = Registry.load(settings.model_copy(update=nothing))
            except InvalidSettings as wrong:  # another setting names what is not installed
                return PluginsHere((), str(wrong))
        states = registry.statuses
        broken = [(one.name, one.reason) for one in states if one.state is PluginState.BROKEN]
        return PluginsHere(broken, required)

    answer(seconds, find)


if __name__ == "__main__":
    main(*sys.argv[1:])
