"""Texts that come in deltas are printed in order, and look as whole ones do."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from builders import a_catalog_entry
from seqd.cli.generate import LiveTexts, expected_temperatures
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.texts import GenerationPrinter, LineBreaker, TextWriter
from seqd.client import StreamedText
from seqd_schemas import GeneratedSample, ItemError, ItemErrorCode, TaskSchema

LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Mn", "Me", "Cf"))
TEXTS = st.text(LETTERS | st.sampled_from(" \n"), max_size=200)


def a_screen(*, is_live: bool = False, width: int = 20) -> tuple[Screen, io.StringIO]:
    """A screen that writes into memory, as a pipe or as a terminal would show it."""
    printed, screen = io.StringIO(), Screen()
    screen.console = Console(
        file=printed,
        force_terminal=is_live,
        width=width,
        color_system="standard" if is_live else None,
    )
    screen.is_live = is_live
    return screen, printed


def a_sample(text: str, temperature: float = 1.0) -> GeneratedSample:
    return GeneratedSample(text=text, temperature=temperature, seed=0)


def printed_of(deltas: list[StreamedText], temperatures: list[float | None]) -> list[str]:
    """Show deltas of two prompts; returns what stood in the pipe after each."""
    screen, printed = a_screen()
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:", "b": "B:"}, temperatures)
    stood = []
    for delta in deltas:
        texts.show(delta)
        stood.append(printed.getvalue())
    return stood


def test_a_text_is_printed_as_it_comes():
    deltas = [
        StreamedText("a", 0, "on"),
        StreamedText("a", 0, "e"),
        StreamedText("a", 0, "", a_sample("one")),
    ]

    stood = printed_of(deltas, [None])

    assert stood == ["A:on", "A:one", "A:one\n"]


def test_a_text_whose_turn_has_not_come_waits():
    deltas = [
        StreamedText("b", 0, "two"),
        StreamedText("a", 0, "one"),
        StreamedText("b", 0, "", a_sample("two")),
        StreamedText("a", 0, "!", a_sample("one!")),
    ]

    stood = printed_of(deltas, [None])

    assert stood == ["", "A:one", "A:one", "A:one!\n\nB:two\n"]


def test_each_of_several_samples_has_its_temperature_in_front_before_it_is_whole():
    deltas = [
        StreamedText("a", 1, "warm"),
        StreamedText("a", 0, "co"),
        StreamedText("a", 0, "ld", a_sample("cold", 0.2)),
    ]

    stood = printed_of(deltas, [0.2, 1.0])

    assert stood[0] == ""
    assert stood[1] == "temperature 0.2\nA:co"
    assert stood[2] == "temperature 0.2\nA:cold\n\ntemperature 1\nA:warm"


def test_samples_whose_temperature_is_not_known_before_are_printed_whole():
    deltas = [StreamedText("a", 0, "co"), StreamedText("a", 0, "ld", a_sample("cold", 0.2))]

    stood = printed_of(deltas, [None, None])

    assert stood == ["", "temperature 0.2\nA:cold\n"]


def test_an_item_with_an_error_lets_the_next_one_have_its_turn():
    error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="no")
    deltas = [
        StreamedText("a", 0, "on"),
        StreamedText("b", 0, "two"),
        StreamedText("a", 0, "", error=error),
    ]

    stood = printed_of(deltas, [None])

    assert stood[-1] == "A:on\n\nB:two"


class Handle:
    """A job whose deltas are known beforehand."""

    def __init__(self, *deltas: StreamedText, error: Exception | None = None) -> None:
        self.deltas, self.error = deltas, error

    def stream(self):
        yield from self.deltas
        if self.error is not None:
            raise self.error

    def results(self):
        yield "the results"


def test_samples_that_nobody_expected_are_printed_at_the_end():
    screen, printed = a_screen()
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:"}, [None])
    handle = Handle(
        StreamedText("a", 0, "one", a_sample("one")),
        StreamedText("a", 1, "more", a_sample("more", 0.5)),
    )

    results = list(texts.results_of(handle))

    assert results == ["the results"]
    assert printed.getvalue() == "A:one\n\ntemperature 0.5\nA:more\n"


def test_the_line_is_ended_when_the_job_fails_half_way():
    screen, printed = a_screen()
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:"}, [None])

    with pytest.raises(ValueError, match="broken"):
        list(texts.results_of(Handle(StreamedText("a", 0, "on"), error=ValueError("broken"))))

    assert printed.getvalue() == "A:on\n"


@pytest.mark.parametrize(
    ("asked", "temperatures"),
    [
        ({}, [0.5]),
        ({"temperature": 1}, [1.0]),
        ({"temperature": [0.2, 1.0], "samples": 2}, [0.2, 0.2, 1.0, 1.0]),
    ],
)
def test_what_is_expected_is_what_was_asked_for_or_else_the_models_defaults(asked, temperatures):
    properties = {"temperature": {"default": 0.5}, "samples": {"default": 1}, "length": {}}
    task = TaskSchema(parameters={"type": "object", "properties": properties}, unit_items=1)
    entry = a_catalog_entry(tasks={"generate": task})

    assert expected_temperatures(entry, asked) == temperatures


def test_of_a_model_without_temperatures_one_sample_is_expected():
    assert expected_temperatures(a_catalog_entry(), {}) == [None]
    assert expected_temperatures(None, {"samples": 3}) == [None] * 3


def test_a_pipe_gets_the_text_as_the_model_wrote_it():
    screen, printed = a_screen(width=10)
    writer = TextWriter(screen)

    writer.begin("a\tprompt ")
    writer.write("that is longer than a line  \n\tand ends in blanks  ")
    writer.end()

    assert printed.getvalue() == (
        "a\tprompt that is longer than a line  \n\tand ends in blanks  \n"
    )


def test_a_terminal_breaks_lines_between_words_and_shows_what_could_move_its_cursor():
    screen, printed = a_screen(is_live=True, width=12)
    writer = TextWriter(screen)

    writer.begin("the qui")
    for delta in ("ck br", "own fox\x1b[2J ju", "mps"):
        writer.write(delta)
    writer.end()

    assert printed.getvalue() == ("\x1b[2mthe qui\x1b[0mck \nbrown \nfox\\x1b[2J \njumps\n")


@given(TEXTS, st.integers(2, 30), st.data())
def test_folding_loses_nothing_and_keeps_within_the_width(text, width, data):
    breaker = LineBreaker(width)

    folded, rest = "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        folded, rest = folded + breaker.add(rest[:size]), rest[size:]
    folded += breaker.rest()

    whole = LineBreaker(width)
    assert folded == whole.add(text) + whole.rest()
    assert "".join(folded.split()) == "".join(text.split())
    assert all(cell_len(line) <= width for line in folded.split("\n"))
