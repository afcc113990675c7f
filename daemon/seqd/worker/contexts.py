"""What the worker hands a plugin: the real `RunContext` and `TrainContext`.

Publishing is throttled here, so that plugins may report as often as they like. Every event
is fenced: once the lease is lost, reporting raises LeaseLost and the work ends.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from seqd.hookspecs import Dataset, Device
from seqd.ledger.work import Unit
from seqd_schemas import DataFingerprint, Epoch, Event, Log, Sample, Step

#: Seconds between two step events of a training.
STEP_EVERY_S = 0.5

_SHORT = 4_096


@dataclass(frozen=True, slots=True)
class WorkerRunContext:
    """What `classify` and `generate` work with."""

    device: Device
    _stop: Callable[[], bool]

    def stop_requested(self) -> bool:
        """True when the job was cancelled or the worker drains."""
        return self._stop()

    def stream(self, index: int, sample: int, piece: str) -> None:
        """Take a piece of a text; the pieces are not published yet, the whole text is."""


@dataclass(slots=True)
class WorkerTrainContext:
    """What `train` works with."""

    device: Device
    data: Dataset
    held_out: Dataset | None
    folder: Path
    checkpoints: Path
    _unit: Unit
    _publish: Callable[[Event], None]
    _stop: Callable[[], bool]
    named_fingerprint: DataFingerprint | None = None
    _began: float = field(default_factory=monotonic)
    _stepped_at: float = 0.0

    def stop_requested(self) -> bool:
        """True when the job was cancelled or the worker drains."""
        return self._stop()

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Publish steps done, at most twice a second."""
        now = monotonic()
        if now - self._stepped_at < STEP_EVERY_S:
            return
        self._stepped_at = now
        eta_s = (now - self._began) / done * (total - done) if done else None
        self._publish(
            Step(
                job_id=self._unit.job_id,
                at_ms=0,
                done=done,
                total=total,
                metrics=_finite(metrics),
                eta_s=eta_s,
            )
        )

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Publish a finished epoch."""
        self._publish(
            Epoch(
                job_id=self._unit.job_id,
                at_ms=0,
                epoch=epoch,
                epochs=epochs,
                seconds=seconds,
                metrics=_finite(metrics),
            )
        )

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Publish a text that the model writes."""
        self._publish(
            Sample(
                job_id=self._unit.job_id,
                at_ms=0,
                epoch=epoch,
                temperature=temperature,
                prompt=prompt[:_SHORT],
                text=text[:_SHORT],
            )
        )

    def log(self, message: str) -> None:
        """Publish a line for the caller."""
        self._publish(
            Log(job_id=self._unit.job_id, at_ms=0, level="info", message=message[:_SHORT])
        )

    def fingerprint(self, records: int, sha256: str) -> None:
        """Take the size and digest of a named data set."""
        self.named_fingerprint = DataFingerprint(
            description=self.data.description, records=records, sha256=sha256
        )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON has no number for: such an event could not be read by anyone."""
    return {name: figure for name, figure in metrics.items() if math.isfinite(figure)}
