"""A training without a daemon, which makes a version of an empty folder."""

import time
from collections.abc import Callable
from pathlib import Path

from seqd.authoring.messages import Learn, Reported, Trained
from seqd.authoring.subject import Subject
from seqd.hookspecs.reports import Reporter
from seqd.inputs.datasets import FileDataset
from seqd.models.version_files import seal_folder
from seqd.plugin.calls import PluginCall
from seqd.testing.contexts import MemoryTrainContext
from seqd.testing.training import parameters_of, train
from seqd_schemas import FileSource

_REPORTER = Reporter("trial")

#: The number of the version: any but 0, which ships with a plugin.
_VERSION = 1


class _ReportingContext(MemoryTrainContext):
    """Passes on what a training reports, and ends it when that is asked for."""

    def __init__(
        self,
        folder: Path,
        data: FileDataset,
        held_out: FileDataset | None,
        subject: Subject,
        *,
        report: Callable[[Reported], None],
        stop: Callable[[], bool],
    ) -> None:
        super().__init__(folder, data, held_out, device=subject.device)
        self._report = report
        self._is_stopped = stop

    def stop_requested(self) -> bool:
        """True once Ctrl-C was pressed."""
        return self._is_stopped()

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Keep the epoch, and pass it on."""
        super().epoch(epoch, epochs, seconds, **metrics)
        self._report(Reported(event=_REPORTER.epoch(epoch, epochs, seconds, metrics)))

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Pass a text on."""
        self._report(Reported(event=_REPORTER.sample(epoch, temperature, prompt, text)))

    def log(self, message: str) -> None:
        """Pass a message on."""
        self._report(Reported(event=_REPORTER.log(message)))


def trained(
    subject: Subject, asked: Learn, report: Callable[[Reported], None], stop: Callable[[], bool]
) -> Trained:
    """Train a version, and hold what is loaded of its files against it, as a worker does.

    Raises InvalidInput for data, Stopped, VersionDiffers, and what the training raises.
    """
    began, folder = time.perf_counter(), Path(asked.folder)
    data = _dataset(asked.data)
    held_out = None if asked.held_out is None else _dataset(asked.held_out)
    context = _ReportingContext(folder, data, held_out, subject, report=report, stop=stop)
    with PluginCall():
        parameters = parameters_of(subject.model, asked.parameters)
        draft = train(subject.model, parameters, context, subject.plugin.version)
    manifest = seal_folder(folder, draft, _VERSION)
    return Trained(manifest=manifest, seconds=time.perf_counter() - began)


def _dataset(path: str) -> FileDataset:
    return FileDataset(FileSource(path=path))
