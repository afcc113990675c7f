"""What a training reports, as events: checked where the plugin makes it, in a worker and in tests.

Each method returns the event of the same method of `TrainContext`. Raises PluginFault where no
event can hold what the plugin gave.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, TypeVar, cast

from pydantic import ValidationError

from seqd.errors import PluginFault, wire_text
from seqd.validation import fault_sentence
from seqd_schemas import Epoch, Log, Sample, Step

E = TypeVar("E", Step, Epoch, Sample, Log)


class Reporter(NamedTuple):
    """Whose events they are: a job, and a combination's `custom_id` where it is a sweep."""

    job_id: str
    run: str | None = None

    def step(
        self, done: int, total: int, metrics: Mapping[str, float], eta_s: float | None
    ) -> Step:
        """Return a step, without the metrics that are not finite."""
        return self._event(Step, done=done, total=total, metrics=metrics, eta_s=eta_s)

    def epoch(self, epoch: int, epochs: int, seconds: float, metrics: Mapping[str, float]) -> Epoch:
        """Return an epoch, without the metrics that are not finite."""
        return self._event(Epoch, epoch=epoch, epochs=epochs, seconds=seconds, metrics=metrics)

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> Sample:
        """Return a sample, its texts cut to 4,096 characters, lone surrogates as escapes."""
        return self._event(Sample, epoch=epoch, temperature=temperature, prompt=prompt, text=text)

    def log(self, message: str) -> Log:
        """Return a line for whoever watches the job, cut as a sample's texts are."""
        return self._event(Log, level="info", message=message)

    def _event(self, kind: type[E], **said: object) -> E:
        with checked_report(kind.__name__.lower()):
            for name, value in said.items():
                if name == "metrics":
                    said[name] = _finite(cast("Mapping[str, float]", value))
                elif name in ("prompt", "text", "message"):
                    said[name] = wire_text(cast("str", value))
            return kind.model_validate({"job_id": self.job_id, "at_ms": 0, "run": self.run} | said)


@contextmanager
def checked_report(method: str) -> Iterator[None]:
    """Raise PluginFault, which names the method and the fault, where a report cannot be made."""
    try:
        yield
    except ValidationError as error:
        fault = fault_sentence(error)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        fault = f"{type(error).__name__}: {error}"
    else:
        return
    raise PluginFault(
        f"The training reports what cannot be published, by context.{method}(): {fault}. Correct "
        "the plugin."
    )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON has no number for: such an event could not be read by anyone."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
