"""`seqd models params`: what `--set` of a model takes, from the schema that its workers publish."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry


def params(
    model: Annotated[
        str,
        typer.Argument(help="A model, such as imdb_lstm.", autocompletion=completion.models),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="Only of this task: classify, generate or train.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Of the plugins of this machine; needs no daemon.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List the parameters of a model by task: name, type, default, what is allowed, what it is."""
    from seqd.cli.ui.params import parameters_of, print_parameters

    entry = _entry(model.partition("@")[0], local=local)
    if task is not None and task not in entry.all_tasks:
        raise InvalidRequest(
            f"--task is {task!r}; allowed for {entry.model}: {', '.join(entry.all_tasks)}"
        )
    tables = {
        name: parameters_of(schema)
        for name, schema in entry.all_tasks.items()
        if task in (None, name)
    }
    if as_json:
        rows = {name: [row.as_json() for row in rows] for name, rows in tables.items()}
        print_json({"model": entry.model, "tasks": rows, "presets": entry.presets})
        return
    print_parameters(Screen(), entry, tables)


def _entry(name: str, *, local: bool) -> "CatalogEntry":
    """Return a model as the fleet, or this machine, describes it. Raises UnknownModel."""
    if local:
        here = options.open_local_models(options.read_settings())
        catalog = here.catalog()
        return catalog[name] if name in catalog else catalog[here.registry.model(name).name]
    from seqd.admission import find_model

    with options.open_client() as client:
        return find_model(name, client.catalog())
