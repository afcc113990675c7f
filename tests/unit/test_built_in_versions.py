"""A model that is neither trained nor has files has a version 0 that is built in: its code."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from plugin_builders import a_registry_of
from seqd.errors import InvalidRequest, UnknownModel
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    TrainContext,
    TrainedModel,
    hookimpl,
)
from seqd.models.cards import card_of
from seqd.models.catalog import catalog_entry, versions_zero
from seqd.models.store import ModelStore
from seqd.models.version_files import digest_of
from seqd_schemas import VersionOrigin
from store_builders import a_change, publish, shape_of


class Rule(Model):
    name: ClassVar[str] = "rule"
    summary: ClassVar[str] = "Classifies by a rule."
    tasks: ClassVar = {"classify": TaskSpec(PluginParameters)}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        raise NotImplementedError


class Weighted(Rule):
    name: ClassVar[str] = "weighted"
    needs_weights: ClassVar[bool] = True


class Learning(Rule):
    """The plugin's next version: the model of before, which is trained now."""

    tasks: ClassVar = {"classify": TaskSpec(PluginParameters), "train": TaskSpec(PluginParameters)}

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        raise NotImplementedError


class Plugin:
    def __init__(self, *models: Model) -> None:
        self.models = models

    @hookimpl
    def seqd_register_models(self) -> Sequence[Model]:
        return self.models


@pytest.fixture
def registry():
    return a_registry_of([("rules", Plugin(Rule(), Weighted()))])


@pytest.fixture
def store(registry, tmp_path):
    return ModelStore(tmp_path, versions_zero(registry))


def test_a_rule_is_in_service_as_version_0_whose_digest_is_that_of_its_module(registry, store):
    artifact = store.open(*store.resolve("rule"))
    entry = catalog_entry(registry.model("rule"), registry.plugin_of("rule"), store, now_ms=0)
    card = card_of(store, artifact)

    assert store.resolve("rule") == ("rule", 0)
    assert store.labels("rule") == {"production": 0, "latest": 0}
    assert artifact.folder == Path(__file__).parent
    assert artifact.manifest.files == {Path(__file__).name: digest_of(Path(__file__))}
    assert artifact.manifest.data.description == "none: the code is the model"
    assert [one.version for one in entry.versions] == [0]
    assert entry.labels["production"] == 0
    assert (card.size_bytes, card.manifest.is_built_in) == (0, True)
    assert card.manifest.origin == VersionOrigin(is_built_in=True)


def test_a_model_that_needs_weights_has_no_version_until_they_are_added(store):
    assert store.models() == ["rule"]
    assert store.numbers("weighted") == []


@pytest.fixture
def next_store(tmp_path):
    """The same store, once the plugin is upgraded."""
    return ModelStore(tmp_path, versions_zero(a_registry_of([("rules", Plugin(Learning()))])))


def test_it_is_neither_removed_nor_does_the_store_get_a_folder_of_it(store, tmp_path):
    with pytest.raises(InvalidRequest) as refused:
        store.remove("rule", 0)

    assert str(refused.value) == (
        "rule@0 is built in: it is the plugin's code, and goes with the plugin; it is not removed"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_version_beside_it_is_put_in_service_and_it_is_again(store):
    assert publish(store, "rule") == 1
    assert store.resolve("rule") == ("rule", 0)

    store.put_in_service("rule", a_change(0, 1))
    promoted = store.resolve("rule")
    store.put_in_service("rule", a_change(1, 0, is_rollback=True))

    assert promoted == ("rule", 1)
    assert store.resolve("rule") == ("rule", 0)
    assert shape_of(store, "rule") == [(0, 1), (1, 0)]


def test_once_the_plugin_brings_none_any_more_its_name_says_what_to_do(store, next_store):
    publish(store, "rule")

    with pytest.raises(UnknownModel) as unknown:
        next_store.resolve("rule")

    assert str(unknown.value) == (
        "no version rule@0, which rule stands for. Versions of rule: 1. Its plugin brings no "
        "version 0 any more. Put another one in service: seqd models promote rule@1"
    )
    assert next_store.numbers("rule") == [1]


def test_a_version_that_comes_after_it_is_gone_goes_into_service(store, next_store):
    publish(store, "rule")

    assert publish(next_store, "rule", content="{}") == 2

    assert next_store.resolve("rule") == ("rule", 2)
    assert shape_of(next_store, "rule") == [(0, 2)]
    assert next_store.history("rule")[-1].why == "its plugin brings no version 0 any more"
