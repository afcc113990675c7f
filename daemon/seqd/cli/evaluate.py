"""`seqd models evaluate`: a version's answers to a labelled set, held against the truth.

A bulk classification like any other, spread over the fleet: the file is read here, its labels stay
here, and results are counted as they come. A model that writes text is `measuring`'s instead.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sources import Feed
    from seqd.client import Client, JobHandle
    from seqd.evaluation import Evaluation, EvaluationReport
    from seqd_schemas import ParameterValue


def evaluate(
    model: Annotated[str, typer.Argument(help="A model, name@3 (a version) or name@label.")],
    data: Annotated[
        str,
        typer.Option(
            "--data", help="Labelled records, or a text for a model that writes; - is stdin."
        ),
    ],
    last: Annotated[
        float | None,
        typer.Option("--last", help="Share of a text to measure, its end: 0.1 is the last tenth."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="File for a picture (PNG): confusions and calibration."),
    ] = None,
    format_name: options.FormatName = "auto",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    param: options.Parameters = None,
    as_json: options.Json = False,
) -> None:
    """Measure a version on labelled data, or one that writes text on a text.

    Accuracy, precision, recall, calibration; a true label that the model does not know counts as
    wrong. Exit status 2 when an item got an error instead of an answer. Of a model that writes:
    bits a character, here and without a daemon.
    """
    from seqd.cli.measuring import measure_text, open_writer

    fields = {"format": format_name, "text_field": text_field}
    writer = open_writer(model)
    if writer is not None:
        _refuse_options_of_a_classifier(model, plot, param)
        measure_text(writer, data, last, fields, as_json=as_json)
        return
    if last is not None:
        raise InvalidRequest(f"--last is for models that write text, and {model!r} is none here")
    _evaluate_classifier(model, data, plot, fields, label_field, param or [], as_json=as_json)


def _evaluate_classifier(
    model: str,
    data: str,
    plot: Path | None,
    fields: Mapping[str, str],
    label_field: str,
    param: "list[str]",
    *,
    as_json: bool,
) -> None:
    from seqd.cli.exits import MISTAKE, OK
    from seqd.cli.following import cancelling, say_if_nobody_is_there
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sources import feed_of
    from seqd.plots.canvas import check_plot

    if plot is not None:
        check_plot(plot)
    screen = Screen(to_stderr=as_json)
    given = options.read_parameters(param)
    with feed_of(data, [], fields) as feed, options.open_client() as client:
        feed.with_labels_in(label_field)
        parameters = _with_probabilities(client, model, given)
        handle = client.classify(feed, model=model, parameters=parameters)
        with cancelling(handle, screen):
            say_if_nobody_is_there(client, handle, screen)
            counted = _counted(handle, feed, screen)
    _refuse_unlabelled(counted, data, label_field)
    report = counted.report()
    _show(screen, report, _version_of(handle), Path(data).name, plot, as_json=as_json)
    raise typer.Exit(MISTAKE if report.errored else OK)


def _show(
    screen: "Screen",
    report: "EvaluationReport",
    model: str,
    data: str,
    plot: Path | None,
    *,
    as_json: bool,
) -> None:
    from seqd.cli.rendering.evaluation import print_evaluation
    from seqd.cli.rendering.tables import print_json
    from seqd.plots.canvas import NO_FONT

    if plot is not None:
        from seqd.plots.evaluation import draw_evaluation

        sheet = draw_evaluation(report, plot, title=f"{model} on {data}")
        if sheet.lacks_characters:
            screen.say(NO_FONT, "yellow")
    if as_json:
        print_json({"model": model, "data": data} | report.model_dump())
    else:
        print_evaluation(screen, report, model=model, data=data, plot=plot)


def _refuse_options_of_a_classifier(
    model: str, plot: Path | None, param: "list[str] | None"
) -> None:
    given = [name for name, value in (("--plot", plot), ("--set", param)) if value]
    if given:
        raise InvalidRequest(
            f"{' and '.join(given)} is for models that classify; {model!r} writes text, leave it "
            "away"
        )


def _with_probabilities(
    client: "Client", model: str, given: "dict[str, ParameterValue]"
) -> "dict[str, ParameterValue]":
    """Ask for all classes' probabilities too, where the model's plugin can tell them."""
    entry = client.catalog().get(model.partition("@")[0])
    task = entry.tasks.get("classify") if entry else None
    properties = task.parameters.get("properties") if task else None
    can_tell = isinstance(properties, dict) and "probabilities" in properties
    return {**({"probabilities": True} if can_tell else {}), **given}


def _counted(handle: "JobHandle", feed: "Feed", screen: "Screen") -> "Evaluation":
    """Read the job's results, and count each with the label that stands at the feed's front."""
    from seqd.cli.following import following
    from seqd.cli.rendering.bulk_view import bulk_view
    from seqd.evaluation import Evaluation
    from seqd_schemas import Classification, ItemSuccess

    counted = Evaluation()
    with bulk_view(screen, handle.record(), lambda: feed.is_complete) as view:
        with following(handle, view.show):
            for result in handle.results():
                output = result.output if isinstance(result, ItemSuccess) else None
                answer = output if isinstance(output, Classification) else None
                counted.add(feed.labels.popleft(), answer)
        view.finish(handle.wait())
    return counted


def _refuse_unlabelled(counted: "Evaluation", data: str, label_field: str) -> None:
    from seqd.errors import InvalidData

    if not counted.items:
        raise InvalidData(
            f"{Path(data).name} has no record with both a label and an answer, so there is nothing "
            f"to evaluate. The label is looked for in the field {label_field!r} (--label-field)."
        )


def _version_of(handle: "JobHandle") -> str:
    record = handle.record()
    return record.model if record.version is None else f"{record.model}@{record.version}"
