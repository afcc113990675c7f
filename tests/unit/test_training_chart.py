"""The learning curve of a training in text: of its events as they come, and of a version."""

import pytest

from cli_builders import a_record
from seqd.cli.ui.charts import TrainingChart, epochs_chart
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.training import TrainingView
from seqd_schemas import Epoch, EpochMetrics, Event, Step

WIDTH = 80


def a_step(done: int, **metrics: float) -> Step:
    return Step(job_id="j1", at_ms=1, done=done, total=200, metrics=metrics, eta_s=185.0)


def an_epoch(number: int, **metrics: float) -> Epoch:
    return Epoch(job_id="j1", at_ms=1, epoch=number, epochs=2, metrics=metrics, seconds=2.5)


def chart_of(*events: Event) -> list[str]:
    chart = TrainingChart()
    for event in events:
        chart.add(event)
    return [line.plain for line in chart.draw(WIDTH)]


STEPS = [a_step(n, loss=3.0 - n / 100, bits_per_char=4.0 - n / 100) for n in range(1, 101, 10)]


def test_before_an_epoch_ends_the_curve_is_over_the_steps() -> None:
    rows = chart_of(*STEPS)

    assert rows[0].strip() == "bits a character"
    assert "training 3.090" in rows[-2]
    assert rows[-1].split()[1::2] == ["1", "step", "91"]


def test_from_two_epochs_on_the_curve_is_over_the_epochs() -> None:
    rows = chart_of(
        *STEPS,
        an_epoch(1, bits_per_char=3.5, validation_bits_per_char=3.3),
        an_epoch(2, bits_per_char=3.0, validation_bits_per_char=3.1),
    )

    assert rows[1].startswith(" 3.50 ┤")
    assert any(row.endswith("held out 3.1000") for row in rows)
    assert any(row.endswith("training 3.0000") for row in rows)
    assert rows[-1].split()[1::2] == ["1", "epoch", "2"]


def test_nothing_is_drawn_of_a_single_step_or_of_steps_without_figures() -> None:
    assert chart_of(STEPS[0]) == []
    assert chart_of(a_step(1), a_step(2)) == []
    assert epochs_chart([EpochMetrics(epoch=1, seconds=1.0, metrics={"loss": 1.0})], WIDTH) == []


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    for name, value in [("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "100")]:
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LINES", "40")
    return Screen(to_stderr=True)


def test_on_a_terminal_the_curve_stays_at_the_end(
    capsys: pytest.CaptureFixture[str], terminal: Screen
) -> None:
    with TrainingView(terminal, a_record()) as view:
        view.show(an_epoch(1, loss=2.0))
        view.show(an_epoch(2, loss=1.0))

    drawn = capsys.readouterr().err
    assert "training 1.000" in drawn.splitlines()[-2]
    assert "epoch" in drawn.splitlines()[-1]


def test_the_table_shows_a_held_out_figure_once_and_no_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = {"loss": 1.5, "learning_rate": 0.004, "bits_per_char": 2.25}
    with TrainingView(Screen(), a_record()) as view:
        view.show(an_epoch(1, **figures, validation_loss=1.75, validation_bits_per_char=2.5))

    assert capsys.readouterr().out.splitlines() == [
        "   epoch      loss  bits per char  validation bits per char    seconds",
        "     1/2    1.5000         2.2500                    2.5000        2.5",
    ]


def test_the_bar_shows_bits_a_character_the_rate_and_the_time_left(
    capsys: pytest.CaptureFixture[str], terminal: Screen
) -> None:
    with TrainingView(terminal, a_record()) as view:
        figures = {"loss": 1.4, "bits_per_char": 2.02, "learning_rate": 0.004}
        view.show(a_step(100, **figures, characters_per_s=61_234.4))
        view._live.refresh()

    assert "bits per char 2.0200  61,234 characters/s  3:05 left" in capsys.readouterr().err


def test_of_ever_so_many_steps_the_first_and_the_course_stay() -> None:
    rows = chart_of(*(a_step(n, loss=100.0 / n) for n in range(1, 20_001)))

    assert rows[1].startswith(" 100 ┤")
    assert rows[-1].split()[1] == "1"
