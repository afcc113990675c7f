"""Serves a plugin that is being written: a change of its files replaces the child that has it.

The next child is started beforehand and has imported the daemon's code by then, so that a change
costs the import of the plugin alone.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seqd.authoring.messages import Load, Loaded
from seqd.authoring.plugin_child import REPLACED, PluginChild
from seqd.errors import SeqdError

#: Seconds between two looks, and how much of the time looking may take.
_LOOK_EVERY_S = 0.05
_LARGEST_SHARE = 0.1

#: Folders of a project that hold nothing of the plugin.
_NOT_SOURCE = frozenset({"__pycache__", "build", "dist", "node_modules", "site-packages"})

#: What a file is told by: when it was written, and its size.
_Seen = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Watched:
    """Which files: a folder with those below it, one folder's own, or one file."""

    path: Path
    is_recursive: bool = True

    def seen(self) -> _Seen:
        """Return what there is now; nothing where the folder is gone."""
        found: dict[str, tuple[int, int]] = {}
        for entry in self._files():
            try:
                status = entry.stat()
            except OSError:  # it went meanwhile
                continue
            found[str(Path(entry))] = status.st_mtime_ns, status.st_size
        return found

    def _files(self) -> "Iterator[os.DirEntry[str] | Path]":
        if self.path.is_file():
            yield self.path
            return
        folders = [str(self.path)]
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except OSError:
                continue
            if any(entry.name == "pyvenv.cfg" for entry in entries):
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self.is_recursive and _is_source_folder(entry.name):
                        folders.append(entry.path)
                elif _is_source_file(entry.name):
                    yield entry


class Watch:
    """Watches until it is closed; used by one thread. Reads the times of files again and again.

    The kernel's notices do not come from network shares, nor into containers from another system's
    folders, where people edit, too. A hundred files take 1 ms to look at.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._seen = watched.seen()

    def changed(self) -> list[str]:
        """Wait for a change and return the files that have changed, once nothing moves any more."""
        before, seen = self._seen, self._seen
        while True:
            began = time.monotonic()
            now = self._watched.seen()
            took_s = time.monotonic() - began
            if now == seen and now != before:
                self._seen = now
                return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            seen = now
            time.sleep(max(_LOOK_EVERY_S, took_s / _LARGEST_SHARE))


def _is_source_folder(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_SOURCE and not name.endswith(".egg-info")


def _is_source_file(name: str) -> bool:
    """Return False for what editors and Python write beside the source."""
    return not name.startswith((".", "#")) and not name.endswith(("~", ".pyc", ".swp", ".tmp"))


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves: the child, and what it has loaded."""

    child: PluginChild
    loaded: Loaded


@dataclass(frozen=True, slots=True)
class News:
    """A load that has ended: because of which files, in which time, well or not."""

    changed: list[str]
    seconds: float
    loaded: Loaded | None = None
    fault: SeqdError | None = None


@dataclass(slots=True)
class _State:
    """What serves now, or why nothing does; neither while a plugin is being loaded."""

    serving: Serving | None = None
    fault: SeqdError | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)


class ReloadedPlugin:
    """A plugin that is loaded anew whenever its files change; nothing serves while it is broken.

    All children are started by the thread that loads, which lives until `close`.
    """

    def __init__(
        self,
        order: Load,
        environment: Mapping[str, str],
        watched: Watched,
        *,
        say: Callable[[str], None],
        tell: Callable[[News], None],
    ) -> None:
        """`say` gets the lines that the plugin prints, `tell` what came of each load."""
        self._order, self._environment, self._watched = order, environment, watched
        self._say, self._tell = say, tell
        self._state = _State()
        #: The child that was started for the next load, and the one that loads.
        self._next: PluginChild | None = None
        self._loading: PluginChild | None = None
        self._is_closed = False
        #: Files that have changed since the last load.
        self._changed: list[str] = []
        self._wanted = threading.Event()
        self._loader = threading.Thread(target=self._load_on_change, daemon=True)
        self._loader.start()

    def serving(self) -> Serving:
        """Return what serves, once it is loaded. Raises why nothing does."""
        with self._state.changed:
            while self._state.serving is None and self._state.fault is None:
                self._state.changed.wait(0.5)  # at times, for Ctrl-C to come through
            if self._state.serving is None:
                assert self._state.fault is not None
                raise self._state.fault
            if not self._state.serving.child.has_ended():
                return self._state.serving
        self.load_anew()
        return self.serving()

    def now(self) -> Serving | None:
        """Return what serves; None while a plugin is loaded, and where it is broken."""
        return self._state.serving

    def load_anew(self) -> None:
        """Have the plugin loaded again, as after a change: its process has ended."""
        self._begin("it is loaded anew")
        self._wanted.set()

    def stop_loading(self, why: str) -> bool:
        """End a load that goes on; return False where none does."""
        loading = self._loading
        if loading is not None:
            loading.kill(why)
        return loading is not None

    def close(self) -> None:
        """End all processes."""
        self._is_closed = True
        serving = self._state.serving
        for child in (self._next, self._loading, None if serving is None else serving.child):
            if child is not None:
                child.kill("the command ended")

    def _load_on_change(self) -> None:
        watch = Watch(self._watched)
        changes = threading.Thread(target=self._watch, args=(watch,), daemon=True)
        changes.start()
        self._load([], time.monotonic())
        while not self._is_closed:
            if self._wanted.wait(0.5) and not self._is_closed:
                self._wanted.clear()
                changed, self._changed = self._changed, []
                self._load(changed, time.monotonic())

    def _watch(self, watch: Watch) -> None:
        while not self._is_closed:
            self._changed = [*dict.fromkeys([*self._changed, *watch.changed()])]
            self.stop_loading(REPLACED)  # first: what is wanted then is loaded in another child
            self._wanted.set()

    def _load(self, changed: list[str], began: float) -> None:
        """Load the plugin in a new child, in the place of the one that serves."""
        self._begin(REPLACED)
        child = self._next or PluginChild(self._environment, self._say)
        self._loading, self._next = child, None
        try:
            loaded = child.load(self._order)
        except SeqdError as error:
            child.kill("the plugin could not be loaded")
            if child.was_replaced:
                self._say("Its files have changed meanwhile: it is loaded anew.")
            else:
                self._end(News(changed, time.monotonic() - began, fault=error))
        else:
            news = News(changed, time.monotonic() - began, loaded=loaded)
            self._end(news, Serving(child, loaded))
        self._loading = None
        if not self._is_closed:
            self._next = PluginChild(self._environment, self._say)

    def _begin(self, why: str) -> None:
        with self._state.changed:
            before, self._state.serving, self._state.fault = self._state.serving, None, None
        if before is not None:
            before.child.kill(why)

    def _end(self, news: News, serving: Serving | None = None) -> None:
        """Tell what came of a load, and let calls go on."""
        with self._state.changed:
            self._state.serving, self._state.fault = serving, news.fault
        if not self._is_closed:
            self._tell(news)
        with self._state.changed:
            self._state.changed.notify_all()
