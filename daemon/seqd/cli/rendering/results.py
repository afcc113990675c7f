"""Single results as a person reads them: a label with its score, a prompt with what follows it."""

from collections.abc import Sequence

from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.writing import TextWriter
from seqd_schemas import Classification, Generation, ItemFailure, ItemSuccess

#: Characters of a text that are repeated beside its label.
_ECHO_CHARS = 60


class VerdictPrinter:
    """Prints a line for each classified text, in the order that the texts were given in."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = iter(texts)
        self._screen = Screen()

    def show(self, result: ItemSuccess | ItemFailure) -> None:
        """Print the next result; errors are told in the summary."""
        text = " ".join(next(self._texts, "").split())
        if isinstance(result, ItemSuccess) and isinstance(result.output, Classification):
            echo = text if len(text) <= _ECHO_CHARS else text[: _ECHO_CHARS - 1] + "…"
            self._screen.say(f"{result.output.label:<10} {result.output.score:.3f}  {echo}")


class GenerationPrinter:
    """Prints each prompt's continuations as text, the prompt dimmed: whole, or as they come."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._writer = TextWriter(screen)
        self._is_first = True

    def show(self, result: ItemSuccess | ItemFailure) -> None:
        """Print the next result; errors are told in the summary."""
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
