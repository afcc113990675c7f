"""How fast a version is on this machine: loaded in this process, with nothing else to do.

`seqd models show topics@2 --measure` has it measured. A worker is slower by what it reads from
Redis and commits, and faster on a GPU.
"""

import platform
import random
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, cast

from seqd.cli.models.kept_evaluations import now_ms
from seqd.cli.models.loaded_here import load_here, plugin_faults
from seqd.errors import InvalidRequest, PluginFault
from seqd.hookspecs import Artifact, Device, LoadedModel, Model, TaskSpec, WorkItem
from seqd.kinds import SERVED_TASKS, TRAIN, kind_of_task
from seqd.models.made_records import with_record
from seqd.plugin.decorated import QuietContext
from seqd_schemas import Classification, Generation, MeasuredSpeed

#: Seconds that a command measures.
MEASURED_S: Final = 2.0

#: Items of one call, but where texts are continued, and of each the fewest and the most words.
_BATCH: Final = 64
_WORDS: Final = (20, 400)

_COMMON_WORDS: Final = (
    "the and of to in is it that was for on with as at by this but not are from or have an they "
    "which one you had all their there been if more when will would who so no time out"
)


def measured_tasks(model: Model) -> list[str]:
    """Return the tasks whose speed is measured: that it classifies, or else writes, and its own."""
    named = [task for task in SERVED_TASKS if task in model.tasks]
    own = [task for task in model.tasks if task not in SERVED_TASKS and task != TRAIN]
    return [*named[:1], *own]


def measure_speed(
    model: Model, artifact: Artifact, seconds: float, task: str | None = None
) -> MeasuredSpeed:
    """Return how fast a version does a task on this machine's cores; None: its first one.

    It is measured for so many seconds at least, and for one call of the plugin. Items have 20 to
    400 common English words, which are the same each time, or are records of such texts; texts are
    continued with the default parameters, one prompt after the other. Raises PluginFault, and
    InvalidRequest where it has no such task, or where no record can be made for it.
    """
    manifest = artifact.manifest
    name = f"{manifest.model}@{manifest.version}"
    no_method = InvalidRequest(f"{name} neither classifies nor writes texts")
    task = task or next(iter(measured_tasks(model)), None)
    if task is None or task not in model.tasks:
        raise no_method
    with plugin_faults(f"measuring the speed of {name}", no_method):
        loaded, device = load_here(model, artifact)
        loaded.warm_up()
        is_written = kind_of_task(task).output is Generation
        call = (_writing if is_written else _computing)(model, task, loaded, device)
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


def _computing(
    model: Model, task: str, loaded: LoadedModel, device: Device
) -> Callable[[], tuple[int, int]]:
    """Return what does a task with one batch and gives its items and their characters."""
    spec = model.tasks[task]
    items = _batch(spec)
    parameters = spec.parameters()
    context = QuietContext(device)
    output = kind_of_task(task).output or spec.output

    def outcomes() -> Sequence[object]:
        if output is Classification:
            return loaded.classify(items, parameters, context)
        return loaded.run(task, items, parameters, context)

    def call() -> tuple[int, int]:
        if any(not isinstance(one, cast("type", output)) for one in outcomes()):
            raise PluginFault(f"{model.name} gave an error for a text of common words")
        return len(items), sum(len(item.text) for item in items)

    return call


def _batch(spec: TaskSpec) -> list[WorkItem]:
    """Return items of common words; raise InvalidRequest where no record can be made of them."""
    draw = random.Random(0)
    words = _COMMON_WORDS.split()
    texts = (" ".join(draw.choices(words, k=draw.randint(*_WORDS))) for _ in range(_BATCH))
    items = [WorkItem(index, text) for index, text in enumerate(texts)]
    if spec.input is None:
        return items
    records = [made for item in items if (made := with_record(item, spec.input)) is not None]
    if not records:
        raise InvalidRequest(
            "the speed cannot be measured: no record that the task takes could be made by the "
            f"schema of {spec.input.__name__}. Give its model_config examples of records"
        )
    return records


def _writing(
    model: Model, task: str, loaded: LoadedModel, device: Device
) -> Callable[[], tuple[int, int]]:
    """Return what writes the texts of one prompt and gives their number and characters."""
    parameters = model.tasks[task].parameters()
    context = QuietContext(device)
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
