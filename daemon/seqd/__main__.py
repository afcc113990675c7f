"""The `seqd` command, also as `python -m seqd`."""

import gc
import os
import sys
from contextlib import suppress


def _leave_the_working_folder() -> None:
    """Undo that `python -m` has put the working folder first on the path.

    There a `celery.py` would run inside the daemon, and any folder `seqd`, such as one that holds a
    clone, would stand for this package.
    """
    if sys.path and _is_working_folder(sys.path[0]):
        del sys.path[0]
    folder = os.path.dirname(__file__)  # noqa: PTH120 (pathlib takes 10 ms to import)
    if list(sys.modules["seqd"].__path__) != [folder]:
        del sys.modules["seqd"]  # another one, which runpy has imported as our parent


def _is_working_folder(path: str) -> bool:
    try:
        return os.path.samefile(path, os.curdir)  # noqa: PTH121
    except OSError:
        return False  # one of them is gone


if __name__ == "__main__" and not sys.flags.safe_path:
    _leave_the_working_folder()

#: Objects made, and not yet freed, after which the collector looks for cycles of them: more than a
#: command makes by its imports. At 50,000 it takes 40 of the 560 ms of a processor that `seqd
#: classify --text` needs, at Python's own 700 another 60.
_COLLECT_AFTER = 200_000

#: The exit status for Ctrl-C; `seqd.cli.exits` has it, too, and takes long to import.
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its status; at Ctrl-C without a word, from here on."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _run() -> None:
    from seqd.standard_output import take_standard_output  # here, as all: Ctrl-C may come meanwhile

    take_standard_output()
    if sys.argv[1:] == ["--version"]:
        _print_version()
    if sys.argv[1:2] == ["probe"]:
        _answer_probe()
    gc.set_threshold(_COLLECT_AFTER)
    from seqd.cli.exits import escape_stderr, run, send_lost_interrupts_again

    send_lost_interrupts_again()
    from seqd.cli.app import app

    if "_SEQD_COMPLETE" in os.environ:
        from seqd.cli.completion import answer

        # Not by `sys.exit`, which waits for what has not answered in time.
        os._exit(answer(lambda: app(prog_name="seqd"), os.environ))
    escape_stderr()
    sys.exit(run(lambda: app(prog_name="seqd")))


def _print_version() -> None:
    """Print what `seqd.cli.app` does, without its imports, and exit."""
    from seqd import __version__
    from seqd.errors import SeqdError

    try:
        print(f"seqd {__version__}", flush=True)  # noqa: T201
    except SeqdError as error:
        from seqd.cli.exits import print_error

        sys.exit(print_error(error))
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(0)


def _answer_probe() -> None:
    """Answer a probe that needs no library, and exit; return for any other."""
    from seqd.escaping import printable
    from seqd.local.probes import quick_answer

    answer = quick_answer(sys.argv[2:], os.environ)
    if answer is None:
        return
    with suppress(Exception):  # the status is the answer, also where nobody takes the sentence
        print(
            printable(answer.sentence), file=sys.stdout if answer.is_yes else sys.stderr, flush=True
        )
    sys.exit(0 if answer.is_yes else 1)


if __name__ == "__main__":
    main()
