"""What commands say: numbers, summaries of jobs and sweeps, workers, placements, and outputs."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from builders import a_classify_job, a_sweep_job, a_trained_version, a_worker_status
from cli_builders import a_failure, a_record, a_success
from seqd.analysis.sweeps import report_of
from seqd.cli.fleet_log import FleetLog
from seqd.cli.models.placing import print_placed, print_placements, record_of
from seqd.cli.ui.outputs import OutputPrinter, output_line
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.summary import BulkOutcome, ResultCounts, say_bulk_summary, say_headline
from seqd.cli.ui.tables import print_facts, print_rows
from seqd.cli.ui.training import print_sweep, say_best, say_sweep_headline
from seqd.cli.ui.workers import print_workers
from seqd.escaping import printable
from seqd.local.slots import parse_slots
from seqd.views.numbers import age, count, counted, duration, metric, rate, size
from seqd.views.workers import memory_lines
from seqd_schemas import (
    ChildDeath,
    Counts,
    DeathCause,
    DeviceStatus,
    Dimensions,
    Embedding,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobRollout,
    JobState,
    Labels,
    PlacementRule,
    PluginState,
    PluginStatus,
    Score,
    ScoredLabel,
    Span,
    Spans,
    TaskOutput,
    TaskSchema,
    Text,
    UnfitCode,
    UnfitVersion,
    Vector,
    WorkerState,
    WorkerStatus,
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (count(25_000), "25,000"),
        (counted(1, "error"), "1 error"),
        (counted(2_500, "error"), "2,500 errors"),
        (rate(0.0166), "0.02"),
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
        (metric(27_303.2157), "27,303"),
        (printable("a\tb\nc\rd"), "a\tb\nc\\rd"),
    ],
)
def test_numbers_and_texts_as_people_read_them(shown, expected):
    assert shown == expected


def test_a_table_in_a_pipe_is_not_cut_and_facts_leave_out_what_is_empty(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "x" * 300

    print_rows(Screen(), ("name", "number"), [(long, 1_234), ("[b]", 5)])
    print_facts(Screen(), {"job": "j1", "preset": None, "failure": "", "seed": 0})

    assert capsys.readouterr().out.splitlines() == [
        f"name{' ' * 298}number",
        f"{long}   1,234",
        f"[b]{' ' * 304}5",
        "job   j1",
        "seed  0",
    ]


# What a bulk job has come to.

CRASHED = ItemErrorCode.WORKER_CRASHED
LABELS = ("positive", "negative", "positive", "positive")
HEAD = "3 classified by imdb_lstm@0 in 2.0 s, 1.5 a second"


def results(
    labels: Iterable[str] = LABELS,
    errors: Iterable[ItemErrorCode] = (),
    truth: Sequence[str | None] = (),
    uncertain: Sequence[bool] = (),
) -> ResultCounts:
    """Count results with these labels, and errors."""
    counts = ResultCounts(deque(truth))
    marks = deque(uncertain)
    for label in labels:
        counts.add(a_success(label=label, uncertain=bool(marks and marks.popleft())))
    for code in errors:
        counts.add(a_failure(code=code, message="no luck."))
    return counts


def ended(*, was_paused: bool = False, **changes: object) -> BulkOutcome:
    fields = {
        "state": JobState.COMPLETED,
        "counts": Counts(total=4, succeeded=3, errored=1),
        "started_at_ms": 1_000,
        "ended_at_ms": 3_000,
    }
    return BulkOutcome(a_record(**fields | changes), was_paused=was_paused)


EXPIRED = {
    "state": JobState.EXPIRED,
    "counts": Counts(total=25_000, succeeded=8_700, errored=4, expired=16_296),
    "job": a_classify_job(expires_in_s=90),
}
CANARY = JobRollout(id="0" * 16, kind="canary", version=1, share=0.25)


@pytest.mark.parametrize(
    ("outcome", "counts", "lines"),
    [
        (
            ended(),
            results(errors=[ItemErrorCode.INVALID_INPUT, ItemErrorCode.PLUGIN_ERROR]),
            [
                f"{HEAD}: 1 negative, 3 positive",
                "2 of 6 items have no result:",
                "  b  invalid_input: no luck.",
                "  b  plugin_error: no luck.",
                "Once more: seqd jobs retry j1",
            ],
        ),
        (
            ended(was_paused=True),
            results(),
            [
                "3 classified by imdb_lstm@0 in 2.0 s, its pauses included: 1 negative, 3 positive",
            ],
        ),
        (
            ended(**EXPIRED),
            results(errors=[ItemErrorCode.EXPIRED]),
            [
                "8,700 classified by imdb_lstm@0 in 2.0 s, 4,350 a second: 1 negative, 3 positive",
                "1 of 5 items has no result:",
                "  b  expired: no luck.",
                "Job j1 expired after 90 s with 8,704 of 25,000 items done. The rest: seqd jobs "
                "retry j1",
            ],
        ),
        (
            ended(),
            results(["positive", "negative"], truth=["pos", "neg"]),
            [
                f"{HEAD}: 1 negative, 1 positive",
                "No accuracy: the input's labels are neg, pos; the model gave negative, positive. "
                "To call them so: --map-label negative=neg --map-label positive=pos",
            ],
        ),
        (
            ended(plugin_versions=("1.0", "1.1")),
            results([]),
            [HEAD, "Several versions of the plugin computed it: 1.0, 1.1"],
        ),
        (ended(started_at_ms=None), results([]), ["3 classified by imdb_lstm@0"]),
        (
            ended(counts=Counts(total=4, errored=4)),
            results([]),
            ["0 classified by imdb_lstm@0 in 2.0 s"],
        ),
        (
            ended(),
            results(
                [f"{name}-{n}" for name in ("often", "often", "rare") for n in range(10)] + ["last"]
            ),
            [
                f"{HEAD}: {', '.join(f'2 often-{n}' for n in range(10))} and 11 more labels",
            ],
        ),
    ],
)
def test_a_job_that_has_ended_says_what_it_came_to_and_what_to_do(capsys, outcome, counts, lines):
    say_bulk_summary(Screen(), outcome, counts, None)

    assert capsys.readouterr().out.splitlines() == lines


def test_a_job_that_did_the_rest_of_another_is_told_with_the_results_of_both(capsys):
    rest = replace(ended(), is_rest=True)

    say_bulk_summary(Screen(), rest, results(["positive"] * 5), None)
    say_bulk_summary(Screen(), rest, results(["positive"] * 3), None)

    assert capsys.readouterr().out.splitlines() == [
        f"{HEAD.replace('3 ', '5 ', 1).replace(' in ', ', 3 of them in ')}: 5 positive",
        f"{HEAD}: 3 positive",
    ]


def test_a_canary_has_both_versions_in_its_summary(capsys):
    counts = results()
    for version in (1, 0):
        counts.add(a_success().model_copy(update={"version": version}))

    say_headline(Screen(), ended(rollout=CANARY), counts)
    say_headline(Screen(), ended(rollout=CANARY))

    of_results, of_the_job = capsys.readouterr().out.splitlines()
    assert of_results.startswith("3 classified by imdb_lstm@0 (5) and imdb_lstm@1 (1) in 2.0 s")
    assert of_the_job.startswith("3 classified by imdb_lstm@0 and its canary imdb_lstm@1 in 2.0 s")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (ended(), ItemErrorCode.INVALID_INPUT),
        (ended(), ItemErrorCode.DECODE_ERROR),
        (ended(sealed=False), ItemErrorCode.CANCELLED),
        (ended(continued_by="j2"), ItemErrorCode.PLUGIN_ERROR),
    ],
    ids=["no word in it", "no text", "half an input", "retried already"],
)
def test_no_retry_is_offered_that_would_help_nobody(capsys, outcome, code):
    say_bulk_summary(Screen(), outcome, results(errors=[code]), None)

    assert "retry" not in capsys.readouterr().out


def test_a_retry_says_how_many_items_have_a_result_now_and_what_both_jobs_left(capsys):
    first, retry = ended(continued_by="j2").record, a_record(job_id="j2")
    one = a_record(job_id="j2", counts=Counts(total=1, succeeded=1))

    whole = BulkOutcome(retry, first=first)
    retried = BulkOutcome(one, first=first, is_retried=True)
    say_bulk_summary(Screen(), retried, results(), None)
    say_bulk_summary(Screen(), whole, results(), None)
    say_bulk_summary(Screen(), whole, results(errors=[CRASHED] * 4), None)

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "1 of 1 retried item has a result now.",
        "4 classified by imdb_lstm@0 (with its retries): 1 negative, 3 positive",
    ]
    assert lines[-2:] == [
        "All of them: seqd jobs results j1 --merged --out results.jsonl",
        "Once more: seqd jobs retry j2",
    ]


def test_accuracy_is_the_share_of_labelled_items_that_were_classified_right():
    truth = deque(["positive", "negative", None, "negative", "negative", "negative"])
    counts = ResultCounts(truth)

    for label in ("positive", "positive", "positive"):
        counts.add(a_success(label=label))
    for name in ("no result", "nor this"):
        counts.add(a_failure(name))

    assert (counts.labelled, counts.accuracy) == (2, 0.5)
    assert (counts.succeeded, counts.errored) == (3, 2)
    assert list(truth) == ["negative"], "labels of what was counted are not kept"
    assert ResultCounts(deque([None])).accuracy is None


# What a sweep has come to.


def trained(value: int, version: int, accuracy: float, seconds: float = 12.0) -> ItemSuccess:
    output = a_trained_version(
        version=version,
        parameters={"embedding_dim": value},
        metrics={"loss": 0.3, "validation_accuracy": accuracy},
        seconds=seconds,
    )
    return ItemSuccess(custom_id=f"embedding_dim={value}", output=output)


BROKEN = ItemFailure(
    custom_id="embedding_dim=16",
    error=ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="It broke."),
)


def a_sweep(**changes: object) -> JobRecord:
    job = a_sweep_job(**changes)
    return a_record(kind="sweep", version=None, state=JobState.COMPLETED, job=job)


def test_the_table_of_a_sweep_has_what_differs_and_names_the_best(capsys):
    report = report_of(a_sweep_job(), [trained(8, 4, 0.81), trained(16, 3, 0.83, seconds=20.0)])

    print_sweep(Screen(), report)
    say_sweep_headline(Screen(), report, 21.0)
    say_best(Screen(), report, a_sweep(labels=("production",)))
    print_sweep(Screen(), report_of(a_sweep_job(), [BROKEN]))

    assert capsys.readouterr().out.splitlines() == [
        "embedding_dim  validation accuracy  seconds  version",
        "8              0.8100               12.0     imdb_lstm@4",
        "16             0.8300               20.0     imdb_lstm@3  best",
        "2 combinations of imdb_lstm trained in 21 s",
        "Best: imdb_lstm@3 (embedding_dim=16), with the highest validation accuracy, 0.8300.",
        "Labelled production: imdb_lstm@3",
        "embedding_dim=16: plugin_error: It broke.",
    ]


PROPOSAL = "imdb_lstm means imdb_lstm@1. To change that: seqd models promote imdb_lstm@3"


@pytest.mark.parametrize(
    ("job", "in_service", "lines"),
    [
        ({}, None, []),
        ({}, 3, []),
        ({}, 1, [PROPOSAL]),
        (
            {"metric": "macro_f1", "labels": ("production",)},
            None,
            [
                "No version is called best, and no label was moved: not all have the figure "
                "'macro_f1'. Their figures: loss, validation_accuracy; --metric names one.",
            ],
        ),
    ],
)
def test_the_best_version_is_proposed_where_another_one_is_in_service(
    capsys, job, in_service, lines
):
    report = report_of(a_sweep_job(**job), [trained(16, 3, 0.83)])

    say_best(Screen(), report, a_sweep(**job), in_service)

    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if not line.startswith("Best: ")] == lines


# Workers, and what is wrong with them.


def a_plugin(name: str, **changes: object) -> PluginStatus:
    fields = {"distribution": "seqd", "version": "1", "state": PluginState.READY}
    return PluginStatus.model_validate({"name": name} | fields | changes)


def unfit_for(model: str, version: int | None, message: str, since_ms: int = 1) -> UnfitVersion:
    code = UnfitCode.UNWRITABLE if version is None else UnfitCode.DAMAGED
    return UnfitVersion(model=model, version=version, code=code, message=message, since_ms=since_ms)


def test_a_worker_is_listed_with_what_it_is_unfit_for_and_its_device(capsys):
    now_ms = time.time_ns() // 1_000_000
    unfit = (
        unfit_for("imdb_lstm", 3, "a file.", now_ms - 1_200_000),
        unfit_for("markov", None, "disk full.", now_ms - 1_200_000),
    )
    device = DeviceStatus(uuid="GPU-5d5b", name="NVIDIA H100", memory_bytes=80 * 2**30)
    shared = device.model_copy(update={"share_bytes": 20 * 2**30})
    plugins = (a_plugin("a"), a_plugin("b"))

    print_workers(
        Screen(),
        [
            a_worker_status(worker="w1", plugins=plugins, unfit=unfit, device=device),
            a_worker_status(worker="w2", device=shared),
        ],
        {},
        now_ms,
    )

    lines = capsys.readouterr().out.splitlines()
    assert "2 ready, 2 unfit" in lines[1]
    assert sorted(lines[3:]) == [
        "w1 computes on NVIDIA H100 (GPU-5d5b) with 80.0 GiB",
        "w2 computes on NVIDIA H100 (GPU-5d5b) with 20.0 GiB of 80.0 GiB",
    ]


RULE = PlacementRule(
    model="topics",
    targets=("kind:cpu", "label:zone=a"),
    reason="short texts",
    by="ops@h1",
    at_ms=1_000,
)
HAS_IT = {"versions": {"topics": (1,)}, "seen_at_ms": 61_000}
ON_GPU = a_worker_status(worker="w2", slot="gpu:0", **HAS_IT)
WORKERS = [
    a_worker_status(worker="w1", **HAS_IT, models_loaded=("topics@1", "imdb_lstm@0")),
    ON_GPU,
    a_worker_status(worker="w3", slot="gpu:1", labels={"zone": "a"}, **HAS_IT),
]


def test_placements_are_listed_with_the_workers_that_they_mean(capsys):
    print_placements(Screen(), [RULE], WORKERS, None)
    print_placements(Screen(), [], WORKERS, None)
    print_placements(Screen(), [], WORKERS, "topics")
    print_placed(Screen(), RULE, [ON_GPU])
    print_placed(Screen(), RULE, WORKERS)
    record = record_of(RULE, WORKERS)

    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "model where workers loaded on by since reason",
        "topics --on cpu --label zone=a 2 1 ops@h1 1 min short texts",
        "No model is placed.",
        "topics is not placed.",
        "topics is placed: --on cpu --label zone=a.",
        "No worker that is up serves topics there: its jobs wait until one does. `seqd models "
        "place topics --anywhere` takes that back.",
        "topics is placed: --on cpu --label zone=a.",
        "Workers: w1, w3",
    ]
    assert record["targets"] == ["kind:cpu", "label:zone=a"]
    assert (record["workers"], record["loaded_on"]) == (["w1", "w3"], ["w1"])


def test_a_worker_has_a_line_on_its_memory_and_one_on_what_it_leaves():
    worker = a_worker_status(
        worker="w1",
        models_loaded=("topics@1", "moods@2"),
        loaded_bytes={"topics@1": 17_300_000, "moods@2": 500},
        memory_budget_bytes=20_000_000,
        left_out=tuple(f"m{number:02}" for number in range(18)),
    )

    listed = ", ".join(f"m{number:02}" for number in range(16))
    assert memory_lines(worker) == [
        "w1 has loaded topics@1 17.3 MB, moods@2 500 B: 17.3 MB of 20.0 MB",
        f"w1 leaves {listed} and 2 more to other workers (`seqd models place`, or SEQD_SERVES "
        "there)",
    ]
    assert memory_lines(a_worker_status(models_loaded=("topics@1",))) == []
    assert memory_lines(a_worker_status(tasks=("train",), left_out=("topics",))) == []


# The log of `seqd up`.


def test_what_workers_cannot_run_is_told_once_and_again_when_it_is_over(capsys):
    broken = a_plugin("light", state=PluginState.BROKEN, reason="no numba.")
    unfit = (unfit_for("markov", 2, "a file is cut."),)
    sick = [
        a_worker_status(worker=slot, slot=slot, plugins=(broken,), unfit=unfit)
        for slot in ("cpu:0", "cpu:1")
    ]
    log = FleetLog(parse_slots("cpu:0,cpu:1"))

    log.show_troubles(sick)
    log.show_troubles(sick)
    starts = {"unfit": (), "state": WorkerState.STARTING}
    log.show_troubles([sick[0].model_copy(update={"unfit": ()}), sick[1].model_copy(update=starts)])

    assert capsys.readouterr().out.splitlines() == [
        "plugin light is broken: no numba.",
        "cpu:0 cannot run markov@2: a file is cut.",
        "cpu:1 cannot run markov@2: a file is cut.",
        "over: cpu:0 cannot run markov@2: a file is cut.",
    ]


def a_death(pid: int, at_s: float, cause: DeathCause = DeathCause.EXIT) -> ChildDeath:
    return ChildDeath(at_ms=int(1000 * at_s), cause=cause, message="It exited.", pid=pid)


def dead(deaths: Sequence[ChildDeath], slot: str = "cpu:0", **changes: object) -> WorkerStatus:
    return a_worker_status(worker=f"{slot}@h", slot=slot, deaths=tuple(deaths), **changes)


def test_each_death_of_a_workers_process_is_told_once(capsys):
    log = FleetLog(parse_slots("cpu:0,train@gpu:1"))
    deaths = [a_death(pid, time.time() + pid) for pid in (7, 8)]

    log.show_troubles([dead(deaths[:1])])
    log.show_troubles([])  # its record has run out
    log.show_troubles([dead(deaths)])
    log.show_troubles([dead(deaths).model_copy(update={"worker": "its successor"})])

    assert capsys.readouterr().out.splitlines() == [
        "cpu:0        child    pid 7 died, exit: It exited.",
        "cpu:0        child    pid 8 died, exit: It exited.",
    ]


def test_of_deaths_before_it_began_the_log_of_seqd_up_tells_the_last_alone_if_a_worker_was_killed(
    capsys,
):
    log = FleetLog(parse_slots("cpu:0,cpu:1"))
    killed = DeathCause.WORKER_KILLED
    # The clock of this machine is 60 s behind that of the server, on which deaths are noted.
    now_s = time.time() + 60
    before = [a_death(1, now_s - 30, killed), a_death(2, now_s - 20), a_death(3, now_s - 9, killed)]

    for _ in range(2):
        log.show_troubles(
            [
                dead([*before, a_death(4, now_s + 9)], clock_offset_ms=-60_000),
                dead(before[:2], "cpu:1", clock_offset_ms=-60_000),
            ]
        )

    assert capsys.readouterr().out.splitlines() == [
        "cpu:0  killed   parent, and child pid 3 with it: It exited.",
        "cpu:0  child    pid 4 died, exit: It exited.",
    ]


# Outputs of plugins' own tasks.


class Place(TaskOutput):
    """Where something is."""

    name: str = Field(max_length=10, description="Its name.")
    scores: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        max_length=3, description="Scores."
    )


class Report(TaskOutput):
    """An output of several fields."""

    language: str = Field(max_length=2, description="The language.")
    is_toxic: bool = Field(description="True where it is.")
    place: Place | None = Field(default=None, description="The place.")
    vectors: tuple[Annotated[Vector, Dimensions(2)], ...] = Field(
        max_length=2, description="Two vectors."
    )


def line_of(output: BaseModel, text: str = "") -> str:
    schema = type(output).model_json_schema(mode="serialization")
    return output_line(output.model_dump(mode="json"), schema, text)


OSLO = Place(name="Oslo", scores=(1.0,))
MANY = Labels(labels=tuple(ScoredLabel(label=f"l{n}", score=0.5) for n in range(12)))


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (Score(score=2 / 3), "0.6667"),
        (Score(score=2 / 3, truncated=True), "0.6667  truncated"),
        (Text(text="two\nlines"), "two\nlines"),
        (Labels(labels=()), "none"),
        (MANY, ", ".join(f"l{n} 0.5" for n in range(10)) + " and 2 more"),
        (Spans(spans=(Span(start=0, end=4, label="NAME", score=0.5),)), "Anna NAME 0.5"),
        (Embedding(vector=Vector([0.125, -0.25, 3, 4])), "4 numbers: 0.12, -0.25, 3, …"),
        (Embedding(vector=Vector([0, 0, 0, 3, -4])), "5 numbers: 0, 0, 0, … (norm 5)"),
        (Embedding(vector=Vector([0, 0, 0])), "3 numbers: 0, 0, 0"),
        (Embedding(vector=Vector([1])), "1 number: 1"),
        (
            Report(language="en", is_toxic=False, place=OSLO, vectors=(Vector([1, 2]),)),
            'language en  is_toxic false  place {"name": "Oslo", "scores": [1.0]}  '
            "vectors 2 numbers: 1, 2",
        ),
        (
            Report(language="en", is_toxic=True, vectors=()),
            "language en  is_toxic true  place none  vectors none",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseModel) else "",
)
def test_an_output_is_a_line(output, line):
    assert line_of(output, "Anna is here") == line


def test_a_span_of_a_text_that_is_not_at_hand_says_where_it_is():
    assert line_of(Spans(spans=(Span(start=3, end=5, label="NAME"),))) == "3-5 NAME"


def test_texts_in_front_of_outputs_are_cut_and_stand_in_a_column(capsys):
    texts = ["short", "one that is longer than what is repeated"]
    schema = Score.model_json_schema(mode="serialization")
    task = TaskSchema(parameters={}, unit_items=1, result=schema)
    printer = OutputPrinter(Screen(), task, texts)

    for name in ("row-1", "row-2"):
        output = Score(score=0.5).model_dump(mode="json")
        printer.show(ItemSuccess(custom_id=name, output=output))

    assert capsys.readouterr().out == (
        "short                           0.5\none that is longer than what …  0.5\n"
    )
