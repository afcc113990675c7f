"""`python -m bench CASE …`, with `tests` on PYTHONPATH; `make bench-CASE` calls it."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from bench.case import Case
from bench.classify import Classify
from bench.console import Console
from bench.fleet import Fleet
from bench.gateway import Gateway
from bench.generate import Generate
from bench.interactive import Interactive
from bench.jobs import Jobs
from bench.report import show
from bench.scripts import Scripts
from bench.sizes import Sizes
from bench.startup import Startup
from bench.train import Train
from bench.workers import Workers
from seqd.errors import SeqdError

CASES: tuple[type[Case], ...] = (
    *(Classify, Jobs, Train, Generate),
    *(Interactive, Gateway, Console, Scripts, Startup, Workers, Fleet, Sizes),
)

#: Seconds after which an exit that got lost is tried again.
_AGAIN_S = 0.05


def main(arguments: Sequence[str]) -> int:
    """Run a case and print its report; returns the exit status."""
    parser = argparse.ArgumentParser("bench", description=sys.modules["bench"].__doc__)
    commands = parser.add_subparsers(required=True, metavar="CASE")
    form = argparse.ArgumentDefaultsHelpFormatter
    for one in CASES:
        name, doc = one.__name__.lower(), one.__doc__
        command = commands.add_parser(name, help=doc, description=doc, formatter_class=form)
        one.add_options(command)
        command.set_defaults(case=one)
    options = vars(parser.parse_args(arguments))
    case: Case = options.pop("case")(**options)
    # A daemon of its own: what the caller has set for another one must not reach it.
    for variable in [name for name in os.environ if name.startswith("SEQD_")]:
        del os.environ[variable]
    ended_by = _leave_by_signal()
    try:
        report = case.run()
    except BaseException as error:
        # Whatever was interrupted may raise an error of its own, which is none of the benchmark's.
        if ended_by:
            return 128 + ended_by[0]
        if not isinstance(error, SeqdError):
            raise
        print(f"error[{error.code}]: {error}", file=sys.stderr)
        return 2
    print(json.dumps(vars(report), indent=2)) if case.json else show(report)
    return 0


def _leave_by_signal() -> list[int]:
    """Exit at SIGTERM and Ctrl-C; return where the first signal is noted.

    What was started is ended on the way out; a second signal waits.
    """
    ended_by: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended_by.append(number)
        sys.exit(128 + number)

    def leave_again(lost: "sys.UnraisableHookArgs") -> None:
        # A finaliser in which a signal comes loses the exit, and the benchmark would go on.
        if ended_by and lost.exc_type is SystemExit:
            signal.signal(signal.SIGALRM, lambda number, frame: sys.exit(128 + ended_by[0]))
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            sys.__unraisablehook__(lost)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    sys.unraisablehook = leave_again
    return ended_by


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
