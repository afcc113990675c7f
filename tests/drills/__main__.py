"""`python -m drills NAME …`, with `tests` on PYTHONPATH: run drills and print their table.

Each row is printed when its drill is over. Exits 1 where an item was lost, doubled or failed, or
work stood still for STALL_S.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import drills
from checkout import use_checkout
from drills import (
    device_lost,
    device_out_of_memory,
    drain,
    failover,
    other_release,
    rolling_restart,
)
from drills.result import HEAD, DrillResult

DRILLS: Mapping[str, Callable[[], DrillResult]] = {
    failover.KILLED: failover.run,
    failover.HANGS: partial(failover.run, hangs=True),
    drain.NAME: drain.run,
    rolling_restart.NAME: rolling_restart.run,
    other_release.NAME: other_release.run,
    device_lost.NAME: device_lost.run,
    device_out_of_memory.NAME: device_out_of_memory.run,
}

#: More than in any drill on a busy machine, and far less than a lease (60 s).
STALL_S = 30.0


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, or all; return the exit status."""
    use_checkout()
    parser = argparse.ArgumentParser("drills", description=drills.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DRILLS))
    names = parser.parse_args(arguments).names or list(DRILLS)
    unknown = [name for name in names if name not in DRILLS]
    if unknown:
        parser.error(f"no drill {unknown[0]!r}; there are: {', '.join(DRILLS)}")
    print(HEAD, flush=True)
    has_passed = True
    for name in names:
        result = DRILLS[name]()
        print(result.row(), flush=True)
        stood_s = result.stall_s - result.failover_s
        has_passed = has_passed and result.passed and stood_s < STALL_S
    return 0 if has_passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
