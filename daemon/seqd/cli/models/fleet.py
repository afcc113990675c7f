"""`seqd models list` and `show`: what workers publish of models, and which workers can run them.

A machine without plugins and without a store sees that. What a version has learnt its plugin alone
can tell, so that is shown where plugin and store are, by `inspecting`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from seqd.admission import find_model, resolve_version
from seqd.cli import options
from seqd.cli.models.kept_evaluations import version_here
from seqd.cli.models.params import naming_local
from seqd.cli.showing import Found, shown
from seqd.cli.ui.model_card import print_card, print_versions
from seqd.cli.ui.model_tasks import contract_of, print_task
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.errors import SeqdError
from seqd.ledger.model_pauses import pause_in_words
from seqd.models.cards import card_of
from seqd.models.stored_versions import STARTER_VERSION
from seqd.serving import ServingWorker, workers_of_model
from seqd.views.columns import Column
from seqd.views.models import (
    MODEL_COLUMNS,
    SERVING_COLUMNS,
    counts_of_both,
    model_facts,
    rollout_columns,
    rollout_title,
    rollout_told,
    workers_told,
)
from seqd_schemas import (
    CatalogEntry,
    ModelCard,
    ModelPause,
    ModelReference,
    Rollout,
    VersionCounts,
    WorkerStatus,
)

Local = Annotated[
    bool,
    typer.Option("--local", help="Look into this machine's own store; needs no daemon."),
]


@shown
def list_models(is_local: Local = False) -> Found:
    """List the models of the fleet with their versions, labels and workers.

    --local lists those of this machine's plugins and store, and needs no daemon.
    """
    if is_local:
        entries = list(options.open_local_models(options.read_settings()).catalog().values())
        return Found(entries, lambda screen: _print_local_models(screen, entries))
    catalog, workers, pauses = _read_fleet("list")
    rows = [
        (entry, workers_of_model(workers, entry.model))
        for entry in sorted(catalog.values(), key=lambda entry: entry.model)
    ]
    return Found(
        [_as_record(entry, serving, pauses) for entry, serving in rows],
        lambda screen: _print_models(screen, rows, pauses),
    )


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
        return _show_of_fleet(model)

    from seqd.cli.models.inspecting import show_here  # which takes plugins' libraries

    show_here(model, state, plot, screen, measures=measures)
    return None


def _show_of_fleet(reference: str) -> Found:
    """Return a model of the fleet, the version that is meant, and its tasks. Raises UnknownModel.

    Its card stands between where this machine's store has that very version.
    """
    name, wanted = ModelReference.parse(reference)
    catalog, workers, pauses = _read_fleet(f"show {reference}")
    entry = find_model(name, catalog)
    # Bare, a model may be looked at that nobody has trained yet.
    is_untrained = wanted is None and not entry.versions
    version = None if is_untrained else resolve_version(entry, wanted)
    serving, counts = workers_of_model(workers, name), _counts_of(entry)
    card = _card_here(entry, version)

    def view(screen: Screen) -> None:
        _print_model(screen, entry, version, pauses.get(name), counts, has_card=card is not None)
        _print_workers(screen, entry, serving)
        if version is not None and card is None:
            screen.say()
            screen.say(
                "Its card, and what it has learnt, on a machine that has the store: seqd models "
                f"show {entry.model}@{version} --local",
                "dim",
            )
        if card is not None:
            screen.say()
            print_card(screen, card)
        for task in entry.all_tasks:
            screen.say()
            print_task(screen, entry, task)

    found = {"version": version, "rollout_counts": counts or [], "card": card}
    contract = {"contract": contract_of(entry)}
    return Found(_as_record(entry, serving, pauses) | found | contract, view)


def _counts_of(entry: CatalogEntry) -> list[VersionCounts] | None:
    """Return what the versions of a roll-out did so far; None where none goes on."""
    if entry.rollout is None:
        return None
    with options.open_ledger() as ledger:
        return ledger.rollouts.of(entry.model, entry.rollout.id)


def _card_here(entry: CatalogEntry, version: int | None) -> ModelCard | None:
    """Return a version's card where this machine's store has it; None where it does not."""
    settings = options.read_settings()
    if version != STARTER_VERSION and not settings.store_dir.is_dir():
        return None  # without loading the plugins
    try:
        local = options.open_local_models(settings)
        artifact = version_here(entry, version, local)
        return None if artifact is None else card_of(local.store, artifact)
    except (SeqdError, OSError):
        return None  # the store here is damaged, which is no matter of the fleet's


def _read_fleet(
    words: str,
) -> tuple[dict[str, CatalogEntry], list[WorkerStatus], dict[str, ModelPause]]:
    """Return the catalog, the workers that are up, and which models are paused.

    `words` are those of the command.
    """
    with naming_local(words), options.open_client() as client:
        return client.catalog(), client.workers(), client.paused_models()


def _as_record(
    entry: CatalogEntry, serving: list[ServingWorker], pauses: dict[str, ModelPause]
) -> dict[str, object]:
    workers = [
        {
            "worker": one.worker,
            "state": one.state,
            "tasks": one.tasks,
            "versions": one.versions,
            "unfit": one.unfit,
        }
        for one in serving
    ]
    pause = pauses.get(entry.model)
    return entry.model_dump(mode="json") | {"workers": workers, "paused": pause}


def _print_models(
    screen: Screen,
    rows: Sequence[tuple[CatalogEntry, Sequence[ServingWorker]]],
    pauses: Mapping[str, ModelPause],
) -> None:
    """Print a table of models with the workers that can run each."""
    if not rows:
        screen.say(
            "No worker has published a model yet: start workers with `seqd up`. The models of this "
            "machine's own store: seqd models list --local"
        )
        return
    served = {entry.model: serving for entry, serving in rows}

    def workers(entry: CatalogEntry) -> str:
        return workers_told(entry, served[entry.model], pauses.get(entry.model))

    *first, last = MODEL_COLUMNS
    print_table(screen, [*first, Column("can run it", workers), last], [entry for entry, _ in rows])


def _print_model(
    screen: Screen,
    entry: CatalogEntry,
    version: int | None,
    pause: ModelPause | None,
    counts: Sequence[VersionCounts] | None,
    *,
    has_card: bool,
) -> None:
    """Print a model and a version of it, whose card may be printed below.

    `counts` are those of the roll-out that goes on.
    """
    meant = next((one for one in entry.versions if one.version == version), None)
    print_facts(screen, model_facts(entry, meant, is_brief=has_card))
    if pause is not None:
        words = pause_in_words(pause)
        screen.say(f"It is {words}. Let it go on: seqd models resume {entry.model}", "yellow")
    if entry.labels_fault is not None:
        screen.say(f"Its labels mean nothing now: {entry.labels_fault}", "yellow")
    print_versions(screen, entry.versions, entry.labels)
    if entry.rollout is not None:
        screen.say()
        _print_rollout(screen, entry.model, entry.rollout, counts or ())
    screen.say()


def _print_workers(screen: Screen, entry: CatalogEntry, serving: Sequence[ServingWorker]) -> None:
    if not serving:
        screen.say(
            f"No worker that is up has {entry.model}: `seqd status` shows the workers.", "yellow"
        )
        return
    print_table(screen, SERVING_COLUMNS, serving)


def _print_rollout(
    screen: Screen, model: str, rollout: Rollout, counts: Sequence[VersionCounts]
) -> None:
    """Print a roll-out that goes on, with what its versions did so far."""
    screen.say(rollout_title(model, rollout), "bold")
    screen.say(rollout_told(model, rollout))
    print_table(screen, rollout_columns(model, rollout), counts_of_both(rollout, counts))


def _print_local_models(screen: Screen, entries: Sequence[CatalogEntry]) -> None:
    """Print a table of models."""
    if entries:
        print_table(screen, MODEL_COLUMNS, entries)
    else:
        screen.say("No models. `seqd plugins list` shows the plugins that should bring some.")
