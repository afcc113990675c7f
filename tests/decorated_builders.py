"""Runs what `seqd.plugin` has decorated, in this process, as a worker would."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from seqd.errors import PluginFault
from seqd.hookspecs import Artifact, LoadedModel, Model, WorkItem
from seqd.kinds import SERVED_TASKS
from seqd.models.catalog import built_in_version
from seqd.models.descriptions import check_model
from seqd.models.loading import as_plugin
from seqd.plugin.decorated import decorated_models
from seqd.testing import CPU, MemoryRunContext


def model_of(decorated: object) -> Model:
    """Return the one model that a decorator has made, whose description is sound."""
    (model,) = decorated_models(decorated)
    check_model(model)
    return model


def models_of(module: ModuleType) -> list[str]:
    """Return the names of the models that a module hands over."""
    plugin = as_plugin(module)
    return [] if plugin is module else [one.name for one in plugin.seqd_register_models()]


def loaded(decorated: object, artifact: Artifact | None = None) -> LoadedModel:
    """Return it in memory."""
    model = model_of(decorated)
    return model.load(artifact or built_in_version(model, "1.0"), CPU)


def items_of(texts: Sequence[str]) -> list[WorkItem]:
    return [WorkItem(index, text) for index, text in enumerate(texts)]


def outcomes_of(
    decorated: object,
    task: str,
    items: Sequence[WorkItem] | Sequence[str],
    context: MemoryRunContext | None = None,
    artifact: Artifact | None = None,
    **parameters: object,
) -> list[BaseModel]:
    """Return the outcomes of a task, of texts or of items."""
    work = [one if isinstance(one, WorkItem) else WorkItem(n, one) for n, one in enumerate(items)]
    model = loaded(decorated, artifact)
    checked = model_of(decorated).tasks[task].parameters.model_validate(parameters)
    context = context or MemoryRunContext()
    if task in SERVED_TASKS:
        return list(getattr(model, task)(work, checked, context))
    return list(model.run(task, work, checked, context))


def label_file(folder: Path) -> Path:
    """Return where the tests' models keep what they have learnt."""
    return folder / "learnt.json"


def made(source: str) -> Any:
    """Return the function or class that a source defines, with what authors import at hand."""
    names: dict[str, object] = {"__name__": "mine"}
    exec(
        "from typing import *\nfrom pydantic import *\nfrom seqd.hookspecs import *\n"
        f"from seqd_schemas import *\nfrom seqd.plugin import *\n{source}",
        names,
    )
    return list(names.values())[-1]


def refusal_of(decorate: Callable[[Any], object], source: str) -> str:
    """Return why a decorator refuses what a source defines."""
    with pytest.raises(PluginFault) as refused:
        decorate(made(source))
    return str(refused.value)
