"""What the worker hands a plugin: the real `RunContext` and `TrainContext`.

Publishing is throttled here, so that plugins may report as often as they like. Every event
is fenced: once the lease is lost, reporting raises LeaseLost and the work ends; pieces of texts
raise nothing, and the plugin is asked to stop. What a training goes through again after a kill is
not told again.
"""

import math
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from seqd.analysis.curves import LearningCurve
from seqd.hookspecs import Checkpoints, Dataset, Device, WorkItem
from seqd.ledger.units import Unit
from seqd.worker.meter import WorkMeter
from seqd.worker.pieces import PiecePublisher
from seqd.worker.training_data import TrainingData
from seqd_schemas import Epoch, Event, Log, Sample, Step

#: Seconds between two step events of a training.
STEP_EVERY_S = 0.5

_SHORT = 4_096

#: An epoch, or an epoch with a temperature: a sample.
_Told = tuple[int, float | None]


@dataclass(frozen=True, slots=True)
class WorkerRunContext:
    """What `classify` and `generate` work with."""

    device: Device
    _stop: Callable[[], bool]
    _meter: WorkMeter
    #: Where pieces of texts go; None where nobody streams.
    _pieces: PiecePublisher | None = None

    def stop_requested(self) -> bool:
        """True when the job was cancelled or the worker drains."""
        return self._stop()

    def batch(
        self,
        *,
        items: int,
        real_tokens: int,
        computed_tokens: int,
        vectorise_s: float,
        compute_s: float,
    ) -> None:
        """Count a batch for the worker's status."""
        self._meter.batch(
            items=items,
            real_tokens=real_tokens,
            computed_tokens=computed_tokens,
            vectorise_s=vectorise_s,
            compute_s=compute_s,
        )

    def stream(self, item: WorkItem, sample: int, piece: str) -> None:
        """Take a piece of a text, to be published by another thread."""
        if self._pieces is not None:
            self._pieces.take(item, sample, piece)


@dataclass(slots=True)
class WorkerTrainContext:
    """What `train` works with."""

    device: Device
    folder: Path
    checkpoints: Checkpoints
    #: The epochs that go into the version's manifest, those before a resume among them.
    curve: LearningCurve
    _data: TrainingData
    _unit: Unit
    _publish: Callable[[Event], None]
    _stop: Callable[[], bool]
    #: What earlier attempts have told, from `told_in`.
    _told: Container[_Told] = ()
    #: The combination of a sweep that is trained; None of a training of its own.
    _run: str | None = None
    #: Seconds of the epochs that this attempt was the first to finish.
    epochs_s: float = 0.0
    _began: float = field(default_factory=monotonic)
    _began_with: int = -1
    _stepped_at: float = 0.0

    @property
    def data(self) -> Dataset:
        """What to learn from."""
        return self._data.learnt

    @property
    def held_out(self) -> Dataset | None:
        """What to validate on, if anything."""
        return self._data.held_out

    def stop_requested(self) -> bool:
        """True when the job was cancelled or the worker drains."""
        return self._stop()

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Publish steps done, at most twice a second."""
        now = monotonic()
        if self._began_with < 0:
            # The first step seen: the pace is that of the steps after it, since those before a
            # resume took no time of this attempt, and the first one compiles.
            self._began_with, self._began = done, now
        if now - self._stepped_at < STEP_EVERY_S:
            return
        self._stepped_at = now
        paced = done - self._began_with
        eta_s = (now - self._began) / paced * (total - done) if paced else None
        self._publish(
            Step(
                job_id=self._unit.job_id,
                at_ms=0,
                run=self._run,
                done=done,
                total=total,
                metrics=_finite(metrics),
                eta_s=eta_s,
            )
        )

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Keep a finished epoch for the manifest, and publish it, once."""
        self.curve.add(epoch, seconds, metrics)
        if (epoch, None) in self._told:
            return
        self.epochs_s += seconds
        self._publish(
            Epoch(
                job_id=self._unit.job_id,
                at_ms=0,
                run=self._run,
                epoch=epoch,
                epochs=epochs,
                seconds=seconds,
                metrics=_finite(metrics),
            )
        )

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Publish a text that the model writes, once an epoch and temperature."""
        if (epoch, temperature) in self._told:
            return
        self._publish(
            Sample(
                job_id=self._unit.job_id,
                at_ms=0,
                run=self._run,
                epoch=epoch,
                temperature=temperature,
                prompt=prompt[:_SHORT],
                text=text[:_SHORT],
            )
        )

    def log(self, message: str) -> None:
        """Publish a line for the caller."""
        self._publish(
            Log(
                job_id=self._unit.job_id,
                at_ms=0,
                run=self._run,
                level="info",
                message=message[:_SHORT],
            )
        )

    def fingerprint(self, records: int, sha256: str) -> None:
        """Take the size and digest of a named data set."""
        self._data.state(records, sha256)


def told_in(events: Iterable[Event], run: str | None = None) -> frozenset[_Told]:
    """Give the epochs and samples that a job's caller has been told, of one run of a sweep."""
    told: set[_Told] = set()
    for event in events:
        if isinstance(event, Epoch) and event.run == run:
            told.add((event.epoch, None))
        elif isinstance(event, Sample) and event.run == run:
            told.add((event.epoch, event.temperature))
    return frozenset(told)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON has no number for: such an event could not be read by anyone."""
    return {name: figure for name, figure in metrics.items() if math.isfinite(figure)}
