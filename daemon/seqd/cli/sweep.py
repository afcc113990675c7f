"""`seqd sweep`: trains a model once for each value of a parameter, and compares what came of it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.cli.exits import OK
from seqd.errors import InvalidParameters, InvalidRequest

if TYPE_CHECKING:
    from seqd.client import Client, JobHandle
    from seqd_schemas import ParameterValue


Data = Annotated[
    str, typer.Option("--data", help="A file or folder, or a data set of the plugin: keras:imdb.")
]
Swept = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=V1,V2,...",
        help="Values to try of a parameter: embedding_dim=8,16,32. Given again for another "
        "parameter, each value goes with each.",
    ),
]
Fixed = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="A parameter that stays as it is."),
]
Preset = Annotated[str | None, typer.Option("--preset", help="Named parameters, such as tutorial.")]
HeldOut = Annotated[str | None, typer.Option("--held-out", help="File or data set to validate on.")]
Metric = Annotated[
    str | None,
    typer.Option("--metric", help="Figure that says which is best; validation_accuracy, say."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", help="Labels to move to the best version, joined by commas."),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="File for the picture (PNG). Else sweep-JOB.png, here."),
]
NoPlot = Annotated[bool, typer.Option("--no-plot", help="Draw no picture.")]


def sweep(
    model: Annotated[str, typer.Argument(help="The model to train, such as imdb_lstm.")],
    data: Data,
    swept: Swept,
    param: Fixed = None,
    preset: Preset = None,
    held_out: HeldOut = None,
    metric: Metric = None,
    label: Labels = None,
    plot: Plot = None,
    no_plot: NoPlot = False,
    format_name: options.FormatName = "auto",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    expires_in: options.ExpiresIn = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
) -> None:
    """Train a model for each combination of values, on all slots that train, as one job.

    Ends in a table and a picture of accuracy and time against the value. Exit status 2 when a
    combination could not be trained.
    """
    from seqd.cli.sources import data_of

    fields = {"format": format_name, "text_field": text_field, "label_field": label_field}
    if plot is not None and not no_plot:
        # Before hours of training, not after them.
        _check_plot(plot)
    with options.open_client() as client:
        handle = client.sweep(
            data_of(data, **fields),
            model=model,
            grid=read_grid(swept),
            parameters=options.read_parameters(param or []),
            preset=preset,
            held_out=None if held_out is None else data_of(held_out, **fields),
            metric=metric,
            labels=[name.strip() for given in label or [] for name in given.split(",")],
            expires_in_s=options.read_expires_in(expires_in),
        )
        picture = None if no_plot else plot or _default_picture(handle.job_id, wanted=not as_json)
        status = _see_through(client, handle, picture, as_json=as_json, detach=detach)
        if picture is None and not (no_plot or as_json or detach):
            typer.echo(
                f"No picture: pip install 'seqd[plots]', then seqd jobs plot {handle.job_id}",
                err=True,
            )
    raise typer.Exit(status)


def _see_through(
    client: "Client", handle: "JobHandle", picture: Path | None, *, as_json: bool, detach: bool
) -> int:
    from seqd.cli.detaching import leave_running
    from seqd.cli.following import cancelling, say_if_nobody_is_there
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sweeps import see_sweep_through

    screen = Screen(to_stderr=as_json or detach)
    if detach:
        leave_running(handle, screen, as_json=as_json)
        return OK
    with cancelling(handle, screen):
        say_if_nobody_is_there(client, handle, screen)
        return see_sweep_through(handle, screen, plot=picture, as_json=as_json)


def read_grid(pairs: Iterable[str]) -> "dict[str, list[ParameterValue]]":
    """Read `NAME=V1,V2,...`. Values are JSON (8, 0.2, true, [64,32]), or else texts.

    Raises InvalidParameters for a pair without `=` or values, a name given twice, and an object.
    """
    grid: dict[str, list[ParameterValue]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name or not text:
            raise InvalidParameters(
                f"{pair!r} is no list of values; allowed: NAME=V1,V2, such as embedding_dim=8,16,32"
            )
        if name in grid:
            raise InvalidParameters(
                f"parameter {name!r} is given twice; give all its values together, as {name}=V1,V2"
            )
        grid[name] = _values(name, text)
    return grid


def _values(name: str, text: str) -> "list[ParameterValue]":
    try:
        values = json.loads(f"[{text}]")
    except ValueError:
        values = [options.read_value(name, part) for part in text.split(",")]
    if any(isinstance(value, dict) for value in values):
        raise InvalidParameters(
            f"parameter {name!r} has an object among its values; allowed: numbers, texts, true, "
            "false, null, and lists of these"
        )
    return list(values)


def _check_plot(path: Path) -> None:
    from seqd.plots.canvas import check_plot

    check_plot(path)


def _default_picture(job_id: str, *, wanted: bool) -> Path | None:
    """Name the picture of a sweep; None where it is not wanted, or cannot be drawn."""
    path = Path(f"sweep-{job_id}.png")
    try:
        _check_plot(path)
    except InvalidRequest:
        return None
    return path if wanted else None
