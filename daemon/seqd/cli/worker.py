"""`seqd worker`: one worker on one slot; what `seqd up` starts, and what a container runs."""

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
    # By hand, beside `seqd up`, it joins the embedded server.
    url = redis_url_of(read_settings())
    return run_node(read_settings(slot=slot, worker=name, redis_url=url), parsed, name)
