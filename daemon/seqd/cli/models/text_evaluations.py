"""The evaluation of a version that writes text, as it is kept: its figures, and what it writes."""

import math
from dataclasses import dataclass
from typing import Final

from seqd.analysis.intervals import OnlineMean
from seqd.cli.models.kept_evaluations import now_ms
from seqd.errors import InvalidData
from seqd.hookspecs import Device, LoadedModel, Model, WorkItem
from seqd.kinds import GENERATE
from seqd.local.caller import caller
from seqd.plugin.decorated import QuietContext
from seqd_schemas import (
    MAX_EXAMPLE_CHARS,
    DataFingerprint,
    EvaluatedMetric,
    Generation,
    VersionEvaluation,
    WrittenSample,
)

#: Parts of a text whose bits a character are compared, spread evenly over it.
_PARTS: Final = 20

#: Characters of a part: in shorter ones the first characters, which have nothing before them, would
#: count too much; longer ones would make the interval cost more than the figure.
_PART_CHARS: Final = (500, 2_500)

#: Characters of the text that the version continues, as a sample of what it writes.
_PROMPT_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class MeasuredText:
    """A text, and how well a model that is loaded predicts it."""

    loaded: LoadedModel
    device: Device
    text: str
    figures: dict[str, float]
    #: Which text it is.
    data: DataFingerprint
    #: True where the model was trained on it.
    is_learnt: bool


def text_evaluation(model: Model, found: MeasuredText) -> VersionEvaluation:
    """Return the record of a measured text. Raises what the plugin does when it measures.

    The interval of the bits a character is by the spread between parts of the text. Figures that
    are not finite are left out.
    """
    metrics = {
        name: EvaluatedMetric(value=value)
        for name, value in found.figures.items()
        if math.isfinite(value)
    }
    half = _half_width(found)
    if half is not None and "bits_per_char" in metrics:
        bits = metrics["bits_per_char"].value
        metrics["bits_per_char"] = EvaluatedMetric(
            value=bits, low=max(0.0, bits - half), high=bits + half, method="normal"
        )
    return VersionEvaluation(
        data=found.data,
        is_training_data=found.is_learnt,
        at_ms=now_ms(),
        by=caller(),
        task=GENERATE,
        items=len(found.text),
        metrics=metrics,
        sample=_sample(model, found),
    )


def _half_width(found: MeasuredText) -> float | None:
    """Return half the width of the interval of the bits a character; None of a short text.

    The text is as many parts as fit into it, of which `_PARTS` are measured, each alone.
    """
    stride = len(found.text) // _PARTS
    least, most = _PART_CHARS
    if stride < least:
        return None
    part_chars = min(stride, most)
    bits = OnlineMean()
    for begin in range(0, stride * _PARTS, stride):
        part = found.text[begin : begin + part_chars]
        try:
            measured = found.loaded.measure(part, QuietContext(found.device))
        except InvalidData:
            return None  # it has nothing that the model knows, say
        if not math.isfinite(measured.get("bits_per_char", math.inf)):
            return None
        bits.add(measured["bits_per_char"])
    low, high = bits.interval() or (0.0, 0.0)
    return (high - low) / 2 * math.sqrt(_PARTS * part_chars / len(found.text))


def _sample(model: Model, found: MeasuredText) -> WrittenSample | None:
    """Return how the version continues the text's beginning; None where it does not."""
    prompt = found.text[:_PROMPT_CHARS]
    try:
        parameters = model.tasks[GENERATE].parameters()
        context = QuietContext(found.device)
        (outcome,) = found.loaded.generate([WorkItem(0, prompt)], parameters, context)
    except Exception:  # noqa: BLE001  a plugin may raise anything, and the figures are worth more
        return None
    if not isinstance(outcome, Generation) or not outcome.samples:
        return None
    return WrittenSample(prompt=prompt, text=outcome.samples[0].text[:MAX_EXAMPLE_CHARS])
