"""A version's card as people see it: what made it, how good and how fast it is, when it served."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from seqd.cli.ui.charts import epochs_chart
from seqd.cli.ui.evaluations import figure_with_interval, print_evaluation
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_rows, print_table, values_line
from seqd.escaping import one_line
from seqd.kinds import SERVED_TASKS
from seqd.views.models import BUILT_IN, version_columns, with_labels
from seqd.views.numbers import clock, count, counted, metric, rate, size
from seqd_schemas import (
    DataFingerprint,
    ModelCard,
    ModelManifest,
    ServiceChange,
    VersionEvaluation,
    VersionSummary,
)

#: Classes of the training data that are named, the most frequent.
_NAMED_CLASSES: Final = 20

#: Figures that stand in the list of evaluations, the first that is there.
_FIRST_FIGURES: Final = (
    "accuracy",
    "bits_per_char",
    "f1_micro",
    "chrf",
    "neighbour_accuracy",
    "mean_absolute_error",
    "exact_match",
)

#: Changes of the version in service that are shown, the newest.
_SHOWN_CHANGES: Final = 10


def print_card(screen: Screen, card: ModelCard) -> None:
    """Print a card. What is not known is said, with the command that fills it in."""
    print_facts(screen, _what_it_is(card) | _what_it_learnt_from(card) | _what_it_came_from(card))
    _print_training(screen, card)
    _print_evaluations(screen, card)
    _print_speeds(screen, card)
    _print_service(screen, card)


def print_versions(
    screen: Screen, versions: Sequence[ModelManifest | VersionSummary], labels: Mapping[str, int]
) -> None:
    """Print a table of a model's versions, where there are several."""
    if len(versions) < 2:
        return
    now_ms = time.time_ns() // 1_000_000
    screen.say()
    print_table(screen, version_columns(labels, now_ms), versions)


def _name(card: ModelCard) -> str:
    return f"{card.model}@{card.version}"


def _what_it_is(card: ModelCard) -> dict[str, object]:
    manifest = card.manifest
    labels = dict.fromkeys(card.labels, card.version)
    return {
        "version": f"{card.model}@{with_labels(card.version, labels)}",
        "digest": f"sha256 {card.version_sha256[:12]}",
        "made": _made(manifest),
        "made with": f"{manifest.plugin or manifest.model} {manifest.plugin_version}",
        "preset": manifest.preset,
        "parameters": values_line(manifest.parameters),
        "seed": manifest.seed,
        "libraries": ", ".join(f"{name} {known}" for name, known in manifest.libraries.items()),
        "size": _files(card),
    }


def _made(manifest: ModelManifest) -> str:
    if manifest.is_built_in:
        return BUILT_IN
    by = f" by job {manifest.job_id}" if manifest.job_id else ""
    return f"{clock(manifest.created_at_ms)}{by}"


def _files(card: ModelCard) -> str:
    manifest = card.manifest
    if manifest.is_built_in:
        return f"no files but the plugin's code, {', '.join(manifest.files)}"
    files = (
        f"{name} ({size(digest.size_bytes)}{_numbers(card, name)})"
        for name, digest in manifest.files.items()
    )
    return f"{size(card.size_bytes)} in {counted(len(manifest.files), 'file')}: {', '.join(files)}"


def _numbers(card: ModelCard, file: str) -> str:
    return f", {counted(card.numbers[file], 'number')}" if file in card.numbers else ""


def _what_it_learnt_from(card: ModelCard) -> dict[str, object]:
    manifest = card.manifest
    facts: dict[str, object] = {
        "data": _data(manifest.data),
        "classes": _classes(manifest.data),
    }
    if manifest.held_out is not None:
        facts["validated on"] = _data(manifest.held_out)
    return facts


def _data(data: DataFingerprint) -> str:
    if not data.records:  # of a version that was not trained here, nobody has read any
        return one_line(data.description)
    return f"{one_line(data.description)}, size {count(data.records)}, sha256 {data.sha256[:12]}"


def _classes(data: DataFingerprint) -> str:
    named = list(data.classes.items())[:_NAMED_CLASSES]
    left = len(data.classes) - len(named)
    parts = [f"{one_line(label)} {count(records)}" for label, records in named]
    if left:
        parts.append(f"{count(left)} more")
    if data.other_labelled:
        parts.append(f"{counted(data.other_labelled, 'record')} of classes that are not counted")
    unlabelled = data.records - sum(data.classes.values()) - data.other_labelled
    if data.classes and unlabelled > 0:
        parts.append(f"{count(unlabelled)} without a label")
    return ", ".join(parts)


def _what_it_came_from(card: ModelCard) -> dict[str, object]:
    origin = card.manifest.origin
    if origin is None:
        return {"came from": "not written down: it is a starter"}
    steps = []
    if origin.is_built_in:
        steps.append("the plugin, with which it is installed and upgraded")
    if origin.added_from is not None:
        steps.append(f"added from a folder {one_line(origin.added_from)}")
    if origin.imported_from is not None:
        steps.append(f"imported, elsewhere it is {origin.imported_from}")
    if origin.worker:
        again = f", resumed {counted(origin.attempts - 1, 'time')}" if origin.attempts > 1 else ""
        whose = f" for the tenant {origin.tenant}" if origin.tenant is not None else ""
        steps.append(f"trained by worker {origin.worker}{whose}{again}")
    if origin.continues is not None:
        steps.append(f"gone on from a checkpoint of job {origin.continues}")
    facts: dict[str, object] = {"came from": "; ".join(steps)}
    if origin.notes:
        facts["notes"] = one_line(origin.notes)
    if origin.in_service is not None:
        facts["in service then"] = f"{card.model}@{origin.in_service}"
    return facts


def _print_training(screen: Screen, card: ModelCard) -> None:
    metrics = {name.replace("_", " "): metric(one) for name, one in card.manifest.metrics.items()}
    if metrics:
        _title(screen, "At the end of its training")
        print_facts(screen, metrics)
    chart = epochs_chart(card.manifest.epochs, screen.console.width)
    if chart:
        screen.say()
        screen.block(chart)


def _print_evaluations(screen: Screen, card: ModelCard) -> None:
    if not card.evaluations:
        _title(screen, "Evaluations")
        screen.say(f"None yet: seqd models evaluate {_name(card)} --data FILE")
        return
    if len(card.evaluations) > 1:
        rows = [
            (one_line(one.data.description), one.items, _first_figure(one), clock(one.at_ms))
            for one in reversed(card.evaluations)
        ]
        _title(screen, "Evaluations, the newest in full below")
        print_rows(screen, ("data", "items", "figure (95%)", "when"), rows)
    newest = card.evaluations[-1]
    _title(screen, f"Evaluated on {one_line(newest.data.description)}")
    made = clock(newest.at_ms) + (f" by {one_line(newest.by)}" if newest.by else "")
    print_evaluation(screen, newest, made=made)


def _first_figure(evaluation: VersionEvaluation) -> str:
    metrics = evaluation.metrics
    name = next((one for one in _FIRST_FIGURES if one in metrics), None)
    if name is None:
        return ""
    return f"{name.replace('_', ' ')} {figure_with_interval(name, metrics[name])}"


def _print_speeds(screen: Screen, card: ModelCard) -> None:
    _title(screen, "Speed, alone on a machine")
    if not card.speeds:
        screen.say(f"Not measured yet: seqd models show {_name(card)} --measure")
        return
    rows = [
        (
            one.task,
            f"{rate(one.items_per_s)} {'texts' if one.task in SERVED_TASKS else 'items'}/s",
            f"{rate(one.characters_per_s)} characters/s",
            f"{one.machine}, {one.slot}, {counted(one.threads, 'thread')}",
        )
        for one in reversed(card.speeds)
    ]
    print_rows(screen, ("task", "items", "characters", "where"), rows)
    if card.speeds[-1].processor:
        screen.say(f"{card.speeds[-1].machine}: {card.speeds[-1].processor}", "dim")


def _print_service(screen: Screen, card: ModelCard) -> None:
    _title(screen, "In service")
    if not card.history:
        since = "Yes; since when is not written down." if card.is_in_service else "Never so far."
        put = "" if card.is_in_service else f" To change that: seqd models promote {_name(card)}"
        screen.say(since + put)
        return
    for one in card.history[-_SHOWN_CHANGES:]:
        screen.say(_change(card, one))


def _change(card: ModelCard, change: ServiceChange) -> str:
    is_in = change.to_version == card.version
    other = change.from_version if is_in else change.to_version
    named = "no version" if other is None else f"{card.model}@{other}"
    what = f"in, after {named}" if is_in else f"out, {named} came"
    if change.from_version == change.to_version:  # a canary or a shadow began, or ended
        what = "still in" if is_in else "not in"
    by = f", by {one_line(change.by)}" if change.by else ""
    why = f": {one_line(change.why)}" if change.why else ""
    return f"{clock(change.at_ms)}  {what}{by}{why}"


def _title(screen: Screen, title: str) -> None:
    screen.say()
    screen.say(title, "bold")
