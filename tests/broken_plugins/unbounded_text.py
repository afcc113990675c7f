"""A plugin with a text that may have any length."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """A text without a bound."""

    prompt: str | None = Field(default=None, description="What to begin with.")


class Careless(Model):
    """A model with these parameters."""

    name = "unbounded_text"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]
