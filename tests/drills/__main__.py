"""Drills on several hosts, one after the other, and a table of what came of each.

Needs Linux, and packages that it names where they are missing; no rights. Exits 1 when anything is
lost or doubled, or when users are not told the cause.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from checkout import use_checkout
from drills.drills import DRILLS, Report
from drills.network import ENTER, why_not
from drills.world import a_world

#: Says that this program is in a network of its own.
_INSIDE = "SEQD_DRILLS_INSIDE"

_HEAD = ("drill", "seed", "lost", "doubled", "seconds", "users are told")


def main() -> int:
    """Read the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        "drills", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DRILLS)}; all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of when and whom")
    asked = parser.parse_args()
    names = asked.names or list(DRILLS)
    if unknown := set(names) - set(DRILLS):
        parser.error(f"there is no {sorted(unknown)[0]!r}; there are {', '.join(DRILLS)}")
    if os.environ.pop(_INSIDE, None) is None:
        if (why := why_not()) is not None:
            sys.exit(why)
        command = [*ENTER, sys.executable, "-P", "-m", "drills", *sys.argv[1:]]
        os.execvpe(ENTER[0], command, os.environ | {_INSIDE: "1"})
    use_checkout()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(_row(*_HEAD), _row(*("---" for _ in _HEAD)), sep="\n", flush=True)
    return max([_did(name, seed) for name in names for seed in asked.seeds])


def _did(name: str, seed: int) -> int:
    began, report, status = time.monotonic(), Report(), 0
    with tempfile.TemporaryDirectory(prefix="seqd-drills-") as folder:
        os.environ["TMPDIR"] = folder  # of workers, which are killed in the end
        try:
            with a_world(Path(folder)) as world:
                world.publish()
                DRILLS[name](world, random.Random(f"{name}/{seed}"), report)
        except Exception:  # noqa: BLE001 - the next drill is done all the same
            traceback.print_exc()
            for log in Path(folder).glob("*.log"):
                print(f"== {log.name}\n{log.read_text(errors='replace')[-8000:]}", file=sys.stderr)
            status = 1
    report.seconds["in all"] = time.monotonic() - began
    seconds = ", ".join(f"{what} {took:.1f}" for what, took in report.seconds.items())
    told = "; ".join(report.told)
    print(_row(name, seed, report.lost, report.doubled, seconds, told), flush=True)
    return status or int(report.lost != 0 or report.doubled != 0)


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
