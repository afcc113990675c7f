"""A plugin with a list whose numbers may be anything."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """A bounded list of unbounded numbers."""

    temperatures: tuple[float, ...] = Field(
        default=(), max_length=4, description="Temperatures to sample at."
    )


class Careless(Model):
    """A model with these parameters."""

    name = "unbounded_list"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]
