"""`seqd plugins try` and `dev`: calls of a plugin, installed or not, without a daemon or Redis.

`try` is one call; `dev` goes on while the plugin is being written, and serves each change.
"""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from seqd.authoring.messages import Compute, Computed, Learn, Load, Loaded, Trained
from seqd.authoring.plugin_child import PluginChild, pinned_to
from seqd.cli import readers
from seqd.cli.exits import INTERRUPTED, MISTAKE, OK
from seqd.cli.plugins.outcomes import print_results, said_of, say_report
from seqd.cli.plugins.subjects import (
    checked_parameters,
    entries_of,
    order_of,
    task_of_entry,
    tell_of_folder,
    warn_of_taken_names,
    watched_of,
)
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen, data_goes_to_a_terminal
from seqd.errors import InvalidRequest, OutputExists, OutputUnwritable, PluginEnded, Stopped
from seqd.kinds import TRAIN
from seqd.validation import shown as shown_value
from seqd.views.numbers import counted
from seqd_schemas import ParameterValue

Subject = Annotated[
    str,
    typer.Argument(
        metavar="NAME|PATH",
        help="An installed plugin or a model, a folder with a pyproject.toml, or a file of Python.",
        show_default=False,
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE",
        help="A parameter of the task; may be given again.",
    ),
]
Plugin = Annotated[
    str, typer.Option("--plugin", metavar="NAME", help="Which plugin, of a source with several.")
]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Which model, of a plugin with several.")
]
Version = Annotated[
    str,
    typer.Option(
        "--version",
        metavar="NAME@N|FOLDER",
        help="A version of this machine's store, or the folder of one. Without it the one in "
        "service here, which is version 0 at first.",
    ),
]
Slot = Annotated[
    str, typer.Option("--slot", help="The share of a device that it is pinned to, such as gpu:0.")
]

Task = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="A task of the model, such as classify.", show_default=False
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TEXT]...",
        help="Texts; of a task that takes records, each one as JSON. - reads lines of stdin.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None, typer.Option("--data", metavar="FILE", help="To train: what to learn from.")
]
HeldOut = Annotated[
    str | None, typer.Option("--held-out", metavar="FILE", help="To train: what to validate on.")
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="FOLDER", help="To train: keep the version, for --version FOLDER."
    ),
]


@shown
def try_plugin(
    subject: Subject,
    task: Task,
    texts: Texts = None,
    param: Parameters = None,
    version: Version = "",
    plugin: Plugin = "",
    model: Model = "",
    slot: Slot = "cpu:0",
    data: Data = None,
    held_out: HeldOut = None,
    out: Out = None,
    *,
    screen: Screen,
) -> None:
    """Call a plugin once, in a process of its own; no daemon and no Redis.

    Outcomes are checked as a worker checks them. Exit status 2 when an item got an error.
    """
    asked = _Asked(
        task=task,
        texts=texts or [],
        parameters=readers.parameters(param),
        learn_from=(data, held_out, out),
        screen=screen,
    )
    _check_files(asked)
    tell_of_folder(subject)
    order = order_of(subject, plugin=plugin, model=model, version=version, slot=slot)
    with _child_with(order) as (child, loaded):
        warn_of_taken_names(order, loaded)
        if task == TRAIN:
            chosen = {"--plugin": plugin, "--model": model}
            options_given = [part for pair in chosen.items() if pair[1] for part in pair]
            status = _train(child, loaded, asked, [subject, *options_given])
        else:
            status = _compute(child, loaded, asked, order)
    raise typer.Exit(status)


def dev(
    subject: Subject,
    task: Annotated[
        str,
        typer.Option("--task", metavar="TASK", help="The task to begin with; else the first."),
    ] = "",
    param: Parameters = None,
    version: Version = "",
    plugin: Plugin = "",
    model: Model = "",
    slot: Slot = "cpu:0",
) -> None:
    """Try texts on a plugin while you write it; no daemon and no Redis.

    A change of the plugin's files is served at once. A line is a text for the current task;
    :help lists the commands. Ctrl-C ends a call, Ctrl-D the session.
    """
    from seqd.cli.plugins.dev_session import Session

    parameters = readers.parameters(param)
    tell_of_folder(subject)
    order = order_of(subject, plugin=plugin, model=model, version=version, slot=slot)
    watched = watched_of(order)
    with Session(order, watched, task, parameters) as session:
        session.run()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the options ask for."""

    task: str
    texts: list[str]
    parameters: dict[str, ParameterValue]
    #: Files to train and to validate on, and the folder to be made.
    learn_from: tuple[str | None, str | None, str | None]
    screen: Screen


def _check_files(asked: _Asked) -> None:
    """Raise InvalidRequest where a training has no data, or another task has some."""
    data, held_out, out = asked.learn_from
    if asked.task == TRAIN and data is None:
        raise InvalidRequest(f"{TRAIN} needs --data FILE: texts with labels, or a text to learn.")
    if asked.task != TRAIN and any((data, held_out, out)):
        raise InvalidRequest(f"--data, --held-out and --out are for {TRAIN}, not for {asked.task}")
    if asked.task != TRAIN and not asked.texts:
        raise InvalidRequest("no text is given. Give one or more, or - for the lines of stdin.")


@contextmanager
def _child_with(order: Load) -> Iterator[tuple[PluginChild, Loaded]]:
    """Yield a child that has loaded a plugin; Ctrl-C ends the command with status 130."""
    child = PluginChild(pinned_to(order.slot), Screen(to_stderr=True).say)
    try:
        yield child, child.load(order)
    except Stopped:
        raise typer.Exit(INTERRUPTED) from None
    finally:
        child.kill("the command ended")


def _compute(child: PluginChild, loaded: Loaded, asked: _Asked, order: Load) -> int:
    entry, task = loaded.entry, asked.task
    schema = task_of_entry(entry, task)
    parameters = checked_parameters(entry, task, asked.parameters)
    is_whole, items, seconds = True, 0, 0.0
    as_json = asked.screen.is_beside_json or not data_goes_to_a_terminal()
    for texts in _batches(asked.texts, schema.unit_items):
        entries = entries_of(entry, task, texts)
        request = Compute(task=task, entries=entries, parameters=parameters)
        try:
            made = child.ask(request, Computed)
        except PluginEnded:
            if child.has_died and len(texts) > 1:
                for text, made in zip(texts, _made_alone(request, texts, order), strict=True):
                    print_results(made, task, schema, [text], as_json=as_json)
            raise
        is_whole &= print_results(made, task, schema, texts, as_json=as_json)
        items, seconds = items + len(texts), seconds + made.seconds
    if not asked.screen.is_beside_json:
        said = f"{counted(items, 'item')} in {1e3 * seconds:.1f} ms by {said_of(loaded)}"
        Screen(to_stderr=True).say(said, "dim")
    return OK if is_whole else MISTAKE


def _made_alone(request: Compute, texts: list[str], order: Load) -> Iterator[Computed]:
    """Yield what comes of each item by itself, to find the one that ends the process.

    Raises PluginEnded, which names it.
    """
    Screen(to_stderr=True).say("The process has ended. Once more, one text at a time:", "yellow")
    with _child_with(order) as (child, _):
        for text, entry in zip(texts, request.entries, strict=True):
            try:
                yield child.ask(request.model_copy(update={"entries": (entry,)}), Computed)
            except PluginEnded as ended:
                raise PluginEnded(f"{ended} The text: {shown_value(text)}") from None


def _batches(texts: list[str], most: int) -> Iterator[list[str]]:
    """Yield the texts, lines of stdin among them, in batches as a unit has them."""
    rest = iter(_with_stdin(texts))
    while batch := list(islice(rest, most)):
        yield batch


def _with_stdin(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if text == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin)
        else:
            yield text


def _train(child: PluginChild, loaded: Loaded, asked: _Asked, tried: list[str]) -> int:
    data, held_out, out = (
        None if one is None else str(Path(one).expanduser().absolute()) for one in asked.learn_from
    )
    parameters = checked_parameters(loaded.entry, asked.task, asked.parameters)
    screen = asked.screen
    with _folder_for(out) as folder:
        request = Learn(
            data=data or "", held_out=held_out, folder=str(folder), parameters=parameters
        )
        try:
            made = child.ask(request, Trained, report=partial(say_report, screen))
        except BaseException:
            child.kill("the command ended")  # before its folder is removed
            raise
    served = [name for name in loaded.entry.all_tasks if name != asked.task]
    again = shlex.join([*tried, served[0] if served else "TASK", "TEXT"])
    Found(made.manifest, lambda screen: _say_trained(screen, made, out, again)).print_on(screen)
    return OK


@contextmanager
def _folder_for(wanted: str | None) -> Iterator[Path]:
    """Yield an empty folder, which becomes the one that is wanted once the block has ended well.

    Without one that is wanted, and after an exception, it is removed. Raises OutputExists for one
    that is there already, OutputUnwritable.
    """
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="seqd-try-") as thrown_away:
            yield Path(thrown_away)
        return
    target = Path(wanted)
    if target.exists():
        raise OutputExists(f"{target} is there already. Give --out a folder that is not there yet.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise OutputUnwritable(f"{target} cannot be made: {error.strerror}") from None
    try:
        yield staged
        staged.chmod(0o755)
        staged.rename(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _say_trained(screen: Screen, made: Trained, folder: str | None, again: str) -> None:
    figures = "".join(f", {name} {value:.4g}" for name, value in made.manifest.metrics.items())
    size = sum(file.size_bytes for file in made.manifest.files.values())
    screen.say(
        f"Trained in {made.seconds:.1f} s, and loaded from its files: {size:,} bytes{figures}"
    )
    if folder is None:
        screen.say("The version is gone again. To keep it: --out FOLDER")
    else:
        screen.say(f"Try it: seqd plugins try {again} --version {shlex.quote(folder)}")
