"""How long seqd takes to start: imports and commands, and a worker.

An import or a command is held against `python -c "import pydantic, redis"` of the same round. Of a
worker these are processor seconds of its parent and child until it is ready: `first` compiles
kernels, `later` finds them; and seconds to the first answer. With `--python`, given once or more,
the seqd that is installed for those interpreters is measured in turn within a round: two checkouts
against each other.

The output of commands is no terminal here. On one, a job's progress bar takes rich in addition.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.case import Case, option
from bench.report import ratios, row, say
from seqd.errors import SeqdError

REFERENCE = "import pydantic, redis"
START_TIMEOUT_S = 300.0
_TEXT = ("classify", "--text", "A fine film.")


@dataclass
class Startup(Case):
    """Time imports, commands and a worker's start."""

    what = f'imports and commands beside python -c "{REFERENCE}", and what a worker\'s start costs'

    rounds: int = option(20, "rounds of imports and commands")
    starts: int = option(5, "rounds of a worker's start")
    python: list[Path] | None = option(
        None, "interpreter whose seqd is measured; repeatable", Path, action="append"
    )

    def measure(self) -> None:
        # Not resolved: the interpreter of a virtual environment is a link.
        pythons = [path.absolute() for path in self.python or [Path(sys.executable)]]
        self.report.setup["python"] = ", ".join(map(str, pythons))
        seqds = [_Seqd(python, self.folder / str(at)) for at, python in enumerate(pythons)]
        self._commands(seqds)
        self._starts(pythons)

    def _commands(self, seqds: "list[_Seqd]") -> None:
        """Run each command once a round; the first round is thrown away."""
        for seqd in seqds:
            self.stack.enter_context(seqd.daemon())
        took = {seqd.python: defaultdict[str, list[float]](list) for seqd in seqds}
        for number in range(self.rounds + 1):
            say(f"round {number} of {self.rounds}, the first for nothing")
            for seqd in seqds:
                for name, command in seqd.commands().items():
                    took[seqd.python][name] += [seqd.run_ms(command)] if number else []
        for python, found in took.items():
            reference = found.pop(REFERENCE)
            rows = [row(name, "ms", each) for name, each in found.items()]
            self.report.add(f"{python}, ms", [row(REFERENCE, "ms", reference), *rows])
            beside = [row(name, "times", ratios(each, reference)) for name, each in found.items()]
            self.report.add(f"{python}, times the reference", beside)

    def _starts(self, pythons: list[Path]) -> None:
        took = {python: defaultdict[str, list[float]](list) for python in pythons}
        for number in range(1, self.starts + 1):
            say(f"a worker's start, {number} of {self.starts}")
            for python in pythons:
                with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                    for kind in ("first", "later"):
                        for what, seconds in _Seqd(python, Path(folder)).start().items():
                            took[python][f"{kind}, {what}"].append(seconds)
        for python, found in took.items():
            rows = [row(name, "s", each) for name, each in found.items()]
            self.report.add(f"{python}, a worker's start", rows)


class _Seqd:
    """A seqd to measure: an interpreter that has it, and a folder of data of its own."""

    def __init__(self, python: Path, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.python, self._folder = str(python), folder
        self._command = str(python.parent / "seqd")
        self._environment = os.environ | {"SEQD_DATA_DIR": str(folder)}
        self._environment.pop("PYTHONPATH", None)

    @contextmanager
    def daemon(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run `seqd up` with one slot, from the moment that its worker is ready."""
        log = self._folder / "up.log"
        command = [self._command, "up", "--slots", "cpu:0"]
        with log.open("wb") as output:
            up = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while " ready " not in log.read_text():
                if up.poll() is not None or time.monotonic() > deadline:
                    raise SeqdError(f"seqd up is not ready:\n{log.read_text()}")
                time.sleep(0.05)
            yield up
        finally:
            up.terminate()
            up.wait()

    def start(self) -> dict[str, float]:
        """Start a worker that has no kernels but its folder's, until it answers; return seconds."""
        self._environment.pop("NUMBA_CACHE_DIR", None)
        began = time.monotonic()
        with self.daemon() as up:
            children = psutil.Process(up.pid).children()
            (node,) = [one for one in children if "worker" in one.cmdline()]
            spent = {"parent's processor": _spent_s(node)}
            spent["child's processor"] = sum(map(_spent_s, node.children()))
            self.run_ms([self._command, *_TEXT])
            return spent | {"answer": time.monotonic() - began}

    def commands(self) -> Mapping[str, list[str]]:
        """Return what is run each round, by what it is called."""
        python, seqd = self.python, self._command
        return {
            REFERENCE: [python, "-c", REFERENCE],
            "import seqd.client": [python, "-c", "import seqd.client"],
            "from seqd.client import Client": [python, "-c", "from seqd.client import Client"],
            "seqd --version": [seqd, "--version"],
            "seqd probe ready": [seqd, "probe", "ready"],
            "seqd --help": [seqd, "--help"],
            'seqd classify --text "..."': [seqd, *_TEXT],
        }

    def run_ms(self, command: list[str]) -> float:
        """Run a command; return its milliseconds."""
        began = time.perf_counter()
        subprocess.run(command, env=self._environment, capture_output=True, check=True)
        return 1000 * (time.perf_counter() - began)


def _spent_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
