"""`seqd schema`: the wire format, and a model's tasks, as JSON Schemas for other languages."""

import json
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import completion
from seqd.cli.models.params import entry_of
from seqd.errors import InvalidRequest
from seqd_schemas import CatalogEntry, task_schemas, write_json_schemas, write_task_schemas


def schema(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder to write to; made where it is missing."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="A model whose tasks' schemas to write, or to print without --out.",
            autocompletion=completion.models,
        ),
    ] = None,
) -> None:
    """Write the JSON Schemas of all records that services and workers exchange.

    With --model those of what it can do: parameters, input and output of each task, and a line of
    its results.
    """
    entry = None if model is None else entry_of(model.partition("@")[0])
    if out is None:
        if entry is None:
            raise InvalidRequest(
                "--out is missing, the folder to write the schemas to. Name one, or a model: "
                "--model NAME prints the schemas of its tasks"
            )
        typer.echo(_as_json(entry), nl=False)
        return
    try:
        paths = write_json_schemas(out) if entry is None else write_task_schemas(entry, out)
    except OSError as error:
        raise InvalidRequest(
            f"--out is {str(out)!r}, where no schema can be written ({error.strerror}). Name a "
            "folder, or one to be made, that is yours"
        ) from error
    typer.echo(f"{len(paths)} schemas in {out}")


def _as_json(entry: CatalogEntry) -> str:
    """Return the schemas as one JSON object, by their names."""
    schemas = {name: json.loads(text) for name, text in task_schemas(entry).items()}
    return json.dumps(schemas, indent=2) + "\n"
