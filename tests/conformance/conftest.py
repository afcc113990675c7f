"""What the conformance tests run on: every model of the real registry, trained on tiny data.

A subject is one version of one model: the one trained here in seconds, and the starter where
the plugin ships one. Nothing here knows a model by name; parameters are made small by their
own names and bounds, so that a new plugin is taken up as soon as it is installed. The plugin of
the guide for plugin authors is one of them, since it is what they begin with, and so are the
examples, those whose library is installed.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pydantic import BaseModel

from conformance.made_records import with_record
from example_plugin import installed_example, runnable_kit_examples
from guide_plugin import installed_plugin
from seqd.hookspecs import Artifact, LabelledRecord, LoadedModel, Model, PluginParameters, WorkItem
from seqd.inputs.datasets import ListDataset
from seqd.kinds import SERVED_TASKS, TRAIN, kind_of_task
from seqd.models.registry import Registry
from seqd.models.version_files import open_folder
from seqd.settings import Settings
from seqd.testing import CPU, MemoryRunContext, MemoryTrainContext, train_to_artifact
from seqd_schemas import Task

#: Small values of usual parameters; each is used where a model has it, within its bounds.
SMALL = {
    "epochs": 2,
    "units": 4,
    "embedding_dim": 4,
    "vocabulary_size": 60,
    "max_tokens": 12,
    "window": 8,
    "step": 4,
    "batch_size": 8,
    "sample_length": 4,
    "validation_split": 0.2,
    "length": 12,
    "samples": 2,
    "seed": 11,
}

PRAISE = "a great film with a fine cast and a warm heart number {}, which i loved"
BLAME = "a dull film with a weak plot and a cold heart number {}, which i hated"


@dataclass
class Subject:
    """One version of one model, with what is needed to run it."""

    model: Model
    artifact: Artifact
    folder: Path
    _loaded: list[LoadedModel] = field(default_factory=list)

    @property
    def loaded(self) -> LoadedModel:
        """The version in memory, loaded once."""
        if not self._loaded:
            self._loaded.append(self.model.load(self.artifact, CPU))
        return self._loaded[0]

    @property
    def serving_tasks(self) -> list[Task]:
        """The tasks that turn items into outcomes, those that the plugin has named among them."""
        return [task for task in self.model.tasks if task != TRAIN]

    @property
    def own_tasks(self) -> list[Task]:
        """The tasks that the plugin has named."""
        return [task for task in self.serving_tasks if task not in SERVED_TASKS]

    def output(self, task: Task) -> type[BaseModel]:
        """Return the class of what a task gives."""
        return kind_of_task(task).output or self.model.tasks[task].output

    def work(self, task: Task, items: Sequence[WorkItem]) -> list[WorkItem]:
        """Return items as a task takes them: those that a record can be made of, as records."""
        record = self.model.tasks[task].input
        if record is None:
            return list(items)
        return [made for item in items if (made := with_record(item, record)) is not None]

    def run(
        self,
        task: Task,
        items: Sequence[WorkItem],
        context: MemoryRunContext | None = None,
        loaded: LoadedModel | None = None,
        **more: object,
    ) -> list[object]:
        """Run one batch, on this version as it is in memory, or as `loaded` has it."""
        model = loaded or self.loaded
        run = getattr(model, task) if task in SERVED_TASKS else partial(model.run, task)
        parameters = small_parameters(self.model, task).model_copy(update=more)
        return list(run(items, parameters, context or MemoryRunContext()))


def small_parameters(model: Model, task: Task) -> PluginParameters:
    """Make the cheapest sensible parameters of a task."""
    parameters = model.tasks[task].parameters
    schema = parameters.model_json_schema()["properties"] if parameters.model_fields else {}
    return parameters.model_validate(
        {name: _within(value, schema[name]) for name, value in SMALL.items() if name in schema}
    )


def _within(value: float, schema: Mapping[str, float]) -> float:
    return min(max(value, schema.get("minimum", value)), schema.get("maximum", value))


def tiny_data() -> ListDataset:
    """Forty short reviews of two classes; as running text, about 2,800 characters."""
    records = [
        LabelledRecord(text=(PRAISE if number % 2 else BLAME).format(number), label=label)
        for number in range(40)
        for label in ["positive" if number % 2 else "negative"]
    ]
    return ListDataset(records, "forty reviews of a test")


def some_items(count: int = 7, first: int = 0) -> list[WorkItem]:
    """Make items that all models can work on, of different lengths and all different."""
    texts = [(PRAISE if i % 2 else BLAME).format(i)[: 30 + 5 * i] for i in range(count)]
    return [WorkItem(index=first + i, text=text) for i, text in enumerate(texts)]


def train(model: Model, folder: Path, *, stop_after: int | None = None) -> MemoryTrainContext:
    """Train on the tiny data into a folder, and give the context with what was reported."""
    context = MemoryTrainContext(folder / "version", tiny_data(), stop_after=stop_after)
    model.train(small_parameters(model, "train"), context)
    return context


def _folders() -> list[str]:
    """Where to find the plugins of the guide and of the examples, unless one is installed."""
    installed = {entry.name for entry in entry_points(group="seqd")}
    folders = {"length": installed_plugin, "embed": installed_example}
    folders |= {
        name: partial(installed_example, f"seqd_{name}") for name in runnable_kit_examples()
    }
    return [str(folder()) for name, folder in folders.items() if name not in installed]


#: What is on `sys.path` besides, while plugins are looked for.
BESIDES = _folders()


def _load_all() -> Registry:
    sys.path += BESIDES
    try:
        return Registry.load(Settings())
    finally:
        # The other tests of this run are about what is installed, and no more.
        for folder in BESIDES:
            sys.path.remove(folder)


REGISTRY = _load_all()


def _subjects() -> list[str]:
    names = []
    for name, model in REGISTRY.models.items():
        names += [f"{name}-trained"] if "train" in model.tasks else []
        names += [f"{name}-starter"] if model.starter is not None else []
    return names


@pytest.fixture(scope="session")
def registry() -> Registry:
    """All installed plugins, the guide's and the examples."""
    return REGISTRY


@pytest.fixture(scope="session", params=_subjects())
def subject(request, tmp_path_factory) -> Subject:
    """Each version of each model, in turn."""
    name, _, kind = request.param.partition("-")
    model = REGISTRY.model(name)
    folder = tmp_path_factory.mktemp(request.param)
    if kind == "starter":
        return Subject(model, open_folder(model.starter, name, 0), folder)
    parameters = small_parameters(model, "train")
    return Subject(model, train_to_artifact(model, parameters, tiny_data(), folder), folder)


@pytest.fixture(scope="session", params=sorted(REGISTRY.models))
def model(request) -> Model:
    """Each model's description, in turn."""
    return REGISTRY.model(request.param)


@pytest.fixture(
    scope="session", params=sorted(n for n, m in REGISTRY.models.items() if "train" in m.tasks)
)
def trainable(request) -> Model:
    """Each model that can be trained, in turn."""
    return REGISTRY.model(request.param)


def pytest_collection_modifyitems(items) -> None:
    """Leave the trainings of networks, which learn in epochs, to `make test-all`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and _trains_a_network(item):
            item.add_marker(pytest.mark.slow)


def _trains_a_network(item) -> bool:
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    name, _, kind = chosen.get("subject", "").partition("-")
    trained = chosen.get("trainable") or (name if kind == "trained" else None)
    if trained is None:
        return False
    return "epochs" in REGISTRY.model(trained).tasks["train"].parameters.model_fields


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many checks of each clause ran, so that green never means that nothing ran."""
    clauses = Counter(_clauses_of(terminalreporter.stats.get("passed", [])))
    if clauses:
        each = ", ".join(f"{clause} {count}" for clause, count in sorted(clauses.items()))
        models = ", ".join(REGISTRY.models)
        terminalreporter.write_line(
            f"conformance: {clauses.total()} checks passed ({each}) on {models}"
        )


def _clauses_of(reports: Sequence[pytest.TestReport]) -> Iterator[str]:
    for report in reports:
        match = re.search(r"conformance/.*::test_([a-z][0-9])_", report.nodeid)
        if match and report.when == "call":
            yield match[1].upper()
