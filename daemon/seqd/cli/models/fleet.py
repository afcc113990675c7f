"""The models of the fleet: what workers publish of them, and which workers can run them.

Needs Redis alone: no plugin and no store.
"""

from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.models.params import naming_local
from seqd.cli.showing import Found
from seqd.cli.ui.screen import Screen
from seqd.errors import SeqdError

if TYPE_CHECKING:
    from seqd.serving import ServingWorker
    from seqd_schemas import CatalogEntry, ModelCard, ModelPause, VersionCounts, WorkerStatus


def list_fleet_models() -> Found:
    """Return the models of the fleet, each with its workers."""
    from seqd.cli.ui.fleet_models import print_fleet_models
    from seqd.serving import workers_of_model

    catalog, workers, pauses = _read_fleet("list")
    rows = [
        (entry, workers_of_model(workers, entry.model))
        for entry in sorted(catalog.values(), key=lambda entry: entry.model)
    ]
    return Found(
        [_as_record(entry, serving, pauses) for entry, serving in rows],
        lambda screen: print_fleet_models(screen, rows, pauses),
    )


def show_fleet_model(reference: str) -> Found:
    """Return a model of the fleet, the version that is meant, and its tasks. Raises UnknownModel.

    Its card stands between where this machine's store has that very version.
    """
    from seqd.admission import find_model, resolve_version
    from seqd.cli.ui.fleet_models import FleetModel, print_fleet_model
    from seqd.cli.ui.model_card import print_card
    from seqd.cli.ui.model_tasks import contract_of, print_task
    from seqd.serving import workers_of_model
    from seqd_schemas import ModelReference

    name, wanted = ModelReference.parse(reference)
    catalog, workers, pauses = _read_fleet(f"show {reference}")
    entry = find_model(name, catalog)
    # Bare, a model may be looked at that nobody has trained yet.
    is_untrained = wanted is None and not entry.versions
    version = None if is_untrained else resolve_version(entry, wanted)
    serving, counts = workers_of_model(workers, name), _counts_of(entry)
    card = _card_here(entry, version)

    def view(screen: Screen) -> None:
        shown = FleetModel(entry, version, pauses.get(name))
        print_fleet_model(screen, shown, serving, counts, has_card=card is not None)
        if card is not None:
            screen.say()
            print_card(screen, card)
        for task in entry.all_tasks:
            screen.say()
            print_task(screen, entry, task)

    found = {"version": version, "rollout_counts": counts or [], "card": card}
    contract = {"contract": contract_of(entry)}
    return Found(_as_record(entry, serving, pauses) | found | contract, view)


def _counts_of(entry: "CatalogEntry") -> "list[VersionCounts] | None":
    """Return what the versions of a roll-out did so far; None where none goes on."""
    if entry.rollout is None:
        return None
    with options.open_ledger() as ledger:
        return ledger.rollouts.of(entry.model, entry.rollout.id)


def _card_here(entry: "CatalogEntry", version: int | None) -> "ModelCard | None":
    """Return a version's card where this machine's store has it; None where it does not."""
    from seqd.cli.models.kept_evaluations import version_here
    from seqd.models.cards import card_of
    from seqd.models.stored_versions import STARTER_VERSION

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
) -> "tuple[dict[str, CatalogEntry], list[WorkerStatus], dict[str, ModelPause]]":
    """Return the catalog, the workers that are up, and which models are paused.

    `words` are those of the command.
    """
    with naming_local(words), options.open_client() as client:
        return client.catalog(), client.workers(), client.paused_models()


def _as_record(
    entry: "CatalogEntry", serving: "list[ServingWorker]", pauses: "dict[str, ModelPause]"
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
