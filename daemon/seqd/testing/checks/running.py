"""Runs all checks of a plugin, some processes side by side, and makes the report."""

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final, Literal

from seqd.authoring.messages import Begun, Found, Has, Outcomes, Report, RunChecks
from seqd.authoring.plugin_child import PluginChild
from seqd.errors import InvalidRequest, PluginFault, SeqdError
from seqd.hookspecs import PLUGIN_API_VERSION
from seqd.models.loading import PluginSource
from seqd.models.plugin_frames import Frame, dumped_frames, place_among
from seqd.testing.checks.catalog import FIRST, RETIRED, Check, Part, checks_of, known_ids
from seqd.testing.checks.examples import PluginExamples
from seqd.testing.checks.report import LOADS, CheckResult, CheckState, Place, loads_result
from seqd.testing.checks.report import Report as CheckReport
from seqd.validation import did_you_mean, listed

#: Seconds that one check may take; those of trainings ten times as long.
LIMIT_S: Final = 30.0

#: Processes that run at once.
PROCESSES: Final = 2

#: Processes that the checks of a part get, where some of them end theirs.
_MOST_PROCESSES: Final = 4

#: What is told while the checks run: how many have ended, how many there are, and what runs.
Progress = Callable[[int, int, str], None]

#: What begins the stack of the thread that was running, or the only one.
_CURRENT: Final = re.compile(r"^(?:Current thread|Thread|Stack).*$", re.MULTILINE)

#: What `faulthandler` writes first where a limit has passed, behind a line that was begun.
_TIMED_OUT: Final = re.compile(r"Timeout \((\d+):(\d+):(\d+)[^)]*\)!$", re.MULTILINE)

#: Lines of a stack that are shown.
_STACK_LINES: Final = 5

#: Seeds of Python's hashes of texts: another process must not give other outcomes for it (D2).
_HASH_SEED, _OTHER_HASH_SEED = "1", "2"


@dataclass(frozen=True, slots=True)
class _Ended:
    """What a child has told, and how it ended before it had told all."""

    reports: Sequence[Report]
    #: How, in words; "" where it has told all.
    how: str = ""
    printed: str = ""

    @property
    def results(self) -> list[CheckResult]:
        """The results of the checks that have ended."""
        return [one.result for one in self.reports if isinstance(one, Found)]

    @property
    def hung_s(self) -> float | None:
        """The limit in seconds that it was ended after; None where it was not."""
        if (found := _TIMED_OUT.search(self.printed)) is None:
            return None
        hours, minutes, seconds = map(int, found.groups())
        return hours * 3_600.0 + minutes * 60 + seconds

    @property
    def stack(self) -> list[Frame]:
        """Where the main thread stood when it hung or died, the innermost frame first."""
        threads = _CURRENT.split(self.printed)[1:] or [self.printed]
        # `faulthandler` writes the main thread last; of a fatal signal the one that got it first.
        chosen = threads[0] if "Fatal Python error" in self.printed else threads[-1]
        return dumped_frames(chosen)


def _run_child(
    spec: RunChecks,
    *,
    hash_seed: str = _HASH_SEED,
    live: set[PluginChild] | None = None,
    told: Callable[[Report], None] = lambda report: None,
) -> _Ended:
    """Run a child by its spec, and return what it has told and how it ended.

    While it runs it is in `live`, and `told` is called with each of its reports. It ends with this
    thread, whatever ends that.
    """
    printed, reports = list[str](), list[Report]()
    running = set[PluginChild]() if live is None else live
    child = PluginChild(_environment(hash_seed), printed.append)
    running.add(child)
    try:
        for reply in child.call(spec):
            if isinstance(reply, Report):
                reports.append(reply)
                told(reply)
    except SeqdError as error:
        how = _ending_of(child.ended_with()) if child.has_died else str(error)
        return _Ended(reports, how, "\n".join(printed))
    finally:
        child.kill("its checks have ended")
        running.discard(child)
    return _Ended(reports)


def _ending_of(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"the process was ended by {signal.Signals(-status).name}"
    return f"the process ended itself with exit status {status}"


def _environment(hash_seed: str) -> dict[str, str]:
    """Return the variables of a child, which imports what this process would."""
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path if folder)  # noqa: PTH100
    return {"PYTHONPATH": path, "PYTHONHASHSEED": hash_seed, "PYTHONSAFEPATH": "1"}


def outcomes_in_a_child(spec: RunChecks) -> dict[str, list[str]]:
    """Return a version's outcomes as another process computes them, as JSON by task.

    Raises PluginFault where that process ends before it has them.
    """
    wanted = spec.model_copy(update={"mode": "outcomes"})
    ended = _run_child(wanted, hash_seed=_OTHER_HASH_SEED)
    for report in ended.reports:
        if isinstance(report, Outcomes):
            return report.by_task
    raise PluginFault(f"in another process {ended.how}: {ended.printed[-300:]}")


@dataclass(frozen=True, slots=True)
class Described:
    """What a plugin has, as a child has found out, and how the checks of its descriptions went."""

    #: The parts of each model, and which checks are expected to fail, by their ids.
    parts: Mapping[str, Sequence[Part]]
    expected: Mapping[str, Mapping[str, str]]
    results: Sequence[CheckResult]


def check_plugin(
    source: PluginSource,
    *,
    examples: PluginExamples | None = None,
    version_folder: Path | None = None,
    limit_s: float = LIMIT_S,
    progress: Progress | None = None,
    found: Callable[[CheckResult], None] | None = None,
) -> CheckReport:
    """Run all checks of a plugin, and return what came out; `found` is told each failure at once.

    Nothing of the plugin runs in this process. Raises InvalidRequest where `expected_failures` of
    the examples names a check that there is not.
    """
    given = examples or PluginExamples()
    _check_ids(given.expected_failures)
    started = monotonic()
    with Run(source, given, version_folder, limit_s, progress, found) as run:
        described = run.describe()
        results = [*described.results, *run.all_of(described)]
    results += _missing_parts(described)
    return CheckReport(
        plugin=source.name,
        api_version=".".join(map(str, PLUGIN_API_VERSION)),
        results=tuple(_with_expected(results, described.expected, given)),
        seconds=round(monotonic() - started, 1),
    )


def _check_ids(expected: Collection[str]) -> None:
    known = known_ids()
    for check_id in expected:
        if check_id not in known | RETIRED:
            raise InvalidRequest(
                f"expected_failures names the check {check_id!r}, which there is not. Checks: "
                f"{listed(known)}.{did_you_mean(check_id, known)}"
            )


def _missing_parts(described: Described) -> list[CheckResult]:
    """Return results that did not apply: those of parts that a model has not."""
    return [
        result
        for model, parts in described.parts.items()
        for part, why in missing_of(parts).items()
        for result in _idle(model, part, checks_of(part), why)
    ]


def missing_of(parts: Collection[Part]) -> dict[Part, str]:
    """Return the parts that a model has not, with the reason why their checks do not apply."""
    missing = {} if Part.TRAINING in parts else {Part.TRAINING: "no train"}
    if not any(part.is_version for part in parts):
        missing[Part.FOLDER] = "no version to serve: give its folder with --version-folder"
    return missing


def _idle(model: str, part: Part, checks: "Sequence[Check[object]]", why: str) -> list[CheckResult]:
    return [check.result(model, part, CheckState.DID_NOT_APPLY, why) for check in checks]


def _with_expected(
    results: Sequence[CheckResult],
    expected: Mapping[str, Mapping[str, str]],
    given: PluginExamples,
) -> list[CheckResult]:
    """Return results whose failures are expected as such, with the author's reason."""
    made = []
    for result in results:
        reasons = {**expected.get(result.model, {}), **given.expected_failures}
        if result.state is CheckState.FAILED and result.id in reasons:
            changed = {"state": CheckState.EXPECTED_FAILURE, "why": reasons[result.id]}
            made.append(result.model_copy(update=changed))
        else:
            made.append(result)
    return made


@dataclass
class Run:
    """One run of a plugin's checks; its files are there within a `with` block."""

    source: PluginSource
    examples: PluginExamples
    version_folder: Path | None
    limit_s: float = LIMIT_S
    progress: Progress | None = None
    #: Is told each failure, as soon as it is there.
    found: Callable[[CheckResult], None] | None = None
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="seqd-checks-")))
    _lock: Lock = field(default_factory=Lock)
    _live: set[PluginChild] = field(default_factory=set)
    _stopped: bool = False
    #: The checks that have ended, and all.
    _done: int = 0
    _total: int = 0
    #: The failures that each model's author expects.
    _expected: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __enter__(self) -> "Run":
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files of the checks."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def describe(self) -> Described:
        """Load the plugin in a child, and run the checks of its descriptions."""
        self._tell("its description")
        ended = _run_child(self._spec("describe"))
        if any(one.id == "I2" and one.state is CheckState.FAILED for one in ended.results):
            # Files had to be compiled, or read from a disk.
            ended = _run_child(self._spec("describe"))
        results, has = ended.results, [one for one in ended.reports if isinstance(one, Has)]
        if ended.how:
            results.append(self._died(ended, loads_result(self.source.name)))
        for one in has:
            _check_ids(one.expected)
        self._expected = {one.model: one.expected for one in has}
        self._tell_found(results)
        parts = {one.model: one.parts for one in has}
        return Described(parts, self._expected, results)

    def all_of(self, described: Described) -> list[CheckResult]:
        """Run the checks of all parts, side by side, and return their results in order."""
        wanted = [(model, part) for model, parts in described.parts.items() for part in parts]
        self._total = sum(len(checks_of(part)) for _, part in wanted)
        with ThreadPoolExecutor(max_workers=PROCESSES) as pool, self._ending():
            each = pool.map(lambda one: self.part(*one), wanted)
            return [result for results in each for result in results]

    def part(self, model: str, part: Part, ids: Collection[str] | None = None) -> list[CheckResult]:
        """Run the checks of a part, or P1 and those with some ids, and return their results.

        They run in one process; a check that ends it fails, and the rest runs in another.
        """
        first, *others = checks_of(part)
        left = [first, *(check for check in others if ids is None or check.id in ids)]
        results, why = list[CheckResult](), "the process died too often"
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        for _ in range(_MOST_PROCESSES):
            if self._stopped:
                break
            ended = self._child(model, part, left, folder)
            if self._stopped:  # what it was ended for is no finding
                break
            results += ended.results
            left = left[len(ended.results) :]
            if left and not _first_failed(results):
                lost = left.pop(0).result(model, part, CheckState.FAILED)
                results.append(self._died(ended, lost))
                self._done += 1
                self._tell_found(results[-1:])
            if _first_failed(results):
                why = f"{FIRST} failed"
                break
            if not left:
                break
        self._done += len(left)
        return results + _idle(model, part, left, why)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Kill all children where a `with` block is left by an exception, such as Ctrl-C."""
        try:
            yield
        except BaseException:
            self._stopped = True
            for child in tuple(self._live):
                child.kill("the command was ended")
            raise

    def _child(
        self, model: str, part: Part, checks: "Sequence[Check[object]]", folder: Path
    ) -> _Ended:
        ids = tuple(check.id for check in checks)
        asked = {"model": model, "part": part, "checks": ids, "folder": str(folder)}

        def told(report: Report) -> None:
            if isinstance(report, Begun):
                self._tell(f"{model} ({part}), {report.id}")
            elif isinstance(report, Found):
                self._done += 1
                self._tell_found([report.result])

        spec = self._spec("checks").model_copy(update=asked)
        return _run_child(spec, live=self._live, told=told)

    def _spec(self, mode: Literal["describe", "checks"]) -> RunChecks:
        return RunChecks(
            mode=mode,
            source=self.source,
            examples=self.examples,
            limit_s=self.limit_s,
            version_folder=None if self.version_folder is None else str(self.version_folder),
        )

    def _tell(self, what: str) -> None:
        if self.progress is not None:
            self.progress(self._done, self._total, what)

    def _tell_found(self, results: Sequence[CheckResult]) -> None:
        """Tell of each failure that is not expected."""
        with self._lock:
            for result in _with_expected(results, self._expected, self.examples):
                if result.state is CheckState.FAILED and self.found is not None:
                    self.found(result)

    def _died(self, ended: _Ended, result: CheckResult) -> CheckResult:
        """Return the result of a check that ended its process, with where it stood."""
        stack = [Place(file=one.path, line=one.line, function=one.function) for one in ended.stack]
        own = place_among(ended.stack, self.source.package)
        package = own.package if own is not None else self.source.package
        its_own = [at for at, one in enumerate(ended.stack) if one.package == package]
        # To the plugin's last call, or the first ones.
        shown = stack[: min(_STACK_LINES, its_own[-1] + 1 if its_own else _STACK_LINES)]
        if ended.hung_s is not None:
            seen = f"it hung for more than {ended.hung_s:g} s"
            cure = "Ask context.stop_requested() as you go, and give what waits a time limit."
            if result.id == LOADS:
                cure = "Only define things while the module is imported: work in load() or train()."
        else:
            seen = ended.how
            cure = "Raise an exception that says what is wrong; only the daemon ends its processes."
            if last := ended.printed.strip().rpartition("\n")[2]:
                seen = f"{seen}; the last line that it wrote: {last[:200]}"
        return result.model_copy(
            update={
                "state": CheckState.FAILED,
                "seen": seen,
                "cure": cure,
                "place": stack[its_own[0]] if its_own else None,
                "stack": tuple(f"{one}, in {one.function}" for one in shown),
            }
        )


def _first_failed(results: Sequence[CheckResult]) -> bool:
    return any(one.id == FIRST and one.state is CheckState.FAILED for one in results)
