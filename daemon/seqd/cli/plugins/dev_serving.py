"""`seqd plugins dev --serve`: a daemon with that plugin alone, for jobs of other programs.

It is `seqd up` in a folder of its own, with one worker, which is replaced when a file of the plugin
has changed. A change that cannot be loaded is told, and replaces nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from seqd.authoring.messages import Load
from seqd.authoring.plugin_child import PluginChild, pinned_to
from seqd.authoring.watching import Watch, Watched
from seqd.cli.plugins.outcomes import said_of
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest, PluginEnded, SeqdError
from seqd.hookspecs.hooks import PROJECT
from seqd.local.child import end_in_words
from seqd.local.parent_death import launch_command
from seqd.models.loading import UNPACKAGED, Candidate, discover

#: What `seqd up` prints once jobs are taken.
_READY = "Ready after"

#: Seconds in which a worker has to be replaced, and the daemon to end.
_REPLACE_S, _END_S = 60, 45.0

#: Settings that are of another daemon.
_OF_ANOTHER = ("SEQD_REDIS", "SEQD_REQUIRED", "SEQD_DISABLED", "SEQD_SERVES", "SEQD_SLOTS")


class ServedPlugin:
    """The daemon, as a `with` block that ends it and removes its folder."""

    def __init__(self, order: Load, watched: Watched) -> None:
        """Start it. Raises what is wrong with the plugin.

        InvalidRequest for a version, which the daemon would not have.
        """
        if order.version:
            raise InvalidRequest(
                "--version goes without --serve, which serves version 0. Try one version: "
                "seqd plugins dev --version …"
            )
        self._order, self._watched = order, watched
        self._screen = Screen(to_stderr=True)
        self._load_once()
        self._folder = Path(tempfile.mkdtemp(prefix="seqd-dev-"))
        self._is_ready = threading.Event()
        try:
            self._environment = self._variables()
            self._daemon = self._started(order.slot)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        threading.Thread(target=self._print, daemon=True).start()

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the daemon, and remove its folder."""
        if self._daemon.poll() is None:
            self._daemon.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._daemon.wait(_END_S)
        finally:  # also after a second Ctrl-C: its workers end with it
            self._daemon.kill()
            self._daemon.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def run(self) -> None:
        """Serve until Ctrl-C. Raises PluginEnded where the daemon ends by itself."""
        watch = Watch(self._watched)
        while not self._is_ready.wait(0.2):
            self._check_alive()
        self._screen.say(
            f"Served. In another shell: export SEQD_DATA_DIR={self._folder}; then seqd classify, "
            "run and the others hand jobs in here. Ctrl-C ends it.",
            "green",
        )
        changes = threading.Thread(target=self._replace_on_change, args=(watch,), daemon=True)
        changes.start()
        while True:
            self._check_alive()
            time.sleep(0.2)

    def _started(self, slot: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 (our own command, no shell)
            launch_command(
                [sys.executable, "-P", "-m", PROJECT, "up", "--slots", f"all@{slot}"],
                signal.SIGTERM,
            ),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends it through this command
        )

    def _check_alive(self) -> None:
        status = self._daemon.poll()
        if status is not None:
            raise PluginEnded(f"the daemon ended: {end_in_words(status)}; its lines are above")

    def _replace_on_change(self, watch: Watch) -> None:
        while True:
            watch.changed()
            began = time.monotonic()
            if self._loads():
                self._replace(began)

    def _loads(self) -> bool:
        """Return True where the plugin can be loaded; else say what is wrong with it."""
        try:
            self._load_once()
        except SeqdError as error:
            self._screen.say(
                f"error[{error.code}]: {str(error).rstrip('.')}. What loaded before goes on being "
                "served.",
                "red",
            )
            return False
        return True

    def _load_once(self) -> None:
        """Load the plugin in a child, and say what it is. Raises what is wrong with it."""
        child = PluginChild(pinned_to(self._order.slot), self._screen.say)
        try:
            self._screen.say(f"Loads: {said_of(child.load(self._order))}", "dim")
        finally:
            child.kill("it was loaded to be looked at")

    def _replace(self, began: float) -> None:
        command = ["workers", "restart", "--wait", "--timeout-s", str(_REPLACE_S)]
        done = subprocess.run(  # noqa: S603 (our own command, no shell)
            [sys.executable, "-P", "-m", PROJECT, *command],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            self._screen.say(f"Served anew after {time.monotonic() - began:.1f} s", "green")
        else:
            self._screen.say(f"the worker is not replaced: {done.stderr.strip()}", "red")

    def _print(self) -> None:
        assert self._daemon.stdout is not None
        for line in self._daemon.stdout:
            text = line.decode("utf-8", "backslashreplace").rstrip()
            self._screen.say(text, "dim")
            if _READY in text:
                self._is_ready.set()

    def _variables(self) -> dict[str, str]:
        """Return the daemon's environment, in which the plugin is as good as installed."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(_OF_ANOTHER)
        }
        paths = [*self._write_metadata(), kept.get("PYTHONPATH", "")]
        return kept | {
            "SEQD_DATA_DIR": str(self._folder),
            "SEQD_ENABLED_PLUGINS": self._order.source.name,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def _write_metadata(self) -> list[str]:
        """Write what an installation would, and return the folders to import from."""
        source = self._order.source
        if not source.path:
            return []
        name = _replaced_distribution(source.candidate(), discover())
        version = source.version or "0"
        info = self._folder / "plugin" / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(
            f"[{PROJECT}]\n{source.name} = {source.address}\n", encoding="utf-8"
        )
        return [*source.import_folders, str(info.parent)]


def _replaced_distribution(mine: Candidate, installed: Sequence[Candidate]) -> str:
    """Return the name by which a distribution in front of the installed ones takes their place.

    That of the plugin itself, where it is installed, else its own, else one that nobody has.
    """
    for one in installed:
        if one.name == mine.name and one.package == mine.package:
            return one.distribution
    return mine.distribution if mine.distribution != UNPACKAGED else f"{PROJECT}-dev"
