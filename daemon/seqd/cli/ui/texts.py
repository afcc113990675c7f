"""Results as a person reads them: a label with its score, a prompt with the text that follows it.

Generated text is written as it comes. In a pipe or file it stands as the model wrote it. On a
terminal control characters are escaped, and lines are broken between words, for which the last
word waits until it is whole.
"""

from collections.abc import Sequence

from rich.cells import cell_len

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import cut
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

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._writer = TextWriter(screen)
        self._is_first = True

    def show(self, result: ItemSuccess | ItemFailure) -> None:
        """Print the next result; errors are in the summary."""
        if not isinstance(result, ItemSuccess) or not isinstance(result.output, Generation):
            return
        is_one = len(result.output.samples) == 1
        for sample in result.output.samples:
            self.begin(result.output.prompt, None if is_one else sample.temperature)
            self.write(sample.text)
            self.end()

    def begin(self, prompt: str, temperature: float | None) -> None:
        """Begin the next text; its temperature is said where it is one of several."""
        if not self._is_first:
            self._screen.say()
        self._is_first = False
        if temperature is not None:
            self._screen.say(f"temperature {temperature:g}", "cyan")
        self._writer.begin(prompt)

    def write(self, text: str) -> None:
        """Go on with the text."""
        self._writer.write(text)

    def end(self) -> None:
        """End the text, if one has begun."""
        if self._writer.is_in_text:
            self._writer.end()


class TextWriter:
    """Writes one text after the other. `write` returns when the text is on the screen."""

    def __init__(self, screen: Screen) -> None:
        self._console = screen.console
        self._breaker = LineBreaker(screen.console.width) if screen.is_live else None
        self._has_colour = screen.is_live and self._console.color_system is not None
        self.is_in_text = False

    def begin(self, prompt: str) -> None:
        """Begin a text with its prompt."""
        self.is_in_text = True
        if self._breaker is None or not self._has_colour:
            self.write(prompt)
            return
        shown = self._breaker.add(printable(prompt))
        self._send(f"{_DIM}{shown}{self._breaker.mark(_PLAIN)}")

    def write(self, text: str) -> None:
        """Go on with the text."""
        shown = printable(text)
        self._send(shown if self._breaker is None else self._breaker.add(shown))

    def end(self) -> None:
        """End the text, and its line."""
        self.is_in_text = False
        rest = self._breaker.rest() if self._breaker is not None else ""
        self._send(f"{rest}\n")

    def _send(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


class LineBreaker:
    """Breaks a text into lines of a width, in columns, while it comes."""

    def __init__(self, width: int) -> None:
        self._width = max(1, width)
        self._column = 0
        self._word, self._word_cells = "", 0

    def add(self, text: str) -> str:
        """Add some of the text; return what can be written by now."""
        return "".join([self._add_character(character) for character in text])

    def mark(self, code: str) -> str:
        """Add a code that has no width; return it where it need not wait for a word."""
        if not self._word:
            return code
        self._word += code
        return ""

    def rest(self) -> str:
        """Return the last word; the next text begins a line."""
        shown = self._flush()
        self._column = 0
        return shown

    def _add_character(self, character: str) -> str:
        if not character.isspace():
            cells = cell_len(character)
            shown = self._flush() if self._word_cells + cells > self._width else ""
            self._word, self._word_cells = self._word + character, self._word_cells + cells
            return shown
        shown = self._flush()
        if character == "\n":
            self._column = 0
            return shown + character
        if self._column >= self._width:  # the line ends instead of the space
            return shown
        self._column += 1
        return f"{shown} "

    def _flush(self) -> str:
        word, cells = self._word, self._word_cells
        self._word, self._word_cells = "", 0
        is_over = self._column > 0 and self._column + cells > self._width
        self._column = cells + (0 if is_over else self._column)
        return f"\n{word}" if is_over else word
