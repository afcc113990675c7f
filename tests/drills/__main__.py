"""`python -m drills NAME …`, with `tests` on PYTHONPATH: run drills and print their table.

Each row is printed when its drill is over. Exits 1 where an item was lost, doubled or failed, or
work stood still for STALL_S. With `--reviews FILE`, a gzip file of JSON lines with an `id` and a
`text` each, the drain and the rolling restart are done with `imdb_lstm`.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import drills
from checkout import use_checkout
from drills import of_workers
from drills.failover import failover
from drills.result import HEAD, DrillResult

DRILLS: Mapping[str, Callable[[Path], DrillResult]] = {
    "failover": failover,
    "failover-hang": partial(failover, hangs=True),
    "drain": of_workers.drain,
    "rolling-restart": of_workers.rolling_restart,
    "other-release": of_workers.other_release,
    "device-lost": of_workers.device_lost,
    "device-out-of-memory": of_workers.device_out_of_memory,
}

#: Those that are done with real reviews as well.
ON_REVIEWS = {"drain": of_workers.drain, "rolling-restart": of_workers.rolling_restart}

#: More than in any drill on a busy machine, and far less than a lease (60 s).
STALL_S = 30.0


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, or all; return the exit status."""
    use_checkout()
    parser = argparse.ArgumentParser("drills", description=drills.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DRILLS))
    parser.add_argument("--reviews", type=Path, help="for: " + ", ".join(ON_REVIEWS))
    asked = parser.parse_args(arguments)
    known = DRILLS
    if asked.reviews:
        known = {name: partial(run, reviews=asked.reviews) for name, run in ON_REVIEWS.items()}
    names = asked.names or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no drill {unknown[0]!r}; there are: {', '.join(known)}")
    print(HEAD, flush=True)
    results = [_run(known[name]) for name in names]
    stood_s = max(result.stall_s - result.failover_s for result in results)
    return 0 if all(result.is_clean for result in results) and stood_s < STALL_S else 1


def _run(drill: Callable[[Path], DrillResult]) -> DrillResult:
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        result = drill(Path(name))
    print(result.row(), flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
