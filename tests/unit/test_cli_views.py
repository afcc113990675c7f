"""What people see of a job's events where the output is no terminal, and how numbers look."""

import json
import time
from pathlib import Path

import pytest

from builders import a_worker_status
from cli_builders import a_record, last_line_of
from seqd.cli.bulk import bulk_view
from seqd.cli.fleet_log import FleetLog
from seqd.cli.ui.fleet import print_workers
from seqd.cli.ui.numbers import age, count, counted, duration, metric, rate, size
from seqd.cli.ui.plugins import print_fleet
from seqd.cli.ui.progress import LineView
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_json, print_table
from seqd.cli.ui.training import TrainingView, sample_lines
from seqd.escaping import printable
from seqd.local.slots import parse_slots
from seqd.local.supervisor import Change, WorkerChange
from seqd_schemas import (
    ChildDeath,
    Counts,
    DeathCause,
    DeviceStatus,
    Epoch,
    Event,
    JobState,
    Log,
    Missed,
    PluginState,
    PluginStatus,
    Progress,
    Sample,
    UnfitCode,
    UnfitVersion,
    WorkerState,
    WorkerStatus,
)


def an_epoch(number: int, **metrics: float) -> Epoch:
    return Epoch(job_id="j1", at_ms=1, epoch=number, epochs=3, metrics=metrics, seconds=2.5)


def a_sample(prompt: str = "the sea ", text: str = "was grey", temperature: float = 0.5) -> Sample:
    return Sample(job_id="j1", at_ms=1, epoch=1, temperature=temperature, prompt=prompt, text=text)


def progress(done: int, total: int, eta_s: float | None = 4.0) -> Progress:
    counts = Counts(total=total, succeeded=done, processing=total - done)
    return Progress(job_id="j1", at_ms=1, counts=counts, rate_per_s=1234.0, eta_s=eta_s)


def a_worker() -> WorkerStatus:
    return WorkerStatus(
        worker="cpu:0@host-ab12",
        slot="cpu:0",
        tasks=("classify",),
        host="host",
        pid=1,
        state=WorkerState.READY,
        plugins=(),
        seqd_version="0.1.0",
        started_at_ms=1,
        seen_at_ms=1,
    )


def lines_of(view: LineView, *events: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqd.cli.ui.progress.LINE_EVERY_S", 0.0)
    for event in events:
        view.show(event)


def test_without_a_terminal_progress_is_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = LineView(Screen(to_stderr=True), a_record(), lambda: True)

    lines_of(view, progress(2_500, 5_000), monkeypatch=monkeypatch)

    printed = capsys.readouterr()
    assert printed.err == "imdb_lstm@0: 2,500/5,000, 1,234/s, 4.0 s left\n"
    assert printed.out == ""


def test_no_time_left_is_promised_while_the_total_still_grows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = LineView(Screen(), a_record(), lambda: False)

    lines_of(view, progress(2_500, 5_000), monkeypatch=monkeypatch)

    assert capsys.readouterr().out == "imdb_lstm@0: 2,500 of 5,000+, 1,234/s\n"


def test_lines_come_seconds_apart(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView(Screen(), a_record(), lambda: True)

    for done in range(100):
        view.show(progress(done, 100))

    assert capsys.readouterr().out == ""


def test_what_a_job_says_is_shown_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    message = "[bold]not markup[/bold] \x1b[2J \u202e"
    view = bulk_view(Screen(), a_record(), lambda: True)

    view.show(Log(job_id="j1", at_ms=1, level="info", message=message))

    assert capsys.readouterr().out == "imdb_lstm@0: [bold]not markup[/bold] \\x1b[2J \\u202e\n"


def test_a_plugin_that_is_new_here_is_absent_on_workers_that_began_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = PluginStatus(
        name="length", distribution="seqd-length", version="1.0", state=PluginState.READY
    )
    there = PluginStatus(name="job_log", distribution="seqd", version="1", state=PluginState.READY)
    worker = a_worker().model_copy(update={"plugins": (there,)})

    print_fleet(Screen(), [worker], [new, there], {})

    lines = capsys.readouterr().out.splitlines()
    lines.pop(1)  # that of job_log
    assert lines[1].split() == ["length", "-", "absent", "cpu:0@host-ab12"]
    assert " ".join(" ".join(lines[2:]).split()) == (
        "length is missing on cpu:0@host-ab12. Install it there: `pip install seqd-length==1.0`. "
        "Then restart it; those of `seqd up`: `seqd workers restart cpu:0@host-ab12`."
    )


def test_a_worker_that_is_unfit_for_something_says_so_beside_its_plugins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now_ms = time.time_ns() // 1_000_000
    ready = [
        PluginStatus(name=name, distribution="seqd", version="1", state=PluginState.READY)
        for name in ("a", "b")
    ]
    unfit = [
        UnfitVersion(
            model="imdb_lstm",
            version=3,
            code=UnfitCode.DAMAGED,
            message="a file.",
            since_ms=now_ms - 60_000,
        ),
        UnfitVersion(
            model="markov", code=UnfitCode.UNWRITABLE, message="disk full.", since_ms=now_ms
        ),
    ]
    worker = a_worker().model_copy(update={"plugins": tuple(ready), "unfit": tuple(unfit)})

    print_workers(Screen(), [worker])

    lines = capsys.readouterr().out.splitlines()
    assert "2 ready, 2 unfit" in lines[1]
    assert lines[2:] == [
        "cpu:0@host-ab12 has been unfit for imdb_lstm@3 for 1 min: damaged: a file.",
        "cpu:0@host-ab12 has been unfit for trainings of markov for 0 s: unwritable: disk full.",
    ]


def test_a_worker_is_shown_with_the_device_that_it_computes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    device = DeviceStatus(uuid="GPU-5d5b", name="NVIDIA H100", memory_bytes=80 * 2**30)
    shared = device.model_copy(update={"share_bytes": 20 * 2**30})
    workers = [a_worker().model_copy(update={"device": one}) for one in (device, shared)]

    print_workers(Screen(), workers)

    assert capsys.readouterr().out.splitlines()[-2:] == [
        "cpu:0@host-ab12 computes on NVIDIA H100 (GPU-5d5b) with 80.0 GiB",
        "cpu:0@host-ab12 computes on NVIDIA H100 (GPU-5d5b) with 20.0 GiB of 80.0 GiB",
    ]


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(to_stderr=True)
    assert screen.is_live
    return screen


def test_results_reach_stdout_while_a_bar_moves_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bulk_view(a_terminal(monkeypatch), a_record(), lambda: True) as view:
        view.show(progress(1, 2))
        print("a result")

    printed = capsys.readouterr()
    assert printed.out == "a result\n"
    assert "imdb_lstm@0" in printed.err


def test_no_bar_moves_where_results_are_printed_on_the_same_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bulk_view(a_terminal(monkeypatch), a_record(), lambda: True, may_move=False) as view:
        view.show(progress(1, 2))

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("state", "mark"),
    [(JobState.CANCELLED, "✗"), (JobState.EXPIRED, "✗"), (JobState.COMPLETED, "✓")],
)
def test_the_bar_of_an_ended_job_stays_where_the_job_ended_and_nothing_spins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: JobState, mark: str
) -> None:
    counts = Counts(total=75_000, succeeded=39_936, cancelled=35_064)

    with bulk_view(a_terminal(monkeypatch), a_record(), lambda: True) as view:
        view.finish(a_record(state=state, counts=counts))

    last_frame = last_line_of(capsys.readouterr().err)
    assert "39,936/75,000" in last_frame
    assert last_frame.startswith(f"{mark} imdb_lstm@0 ")


def test_the_bar_of_a_command_that_is_interrupted_does_not_spin_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = bulk_view(a_terminal(monkeypatch), a_record(), lambda: True)

    with pytest.raises(KeyboardInterrupt), view:
        raise KeyboardInterrupt

    assert last_line_of(capsys.readouterr().err).startswith("✗ imdb_lstm@0 ")


def test_epochs_stand_in_columns_under_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingView(Screen(), a_record()) as view:
        view.show(an_epoch(1, loss=2.0185, validation_accuracy=0.75))
        view.show(an_epoch(2, loss=1.5))

    assert capsys.readouterr().out.splitlines() == [
        "   epoch      loss  validation accuracy    seconds",
        "     1/3    2.0185               0.7500        2.5",
        "     2/3    1.5000                             2.5",
    ]


def test_epochs_that_are_not_kept_are_told_of_and_steps_are_not(
    capsys: pytest.CaptureFixture[str],
):
    with TrainingView(Screen(), a_record()) as view:
        view.show(Missed(job_id="j1", at_ms=1))
        view.show(Missed(job_id="j1", at_ms=1, lasting=True))

    told = capsys.readouterr()
    assert " ".join((told.out + told.err).split()) == (
        "The first epochs and samples are not kept any more. The version has all of its epochs: "
        "seqd models show --local"
    )


def test_a_sample_shows_its_temperature_its_prompt_and_its_text() -> None:
    lines = sample_lines(a_sample(), width=80)

    assert [line.plain for line in lines] == ["   0.5  the sea │ was grey"]


def test_a_long_sample_is_cut_and_set_to_the_width() -> None:
    lines = sample_lines(a_sample(text="wave " * 200), width=60)

    assert all(len(line.plain) <= 60 for line in lines)
    assert lines[-1].plain.endswith(" …")
    assert len(lines) < 6


def test_a_sample_of_nothing_shows_nothing() -> None:
    assert sample_lines(a_sample(prompt="", text=" \n "), width=80) == []


def test_a_table_in_a_pipe_is_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "x" * 300

    print_table(Screen(), ("name", "number"), [(long, 1_234), ("[b]", 5)])

    assert capsys.readouterr().out.splitlines() == [
        f"name{' ' * 298}number",
        f"{long}   1,234",
        f"[b]{' ' * 304}5",
    ]


def test_facts_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts(Screen(), {"job": "j1", "preset": None, "failure": "", "seed": 0})

    assert capsys.readouterr().out.splitlines() == ["job   j1", "seed  0"]


def test_changes_of_workers_stand_in_columns_however_long_a_slot_is_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = FleetLog(parse_slots("cpu:0,train@gpu:1"))

    for slot in ("cpu:0", "train@gpu:1"):
        log.show(WorkerChange(Change.STARTED, slot, f"{slot}@host", 7, 1, Path("a.log")))

    assert capsys.readouterr().out.splitlines() == [
        "cpu:0        started  pid 7",
        "train@gpu:1  started  pid 7",
    ]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (count(25_000), "25,000"),
        (counted(1, "error"), "1 error"),
        (counted(2_500, "error"), "2,500 errors"),
        (rate(2_738.4), "2,738"),
        (rate(0.25), "0.2"),
        (duration(0.84), "0.8 s"),
        (duration(41.6), "42 s"),
        (duration(185), "3:05"),
        (duration(3_729), "1:02:09"),
        (age(0, 59_000), "59 s"),
        (age(0, 3 * 86_400_000), "3 d"),
        (age(5_000, 0), "0 s"),  # a clock behind the server's
        (size(853_700), "853.7 kB"),
        (metric(0.8679), "0.8679"),
        (metric(1.0), "1.0000"),
        (metric(-0.0), "0.0000"),
        (metric(600_893.0), "600,893"),
        (printable("a\tb\nc\rd"), "a\tb\nc\\rd"),
    ],
)
def test_numbers_and_texts_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_what_workers_cannot_run_is_told_once_and_again_when_it_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = PluginStatus(
        name="light", distribution="d", version="1", state=PluginState.BROKEN, reason="no numba."
    )
    unfit = UnfitVersion(
        model="markov", version=2, code=UnfitCode.DAMAGED, message="a file is cut.", since_ms=1
    )
    sick = [
        a_worker_status(worker=slot, slot=slot, plugins=(broken,), unfit=(unfit,))
        for slot in ("cpu:0", "cpu:1")
    ]
    log = FleetLog(parse_slots("cpu:0,cpu:1"))

    log.show_troubles(sick)
    log.show_troubles(sick)
    log.show_troubles([sick[0].model_copy(update={"unfit": ()}), sick[1]])

    assert capsys.readouterr().out.splitlines() == [
        "plugin light is broken: no numba.",
        "cpu:0 cannot run markov@2: a file is cut.",
        "cpu:1 cannot run markov@2: a file is cut.",
        "over: cpu:0 cannot run markov@2: a file is cut.",
    ]


def a_death(pid: int, at_s: float, cause: DeathCause = DeathCause.EXIT) -> ChildDeath:
    return ChildDeath(at_ms=int(1000 * at_s), cause=cause, message="It exited.", pid=pid)


def test_each_death_of_a_workers_process_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    log = FleetLog(parse_slots("cpu:0,train@gpu:1"))
    deaths = [a_death(pid, time.time() + pid) for pid in (7, 8)]
    successor = {"worker": "cpu:0@host-cd34", "deaths": deaths}

    log.show_troubles([a_worker().model_copy(update={"deaths": deaths[:1]})])
    log.show_troubles([])  # its record has run out
    log.show_troubles([a_worker().model_copy(update={"deaths": deaths})])
    log.show_troubles([a_worker().model_copy(update=successor)])

    assert capsys.readouterr().out.splitlines() == [
        "cpu:0        child    pid 7 died, exit: It exited.",
        "cpu:0        child    pid 8 died, exit: It exited.",
    ]


def test_of_deaths_before_it_began_the_log_of_seqd_up_tells_that_of_the_process_before_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = FleetLog(parse_slots("cpu:0,cpu:1"))
    killed = DeathCause.WORKER_KILLED
    # The clock of this machine is 60 s behind that of the server, on which deaths are noted.
    now_s = time.time() + 60
    before = [a_death(1, now_s - 30, killed), a_death(2, now_s - 20), a_death(3, now_s - 9, killed)]
    update = {"deaths": [*before, a_death(4, now_s + 9)], "clock_offset_ms": -60_000}
    other = {"worker": "cpu:1@host-cd34", "slot": "cpu:1", "deaths": [*before[:2]]}

    for _ in range(2):
        log.show_troubles([a_worker().model_copy(update=update)])
        log.show_troubles([a_worker().model_copy(update={**update, **other})])

    assert capsys.readouterr().out.splitlines() == [
        "cpu:0  killed   pid 3: It exited.",
        "cpu:0  child    pid 4 died, exit: It exited.",
    ]


def test_json_for_programs_is_the_same_value_and_moves_no_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    value = {"label": "\x9b2J\u202egood\u2028\x7f", "text": "é 中"}

    print_json(value)

    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert '"label": "\\u009b2J\\u202egood\\u2028\\u007f"' in printed
    assert "é 中" in printed
