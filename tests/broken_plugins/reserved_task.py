"""A plugin with a task of its own whose name the daemon uses."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import Score


class Careless(Model):
    """A model with such a task."""

    name = "reserved_task"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"sweep": TaskSpec(PluginParameters, output=Score)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]
