"""Versions that write text, measured by how well they predict one: here, without a daemon.

The version is loaded in this process, from this machine's store. What is kept has an interval by
the spread between parts of the text, and a sample of what the version writes.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from seqd.analysis.statistics import mean_interval
from seqd.cli import options
from seqd.cli.models.kept_evaluations import now_ms
from seqd.cli.models.loaded_here import load_here, plugin_faults
from seqd.cli.models.measured_items import Asked, is_learnt
from seqd.cli.showing import Found
from seqd.cli.sources import dataset_of
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.errors import InvalidData, InvalidRequest, PluginFault
from seqd.hookspecs import Artifact, Device, LoadedModel, Model, RunContext, WorkItem
from seqd.inputs.datasets import TextDataset
from seqd.kinds import CLASSIFY, GENERATE
from seqd.local.caller import caller
from seqd.plugin.decorated import QuietContext
from seqd.views.numbers import counted, metric
from seqd_schemas import (
    MAX_EXAMPLE_CHARS,
    DataFingerprint,
    EvaluatedMetric,
    Generation,
    ModelManifest,
    ModelReference,
    VersionEvaluation,
    WrittenSample,
)

#: A parameter by which a plugin says how much of the end of its training text it held out.
_HELD_OUT_SHARE: Final = "validation_split"

#: Parts of a text whose bits a character are compared, spread evenly over it.
_PARTS: Final = 20

#: Characters of a part: in shorter ones the first characters, which have nothing before them, would
#: count too much; longer ones would make the interval cost more than the figure.
_PART_CHARS: Final = (500, 2_500)

#: Characters of the text that the version continues, as a sample of what it writes.
_PROMPT_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class TextModel:
    """A version of a model that writes text, as it is in the store."""

    model: Model
    artifact: Artifact

    @property
    def name(self) -> str:
        """The version's full name, such as `markov@3`."""
        return f"{self.artifact.manifest.model}@{self.artifact.manifest.version}"


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


def open_text_model(ref: str) -> TextModel | None:
    """Return the version where its model is on this machine, and writes and does not classify.

    None for any other model. Raises UnknownModel for a version that does not exist, and
    ArtifactDamaged.
    """
    local = options.open_local_models(options.read_settings())
    name = local.store.plugin_of(ModelReference.parse(ref).name)
    model = local.registry.models.get(name)
    if model is None or CLASSIFY in model.tasks or GENERATE not in model.tasks:
        return None
    return TextModel(model, local.store.open(*local.store.resolve(ref)))


def measure_text(text_model: TextModel, asked: Asked, screen: Screen) -> MeasuredText:
    """Read the text, load the model and measure; say so where it was trained on that text.

    Raises InvalidRequest where it measures nothing, and PluginFault.
    """
    with dataset_of(asked.file, **asked.fields) as dataset:
        whole, fingerprint = dataset.text(), dataset.fingerprint()
    text = _end_of(whole, asked.last)
    is_known = _warn_if_trained_on(screen, text_model.artifact.manifest, fingerprint, asked.last)
    with telling_faults(text_model, adapts=asked.adapts):
        loaded, device = load_here(text_model.model, text_model.artifact)
        measure = loaded.measure_adapting if asked.adapts else loaded.measure
        measured = _measured(measure, text, device, screen)
    bits = measured.get("bits_per_char")
    if bits is None:
        raise PluginFault(f"{text_model.name} measured a text and gave no bits_per_char")
    figures = {"bits_per_char": bits, "perplexity_per_char": _power_of_two(bits)} | dict(measured)
    part = asked.data if asked.last is None else f"{asked.data}, the last {asked.last:g}"
    data = TextDataset(text, part).fingerprint()
    return MeasuredText(loaded, device, text, figures, data, is_known)


def print_measured(
    text_model: TextModel, asked: Asked, measured: MeasuredText, screen: Screen
) -> None:
    """Print the figures of a text; what is infinite is null as JSON."""
    figures = measured.figures
    finite = {key: value if math.isfinite(value) else None for key, value in figures.items()}
    characters = len(measured.text)
    facts = {
        "model": text_model.name,
        "data": asked.data,
        "last": asked.last,
        "characters": characters,
        "adaptive": asked.adapts,
    }
    which = "" if asked.last is None else "the last "
    how = ", adaptive" if asked.adapts else ""
    what = f"{asked.data}, {which}{counted(characters, 'character')}{how}"
    Found(
        facts | finite,
        lambda screen: _print_text_figures(screen, figures, model=text_model.name, data=what),
    ).print_on(screen)


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


def _end_of(text: str, last: float | None) -> str:
    """Return the last share of a text, cut where a training that holds it out cuts."""
    if last is None:
        return text
    if not 0.0 < last <= 1.0:
        raise InvalidRequest(
            f"--last is {last:g}; allowed: a share above 0 up to 1, such as 0.1 for the last tenth"
        )
    return text[int(len(text) * (1.0 - last)) :]


def _warn_if_trained_on(
    screen: Screen, manifest: ModelManifest, data: DataFingerprint, last: float | None
) -> bool:
    """Say so when a version was trained on this very text, but for a part that it held out.

    Return whether it was.
    """
    if not is_learnt(manifest, data):
        return False
    held_out = manifest.parameters.get(_HELD_OUT_SHARE)
    share = float(held_out) if isinstance(held_out, int | float) else 0.0
    if last is not None and last <= share + 1e-9:
        return False
    advice = f" It held the last {share:.3g} of it out: --last {share:g} is fair." if share else ""
    screen.say(
        f"{manifest.model}@{manifest.version} was trained on this text, so it knows what it is "
        f"asked: the figures are better than on a text that is new to it.{advice}",
        "yellow",
    )
    return True


def telling_faults(text_model: TextModel, *, adapts: bool = False) -> AbstractContextManager[None]:
    """Raise PluginFault for what the plugin raises in a `with` block, and for no such method."""
    no_method = InvalidRequest(
        f"{text_model.name} does not adapt: it cannot learn from a text while it predicts it; "
        "leave --adaptive away"
        if adapts
        else f"{text_model.model.name} measures no texts: its plugin has no LoadedModel.measure"
    )
    return plugin_faults(f"measuring with {text_model.name}", no_method)


def _measured(
    measure: Callable[[str, RunContext], Mapping[str, float]],
    text: str,
    device: Device,
    screen: Screen,
) -> Mapping[str, float]:
    if not text:
        raise InvalidData("the text has no characters; at least one is due")
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=screen.console,
        transient=True,
        disable=not screen.is_live,
    ) as progress:
        task = progress.add_task(f"reading {len(text):,} characters", total=None)

        def advance(said: Mapping[str, float]) -> None:
            progress.update(task, total=len(text), advance=said["real_tokens"])

        return measure(text, QuietContext(device, told=advance))


def _power_of_two(bits: float) -> float:
    try:
        return math.pow(2.0, bits)
    except OverflowError:
        return math.inf


def _half_width(found: MeasuredText) -> float | None:
    """Return half the width of the interval of the bits a character; None of a short text.

    The text is as many parts as fit into it, of which `_PARTS` are measured, each alone.
    """
    stride = len(found.text) // _PARTS
    least, most = _PART_CHARS
    if stride < least:
        return None
    part_chars = min(stride, most)
    bits = []
    for begin in range(0, stride * _PARTS, stride):
        part = found.text[begin : begin + part_chars]
        try:
            measured = found.loaded.measure(part, QuietContext(found.device))
        except InvalidData:
            return None  # it has nothing that the model knows, say
        if not math.isfinite(measured.get("bits_per_char", math.inf)):
            return None
        bits.append(measured["bits_per_char"])
    low, high = mean_interval(np.array(bits)) or (0.0, 0.0)
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


def _print_text_figures(
    screen: Screen, figures: Mapping[str, float], *, model: str, data: str
) -> None:
    """Print how well a model predicts a text."""
    shown = {
        name.replace("_", " "): metric(figure) if math.isfinite(figure) else "infinite"
        for name, figure in figures.items()
    }
    print_facts(screen, {"model": model, "data": data} | shown)
