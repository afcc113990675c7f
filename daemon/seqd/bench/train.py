"""`seqd bench train`: seconds an epoch of the preset `tutorial` beside the tutorial's own script.

seqd's side is a training job on a training slot; the script's is `fit` on reviews padded to one
length. Both train on the same reviews with all cores, in turn, and validate on the same ones.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from seqd.bench.daemon import BenchDaemon, bench_daemon, clean_environment
from seqd.bench.extras import need_tensorflow
from seqd.bench.machine import load_average, this_machine
from seqd.bench.peer import Peer
from seqd.bench.report import Report, Row, Section
from seqd.bench.rounds import in_turn, ratios
from seqd.bench.texts import Reviews
from seqd.bench.tutorial import MODEL, PRESET, make_version, tutorial_of
from seqd.errors import InvalidInput, SeqdError
from seqd.slots import parse_slots
from seqd_schemas import Epoch, FileSource

Say = Callable[[str], None]

SLOT = "train@cpu"
#: Reviews of the training that warms the worker up: it imports TensorFlow on its first job.
_WARM_UP = 200

OURS, THEIRS = "seqd", "script"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    reviews: Reviews
    held_out: Reviews
    rounds: int
    #: Epochs of a round, at least 2: between the ends of two lies an epoch with its validation.
    epochs: int


@dataclass
class _Times:
    """What the rounds have shown, in seconds; a figure for each epoch, or for each job."""

    epoch_s: list[float] = field(default_factory=list)
    with_validation_s: list[float] = field(default_factory=list)
    job_s: list[float] = field(default_factory=list)


def bench_train(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens.

    Raises InvalidSettings without TensorFlow, and InvalidInput for other than two labels.
    """
    need_tensorflow("train")
    _need_two_labels(asked.reviews)
    report = _new_report(asked)
    ours, theirs = _Times(), _Times()
    with tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files = (
            asked.reviews.write(folder / "reviews.jsonl"),
            asked.held_out.write(folder / "held-out.jsonl"),
        )
        environment = clean_environment(parse_slots(SLOT))
        with (
            bench_daemon(folder / "data", SLOT) as daemon,
            Peer("seqd.bench.peers.keras_training", folder, environment) as script,
        ):
            _prepare(daemon, script, asked, files, report, say)
            figures = in_turn(
                {
                    OURS: lambda: _train(daemon, asked, files, ours),
                    THEIRS: lambda: _run_script(script, asked, theirs),
                },
                asked.rounds,
                lambda number: say(f"round {number} of {asked.rounds}"),
            )
        report.load_after = load_average()
    _fill(report, asked, ours, theirs, figures[OURS], figures[THEIRS])
    return report


def _new_report(asked: Asked) -> Report:
    return Report(
        bench="train",
        what=f"{MODEL}, preset {PRESET}, beside the tutorial's script, all cores a side",
        machine=this_machine(),
        setup={
            "rounds in turn": asked.rounds,
            "epochs a round": asked.epochs,
            "slot": SLOT,
            "reviews": len(asked.reviews),
            "reviews from": asked.reviews.source,
            "validated on": len(asked.held_out),
            "validated on reviews from": asked.held_out.source,
        },
        load_before=load_average(),
    )


def _need_two_labels(reviews: Reviews) -> None:
    labels = sorted({label for _, label in reviews.rows})
    if len(labels) != 2:
        raise InvalidInput(
            f"{reviews.source} has {len(labels)} labels ({', '.join(labels[:5])}); allowed: two, "
            "as the tutorial's network has one output. Name another file."
        )


def _prepare(
    daemon: BenchDaemon,
    script: Peer,
    asked: Asked,
    files: tuple[Path, Path],
    report: Report,
    say: Say,
) -> None:
    """Import, build and warm up, on both sides."""
    say("warming up")
    tutorial = tutorial_of(daemon)
    report.setup["batch"] = tutorial.batch
    few = asked.reviews.first(_WARM_UP)
    make_version(daemon, few.write(files[0].with_name("few.jsonl")))
    script.ask(
        "prepare",
        reviews=str(files[0]),
        held_out=str(files[1]),
        batch=tutorial.batch,
        **tutorial.sizes,
    )


def _train(daemon: BenchDaemon, asked: Asked, files: tuple[Path, Path], times: _Times) -> float:
    """Train a version; gives the mean of its epochs, in seconds."""
    reviews, held_out = (FileSource(path=str(path)) for path in files)
    with daemon.client() as client:
        job = client.train(
            reviews,
            model=MODEL,
            preset=PRESET,
            held_out=held_out,
            parameters={"epochs": asked.epochs},
        )
        epochs = [event for event in job.events() if isinstance(event, Epoch)]
        record = job.wait()
    if len(epochs) != asked.epochs:
        raise SeqdError(f"The training told of {len(epochs)} epochs, {asked.epochs} were due.")
    times.epoch_s += [epoch.seconds for epoch in epochs]
    ends_s = [epoch.at_ms / 1000 for epoch in epochs]
    times.with_validation_s += [later - one for one, later in pairwise(ends_s)]
    times.job_s.append(((record.ended_at_ms or 0) - record.created_at_ms) / 1000)
    return sum(epoch.seconds for epoch in epochs) / len(epochs)


def _run_script(script: Peer, asked: Asked, times: _Times) -> float:
    """Let the script train as long; gives the mean of its epochs, in seconds."""
    answer = script.ask("run", epochs=asked.epochs)
    times.epoch_s += answer["epoch_s"]
    times.with_validation_s += answer["with_validation_s"]
    return float(sum(answer["epoch_s"]) / len(answer["epoch_s"]))


def _fill(
    report: Report,
    asked: Asked,
    ours: _Times,
    theirs: _Times,
    our_means: list[float],
    their_means: list[float],
) -> None:
    report.sections += [
        Section(
            "seconds an epoch",
            [
                Row("seqd, preset tutorial", "s", ours.epoch_s),
                Row("the tutorial's script", "s", theirs.epoch_s),
                Row("seqd, with validation and checkpoint", "s", ours.with_validation_s),
                Row("the tutorial's script, with validation", "s", theirs.with_validation_s),
            ],
        ),
        Section(
            "how many times as fast",
            [Row("seqd / script", "times", ratios(their_means, our_means))],
        ),
        Section(
            f"a whole training job of {asked.epochs} epochs",
            [Row("from handing in to the version in the store", "s", ours.job_s)],
        ),
    ]
