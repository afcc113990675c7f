"""`seqd bench presets`: how good each training preset is, over several seeds, and what it costs.

Every preset is trained once a seed, on the same file, by a training slot that has all cores; the
versions are then measured on a file that none of them has seen, by the serving slots. Nothing here
chooses anything by that file: it is read when all is trained.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from seqd.bench.daemon import BenchDaemon, bench_daemon
from seqd.bench.machine import load_average, this_machine
from seqd.bench.report import Report, Row, Section
from seqd.errors import InvalidRequest, SeqdError, UnknownModel
from seqd.evaluation import Evaluation, EvaluationReport
from seqd.inputs import FileDataset
from seqd_schemas import Classification, FileSource, ItemSuccess

Say = Callable[[str], None]

#: Seconds after which a training is given up.
_TRAINING_S: Final = 3_600.0

#: Times that the test file is classified for the pace, by each version.
_PACE_RUNS: Final = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    model: str
    #: None of them means all that the model has.
    presets: tuple[str, ...]
    seeds: tuple[int, ...]
    train: Path
    test: Path
    slots: str


@dataclass(frozen=True, slots=True)
class Trained:
    """One version."""

    preset: str
    seed: int
    version: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What one version is worth."""

    accuracy: float
    log_loss: float
    calibration_error: float
    items_per_s: float


def bench_presets(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens."""
    report = _new_report(asked)
    with tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name:
        data_dir = Path(name) / "data"
        with bench_daemon(data_dir, "train@cpu") as daemon:
            asked = replace(asked, presets=_presets(daemon, asked))
            report.setup["presets"] = ", ".join(asked.presets)
            trained = _train_all(daemon, asked, say)
        with bench_daemon(data_dir, asked.slots) as daemon:
            for preset in asked.presets:
                report.sections.append(
                    _section(
                        preset,
                        [
                            (one, _measure(daemon, asked, one, say))
                            for one in trained
                            if one.preset == preset
                        ],
                    )
                )
    report.load_after = load_average()
    return report


def _new_report(asked: Asked) -> Report:
    return Report(
        bench="presets",
        what=f"each preset of {asked.model}, trained anew with each seed, on data it has not seen",
        machine=this_machine(),
        setup={
            "seeds": ", ".join(map(str, asked.seeds)),
            "trained on": asked.train.name,
            "measured on": asked.test.name,
            "slots": f"train@cpu, then {asked.slots}",
        },
        load_before=load_average(),
    )


def _presets(daemon: BenchDaemon, asked: Asked) -> tuple[str, ...]:
    """Give the presets that were asked for, or all. Raises InvalidRequest, UnknownModel."""
    with daemon.client() as client:
        entry = client.catalog().get(asked.model)
    if entry is None:
        raise UnknownModel(f"the workers publish no model {asked.model!r}: see `seqd plugins list`")
    unknown = [name for name in asked.presets if name not in entry.presets]
    if unknown or not entry.presets:
        raise InvalidRequest(
            f"{asked.model} has no preset {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(entry.presets) or 'none'}"
        )
    return asked.presets or tuple(entry.presets)


def _train_all(daemon: BenchDaemon, asked: Asked, say: Say) -> list[Trained]:
    """Train one after the other: two at once would share the cores, and each take longer."""
    with daemon.client() as client:
        trained = []
        for seed in asked.seeds:
            for preset in asked.presets:
                say(f"training {preset} with seed {seed}")
                job = client.train(
                    FileSource(path=str(asked.train.absolute())),
                    model=asked.model,
                    preset=preset,
                    parameters={"seed": seed},
                )
                result = job.wait(_TRAINING_S).training
                assert result is not None, "a training that completed has made a version"
                trained.append(Trained(preset, seed, result.version, result.seconds))
        return trained


def _measure(daemon: BenchDaemon, asked: Asked, one: Trained, say: Say) -> Measured:
    say(f"measuring {one.preset} with seed {one.seed}")
    model = f"{asked.model}@{one.version}"
    report = _evaluated(daemon, asked.test, model)
    if report.log_loss is None:
        raise SeqdError(f"{asked.model} tells no probabilities of its classes, so it has no loss.")
    return Measured(
        report.accuracy,
        report.log_loss,
        report.calibration_error,
        statistics.median(_pace(daemon, asked, model) for _ in range(_PACE_RUNS)),
    )


def _evaluated(daemon: BenchDaemon, test: Path, model: str) -> EvaluationReport:
    """Do what `seqd models evaluate` does, here where its report is at hand."""
    records = list(FileDataset(FileSource(path=str(test.absolute()))).records())
    counted = Evaluation()
    with daemon.client() as client:
        texts = [record.text for record in records]
        job = client.classify(texts, model=model, parameters={"probabilities": True})
        for record, result in zip(records, job.results(), strict=True):
            output = result.output if isinstance(result, ItemSuccess) else None
            counted.add(record.label, output if isinstance(output, Classification) else None)
    return counted.report()


def _pace(daemon: BenchDaemon, asked: Asked, model: str) -> float:
    """Classify the file, and give items a second between the job's first claim and its end."""
    out = daemon.data_dir / "results.jsonl"
    daemon.command("classify", str(asked.test), "--model", model, "--out", str(out), allowed=(0, 2))
    with daemon.client() as client:
        (record,) = client.jobs(1)
    assert record.ended_at_ms is not None and record.started_at_ms is not None
    return record.counts.total / ((record.ended_at_ms - record.started_at_ms) / 1000)


def _section(preset: str, seeds: Sequence[tuple[Trained, Measured]]) -> Section:
    """Sum a preset's seeds up; the mean is what a preset is judged by."""
    accuracies = [found.accuracy for _, found in seeds]
    rows = [
        Row("accuracy", "share", accuracies),
        Row("accuracy, mean over the seeds", "share", [statistics.fmean(accuracies)]),
        Row("log loss, nats", "times", [found.log_loss for _, found in seeds]),
        Row("calibration error", "share", [found.calibration_error for _, found in seeds]),
        Row("training", "s", [one.seconds for one, _ in seeds]),
        Row("items classified", "a second", [found.items_per_s for _, found in seeds]),
    ]
    return Section(preset, rows)
