"""The speed of a version on this machine: what is counted, and what a plugin may get wrong."""

import os
from collections.abc import Sequence

import pytest
import seqd_tasks

from seqd.cli.models.speed import measure_speed, measured_tasks
from seqd.errors import PluginFault
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    RunContext,
    TaskSpec,
    WorkItem,
)
from seqd.models.store import ModelStore
from seqd_schemas import Classification, ItemError, ItemErrorCode
from store_builders import publish
from worker_fixtures import publish_file

pytestmark = pytest.mark.usefixtures("own_environment")


class NoParameters(PluginParameters):
    """None."""


class Counting(LoadedModel):
    """Classifies, and counts its calls; or does what a broken plugin does."""

    memory_bytes = 1

    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour
        self.batches: list[list[str]] = []

    def warm_up(self) -> None:
        self.batches.append([])

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        if self._behaviour == "raises":
            raise ValueError("it broke")
        self.batches.append([item.text for item in items])
        if self._behaviour == "errors":
            return [ItemError(code=ItemErrorCode.INVALID_INPUT, message="bad") for _ in items]
        return [Classification(label="a", score=1.0, truncated=False) for _ in items]


class CountingModel(Model):
    """A model that says how it is called."""

    name = "topics"
    summary = "Counts."
    tasks = {"classify": TaskSpec(NoParameters)}  # noqa: RUF012

    def __init__(self, behaviour: str = "") -> None:
        self.loaded = Counting(behaviour)

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return self.loaded


@pytest.fixture
def artifact(tmp_path):
    store = ModelStore(tmp_path, {})
    return store.open("topics", publish(store))


def test_texts_are_counted_from_the_second_call_on_and_the_machine_is_named(artifact):
    model = CountingModel()

    speed = measure_speed(model, artifact, 0.05)

    warm_up, first, *measured = model.loaded.batches
    assert warm_up == []
    assert speed.items == sum(map(len, measured))
    assert all(batch == first for batch in measured)
    assert speed.seconds >= 0.05
    assert speed.items_per_s == pytest.approx(speed.items / speed.seconds)
    characters = sum(len(text) for batch in measured for text in batch)
    assert speed.characters_per_s == pytest.approx(characters / speed.seconds)
    assert (speed.task, speed.slot, speed.machine) == ("classify", "cpu:0", os.uname().nodename)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("raises", "measuring the speed of topics@1 failed: ValueError: it broke"),
        ("errors", "topics gave an error for a text of common words"),
    ],
)
def test_a_plugin_that_breaks_is_named(artifact, behaviour, message):
    with pytest.raises(PluginFault) as raised:
        measure_speed(CountingModel(behaviour), artifact, 0.0)

    assert str(raised.value) == message


@pytest.mark.parametrize(("name", "task"), [("vectors", "embed"), ("pairs", "compare")])
def test_a_task_of_the_plugins_own_is_measured_on_texts_or_records(tmp_path, name, task):
    model = next(one for one in seqd_tasks.MODELS if one.name == name)
    store = ModelStore(tmp_path, {})
    publish_file(tmp_path, name, "tasks.json", "{}")
    artifact = store.open(name, 1)

    speed = measure_speed(model, artifact, 0.0)

    assert (speed.task, speed.items) == (task, 64)
    assert measured_tasks(model) == [task]
