"""Starts the child that has the plugin, asks it, and ends it when it does not obey.

Ctrl-C during a call asks the call to stop. A call that goes on all the same is ended with its
process, after the child has printed where the plugin stood.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import seqd
from seqd.authoring.messages import (
    REPLY,
    AnyReply,
    AnyRequest,
    Failed,
    Load,
    Loaded,
    Report,
    RunChecks,
)
from seqd.errors import PluginEnded, SeqdError, Stopped, error_of
from seqd.local.child import end_in_words
from seqd.local.parent_death import launch_command
from seqd.local.pinning import slots_here
from seqd.local.slots import parse_slot

#: Seconds that a call may go on after Ctrl-C.
OBEY_S = 2.0

#: Seconds after which it is asked again: a child forgets what comes before it has read its request.
ASK_EVERY_S = 0.1

#: Seconds in which a busy machine has begun to print where a plugin stands that did not obey.
STACK_S = 5.0

#: Why a child is killed whose plugin is loaded anew.
REPLACED = "a file of the plugin has changed"

#: Seconds in which what the child has printed last is read, once it has ended.
_LAST_LINES_S = 1.0

#: What faulthandler prints in front of the calls of one thread.
_STACK = "Stack (most recent call first):"

#: A call as faulthandler prints it: a traceback of Python has a comma behind the line.
_CALL = re.compile(r'\s+File "(?P<path>[^"]+)", line \d+ in ')

_T = TypeVar("_T", bound=AnyReply)


class PluginChild:
    """A child process; it has imported the daemon's code, and not the plugin.

    Used by one thread at a time, but for `kill`, which any may call. The thread that makes it must
    live as long as it is to live.
    """

    def __init__(self, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        """`environment` is that of the slot that the child is pinned to, or other variables.

        Each line that the plugin prints is given to `say`, in a thread of its own.
        """
        child_reads, requests = os.pipe()
        replies, child_writes = os.pipe()
        files = (child_reads, child_writes)
        command = [sys.executable, "-P", "-m", "seqd.authoring.child", *map(str, files)]
        try:
            self._program = subprocess.Popen(  # noqa: S603 (our own command, no shell)
                launch_command(command),
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=files,
                start_new_session=True,  # so Ctrl-C reaches it through `call` alone
            )
        finally:
            for number in files:
                os.close(number)
        self._requests = os.fdopen(requests, "w", encoding="utf-8")
        self._replies: queue.SimpleQueue[AnyReply | None] = queue.SimpleQueue()
        self._say = say
        self._has_printed = False  # since it was asked last
        #: Why it was killed, in words; "" where nobody here did it.
        self._killed_for = ""
        self._stack_begins = threading.Event()
        self._printer = self._start(self._print_lines)
        self._start(lambda: self._read_replies(replies))
        self._start(self._end_the_rest)

    def load(self, order: Load) -> Loaded:
        """Load a plugin; the first thing that is asked. Raises what is wrong with it."""
        return self.ask(order, Loaded)

    def ask(
        self,
        request: AnyRequest,
        kind: type[_T],
        report: Callable[[Report], None] = lambda reply: None,
    ) -> _T:
        """Return the reply that ends a request; `report` gets those before. Raises as `call`."""
        for reply in self.call(request):
            if isinstance(reply, Report):
                report(reply)
            elif isinstance(reply, kind):
                return reply
        raise PluginEnded("the plugin's process gave no answer")

    def call(self, request: AnyRequest) -> Iterator[AnyReply]:
        """Yield the reports and the reply of a request.

        Raises Stopped after Ctrl-C, PluginEnded where the process ended or had to be, and the error
        that the child replies.
        """
        asked = request.model_dump_json() + "\n"
        is_over = self._has_printed = False
        try:
            while not is_over:
                reply = self._next_reply(asked, request)
                asked = ""
                is_over = not isinstance(reply, Report)
                if isinstance(reply, Failed):
                    raise error_of(reply.failure)
                yield reply
        except SeqdError:
            is_over = True
            raise
        finally:
            if not is_over:  # nobody reads on: what comes would answer the next request
                self.kill("the call was left")

    def has_ended(self) -> bool:
        """Return True once the process has ended."""
        return self._program.poll() is not None

    @property
    def has_died(self) -> bool:
        """True once the process has ended, and nobody here has killed it."""
        return self.has_ended() and not self._killed_for

    @property
    def was_replaced(self) -> bool:
        """True once it was killed since the plugin's files had changed."""
        return self._killed_for == REPLACED

    def ended_with(self) -> int:
        """Wait until the process has ended, and return its status, once all it printed is said."""
        status = self._program.wait()
        self._printer.join(_LAST_LINES_S)
        return status

    def kill(self, why: str) -> None:
        """End the process, and whatever it started, at once; what it had printed is shown."""
        if not self.has_ended():
            self._killed_for = self._killed_for or why
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._program.pid, signal.SIGKILL)
        self.ended_with()  # a reply overtakes the lines in front of it, such as a traceback
        with suppress(BrokenPipeError, ValueError):
            self._requests.close()

    def _next_reply(self, asked: str, request: AnyRequest) -> AnyReply:
        """Send what is asked, if anything, and return what is replied next.

        Both in one, so that a Ctrl-C between them asks the call to stop, too.
        """
        try:
            if asked:
                with suppress(BrokenPipeError, ValueError):  # it has ended, which the replies say
                    self._requests.write(asked)
                    self._requests.flush()
            reply = self._replies.get()
        except KeyboardInterrupt as interrupt:
            is_of_sigterm = type(interrupt) is not KeyboardInterrupt
            if is_of_sigterm or isinstance(request, RunChecks):  # the command ends at once
                self.kill("the command was ended")
                raise
            if isinstance(request, Load):
                self.kill("loading was interrupted")
                raise Stopped("Loading was interrupted.") from None
            reply = self._stopped()
        if reply is None:
            raise self._ended()
        return reply

    def _stopped(self) -> AnyReply | None:
        """Ask the call to stop, and return the reply that ends it; None once the process ended."""
        deadline = time.monotonic() + OBEY_S
        try:
            while (left_s := deadline - time.monotonic()) > 0:
                self._send(signal.SIGINT)
                with suppress(queue.Empty):
                    reply = self._replies.get(timeout=min(left_s, ASK_EVERY_S))
                    if not isinstance(reply, Report):
                        return self._after_stop(reply)
        except KeyboardInterrupt:
            pass  # pressed twice: it is not waited for
        self._kill_where_it_stands()
        return None

    def _after_stop(self, reply: AnyReply | None) -> AnyReply | None:
        if isinstance(reply, Failed) and reply.failure.code == Stopped.code:
            raise Stopped("The call was stopped.")
        return reply

    def _kill_where_it_stands(self) -> None:
        self._stack_begins.clear()
        self._send(signal.SIGUSR2)
        deadline = time.monotonic() + STACK_S
        while time.monotonic() < deadline and not self.has_ended():
            if self._stack_begins.wait(0.05):
                break
        time.sleep(0.2)  # it prints where the plugin stands
        self.kill(
            f"it did not stop within {OBEY_S:g} s of Ctrl-C: a plugin asks "
            "context.stop_requested() before each item (S1). Where it stood is printed above"
        )

    def _ended(self) -> PluginEnded:
        status = self.ended_with()
        if self._killed_for:
            return PluginEnded(f"The plugin's process was ended: {self._killed_for}.")
        said = end_in_words(status) if status < 0 else f"ended with {end_in_words(status)}"
        verb = f"was {said}" if status < 0 else said
        printed = "What it printed last is above" if self._has_printed else "It printed nothing"
        return PluginEnded(
            f"The plugin's process {verb} in the middle of a call. {printed}; a worker would lose "
            "its units, too."
        )

    def _end_the_rest(self) -> None:
        """Once the process has ended, end what it started: copies of it hold the replies open."""
        with suppress(ChildProcessError):  # another thread was told of its end before
            os.waitid(os.P_PID, self._program.pid, os.WEXITED | os.WNOWAIT)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._program.pid, signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if not self.has_ended():
            os.kill(self._program.pid, number)

    def _print_lines(self) -> None:
        assert self._program.stdout is not None
        with self._program.stdout as printed:
            for line in printed:
                text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
                if text == _STACK:
                    self._stack_begins.set()
                if not _is_of_ours(text):
                    self._has_printed = True
                    self._say(text)

    def _read_replies(self, number: int) -> None:
        with os.fdopen(number, "rb") as lines:
            for line in lines:
                with suppress(ValueError):  # half a line of a process that was killed
                    self._replies.put(REPLY.validate_json(line))
        self._replies.put(None)

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        return thread


def pinned_to(spec: str) -> dict[str, str]:
    """Return the environment of a slot. Raises InvalidSettings, UnusableSlot and DeviceLost."""
    (slot,) = slots_here(parse_slot(spec).name)
    return slot.environment()


def _is_of_ours(line: str) -> bool:
    """Return True for a call of the daemon's in what faulthandler prints of a process."""
    call = _CALL.match(line)
    if call is None:
        return line.startswith("Extension modules: ")
    return call["path"].startswith(("<frozen ", f"{Path(seqd.__file__).parent}/"))
