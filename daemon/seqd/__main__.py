"""The `seqd` command, also as `python -m seqd`."""

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from seqd.cli.app import app
    from seqd.cli.exits import run

    sys.exit(run(lambda: app(prog_name="seqd")))


if __name__ == "__main__":
    main()
