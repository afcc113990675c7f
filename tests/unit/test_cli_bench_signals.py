"""A signal ends a bench also when it comes at a moment in which Python would lose it."""

import os
import signal
import sys
import time

import pytest

from seqd.cli.bench import _ended_by_sigterm


class SignalledWhileItGoes:
    """An object in whose destructor a signal arrives: what its handler raises is ignored there."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)  # the handler runs here


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_that_comes_in_a_destructor_still_ends_a_bench(
    number: signal.Signals, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), _ended_by_sigterm():
        doomed = SignalledWhileItGoes(number)
        del doomed
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            time.sleep(0.01)


def test_handlers_and_hook_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM), sys.unraisablehook

    with _ended_by_sigterm():
        assert signal.getsignal(signal.SIGTERM) != before[0]

    after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM), sys.unraisablehook
    assert after == before
