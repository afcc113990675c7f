"""Results as a person reads them: a label with its score, a prompt with the text that follows it.

Generated text is written as it comes, its control characters escaped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import cut
from seqd.client import JobHandle, StreamedText
from seqd.escaping import printable
from seqd_schemas import Classification, Generation, ItemFailure, ItemSuccess

#: Characters of a text that are repeated beside its label.
_ECHO_CHARS = 60

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class LabelPrinter:
    """Prints a line for each classified text, in input order."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = iter(texts)
        self._screen = Screen()

    def show(self, result: ItemSuccess | ItemFailure) -> None:
        """Print the next result; errors are in the summary."""
        text = " ".join(next(self._texts, "").split())
        if isinstance(result, ItemSuccess) and isinstance(result.output, Classification):
            doubt = "uncertain  " if result.output.uncertain else ""
            told = f"{result.output.label:<10} {result.output.score:.3f}  {doubt}"
            self._screen.say(told + cut(text, _ECHO_CHARS))


class GenerationPrinter:
    """Prints each prompt's continuations as text, the prompt dimmed: whole, or as they come."""

    def __init__(self, screen: Screen, *, is_apart: bool = True) -> None:
        """A text that `is_apart` has an empty line in front, but for the first."""
        self._screen = screen
        self._console = screen.console
        self._is_apart = is_apart
        self._has_colour = screen.is_live and self._console.color_system is not None
        self._is_first = True
        self._is_in_text = False

    def show(self, result: ItemSuccess | ItemFailure) -> None:
        """Print the next result; errors are in the summary."""
        if not isinstance(result, ItemSuccess) or not isinstance(result.output, Generation):
            return
        is_one = len(result.output.samples) == 1
        for sample in result.output.samples:
            self.begin(result.output.prompt, None if is_one else sample.temperature)
            self.write(sample.text)
            self.end()

    def begin(self, prompt: str, temperature: float | None = None) -> None:
        """Begin the next text; its temperature is said where it is one of several."""
        if self._is_apart and not self._is_first:
            self._screen.say()
        self._is_first, self._is_in_text = False, True
        if temperature is not None:
            self._screen.say(f"temperature {temperature:g}", "cyan")
        shown = printable(prompt)
        self._send(f"{_DIM}{shown}{_PLAIN}" if self._has_colour else shown)

    def write(self, text: str) -> None:
        """Go on with the text; returns when it is on the screen."""
        self._send(printable(text))

    def end(self) -> None:
        """End the text and its line, if one has begun."""
        if self._is_in_text:
            self._is_in_text = False
            self._send("\n")

    def _send(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


@dataclass(slots=True)
class _Text:
    """A text that has begun: what waits to be printed, and whether it is whole."""

    waiting: list[str] = field(default_factory=list)
    is_shown: bool = False
    is_whole: bool = False
    temperature: float | None = None


class LiveTexts:
    """Prints texts as they are written, in the order of the items.

    The first text that is not whole is printed as its deltas come. The others, which are written
    beside it, are held, so this is for the few items of a command line, with one text each.
    """

    def __init__(self, printer: GenerationPrinter, prompts: Mapping[str, str]) -> None:
        """`prompts` by `custom_id`, in order."""
        self._printer = printer
        self._prompts = prompts
        self._expected = iter(prompts)
        self._current = next(self._expected, None)
        self._texts: dict[tuple[str, int], _Text] = {}
        self._failed: set[str] = set()

    def results_of(self, handle: JobHandle[Any]) -> Iterator[ItemSuccess | ItemFailure]:
        """Print the job's texts as they come, then yield its results."""
        try:
            for delta in handle.stream():
                self.show(delta)
            for (name, _), text in self._texts.items():
                if text.is_whole and not text.is_shown:  # a model may give several by its defaults
                    self._print(name, text, text.temperature)
        finally:
            self._printer.end()
        yield from handle.results()

    def show(self, delta: StreamedText) -> None:
        """Print a delta, and texts that waited for it, when all before it are whole."""
        if delta.error is not None:
            self._failed.add(delta.custom_id)
        else:
            text = self._texts.setdefault((delta.custom_id, delta.sample), _Text())
            text.waiting.append(delta.text)
            text.is_whole = delta.finished is not None or delta.output is not None
            if delta.finished is not None:
                text.temperature = delta.finished.temperature
        while self._current is not None and self._is_over(self._current):
            self._texts.pop((self._current, 0), None)
            self._current = next(self._expected, None)

    def _is_over(self, name: str) -> bool:
        """Print what there is of a text; return whether no more of it will come."""
        if name in self._failed:
            self._printer.end()
            return True
        text = self._texts.get((name, 0))
        if text is None:
            return False
        self._print(name, text)
        return text.is_whole

    def _print(self, name: str, text: _Text, temperature: float | None = None) -> None:
        if not text.is_shown:
            self._printer.begin(self._prompts.get(name, ""), temperature)
            text.is_shown = True
        self._printer.write("".join(text.waiting))
        text.waiting.clear()
        if text.is_whole:
            self._printer.end()
