"""Prints the texts of `seqd generate` as they are written, in the order of the prompts.

The text whose turn it is comes as it is made; the others, which are written beside it, wait. What
has come of them is held, so this is for the few prompts of a command line. Called by `generate`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from seqd.cli.bulk import Result
from seqd.cli.rendering.results import GenerationPrinter
from seqd.client import JobHandle, StreamedText
from seqd_schemas import CatalogEntry, ParameterValue


@dataclass(slots=True)
class _Text:
    """A text that has begun: what waits to be printed, and whether it is whole."""

    waiting: list[str] = field(default_factory=list)
    is_shown: bool = False
    is_whole: bool = False
    temperature: float | None = None


class LiveTexts:
    """Pieces on their way to the printer."""

    def __init__(
        self,
        printer: GenerationPrinter,
        prompts: Mapping[str, str],
        temperatures: Sequence[float | None],
    ) -> None:
        """`prompts` by `custom_id`, in order; one temperature for each sample of a prompt."""
        self._printer = printer
        self._prompts = prompts
        self._temperatures = temperatures
        self._turns = ((name, at) for name in prompts for at in range(len(temperatures)))
        self._turn = next(self._turns, None)
        self._texts: dict[tuple[str, int], _Text] = {}
        self._failed: set[str] = set()

    def results_of(self, handle: JobHandle) -> Iterator[Result]:
        """Print the job's texts as they come, then give its results."""
        try:
            for piece in handle.stream():
                self.show(piece)
            self._show_what_was_not_expected()
        finally:
            self._printer.end()
        yield from handle.results()

    def show(self, piece: StreamedText) -> None:
        """Take a piece; prints it, and what waited for it, when its turn has come."""
        if piece.error is not None:
            self._failed.add(piece.custom_id)
        else:
            text = self._texts.setdefault((piece.custom_id, piece.sample), _Text())
            text.waiting.append(piece.text)
            if piece.finished is not None:
                text.is_whole, text.temperature = True, piece.finished.temperature
        while self._turn is not None and self._is_over(self._turn):
            self._texts.pop(self._turn, None)
            self._turn = next(self._turns, None)

    def _is_over(self, turn: tuple[str, int]) -> bool:
        """Print what there is of a text; True when no more of it will come."""
        name, sample = turn
        if name in self._failed:
            self._printer.end()
            return True
        text = self._texts.get(turn)
        if text is None:
            return False
        if len(self._temperatures) == 1:
            self._print(name, text, None)
            return text.is_whole
        temperature = text.temperature if text.is_whole else self._temperatures[sample]
        if temperature is not None:  # else it stands in front of the text, and is not known yet
            self._print(name, text, temperature)
        return text.is_whole

    def _print(self, name: str, text: _Text, temperature: float | None) -> None:
        if not text.is_shown:
            self._printer.begin(self._prompts.get(name, ""), temperature)
            text.is_shown = True
        self._printer.write("".join(text.waiting))
        text.waiting.clear()
        if text.is_whole:
            self._printer.end()

    def _show_what_was_not_expected(self) -> None:
        """Print samples beyond those that the parameters made expect, as of another plugin."""
        for (name, _), text in self._texts.items():
            if text.is_whole and not text.is_shown:
                self._print(name, text, text.temperature)


def expected_temperatures(
    entry: CatalogEntry | None, parameters: Mapping[str, ParameterValue]
) -> list[float | None]:
    """Give the temperature of each sample of a prompt, in order; None where it is not known.

    By what was asked for, or else the defaults that the model publishes.
    """
    asked = _defaults(entry) | dict(parameters)
    given, samples = asked.get("temperature"), asked.get("samples")
    temperatures = [_number(value) for value in (given if isinstance(given, list) else [given])]
    count = samples if isinstance(samples, int) and samples > 0 else 1
    return [temperature for temperature in temperatures for _ in range(count)]


def _defaults(entry: CatalogEntry | None) -> dict[str, ParameterValue]:
    task = None if entry is None else entry.tasks.get("generate")
    properties = {} if task is None else task.parameters.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {
        name: schema["default"]  # type: ignore[misc]
        for name, schema in properties.items()
        if isinstance(schema, dict) and "default" in schema
    }


def _number(value: ParameterValue) -> float | None:
    return float(value) if isinstance(value, int | float) else None
