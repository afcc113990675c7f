"""`seqd demo`: the main job on this machine, in under a minute, with nothing to prepare."""

import typer


def demo() -> None:
    """Show the main job: bulk classification, training, generation. Takes under a minute.

    In a folder of its own that is removed at the end.

    A Redis that SEQD_REDIS_URL names is used under key names of its own.
    """
    from seqd.cli.demo.script import run_demo

    raise typer.Exit(run_demo())
