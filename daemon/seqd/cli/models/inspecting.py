"""`seqd models show --local`: a version in this machine's store, and what it has learnt."""

from collections.abc import Sequence
from pathlib import Path

from seqd.analysis.plots import NO_FONT, check_plot, draw_curves, draw_distribution
from seqd.cli import options
from seqd.cli.models.speed import MEASURED_S, measure_speed, measured_tasks
from seqd.cli.options import LocalModels
from seqd.cli.showing import Found
from seqd.cli.ui.model_card import print_card, print_versions
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_rows
from seqd.errors import InvalidRequest, UnknownModel
from seqd.hookspecs import Artifact, Inspection, Model
from seqd.kinds import TRAIN
from seqd.models.cards import card_of, keep_speed
from seqd.views.numbers import counted
from seqd_schemas import ModelCard, ModelManifest, ModelReference


def show_here(
    model: str, state: str | None, plot: Path | None, screen: Screen, *, measures: bool
) -> None:
    """Show a version of this machine's store, and what it has learnt."""
    if plot is not None:
        check_plot(plot)
    local = options.open_local_models(options.read_settings())
    artifact, tables = _inspect(local, model, state)
    if measures:
        _measure(local, artifact)
    card = card_of(local.store, artifact)
    told = "" if plot is None else _drawn(plot, artifact.manifest, tables, state)

    def view(screen: Screen) -> None:
        if state is None:
            print_card(screen, card)
            labels = local.store.labels(card.model)
            print_versions(screen, local.store.versions(card.model), labels)
        for number, table in enumerate(tables):
            if number or state is None:
                screen.say()
            print_rows(screen, table.columns, table.rows, title=table.title)

    Found(_record_of(local, card, tables), view).print_on(screen)
    if told:
        screen.say(told)


def _inspect(
    local: LocalModels, ref: str, focus: str | None
) -> tuple[Artifact, Sequence[Inspection]]:
    """Check a version; return it and what its plugin shows of it.

    Raises UnknownModel, InvalidRequest, ArtifactDamaged.
    """
    bare_name = ModelReference.parse(ref).name
    described = local.described(bare_name)
    if not local.store.numbers(bare_name):
        raise UnknownModel(
            f"model {bare_name!r} has no version here yet: {_how_to_make_one(described)}"
        )
    name, version = local.store.resolve(ref)
    artifact = local.store.open(name, version)
    tables = described.inspect(artifact, focus)
    if focus is not None and not tables:
        raise InvalidRequest(
            f"--state is {focus!r}, but {name!r} has no single states to look at; leave it away"
        )
    return artifact, tables


def _how_to_make_one(model: Model) -> str:
    if TRAIN in model.tasks:
        return f"train one with `seqd train {model.name} --data FILE`"
    return f"add its weights with `seqd models add FOLDER --plugin {model.name}`"


def _record_of(
    local: LocalModels, card: ModelCard, tables: Sequence[Inspection]
) -> dict[str, object]:
    return {
        "card": card,
        "manifest": card.manifest,
        "labels": local.store.labels(card.model),
        "versions": [known.version for known in local.store.versions(card.model)],
        "inspections": [_as_record(table) for table in tables],
    }


def _measure(local: LocalModels, artifact: Artifact) -> None:
    """Measure how fast a version is here, and keep that beside it. Raises PluginFault."""
    name = artifact.manifest.model
    model = local.described(name)
    tasks: Sequence[str | None] = measured_tasks(model) or (None,)
    for task in tasks:
        speed = measure_speed(model, artifact, MEASURED_S, task)
        keep_speed(local.store, artifact.manifest, speed)


def _drawn(
    path: Path, manifest: ModelManifest, tables: Sequence[Inspection], state: str | None
) -> str:
    """Draw what a state's table shows, or else the version's learning curve.

    Return where the picture is, and what it lacks. Raises InvalidRequest.
    """
    name = f"{manifest.model}@{manifest.version}"
    table = next((one for one in tables if one.distribution is not None and one.rows), None)
    if state is not None and table is None:
        raise InvalidRequest(
            f"what {name} shows of --state {state!r} is no distribution, so it has no picture; "
            "leave --plot away"
        )
    if state is not None and table is not None:
        sheet = draw_distribution(table, path, model=name)
    elif len(manifest.epochs) < 2:
        raise InvalidRequest(
            f"{name} has no learning curve: it keeps {counted(len(manifest.epochs), 'epoch')} of "
            "its training, and 2 make a curve. For a picture of one state name it: --state"
        )
    else:
        sheet = draw_curves(manifest.epochs, path, model=name)
    return f"The picture is in {path}." + (f"\n{NO_FONT}" if sheet.lacks_characters else "")


def _as_record(table: Inspection) -> dict[str, object]:
    return {
        "title": table.title,
        "columns": table.columns,
        "rows": table.rows,
        "distribution": None
        if table.distribution is None
        else {"names": table.distribution.names, "shares": table.distribution.shares},
    }
