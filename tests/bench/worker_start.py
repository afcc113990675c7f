"""What a worker's start costs: processor seconds until it is ready, seconds to the first answer.

    .venv/bin/python tests/bench/worker_start.py [--rounds 5] [--json] [--python PYTHON]...

Each round starts `seqd up` with one slot twice on a new folder of data, and asks it for one answer
each time: `first` compiles kernels, `later` finds them. With `--python`, given once or more, the
seqd of those interpreters is measured in turn within a round: two checkouts against each other.
Processor seconds are those of the worker's parent and child; seconds to the answer are of a clock,
and mean something on a machine that does nothing else.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil

START_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Start:
    """One start of `seqd up`."""

    parent_s: float
    child_s: float
    answer_s: float

    @property
    def worker_s(self) -> float:
        """Processor seconds of the worker."""
        return self.parent_s + self.child_s


def start_of(python: Path, folder: Path) -> Start:
    """Start a seqd on a folder, until it has answered."""
    command = str(python.parent / "seqd")
    left_out = ("SEQD_", "NUMBA_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    environment["SEQD_DATA_DIR"] = str(folder)
    log = folder / "up.log"
    began = time.monotonic()
    with log.open("wb") as output:
        up = subprocess.Popen(
            [command, "up", "--slots", "cpu:0"], env=environment, stdout=output, stderr=output
        )
    try:
        while " ready " not in log.read_text():
            if up.poll() is not None or time.monotonic() - began > START_TIMEOUT_S:
                raise SystemExit(f"seqd up is not ready:\n{log.read_text()}")
            time.sleep(0.05)
        parent, child = _spent_by_worker(up.pid)
        asked = [command, "classify", "--text", "A fine film."]
        subprocess.run(asked, env=environment, capture_output=True, check=True)
        return Start(parent, child, time.monotonic() - began)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait()


def _spent_by_worker(up_pid: int) -> tuple[float, float]:
    """Return the processor seconds of the worker's parent, and of what that has started."""
    (node,) = [one for one in psutil.Process(up_pid).children() if "worker" in one.cmdline()]
    return _spent_s(node), sum(map(_spent_s, node.children()))


def _spent_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measured(pythons: list[Path], rounds: int) -> dict[str, dict[str, list[Start]]]:
    """Measure each interpreter's seqd, in turn within a round."""
    found: dict[str, dict[str, list[Start]]] = {
        str(python): {"first": [], "later": []} for python in pythons
    }
    for _ in range(rounds):
        for python in pythons:
            with tempfile.TemporaryDirectory(prefix="seqd-start-") as folder:
                for starts in found[str(python)].values():
                    starts.append(start_of(python, Path(folder)))
    return found


def show(found: Mapping[str, Mapping[str, list[Start]]]) -> None:
    """Print a table for each interpreter: medians, the lowest and the highest in brackets."""
    for python, kinds in found.items():
        print(python)
        print(f"{'start':<7}{'worker, processor s':>26}{'parent':>8}{'child':>8}{'answer, s':>26}")
        for kind, starts in kinds.items():
            worker = _spread([one.worker_s for one in starts])
            answer = _spread([one.answer_s for one in starts])
            parent, child = (
                median(getattr(one, name) for one in starts) for name in ("parent_s", "child_s")
            )
            print(f"{kind:<7}{worker:>26}{parent:>8.2f}{child:>8.2f}{answer:>26}")


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="What a worker's start costs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON: each start")
    parser.add_argument("--python", type=Path, action="append", help="interpreter; repeatable")
    options = parser.parse_args()
    # Not resolved: the interpreter of a virtual environment is a link.
    found = measured(
        [path.absolute() for path in options.python or [Path(sys.executable)]], options.rounds
    )
    if options.json:
        print(
            json.dumps(
                {
                    python: {
                        kind: [asdict(one) for one in starts] for kind, starts in kinds.items()
                    }
                    for python, kinds in found.items()
                },
                indent=2,
            )
        )
    else:
        show(found)


if __name__ == "__main__":
    main()
