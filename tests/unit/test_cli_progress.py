"""What people see of a job while its events come: as lines, on a terminal, and as texts."""

import io
from collections.abc import Callable
from itertools import chain, repeat

import pytest
from rich.console import Console

from builders import a_sweep_job
from cli_builders import a_record, last_line_of
from seqd.cli.bulk import bulk_view
from seqd.cli.ui.progress import ProgressView
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.texts import GenerationPrinter, LiveTexts
from seqd.cli.ui.training import SweepView, TrainingView, sample_lines
from seqd.client import StreamedText
from seqd_schemas import (
    Counts,
    Epoch,
    GeneratedSample,
    ItemError,
    ItemErrorCode,
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
)

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


def progress(done: int, at_ms: int = 3_000, rate_per_s: float = 7.0) -> Progress:
    fields = {"at_ms": at_ms, "counts": counts(done), "rate_per_s": rate_per_s, "eta_s": 9.0}
    return Progress.model_validate({"job_id": "j1"} | fields)


def a_log(message: str, **changes: object) -> Log:
    return Log(job_id="j1", at_ms=1, level="info", message=message).model_copy(update=changes)


def an_epoch(number: int, **changes: object) -> Epoch:
    fields = {"metrics": {"loss": 2.0185, "validation_accuracy": 0.75}, "seconds": 2.5}
    return Epoch(job_id="j1", at_ms=1, epoch=number, epochs=3, **fields | changes)


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
def _a_line_at_each_event(monkeypatch):
    monkeypatch.setattr("seqd.cli.ui.progress.LINE_EVERY_S", 0.0)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def terminal(monkeypatch):
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
        # Where no rate since the start is told, it counts from the first event.
        (
            bulk(),
            [progress(10, rate_per_s=0), progress(40, 6_000, rate_per_s=0)],
            ["imdb_lstm@0: 10/100", "imdb_lstm@0: 40/100, 10/s, 6.0 s left"],
        ),
        # The job stood still for 100 s, as while all workers were drained: the rate is that since.
        (
            bulk(),
            [progress(10), progress(20, 103_000), progress(40, 113_000), progress(80, 134_000)],
            [
                "imdb_lstm@0: 10/100, 7.0/s, 13 s left",
                "imdb_lstm@0: 20/100",
                "imdb_lstm@0: 40/100, 2.0/s, 30 s left",
                "imdb_lstm@0: 80/100, 1.9/s, 10 s left",
            ],
        ),
        # It always takes long from one unit to the next.
        (
            bulk(),
            [progress(10, 41_000, 0.25), progress(20, 91_000), progress(30, 141_000)],
            [
                "imdb_lstm@0: 10/100, 0.2/s, 6:00 left",
                "imdb_lstm@0: 20/100, 0.2/s, 6:40 left",
                "imdb_lstm@0: 30/100, 0.2/s, 5:50 left",
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
def test_without_a_terminal_progress_is_plain_lines(capsys, view, events, lines):
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
    terminal, capsys, view, events, has, lacks
):
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
    terminal, capsys, state, events, times, mark, said
):
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


def test_the_bar_of_a_command_that_is_interrupted_does_not_spin_on(terminal, capsys):
    with (
        pytest.raises(KeyboardInterrupt),
        bulk_view(terminal, a_record),
    ):
        raise KeyboardInterrupt

    assert last_line_of(capsys.readouterr().err).startswith("✗ imdb_lstm@0 ")


def test_no_bar_moves_where_results_are_printed_on_the_same_terminal(terminal, capsys):
    with bulk_view(terminal, a_record, may_move=False) as view:
        view.show(a_log("shown"))

    assert capsys.readouterr().err == "imdb_lstm@0: shown\n"


def a_training_sample(prompt: str = "the sea ", text: str = "was grey") -> Sample:
    return Sample(job_id="j1", at_ms=1, epoch=1, temperature=0.5, prompt=prompt, text=text)


def test_a_sample_has_its_temperature_and_is_cut_to_the_width():
    short = sample_lines(a_training_sample(), width=80)
    long = sample_lines(a_training_sample(text="wave " * 200), width=60)

    assert short == ["   0.5  the sea │ was grey"]
    assert all(len(line) <= 60 for line in long) and len(long) < 6
    assert long[-1].endswith(" …")
    assert sample_lines(a_training_sample(prompt="", text=" \n "), width=80) == []


# Texts that come in deltas.


def a_screen(*, is_live: bool = False) -> tuple[Screen, io.StringIO]:
    """A screen that writes into memory, as a pipe or as a terminal would show it."""
    printed, screen = io.StringIO(), Screen()
    screen.console = Console(
        file=printed,
        force_terminal=is_live,
        width=20,
        color_system="standard" if is_live else None,
    )
    screen.is_live = is_live
    return screen, printed


def whole(text: str, temperature: float = 1.0) -> GeneratedSample:
    return GeneratedSample(text=text, temperature=temperature, seed=0)


@pytest.mark.parametrize(
    ("deltas", "stood"),
    [
        (
            [
                StreamedText("a", 0, "on"),
                StreamedText("a", 0, "e"),
                StreamedText("a", 0, "", whole("one")),
            ],
            ["A:on", "A:one", "A:one\n"],
        ),
        # A text whose turn has not come waits.
        (
            [
                StreamedText("b", 0, "two"),
                StreamedText("a", 0, "one"),
                StreamedText("b", 0, "", whole("two")),
                StreamedText("a", 0, "!", whole("one!")),
            ],
            ["", "A:one", "A:one", "A:one!\n\nB:two\n"],
        ),
        # An item with an error lets the next one have its turn.
        (
            [
                StreamedText("a", 0, "on"),
                StreamedText("b", 0, "two"),
                StreamedText("a", 0, "", error=NO_LUCK),
            ],
            ["A:on", "A:on", "A:on\n\nB:two"],
        ),
    ],
)
def test_texts_are_printed_as_they_come_each_in_its_turn(deltas, stood):
    screen, printed = a_screen()
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:", "b": "B:"})

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


def test_samples_that_nobody_expected_come_at_the_end_and_a_failure_ends_the_line():
    screen, printed = a_screen()
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:"})
    unexpected = StreamedText("a", 1, "more", whole("more", 0.5))

    results = list(texts.results_of(Handle(StreamedText("a", 0, "one", whole("one")), unexpected)))
    texts = LiveTexts(GenerationPrinter(screen), {"a": "A:"})
    with pytest.raises(ValueError, match="broken"):
        list(texts.results_of(Handle(StreamedText("a", 0, "on"), error=ValueError("broken"))))

    assert results == ["the results"]
    assert printed.getvalue() == "A:one\n\ntemperature 0.5\nA:more\nA:on\n"


def test_a_pipe_gets_the_text_as_it_is_and_a_terminal_the_prompt_dimmed():
    (pipe, piped), (live, drawn) = a_screen(), a_screen(is_live=True)

    for screen, prompt, text in (
        (pipe, "a\tprompt ", "that ends in blanks  "),
        (live, "the ", "\x1b[2J"),
    ):
        printer = GenerationPrinter(screen)
        printer.begin(prompt)
        printer.write(text)
        printer.end()

    assert piped.getvalue() == "a\tprompt that ends in blanks  \n"
    assert drawn.getvalue() == "\x1b[2mthe \x1b[0m\\x1b[2J\n"


def test_texts_of_tasks_that_come_at_once_are_printed_one_after_the_other(capsys):
    printer, stood = GenerationPrinter(Screen(), is_apart=False), []
    live = LiveTexts(printer, dict.fromkeys(["row-1", "row-2", "row-3"], ""))
    for delta in (
        StreamedText("row-3", 0, "three", output={"text": "three"}),
        StreamedText("row-1", 0, "on"),
        StreamedText("row-2", 0, "", error=NO_LUCK),
        StreamedText("row-1", 0, "e", output={"text": "one"}),
    ):
        live.show(delta)
        stood.append(capsys.readouterr().out)

    assert stood == ["", "on", "", "e\nthree\n"]
