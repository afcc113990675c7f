"""A model that is neither trained nor has files has a version 0 that is built in: its code."""

from pathlib import Path
from typing import ClassVar

import pytest

from plugin_builders import a_registry_of
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    hookimpl,
)
from seqd.models.built_in import versions_zero
from seqd.models.catalog import catalog_entry
from seqd.models.store import ModelStore
from seqd.models.version_files import digest_of


class Rule(Model):
    name: ClassVar[str] = "rule"
    summary: ClassVar[str] = "Classifies by a rule."
    tasks: ClassVar = {"classify": TaskSpec(PluginParameters)}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        raise NotImplementedError


class Weighted(Rule):
    name: ClassVar[str] = "weighted"
    needs_weights: ClassVar[bool] = True


class Plugin:
    @hookimpl
    def seqd_register_models(self) -> list[Model]:
        return [Rule(), Weighted()]


@pytest.fixture
def registry():
    return a_registry_of([("rules", Plugin())])


@pytest.fixture
def store(registry, tmp_path):
    return ModelStore(tmp_path, versions_zero(registry))


def test_a_rule_is_in_service_as_version_0_whose_digest_is_that_of_its_module(store):
    name, version = store.resolve("rule")
    artifact = store.open(name, version)

    assert (name, version) == ("rule", 0)
    assert store.labels("rule") == {"production": 0, "latest": 0}
    assert artifact.folder == Path(__file__).parent
    assert artifact.manifest.files == {Path(__file__).name: digest_of(Path(__file__))}
    assert artifact.manifest.data.description == "none: the code is the model"


def test_the_fleet_is_told_of_it(registry, store):
    entry = catalog_entry(registry.model("rule"), registry.plugin_of("rule"), store, now_ms=0)

    assert [one.version for one in entry.versions] == [0]
    assert entry.labels["production"] == 0


def test_a_model_that_needs_weights_has_no_version_until_they_are_added(store):
    assert store.models() == ["rule"]
    assert store.numbers("weighted") == []
