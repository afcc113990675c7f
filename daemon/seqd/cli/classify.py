"""`seqd classify`: a file's texts, or some on the command line, each to its label."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.job_options import takes_job_options
from seqd.cli.ui.screen import Screen, data_goes_to_a_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqd.cli.bulk import Result
    from seqd.client import JobOptions


@takes_job_options()
def classify(
    file: Annotated[
        str | None,
        typer.Argument(
            help="JSONL, CSV or text file, each also as .gz or .zst, or a folder; - is stdin."
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
    out: options.Out = None,
    format_name: options.FormatName = "auto",
    id_field: options.IdField = "custom_id",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    param: options.Parameters = None,
    probabilities: Annotated[
        bool | None,
        typer.Option("--probabilities", help="Give the probability of each class as well."),
    ] = None,
    expected_items: options.ExpectedItems = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
    *,
    given: "JobOptions",
) -> None:
    """Classify each text of a file. Prints the accuracy as well where the file has labels.

    Results keep the input's order. Exit status 2 when an item got an error instead.
    """
    from seqd.cli.bulk import Output, follow_bulk_job, result_files
    from seqd.cli.following import detach_from, waiting_for
    from seqd.cli.sources import feed_of
    from seqd.cli.ui.summary import ResultCounts

    texts = text or []
    screen = Screen(to_stderr=out is None or as_json or detach)
    fields = {"format": format_name, "id_field": id_field, "text_field": text_field}
    given["parameters"] = options.named_parameters(param, {"probabilities": probabilities})
    expected = options.read_expected_items(expected_items)
    with (
        feed_of(file, texts, fields, label_field=None if detach else label_field) as feed,
        result_files(None if detach else out, file) as files,
        options.open_client() as client,
    ):
        handle = client.classify(feed, model=model, expected_items=expected, **given)
        if detach:
            detach_from(handle, screen, as_json=as_json)
            return
        output = Output(files, _printer(texts, as_json=as_json), as_json)
        with waiting_for(client, handle, screen):
            is_final = lambda: feed.is_complete  # noqa: E731
            status = follow_bulk_job(handle, screen, output, ResultCounts(feed.labels), is_final)
    raise typer.Exit(status)


def _printer(texts: list[str], *, as_json: bool) -> "Callable[[Result], None]":
    """Return what prints a result: words for a person who typed texts, else lines of JSON."""
    from seqd.cli.bulk import print_line

    if texts and not as_json and data_goes_to_a_terminal():
        from seqd.cli.ui.texts import LabelPrinter

        return LabelPrinter(texts).show
    return print_line
