"""`python -m drills NAME …`, with `tests` on PYTHONPATH: run drills and print their table.

Exits 1 where an item was lost, doubled or failed.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import drills
from checkout import use_checkout
from drills import drain, failover, rolling_restart
from drills.result import DrillResult, table

DRILLS: Mapping[str, Callable[[], DrillResult]] = {
    failover.KILLED: failover.run,
    failover.HANGS: partial(failover.run, hangs=True),
    drain.NAME: drain.run,
    rolling_restart.NAME: rolling_restart.run,
}


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, or all; return the exit status."""
    use_checkout()
    parser = argparse.ArgumentParser("drills", description=drills.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DRILLS))
    names = parser.parse_args(arguments).names or list(DRILLS)
    unknown = [name for name in names if name not in DRILLS]
    if unknown:
        parser.error(f"no drill {unknown[0]!r}; there are: {', '.join(DRILLS)}")
    results = [DRILLS[name]() for name in names]
    print(table(results))
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
