"""`--task`, `--schema` and `--sample` of `seqd plugins show` and `seqd models show`.

They print what a program needs to call a model: from the catalog, so that no plugin is needed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry

#: The clients that there are samples for.
CLIENTS = ("python", "shell", "inbox")

#: What `--sample` is without a value.
_ALL = "all"
_ALLOWED = (*CLIENTS, _ALL)


class ShowCommand(TyperCommand):
    """A command of which `--sample` may stand without a value, which typer has no option for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a `--sample` at the end or before an option is one for all."""
        if ctx.resilient_parsing:  # a shell completes: what is last is still being typed
            return super().parse_args(ctx, args)
        given: list[str] = []
        for arg, behind in zip(args, [*args[1:], "-"], strict=True):
            given.append(arg)
            if arg == "--sample" and behind.startswith("-"):
                given.append(_ALL)
        return super().parse_args(ctx, given)


def _clients(incomplete: str) -> list[str]:
    return [name for name in _ALLOWED if name.startswith(incomplete)]


Schemas = Annotated[
    bool, typer.Option("--schema", help="Print the JSON Schemas of its tasks alone.")
]
Sample = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="CLIENT",
        help="Print a sample request alone, for python, shell or inbox; without CLIENT for each.",
        autocompletion=_clients,
    ),
]
Task = Annotated[
    str | None,
    typer.Option("--task", help="The task of the sample; without it the first that uses a model."),
]


def print_for_programs(
    entries: "Sequence[CatalogEntry]", *, schemas: bool, sample: str | None, task: str | None
) -> bool:
    """Print the schemas or the sample, where one was asked for; return False where none was.

    Raises InvalidRequest for a client or a task that there is not.
    """
    _check(sample, task, schemas=schemas)
    if sample is not None:
        typer.echo(_sample(entries, sample, task), nl=False)
    elif schemas:
        from seqd.cli.ui.model_tasks import schemas_of
        from seqd.cli.ui.stdout import print_json

        print_json(schemas_of(entries))
    return schemas or sample is not None


def _check(sample: str | None, task: str | None, *, schemas: bool) -> None:
    from seqd.validation import did_you_mean

    if sample is not None and sample not in _ALLOWED:
        raise InvalidRequest(
            f"--sample is {sample[:40]!r}; allowed: {', '.join(_ALLOWED)}."
            f"{did_you_mean(sample, _ALLOWED)}".rstrip(".")
        )
    if sample is not None and schemas:
        raise InvalidRequest("--sample and --schema print one thing each. Leave one of them away")
    if task is not None and sample is None:
        raise InvalidRequest("--task is for a sample. Give --sample CLIENT, or leave it away")


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
    entry = able[wanted]
    if client != _ALL:
        return SAMPLES[client](entry, wanted)
    return "\n".join(f"# {name}\n{sample(entry, wanted)}" for name, sample in SAMPLES.items())
