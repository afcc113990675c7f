"""What people see of a job while its events come: as lines, on a terminal, and as texts."""

import io
from collections.abc import Callable, Sequence
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from builders import a_catalog_entry, a_sweep_job, a_trained_version
from cli_builders import a_record, last_line_of
from seqd.cli.bulk import bulk_view
from seqd.cli.generate import LiveTexts, expected_temperatures
from seqd.cli.run import LiveOutputs
from seqd.cli.ui.progress import ProgressView
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.sweeps import SweepProgress, SweepView
from seqd.cli.ui.texts import GenerationPrinter, LineBreaker, TextWriter
from seqd.cli.ui.training import TrainingView, sample_lines
from seqd.client import StreamedText
from seqd_schemas import (
    Counts,
    Epoch,
    Event,
    GeneratedSample,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    Log,
    Missed,
    Paused,
    Progress,
    Resumed,
    Sample,
    Started,
    Step,
    TaskSchema,
)

Capture = pytest.CaptureFixture[str]
View = Callable[[Screen], ProgressView]

PAUSED = a_record(state=JobState.PAUSED)
NOTE = "paused; seqd jobs resume j1"
NO_LUCK = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="It broke.")


def counts(done: int, total: int = 100) -> Counts:
    return Counts(total=total, succeeded=done, processing=total - done)


def paused(done: int = 10) -> Paused:
    return Paused(job_id="j1", at_ms=2_000, counts=counts(done))


def resumed(done: int = 20) -> Resumed:
    return Resumed(job_id="j1", at_ms=60_000, counts=counts(done))


def progress(done: int, at_ms: int = 3_000) -> Progress:
    return Progress(job_id="j1", at_ms=at_ms, counts=counts(done), rate_per_s=7.0, eta_s=9.0)


def a_log(message: str, **changes: object) -> Log:
    return Log(job_id="j1", at_ms=1, level="info", message=message).model_copy(update=changes)


def an_epoch(number: int, **changes: object) -> Epoch:
    fields = {"metrics": {"loss": 2.0185, "validation_accuracy": 0.75}, "seconds": 2.5}
    return Epoch(job_id="j1", at_ms=1, epoch=number, epochs=3, **fields | changes)  # type: ignore[arg-type]


def a_step(**changes: object) -> Step:
    step = Step(job_id="j1", at_ms=3_000, done=3, total=9, metrics={"loss": 2.5}, eta_s=9.0)
    return step.model_copy(update=changes)


def bulk(record: JobRecord = a_record(), *, sealed: bool = True, total: int = 100) -> View:  # noqa: B008
    """A view of a job, which has so many items by the time that an event comes."""
    now = record.model_copy(update={"sealed": sealed, "counts": counts(0, total)})
    records = chain([record], repeat(now))
    return lambda screen: bulk_view(screen, lambda: next(records))


def training(record: JobRecord = a_record()) -> View:  # noqa: B008
    return lambda screen: TrainingView(screen, record)


def sweep(screen: Screen) -> SweepView:
    return SweepView(screen, a_record(kind="sweep", version=None, job=a_sweep_job()))


@pytest.fixture(autouse=True)
def _a_line_at_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqd.cli.ui.progress.LINE_EVERY_S", 0.0)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    return Screen(to_stderr=True)


@pytest.mark.parametrize(
    ("view", "events", "lines"),
    [
        (bulk(), [progress(50)], ["imdb_lstm@0: 50/100, 7.0/s, 7.1 s left"]),
        # No time left is promised while the total still grows.
        (bulk(sealed=False), [progress(50)], ["imdb_lstm@0: 50 of 100+, 7.0/s"]),
        # The input is complete by now, and was not when the event was made.
        (bulk(total=120), [progress(50)], ["imdb_lstm@0: 50 of 100+, 7.0/s"]),
        (
            bulk(),
            [a_log("[bold]not markup[/bold] \x1b[2J \u202e")],
            ["imdb_lstm@0: [bold]not markup[/bold] \\x1b[2J \\u202e"],
        ),
        (
            bulk(),
            [a_log("It hung.", cause="hang", worker="w1")],
            ["imdb_lstm@0: w1 died, hang: It hung."],
        ),
        # The unit in hand moves the count of a paused job, and promises nothing. The rate counts
        # from the resumption.
        (
            bulk(),
            [
                *(progress(8), paused(), progress(16)),
                *(resumed(20), progress(20, 60_500), progress(40, 62_000)),
            ],
            [
                "imdb_lstm@0: 8/100, 7.0/s, 13 s left",
                f"imdb_lstm@0: {NOTE}",
                f"imdb_lstm@0: 16/100, {NOTE}",
                "imdb_lstm@0: resumed",
                "imdb_lstm@0: 20/100",
                "imdb_lstm@0: 40/100, 10/s, 6.0 s left",
            ],
        ),
        # The job stood still for 100 s, as while all workers were drained: soon the rate is that of
        # the last half minute.
        (
            bulk(),
            [progress(10), progress(20, 103_000), progress(40, 113_000), progress(80, 134_000)],
            [
                "imdb_lstm@0: 10/100, 7.0/s, 13 s left",
                "imdb_lstm@0: 20/100, 0.1/s, 13:20 left",
                "imdb_lstm@0: 40/100, 0.3/s, 3:40 left",
                "imdb_lstm@0: 80/100, 1.9/s, 10 s left",
            ],
        ),
        (
            bulk(PAUSED, sealed=False),
            [resumed(20), progress(40, 62_000)],
            ["imdb_lstm@0: resumed", "imdb_lstm@0: 40 of 100+, 10/s"],
        ),
        (bulk(a_record(state=JobState.COMPLETED)), [paused(), resumed()], []),
        (
            training(),
            [an_epoch(1), an_epoch(2, metrics={"loss": 1.5}), paused(), resumed()],
            [
                "   epoch      loss  validation accuracy    seconds",
                "     1/3    2.0185               0.7500        2.5",
                "     2/3    1.5000                             2.5",
                f"imdb_lstm: {NOTE}",
                "imdb_lstm: resumed",
            ],
        ),
        (
            training(),
            [Missed(job_id="j1", at_ms=1), Missed(job_id="j1", at_ms=1, lasting=True)],
            [
                "The first epochs and samples are not kept any more. The version has all of its "
                "epochs: seqd models show --local",
            ],
        ),
        (
            sweep,
            [
                a_step(run="embedding_dim=8"),
                an_epoch(1, run="embedding_dim=8"),
                paused(),
            ],
            [
                "embedding_dim=8: epoch 1/3, loss 2.0185, validation accuracy 0.7500, 2.5 s",
                f"imdb_lstm: {NOTE}",
            ],
        ),
    ],
)
def test_without_a_terminal_progress_is_plain_lines(
    capsys: Capture, view: View, events: Sequence[Event], lines: list[str]
) -> None:
    with view(Screen()) as shown:
        for event in events:
            shown.show(event)

    printed = capsys.readouterr()
    assert [line.rstrip() for line in (printed.out + printed.err).splitlines()] == lines


@pytest.mark.parametrize(
    ("view", "events", "has", "lacks"),
    [
        (bulk(), [paused(), progress(16)], ["16/100", NOTE], "left"),
        (bulk(PAUSED), [Started(job_id="j1", at_ms=1, worker="w"), progress(8)], [NOTE], "left"),
        (bulk(PAUSED), [resumed()], ["waiting for a worker"], "paused"),
        (training(), [paused(), a_step()], ["33%", NOTE], "left"),
        (training(PAUSED), [resumed(), a_step()], ["loss 2.5000  9.0 s left"], "paused"),
    ],
)
def test_the_bar_of_a_paused_job_says_so_and_promises_nothing(
    terminal: Screen,
    capsys: Capture,
    view: View,
    events: Sequence[Event],
    has: list[str],
    lacks: str,
) -> None:
    with view(terminal) as shown:
        for event in events:
            shown.show(event)

    last = last_line_of(capsys.readouterr().err)
    assert [words for words in has if words not in last] == []
    assert lacks not in last


TIMES = {"started_at_ms": 1_000, "ended_at_ms": 91_000}


@pytest.mark.parametrize(
    ("state", "events", "times", "mark", "said"),
    [
        (JobState.CANCELLED, [], TIMES, "✗", "444/s  1:30"),
        (JobState.EXPIRED, [], {}, "✗", "0/s"),
        # The whole of a paused job has a time and no rate.
        (JobState.COMPLETED, [paused(), resumed()], TIMES, "✓", "1:30 with its pauses"),
    ],
)
def test_the_bar_of_an_ended_job_stays_where_the_job_ended_and_nothing_spins(
    terminal: Screen,
    capsys: Capture,
    state: JobState,
    events: Sequence[Event],
    times: dict[str, int],
    mark: str,
    said: str,
) -> None:
    with bulk_view(terminal, a_record) as view:
        print("a result")  # reaches stdout while the bar moves on stderr
        for event in events:
            view.show(event)
        view.finish(a_record(state=state, counts=counts(39_936, 75_000), **times))

    printed = capsys.readouterr()
    last = last_line_of(printed.err)
    assert printed.out == "a result\n"
    assert last.startswith(f"{mark} imdb_lstm@0 ")
    assert "39,936/75,000" in last
    assert last.rstrip().endswith(said)


def test_the_bar_of_a_command_that_is_interrupted_does_not_spin_on(
    terminal: Screen, capsys: Capture
) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        bulk_view(terminal, a_record),
    ):
        raise KeyboardInterrupt

    assert last_line_of(capsys.readouterr().err).startswith("✗ imdb_lstm@0 ")


def test_no_bar_moves_where_results_are_printed_on_the_same_terminal(
    terminal: Screen, capsys: Capture
) -> None:
    with bulk_view(terminal, a_record, may_move=False) as view:
        view.show(a_log("shown"))

    assert capsys.readouterr().err == "imdb_lstm@0: shown\n"


def a_training_sample(prompt: str = "the sea ", text: str = "was grey") -> Sample:
    return Sample(job_id="j1", at_ms=1, epoch=1, temperature=0.5, prompt=prompt, text=text)


def test_a_sample_has_its_temperature_and_is_cut_to_the_width() -> None:
    short = sample_lines(a_training_sample(), width=80)
    long = sample_lines(a_training_sample(text="wave " * 200), width=60)

    assert [line.plain for line in short] == ["   0.5  the sea │ was grey"]
    assert all(len(line.plain) <= 60 for line in long) and len(long) < 6
    assert long[-1].plain.endswith(" …")
    assert sample_lines(a_training_sample(prompt="", text=" \n "), width=80) == []


def trained(name: str, version: int) -> ItemSuccess:
    return ItemSuccess(custom_id=name, output=a_trained_version(version=version))


def failed(name: str) -> ItemFailure:
    return ItemFailure(custom_id=name, error=NO_LUCK)


def test_each_combination_of_a_sweep_goes_from_waiting_to_trained() -> None:
    shown = SweepProgress(["a=1", "a=2"], clock=lambda: 5.0)

    states = [shown.counts()]
    shown.add(a_log("begun by w1", run="a=1"))
    states.append(shown.counts())
    shown.add(a_step(run="a=1", done=3, total=4))
    row = shown.rows["a=1"]
    told = (row.share, row.metrics, row.seconds(now_s=7.0))
    news = [shown.add_results({"a=1": trained("a=1", 3), "a=2": failed("a=2")}) for _ in "ab"]

    assert states == [{"waiting": 2}, {"training": 1, "waiting": 1}]
    assert told == (0.75, {"loss": 2.5}, 2.0)
    assert shown.counts() == {"trained": 1, "failed": 1}
    assert (row.seconds(now_s=99.0), shown.rows["a=2"].seconds(now_s=99.0)) == (12.0, None)
    assert [len(rows) for rows in news] == [2, 0], "a result is news once"


def test_where_there_is_little_room_what_is_trained_right_now_is_shown() -> None:
    shown = SweepProgress([f"a={number}" for number in range(9)])
    shown.add_results({f"a={number}": failed(f"a={number}") for number in range(4)})
    shown.add(a_step(run="a=5"))

    rows, left_out = shown.visible(3)

    assert ([row.name for row in rows], left_out) == (["a=2", "a=3", "a=5"], 6)


@pytest.mark.parametrize("columns", ["40", "120"])
def test_on_a_terminal_a_sweep_has_a_row_for_each(
    terminal: Screen, capsys: Capture, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    screen = Screen()
    with sweep(screen) as view:
        view.show(an_epoch(1, run="embedding_dim=8"))
        with screen.console.capture() as drawn:
            screen.console.print(view.drawn())

    shown = drawn.get()
    assert "embedding_dim=8" in shown and "waiting" in shown
    assert "1 training, 1 waiting" in shown
    capsys.readouterr()


# Texts that come in deltas.


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


def whole(text: str, temperature: float = 1.0) -> GeneratedSample:
    return GeneratedSample(text=text, temperature=temperature, seed=0)


@pytest.mark.parametrize(
    ("temperatures", "deltas", "stood"),
    [
        (
            [None],
            [
                StreamedText("a", 0, "on"),
                StreamedText("a", 0, "e"),
                StreamedText("a", 0, "", whole("one")),
            ],
            ["A:on", "A:one", "A:one\n"],
        ),
        # A text whose turn has not come waits.
        (
            [None],
            [
                StreamedText("b", 0, "two"),
                StreamedText("a", 0, "one"),
                StreamedText("b", 0, "", whole("two")),
                StreamedText("a", 0, "!", whole("one!")),
            ],
            ["", "A:one", "A:one", "A:one!\n\nB:two\n"],
        ),
        # Each of several samples has its temperature in front.
        (
            [0.2, 1.0],
            [
                StreamedText("a", 1, "warm"),
                StreamedText("a", 0, "co"),
                StreamedText("a", 0, "ld", whole("cold", 0.2)),
            ],
            [
                "",
                "temperature 0.2\nA:co",
                "temperature 0.2\nA:cold\n\ntemperature 1\nA:warm",
            ],
        ),
        # Where it is not known before, a sample is printed whole.
        (
            [None, None],
            [StreamedText("a", 0, "co"), StreamedText("a", 0, "ld", whole("cold", 0.2))],
            ["", "temperature 0.2\nA:cold\n"],
        ),
        # An item with an error lets the next one have its turn.
        (
            [None],
            [
                StreamedText("a", 0, "on"),
                StreamedText("b", 0, "two"),
                StreamedText("a", 0, "", error=NO_LUCK),
            ],
            ["A:on", "A:on", "A:on\n\nB:two"],
        ),
    ],
)
def test_texts_are_printed_as_they_come_each_in_its_turn(
    temperatures: list[float | None], deltas: list[StreamedText], stood: list[str]
) -> None:
    screen, printed = a_screen()
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:", "b": "B:"}, temperatures)

    found = []
    for delta in deltas:
        texts.show(delta)
        found.append(printed.getvalue())

    assert found == stood


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


def test_samples_that_nobody_expected_come_at_the_end_and_a_failure_ends_the_line() -> None:
    screen, printed = a_screen()
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:"}, [None])
    unexpected = StreamedText("a", 1, "more", whole("more", 0.5))

    results = list(texts.results_of(Handle(StreamedText("a", 0, "one", whole("one")), unexpected)))
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:"}, [None])
    with pytest.raises(ValueError, match="broken"):
        list(texts.results_of(Handle(StreamedText("a", 0, "on"), error=ValueError("broken"))))

    assert results == ["the results"]
    assert printed.getvalue() == "A:one\n\ntemperature 0.5\nA:more\nA:on\n"


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

    assert expected_temperatures(a_catalog_entry(tasks={"generate": task}), asked) == temperatures
    assert expected_temperatures(a_catalog_entry(), {}) == [None]
    assert expected_temperatures(None, {"samples": 3}) == [None] * 3


def test_a_pipe_gets_the_text_as_it_is_and_a_terminal_breaks_it_between_words() -> None:
    (pipe, piped), (live, drawn) = a_screen(width=10), a_screen(is_live=True, width=12)

    for screen, prompt, deltas in (
        (pipe, "a\tprompt ", ("that is longer than a line  \n\tand ends in blanks  ",)),
        (live, "the qui", ("ck br", "own fox\x1b[2J ju", "mps")),
    ):
        writer = TextWriter(screen)
        writer.begin(prompt)
        for delta in deltas:
            writer.write(delta)
        writer.end()

    assert piped.getvalue() == ("a\tprompt that is longer than a line  \n\tand ends in blanks  \n")
    assert drawn.getvalue() == ("\x1b[2mthe qui\x1b[0mck \nbrown \nfox\\x1b[2J \njumps\n")


LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Mn", "Me", "Cf"))


@given(st.text(LETTERS | st.sampled_from(" \n"), max_size=200), st.integers(2, 30), st.data())
def test_folding_loses_nothing_and_keeps_within_the_width(text, width, data):
    breaker, at_once = LineBreaker(width), LineBreaker(width)

    folded, rest = "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        folded, rest = folded + breaker.add(rest[:size]), rest[size:]
    folded += breaker.rest()

    assert folded == at_once.add(text) + at_once.rest()
    assert "".join(folded.split()) == "".join(text.split())
    assert all(cell_len(line) <= width for line in folded.split("\n"))


def test_texts_of_tasks_that_come_at_once_are_printed_one_after_the_other(
    capsys: Capture,
) -> None:
    live, stood = LiveOutputs(Screen(), ["row-1", "row-2", "row-3"]), []
    for delta in (
        StreamedText("row-3", 0, "three", output={"text": "three"}),
        StreamedText("row-1", 0, "on"),
        StreamedText("row-2", 0, "", error=NO_LUCK),
        StreamedText("row-1", 0, "e", output={"text": "one"}),
    ):
        live.show(delta)
        stood.append(capsys.readouterr().out)

    assert stood == ["", "on", "", "e\nthree\n"]
