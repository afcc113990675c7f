"""A plugin with a task whose output is a number, and no pydantic model."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Careless(Model):
    """A model with such a task."""

    name = "output_is_no_model"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"score": TaskSpec(PluginParameters, output=float)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]
