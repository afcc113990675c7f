"""Contract of plugins: all that a model plugin imports from the daemon.

A plugin is a module with one hook implementation that hands over model descriptions:

    from seqd.hookspecs import hookimpl

    @hookimpl
    def seqd_register_models():
        return [MyModel()]

`plugins/README.md` is the guide.
"""

from seqd.hookspecs.contexts import (
    Artifact,
    Checkpoint,
    Checkpoints,
    Dataset,
    Device,
    LabelledRecord,
    RunContext,
    TextSegment,
    TrainContext,
    Variable,
    WorkItem,
    check_arrays,
    random_stream,
    restore_variables,
    saved_variables,
)
from seqd.hookspecs.model import (
    PLUGIN_API_VERSION,
    Distribution,
    Inspection,
    LoadedModel,
    Model,
    Needs,
    PluginParameters,
    SeqdHooks,
    TaskSpec,
    TrainedModel,
    hookimpl,
    hookspec,
)

__all__ = [
    "PLUGIN_API_VERSION",
    "Artifact",
    "Checkpoint",
    "Checkpoints",
    "Dataset",
    "Device",
    "Distribution",
    "Inspection",
    "LabelledRecord",
    "LoadedModel",
    "Model",
    "Needs",
    "PluginParameters",
    "RunContext",
    "SeqdHooks",
    "TaskSpec",
    "TextSegment",
    "TrainContext",
    "TrainedModel",
    "Variable",
    "WorkItem",
    "check_arrays",
    "hookimpl",
    "hookspec",
    "random_stream",
    "restore_variables",
    "saved_variables",
]
