"""`seqd train` and `seqd sweep`: train a new version, or one for each combination of values.

Also how a training and a sweep are followed to their end: epochs and samples as they come, then
the version; or each combination, then a table, the best one and a picture.
"""

import time
from pathlib import Path
from socket import gethostname
from typing import Annotated

import typer

from seqd.analysis.plots import NO_FONT, check_plot, draw_sweep
from seqd.analysis.sweeps import SweepReport, report_of, sweep_job_of
from seqd.cli import completion, options, readers
from seqd.cli.exits import MISTAKE, OK
from seqd.cli.handing_in import HandIn
from seqd.cli.job_options import takes_job_options
from seqd.cli.showing import shown
from seqd.cli.sources import data_of, records_here, refuse_of_files
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_json
from seqd.cli.ui.summary import say_training_summary
from seqd.cli.ui.training import SweepView, TrainingView, print_sweep, say_best, say_sweep_headline
from seqd.client import Client, JobHandle, JobOptions
from seqd.errors import InvalidRequest
from seqd.kinds import TRAIN
from seqd.views.jobs import seconds_of
from seqd_schemas import TERMINAL_EVENTS

#: Seconds between two looks at the results that are there, but for progress and the end.
_LOOK_EVERY_S = 1.0

Model = Annotated[
    str,
    typer.Argument(
        help="A plugin's model, such as imdb_lstm, or an existing model, to train it again.",
        autocompletion=completion.models,
    ),
]
NewName = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Name of the model to make, such as topics."),
]
Promote = Annotated[bool, typer.Option("--promote", help="Put the version in service at the end.")]
Data = Annotated[
    str, typer.Option("--data", help="A file or folder, or a data set of the plugin: keras:imdb.")
]
Swept = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=V1,V2,...",
        help="Values to try of a parameter: embedding_dim=8,16,32. Given again for other "
        "parameters, all combinations are tried.",
        autocompletion=completion.parameters,
    ),
]
Fixed = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A parameter that stays as it is.",
        autocompletion=completion.parameters,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="A set of parameters that the plugin has named, such as tutorial.",
        autocompletion=completion.presets,
    ),
]
HeldOut = Annotated[str | None, typer.Option("--held-out", help="File or data set to validate on.")]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric", help="Figure that decides which version is best, such as validation_accuracy."
    ),
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


@takes_job_options()
@shown
def train(
    model: Model,
    data: Data,
    name: NewName = None,
    preset: Preset = None,
    held_out: HeldOut = None,
    param: options.Parameters = None,
    promote: Promote = False,
    label: Annotated[
        list[str] | None,
        typer.Option("--labels", help="Labels to move to the new version, joined by commas."),
    ] = None,
    format_name: options.FormatName = "auto",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    upload: Annotated[
        bool | None,
        typer.Option(
            "--upload/--no-upload",
            help="Send the data, or only name the paths, which workers then read. Without either, "
            "files are sent unless all workers that train are on this machine.",
            show_default=False,
        ),
    ] = None,
    detach: options.Detach = False,
    *,
    screen: Screen,
    given: JobOptions,
) -> None:
    """Train a model from data into a new version in the model store.

    A model's first version goes into service by itself, a later one by --promote or `seqd models
    promote`. Files that are here are sent, unless the workers are on this machine and read them
    themselves.
    """
    fields = {"format": format_name, "text_field": text_field, "label_field": label_field}
    source = data_of(data, **fields)
    validating = None if held_out is None else data_of(held_out, **fields)
    refuse_of_files((source, validating), fields, uploads=upload)
    given["parameters"] = readers.parameters(param)
    screen = screen.on_stderr() if detach else screen
    with options.open_client() as client:
        if upload is None:
            # Unless some workers train, and none of them on another machine.
            hosts = {one.host for one in client.workers() if TRAIN in one.tasks}
            upload = hosts != {gethostname()}

        def send(job_id: str) -> JobHandle:
            given["job_id"] = job_id
            return client.train(
                records_here(source) if upload else source,
                model=model if name is None else name,
                plugin=None if name is None else model,
                preset=preset,
                held_out=records_here(validating) if upload and validating else validating,
                labels=_label_names(label, promote=promote),
                **given,
            )

        hand_in = HandIn(client=client, screen=screen, send=send, job_id=given.get("job_id"))
        if detach:
            hand_in.detached()
            return
        with hand_in.waited_for() as begun:
            follow_training(client, begun.handle, screen)


@takes_job_options()
@shown
def sweep(
    model: Model,
    data: Data,
    swept: Swept,
    name: NewName = None,
    param: Fixed = None,
    preset: Preset = None,
    held_out: HeldOut = None,
    metric: Metric = None,
    promote: Promote = False,
    label: Labels = None,
    plot: Plot = None,
    no_plot: NoPlot = False,
    format_name: options.FormatName = "auto",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    detach: options.Detach = False,
    *,
    screen: Screen,
    given: JobOptions,
) -> None:
    """Train a model for each combination of values, on all slots that train, as one job.

    Ends in a table and a picture of accuracy and time against the value. Exit status 2 when a
    combination could not be trained.
    """
    fields = {"format": format_name, "text_field": text_field, "label_field": label_field}
    if plot is not None and not no_plot:
        # Before hours of training, not after them.
        check_plot(plot)
    given["parameters"], grid = readers.parameters(param), readers.grid(swept)
    source = data_of(data, **fields)
    validating = None if held_out is None else data_of(held_out, **fields)
    refuse_of_files((source, validating), fields)
    screen = screen.on_stderr() if detach else screen
    with options.open_client() as client:

        def send(job_id: str) -> JobHandle:
            given["job_id"] = job_id
            return client.sweep(
                source,
                model=model if name is None else name,
                plugin=None if name is None else model,
                grid=grid,
                preset=preset,
                held_out=validating,
                metric=metric,
                labels=_label_names(label, promote=promote),
                **given,
            )

        hand_in = HandIn(client=client, screen=screen, send=send, job_id=given.get("job_id"))
        if detach:
            hand_in.detached()
            return
        with hand_in.waited_for() as begun:
            draws = not no_plot and (plot is not None or not screen.is_beside_json)
            status = _follow_and_draw(client, begun.handle, screen, plot, draws=draws)
    raise typer.Exit(status)


def follow_training(
    client: Client,
    handle: JobHandle,
    screen: Screen,
    *,
    says_what_next: bool = True,
) -> None:
    """Show a training to its end; raises JobFailed, JobCancelled, and what the input raised."""
    with TrainingView(screen, handle.record()) as view:
        for event in handle.events():
            view.show(event)
    record = handle.wait()
    assert record.training is not None, "the ledger completes a training with its version only"
    if screen.is_beside_json:
        print_json(record.training)
    else:
        say_training_summary(
            screen, record.training, client.catalog().get(record.model), says_what_next
        )


def follow_sweep(
    client: Client,
    handle: JobHandle,
    screen: Screen,
    *,
    plot: Path | None = None,
) -> int:
    """Show a sweep to its end and what it came to; return the exit status.

    Raises JobFailed, JobCancelled and JobExpired, after showing what was trained by then.
    """
    _show_sweep(handle, screen)
    record = handle.record()
    report = report_of(sweep_job_of(record), handle.results_by_now().values())
    if not screen.is_beside_json:
        print_sweep(screen, report)
        say_sweep_headline(screen, report, seconds_of(record))
        entry = client.catalog().get(record.model)
        say_best(screen, report, record, None if entry is None else entry.labels.get("production"))
    has_picture = plot is not None and draw(screen, report, plot)
    handle.wait()
    if screen.is_beside_json:
        picture = str(plot) if has_picture else None
        print_json({"job": record, **report.as_json(), "plot": picture})
    elif report.failed:
        screen.say(f"The failed ones once more: seqd jobs retry {record.job_id}")
    return MISTAKE if report.failed else OK


def draw(screen: Screen, report: SweepReport, plot: Path) -> bool:
    """Draw a sweep; return False, and say so, where no version has a figure to draw."""
    if not report.trained or report.figure is None:
        screen.say(f"There is nothing to draw, so {plot} is not written.", "yellow")
        return False
    if draw_sweep(report, plot).lacks_characters:
        screen.say(NO_FONT, "yellow")
    screen.say(f"{plot}: {report.figure.replace('_', ' ')} and time as a picture")
    return True


def _label_names(typed: list[str] | None, *, promote: bool) -> list[str]:
    names = [name.strip() for joined in typed or [] for name in joined.split(",")]
    return list(dict.fromkeys([*names, *(["production"] if promote else [])]))


def _follow_and_draw(
    client: Client, handle: JobHandle, screen: Screen, plot: Path | None, *, draws: bool
) -> int:
    picture = (plot or _default_picture(handle.job_id)) if draws else None
    status = follow_sweep(client, handle, screen, plot=picture)
    if draws and picture is None:
        typer.echo(
            f"No picture: pip install 'seqd[plots]', then seqd jobs plot {handle.job_id}", err=True
        )
    return status


def _default_picture(job_id: str) -> Path | None:
    """Return where the picture of a sweep goes; None where none can be drawn."""
    path = Path(f"sweep-{job_id}.png")
    try:
        check_plot(path)
    except InvalidRequest:
        return None
    return path


def _show_sweep(handle: JobHandle, screen: Screen) -> None:
    with SweepView(screen, handle.record()) as view:
        last_look_s = 0.0
        for event in handle.events():
            view.show(event)
            has_result = event.event == "progress" or event.event in TERMINAL_EVENTS
            if has_result or time.monotonic() - last_look_s >= _LOOK_EVERY_S:
                last_look_s = time.monotonic()
                view.add_results(handle.results_by_now())
