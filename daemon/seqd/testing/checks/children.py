"""Runs checks in a child, so that a plugin that hangs or exits harms nobody else.

It is the child that `seqd plugins try` has, too. What checks have found is told as it comes, and
so is known however the process ends.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from seqd.authoring.messages import Found, Outcomes, Report, RunChecks
from seqd.authoring.plugin_child import PluginChild
from seqd.errors import PluginFault, SeqdError
from seqd.models.plugin_frames import Frame, dumped_frames
from seqd.testing.checks.report import CheckResult

#: What begins the stack of the thread that was running, or the only one.
_CURRENT: Final = re.compile(r"^(?:Current thread|Thread|Stack).*$", re.MULTILINE)

#: What `faulthandler` writes first where a limit has passed, behind a line that was begun.
_TIMED_OUT: Final = re.compile(r"Timeout \((\d+):(\d+):(\d+)[^)]*\)!$", re.MULTILINE)

#: Lines of a stack that are shown.
STACK_LINES: Final = 5

#: Seeds of Python's hashes of texts: another process must not give other outcomes for it (D2).
_HASH_SEED, _OTHER_HASH_SEED = "1", "2"


@dataclass(frozen=True, slots=True)
class Ended:
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


def run_child(
    spec: RunChecks,
    *,
    hash_seed: str = _HASH_SEED,
    live: set[PluginChild] | None = None,
    told: Callable[[Report], None] = lambda report: None,
) -> Ended:
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
        return Ended(reports, how, "\n".join(printed))
    finally:
        child.kill("its checks have ended")
        running.discard(child)
    return Ended(reports)


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
    ended = run_child(wanted, hash_seed=_OTHER_HASH_SEED)
    for report in ended.reports:
        if isinstance(report, Outcomes):
            return report.by_task
    raise PluginFault(f"in another process {ended.how}: {ended.printed[-300:]}")
