"""What people see of a job that is paused: no rate and no time left, until it is resumed."""

from collections.abc import Callable

import pytest

from cli_builders import a_record, last_line_of
from seqd.cli.bulk import bulk_view
from seqd.cli.ui.progress import BulkView, JobRate, LineView
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.training import TrainingView
from seqd_schemas import Counts, Event, JobState, Paused, Progress, Resumed, Started, Step

PAUSED = a_record(state=JobState.PAUSED)


def counts(done: int) -> Counts:
    return Counts(total=100, succeeded=done, processing=100 - done)


def paused(done: int = 10) -> Paused:
    return Paused(job_id="j1", at_ms=2_000, counts=counts(done))


def resumed(done: int = 20, at_ms: int = 60_000) -> Resumed:
    return Resumed(job_id="j1", at_ms=at_ms, counts=counts(done))


def progress(done: int, at_ms: int = 3_000) -> Progress:
    return Progress(job_id="j1", at_ms=at_ms, counts=counts(done), rate_per_s=7.0, eta_s=9.0)


def a_step() -> Step:
    return Step(job_id="j1", at_ms=3_000, done=3, total=9, metrics={"loss": 2.5}, eta_s=9.0)


@pytest.fixture(autouse=True)
def _a_line_at_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqd.cli.ui.progress.LINE_EVERY_S", 0.0)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return Screen(to_stderr=True)


@pytest.fixture
def last_frame(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Show events in a view; returns what stands on the terminal's last line then."""

    def shown(view: BulkView | TrainingView, *events: Event) -> str:
        with view:
            for event in events:
                view.show(event)
            drawn = view._live if isinstance(view, TrainingView) else view._progress
            drawn.refresh()  # type: ignore[union-attr]
            return last_line_of(capsys.readouterr().err)

    return shown


def test_the_unit_in_hand_moves_the_count_of_a_paused_job_and_promises_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = LineView(Screen(), a_record(), lambda: True)

    for event in (progress(8), paused(), progress(16), resumed(16), progress(16)):
        view.show(event)

    assert capsys.readouterr().out.splitlines() == [
        "imdb_lstm@0: 8/100, 7.0/s, 9.0 s left",
        "imdb_lstm@0: paused; seqd jobs resume j1",
        "imdb_lstm@0: 16/100, paused; seqd jobs resume j1",
        "imdb_lstm@0: resumed",
        "imdb_lstm@0: 16/100",
    ]


def test_the_bar_of_a_paused_job_says_so_while_its_count_moves(
    terminal: Screen, last_frame: Callable[..., str]
) -> None:
    shown = last_frame(bulk_view(terminal, a_record(), lambda: True), paused(), progress(16))

    assert "16/100" in shown
    assert "paused; seqd jobs resume j1" in shown
    assert "left" not in shown


def test_a_bar_that_begins_in_a_pause_shows_it_whatever_came_before(
    terminal: Screen, last_frame: Callable[..., str]
) -> None:
    started = Started(job_id="j1", at_ms=1, worker="w")

    shown = last_frame(bulk_view(terminal, PAUSED, lambda: True), started, progress(8))

    assert "8/100" in shown
    assert "paused; seqd jobs resume j1" in shown


def test_a_resumed_bar_no_longer_says_that_it_is_paused(
    terminal: Screen, last_frame: Callable[..., str]
) -> None:
    shown = last_frame(bulk_view(terminal, PAUSED, lambda: True), resumed())

    assert "waiting for a worker" in shown
    assert "paused" not in shown


def test_a_paused_training_shows_no_figures_of_the_steps_that_still_come(
    terminal: Screen, last_frame: Callable[..., str]
) -> None:
    shown = last_frame(TrainingView(terminal, a_record()), paused(), a_step())

    assert "33%" in shown
    assert "paused; seqd jobs resume j1" in shown
    assert "left" not in shown


def test_a_resumed_training_shows_its_figures_again(
    terminal: Screen, last_frame: Callable[..., str]
) -> None:
    shown = last_frame(TrainingView(terminal, PAUSED), resumed(), a_step())

    assert "loss 2.5000  9.0 s left" in shown


def test_without_a_terminal_a_training_says_that_it_is_paused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TrainingView(Screen(), a_record()) as view:
        view.show(paused())
        view.show(resumed())

    assert capsys.readouterr().out.splitlines() == [
        "imdb_lstm: paused; seqd jobs resume j1",
        "imdb_lstm: resumed",
    ]


def test_nobody_hears_of_the_pauses_of_a_job_that_has_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = LineView(Screen(), a_record(state=JobState.COMPLETED), lambda: True)

    view.show(paused())
    view.show(resumed())

    assert capsys.readouterr().out == ""
    assert view.was_paused


def test_after_a_pause_the_rate_counts_from_the_resumption() -> None:
    rate = JobRate(is_paused=False)
    rate.add(paused(done=10))
    rate.add(resumed(done=20, at_ms=60_000))

    texts = rate.texts(progress(40, at_ms=62_000), is_final=True)

    assert texts == ("10/s", "6.0 s left")


def test_no_time_left_is_told_while_the_total_still_grows_after_a_pause() -> None:
    rate = JobRate(is_paused=True)
    rate.add(resumed(done=20, at_ms=60_000))

    assert rate.texts(progress(40, at_ms=62_000), is_final=False) == ("10/s",)


def test_the_whole_of_a_paused_job_has_a_time_and_no_rate(
    terminal: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = a_record(
        state=JobState.COMPLETED, counts=counts(100), started_at_ms=1_000, ended_at_ms=91_000
    )

    with bulk_view(terminal, a_record(), lambda: True) as view:
        view.show(paused())
        view.show(resumed())
        view.finish(ended)

    last = last_line_of(capsys.readouterr().err)
    assert "1:30 with its pauses" in last
    assert "/s" not in last
