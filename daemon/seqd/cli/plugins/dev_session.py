"""A session of `seqd plugins dev`: reads lines, and shows what the plugin makes of them.

A line that begins with a colon is a command. What the plugin prints, and what came of each change
of its files, goes to standard error.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from seqd.authoring.messages import Compute, Computed, Load
from seqd.authoring.plugin_child import pinned_to
from seqd.authoring.reloading import News, ReloadedPlugin, Watched
from seqd.cli import readers
from seqd.cli.exits import Terminated, print_error
from seqd.cli.plugins.outcomes import print_results, said_of
from seqd.cli.plugins.subjects import (
    checked_parameters,
    entries_of,
    task_of_entry,
    warn_of_taken_names,
)
from seqd.cli.ui.screen import Screen, data_goes_to_a_terminal
from seqd.errors import InvalidRequest, PluginEnded, SeqdError, Stopped
from seqd.kinds import TRAIN, kind_of_task
from seqd.parameters import Schema, allowed
from seqd.validation import did_you_mean, listed
from seqd.wording import first_of
from seqd_schemas import CatalogEntry, ParameterValue, TaskSchema

#: The commands of a session, each with what it takes and does.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    ":task": ("NAME", "go over to another task"),
    ":set": ("NAME=VALUE", "set a parameter of the task; NAME= takes it away"),
    ":params": ("", "list the parameters of the task"),
    ":reload": ("", "load the plugin anew"),
    ":help": ("", "list the commands"),
    ":quit": ("", "end; so does Ctrl-D"),
}

#: Why a load is ended that a person does not wait for.
_CTRL_C: Final = "Ctrl-C stopped its loading"


class Session:
    """A plugin that is served to one prompt, as a `with` block that ends its processes."""

    def __init__(
        self,
        order: Load,
        watched: Watched,
        task: str,
        parameters: Mapping[str, ParameterValue],
    ) -> None:
        """`task` and `parameters` are what to begin with."""
        self._notices = Screen(to_stderr=True)
        self._order, self._task = order, task
        self._parameters = dict(parameters)
        self._plugin = ReloadedPlugin(
            order, pinned_to(order.slot), watched, say=self._notices.say, tell=self._tell
        )
        self._commands: dict[str, Callable[[str], None]] = {
            ":task": self._go_over,
            ":set": self._set,
            ":params": self._list_parameters,
            ":reload": lambda given: self._plugin.load_anew(),
            ":help": lambda given: self._help(),
        }

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the plugin's processes."""
        self._plugin.close()

    def run(self) -> None:
        """Read lines until there are no more."""
        prompt = _prompt_for([*COMMANDS])
        with prompt.beside():
            self._wait_for_the_first()
            while (line := self._read(prompt)) is not None and line.strip() != ":quit":
                try:
                    self._take(line)
                except SeqdError as error:
                    print_error(error)
                except Terminated:
                    raise
                except KeyboardInterrupt:
                    if not self._plugin.stop_loading(_CTRL_C):
                        raise

    def _wait_for_the_first(self) -> None:
        try:
            serving = self._plugin.serving()
        except SeqdError:
            return  # `_tell` says so
        warn_of_taken_names(self._order, serving.loaded)
        self._notices.say(
            f"A line is a text for {self._current_task()}. :help lists commands; a change of the "
            "plugin's files loads it anew.",
            "dim",
        )

    def _read(self, prompt: "_Prompt") -> str | None:
        """Return the next line; "" after Ctrl-C, which ends a load or throws a line away."""
        try:
            return prompt.read(self._label)
        except Terminated:
            raise
        except KeyboardInterrupt:
            if not self._plugin.stop_loading(_CTRL_C):
                self._notices.say(":quit or Ctrl-D ends.", "dim")
            return ""

    def _label(self) -> str:
        """Return what stands in front of a line; asked again while the line is typed."""
        serving = self._plugin.now()
        if serving is None:
            return "(nothing serves)> "
        entry = serving.loaded.entry
        return f"{entry.model} {self._task or first_task(entry)}> "

    def _take(self, line: str) -> None:
        """Do what a line asks for. Raises SeqdError, which the session outlives."""
        name, _, given = line.strip().partition(" ")
        if name in self._commands:
            self._commands[name](given.strip())
        elif name.startswith(":") and not name.startswith("::"):
            raise InvalidRequest(
                f"no command {name!r}. Commands: {', '.join(COMMANDS)}."
                f"{did_you_mean(name, COMMANDS)} A text that begins with a colon is given with two."
            )
        elif line or self._allows_empty():
            self._compute(line.removeprefix(":") if name.startswith("::") else line)

    def _allows_empty(self) -> bool:
        return kind_of_task(self._current_task()).allows_empty or self._schema_here().allows_empty

    def _compute(self, text: str) -> None:
        """Print what comes of a text; of the changed plugin, where it changed during the call."""
        serving, task = self._plugin.serving(), self._current_task()
        entry, schema = serving.loaded.entry, self._schema_here()
        request = Compute(
            task=task,
            entries=entries_of(entry, task, [text]),
            parameters=checked_parameters(entry, task, self._parameters),
        )
        try:
            made = serving.child.ask(request, Computed)
        except PluginEnded:
            if not serving.child.was_replaced:
                raise
            self._compute(text)
            return
        as_json = not data_goes_to_a_terminal()
        print_results(made, task, schema, [text], as_json=as_json)

    def _current_task(self) -> str:
        """Return the task that lines are for. Raises InvalidRequest where there is no such task."""
        entry = self._plugin.serving().loaded.entry
        task = self._task or first_task(entry)
        task_of_entry(entry, task)
        return task

    def _schema_here(self) -> TaskSchema:
        return task_of_entry(self._plugin.serving().loaded.entry, self._current_task())

    def _go_over(self, name: str) -> None:
        entry = self._plugin.serving().loaded.entry
        if not name:
            raise InvalidRequest(f"say which task: {listed(entry.all_tasks)}")
        task_of_entry(entry, name)
        if name == TRAIN:
            raise InvalidRequest(
                f"{TRAIN} takes a file: seqd plugins try … {TRAIN} --data FILE --out FOLDER"
            )
        self._task, self._parameters = name, {}

    def _set(self, pair: str) -> None:
        name, equals, value = pair.partition("=")
        if equals and not value:
            self._parameters.pop(name.strip(), None)
            return
        wanted = self._parameters | readers.parameters([pair])
        checked_parameters(self._plugin.serving().loaded.entry, self._current_task(), wanted)
        self._parameters = wanted

    def _list_parameters(self, given: str) -> None:
        schema = self._schema_here().parameters
        fields = schema.get("properties")
        if not isinstance(fields, dict) or not fields:
            Screen().say(f"{self._current_task()} has no parameters.")
            return
        for name, field in fields.items():
            assert isinstance(field, dict)
            Screen().say(_parameter_line(name, field, schema, self._parameters))

    def _help(self) -> None:
        for name, (takes, does) in COMMANDS.items():
            Screen().say(f"{f'{name} {takes}':<18}{does}")

    def _tell(self, news: News) -> None:
        """Say what came of a load."""
        if news.loaded is not None:
            why = (
                f" after {first_of([Path(name).name for name in news.changed], 1)} changed"
                if news.changed
                else ""
            )
            said = f"Loaded in {news.seconds:.2f} s{why}: {said_of(news.loaded)}"
            self._notices.say(said, "green")
            if news.loaded.fault:
                self._notices.say(news.loaded.fault, "yellow")
        elif news.fault is not None and not isinstance(news.fault, Stopped):
            said = str(news.fault).rstrip(".")
            self._notices.say(
                f"error[{news.fault.code}]: {said}. Nothing serves until that is mended; the next "
                "change loads the plugin again.",
                "red",
            )


def first_task(entry: CatalogEntry) -> str:
    """Return the task that a session begins with: the first that a version does."""
    return next((task for task in entry.all_tasks if task != TRAIN), TRAIN)


def _parameter_line(
    name: str, field: Schema, root: Schema, given: Mapping[str, ParameterValue]
) -> str:
    now = given.get(name, field.get("default", "to be given"))
    said = f"{name} = {now}  {allowed(field, root)}"
    return f"{said}  {field.get('description', '')}".rstrip()


class _Prompt(Protocol):
    """Reads lines."""

    def read(self, label: Callable[[], str]) -> str | None:
        """Return the next line, without its end; None behind the last. Raises KeyboardInterrupt."""

    def beside(self) -> AbstractContextManager[object]:
        """Return a block in which other threads may print while a line is being typed."""


def _prompt_for(commands: Sequence[str]) -> _Prompt:
    """Return what reads standard input; on a terminal `commands` are completed."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _TerminalPrompt(commands)
    return _PipePrompt()


class _PipePrompt:
    """Reads the lines of a pipe or a file; shows no prompt."""

    def read(self, label: Callable[[], str]) -> str | None:
        """Return the next line; None behind the last."""
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None

    def beside(self) -> AbstractContextManager[object]:
        """Return a block that changes nothing."""
        return nullcontext()


class _TerminalPrompt:
    """Reads what a person types, with the keys of Emacs; the arrows give earlier lines again."""

    def __init__(self, commands: Sequence[str]) -> None:
        """`commands` are completed."""
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter

        completer = WordCompleter(list(commands), sentence=True)
        self._session: PromptSession[str] = PromptSession(
            completer=completer, complete_while_typing=False
        )

    def read(self, label: Callable[[], str]) -> str | None:
        """Return the next line; None at Ctrl-D. Raises KeyboardInterrupt."""
        try:
            return self._session.prompt(label)
        except EOFError:
            return None

    def beside(self) -> AbstractContextManager[object]:
        """Return a block in which what is printed stands above the line that is typed."""
        from prompt_toolkit.patch_stdout import patch_stdout

        return patch_stdout(raw=True)
