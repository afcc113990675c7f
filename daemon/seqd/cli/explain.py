"""`seqd explain`: why a job, or an item of it, stands where it does, and what happens next."""

from typing import Annotated

import typer

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.explanation import print_explanation


@shown
def explain(
    job: options.JobIdArgument,
    item: Annotated[
        str | None,
        typer.Option(
            "--item",
            metavar="ID",
            help="Also where this item stands: its custom_id, or row-1, row-2 … by its position.",
        ),
    ] = None,
) -> Found:
    """Explain a job: its units, what it waits for and why, its attempts, and what happens next.

    Exit status 2 for a job that nobody knows, or that is removed meanwhile.
    """
    with options.open_client() as client:
        found = client.explain(job, item)
    return Found(found.as_json(), lambda screen: print_explanation(screen, found))
