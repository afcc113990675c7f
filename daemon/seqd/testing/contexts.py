"""The contexts that a plugin works with, in memory: they record what they are told.

A stop can be asked for after a number of questions, which makes clause S1 of the plugin
contract testable to the step. Not thread-safe, as the real ones are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seqd.analysis.curves import LearningCurve
from seqd.hookspecs import Dataset, Device, WorkItem
from seqd.testing.checkpoints import MemoryCheckpoints

#: The device that the contexts have unless they are given one.
CPU = Device(slot="cpu:0", kind="cpu", threads=1)


@dataclass(frozen=True, slots=True)
class StreamedPiece:
    """A piece of a generated text."""

    index: int
    sample: int
    piece: str


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
        self.asked = 0

    def stop_requested(self) -> bool:
        """Count one question and answer it."""
        self.asked += 1
        return self._after is not None and self.asked > self._after


class MemoryRunContext:
    """A `RunContext` that keeps what it is handed, in `pieces` and `batches`."""

    def __init__(self, *, device: Device = CPU, stop_after: int | None = None) -> None:
        self._device = device
        self._stop = StopCounter(stop_after)
        self.pieces: list[StreamedPiece] = []
        self.batches: list[BatchReport] = []

    @property
    def device(self) -> Device:
        """The device it was made with."""
        return self._device

    @property
    def stop_questions(self) -> int:
        """How often `stop_requested` was called."""
        return self._stop.asked

    def stop_requested(self) -> bool:
        """True once it was called more than `stop_after` times."""
        return self._stop.stop_requested()

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

    def stream(self, item: WorkItem, sample: int, piece: str) -> None:
        """Keep the piece."""
        self.pieces.append(StreamedPiece(item.index, sample, piece))

    def streamed_text(self, index: int, sample: int = 0) -> str:
        """Give the pieces of one sample of one item, joined."""
        return "".join(p.piece for p in self.pieces if (p.index, p.sample) == (index, sample))


class MemoryTrainContext:
    """A `TrainContext` that keeps what the training reports, in call order.

    `folder` is made if it is missing. Give the same `checkpoints` to a second context to test
    that a training goes on where another stopped.
    """

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
        self._folder = folder
        self._data = data
        self._held_out = held_out
        self._checkpoints = checkpoints or MemoryCheckpoints()
        #: The epochs that a manifest would keep, those before a resume among them.
        self.curve = LearningCurve()
        self._device = device
        self._stop = StopCounter(stop_after)
        self.steps: list[StepReport] = []
        self.epochs: list[EpochReport] = []
        self.samples: list[SampleReport] = []
        self.logs: list[str] = []
        #: Records and SHA-256 that the training stated for a named data set.
        self.stated_fingerprint: tuple[int, str] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def device(self) -> Device:
        """The device it was made with."""
        return self._device

    @property
    def data(self) -> Dataset:
        """What to learn from."""
        return self._data

    @property
    def held_out(self) -> Dataset | None:
        """What to validate on, if anything."""
        return self._held_out

    @property
    def folder(self) -> Path:
        """Folder for the new version's files."""
        return self._folder

    @property
    def checkpoints(self) -> MemoryCheckpoints:
        """What the training has saved, and goes on from."""
        # Contexts may share them: whoever asks is the one whose epochs are saved.
        self._checkpoints.carry(self.curve)
        return self._checkpoints

    @property
    def stop_questions(self) -> int:
        """How often `stop_requested` was called."""
        return self._stop.asked

    def stop_requested(self) -> bool:
        """True once it was called more than `stop_after` times."""
        return self._stop.stop_requested()

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Keep the report, in `steps`; nothing is throttled."""
        self.steps.append(StepReport(done, total, dict(metrics)))

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Keep the report, in `epochs` and in `curve`."""
        self.curve.add(epoch, seconds, metrics)
        self.epochs.append(EpochReport(epoch, epochs, seconds, dict(metrics)))

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Keep the sample, in `samples`."""
        self.samples.append(SampleReport(epoch, temperature, prompt, text))

    def log(self, message: str) -> None:
        """Keep the message, in `logs`."""
        self.logs.append(message)

    def fingerprint(self, records: int, sha256: str) -> None:
        """Keep what the training states, in `stated_fingerprint`."""
        self.stated_fingerprint = (records, sha256)
