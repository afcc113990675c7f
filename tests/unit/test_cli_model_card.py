"""`seqd models show`: the card of a version, of models that classify and of those that write."""

import json
import re

import pytest

from cli_builders import here
from seqd.cli.ui.model_card import print_card
from seqd.cli.ui.screen import Screen
from seqd_schemas import (
    Confusion,
    DataFingerprint,
    EvaluatedClass,
    EvaluatedExample,
    EvaluatedMetric,
    MeasuredSpeed,
    ModelCard,
    ModelManifest,
    ReliabilityBin,
    ServiceChange,
    VersionEvaluation,
    VersionOrigin,
)
from store_builders import a_manifest

Capture = pytest.CaptureFixture[str]

#: What moves a terminal's cursor, and colours its text.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(autouse=True)
def _own_store(own_environment, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "400")  # no line is broken, unless a test says so
    monkeypatch.setattr("seqd.cli.models.inspecting.MEASURED_S", 0.01)


def an_evaluation(classes: int = 2, label: str = "c", **changes: object) -> VersionEvaluation:
    names = [f"{label}{number}" for number in range(classes)]
    example = {"custom_id": "row-1", "text": "words " * 33, "truth": names[0], "score": 0.9}
    fields: dict[str, object] = {
        "data": DataFingerprint(description="test.jsonl", records=4, sha256="3" * 64),
        "at_ms": 1,
        "by": "ada@lab",
        "task": "classify",
        "items": 4 * classes,
        "metrics": {
            "accuracy": EvaluatedMetric(value=0.75, low=0.5, high=0.9, method="wilson"),
            "log_loss": EvaluatedMetric(value=0.25),
        },
        "classes": tuple(EvaluatedClass(label=name, items=4, predicted=4) for name in names),
        "confusion": (
            *(Confusion(truth=name, predicted=name, items=3) for name in names),
            Confusion(truth=names[0], predicted=names[1], items=2),
        ),
        "calibration": (
            ReliabilityBin(lower=0.8, upper=0.9, items=4, mean_score=0.85, accuracy=0.75),
        ),
        "right": (EvaluatedExample(**example, predicted=names[0]),),
        "wrong": (EvaluatedExample(**example, predicted=names[1]),),
    }
    return VersionEvaluation.model_validate(fields | changes)


def a_card(manifest: ModelManifest, **changes: object) -> ModelCard:
    fields: dict[str, object] = {
        "model": manifest.model,
        "version": manifest.version,
        "is_in_service": False,
        "labels": (),
        "version_sha256": "4" * 64,
        "size_bytes": 3_000,
        "manifest": manifest,
        "evaluations": (),
        "speeds": (),
        "history": (),
    }
    return ModelCard.model_validate(fields | changes)


A_SPEED = MeasuredSpeed(
    at_ms=1,
    machine="lab",
    processor="A Processor",
    slot="cpu:0",
    threads=2,
    task="classify",
    items=100,
    seconds=2.0,
    items_per_s=50.0,
    characters_per_s=5_000.0,
)


def printed(capsys: Capture, card: ModelCard) -> str:
    print_card(Screen(), card)
    return capsys.readouterr().out


def test_what_is_not_known_is_said_with_the_command_that_fills_it_in(capsys):
    out = printed(capsys, a_card(a_manifest()))

    assert out.splitlines()[-8:] == [
        "Evaluations",
        "None yet: seqd models evaluate topics@2 --data FILE",
        "",
        "Speed, alone on a machine",
        "Not measured yet: seqd models show topics@2 --measure",
        "",
        "In service",
        "Never so far. To change that: seqd models promote topics@2",
    ]
    assert "not written down: it is a starter" in out


def test_a_card_tells_data_origin_size_speed_and_who_put_it_in_service(capsys):
    learnt = {"classes": {"sport": 2, "politics": 1}, "records": 5, "other_labelled": 1}
    origin = VersionOrigin(
        worker="cpu:0@lab-1", slot="cpu:0", attempts=3, continues="job-0", in_service=1
    )
    manifest = a_manifest(
        data=a_manifest().data.model_copy(update=learnt), origin=origin, job_id="job-1"
    )
    changes = (
        ServiceChange(at_ms=1, from_version=1, to_version=2, by="ada@lab", why="more data"),
        ServiceChange(at_ms=2, from_version=2, to_version=1, by="bob@lab"),
    )
    card = a_card(
        manifest, speeds=(A_SPEED,), history=changes, numbers={"weights.safetensors": 1_234}
    )

    lines = [" ".join(line.split()) for line in printed(capsys, card).splitlines()]

    assert "made with imdb_lstm 0.3.0" in lines
    assert "data topics.jsonl, size 5, sha256 111111111111" in lines
    assert (
        "classes sport 2, politics 1, 1 record of classes that are not counted, 1 without a label"
    ) in lines
    assert (
        "came from trained by worker cpu:0@lab-1, resumed 2 times; gone on from a checkpoint of "
        "job job-0"
    ) in lines
    assert "in service then topics@1" in lines
    assert "size 3.0 kB in 1 file: weights.safetensors (3.0 kB, 1,234 numbers)" in lines
    assert "classify 50 texts/s 5,000 characters/s lab, cpu:0, 2 threads" in lines
    assert "lab: A Processor" in lines
    assert [line.partition("  ")[2] or line.split(" ", 2)[2] for line in lines[-2:]] == [
        "in, after topics@1, by ada@lab: more data",
        "out, topics@1 came, by bob@lab",
    ]


def test_the_newest_evaluation_stands_in_full_below_a_list_of_all(capsys):
    other = DataFingerprint(description="older.jsonl", records=4, sha256="5" * 64)
    card = a_card(a_manifest(), evaluations=(an_evaluation(data=other), an_evaluation()))

    out = printed(capsys, card)

    assert out.index("test.jsonl") < out.index("older.jsonl")
    assert "accuracy 75.00% (50.00-90.00)" in out
    assert "Evaluated on test.jsonl\n" in out
    assert "accuracy  75.00%  (95%: 50.00% to 90.00%)\n" in out


def test_no_name_from_outside_writes_a_line_of_its_own(capsys):
    hostile = "a\nIn service\x1b[2J"
    data = DataFingerprint(description=hostile, records=4, sha256="1" * 64, classes={hostile: 4})
    change = ServiceChange(at_ms=1, to_version=2, by=hostile, why=hostile)
    evaluation = an_evaluation(label=hostile, data=data, by=hostile)
    manifest = a_manifest(data=data)

    out = printed(capsys, a_card(manifest, evaluations=(evaluation,), history=(change,)))

    assert out.splitlines().count("In service") == 1
    assert not [line for line in out.splitlines() if line.startswith("In service\\x1b")]
    assert "\x1b" not in out


def test_of_many_classes_the_most_frequent_mistakes_are_listed(capsys):
    out = printed(capsys, a_card(a_manifest(), evaluations=(an_evaluation(classes=20),)))

    assert "Most frequent mistakes" in out
    assert "truth \\ predicted" not in out


@pytest.mark.parametrize("classes", [2, 8, 20])
def test_a_card_fits_a_terminal_of_80_columns(capsys, monkeypatch, classes):
    for name, value in [("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "80")]:
        monkeypatch.setenv(name, value)
    evaluation = an_evaluation(classes, label="a class with a name of many words, the ")
    change = ServiceChange(at_ms=1, to_version=2, by="ada@lab", why="a long reason, " * 20)
    card = a_card(a_manifest(), evaluations=(evaluation,), speeds=(A_SPEED,), history=(change,))

    out = printed(capsys, card)

    long = [line for line in ESCAPES.sub("", out).splitlines() if len(line.rstrip()) > 80]
    assert long == []
    assert "words words" in out  # there is room for the text of an example


def test_a_text_that_was_evaluated_has_an_interval_and_a_sample_on_the_card(capsys, tmp_path):
    path = tmp_path / "sea.txt"
    path.write_text("".join(f"the sea is calm on day {n}, and so are we. " for n in range(300)))

    evaluated = here(capsys, "models", "evaluate", "markov@0", "--data", str(path))
    shown = here(capsys, "models", "show", "markov@0", "--local")
    as_json = here(capsys, "models", "show", "markov@0", "--local", "--json")

    assert evaluated.out.endswith("Kept with the version: seqd models show markov@0\n")
    assert re.search(r"bits per char +[0-9.]+  \(95%: [0-9.]+ to [0-9.]+\)\n", shown.out)
    assert "it continues  the sea is calm on day 0, and so" in shown.out
    card = ModelCard.model_validate_json(json.dumps(json.loads(as_json.out)["card"]))
    (kept,) = card.evaluations
    bits = kept.metrics["bits_per_char"]
    assert bits.low is not None and bits.high is not None
    assert bits.low < bits.value < bits.high
    assert (kept.task, kept.items) == ("generate", len(path.read_text()))
    assert kept.sample is not None and kept.sample.text


def test_the_speed_is_measured_where_asked_and_stays_on_the_card(capsys):
    measured = here(capsys, "models", "show", "markov@0", "--measure", "--json")
    later = here(capsys, "models", "show", "markov@0", "--local", "--json")

    assert measured.status == 0, measured.err
    (speed,) = json.loads(measured.out)["card"]["speeds"]
    assert speed["task"] == "generate"
    assert json.loads(later.out)["card"]["speeds"] == [speed]
