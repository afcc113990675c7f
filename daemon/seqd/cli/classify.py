"""`seqd classify`: a file's texts, or some on the command line, each to its label."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from seqd.cli import completion, options, readers
from seqd.cli.bulk import Result, print_line
from seqd.cli.job_options import TypedItems, takes_job_options
from seqd.cli.label_map import read_label_map
from seqd.cli.output_options import OutputOptions, columns_asked, takes_output_options
from seqd.cli.showing import shown
from seqd.cli.sources import Feed, refuse_text_as_file
from seqd.cli.submitting import Submission
from seqd.cli.ui.screen import Screen, data_goes_to_a_terminal
from seqd.client import Client, JobHandle
from seqd.client.requests import ClassifyOptions
from seqd.errors import InvalidRequest
from seqd_schemas import FileSource

_Texts = Annotated[
    list[str] | None, typer.Option("--text", help="A text, in place of a file; repeatable.")
]
_Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A model, name@3 (a version) or name@label.",
        autocompletion=completion.models,
    ),
]
_Probabilities = Annotated[
    bool | None,
    typer.Option("--probabilities", help="Give the probability of each class as well."),
]


_Engine = Annotated[
    str | None,
    readers.typed(
        "--engine",
        by=readers.one_of("ray"),
        help="What computes a file into --output-folder: ray, a cluster of Ray, in place of a "
        "daemon.",
    ),
]
_Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="The head of the cluster of --engine ray. Without it, that of RAY_ADDRESS, or a "
        "cluster of this machine alone.",
    ),
]


@dataclass(frozen=True, slots=True)
class _Typed(TypedItems):
    """What was typed, by the names in `ClassifyOptions`."""

    min_score: Annotated[
        float | None,
        readers.typed(
            "--min-score",
            by=readers.number(0, 1, "a number from 0 to 1, such as 0.8", "SCORE"),
            help="Mark results with a lower score as uncertain: 0.8. They keep label and score.",
        ),
    ] = None
    label_map: Annotated[
        list[str] | None,
        typer.Option(
            "--map-label",
            metavar="LABEL=NAME",
            help="A name that results have for a label of the model: neg=negative. May be given "
            "again. Labels with the same name become one, with the sum of their probabilities.",
        ),
    ] = None

    def read(self) -> dict[str, object]:
        """Return those that are given. Raises InvalidRequest for what is no pair."""
        names = read_label_map(self.label_map, "LABEL=NAME")
        return {**TypedItems.read(self), "label_map": names}


@takes_job_options(_Typed)
@takes_output_options
@shown
def classify(
    file: options.Items = None,
    text: _Texts = None,
    model: _Model = "imdb_lstm",
    format_name: options.InputFormatName = "auto",
    id_field: options.IdField = "custom_id",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    param: options.Parameters = None,
    probabilities: _Probabilities = None,
    detach: options.Detach = False,
    engine: _Engine = None,
    address: _Address = None,
    *,
    screen: Screen,
    given: ClassifyOptions,
    output: OutputOptions,
) -> None:
    """Classify each text of a file. Prints the accuracy as well where the file has labels.

    Not so with --output-folder. Results keep the input's order. Exit status 2 when an item got an
    error instead.
    """
    parameters = readers.parameters(param, {"probabilities": probabilities})
    given["parameters"] = parameters
    refuse_text_as_file(file)
    if detach and label_field != "label":
        raise InvalidRequest(
            f"--label-field is {label_field!r}, and a command that does not wait (--no-wait) "
            "compares no results with labels. Leave it out"
        )

    def send(client: Client, feed: Feed | FileSource) -> JobHandle:
        return client.classify(feed, model=model, **given)

    fields = {"format": format_name, "id_field": id_field, "text_field": text_field}
    output = output.for_command(waits=not detach)
    if engine is not None:
        if detach:
            raise InvalidRequest("--engine ray runs until it ends: leave --no-wait out")
        from seqd.cli.on_ray import classify_on_ray

        status = classify_on_ray(
            *(file, text or [], model, fields),
            address=address,
            given=given,
            output=output,
            screen=screen,
        )
        raise typer.Exit(status)
    if address is not None:
        raise InvalidRequest("--address is of a cluster of Ray: give --engine ray with it")
    submission = Submission(
        kind="classify",
        file=file,
        texts=text or [],
        fields=fields,
        output=output,
        screen=screen,
        detach=detach,
        given=given,
        send=send,
        printer=lambda feed: _printer(text, screen),
        label_field=None if detach else label_field,
        more_columns=columns_asked(parameters, given.get("min_score")),
    )
    raise typer.Exit(submission.run())


def _printer(texts: list[str] | None, screen: Screen) -> Callable[[Result], None]:
    """Return what prints a result: words for a person who typed texts, else lines of JSON."""
    if texts and not screen.is_beside_json and data_goes_to_a_terminal():
        from seqd.cli.ui.texts import LabelPrinter

        return LabelPrinter(texts).show
    return print_line
