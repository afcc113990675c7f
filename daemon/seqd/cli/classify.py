"""`seqd classify`: a file's texts, or some on the command line, each to its label."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.exits import OK
from seqd.cli.job_options import takes_job_options
from seqd.cli.label_map import NewLabelPairs, read_label_map
from seqd.cli.output_options import (
    OutputOptions,
    columns_asked,
    opened_output,
    takes_output_options,
)
from seqd.cli.ui.screen import Screen, data_goes_to_a_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqd.cli.bulk import Result
    from seqd.cli.result_files import ResultFiles
    from seqd.cli.sources import Feed
    from seqd.client import Client, JobHandle, JobOptions


@takes_job_options()
@takes_output_options()
def classify(
    file: Annotated[
        str | None,
        typer.Argument(
            help="JSONL, CSV, TSV or text file, each also as .gz or .zst, a Parquet file or a "
            "folder; - is stdin."
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="A text, in place of a file; repeatable.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="A model, name@3 (a version) or name@label.",
            autocompletion=completion.models,
        ),
    ] = "imdb_lstm",
    format_name: options.InputFormatName = "auto",
    id_field: options.IdField = "custom_id",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    param: options.Parameters = None,
    probabilities: Annotated[
        bool | None,
        typer.Option("--probabilities", help="Give the probability of each class as well."),
    ] = None,
    min_score: options.MinScore = None,
    map_label: NewLabelPairs = None,
    expected_items: options.ExpectedItems = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
    *,
    given: "JobOptions",
    output: OutputOptions,
) -> None:
    """Classify each text of a file. Prints the accuracy as well where the file has labels.

    Results keep the input's order. Exit status 2 when an item got an error instead.
    """
    parameters = options.named_parameters(param, {"probabilities": probabilities})
    given["parameters"] = parameters
    request = _Request(
        file=file,
        texts=text or [],
        fields={"format": format_name, "id_field": id_field, "text_field": text_field},
        label_field=None if detach else label_field,
        model=model,
        expected_items=options.read_expected_items(expected_items),
        options=given,
        min_score=options.read_share("--min-score", min_score),
        label_map=read_label_map(map_label or [], "LABEL=NAME"),
        more_columns=columns_asked(parameters, min_score),
        as_json=as_json,
        detach=detach,
    )
    _run(request, output.for_command(waits=not detach))


@dataclass(frozen=True, slots=True)
class _Request:
    """What the options ask for."""

    file: str | None
    texts: list[str]
    fields: dict[str, str]
    label_field: str | None
    model: str
    expected_items: int | None
    options: "JobOptions"
    min_score: float | None
    label_map: dict[str, str]
    more_columns: tuple[str, ...]
    as_json: bool
    detach: bool


def _run(request: _Request, output: OutputOptions) -> None:
    from seqd.cli.sources import feed_of, refuse_text_as_file

    refuse_text_as_file(request.file)
    with (
        feed_of(
            request.file,
            request.texts,
            request.fields,
            label_field=request.label_field,
            is_read_twice=output.reads_input("classify"),
        ) as feed,
        opened_output(
            output,
            "classify",
            feed=feed,
            source=request.file,
            more_columns=request.more_columns,
        ) as files,
        options.open_client() as client,
    ):
        status = _classify(request, output, feed, files, client)
    raise typer.Exit(status)


def _classify(
    request: _Request,
    output: OutputOptions,
    feed: "Feed",
    files: "ResultFiles | None",
    client: "Client",
) -> int:
    """Hand the job in and write its results; return the exit status."""
    from seqd.cli.bulk import Output, follow_bulk_job
    from seqd.cli.following import detach_from, waiting_for
    from seqd.cli.resuming import begin
    from seqd.cli.ui.summary import ResultCounts
    from seqd.ledger.submissions import new_job_id

    given, as_json = request.options, request.as_json
    screen = Screen(to_stderr=output.goes_to_stdout or as_json or request.detach)

    def send(job_id: str) -> "JobHandle":
        given["job_id"] = job_id
        return client.classify(
            feed,
            model=request.model,
            expected_items=request.expected_items,
            min_score=request.min_score,
            label_map=request.label_map,
            **given,
        )

    if request.detach:
        detach_from(client, send(given.get("job_id") or new_job_id()), screen, as_json=as_json)
        return OK
    to = Output(files, _printer(request.texts, as_json=as_json), as_json)
    with (
        begin(client, output, files, feed, send, given.get("job_id")) as (begun, interruption),
        waiting_for(client, begun.handle, screen, interruption),
    ):
        counts = ResultCounts(feed.labels)
        status = follow_bulk_job(begun.handle, screen, to, counts, begun.results)
        begun.end()
    return status


def _printer(texts: list[str], *, as_json: bool) -> "Callable[[Result], None]":
    """Return what prints a result: words for a person who typed texts, else lines of JSON."""
    from seqd.cli.bulk import print_line

    if texts and not as_json and data_goes_to_a_terminal():
        from seqd.cli.ui.texts import LabelPrinter

        return LabelPrinter(texts).show
    return print_line
