"""`seqd worker`: one worker on one slot; what `seqd up` starts, and what a container runs.

With `--alive` it is the probe of such a worker instead, which asks no Redis and no worker: it
reads the file that the worker's child writes.
"""

from pathlib import Path
from typing import Annotated

import typer

from seqd.cli.exits import BAD_CONFIG, tell
from seqd.cli.options import read_settings, warn_of_unknown_variables
from seqd.errors import UserError


def worker(
    slot: Annotated[
        str, typer.Option("--slot", help="Its device share: cpu:0, gpu:0, train@cpu, all@gpu:1.")
    ] = "cpu:0",
    name: Annotated[
        str, typer.Option("--name", help="Its name, new at each start; made where it is missing.")
    ] = "",
    alive: Annotated[
        bool,
        typer.Option("--alive", help="Run none: exit 0 if the one of that --name lives here."),
    ] = False,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C, on the Redis of SEQD_REDIS_URL or of `seqd up`."""
    if alive:
        _tell_whether_alive(name)
        return
    warn_of_unknown_variables()
    try:
        status = _run(slot, name)
    except UserError as error:
        # To whoever restarts workers this status says: do not. An absent Redis may come back.
        told = tell(error)
        status = told if error.retryable else BAD_CONFIG
    raise typer.Exit(status)


def _tell_whether_alive(name: str) -> None:
    from seqd.worker.liveness import liveness_of

    if not name:
        raise typer.BadParameter("--alive needs the --name that the worker was started with.")
    is_alive, said = liveness_of(read_settings(), name)
    typer.echo(said, err=not is_alive)
    raise typer.Exit(0 if is_alive else 1)


def _run(slot: str, name: str) -> int:
    from seqd.local import redis_url_of
    from seqd.local.slots import parse_slot
    from seqd.worker.node import run_node

    parsed = parse_slot(slot)
    settings = read_settings()
    # By hand, beside `seqd up`, it joins the embedded server, which only its own user can reach
    # and name files to.
    roots = settings.input_roots
    if settings.redis_url is None and roots is None:
        roots = (Path("/"),)
    joined = {"slot": slot, "worker": name, "redis_url": redis_url_of(settings)}
    return run_node(read_settings(**joined, input_roots=roots), parsed, name)
