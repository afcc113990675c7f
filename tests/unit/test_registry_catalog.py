"""What workers publish of a model."""

from typing import Any, ClassVar

import pytest

from seqd.hookspecs import Model, PluginParameters, TaskSpec
from seqd.models.catalog import catalog_entry
from seqd_schemas import (
    MAX_PUBLISHED_CHANGES,
    MAX_VERSIONS,
    CatalogEntry,
    PluginState,
    PluginStatus,
)
from store_builders import a_change, a_manifest


class Critic(Model):
    """A model that classifies."""

    name = "critic"
    summary = "Likes or dislikes."
    tasks: ClassVar = {"classify": TaskSpec(PluginParameters)}

    def load(self, artifact: object, device: object) -> Any:
        raise NotImplementedError


class Shelf:
    """A model store in memory."""

    def __init__(
        self, *versions: int, changes: int = 0, retiring: tuple[int, ...] = (), **labels: int
    ) -> None:
        self.retiring = lambda name: retiring
        self.history = lambda name: [a_change(None, 1, at_ms=number) for number in range(changes)]
        self.versions = lambda name: [a_manifest(version=version) for version in versions]
        self.labels = lambda name: labels
        self.rollout = lambda name: None
        self.owner_of = lambda name: None


def entry_of(shelf: Shelf) -> CatalogEntry:
    status = PluginStatus(
        name="critics", distribution="seqd-critics", version="1.2", state=PluginState.READY
    )
    return catalog_entry(Critic(), status, shelf, now_ms=5_000)


@pytest.mark.parametrize(
    ("shelf", "versions", "labels"),
    [
        (Shelf(), [], {}),
        # One that is about to go is not published, and is not the latest.
        (
            Shelf(1, 2, 3, retiring=(3,), production=1, latest=3),
            [1, 2],
            {"production": 1, "latest": 2},
        ),
        (Shelf(*range(MAX_VERSIONS + 5)), [*range(5, MAX_VERSIONS + 5)], {}),
    ],
    ids=["none", "retiring", "very many"],
)
def test_versions_are_published_as_far_as_they_stay_and_there_is_room(shelf, versions, labels):
    entry = entry_of(shelf)

    assert [one.version for one in entry.versions] == versions
    assert entry.labels == labels


def test_of_many_changes_of_the_version_in_service_the_last_are_published():
    entry = entry_of(Shelf(1, changes=MAX_PUBLISHED_CHANGES + 3))

    assert [change.at_ms for change in entry.history] == list(range(3, MAX_PUBLISHED_CHANGES + 3))
