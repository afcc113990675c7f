"""A plugin with a task whose output has a text of any length."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import TaskOutput


class Translation(TaskOutput):
    """An output whose text has no bound."""

    text: str = Field(description="The translation.")


class Careless(Model):
    """A model with such a task."""

    name = "unbounded_output"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"translate": TaskSpec(PluginParameters, output=Translation)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]
