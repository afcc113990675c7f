"""Imports a plugin under observation: what it opened, which libraries it took, and how long."""

import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from threading import Event, Thread, get_ident
from time import monotonic, process_time
from types import FrameType
from typing import Final, Self

from seqd.local.process_states import RunDelay
from seqd.models.loading import HEAVY, PluginSource
from seqd.models.plugin_frames import package_of, packages_of
from seqd.models.registry import Registry
from seqd.testing.checks.failures import place_at, place_in
from seqd.testing.checks.report import Place
from seqd_schemas import PluginState

#: Libraries that take seconds to import, or a device.
SLOW_LIBRARIES: Final = HEAVY | {"onnxruntime", "transformers", "mlx", "cupy", "paddle", "mxnet"}

#: What a description may not do.
_EVENTS: Final = frozenset(
    {"socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.system", "os.fork"}
)

#: The function of Python that imports a module, whose name it has in `name`.
_IMPORTS: Final = "_find_and_load"

#: Modules that a failed check names, and seconds that each has taken at least.
_NAMED: Final = 3
_NAMED_S: Final = 0.05

#: Seconds between two looks at where an import stands.
_LOOK_EVERY_S: Final = 0.01


@dataclass
class ImportRecord:
    """What importing a plugin did."""

    #: Why the plugin is broken; empty when it is ready.
    reason: str = ""
    #: Where in its files the import failed.
    place: Place | None = None
    opened: list[str] = field(default_factory=list)
    heavy: list[str] = field(default_factory=list)
    #: What it took, of a processor or of waiting for anything else.
    seconds: float = 0.0
    #: The line of the plugin at which it stood for most of that.
    slowest: Place | None = None
    #: The slowest packages, with the seconds of each.
    slow_modules: list[tuple[str, float]] = field(default_factory=list)


def load_observed(source: PluginSource) -> tuple[Registry, ImportRecord]:
    """Load a plugin as a worker does, and return what its import did."""
    record = ImportRecord()
    watch = AuditWatch(_opened)

    def load() -> object:
        before = set(sys.modules)
        try:
            with _measured(record, source), watch, _noting_place(record, source):
                plugin = source.load()
                # Once more than the registry does: each call has to give the models.
                getattr(plugin, "seqd_register_models", list)()
            return plugin
        finally:
            record.heavy = sorted(SLOW_LIBRARIES & (set(sys.modules) - before))

    observed = {"loads": load, "version": source.version or "0"}
    registry = Registry.alone([source.model_copy(update=observed)])
    record.opened = watch.found
    (status,) = registry.statuses
    record.reason = "" if status.state is PluginState.READY else status.reason
    return registry, record


@contextmanager
def _measured(record: ImportRecord, source: PluginSource) -> Iterator[None]:
    """Measure a block; a hundred times a second note what it imports, and where the plugin is."""
    delay, began, used = RunDelay(), monotonic(), process_time()
    delay.since_last_s()
    places, packages, its_own = Counter[Place](), Counter[str](), packages_of(source.module)
    ended, thread = Event(), get_ident()

    def look() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            stack = list(_frames_from(sys._current_frames().get(thread)))
            imported = (frame for frame in stack if frame.f_code.co_name == _IMPORTS)
            names = (str(frame.f_locals.get("name", "")) for frame in imported)
            theirs = (one for one in stack if package_of(one.f_code.co_filename) in its_own)
            packages.update(name.partition(".")[0] for name in islice(names, 1))
            places.update(place_at(frame) for frame in islice(theirs, 1))

    looking = Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()
        waited = monotonic() - began - delay.since_last_s()
        record.seconds = max(process_time() - used, waited)
        record.slowest = next((place for place, _ in places.most_common(1)), None)
        looks = max(1, packages.total())
        shares = ((name, count / looks) for name, count in packages.most_common(_NAMED))
        took = [(name, share * record.seconds) for name, share in shares]
        record.slow_modules = [(name, seconds) for name, seconds in took if seconds >= _NAMED_S]


def _frames_from(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


@contextmanager
def _noting_place(record: ImportRecord, source: PluginSource) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        record.place = place_in(error, packages_of(source.module)) or _place_of_syntax(error)
        raise


def _place_of_syntax(error: BaseException) -> Place | None:
    if isinstance(error, SyntaxError) and error.filename:
        return Place(file=error.filename, line=error.lineno or 0)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return Place(file=last[0].filename, line=last[0].lineno or 0) if last else None


class AuditWatch:
    """Notes what Python code does within a `with` block, as `told` says it of an audit event.

    An audit hook cannot be taken away again, so it is quiet when off. It does not see what a C
    library does by itself.
    """

    def __init__(self, told: Callable[[str, tuple[object, ...]], str | None]) -> None:
        self._told = told
        self._is_on = False
        self.found: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._is_on and (told := self._told(event, arguments)) is not None:
            self.found.append(told)

    def __enter__(self) -> Self:
        """Begin to note."""
        self._is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        """Note no more."""
        self._is_on = False


def _opened(event: str, arguments: tuple[object, ...]) -> str | None:
    if _is_of_imports(event, arguments):
        return None
    return f"open {arguments[0]}" if event == "open" else event if event in _EVENTS else None


def _is_of_imports(event: str, arguments: tuple[object, ...]) -> bool:
    """Return True for what Python does to import a module: read code, and keep it compiled."""
    if event not in ("open", "os.mkdir"):
        return False
    name = str(arguments[0])
    # A number is a file that was opened before, and noted then.
    is_open = isinstance(arguments[0], int)
    return is_open or name.endswith((".py", ".pyc", ".so")) or "__pycache__" in name
