"""A plugin with a task whose record takes unknown fields."""

from typing import ClassVar

from pydantic import BaseModel, Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import Score


class Pair(BaseModel):
    """A record that takes any field."""

    left: str = Field(max_length=10, description="One text.")


class Careless(Model):
    """A model with such a task."""

    name = "open_input"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"compare": TaskSpec(PluginParameters, output=Score, input=Pair)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]
