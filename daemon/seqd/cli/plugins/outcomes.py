"""The results of a plugin that is tried, as `seqd classify`, `generate` and `run` print theirs."""

from collections.abc import Callable, Sequence

from seqd.authoring.messages import Computed, Loaded, Report, Reported
from seqd.cli.bulk import print_line
from seqd.cli.ui.outputs import OutputPrinter
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.texts import GenerationPrinter, LabelPrinter
from seqd.kinds import kind_of_task
from seqd_schemas import (
    Classification,
    Epoch,
    Generation,
    ItemFailure,
    ItemSuccess,
    Log,
    Sample,
    TaskSchema,
)


def print_results(
    made: Computed, task: str, schema: TaskSchema, texts: Sequence[str], *, as_json: bool
) -> bool:
    """Print the results of one call; return True where each item has one.

    As JSON, a line each, or in words, with errors on standard error.
    """
    show = print_line if as_json else _printer(task, schema, texts)
    errors = Screen(to_stderr=True)
    for result in made.results:
        show(result)
        if isinstance(result, ItemFailure) and not as_json:
            errors.say(f"{result.custom_id}  {result.error.code}: {result.error.message}", "red")
    return not any(isinstance(result, ItemFailure) for result in made.results)


def _printer(
    task: str, schema: TaskSchema, texts: Sequence[str]
) -> Callable[[ItemSuccess | ItemFailure], None]:
    output = kind_of_task(task).output
    if output is Classification:
        return LabelPrinter(texts).show
    if output is Generation:
        return GenerationPrinter(Screen()).show
    return OutputPrinter(Screen(), schema, texts).show


def said_of(loaded: Loaded) -> str:
    """Return in words which plugin, and which version of its model, is loaded."""
    plugin = loaded.plugin
    origin = f"{plugin.distribution} {plugin.version}".strip()
    version = loaded.version or f"{loaded.entry.model}, without a version"
    return f"{version}, plugin {plugin.name} of {origin}"


def say_report(screen: Screen, report: Report) -> None:
    """Print a report of a training."""
    match report:
        case Reported(event=Epoch() as event):
            figures = "".join(f"  {name} {value:.4g}" for name, value in event.metrics.items())
            screen.say(f"epoch {event.epoch}/{event.epochs}{figures}  {event.seconds:.1f} s")
        case Reported(event=Sample() as event):
            screen.say(f"  {event.prompt}{event.text}")
        case Reported(event=Log() as event):
            screen.say(event.message)
