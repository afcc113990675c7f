"""A plugin with a task whose output has a field that JSON does not have."""

from typing import ClassVar

from pydantic import ConfigDict, Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import TaskOutput


class Array(TaskOutput):
    """An output with a field of a class of one's own."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    values: memoryview = Field(description="The numbers.")


class Careless(Model):
    """A model with such a task."""

    name = "output_without_schema"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"embed": TaskSpec(PluginParameters, output=Array)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]
