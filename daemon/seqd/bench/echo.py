"""A model that gives each text back as its label: all that is timed with it is the daemon.

Not a plugin of the distribution: a bench lays it out in its own folder, where its own workers
find it by an entry point like any other's.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    RunContext,
    TaskSpec,
    WorkItem,
    hookimpl,
)
from seqd.settings import Settings
from seqd.store import ModelStore, VersionDraft
from seqd_schemas import Classification, DataFingerprint

NAME = "bench_echo"


class NoParameters(PluginParameters):
    """There is nothing to choose."""


class Echo(LoadedModel):
    """Knows nothing."""

    memory_bytes = 1

    def warm_up(self) -> None:
        """There is nothing to warm up."""

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification]:
        """Give each text back, cut to what a label may have."""
        return [Classification(label=item.text[:128], score=1.0, truncated=False) for item in items]


class EchoModel(Model):
    """The description."""

    name = NAME
    summary = "Gives each text back as its label."
    tasks: ClassVar = {"classify": TaskSpec(NoParameters)}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """See `Model.load`; there is nothing to read."""
        return Echo()


@hookimpl
def seqd_register_models() -> list[Model]:
    """Hand the model over."""
    return [EchoModel()]


def lay_out(folder: Path, settings: Settings) -> Path:
    """Make the plugin findable in `folder`, for PYTHONPATH, and its version in the store."""
    described = folder / "seqd_bench_echo-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: seqd-bench-echo\nVersion: 1.0\n"
    )
    (described / "entry_points.txt").write_text(f"[seqd]\n{NAME} = {__name__}\n")
    store = ModelStore(settings.store_dir, {})
    files = store.new_folder(NAME, "bench")
    (files / "nothing.json").write_text(json.dumps({}))
    nothing = DataFingerprint(description="nothing", records=1, sha256="0" * 64)
    draft = VersionDraft(
        model=NAME,
        plugin_version="1.0",
        parameters={},
        metrics={},
        data=nothing,
        created_at_ms=time.time_ns() // 1_000_000,
    )
    store.publish(files, draft)
    return folder
