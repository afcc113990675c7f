"""Writes a text on stdout bit by bit, as it is made: a dimmed prompt, and what goes on from it.

In a pipe or file it stands as the model wrote it. On a terminal control characters are shown
escaped, and lines are broken between words, for which the last word waits until it is whole.
Called by `results`, with whole texts and with pieces.
"""

from rich.cells import cell_len

from seqd.cli.rendering.screen import Screen, printable

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class TextWriter:
    """One text after the other. Each bit is on the screen when `write` returns."""

    def __init__(self, screen: Screen) -> None:
        self._console = screen.console
        self._folder = Folder(screen.console.width) if screen.is_live else None
        self._has_colour = screen.is_live and self._console.color_system is not None
        self.is_in_text = False

    def begin(self, prompt: str) -> None:
        """Begin a text with its prompt."""
        self.is_in_text = True
        if self._folder is None or not self._has_colour:
            self.write(prompt)
            return
        shown = self._folder.fold(printable(prompt))
        self._send(f"{_DIM}{shown}{self._folder.mark(_PLAIN)}")

    def write(self, text: str) -> None:
        """Go on with the text."""
        shown = printable(text)
        self._send(shown if self._folder is None else self._folder.fold(shown))

    def end(self) -> None:
        """End the text, and its line."""
        self.is_in_text = False
        rest = self._folder.rest() if self._folder is not None else ""
        self._send(f"{rest}\n")

    def _send(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


class Folder:
    """Breaks a text into lines of a width while it comes. Pure."""

    def __init__(self, width: int) -> None:
        self._width = max(1, width)
        self._column = 0
        self._word, self._word_cells = "", 0

    def fold(self, text: str) -> str:
        """Take a bit of the text; gives what can be written by now."""
        return "".join([self._take(character) for character in text])

    def mark(self, code: str) -> str:
        """Take something that has no width; gives it back where it need not wait for a word."""
        if not self._word:
            return code
        self._word += code
        return ""

    def rest(self) -> str:
        """Give the last word; the next text begins a line."""
        shown = self._flush()
        self._column = 0
        return shown

    def _take(self, character: str) -> str:
        if not character.isspace():
            cells = cell_len(character)
            shown = self._flush() if self._word_cells + cells > self._width else ""
            self._word, self._word_cells = self._word + character, self._word_cells + cells
            return shown
        shown = self._flush()
        if character == "\n":
            self._column = 0
            return shown + character
        if self._column >= self._width:  # in the place of the space comes the line's end
            return shown
        self._column += 1
        return f"{shown} "

    def _flush(self) -> str:
        word, cells = self._word, self._word_cells
        self._word, self._word_cells = "", 0
        is_over = self._column > 0 and self._column + cells > self._width
        self._column = cells + (0 if is_over else self._column)
        return f"\n{word}" if is_over else word
