"""A plugin that takes its time to import, and works all the same."""

import time
from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl

#: Stands for the import of a large library.
SECONDS = 0.05
time.sleep(SECONDS)


class Parameters(PluginParameters):
    """No parameters."""


class Slow(Model):
    """A model without fault."""

    name = "slow"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Slow()]
