"""One training as the worker sees it: the run, its data and plan, and what its plugin gets.

A run is a job of its own, or one combination of a sweep. What it leaves on the disk, checkpoints
and versions, goes by the run's id, which leads back to its job here.

Every event that the plugin reports is fenced: once the lease is lost, reporting raises LeaseLost
and the work ends. Steps are throttled, so that plugins may report as often as they like. What a
training repeats after a kill is not reported again.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Self

from pydantic import ValidationError

from seqd.analysis.curves import LearningCurve
from seqd.errors import InvalidData, InvalidInput, PluginFault, UnknownJob
from seqd.hookspecs import Checkpoints, Dataset, Device, LabelledRecord, Model, PluginParameters
from seqd.hookspecs.reports import Reporter, checked_report
from seqd.inputs.buckets import ObjectContent
from seqd.inputs.datasets import (
    FileDataset,
    NamedDataset,
    RecordDataset,
    stated_fingerprint,
)
from seqd.inputs.paths import READ, below_roots, check_path, require_root
from seqd.kinds import TRAIN
from seqd.ledger.blobs import unpack_results, unpack_texts
from seqd.ledger.jobs import Jobs
from seqd.ledger.units import Unit
from seqd.objects import is_url
from seqd.settings import Settings
from seqd.validation import fault_sentence
from seqd.worker.context import WorkerContext
from seqd.worker.plans import checked_parameters
from seqd_schemas import (
    DataFingerprint,
    Epoch,
    Event,
    FileSource,
    ItemSuccess,
    JobState,
    NamedSource,
    Sample,
    SweepJob,
    TextChunk,
    TrainJob,
    UploadSource,
    job_of_run,
    run_id_of,
)

#: Seconds between two step events of a training.
STEP_EVERY_S = 0.5

AnyDataset = RecordDataset | NamedDataset

#: An epoch, or an epoch with a temperature: a sample.
_Reported = tuple[int, float | None]


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a training."""

    #: What is trained.
    job: TrainJob
    unit: Unit
    #: The sweep that it is part of, and the combination's `custom_id`; None of a job of its own.
    sweep: SweepJob | None = None
    name: str | None = None

    @property
    def number(self) -> int | None:
        """Its number in the sweep, None of a job of its own."""
        return None if self.sweep is None else int(self.unit.name)

    @property
    def id(self) -> str:
        """What its checkpoints and its version go by."""
        return run_id_of(self.unit.job_id, self.number)

    @property
    def reporter(self) -> Reporter:
        """Makes its events."""
        return Reporter(self.unit.job_id, self.name)


def state_of_run(run_id: str, jobs: Jobs) -> JobState | None:
    """Return the state of a training; None of a job that the ledger does not know.

    A combination that was committed is completed or failed, whatever became of its sweep; of
    one that was not, the sweep's state says whether it may still be.
    """
    job_id, number = job_of_run(run_id)
    try:
        # Before the output: nothing is committed any more to a job that has ended.
        state = jobs.get(job_id).state
    except UnknownJob:
        return None
    blob = None if number is None else jobs.outputs(job_id, [number])[0]
    if blob is None:
        return state
    succeeded = all(isinstance(result, ItemSuccess) for result in unpack_results(blob))
    return JobState.COMPLETED if succeeded else JobState.FAILED


def earlier_reports(run: Run, jobs: Jobs) -> list[Event]:
    """Return the epochs and samples that earlier attempts at a run have reported, in order."""
    found, after = list[Event](), "0-0"
    while run.unit.attempt > 1 and (
        events := jobs.events(run.unit.job_id, after, longest_wait_s=0)
    ):
        found += (one for one in events if isinstance(one, Epoch | Sample) and one.run == run.name)
        after = events[-1].id or after
    return found


def reported_in(events: Iterable[Event]) -> frozenset[_Reported]:
    """Return the epochs and samples among a run's events."""
    reported: set[_Reported] = set()
    for event in events:
        if isinstance(event, Epoch):
            reported.add((event.epoch, None))
        elif isinstance(event, Sample):
            reported.add((event.epoch, event.temperature))
    return frozenset(reported)


@dataclass(slots=True)
class TrainingData:
    """What a training learns from, and what it validates on."""

    training: AnyDataset
    held_out: AnyDataset | None
    _stated: DataFingerprint | None = None

    def state(self, records: int, sha256: str, classes: Mapping[str, int] | None = None) -> None:
        """Take what a plugin says of a data set that it alone knows."""
        self._stated = stated_fingerprint(self.training.description, records, sha256, classes)

    def held_out_fingerprint(self) -> DataFingerprint | None:
        """Return size and digest of the held-out data; None without, or where nobody read it."""
        held_out = self.held_out
        return held_out.fingerprint_if_read() if isinstance(held_out, RecordDataset) else None

    def fingerprint(self) -> DataFingerprint:
        """Return size and digest; raises PluginFault where the plugin has stated none."""
        if isinstance(self.training, RecordDataset):
            return self.training.fingerprint()
        if self._stated is None:
            raise PluginFault(
                f"the plugin trained on {self.training.description} and did not state its size and "
                "digest through context.fingerprint()"
            )
        return self._stated

    def sha256(self) -> str | None:
        """Return the digest, None of a data set that the plugin has stated nothing of (yet)."""
        if isinstance(self.training, NamedDataset) and self._stated is None:
            return None
        return self.fingerprint().sha256


def open_data(job: TrainJob, job_id: str, jobs: Jobs, settings: Settings) -> TrainingData:
    """Open a job's data; an upload is read from the ledger.

    Raises InvalidInput, FileNotFoundError where a folder open to jobs is away, and of a URL
    StoreUnreachable and LibraryMissing.
    """

    def opened(source: FileSource | NamedSource | UploadSource, *, held_out: bool) -> AnyDataset:
        if isinstance(source, UploadSource):
            return UploadedDataset(job_id, jobs, held_out=held_out)
        if isinstance(source, NamedSource):
            return NamedDataset(source.name)
        roots = settings.readable_roots
        require_root(source.path, roots)
        if is_url(source.path):
            path = Path(below_roots(source.path, roots, READ))
            return FileDataset(source, path, ObjectContent(source.path))
        return FileDataset(source, check_path(source.path, roots))

    held_out = None if job.held_out is None else opened(job.held_out, held_out=True)
    return TrainingData(opened(job.source, held_out=False), held_out)


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a worker runs a training that no earlier attempt has finished."""

    run: Run
    #: The plugin's model that the version is made with.
    plugin: str
    model: Model
    parameters: PluginParameters
    data: TrainingData

    @classmethod
    def of(cls, run: Run, context: WorkerContext, settings: Settings) -> Self:
        """Return the plan of a run.

        Raises UnknownModel for a plugin that is not here, InvalidParameters, and what `open_data`
        does.
        """
        job, plugin = run.job, context.plugin_of(run.job)
        # The catalog does not know of a model whose plugin no worker has.
        context.store.check_plugin(job.model, plugin, run.unit.job_id)
        model = context.registry.model(plugin)
        preset = model.presets.get(job.preset, {}) if job.preset else {}
        parameters = checked_parameters(job.model, model, TRAIN, {**preset, **job.parameters})
        data = open_data(job, run.unit.job_id, context.ledger.jobs, settings)
        return cls(run, plugin, model, parameters, data)


class UploadedDataset(RecordDataset):
    """What a client has uploaded for a training, read from the ledger, a chunk in memory at a time.

    `records` raises InvalidData where a chunk is gone, and InvalidInput for what is no chunk.
    """

    def __init__(self, job_id: str, jobs: Jobs, *, held_out: bool) -> None:
        super().__init__("held-out upload" if held_out else "upload")
        self._job_id = job_id
        self._jobs = jobs
        self._held_out = held_out

    def _read(self) -> Iterator[LabelledRecord]:
        for number in range(self._jobs.input_units(self._job_id)):
            chunk = self._chunk(number)
            if chunk.held_out is self._held_out:
                yield from (LabelledRecord(text.text, text.label) for text in chunk.texts)

    def _chunk(self, number: int) -> TextChunk:
        blob = self._jobs.inputs(self._job_id, [number])[0]
        if blob is None:
            raise InvalidData(f"chunk {number} of the upload is gone; send the job again")
        try:
            return unpack_texts(blob)
        except ValidationError as error:
            fault = fault_sentence(error, shows_value=False)
            raise InvalidInput(f"chunk {number} of the upload is no chunk: {fault}") from None


@dataclass(slots=True)
class WorkerTrainContext:
    """What the worker hands `train`: the real `TrainContext`."""

    device: Device
    folder: Path
    checkpoints: Checkpoints
    #: The epochs that go into the version's manifest, those before a resume among them.
    curve: LearningCurve
    _run: Run
    _data: TrainingData
    _publish: Callable[[Event], None]
    _stop: Callable[[], bool]
    #: What earlier attempts have reported, from `reported_in`.
    _reported: Container[_Reported] = ()
    #: Seconds of the epochs that this attempt was the first to finish.
    epochs_s: float = 0.0
    _began: float = field(default_factory=monotonic)
    _began_with: int = -1
    _stepped_at: float = 0.0

    @property
    def data(self) -> Dataset:
        """What to learn from."""
        return self._data.training

    @property
    def held_out(self) -> Dataset | None:
        """What to validate on, if anything."""
        return self._data.held_out

    def stop_requested(self) -> bool:
        """Return True when the job was cancelled or the worker drains."""
        return self._stop()

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Publish steps done, at most twice a second. Raises PluginFault for what is no step."""
        now = monotonic()
        if self._began_with < 0:
            # The first step seen: the pace is that of the steps after it, since those before a
            # resume took no time of this attempt, and the first one compiles.
            self._began_with, self._began = done, now
        if now - self._stepped_at < STEP_EVERY_S:
            return
        self._stepped_at = now
        paced = done - self._began_with
        left = max(0, total - done)
        eta_s = (now - self._began) / paced * left if paced > 0 else None
        self._publish(self._run.reporter.step(done, total, metrics, eta_s))

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Keep a finished epoch for the manifest, and publish it, once.

        Raises PluginFault for what is no epoch.
        """
        event = self._run.reporter.epoch(epoch, epochs, seconds, metrics)
        self.curve.add(epoch, seconds, metrics)
        if (epoch, None) in self._reported:
            return
        self.epochs_s += seconds
        self._publish(event)

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Publish a text that the model writes, once an epoch and temperature.

        Raises PluginFault for what is no sample.
        """
        if (epoch, temperature) not in self._reported:
            self._publish(self._run.reporter.sample(epoch, temperature, prompt, text))

    def log(self, message: str) -> None:
        """Publish a line for the caller."""
        self._publish(self._run.reporter.log(message))

    def fingerprint(
        self, records: int, sha256: str, classes: Mapping[str, int] | None = None
    ) -> None:
        """Take what a named data set is. Raises PluginFault for what is no size or digest."""
        with checked_report("fingerprint"):
            self._data.state(records, sha256, classes)
