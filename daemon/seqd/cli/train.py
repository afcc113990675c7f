"""`seqd train`: trains a new version of a model, with its epochs and samples shown live."""

from typing import Annotated

import typer

from seqd.cli import options


def train(
    model: Annotated[str, typer.Argument(help="The model to train, such as imdb_lstm.")],
    data: Annotated[
        str,
        typer.Option("--data", help="A file or folder, or a data set of the plugin: keras:imdb."),
    ],
    preset: Annotated[
        str | None, typer.Option("--preset", help="Named parameters, such as tutorial.")
    ] = None,
    held_out: Annotated[
        str | None, typer.Option("--held-out", help="File or data set to validate on.")
    ] = None,
    param: options.Parameters = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--labels", help="Labels to move to the new version, joined by commas: production."
        ),
    ] = None,
    format_name: options.FormatName = "auto",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    upload: Annotated[
        bool, typer.Option("--upload", help="Send the data, when workers cannot read the file.")
    ] = False,
    expires_in: options.ExpiresIn = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
) -> None:
    """Train a model from data into a new version in the model store.

    The worker reads the file itself; --upload sends it, to a daemon on another machine.
    """
    from seqd.cli.detaching import leave_running
    from seqd.cli.following import cancelling, say_if_nobody_is_there
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sources import data_of, records_of
    from seqd.cli.trainings import see_training_through
    from seqd_schemas import FileSource

    fields = {"format": format_name, "text_field": text_field, "label_field": label_field}
    source = data_of(data, **fields)
    parameters = options.read_parameters(param or [])
    seconds = options.read_expires_in(expires_in)
    screen = Screen(to_stderr=as_json or detach)
    with options.open_client() as client:
        handle = client.train(
            records_of(source) if upload and isinstance(source, FileSource) else source,
            model=model,
            preset=preset,
            parameters=parameters,
            held_out=None if held_out is None else data_of(held_out, **fields),
            expires_in_s=seconds,
            labels=[name.strip() for given in label or [] for name in given.split(",")],
        )
        if detach:
            leave_running(handle, screen, as_json=as_json)
            return
        with cancelling(handle, screen):
            say_if_nobody_is_there(client, handle, screen)
            see_training_through(client, handle, screen, as_json=as_json)
