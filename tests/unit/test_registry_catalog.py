"""What workers publish of a model."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec
from seqd.models.catalog import catalog_entry
from seqd_schemas import (
    MAX_PUBLISHED_CHANGES,
    MAX_VERSIONS,
    CatalogEntry,
    DataFingerprint,
    FileDigest,
    ModelManifest,
    PluginState,
    PluginStatus,
)
from store_builders import a_change


class Training(PluginParameters):
    """Parameters of a training."""

    epochs: int = Field(default=3, ge=1, le=100, description="Passes over the data.")


class Critic(Model):
    """A model that classifies and can be trained."""

    name = "critic"
    summary = "Likes or dislikes."
    tasks: ClassVar = {
        "classify": TaskSpec(PluginParameters, unit_items=64),
        "train": TaskSpec(Training),
    }
    presets: ClassVar = {"tutorial": {"epochs": 2}}
    datasets = ("keras:imdb",)

    def load(self, artifact, device):
        raise NotImplementedError


class Shelf:
    """A model store in memory."""

    def __init__(
        self, *versions: int, changes: int = 0, retiring: tuple[int, ...] = (), **labels: int
    ) -> None:
        self._retiring = retiring
        self._changes = changes
        self._manifests = [a_manifest(version) for version in versions]
        self._labels = labels

    def versions(self, name):
        return self._manifests

    def labels(self, name):
        return self._labels

    def rollout(self, name):
        return None

    def history(self, name):
        return [a_change(None, 1, at_ms=number) for number in range(self._changes)]

    def retiring(self, name):
        return self._retiring


def a_manifest(version: int) -> ModelManifest:
    return ModelManifest(
        model="critic",
        version=version,
        plugin_version="1.2",
        preset="tutorial",
        parameters={"epochs": 2},
        metrics={"validation_accuracy": 0.8},
        data=DataFingerprint(description="two reviews", records=2, sha256="0" * 64),
        libraries={},
        created_at_ms=1_000 + version,
        files={"weights.safetensors": FileDigest(sha256="0" * 64, size_bytes=1)},
    )


STATUS = PluginStatus(
    name="critics", distribution="seqd-critics", version="1.2", state=PluginState.READY
)


def test_an_entry_has_all_that_a_client_needs_and_survives_the_wire():
    entry = catalog_entry(Critic(), STATUS, Shelf(2, 0, 1, production=1), now_ms=5_000)

    assert CatalogEntry.model_validate_json(entry.model_dump_json()) == entry
    assert (entry.model, entry.plugin, entry.plugin_version) == ("critic", "critics", "1.2")
    assert entry.tasks["classify"].unit_items == 64
    assert entry.tasks["train"].parameters["properties"]["epochs"]["maximum"] == 100
    assert entry.tasks["train"].parameters["additionalProperties"] is False
    assert entry.presets == {"tutorial": {"epochs": 2}}
    assert entry.datasets == ("keras:imdb",)
    assert entry.labels == {"production": 1}
    assert entry.published_at_ms == 5_000


def test_versions_are_in_ascending_order_with_their_figures():
    entry = catalog_entry(Critic(), STATUS, Shelf(2, 0, 1), now_ms=0)

    assert [summary.version for summary in entry.versions] == [0, 1, 2]
    assert entry.versions[2].created_at_ms == 1_002
    assert entry.versions[2].metrics == {"validation_accuracy": 0.8}


def test_a_model_without_versions_is_published_all_the_same():
    entry = catalog_entry(Critic(), STATUS, Shelf(), now_ms=0)

    assert entry.versions == ()
    assert entry.labels == {}


def test_a_version_that_is_about_to_go_is_not_published_and_is_not_the_latest():
    entry = catalog_entry(
        Critic(), STATUS, Shelf(1, 2, 3, retiring=(3,), production=1, latest=3), now_ms=0
    )

    assert [one.version for one in entry.versions] == [1, 2]
    assert entry.labels == {"production": 1, "latest": 2}


def test_of_many_changes_of_the_version_in_service_the_last_are_published():
    entry = catalog_entry(Critic(), STATUS, Shelf(1, changes=MAX_PUBLISHED_CHANGES + 3), now_ms=0)

    assert [change.at_ms for change in entry.history] == list(range(3, MAX_PUBLISHED_CHANGES + 3))


def test_of_very_many_versions_the_newest_are_published():
    entry = catalog_entry(Critic(), STATUS, Shelf(*range(MAX_VERSIONS + 5)), now_ms=0)

    assert len(entry.versions) == MAX_VERSIONS
    assert entry.versions[-1].version == MAX_VERSIONS + 4
