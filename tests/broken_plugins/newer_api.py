"""A plugin that is written for a later plugin API than this daemon's."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """No parameters."""


class Newer(Model):
    """A model of the future."""

    name = "newer"
    summary = "Part of the broken-plugin zoo."
    api_major = 2
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Newer()]
