"""Checks that a version leaves the process in order: output, random state, threads, memory."""

import ctypes
import gc
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from types import FrameType
from typing import Final, TypeAlias

from seqd.hookspecs import LoadedModel, WorkItem
from seqd.models.plugin_frames import package_of
from seqd.plugin import decorated
from seqd.plugin.calls import OneProcess, reap_copies
from seqd.testing.checks.catalog import Checks
from seqd.testing.checks.examples import author_method, author_packages
from seqd.testing.checks.failures import CheckFailed, DoesNotApply, place_at
from seqd.testing.checks.report import Place
from seqd.testing.checks.subjects import Version
from seqd_schemas import Task

CHECKS: Checks[Version] = Checks()

#: What Python calls at each line of a call, and may give another.
TraceFunction: TypeAlias = Callable[[FrameType, str, object], "TraceFunction | None"]

#: Loads and batches that the memory is measured over, and those before, which fill caches.
LOADS: Final = 20
BATCHES: Final = 200
LOADS_BEFORE: Final = 5
BATCHES_BEFORE: Final = 20

#: Seconds that each of both may take; of a slow model fewer are made.
MEASURING_S: Final = 6.0

#: Bytes by which resident memory may have grown in the end: an allocator keeps some.
MAX_GROWTH_BYTES: Final = 32 * 2**20

#: Copies of a version that are held at once to measure one, and what an allocator may take besides.
COPIES: Final = 3
SPARE_BYTES: Final = 16 * 2**20

#: Seconds that `cost_tokens` may take for a text of a million characters, and that one unit of
#: work may.
COST_LIMIT_S: Final = 0.1
UNIT_LIMIT_S: Final = 30.0

#: Times that either is measured before it is too long: on a busy machine a process has to wait for
#: a processor now and then, which is no cost of its own.
MEASUREMENTS: Final = 3

#: Seconds in which a process that has ended its work may go.
_GONE_WITHIN_S: Final = 1.0


def use(version: Version) -> None:
    """Load the version anew, warm it up and run each task, as a worker does."""
    loaded = version.load()
    loaded.warm_up()
    for task in version.tasks:
        version.outcomes(task, version.items(task, 5), loaded=loaded)


@CHECKS.add("E1", "Nothing is printed to standard output.")
def prints_nothing(version: Version) -> None:
    """Use the version, with standard output in a file of the checks."""
    with TemporaryFile() as file:
        with _printing_into(file.fileno()):
            use(version)
        file.seek(0)
        printed = file.read().decode(errors="replace")
    if printed:
        raise CheckFailed(
            f"it prints {printed[:200]!r}",
            "Use logging.getLogger(__name__): a worker adds the job and the model to each line.",
            _busiest_method(version),
        )


@contextmanager
def _printing_into(file: int) -> Iterator[None]:
    """Have what is printed to standard output during the block go into a file, whoever prints."""
    _flush()
    kept = os.dup(1)
    try:
        os.dup2(file, 1)
        yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)


def _busiest_method(version: Version) -> object:
    return version.method(version.tasks[0])


@CHECKS.add("E2", "The random state that all of a process share stays as it is.")
def leaves_random_state(version: Version) -> None:
    """Compare the states of `random` and NumPy before and after."""
    import numpy as np

    states: dict[str, Callable[[], object]] = {
        "random": random.getstate,
        "numpy.random": lambda: repr(np.random.get_state()),
    }
    version.loaded.warm_up()  # what a library draws at its first use is not the plugin's
    # In no state that a fixed seed gives, which would be there again.
    random.seed("seqd.testing.checks")
    np.random.seed(20_130_611)
    before = {name: state() for name, state in states.items()}
    use(version)
    changed = [name for name, state in states.items() if state() != before[name]]
    if changed:
        raise CheckFailed(
            f"it draws from, or seeds, the shared state of {' and '.join(changed)}",
            "Give what draws at this line a seed or a generator of its own (seed=, random_state=), "
            f"or draw from {version.source_of_chance}.",
            _line_that_changes(states[changed[0]], version) or _busiest_method(version),
        )


def _line_that_changes(state: Callable[[], object], version: Version) -> Place | None:
    """Use the version once more, and return the plugin's line after which a state is another."""
    assert version.spec is not None, "a child has one"
    packages, before = author_packages(version.spec.source.module, version.model), state()
    places: dict[FrameType, Place] = {}
    found: list[Place] = []

    def follow(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        if found or package_of(frame.f_code.co_filename) not in packages:
            return None
        if frame in places and state() != before:
            found.append(places[frame])
        places[frame] = place_at(frame)
        return follow

    sys.settrace(follow)
    try:
        use(version)
    finally:
        sys.settrace(None)
    return next(iter(found), None)


@CHECKS.add("E3", "Environment, working folder and signal handlers stay as they are.")
def leaves_surroundings(version: Version) -> None:
    """Compare them before and after."""
    version.loaded.warm_up()  # libraries set variables when they are imported
    before = _surroundings()
    use(version)
    after = _surroundings()
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    if changed:
        raise CheckFailed(
            f"it changes {', '.join(changed[:5])}",
            "Leave them: other models share the process. Pass options to the library instead.",
            _busiest_method(version),
        )


def _surroundings() -> dict[str, object]:
    found: dict[str, object] = {f"variable {name}": value for name, value in os.environ.items()}
    found["the working folder"] = os.getcwd()  # noqa: PTH109
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1):
        found[f"the handler of {number.name}"] = signal.getsignal(number)
    return found


@CHECKS.add("E4", "No thread and no process is left behind.")
def leaves_nobody(version: Version) -> None:
    """Compare the threads and child processes before and after."""
    threads, processes, copies = set(threading.enumerate()), _children(), OneProcess.copies
    use(version)
    until = monotonic() + _GONE_WITHIN_S
    while monotonic() < until:
        reap_copies()
        if OneProcess.copies > copies:
            raise CheckFailed(
                "it forks this process, and the copy comes back from the call too",
                "Start programs by subprocess and processes by multiprocessing, or end the copy by "
                "os._exit() within the call: a worker has only one process.",
                _busiest_method(version),
            )
        more = [one for one in set(threading.enumerate()) - threads if not one.daemon]
        children = _children() - processes
        if not more and not children:
            return
        sleep(0.02)
    said = [f"the thread {one.name!r}" for one in more]
    said += [f"the process {pid} ({_command_of(pid)})" for pid in sorted(children)]
    raise CheckFailed(
        f"it leaves {', '.join(said[:3])} behind",
        "End them before the call returns: a worker forks, drains and counts its processes.",
        _busiest_method(version),
    )


def _children() -> set[int]:
    """Return the child processes, without the one that `multiprocessing` keeps for its own."""
    found: set[int] = set()
    for tasks in Path("/proc/self/task").glob("*/children"):
        found |= {int(pid) for pid in tasks.read_text().split()}
    return {pid for pid in found if "resource_tracker" not in _command_of(pid)}


def _command_of(pid: int) -> str:
    try:
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "gone"
    return content.replace(b"\0", b" ").decode(errors="replace").strip()[:60]


@CHECKS.add(
    "M2",
    "Resident memory grows by less than 32 MiB in 20 loads and 200 batches.",
    limit_factor=2,
)
def does_not_grow(version: Version) -> None:
    """Load and run again and again, and compare the resident memory."""
    work = {task: version.items(task, 5) for task in version.tasks}
    _repeat(lambda: _load_and_drop(version), LOADS_BEFORE)
    _repeat(lambda: _run_all(version, work), BATCHES_BEFORE)
    for what, once, count, at in (
        ("loads", lambda: _load_and_drop(version), LOADS, author_method(version.model, "load")),
        ("batches", lambda: _run_all(version, work), BATCHES, _busiest_method(version)),
    ):
        before = resident_bytes()
        made = _repeat(once, count)
        grown = resident_bytes() - before
        if grown > MAX_GROWTH_BYTES:
            raise CheckFailed(
                f"resident memory grows by {grown / 2**20:.0f} MiB in {made} {what}",
                "Keep nothing of an item, a call or a version in module or class attributes: a "
                "worker goes on for weeks.",
                at,
            )


def _repeat(once: Callable[[], object], count: int) -> int:
    """Call a function so often, but not beyond `MEASURING_S`; return how often."""
    until = monotonic() + MEASURING_S
    made = 0
    while made < count and monotonic() < until:
        once()
        made += 1
    return made


def _load_and_drop(version: Version) -> None:
    version.load()


def _run_all(version: Version, work: dict[Task, list[WorkItem]]) -> None:
    for task, items in work.items():
        version.outcomes(task, items)


def resident_bytes() -> int:
    """Return the resident memory of this process, without what its allocator merely keeps.

    Raises DoesNotApply where no /proc tells it.
    """
    gc.collect()
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:  # glibc has it
        trim(0)
    if not (resident := decorated.resident_bytes()):
        raise DoesNotApply("no /proc here")
    return resident


@CHECKS.add(
    "M3",
    "A version takes no more than twice the memory that it states, and 16 MiB.",
)
def stated_is_measured(version: Version) -> None:
    """Hold some copies of the version in memory, each of which has been run, and measure them."""
    work = {task: version.items(task, 2) for task in version.tasks}
    _run_all(version, work)
    stated = version.loaded.memory_bytes
    before = resident_bytes()
    copies: list[LoadedModel] = []
    for _ in range(COPIES):
        copies.append(version.load())
        for task, items in work.items():
            version.outcomes(task, items, loaded=copies[-1])
    taken = (resident_bytes() - before) // len(copies)
    if taken > 2 * stated + SPARE_BYTES:
        raise CheckFailed(
            f"it states {stated:,} bytes and takes {taken:,}",
            "Set LoadedModel.memory_bytes to what unloading would free: a worker makes room by it, "
            "and would run out of memory.",
            type(version.loaded),
        )


@CHECKS.add(
    "M4",
    "`cost_tokens` is cheap, and a unit is at most 30 s of work.",
    limit_factor=2,  # what is too long is measured several times
)
def cost_is_cheap(version: Version) -> None:
    """Measure `cost_tokens` of a text of a million characters, and a batch of each task."""
    text = "a good film " * 85_000
    seconds = _least_s(lambda: version.loaded.cost_tokens(text), COST_LIMIT_S)
    if seconds > COST_LIMIT_S:
        raise CheckFailed(
            f"cost_tokens takes {seconds:.2f} s for a text of a million characters",
            "Estimate: by the length of the text, not by taking it apart.",
            type(version.loaded).cost_tokens,
        )
    for task in version.tasks:
        items, unit_items = version.items(task, 8), version.model.tasks[task].unit_items
        version.outcomes(task, items)
        factor = unit_items / len(items)
        once = partial(version.outcomes, task, items)
        unit_s = _least_s(once, UNIT_LIMIT_S / factor) * factor
        if unit_s > UNIT_LIMIT_S:
            raise CheckFailed(
                f"a unit of {unit_items} items of {task} would take {unit_s:.0f} s",
                "Set TaskSpec(unit_items=...) to a quarter of a second to two seconds of work: a "
                "worker that is killed loses its unit.",
                version.method(task),
            )


def _least_s(once: Callable[[], object], limit_s: float) -> float:
    """Return what a call takes; the least of some calls while that is more than a limit."""
    least_s = inf
    for _ in range(MEASUREMENTS):
        started = monotonic()
        once()
        least_s = min(least_s, monotonic() - started)
        if least_s <= limit_s:
            break
    return least_s
