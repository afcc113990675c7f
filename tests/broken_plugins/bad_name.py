"""A plugin whose model has a name that cannot stand in a reference or a key."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """No parameters."""


class BadName(Model):
    """A model with a bad name."""

    name = "IMDB-LSTM"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [BadName()]
