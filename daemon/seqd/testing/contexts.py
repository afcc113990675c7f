"""Contexts in memory for tests of plugins: they record reports, text deltas and checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from seqd.analysis.curves import LearningCurve
from seqd.hookspecs import Checkpoint, Dataset, Device, WorkItem
from seqd.hookspecs.reports import Reporter
from seqd.models.checkpoints import Content, decode, encode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class MemoryCheckpoints:
    """`Checkpoints` that outlive the training that saved them, for another to go on from.

    `due` is true every `due_every` questions, so that a test decides it and not the clock; None
    never says so. What cannot be kept on a disk cannot be kept here: it goes through the same
    safetensors and JSON.
    """

    def __init__(self, *, due_every: int | None = None) -> None:
        self._due_every = due_every
        self._asked = 0
        self._last: Content | None = None
        self._curve = LearningCurve()
        #: How often `save` was called, by all trainings.
        self.saves = 0
        #: How often `load` gave a checkpoint.
        self.resumes = 0

    @property
    def last(self) -> Checkpoint | None:
        """What was saved last."""
        return None if self._last is None else decode(self._last)[0]

    def carry(self, curve: LearningCurve) -> None:
        """Save these epochs from now on, and put what was saved back into them at a `load`."""
        self._curve = curve

    def load(self) -> Checkpoint | None:
        """Return what was saved last."""
        if self._last is None:
            return None
        checkpoint, state = decode(self._last)
        self.resumes += 1
        self._curve.restore(state.epochs)
        return checkpoint

    def due(self) -> bool:
        """True each time that `due_every` more questions have been asked."""
        self._asked += 1
        return self._due_every is not None and self._asked % self._due_every == 0

    def save(
        self, arrays: "Mapping[str, npt.NDArray[np.generic]]", progress: Mapping[str, JsonValue]
    ) -> None:
        """Keep it in the place of what was there. Raises PluginFault for what cannot be kept."""
        self._last = encode(arrays, progress, epochs=self._curve.epochs)
        self.saves += 1


#: The device that the contexts have unless they are given one.
CPU = Device(slot="cpu:0", kind="cpu", threads=1)

#: Makes events of what a training reports, which checks it.
_REPORTER = Reporter("test")


@dataclass(frozen=True, slots=True)
class StreamedDelta:
    """A text delta: the next characters of a sample."""

    index: int
    sample: int
    delta: str


@dataclass(frozen=True, slots=True)
class StepReport:
    """A call of `step`."""

    done: int
    total: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EpochReport:
    """A call of `epoch`."""

    epoch: int
    epochs: int
    seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SampleReport:
    """A call of `sample`."""

    epoch: int
    temperature: float
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A call of `batch`."""

    items: int
    real_tokens: int
    computed_tokens: int
    vectorise_s: float
    compute_s: float


class StopCounter:
    """Answers `stop_requested`: no for the first `after` times, yes from then on.

    None never says yes; 0 says it at once.
    """

    def __init__(self, after: int | None) -> None:
        self._after = after
        #: How often `stop_requested` was called.
        self.stop_questions = 0

    def stop_requested(self) -> bool:
        """Count one question and answer it."""
        self.stop_questions += 1
        return self._after is not None and self.stop_questions > self._after


class MemoryRunContext(StopCounter):
    """A `RunContext` that keeps what it is handed, in `deltas` and `batches`.

    It asks to stop once it was asked more than `stop_after` times.
    """

    #: The device it was made with.
    device: Device
    #: How often `stop_requested` was called.
    stop_questions: int

    def __init__(self, *, device: Device = CPU, stop_after: int | None = None) -> None:
        super().__init__(stop_after)
        self.device = device
        self.deltas: list[StreamedDelta] = []
        self.batches: list[BatchReport] = []

    def batch(
        self,
        *,
        items: int,
        real_tokens: int,
        computed_tokens: int,
        vectorise_s: float,
        compute_s: float,
    ) -> None:
        """Keep what is said of a batch."""
        self.batches.append(
            BatchReport(items, real_tokens, computed_tokens, vectorise_s, compute_s)
        )

    def stream(self, item: WorkItem, sample: int, delta: str) -> None:
        """Keep the text delta."""
        self.deltas.append(StreamedDelta(item.index, sample, delta))

    def streamed_text(self, index: int, sample: int = 0) -> str:
        """Return the text deltas of one sample of one item, joined."""
        return "".join(p.delta for p in self.deltas if (p.index, p.sample) == (index, sample))


class MemoryTrainContext(StopCounter):
    """A `TrainContext` that keeps what the training reports, in call order.

    A report that a worker could not publish raises PluginFault, as it does there.

    `folder` is made if it is missing. Give the same `checkpoints` to a second context to test
    that a training goes on where another stopped. It asks to stop once it was asked more than
    `stop_after` times.
    """

    #: The device it was made with.
    device: Device
    #: What to learn from.
    data: Dataset
    #: What to validate on, if anything.
    held_out: Dataset | None
    #: Folder for the new version's files.
    folder: Path
    #: How often `stop_requested` was called.
    stop_questions: int

    def __init__(
        self,
        folder: Path,
        data: Dataset,
        held_out: Dataset | None = None,
        *,
        checkpoints: MemoryCheckpoints | None = None,
        device: Device = CPU,
        stop_after: int | None = None,
    ) -> None:
        super().__init__(stop_after)
        self.folder, self.data, self.held_out, self.device = folder, data, held_out, device
        self._checkpoints = checkpoints or MemoryCheckpoints()
        #: The epochs that a manifest would keep, those before a resume among them.
        self.curve = LearningCurve()
        self.steps: list[StepReport] = []
        self.epochs: list[EpochReport] = []
        self.samples: list[SampleReport] = []
        self.logs: list[str] = []
        #: Records and SHA-256 that the training stated for a named data set, and its classes.
        self.stated_fingerprint: tuple[int, str] | None = None
        self.stated_classes: Mapping[str, int] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoints(self) -> MemoryCheckpoints:
        """What the training has saved, and goes on from."""
        # Contexts may share them: whoever asks is the one whose epochs are saved.
        self._checkpoints.carry(self.curve)
        return self._checkpoints

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Keep the report, in `steps`; nothing is throttled."""
        _REPORTER.step(done, total, metrics, None)
        self.steps.append(StepReport(done, total, dict(metrics)))

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Keep the report, in `epochs` and in `curve`."""
        _REPORTER.epoch(epoch, epochs, seconds, metrics)
        self.curve.add(epoch, seconds, metrics)
        self.epochs.append(EpochReport(epoch, epochs, seconds, dict(metrics)))

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Keep the sample, in `samples`."""
        _REPORTER.sample(epoch, temperature, prompt, text)
        self.samples.append(SampleReport(epoch, temperature, prompt, text))

    def log(self, message: str) -> None:
        """Keep the message, in `logs`."""
        _REPORTER.log(message)
        self.logs.append(message)

    def fingerprint(
        self, records: int, sha256: str, classes: Mapping[str, int] | None = None
    ) -> None:
        """Keep what the training states, in `stated_fingerprint` and `stated_classes`."""
        self.stated_fingerprint = (records, sha256)
        self.stated_classes = classes
