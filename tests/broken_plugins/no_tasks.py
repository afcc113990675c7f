"""A plugin whose model can do nothing."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, hookimpl


class Parameters(PluginParameters):
    """No parameters."""


class Idle(Model):
    """A model without tasks."""

    name = "idle"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Idle()]
