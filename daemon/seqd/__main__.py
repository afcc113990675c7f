"""The `seqd` command, also as `python -m seqd`."""

import gc
import sys

from seqd import __version__

#: Objects made, and not yet freed, after which the collector looks for cycles of them. At Python's
#: own 700 it takes 60 of the 400 ms that a command needs to import its libraries.
_COLLECT_AFTER = 50_000


def main() -> None:
    """Run the command line and exit with its status."""
    if sys.argv[1:] == ["--version"]:
        print(f"seqd {__version__}")  # noqa: T201 (what `seqd.cli.app` prints, without its imports)
        return
    gc.set_threshold(_COLLECT_AFTER)
    from seqd.cli.app import app
    from seqd.cli.exits import run

    sys.exit(run(lambda: app(prog_name="seqd")))


if __name__ == "__main__":
    main()
