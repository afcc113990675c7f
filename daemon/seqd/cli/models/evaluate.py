"""`seqd models evaluate`: how good a version is, on labelled data or on a text.

Answers are those of a bulk job, spread over the fleet: the file is read here, its true labels and
outputs stay here, and results are counted as they arrive.
"""

from pathlib import Path
from typing import Annotated

import typer

from seqd.analysis.classification import ClassAnswers
from seqd.analysis.evaluation import HighestScored, Report
from seqd.analysis.plots import NO_FONT, check_plot, draw_evaluation
from seqd.cli import options, readers
from seqd.cli.exits import MISTAKE, OK
from seqd.cli.label_map import LabelPairs, named_labels, read_label_map, suggested_options
from seqd.cli.models import measuring
from seqd.cli.models.kept_evaluations import keep_evaluation_here, now_ms, version_here
from seqd.cli.models.measured_items import (
    Asked,
    Asker,
    is_learnt,
    measured_items,
    refuse_options,
    subject_of,
)
from seqd.cli.models.text_models import (
    TextModel,
    measure_text,
    open_text_model,
    print_measured,
    telling_faults,
    text_evaluation,
)
from seqd.cli.showing import Found, shown
from seqd.cli.ui.evaluations import print_evaluation
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidData, InvalidRequest
from seqd.kinds import GENERATE
from seqd.local.caller import caller
from seqd_schemas import ModelReference, VersionEvaluation


@shown
def evaluate(
    model: measuring.Version,
    data: measuring.Data,
    last: measuring.Last = None,
    adaptive: measuring.Adaptive = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="File for a picture (PNG): confusions and calibration."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            min=0.0,
            max=1.0,
            help="Say which share of the answers has this score at least, and how many of these "
            "are right: 0.8.",
        ),
    ] = None,
    format_name: options.InputFormatName = "auto",
    text_field: options.TextField = "text",
    label_field: measuring.TruthField = None,
    map_label: LabelPairs = None,
    param: options.Parameters = None,
    no_examples: Annotated[
        bool, typer.Option("--no-examples", help="Show no texts of the data, and keep none.")
    ] = False,
    task: measuring.Task = None,
    *,
    screen: Screen,
) -> None:
    """Measure a version on labelled data, or one that writes text on a text.

    Accuracy, precision, recall, calibration; a true label that the model does not know counts as
    wrong. Exit status 2 when an item got an error instead of an answer. Of a model that writes:
    bits a character, here and without a daemon. Of a plugin's own task, by what it gives: F1 of
    labels and spans, errors and correlations of scores, chrF of texts, nearest neighbours of
    vectors. Where this machine has the store, the figures stay with the version: `seqd models show`
    has them; those of --adaptive are printed alone.
    """
    asked = Asked(
        file=data,
        fields={"format": format_name, "text_field": text_field},
        label_field=label_field,
        task=task,
        label_map=read_label_map(map_label),
        parameters=readers.parameters(param),
        last=last,
        adapts=adaptive,
        min_score=min_score,
    )
    text_model = None if task not in (None, GENERATE) else open_text_model(model)
    if text_model is not None:
        given = {
            "--plot": plot,
            "--min-score": min_score is not None,
            "--param": param,
            "--map-label": map_label,
        }
        refuse_options(given, "models", f"{model!r} writes text")
        _evaluate_text(text_model, asked, screen, keeps_texts=not no_examples)
        return
    for option in ["--last"] * (last is not None) + ["--adaptive"] * adaptive:
        raise InvalidRequest(f"{option} is for models that write text, and {model!r} is none here")
    _evaluate_items(model, asked, plot, screen, keeps_texts=not no_examples)


def _evaluate_text(
    text_model: TextModel, asked: Asked, screen: Screen, *, keeps_texts: bool
) -> None:
    measured = measure_text(text_model, asked, screen)
    print_measured(text_model, asked, measured, screen)
    if asked.adapts:
        screen.say("Not kept with the version: it does not learn while it serves.", "dim")
        return
    with telling_faults(text_model):
        evaluation = text_evaluation(text_model.model, measured)
    if not keeps_texts:
        evaluation = evaluation.model_copy(update={"sample": None})
    screen.say(keep_evaluation_here(text_model.artifact.manifest, evaluation), "dim")


def _evaluate_items(
    model: str, asked: Asked, plot: Path | None, screen: Screen, *, keeps_texts: bool
) -> None:
    if plot is not None:
        check_plot(plot)
    with options.open_client() as client:
        catalog = client.catalog()  # before the work: when it is done Redis may be away
        subject = subject_of(catalog.get(ModelReference.parse(model).name), model, asked)
        if subject.output is not None:
            given = {
                "--plot": plot,
                "--min-score": asked.min_score is not None,
                "--map-label": asked.label_map,
            }
            refuse_options(given, "models", f"{model!r} is measured by its task {subject.task!r}")
        answers, examples = subject.measure.answers(), HighestScored()
        with measured_items(asked, subject) as items:
            asker = Asker(client, subject, asked.parameters, screen)
            record, _ = asker.answer(model, items, answers, examples.add)
            data = items.fingerprint(asked.data)
    try:
        report = answers.report()
        if isinstance(answers, ClassAnswers) and asked.min_score is not None:
            report.metrics.update(answers.kept(asked.min_score))
    except ValueError:
        raise InvalidData(
            f"{asked.data} has no record with both a {subject.truth_noun} and an answer, so there "
            f"is nothing to evaluate. The {subject.truth_noun} is looked for in the field "
            f"{subject.truth_field!r} (--label-field)."
        ) from None
    _refuse_other_labels(report, asked.data)
    here = version_here(catalog.get(record.model), record.version)
    evaluation = VersionEvaluation.model_validate(
        {
            "data": data,
            "is_training_data": here is not None and is_learnt(here.manifest, data),
            "at_ms": now_ms(),
            "by": caller(),
            "task": subject.task,
            "output": subject.output,
            "parameters": dict(asked.parameters),
            "min_score": asked.min_score,
            "right": examples.right() if keeps_texts else (),
            "wrong": examples.wrong() if keeps_texts else (),
        }
        | report.kept()
    )
    ref = str(ModelReference(record.model, record.version))
    _show(report, evaluation, ref, plot, screen)
    screen.say(keep_evaluation_here(here.manifest if here else None, evaluation), "dim")
    raise typer.Exit(MISTAKE if report.errored else OK)


def _show(
    report: Report,
    evaluation: VersionEvaluation,
    ref: str,
    plot: Path | None,
    screen: Screen,
) -> None:
    """Print the figures, and draw them where a picture is asked for."""
    if plot is not None:
        title = f"{ref} on {evaluation.data.description}"
        if draw_evaluation(report, plot, title=title).lacks_characters:
            screen.say(NO_FONT, "yellow")

    def view(screen: Screen) -> None:
        print_evaluation(screen, evaluation, model=ref)
        if plot is not None:
            screen.say(f"The picture is in {plot}.")

    record = {"model": ref, "data": evaluation.data.description}
    if evaluation.output is not None:
        record |= {"task": evaluation.task, "output": evaluation.output}
    Found(record | report.as_json(), view).print_on(screen)


def _refuse_other_labels(report: Report, data: str) -> None:
    """Raise InvalidData where no true label is a class of the model, so that none could be right.

    The model's classes are those that it gave, with their probabilities or without.
    """
    known = [one.label for one in report.classes if one.is_known]
    unknown = [one.label for one in report.classes if not one.is_known]
    if not unknown or report.unknown_labels < report.items:
        return
    options_of = suggested_options(unknown, known)
    advice = f"Map them: {options_of}" if options_of else "Map them by --map-label LABEL=CLASS"
    raise InvalidData(
        f"no label of {data} is a class of the model, so no answer could be right. The "
        f"file has {named_labels(unknown)}; the model gave "
        f"{named_labels(known)}. {advice}."
    )
