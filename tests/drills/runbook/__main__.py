"""`python -m drills.runbook PAGE …`, with `tests` on PYTHONPATH: run drills and print their table.

Each row is printed when its drill is over. Exits 1 where a cause had no name within a minute, or an
item was lost, doubled or failed.
"""

import argparse
import sys
from collections.abc import Sequence

import drills.runbook
from checkout import use_checkout
from drills.runbook import of_redis, of_work, of_workers
from drills.runbook.fault import HEAD, drill
from drills.runbook.stack import CannotBeInjected

FAULTS = {fault.page: fault for part in (of_redis, of_workers, of_work) for fault in part.FAULTS}


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, or all; return the exit status."""
    use_checkout()
    parser = argparse.ArgumentParser("drills.runbook", description=drills.runbook.__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=", ".join(FAULTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="When it is injected.")
    given = parser.parse_args(arguments)
    pages = given.pages or list(FAULTS)
    unknown = [page for page in pages if page not in FAULTS]
    if unknown:
        parser.error(f"no page {unknown[0]!r}; there are: {', '.join(FAULTS)}")
    print(HEAD, flush=True)
    rows = []
    for page in pages:
        for seed in given.seeds:
            try:
                rows.append(drill(FAULTS[page], seed))
            except CannotBeInjected as error:
                print(f"{page} was left out: {error}", file=sys.stderr)
                continue
            print(rows[-1], flush=True)
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
