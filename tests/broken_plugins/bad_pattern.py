"""A plugin with a pattern that is no regular expression."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """One parameter."""

    code: str = Field(default="a", pattern="[a-", max_length=9, description="In front.")


class Preset(Model):
    """A model with a training task."""

    name = "bad_pattern"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"train": TaskSpec(Parameters)}
    presets: ClassVar = {}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError

    def train(self, parameters, context):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Preset()]
