"""Measures how well a model that writes text predicts one: `seqd models evaluate` on such a model.

In the command's own process, from this machine's store, so that no daemon is needed; the model
says what there is to say (`LoadedModel.measure`). Called by `evaluate`.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.errors import InvalidData, InvalidRequest, PluginFault, SeqdError
from seqd.hookspecs import Artifact, Device, LoadedModel, Model, WorkItem

if TYPE_CHECKING:
    from seqd.cli.rendering.screen import Screen
    from seqd_schemas import DataFingerprint, ModelManifest

#: A parameter by which a plugin says how much of the end of its training text it held out.
_HELD_OUT_SHARE = "validation_split"


@dataclass(frozen=True, slots=True)
class Writer:
    """A version of a model that writes text."""

    model: Model
    artifact: Artifact

    @property
    def name(self) -> str:
        """The version's full name."""
        return f"{self.artifact.manifest.model}@{self.artifact.manifest.version}"


@dataclass(frozen=True, slots=True)
class _Context:
    """What `measure` works with: nobody stops it but Ctrl-C, which ends the command."""

    device: Device
    _on_batch: Callable[[int], None]

    def stop_requested(self) -> bool:
        """False: there is nobody who would ask."""
        return False

    def batch(
        self,
        *,
        items: int,
        real_tokens: int,
        computed_tokens: int,
        vectorise_s: float,
        compute_s: float,
    ) -> None:
        """Move the bar by the characters that were read."""
        self._on_batch(real_tokens)

    def stream(self, item: WorkItem, sample: int, piece: str) -> None:
        """Take no text: none is written here."""


def open_writer(ref: str) -> Writer | None:
    """Give the version where it is of a model of this machine that writes and does not classify.

    None of any other model: those are the fleet's to classify. Raises UnknownModel for a version
    that there is not, ArtifactDamaged.
    """
    from seqd.cli.local import open_workshop

    workshop = open_workshop(options.read_settings())
    model = workshop.registry.models.get(ref.partition("@")[0])
    if model is None or "classify" in model.tasks or "generate" not in model.tasks:
        return None
    return Writer(model, workshop.store.open(*workshop.store.resolve(ref)))


def measure_text(
    writer: Writer, file: str, last: float | None, fields: Mapping[str, str], *, as_json: bool
) -> None:
    """Read the text, measure it and print the figures."""
    from seqd.cli.rendering.evaluation import print_text_figures
    from seqd.cli.rendering.numbers import counted
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.rendering.tables import print_json
    from seqd.cli.sources import dataset_of

    screen = Screen(to_stderr=as_json)
    with dataset_of(file, **fields) as data:
        whole, fingerprint = data.text(), data.fingerprint()
    text = _end_of(whole, last)
    _warn_if_learnt(screen, writer.artifact.manifest, fingerprint, last)
    figures = _figures(writer, text, screen)
    name = Path(file).name
    if as_json:
        finite = {key: value if math.isfinite(value) else None for key, value in figures.items()}
        told = {"model": writer.name, "data": name, "last": last, "characters": len(text)}
        print_json(told | finite)
    else:
        which = "" if last is None else "the last "
        what = f"{name}, {which}{counted(len(text), 'character')}"
        print_text_figures(screen, figures, model=writer.name, data=what)


def _end_of(text: str, last: float | None) -> str:
    """Give the last share of a text, cut where a training that holds it out cuts."""
    if last is None:
        return text
    if not 0.0 < last <= 1.0:
        raise InvalidRequest(
            f"--last is {last:g}; allowed: a share above 0 up to 1, such as 0.1 for the last tenth"
        )
    return text[int(len(text) * (1.0 - last)) :]


def _warn_if_learnt(
    screen: "Screen", manifest: "ModelManifest", data: "DataFingerprint", last: float | None
) -> None:
    """Say so when a version was trained on this very text, but for a part that it held out."""
    if manifest.data.sha256 != data.sha256:
        return
    held_out = manifest.parameters.get(_HELD_OUT_SHARE)
    share = float(held_out) if isinstance(held_out, int | float) else 0.0
    if last is not None and last <= share + 1e-9:
        return
    advice = f" It held the last {share:.3g} of it out: --last {share:g} is fair." if share else ""
    screen.say(
        f"{manifest.model}@{manifest.version} was trained on this text, so it knows what it is "
        f"asked: the figures are better than on a text that is new to it.{advice}",
        "yellow",
    )


def _figures(writer: Writer, text: str, screen: "Screen") -> dict[str, float]:
    """Load the model and measure. Raises InvalidRequest where it measures nothing, PluginFault."""
    from seqd.slots import cores, parse_slot

    # Before the model brings its libraries in, which read these once.
    os.environ.update(parse_slot("cpu:0").environment() | {"OMP_NUM_THREADS": str(cores())})
    device = Device(slot="cpu:0", kind="cpu", threads=cores())
    try:
        loaded = writer.model.load(writer.artifact, device)
        told = _measured(loaded, text, device, screen)
    except NotImplementedError:
        raise InvalidRequest(
            f"{writer.model.name} measures no texts: its plugin has no LoadedModel.measure"
        ) from None
    except SeqdError:
        raise
    except Exception as error:
        raise PluginFault(
            f"measuring with {writer.name} failed: {type(error).__name__}: {error}"
        ) from error
    bits = told.get("bits_per_char")
    if bits is None:
        raise PluginFault(f"{writer.name} measured a text and told no bits_per_char")
    return {"bits_per_char": bits, "perplexity_per_char": _power_of_two(bits)} | dict(told)


def _measured(
    loaded: LoadedModel, text: str, device: Device, screen: "Screen"
) -> Mapping[str, float]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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

        def advance(characters: int) -> None:
            progress.update(task, total=len(text), advance=characters)

        return loaded.measure(text, _Context(device, advance))


def _power_of_two(bits: float) -> float:
    try:
        return math.pow(2.0, bits)
    except OverflowError:
        return math.inf
