"""A case of a benchmark: a dataclass whose fields are its options, and one method that measures."""

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from subprocess import PIPE
from typing import Any, ClassVar

from bench.daemon import Daemon, Peer, running
from bench.report import Report
from bench.texts import TEST_FILE, TEXT_FILE, TRAIN_FILE
from seqd.errors import InvalidInput
from seqd.local.slots import cores


def option(default: Any, help_text: str, kind: Any = None, **more: Any) -> Any:
    """Return a field that is an option. `kind` reads its text; `more` goes to argparse."""
    reads = {"action": "store_true"} if default is False else {"type": kind or type(default)}
    settings = {"default": default, "help": help_text, **reads, **more}
    return field(default=default, metadata=settings)


@dataclass
class Case:
    """What every case has."""

    #: What is done, in a sentence.
    what: ClassVar[str]

    data: Path | None = option(
        None, f"folder with {TRAIN_FILE}, {TEST_FILE} and {TEXT_FILE}; else made-up texts", Path
    )
    file: Path | None = option(None, "file of texts, in place of those of --data", Path)
    slots: str = option(",".join(f"cpu:{number}" for number in range(cores())), "serving slots")
    json: bool = option(False, "print JSON, with each round")

    def run(self) -> Report:
        """Measure, and end and remove all that was started and written."""
        setup = {key.replace("_", " "): value for key, value in vars(self).items() if key != "json"}
        paths = {key: path.name for key, path in setup.items() if isinstance(path, Path)}
        self.report = Report(type(self).__name__.lower(), self.what, {**setup, **paths})
        with (
            tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as folder,
            ExitStack() as self.stack,
        ):
            self.folder = Path(folder)
            self.measure()
            self.report.load_after = os.getloadavg()[0]
        return self.report

    def measure(self) -> None:
        """Fill the report. What is on the stack is ended behind it, then the folder is removed."""
        raise NotImplementedError

    def file_or(self, name: Path) -> Path | None:
        """Return --file, or else this file of --data, or else None. Raises InvalidInput."""
        path = self.file or (self.data / name if self.data else None)
        if path is not None and not path.is_file():
            raise InvalidInput(f"{path} is no file; name another, or none for made-up texts")
        return path

    def daemon(self, slots: str, stack: ExitStack | None = None, python_path: str = "") -> Daemon:
        """Start a daemon. Each has the same folder, so a version of one is in the next."""
        return Daemon(stack or self.stack, self.folder / "data", slots, python_path)

    def peer(self, module: str, variables: Mapping[str, str] | None = None, **made: object) -> Peer:
        """Start a program that speaks the peers' protocol, and let it prepare."""
        gpu = {} if "gpu" in self.slots else {"CUDA_VISIBLE_DEVICES": "-1"}
        log, given = (
            self.folder / f"{module}-{time.monotonic_ns()}.log",
            {**gpu, **(variables or {})},
        )
        program = running("bench.peers.protocol", log, given, f"bench.{module}", pipe=PIPE)
        peer = Peer(self.stack.enter_context(program), log)
        peer.ask("prepare", **made)
        return peer

    def leave_out(self, what: str, library: str, extra: str) -> None:
        """Note that something was left out, and what to install."""
        missing = f"{library} is not installed (pip install 'seqd[{extra}]')"
        self.report.notes.append(f"{what} left out: {missing}")

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Let a parser know the options; one with `nargs` is an argument."""
        for known in fields(cls):
            flag = known.name if "nargs" in known.metadata else f"--{known.name.replace('_', '-')}"
            parser.add_argument(flag, **known.metadata)
