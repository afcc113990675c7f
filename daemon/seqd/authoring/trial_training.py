"""A training without a daemon, which makes a version of an empty folder."""

import time
from collections.abc import Callable
from pathlib import Path

from seqd.authoring.messages import Learn, Reported, Trained
from seqd.authoring.subject import Subject
from seqd.hookspecs import PluginParameters, TrainedModel
from seqd.hookspecs.reports import Reporter
from seqd.inputs.datasets import FileDataset
from seqd.kinds import TRAIN
from seqd.models.agreement import ask_trained, check_saved
from seqd.models.version_files import VersionDraft, seal_folder
from seqd.plugin.calls import PluginCall
from seqd.testing.contexts import MemoryTrainContext
from seqd_schemas import FileSource, ModelManifest

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


def train(
    subject: Subject, asked: Learn, report: Callable[[Reported], None], stop: Callable[[], bool]
) -> Trained:
    """Train a version, and hold what is loaded of its files against it, as a worker does.

    Raises InvalidInput for data, Stopped, VersionDiffers, and what the training raises.
    """
    began = time.perf_counter()
    folder = Path(asked.folder)
    manifest = _train(subject, asked, folder, report, stop)
    return Trained(manifest=manifest, seconds=time.perf_counter() - began)


def _train(
    subject: Subject,
    asked: Learn,
    folder: Path,
    report: Callable[[Reported], None],
    stop: Callable[[], bool],
) -> ModelManifest:
    model = subject.model
    data = _dataset(asked.data)
    held_out = None if asked.held_out is None else _dataset(asked.held_out)
    with PluginCall():
        parameters: PluginParameters = model.tasks[TRAIN].parameters.model_validate(
            asked.parameters
        )
    context = _ReportingContext(folder, data, held_out, subject, report=report, stop=stop)
    with PluginCall():
        trained: TrainedModel = model.train(parameters, context)
    values = parameters.model_dump(mode="json")
    seed = values.get("seed")
    draft = VersionDraft(
        model=model.name,
        plugin_version=subject.plugin.version,
        parameters=values,
        metrics=trained.metrics,
        epochs=context.curve.epochs,
        seed=seed if isinstance(seed, int) else None,
        data=data.fingerprint(),
        held_out=None if held_out is None else held_out.fingerprint_if_read(),
        libraries=trained.libraries,
        created_at_ms=time.time_ns() // 1_000_000,
    )
    answers = ask_trained(model, trained, context)
    del trained
    check_saved(folder, draft, answers)
    return seal_folder(folder, draft, _VERSION)


def _dataset(path: str) -> FileDataset:
    return FileDataset(FileSource(path=path))
