"""A plugin that imports its deep-learning library at the top (here a stub named `jax`)."""

from typing import ClassVar

import jax  # noqa: F401

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """No parameters."""


class Heavy(Model):
    """A model that needs a heavy library."""

    name = "heavy"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Heavy()]
