"""A plugin whose output is bounded by a number, where a record is due."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """Two parameters."""

    length: int = Field(default=1, ge=1, le=100, description="Characters to write.")
    boldness: float = Field(default=1, ge=0, le=10, description="How bold it is.")


class Writer(Model):
    """A model with a generating task."""

    name = "bound_by_a_number"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {
        "generate": TaskSpec(Parameters, output=100),
    }

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Writer()]
