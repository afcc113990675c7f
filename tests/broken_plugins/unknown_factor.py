"""A plugin whose output is bounded by what is no parameter."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import OutputBound


class Parameters(PluginParameters):
    """Two parameters."""

    length: int = Field(default=1, ge=1, le=100, description="Characters to write.")
    boldness: float = Field(default=1, ge=0, le=10, description="How bold it is.")


class Writer(Model):
    """A model with a generating task."""

    name = "unknown_factor"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {
        "generate": TaskSpec(
            Parameters, output=OutputBound(factors=("lenght",), max_characters=100)
        ),
    }

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Writer()]
