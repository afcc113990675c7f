"""Single results as a person reads them: a label with its score, a prompt with what follows it."""

from collections.abc import Sequence

from rich.text import Text

from seqd.cli.rendering.screen import Screen, printable
from seqd_schemas import Classification, GeneratedSample, Generation, ItemFailure, ItemSuccess

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
    """Prints each prompt's continuations as text, the prompt dimmed."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._is_first = True

    def show(self, result: ItemSuccess | ItemFailure) -> None:
        """Print the next result; errors are told in the summary."""
        if not isinstance(result, ItemSuccess) or not isinstance(result.output, Generation):
            return
        for sample in result.output.samples:
            if not self._is_first:
                self._screen.say()
            self._is_first = False
            if len(result.output.samples) > 1:
                self._screen.say(f"temperature {sample.temperature:g}", "cyan")
            # Wrapped on a terminal only: elsewhere the text stays as the model wrote it.
            self._screen.console.print(_continued(result.output.prompt, sample))


def _continued(prompt: str, sample: GeneratedSample) -> Text:
    shown = Text(printable(prompt), style="dim")
    shown.append(printable(sample.text), style="not dim")
    return shown
