"""The plugin author's door: all that a model plugin imports from the daemon.

A plugin is a module with one hook implementation that hands over model descriptions:

    from seqd.hookspecs import hookimpl

    @hookimpl
    def seqd_register_models():
        return [MyModel()]

`hooks` has the hook specifications, `model` what a description and a loaded model are,
`contexts` what the daemon hands them to work with. `plugins/README.md` is the guide.
"""

from seqd.hookspecs.contexts import (
    Artifact,
    Checkpoint,
    Checkpoints,
    Dataset,
    Device,
    LabelledRecord,
    RunContext,
    TrainContext,
    random_stream,
)
from seqd.hookspecs.hooks import (
    PLUGIN_API_VERSION,
    SeqdHooks,
    hookimpl,
    hookspec,
)
from seqd.hookspecs.model import (
    Inspection,
    LoadedModel,
    Model,
    Needs,
    PluginParameters,
    TaskSpec,
    TrainedModel,
    WorkItem,
)

__all__ = [
    "PLUGIN_API_VERSION",
    "Artifact",
    "Checkpoint",
    "Checkpoints",
    "Dataset",
    "Device",
    "Inspection",
    "LabelledRecord",
    "LoadedModel",
    "Model",
    "Needs",
    "PluginParameters",
    "RunContext",
    "SeqdHooks",
    "TaskSpec",
    "TrainContext",
    "TrainedModel",
    "WorkItem",
    "hookimpl",
    "hookspec",
    "random_stream",
]
