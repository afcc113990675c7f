"""`--sample` and `--task` of `seqd plugins show` and `seqd models show`.

They print a request to begin with: from the catalog, so that no plugin is needed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry

#: The clients that there are samples for.
CLIENTS = ("python", "shell", "inbox")


def _clients(incomplete: str) -> list[str]:
    return [name for name in CLIENTS if name.startswith(incomplete)]


Sample = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="CLIENT",
        help="Print a sample request alone, for python, shell or inbox.",
        autocompletion=_clients,
    ),
]
Task = Annotated[
    str | None,
    typer.Option("--task", help="The task of the sample; without it the first that uses a model."),
]


def print_sample(entries: "Sequence[CatalogEntry]", sample: str | None, task: str | None) -> bool:
    """Print the sample, where one was asked for; return False where none was.

    Raises InvalidRequest for a client or a task that there is not.
    """
    from seqd.validation import did_you_mean

    if sample is None:
        if task is not None:
            raise InvalidRequest("--task is for a sample. Give --sample CLIENT, or leave it away")
        return False
    if sample not in CLIENTS:
        raise InvalidRequest(
            f"--sample is {sample[:40]!r}; allowed: {', '.join(CLIENTS)}."
            f"{did_you_mean(sample, CLIENTS)}".rstrip(".")
        )
    typer.echo(_sample(entries, sample, task), nl=False)
    return True


def _sample(entries: "Sequence[CatalogEntry]", client: str, task: str | None) -> str:
    from seqd.cli.plugins.samples import SAMPLES
    from seqd.kinds import TRAIN
    from seqd.validation import did_you_mean, listed

    able = {
        name: entry
        for entry in reversed(entries)
        for name in sorted(entry.all_tasks, key=lambda name: name == TRAIN)
    }
    wanted = task or next((name for name in able if name != TRAIN), TRAIN)
    if wanted not in able:
        raise InvalidRequest(
            f"--task is {wanted[:40]!r}; allowed: {listed(able)}."
            f"{did_you_mean(wanted, able)}".rstrip(".")
        )
    return SAMPLES[client](able[wanted], wanted)
