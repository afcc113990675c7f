"""A plugin that is written for an earlier plugin API than this daemon's."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """No parameters."""


class Older(Model):
    """A model of the past."""

    name = "older"
    summary = "Part of the broken-plugin zoo."
    api_major = 0
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Older()]
