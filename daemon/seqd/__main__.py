"""The `seqd` command, also as `python -m seqd`."""

import gc
import sys

#: Objects made, and not yet freed, after which the collector looks for rings of them. At Python's
#: own 700 it takes 60 of the 400 ms that a command needs to import its libraries.
_COLLECT_AFTER = 50_000


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(_COLLECT_AFTER)
    from seqd.cli.app import app
    from seqd.cli.exits import run

    sys.exit(run(lambda: app(prog_name="seqd")))


if __name__ == "__main__":
    main()
