"""`seqd models`: what the fleet can run; with --local, this machine's own store.

A machine without plugins and without a store sees what workers publish. What a version has learnt
its plugin alone can tell, so that is shown where plugin and store are.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.cli.models.adding import add
from seqd.cli.models.compare import compare
from seqd.cli.models.evaluate import evaluate
from seqd.cli.models.files import collect, export_version, import_version, remove
from seqd.cli.models.params import params
from seqd.cli.models.placing import disable, pause, place, resume
from seqd.cli.models.promotion import history, label, promote, rollback
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest, UnknownModel
from seqd.views.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqd.cli.options import LocalModels
    from seqd.hookspecs import Artifact, Inspection, Model
    from seqd_schemas import ModelCard, ModelManifest

Local = Annotated[
    bool,
    typer.Option("--local", help="Look into this machine's own store; needs no daemon."),
]

app = typer.Typer(
    no_args_is_help=True, help="List, show, evaluate and compare models; put versions in service."
)


@app.command("list")
@shown
def list_models(is_local: Local = False) -> Found:
    """List the models of the fleet with their versions, labels and workers.

    --local lists those of this machine's plugins and store, and needs no daemon.
    """
    from seqd.cli.ui.models import print_models

    if not is_local:
        from seqd.cli.models.fleet import list_fleet_models

        return list_fleet_models()
    entries = list(options.open_local_models(options.read_settings()).catalog().values())
    return Found(entries, lambda screen: print_models(screen, entries))


@app.command()
@shown
def show(
    model: options.ModelArgument,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="Look at one thing that it has learnt: a character of markov, a word or a text.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="File for a picture (PNG): the learning curve, or what --state shows."
        ),
    ] = None,
    measures: Annotated[
        bool,
        typer.Option("--measure", help="Measure first how fast it is on this machine's cores."),
    ] = False,
    is_local: Local = False,
    *,
    screen: Screen,
) -> Found | None:
    """Show a version's card: its data, how good it is, when it was in service, who can run it.

    Then what each task of the model takes and gives, from what the workers publish.

    Where this machine's store has the version, its card is shown, too. --local, --state, --plot and
    --measure look into that store alone. `seqd models show markov --state a` prints the transition
    probabilities from `a`.
    """
    if not is_local and state is None and plot is None and not measures:
        from seqd.cli.models.fleet import show_fleet_model

        return show_fleet_model(model)
    _show_here(model, state, plot, screen, measures=measures)
    return None


app.command()(evaluate)
app.command()(compare)
app.command()(params)
app.command()(place)
app.command()(pause)
app.command()(disable)
app.command()(resume)
app.command()(add)
app.command("export")(export_version)
app.command("import")(import_version)
app.command("rm")(remove)
app.command("gc")(collect)
app.command()(promote)
app.command()(rollback)
app.command()(history)
app.command()(label)


def _show_here(
    model: str, state: str | None, plot: Path | None, screen: Screen, *, measures: bool
) -> None:
    """Show a version of this machine's store, and what it has learnt."""
    from seqd.analysis.plots import check_plot
    from seqd.cli.ui.model_card import print_card
    from seqd.cli.ui.models import print_inspections, print_versions
    from seqd.models.cards import card_of

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
        print_inspections(screen, tables, is_first=state is not None)

    Found(_record_of(local, card, tables), view).print_on(screen)
    if told:
        screen.say(told)


def _inspect(
    local: "LocalModels", ref: str, focus: str | None
) -> "tuple[Artifact, Sequence[Inspection]]":
    """Check a version; return it and what its plugin shows of it.

    Raises UnknownModel, InvalidRequest, ArtifactDamaged.
    """
    from seqd_schemas import ModelReference

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


def _how_to_make_one(model: "Model") -> str:
    from seqd.kinds import TRAIN

    if TRAIN in model.tasks:
        return f"train one with `seqd train {model.name} --data FILE`"
    return f"add its weights with `seqd models add FOLDER --plugin {model.name}`"


def _record_of(
    local: "LocalModels", card: "ModelCard", tables: "Sequence[Inspection]"
) -> dict[str, object]:
    return {
        "card": card,
        "manifest": card.manifest,
        "labels": local.store.labels(card.model),
        "versions": [known.version for known in local.store.versions(card.model)],
        "inspections": [_as_record(table) for table in tables],
    }


def _measure(local: "LocalModels", artifact: "Artifact") -> None:
    """Measure how fast a version is here, and keep that beside it. Raises PluginFault."""
    from seqd.cli.models.speed import MEASURED_S, measure_speed, measured_tasks
    from seqd.models.cards import keep_speed

    name = artifact.manifest.model
    model = local.described(name)
    tasks: Sequence[str | None] = measured_tasks(model) or (None,)
    for task in tasks:
        speed = measure_speed(model, artifact, MEASURED_S, task)
        keep_speed(local.store, artifact.manifest, speed)


def _drawn(
    path: Path, manifest: "ModelManifest", tables: "Sequence[Inspection]", state: str | None
) -> str:
    """Draw what a state's table shows, or else the version's learning curve.

    Return where the picture is, and what it lacks. Raises InvalidRequest.
    """
    from seqd.analysis.plots import NO_FONT, draw_curves, draw_distribution

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


def _as_record(table: "Inspection") -> dict[str, object]:
    return {
        "title": table.title,
        "columns": table.columns,
        "rows": table.rows,
        "distribution": None
        if table.distribution is None
        else {"names": table.distribution.names, "shares": table.distribution.shares},
    }
