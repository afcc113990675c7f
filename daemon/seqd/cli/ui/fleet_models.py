"""The fleet's models as people see them: a table, and a model in full with its workers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqd.cli.ui.models import print_versions
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.ledger.model_pauses import pause_in_words
from seqd.serving import ServingWorker
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
    ModelPause,
    Rollout,
    VersionCounts,
)


def print_fleet_models(
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


class FleetModel(NamedTuple):
    """A model, the version of it that is meant, and whether it is paused."""

    entry: CatalogEntry
    version: int | None
    pause: ModelPause | None


def print_fleet_model(
    screen: Screen,
    model: FleetModel,
    serving: Sequence[ServingWorker],
    counts: Sequence[VersionCounts] | None,
    *,
    has_card: bool = False,
) -> None:
    """Print a model, a version of it, and the workers that have it.

    `counts` are those of the roll-out that goes on. `has_card` says that the version's card is
    printed below.
    """
    entry, version, pause = model
    shown = next((one for one in entry.versions if one.version == version), None)
    print_facts(screen, model_facts(entry, shown, is_brief=has_card))
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
    _print_workers(screen, entry, serving)
    if shown is not None and not has_card:
        screen.say()
        screen.say(
            "Its card, and what it has learnt, on a machine that has the store: seqd models show "
            f"{entry.model}@{version} --local",
            "dim",
        )


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
