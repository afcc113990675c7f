"""A model in the catalog has the versions of all workers, whose stores may differ."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from seqd.models.model_records import LATEST, PRODUCTION
from seqd.models.stored_versions import STARTER_VERSION
from seqd_schemas import MAX_VERSIONS, CatalogEntry, Rollout, WorkerStatus


def lacks_any(catalog: Mapping[str, CatalogEntry], versions: Mapping[str, Sequence[int]]) -> bool:
    """Return True where a version that a worker can run is not among those published.

    Two workers that publish at once may each have read what was there before the other did.
    """
    for model, mine in versions.items():
        entry = catalog.get(model)
        published = [] if entry is None else [summary.version for summary in entry.versions]
        oldest = published[0] if len(published) == MAX_VERSIONS else 0
        if any(number >= oldest for number in set(mine) - set(published)):
            return True
    return False


def lacks_rollout(
    catalog: Mapping[str, CatalogEntry],
    models: Iterable[str],
    rollout_of: Callable[[str], Rollout | None],
) -> bool:
    """Return True where a roll-out that goes on in a worker's store is not the one published."""
    for model in models:
        entry, found = catalog.get(model), rollout_of(model)
        published = None if entry is None else entry.rollout
        if found is not None and (published is None or published.id != found.id):
            return True
    return False


def with_versions_elsewhere(
    entry: CatalogEntry,
    published: CatalogEntry | None,
    others: Iterable[WorkerStatus],
    retiring: Collection[int] = (),
) -> CatalogEntry:
    """Return an entry with those published versions, too, that another worker can run.

    None that is `retiring`, which is about to go, is among them.

    Versions of one store that was removed from it are not: whoever shares it says so by its next
    heartbeat, and publishes again.
    """
    if published is None:
        return entry
    elsewhere = {number for one in others for number in one.versions.get(entry.model, ())}
    here = {summary.version for summary in entry.versions}
    more = [one for one in published.versions if one.version in elsewhere - here - {*retiring}]
    if not more:
        return entry
    versions = sorted([*entry.versions, *more], key=lambda summary: summary.version)
    # Labels of the other store that this one does not know; its own stand, but for a starter that
    # serves because nobody has put another version in service here.
    numbers = here | {summary.version for summary in more}
    known = {name: one for name, one in published.labels.items() if one in numbers}
    labels = {**known, **entry.labels, LATEST: versions[-1].version}
    theirs = known.get(PRODUCTION)
    if labels.get(PRODUCTION) == STARTER_VERSION and theirs is not None and theirs not in here:
        labels[PRODUCTION] = theirs
    rollout = entry.rollout
    if rollout is None and published.rollout is not None:
        # That of the other store, whose candidate this one does not have.
        rollout = published.rollout if published.rollout.version not in here else None
    update = {"versions": tuple(versions[-MAX_VERSIONS:]), "labels": labels, "rollout": rollout}
    return entry.model_copy(update=update)
