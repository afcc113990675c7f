"""`seqd schema`: the wire format as JSON Schema files, for readers in other languages."""

from pathlib import Path
from typing import Annotated

import typer

from seqd.errors import InvalidRequest


def schema(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write to; made where it is missing.")
    ],
) -> None:
    """Write the JSON Schemas of all records that services and workers exchange."""
    from seqd_schemas import write_json_schemas

    try:
        paths = write_json_schemas(out)
    except OSError as error:
        raise InvalidRequest(
            f"--out is {str(out)!r}, where no schema can be written ({error.strerror}). Name a "
            "folder, or one to be made, that is yours"
        ) from error
    typer.echo(f"{len(paths)} schemas in {out}")
