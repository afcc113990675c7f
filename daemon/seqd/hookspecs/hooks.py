"""The hook specifications: registering models, claiming a GPU, and hooks of observers.

The registry (`seqd.models`) collects all model descriptions once, and finds a model by its name,
not by a hook. Observers are called one plugin at a time; one that raises is logged, and the others
are still called.
"""

from collections.abc import Iterable
from typing import Final

import pluggy

from seqd.hookspecs.contexts import Device
from seqd.hookspecs.model import Model
from seqd_schemas import Event, JobRecord, WorkerStatus

#: Major grows when a plugin must change, minor when it may. A plugin states its major.
PLUGIN_API_VERSION: Final = (1, 3)

#: The name of the pluggy project, and of the entry-point group that plugins register under.
PROJECT: Final = "seqd"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class SeqdHooks:
    """All hooks. An implementation may leave out arguments that it does not need."""

    @hookspec
    def seqd_register_models(self) -> Iterable[Model]:
        """Hand over the plugin's model descriptions.

        Called once a process, at start. Must be quick and must not import Keras, TensorFlow
        or anything else that is heavy: descriptions only.
        """
        raise NotImplementedError

    @hookspec
    def seqd_claim_device(self, device: Device) -> None:
        """Called in the child of a GPU slot before any model is loaded or trained.

        Take the device with the library that computes there: check that it sees it, and hold it
        to `device.memory_bytes`. What this raises ends the worker, for a library that finds no
        GPU computes on the CPU, and nobody is told. A plugin that uses no GPU leaves it out.
        """

    @hookspec
    def seqd_worker_ready(self, worker: WorkerStatus) -> None:
        """Called in a worker's child when its models are warm, before it takes work."""

    @hookspec
    def seqd_job_started(self, job: JobRecord, worker: str) -> None:
        """Called in the worker that claimed the first unit of a job."""

    @hookspec
    def seqd_job_progress(self, event: Event) -> None:
        """Called in the worker for each step, epoch, sample and log event that it publishes."""

    @hookspec
    def seqd_job_finished(self, job: JobRecord) -> None:
        """Called in the worker whose commit or failure ended a job."""
