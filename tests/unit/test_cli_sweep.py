"""What a sweep shows as it gets on and when it has ended, and how its values are read."""

from pathlib import Path

import pytest

from builders import a_sweep_job, a_trained_version
from cli_builders import a_record, here
from seqd.analysis.sweeps import report_of
from seqd.cli.train import read_grid
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.sweeps import SweepProgress, SweepView, print_sweep, say_best, say_sweep_headline
from seqd.errors import InvalidParameters
from seqd_schemas import (
    Epoch,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    Log,
    Paused,
    Step,
)


def an_epoch(run: str, number: int = 1, **metrics: float) -> Epoch:
    figures = metrics or {"loss": 0.5, "validation_accuracy": 0.8}
    return Epoch(
        job_id="j1", at_ms=1, run=run, epoch=number, epochs=2, metrics=figures, seconds=2.5
    )


def a_step(run: str, done: int = 1) -> Step:
    return Step(job_id="j1", at_ms=1, run=run, done=done, total=4, metrics={"loss": 0.7})


def trained(name: str, version: int, accuracy: float, seconds: float = 12.0) -> ItemSuccess:
    value = int(name.partition("=")[2])
    output = a_trained_version(
        version=version,
        parameters={"embedding_dim": value},
        metrics={"loss": 0.3, "validation_accuracy": accuracy},
        seconds=seconds,
    )
    return ItemSuccess(custom_id=name, output=output)


def failed(name: str) -> ItemFailure:
    error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="It broke.")
    return ItemFailure(custom_id=name, error=error)


def a_sweep(state: JobState = JobState.RUNNING, **changes: object) -> JobRecord:
    return a_record(kind="sweep", version=None, state=state, job=a_sweep_job(**changes))


def test_each_combination_goes_from_waiting_to_trained():
    progress = SweepProgress(["a=1", "a=2"], clock=lambda: 5.0)

    states = [progress.counts()]
    progress.add(Log(job_id="j1", at_ms=1, run="a=1", level="info", message="begun by w1"))
    states.append(progress.counts())
    progress.add(a_step("a=1", done=3))
    row = progress.rows["a=1"]
    told = (row.share, row.metrics, row.seconds(now_s=7.0))
    progress.add_results({"a=1": trained("a=1", 3, 0.9), "a=2": failed("a=2")})

    assert states == [{"waiting": 2}, {"training": 1, "waiting": 1}]
    assert told == (0.75, {"loss": 0.7}, 2.0)
    assert progress.counts() == {"trained": 1, "failed": 1}
    assert (row.seconds(now_s=99.0), progress.rows["a=2"].seconds(now_s=99.0)) == (12.0, None)


def test_a_result_is_news_once():
    progress = SweepProgress(["a=1"])

    news = [progress.add_results({"a=1": failed("a=1")}) for _ in range(2)]

    assert [len(rows) for rows in news] == [1, 0]


def test_where_there_is_little_room_what_is_trained_right_now_is_shown():
    progress = SweepProgress([f"a={number}" for number in range(9)])
    progress.add_results({f"a={number}": failed(f"a={number}") for number in range(4)})
    progress.add(a_step("a=5"))

    rows, left_out = progress.visible(3)

    assert ([row.name for row in rows], left_out) == (["a=2", "a=3", "a=5"], 6)


def test_without_a_terminal_epochs_and_ends_are_plain_lines(capsys: pytest.CaptureFixture[str]):
    with SweepView(Screen(), a_sweep()) as view:
        view.show(a_step("embedding_dim=8"))
        view.show(an_epoch("embedding_dim=8"))
        view.add_results({"embedding_dim=8": trained("embedding_dim=8", 3, 0.8)})
        view.add_results({"embedding_dim=16": failed("embedding_dim=16")})

    assert capsys.readouterr().out.splitlines() == [
        "embedding_dim=8: epoch 1/2, loss 0.5000, validation accuracy 0.8000, 2.5 s",
        "embedding_dim=8: imdb_lstm@3 after 12 s",
        "embedding_dim=16: failed, It broke.",
    ]


def test_a_pause_is_told_with_how_to_end_it(capsys: pytest.CaptureFixture[str]):
    record = a_sweep()
    with SweepView(Screen(), record) as view:
        view.show(Paused(job_id="j1", at_ms=1, counts=record.counts))

    assert capsys.readouterr().out == "imdb_lstm: paused; seqd jobs resume j1\n"


@pytest.mark.parametrize("columns", [40, 120])
def test_on_a_terminal_there_is_a_row_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Screen()
    with SweepView(screen, a_sweep()) as view:
        view.show(an_epoch("embedding_dim=8"))
        with screen.console.capture() as drawn:
            screen.console.print(view.drawn())

    assert screen.is_live
    shown = drawn.get()
    assert "embedding_dim=8" in shown and "waiting" in shown
    assert "1 training, 1 waiting" in shown
    capsys.readouterr()


def test_the_table_has_what_differs_and_names_the_best(capsys: pytest.CaptureFixture[str]):
    results = [
        trained("embedding_dim=8", 4, 0.81),
        trained("embedding_dim=16", 3, 0.83, seconds=20.0),
    ]
    record = a_sweep(JobState.COMPLETED, labels=("production",))
    report = report_of(a_sweep_job(), results)

    print_sweep(Screen(), report)
    say_sweep_headline(Screen(), report, 21.0)
    say_best(Screen(), report, record)

    assert capsys.readouterr().out.splitlines() == [
        "embedding_dim  validation accuracy  seconds  version",
        "8              0.8100               12.0     imdb_lstm@4",
        "16             0.8300               20.0     imdb_lstm@3  best",
        "2 combinations of imdb_lstm trained in 21 s",
        "Best: imdb_lstm@3 (embedding_dim=16), with the highest validation accuracy, 0.8300.",
        "Labelled production: imdb_lstm@3",
    ]


@pytest.mark.parametrize(("in_service", "lines"), [(None, 1), (3, 1), (1, 2)])
def test_the_best_version_is_proposed_where_another_one_is_in_service(
    capsys: pytest.CaptureFixture[str], in_service: int | None, lines: int
):
    report = report_of(a_sweep_job(), [trained("embedding_dim=16", 3, 0.83)])

    say_best(Screen(), report, a_sweep(JobState.COMPLETED), in_service)

    said = capsys.readouterr().out.splitlines()
    assert len(said) == lines
    assert (
        said[1:]
        == ["imdb_lstm means imdb_lstm@1. To change that: seqd models promote imdb_lstm@3"][
            : lines - 1
        ]
    )


def test_a_combination_that_failed_is_told_below_the_table(capsys: pytest.CaptureFixture[str]):
    report = report_of(a_sweep_job(), [failed("embedding_dim=8")])

    print_sweep(Screen(), report)

    assert capsys.readouterr().out == "embedding_dim=8: plugin_error: It broke.\n"


def test_a_figure_that_not_all_versions_have_is_told_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
):
    job = {"metric": "macro_f1", "labels": ("production",)}
    report = report_of(a_sweep_job(**job), [trained("embedding_dim=8", 4, 0.81)])

    say_best(Screen(), report, a_sweep(JobState.COMPLETED, **job))

    assert capsys.readouterr().out == (
        "No version is called best, and no label was moved: not all have the figure 'macro_f1'. "
        "Their figures: loss, validation_accuracy; --metric names one.\n"
    )


def test_a_sweep_as_json_has_its_versions_its_errors_and_the_best():
    results = [trained("embedding_dim=8", 4, 0.81), failed("embedding_dim=16")]

    told = report_of(a_sweep_job(), results).as_json()

    assert told["figure"] == "validation_accuracy"
    assert told["best"] == results[0].output
    assert told["failed"] == [results[1]]
    (one,) = told["trained"]
    assert one == {
        "custom_id": "embedding_dim=8",
        "version": 4,
        "parameters": {"embedding_dim": 8},
        "metrics": {"loss": 0.3, "validation_accuracy": 0.81},
        "seconds": 12.0,
    }


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("8,16,32", [8, 16, 32]),
        ("0.5", [0.5]),
        ("true,false", [True, False]),
        ("adam,sgd", ["adam", "sgd"]),
        ("none,8", ["none", 8]),
        ("[64],[64,32]", [[64], [64, 32]]),
        ('"a,b","c"', ["a,b", "c"]),
    ],
)
def test_values_are_json_or_else_texts(typed, values):
    assert read_grid([f"name={typed}"]) == {"name": values}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["length"], "'length' is no list of values; allowed: NAME=V1,V2, such as"),
        (["length="], "'length=' is no list of values"),
        (["a=1", "a=2"], "parameter 'a' is given twice; give all its values together, as a=V1,V2"),
        (['a={"b": 1},2'], "parameter 'a' has an object among its values"),
    ],
)
def test_values_that_are_none_are_refused(pairs, said):
    with pytest.raises(InvalidParameters) as raised:
        read_grid(pairs)

    assert str(raised.value).startswith(said)


def test_a_picture_that_could_not_be_drawn_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    plot = str(tmp_path / "plot.pdf")

    ended = here(
        capsys, "sweep", "imdb_lstm", "--set", "a=1,2", "--data", "keras:imdb", "--plot", plot
    )

    assert ended.status == 2
    assert "the picture is to be 'plot.pdf'; allowed: a name ending in .png" in ended.err
