"""`seqd models evaluate`: how good a version is, on labelled data or on a text.

A classifier's predictions are those of a bulk job, spread over the fleet: the file is read here,
its labels stay here, and results are counted as they arrive. How well a model that writes predicts
a text is measured in this process, from this machine's store, so that it needs no daemon.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.cli.label_map import LabelPairs, named_labels, read_label_map, suggested_options
from seqd.cli.models import measuring
from seqd.cli.models.loaded_here import load_here, plugin_faults
from seqd.cli.showing import Found, shown
from seqd.cli.ui.numbers import counted
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidData, InvalidRequest, PluginFault
from seqd.local.caller import caller

if TYPE_CHECKING:
    from seqd.analysis.evaluation import Evaluation, EvaluationReport
    from seqd.analysis.examples import HighestScored
    from seqd.cli.models.evaluated_data import EvaluatedData
    from seqd.cli.models.text_evaluations import MeasuredText
    from seqd.cli.sources import Feed
    from seqd.client import Client, JobHandle
    from seqd.hookspecs import Artifact, Device, LoadedModel, Model
    from seqd_schemas import (
        DataFingerprint,
        JobRecord,
        ModelManifest,
        ParameterValue,
        VersionEvaluation,
    )

#: A parameter by which a plugin says how much of the end of its training text it held out.
_HELD_OUT_SHARE = "validation_split"


@shown
def evaluate(
    model: measuring.Version,
    data: measuring.Data,
    last: measuring.Last = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="File for a picture (PNG): confusions and calibration."),
    ] = None,
    format_name: options.FormatName = "auto",
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
    has them.
    """
    from seqd.kinds import GENERATE

    fields = {"format": format_name, "text_field": text_field}
    label_map = read_label_map(map_label or [])
    text_model = None if task not in (None, GENERATE) else open_text_model(model)
    if text_model is not None:
        _refuse_options_of_a_classifier(model, plot, param, map_label)
        _evaluate_text(text_model, data, last, fields, screen, no_examples=no_examples)
        return
    if last is not None:
        raise InvalidRequest(f"--last is for models that write text, and {model!r} is none here")
    from seqd.cli.models.task_evaluations import TruthFile, evaluate_task, own_task

    own = own_task(model, task)
    if own is not None:
        _refuse_options_of_labels(model, own.name, plot, map_label)
        given = options.read_parameters(param or [])
        evaluate_task(own, TruthFile(data, fields, label_field), given, screen)
        return
    labels = _Labels(label_field or "label", label_map)
    _evaluate_classifier(
        model, data, fields, labels, param or [], _Shown(screen, plot, no_examples)
    )


def _evaluate_text(
    text_model: "TextModel",
    data: str,
    last: float | None,
    fields: Mapping[str, str],
    screen: Screen,
    *,
    no_examples: bool,
) -> None:
    from seqd.cli.models.kept_evaluations import keep_evaluation_here, without_texts
    from seqd.cli.models.text_evaluations import text_evaluation

    found = measure_text(text_model, data, last, fields, screen)
    with _measuring(text_model):
        evaluation = text_evaluation(text_model.model, found)
    if no_examples:
        evaluation = without_texts(evaluation)
    kept = keep_evaluation_here(text_model.artifact.manifest, evaluation)
    screen.say(kept, "dim")


@dataclass(frozen=True, slots=True)
class _Labels:
    """Where the true labels are, and what the model calls them."""

    field: str
    mapping: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Shown:
    """How the figures are shown."""

    screen: Screen
    plot: Path | None
    no_examples: bool


@dataclass(frozen=True, slots=True)
class TextModel:
    """A version of a model that writes text, as it is in the store."""

    model: "Model"
    artifact: "Artifact"

    @property
    def name(self) -> str:
        """The version's full name, such as `markov@3`."""
        return f"{self.artifact.manifest.model}@{self.artifact.manifest.version}"


def open_text_model(ref: str) -> TextModel | None:
    """Return the version where its model is on this machine, and writes and does not classify.

    None for any other model. Raises UnknownModel for a version that does not exist, and
    ArtifactDamaged.
    """
    from seqd.kinds import CLASSIFY, GENERATE
    from seqd_schemas import ModelReference

    local = options.open_local_models(options.read_settings())
    name = local.store.plugin_of(ModelReference.parse(ref).name)
    model = local.registry.models.get(name)
    if model is None or CLASSIFY in model.tasks or GENERATE not in model.tasks:
        return None
    return TextModel(model, local.store.open(*local.store.resolve(ref)))


def measure_text(
    text_model: TextModel,
    file: str,
    last: float | None,
    fields: Mapping[str, str],
    screen: Screen,
) -> "MeasuredText":
    """Read the text, measure it and print the figures; return all of that."""
    from seqd.cli.models.text_evaluations import MeasuredText
    from seqd.cli.sources import dataset_of
    from seqd.cli.ui.models import print_text_figures
    from seqd.inputs.datasets import TextDataset

    with dataset_of(file, **fields) as dataset:
        whole, fingerprint = dataset.text(), dataset.fingerprint()
    text = end_of(whole, last)
    is_learnt = warn_if_trained_on(screen, text_model.artifact.manifest, fingerprint, last)
    name = Path(file).name
    whence = "standard input" if file == "-" else name
    part = whence if last is None else f"{whence}, the last {last:g}"
    with _measuring(text_model):
        loaded, device = load_here(text_model.model, text_model.artifact)
        figures = _figures(text_model, loaded, device, text, screen)
    data = TextDataset(text, part).fingerprint()
    found = MeasuredText(loaded, device, text, figures, data, is_learnt)
    finite = {key: value if math.isfinite(value) else None for key, value in figures.items()}
    facts = {"model": text_model.name, "data": name, "last": last, "characters": len(text)}
    which = "" if last is None else "the last "
    what = f"{name}, {which}{counted(len(text), 'character')}"
    Found(
        facts | finite,
        lambda screen: print_text_figures(screen, figures, model=text_model.name, data=what),
    ).print_on(screen)
    return found


def _evaluate_classifier(
    model: str,
    data: str,
    fields: Mapping[str, str],
    labels: _Labels,
    param: "list[str]",
    shown: _Shown,
) -> None:
    from seqd.analysis.plots import check_plot
    from seqd.cli.exits import MISTAKE, OK
    from seqd.cli.following import handed_in
    from seqd.cli.models.evaluated_data import EvaluatedData
    from seqd.cli.models.kept_evaluations import version_here
    from seqd.cli.sources import feed_of

    if shown.plot is not None:
        check_plot(shown.plot)
    screen = shown.screen
    given = options.read_parameters(param)
    with (
        feed_of(data, [], fields, label_field=labels.field, label_map=labels.mapping) as feed,
        options.open_client() as client,
    ):
        parameters = with_probabilities(client, model, given)
        catalog = client.catalog()  # before the work: when it is done Redis may be away
        items = EvaluatedData(feed)
        send = partial(client.classify, items, model=model, parameters=parameters)
        with handed_in(client, send, screen) as handle:
            counts, examples = _count(handle, feed, items, screen)
        record = handle.record()
    _refuse_unlabelled(counts, data, labels.field)
    report = counts.report()
    _refuse_other_labels(report, data)
    here = version_here(catalog.get(record.model), record.version)
    fingerprint = items.fingerprint("standard input" if data == "-" else Path(data).name)
    _finish(record, report, examples, fingerprint, here, given, shown)
    raise typer.Exit(MISTAKE if report.errored else OK)


def _finish(
    record: "JobRecord",
    report: "EvaluationReport",
    examples: "HighestScored",
    data: "DataFingerprint",
    here: "Artifact | None",
    given: "Mapping[str, ParameterValue]",
    shown: _Shown,
) -> None:
    """Show an evaluation, and keep it where the version is `here`."""
    from seqd.analysis.evaluation_records import evaluation_record
    from seqd.cli.models.evaluated_data import is_learnt
    from seqd.cli.models.kept_evaluations import keep_evaluation_here, now_ms, without_texts
    from seqd.cli.ui.progress import model_of

    evaluation = evaluation_record(
        report,
        examples,
        data,
        at_ms=now_ms(),
        by=caller(),
        is_training_data=here is not None and is_learnt(here.manifest, data),
        parameters=given,
    )
    if shown.no_examples:
        evaluation = without_texts(evaluation)
    _show(report, evaluation, model_of(record), shown)
    shown.screen.say(keep_evaluation_here(here.manifest if here else None, evaluation), "dim")


def _show(
    report: "EvaluationReport",
    evaluation: "VersionEvaluation",
    model: str,
    shown: _Shown,
) -> None:
    from seqd.analysis.plots import NO_FONT
    from seqd.cli.ui.evaluations import print_evaluation

    screen, data = shown.screen, evaluation.data.description
    if shown.plot is not None:
        from seqd.analysis.plots import draw_evaluation

        sheet = draw_evaluation(report, shown.plot, title=f"{model} on {data}")
        if sheet.lacks_characters:
            screen.say(NO_FONT, "yellow")

    def view(screen: Screen) -> None:
        print_evaluation(screen, evaluation, model=model)
        if shown.plot is not None:
            screen.say(f"The picture is in {shown.plot}.")

    Found({"model": model, "data": data} | report.model_dump(), view).print_on(screen)


def _refuse_options_of_a_classifier(
    model: str, plot: Path | None, param: "list[str] | None", map_label: "list[str] | None"
) -> None:
    options_of = (("--plot", plot), ("--set", param), ("--map-label", map_label))
    given = [name for name, value in options_of if value]
    if given:
        raise InvalidRequest(
            f"{' and '.join(given)} is for models that classify; {model!r} writes text, leave it "
            "away"
        )


def _refuse_options_of_labels(
    model: str, task: str, plot: Path | None, map_label: "list[str] | None"
) -> None:
    given = [name for name, value in (("--plot", plot), ("--map-label", map_label)) if value]
    if given:
        raise InvalidRequest(
            f"{' and '.join(given)} is for models that classify; {model!r} is measured by its task "
            f"{task!r}, leave it away"
        )


def with_probabilities(
    client: "Client", model: str, given: "dict[str, ParameterValue]"
) -> "dict[str, ParameterValue]":
    """Add a request for all classes' probabilities, where the plugin has that parameter."""
    from seqd.client.comparing import asking_for_probabilities
    from seqd_schemas import ModelReference

    entry = client.catalog().get(ModelReference.parse(model).name)
    return asking_for_probabilities(entry) | given


def _count(
    handle: "JobHandle", feed: "Feed", items: "EvaluatedData", screen: Screen
) -> "tuple[Evaluation, HighestScored]":
    """Read the job's results, and count each with label and text at the front of what was read."""
    from seqd.analysis.evaluation import Evaluation
    from seqd.analysis.examples import HighestScored
    from seqd.cli.bulk import bulk_view
    from seqd.cli.following import following
    from seqd_schemas import Classification, ItemSuccess

    counts, examples = Evaluation(), HighestScored()
    with bulk_view(screen, handle.record) as view:
        with following(handle, view.show):
            for result in handle.results():
                output = result.output if isinstance(result, ItemSuccess) else None
                prediction = output if isinstance(output, Classification) else None
                truth, text = feed.labels.popleft(), items.texts.popleft()
                counts.add(truth, prediction)
                if prediction is not None:
                    examples.add(result.custom_id, text, truth, prediction)
        view.finish(handle.wait())
    return counts, examples


def _refuse_unlabelled(counts: "Evaluation", data: str, label_field: str) -> None:
    if not counts.items:
        raise InvalidData(
            f"{Path(data).name} has no record with both a label and an answer, so there is nothing "
            f"to evaluate. The label is looked for in the field {label_field!r} (--label-field)."
        )


def _refuse_other_labels(report: "EvaluationReport", data: str) -> None:
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
        f"no label of {Path(data).name} is a class of the model, so no answer could be right. The "
        f"file has {named_labels(unknown)}; the model gave "
        f"{named_labels(known)}. {advice}."
    )


def end_of(text: str, last: float | None) -> str:
    """Return the last share of a text, cut where a training that holds it out cuts."""
    if last is None:
        return text
    if not 0.0 < last <= 1.0:
        raise InvalidRequest(
            f"--last is {last:g}; allowed: a share above 0 up to 1, such as 0.1 for the last tenth"
        )
    return text[int(len(text) * (1.0 - last)) :]


def warn_if_trained_on(
    screen: Screen, manifest: "ModelManifest", data: "DataFingerprint", last: float | None
) -> bool:
    """Say so when a version was trained on this very text, but for a part that it held out.

    Return whether it was.
    """
    from seqd.cli.models.evaluated_data import is_learnt

    if not is_learnt(manifest, data):
        return False
    held_out = manifest.parameters.get(_HELD_OUT_SHARE)
    share = float(held_out) if isinstance(held_out, int | float) else 0.0
    if last is not None and last <= share + 1e-9:
        return False
    advice = f" It held the last {share:.3g} of it out: --last {share:g} is fair." if share else ""
    screen.say(
        f"{manifest.model}@{manifest.version} was trained on this text, so it knows what it is "
        f"asked: the figures are better than on a text that is new to it.{advice}",
        "yellow",
    )
    return True


def figures_of(text_model: TextModel, text: str, screen: Screen) -> dict[str, float]:
    """Load the model and measure. Raises InvalidRequest where it measures nothing, PluginFault."""
    with _measuring(text_model):
        loaded, device = load_here(text_model.model, text_model.artifact)
        return _figures(text_model, loaded, device, text, screen)


def _measuring(text_model: TextModel) -> "AbstractContextManager[None]":
    name = text_model.model.name
    no_method = InvalidRequest(f"{name} measures no texts: its plugin has no LoadedModel.measure")
    return plugin_faults(f"measuring with {text_model.name}", no_method)


def _figures(
    text_model: TextModel, loaded: "LoadedModel", device: "Device", text: str, screen: Screen
) -> dict[str, float]:
    measured = _measured(loaded, text, device, screen)
    bits = measured.get("bits_per_char")
    if bits is None:
        raise PluginFault(f"{text_model.name} measured a text and gave no bits_per_char")
    return {"bits_per_char": bits, "perplexity_per_char": _power_of_two(bits)} | dict(measured)


def _measured(
    loaded: "LoadedModel", text: str, device: "Device", screen: Screen
) -> Mapping[str, float]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from seqd.plugin.decorated import QuietContext

    if not text:
        raise InvalidData("the text has no characters; at least one is due")
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=screen.console,
        transient=True,
        disable=not screen.is_live,
    ) as progress:
        task = progress.add_task(f"reading {len(text):,} characters", total=None)

        def advance(said: Mapping[str, float]) -> None:
            progress.update(task, total=len(text), advance=said["real_tokens"])

        return loaded.measure(text, QuietContext(device, told=advance))


def _power_of_two(bits: float) -> float:
    try:
        return math.pow(2.0, bits)
    except OverflowError:
        return math.inf
