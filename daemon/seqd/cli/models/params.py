"""`seqd models params`: what `--set` of a model takes, from the schema that its workers publish."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from seqd.admission import find_model
from seqd.cli import completion, options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.model_tasks import input_of, output_of, parameters_of, print_presets, print_task
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest, RedisUnreachable
from seqd.kinds import TRAIN
from seqd.validation import did_you_mean
from seqd_schemas import CatalogEntry


@shown
def params(
    model: Annotated[
        str,
        typer.Argument(help="A model, such as imdb_lstm.", autocompletion=completion.models),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="Only of this task: classify, generate, train or one of the plugin's own.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    local: options.OfThisMachine = False,
) -> Found:
    """List the parameters of a model by task: name, default, what it is, what is allowed.

    Of a plugin's own task also the fields of its input and of its output.
    """
    with naming_local(f"params {model}"):
        entry = entry_of(model.partition("@")[0], local=local)
    if task is not None and task not in entry.all_tasks:
        raise InvalidRequest(
            f"--task is {task!r}; allowed for {entry.model}: {', '.join(entry.all_tasks)}."
            f"{did_you_mean(task, entry.all_tasks)}".rstrip(".")
        )
    tables = {
        name: parameters_of(schema)
        for name, schema in entry.all_tasks.items()
        if task in (None, name)
    }
    rows = {name: [row.as_json() for row in rows] for name, rows in tables.items()}
    fields = {
        name: {
            "input": [row.as_json() for row in input_of(schema)],
            "output": [row.as_json() for row in output_of(schema)],
        }
        for name, schema in entry.run_tasks.items()
        if name in tables
    }
    found = {"model": entry.model, "tasks": rows, "fields": fields, "presets": entry.presets}

    def view(screen: Screen) -> None:
        for number, name in enumerate(tables):
            if number:
                screen.say()
            print_task(screen, entry, name)
        if TRAIN in tables and entry.presets:
            screen.say()
            print_presets(screen, entry)

    return Found(found, view)


def check_names_no_version(model: str, way_on: str = "") -> None:
    """Raise InvalidRequest for a version, where a model is meant."""
    name, at, _ = model.partition("@")
    if at:
        raise InvalidRequest(f"{model!r} names a version; allowed: a model, such as {name}{way_on}")


def entry_of(name: str, *, local: bool = False) -> CatalogEntry:
    """Return a model as the fleet, or this machine, describes it. Raises UnknownModel."""
    if local:
        here = options.open_local_models(options.read_settings())
        catalog = here.catalog()
        return catalog[name] if name in catalog else catalog[here.registry.model(name).name]

    with options.open_client() as client:
        return find_model(name, client.catalog())


@contextmanager
def naming_local(words: str) -> Iterator[None]:
    """Name `--local` where no Redis answers, of the command `seqd models` with these words."""
    try:
        yield
    except RedisUnreachable as error:
        raise RedisUnreachable(
            f"{error} The models of this machine's own store, without a fleet: seqd models {words} "
            "--local"
        ) from None
