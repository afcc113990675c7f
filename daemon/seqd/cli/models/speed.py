"""How fast a version is on this machine: loaded in this process, with nothing else to do.

`seqd models show topics@2 --measure` has it measured. A worker is slower by what it reads from
Redis and commits, and faster on a GPU.
"""

import platform
import random
import socket
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal

from seqd.cli.models.kept_evaluations import now_ms
from seqd.cli.models.loaded_here import LocalContext, load_here, plugin_faults
from seqd.errors import InvalidRequest, PluginFault
from seqd_schemas import Classification, Generation, MeasuredSpeed

if TYPE_CHECKING:
    from seqd.hookspecs import Artifact, Device, LoadedModel, Model

#: Seconds that a command measures.
MEASURED_S: Final = 2.0

#: Texts of one call when texts are classified, and of each text the fewest and the most words.
_BATCH: Final = 64
_WORDS: Final = (20, 400)

_COMMON_WORDS: Final = (
    "the and of to in is it that was for on with as at by this but not are from or have an they "
    "which one you had all their there been if more when will would who so no time out"
)


def measure_speed(model: "Model", artifact: "Artifact", seconds: float) -> MeasuredSpeed:
    """Return how fast a version classifies, or else writes, on this machine's cores.

    It is measured for so many seconds at least, and for one call of the plugin. Texts to classify
    have 20 to 400 common English words, which are the same each time; texts are written with the
    default parameters, one prompt after the other. Raises PluginFault.
    """
    manifest = artifact.manifest
    name = f"{manifest.model}@{manifest.version}"
    no_method = InvalidRequest(f"{name} neither classifies nor writes texts")
    task: Literal["classify", "generate"] = "classify" if "classify" in model.tasks else "generate"
    if task not in model.tasks:
        raise no_method
    with plugin_faults(f"measuring the speed of {name}", no_method):
        loaded, device = load_here(model, artifact)
        loaded.warm_up()
        prepare = _classifying if task == "classify" else _writing
        call = prepare(model, loaded, device)
        call()  # the first call may compile
        items = characters = 0
        began = perf_counter()
        while (took_s := perf_counter() - began) < seconds or not items:
            more_items, more_characters = call()
            items += more_items
            characters += more_characters
    return MeasuredSpeed(
        at_ms=now_ms(),
        machine=socket.gethostname(),
        processor=_processor(),
        slot=device.slot,
        threads=device.threads,
        task=task,
        items=items,
        seconds=took_s,
        items_per_s=items / took_s,
        characters_per_s=characters / took_s,
    )


def _classifying(
    model: "Model", loaded: "LoadedModel", device: "Device"
) -> Callable[[], tuple[int, int]]:
    """Return what classifies one batch and gives its texts and their characters."""
    from seqd.hookspecs import WorkItem

    draw = random.Random(0)
    words = _COMMON_WORDS.split()
    texts = [" ".join(draw.choices(words, k=draw.randint(*_WORDS))) for _ in range(_BATCH)]
    items = [WorkItem(index, text) for index, text in enumerate(texts)]
    parameters = model.tasks["classify"].parameters()
    context = LocalContext(device)

    def call() -> tuple[int, int]:
        outcomes = loaded.classify(items, parameters, context)
        if any(not isinstance(one, Classification) for one in outcomes):
            raise PluginFault(f"{model.name} gave an error for a text of common words")
        return len(items), sum(map(len, texts))

    return call


def _writing(
    model: "Model", loaded: "LoadedModel", device: "Device"
) -> Callable[[], tuple[int, int]]:
    """Return what writes the texts of one prompt and gives their number and characters."""
    from seqd.hookspecs import WorkItem

    parameters = model.tasks["generate"].parameters()
    context = LocalContext(device)
    items: list[WorkItem] = [WorkItem(0, "the ")]

    def call() -> tuple[int, int]:
        (outcome,) = loaded.generate(items, parameters, context)
        if not isinstance(outcome, Generation):
            raise PluginFault(f"{model.name} gave an error for the prompt 'the '")
        return len(outcome.samples), sum(len(one.text) for one in outcome.samples)

    return call


def _processor() -> str:
    """Return the processor's name as the system gives it, '' where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())[:200]
