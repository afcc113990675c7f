"""`seqd worker`: one worker on one slot; what `seqd up` starts, and what a container runs."""

from pathlib import Path
from typing import Annotated

import typer

from seqd.cli.exits import BAD_CONFIG, tell
from seqd.cli.options import read_settings
from seqd.errors import UserError


def worker(
    slot: Annotated[
        str, typer.Option("--slot", help="Its device share: cpu:0, gpu:0, train@cpu, all@gpu:1.")
    ] = "cpu:0",
    name: Annotated[
        str, typer.Option("--name", help="Its name, new at each start; made where it is missing.")
    ] = "",
) -> None:
    """Run one worker until SIGTERM or Ctrl-C, on the Redis of SEQD_REDIS_URL or of `seqd up`."""
    try:
        status = _run(slot, name)
    except UserError as error:
        # To whoever restarts workers this status says: do not. An absent Redis may come back.
        told = tell(error)
        status = told if error.retryable else BAD_CONFIG
    raise typer.Exit(status)


def _run(slot: str, name: str) -> int:
    from seqd.server import redis_url_of
    from seqd.slots import parse_slot
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
