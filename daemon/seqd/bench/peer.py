"""A peer from the bench's side: a program that is started, asked and ended.

Programs of ours that load the daemon speak the same protocol, so that both sides are processes
alike. Each has a session of its own: a Ctrl-C reaches the bench alone, which then ends them.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from seqd.errors import SeqdError
from seqd.supervisor import launch_command
from seqd.supervisor.logs import last_lines

#: Importing TensorFlow and padding 25,000 reviews takes 20 s on a busy core.
ANSWER_S = 900.0

_END_S = 10.0
_LOG_LINES = 8


class Peer:
    """A running program of `seqd.bench.peers`, or another one that speaks their protocol."""

    def __init__(self, module: str, folder: Path, environment: Mapping[str, str]) -> None:
        """Start `python -m MODULE`; its log goes into `folder`. Use it as a context manager."""
        self._name = module.rpartition(".")[2]
        self._log = folder / f"{self._name}-{time.monotonic_ns()}.log"
        self._received = b""
        command = [sys.executable, "-m", module]
        with self._log.open("wb") as log:
            self._program = subprocess.Popen(  # noqa: S603 (a module of ours, no shell)
                launch_command(command, signal.SIGTERM),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(environment),
                start_new_session=True,
                bufsize=0,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._program.pid

    def ask(self, do: str, **arguments: object) -> Mapping[str, Any]:
        """Ask, and wait for the answer. Raises SeqdError when it fails.

        Raises ModuleNotFoundError, which names it, when the peer lacks a library.
        """
        self.begin(do, **arguments)
        return self.answer()

    def begin(self, do: str, **arguments: object) -> None:
        """Ask without waiting, so that several can work at once."""
        assert self._program.stdin is not None
        try:
            self._program.stdin.write((json.dumps({"do": do, **arguments}) + "\n").encode())
        except BrokenPipeError:
            raise self._failure("ended before it was asked") from None

    def answer(self, timeout_s: float = ANSWER_S) -> Mapping[str, Any]:
        """Wait for the answer to the oldest question. Raises as `ask`."""
        deadline = time.monotonic() + timeout_s
        assert self._program.stdout is not None
        pipe = self._program.stdout.fileno()
        while b"\n" not in self._received:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([pipe], [], [], left_s)[0]:
                raise self._failure(f"gave no answer within {timeout_s:g} s")
            part = os.read(pipe, 1 << 16)
            if not part:
                raise self._failure("ended without an answer")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        answer: Mapping[str, Any] = json.loads(line)
        if "missing_library" in answer:
            library = str(answer["missing_library"])
            raise ModuleNotFoundError(f"{self._name} needs {library}", name=library)
        return answer

    def close(self) -> None:
        """End the program, and wait for its end."""
        end_program(self._program, _END_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _failure(self, what: str) -> SeqdError:
        tail = "\n".join(last_lines(self._log, _LOG_LINES))
        return SeqdError(f"The bench's program {self._name} {what}. Its log ends with:\n{tail}")


def end_program(program: "subprocess.Popen[bytes]", patience_s: float) -> None:
    """Ask a program of ours to end, wait, and kill it when it does not."""
    for pipe in (program.stdin, program.stdout):
        if pipe is not None:
            pipe.close()
    program.terminate()
    try:
        program.wait(patience_s)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
