"""How long seqd takes to start, against `python -c "import pydantic, redis"` in the same round.

    .venv/bin/python tests/bench/startup.py [--rounds 20] [--json] [--python PYTHON]...

Each round runs the reference and each case once, in turn, so that what else the machine does meets
all of them; a case's ratio is taken within its round. With `--python`, given once or more, the
seqd of those interpreters is measured, also in turn: two checkouts against each other.

The output of commands is no terminal here. On one, a job's progress bar takes rich in addition.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

REFERENCE = "import pydantic, redis"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0

#: Milliseconds of one round.
Round = dict[str, float]


class Seqd:
    """A seqd to measure: an interpreter that has it, and a daemon of its own that is warm."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = str(python)
        self._command = str(python.parent / "seqd")
        self._environment = os.environ | {"SEQD_DATA_DIR": str(folder)}
        self._environment.pop("SEQD_REDIS_URL", None)

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """Run `seqd up` with one slot, from its first result on."""
        up = subprocess.Popen(
            [self._command, "up", "--slots", "cpu:0"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait_until_warm(up)
            yield
        finally:
            up.send_signal(signal.SIGTERM)
            try:
                up.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                up.kill()
                up.wait()

    def measure(self) -> Round:
        """Run the reference and each case once; gives milliseconds."""
        return {name: self._run_ms(command) for name, command in self._commands().items()}

    def _commands(self) -> Mapping[str, list[str]]:
        return {
            "reference": [self._python, "-c", REFERENCE],
            "import seqd.client": [self._python, "-c", "import seqd.client"],
            "from seqd.client import Client": [
                self._python, "-c", "from seqd.client import Client",
            ],
            "seqd --version": [self._command, "--version"],
            "seqd probe ready": [self._command, "probe", "ready"],
            "seqd worker --alive --name": [
                self._command, "worker", "--alive", "--name", self._worker(),
            ],
            "seqd --help": [self._command, "--help"],
            'seqd classify --text "..."': [self._command, "classify", "--text", "A fine film."],
        }  # fmt: skip

    def _worker(self) -> str:
        """Return the name of the daemon's worker, by its files."""
        folder = Path(self._environment["SEQD_DATA_DIR"]) / "run"
        return next((path.stem for path in folder.glob("*.heartbeat")), "none yet")

    def _run_ms(self, command: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(command, env=self._environment, capture_output=True, check=True)
        return 1000 * (time.perf_counter() - began)

    def _wait_until_warm(self, up: subprocess.Popen[bytes]) -> None:
        """Hand a job in as soon as there is a server; it waits for the worker by itself."""
        deadline = time.monotonic() + START_TIMEOUT_S
        command = self._commands()['seqd classify --text "..."']
        while time.monotonic() < deadline:
            if up.poll() is not None:
                raise SystemExit(f"seqd up ended with status {up.returncode}")
            done = subprocess.run(command, env=self._environment, capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit(f"seqd up had no result after {START_TIMEOUT_S:g} s")


def measured(pythons: list[Path], rounds: int) -> dict[str, list[Round]]:
    """Measure each interpreter's seqd, in turn within a round; the first round is thrown away."""
    found: dict[str, list[Round]] = {str(python): [] for python in pythons}
    with ExitStack() as stack:
        seqds = {}
        for python in pythons:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="seqd-startup-"))
            seqds[str(python)] = Seqd(python, Path(folder))
            stack.enter_context(seqds[str(python)].daemon())
        for number in range(rounds + 1):
            for name, seqd in seqds.items():
                row = seqd.measure()
                if number > 0:
                    found[name].append(row)
    return found


def summary_of(rows: list[Round]) -> dict[str, dict[str, float]]:
    """Return each case's median milliseconds, and its ratio: median, lowest and highest."""
    figures = {}
    for case in rows[0]:
        ratios = [row[case] / row["reference"] for row in rows]
        figures[case] = {
            "median_ms": median(row[case] for row in rows),
            "ratio": median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
    return figures


def show(found: Mapping[str, list[Round]], say: Callable[[str], None]) -> None:
    """Print a table for each interpreter."""
    for python, rows in found.items():
        say(f"{python}, {len(rows)} rounds; ratios to the reference of the same round")
        say(f"{'':<32}{'median ms':>10}{'ratio':>8}{'lowest':>8}{'highest':>9}")
        for case, figures in summary_of(rows).items():
            name = f'python -c "{REFERENCE}"' if case == "reference" else case
            say(
                f"{name:<32}{figures['median_ms']:>10.0f}{figures['ratio']:>8.2f}"
                f"{figures['lowest']:>8.2f}{figures['highest']:>9.2f}"
            )


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="How long seqd takes to start.")
    parser.add_argument("--rounds", type=int, default=20, help="rounds after the one to warm up")
    parser.add_argument("--json", action="store_true", help="print JSON: rounds and summary")
    parser.add_argument(
        "--python",
        type=Path,
        action="append",
        help="interpreter whose seqd is measured; repeatable",
    )
    options = parser.parse_args()
    # Not resolved: the interpreter of a virtual environment is a link.
    pythons = [path.absolute() for path in options.python or [Path(sys.executable)]]
    found = measured(pythons, options.rounds)
    if options.json:
        report = {
            name: {"rounds_ms": rows, "summary": summary_of(rows)} for name, rows in found.items()
        }
        print(json.dumps(report, indent=2))
    else:
        show(found, print)


if __name__ == "__main__":
    main()
