"""The learning curve of a training in text, the table of its epochs, and the bar of its steps."""

import pytest

from cli_builders import a_record
from seqd.cli.ui.charts import epochs_chart
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.training import TrainingView
from seqd_schemas import Epoch, EpochMetrics, Step

WIDTH = 80


def a_step(done: int, **metrics: float) -> Step:
    return Step(job_id="j1", at_ms=1, done=done, total=200, metrics=metrics, eta_s=185.0)


def an_epoch(number: int, **metrics: float) -> Epoch:
    return Epoch(job_id="j1", at_ms=1, epoch=number, epochs=2, metrics=metrics, seconds=2.5)


def test_a_curve_has_the_figures_of_all_epochs_and_a_single_epoch_has_none():
    epochs = [
        EpochMetrics(
            epoch=1, seconds=1.0, metrics={"bits_per_char": 3.5, "validation_bits_per_char": 3.3}
        ),
        EpochMetrics(
            epoch=2, seconds=1.0, metrics={"bits_per_char": 3.0, "validation_bits_per_char": 3.1}
        ),
    ]

    rows = [line.plain for line in epochs_chart(epochs, WIDTH)]

    assert rows[0].strip() == "bits a character"
    assert rows[1].startswith(" 3.50 ┤")
    assert any(row.endswith("held out 3.1000") for row in rows)
    assert any(row.endswith("training 3.0000") for row in rows)
    assert rows[-1].split()[1::2] == ["1", "epoch", "2"]
    assert epochs_chart(epochs[:1], WIDTH) == []


@pytest.fixture
def terminal(monkeypatch):
    for name, value in [("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "100")]:
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LINES", "40")
    return Screen(to_stderr=True)


def test_on_a_terminal_the_curve_stays_at_the_end(capsys, terminal):
    with TrainingView(terminal, a_record()) as view:
        view.show(an_epoch(1, loss=2.0))
        view.show(an_epoch(2, loss=1.0))

    drawn = capsys.readouterr().err
    assert "training 1.000" in drawn.splitlines()[-2]
    assert "epoch" in drawn.splitlines()[-1]


def test_the_table_shows_a_held_out_figure_once_and_no_setting(capsys):
    figures = {"loss": 1.5, "learning_rate": 0.004, "bits_per_char": 2.25}
    with TrainingView(Screen(), a_record()) as view:
        view.show(an_epoch(1, **figures, validation_loss=1.75, validation_bits_per_char=2.5))

    assert capsys.readouterr().out.splitlines() == [
        "   epoch      loss  bits per char  validation bits per char    seconds",
        "     1/2    1.5000         2.2500                    2.5000        2.5",
    ]


def test_the_bar_shows_bits_a_character_the_rate_and_the_time_left(capsys, terminal):
    with TrainingView(terminal, a_record()) as view:
        figures = {"loss": 1.4, "bits_per_char": 2.02, "learning_rate": 0.004}
        view.show(a_step(100, **figures, characters_per_s=61_234.4))
        view._progress.refresh()

    assert "bits per char 2.0200  61,234 characters/s  3:05 left" in capsys.readouterr().err
