"""Checks of a training: what it reads and writes, that it stops, resumes and repeats itself."""

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from seqd.errors import Stopped, VersionDiffers
from seqd.kinds import TRAIN
from seqd.models.agreement import SAVE_WHAT_IS_TRAINED, ask_trained, check_saved
from seqd.models.version_files import VersionDraft, no_data, refusal_of
from seqd.testing.checks.catalog import Checks
from seqd.testing.checks.examples import author_method
from seqd.testing.checks.failures import CheckFailed, DoesNotApply, stopped
from seqd.testing.checks.importing import AuditWatch
from seqd.testing.checks.subjects import Training, tiny_data
from seqd.testing.contexts import MemoryCheckpoints, MemoryTrainContext

CHECKS: Checks[Training] = Checks()

#: A training takes as many times the usual limit: it may compile, and load a large library.
_SLOW: Final = 10.0

_WRITES_ELSE = "it writes other files than an undisturbed training"
_SAVE_ALL = (
    "Save all that the next step reads: weights, every variable of the optimizer, running means of "
    "the epoch."
)

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES: Final = frozenset(
    {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod"}
)


@CHECKS.add("P1", "A training on a few texts comes to its end.", limit_factor=_SLOW)
def trains(training: Training) -> None:
    """Train on the tiny data."""
    assert training.undisturbed is not None


@CHECKS.add("A2", "`train` leaves files that a store takes.", limit_factor=_SLOW)
def files_for_a_store(training: Training) -> None:
    """Look at the files of the new version."""
    folder = training.undisturbed.folder
    paths = sorted(folder.rglob("*"))
    if not paths:
        raise CheckFailed(
            "it writes nothing into context.folder, so the version would be empty",
            "Write the version's files into context.folder.",
            _train(training),
        )
    for path in paths:
        if refusal := refusal_of(path):
            raise CheckFailed(
                f"it leaves {path.relative_to(folder)}: {refusal}",
                "Write arrays as .safetensors, all else as .json: formats that run no code.",
                _train(training),
            )


@CHECKS.add(
    "V1", "What is saved gives the same outcomes as what was trained.",
    limit_factor=_SLOW,
)  # fmt: skip
def saves_what_it_trained(training: Training) -> None:
    """Train, and hold what is loaded of its files against the model that was trained."""
    context = training.context("saved")
    trained = training.trained(context)
    answers = ask_trained(training.model, trained, context)
    if not answers.by_task:
        raise DoesNotApply("no outcomes to compare: give TrainedModel its in_memory")
    draft = VersionDraft(
        model=training.model.name,
        plugin_version="0",
        metrics=trained.metrics,
        data=no_data("a check"),
    )
    try:
        check_saved(context.folder, draft, answers)
    except VersionDiffers as error:
        raise CheckFailed(
            str(error).partition(". ")[0],
            SAVE_WHAT_IS_TRAINED,
            author_method(training.model, "load"),
        ) from error


@CHECKS.add("A3", "`train` reads its data.", limit_factor=_SLOW)
def reads_its_data(training: Training) -> None:
    """Train on data that know whether they were read."""
    data = tiny_data(training.examples)
    training.train("read", training.context("read", data=data))
    if not data.was_read:
        raise CheckFailed(
            "it never reads context.data",
            "Learn from context.data.records(), text() or segments().",
            _train(training),
        )


@CHECKS.add("A1", "`train` writes only under context.folder.", limit_factor=_SLOW)
def writes_only_its_folder(training: Training) -> None:
    """Train in an empty working folder, with an audit hook on what is written."""
    assert training.undisturbed is not None  # the first import of a library writes its settings
    elsewhere = training.folder / "elsewhere"
    elsewhere.mkdir()
    before = Path.cwd()
    os.chdir(elsewhere)
    try:
        with AuditWatch(_written) as watch:
            context = training.train("watched")
    finally:
        os.chdir(before)
    ours = (context.folder, context.folder.parent, context.folder.parent.parent)
    strays = [
        path
        for path in map(Path, watch.found)
        if path != Path(os.devnull)
        and "__pycache__" not in path.parts
        and not path.is_relative_to(context.folder)
        and path not in ours
    ]
    strays += list(elsewhere.iterdir())
    if strays:
        raise CheckFailed(
            f"it writes {strays[0]}", "Write into context.folder only.", _train(training)
        )


def _written(event: str, arguments: tuple[object, ...]) -> str | None:
    """Return the path that an audit event writes to; None where it writes none."""
    writes = event in _CHANGES or (
        event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
    )
    is_path = writes and isinstance(arguments[0], str | os.PathLike)
    return str(Path(str(arguments[0])).absolute()) if is_path else None


@CHECKS.add("D1", "Two trainings with one seed write the same files.", limit_factor=_SLOW)
def trains_alike(training: Training) -> None:
    """Train twice, and compare files and metrics."""
    first, second = training.undisturbed, training.train("again")
    if files_of(first) != files_of(second):
        raise CheckFailed(
            f"the second training writes another {_differing(first, second)}",
            "Take all chance from the seed, and write no time and no path.",
            _train(training),
        )
    if told([first]) != told([second]):
        raise CheckFailed(
            "the second training reports other metrics of its epochs",
            "Take all chance from the seed, and leave times and speeds out of the metrics.",
            _train(training),
        )


def _differing(first: MemoryTrainContext, second: MemoryTrainContext) -> str:
    one, other = files_of(first), files_of(second)
    return next(name for name in sorted(one | other) if one.get(name) != other.get(name))


@CHECKS.add(
    "S1", "A training that is asked to stop raises Stopped in one step.", limit_factor=_SLOW
)
def stops(training: Training) -> None:
    """Request a stop half-way."""
    asked = training.undisturbed.stop_questions
    if asked < 1:
        raise CheckFailed(
            "train never asks context.stop_requested()",
            "Ask before each step: `if context.stop_requested(): raise Stopped`.",
            _train(training),
        )
    half = asked // 2
    context = training.context("stopped", stop_after=half)
    with stopped(
        "train goes on to its end though a stop is requested",
        "Raise Stopped as soon as context.stop_requested() is true.",
        _train(training),
    ):
        training.train("stopped", context)
    if context.stop_questions > half + 2:
        raise CheckFailed(
            f"train asks {context.stop_questions - half} times more once a stop is requested",
            "Save a checkpoint, and raise Stopped at once.",
            _train(training),
        )


@CHECKS.add(
    "C1", "A training that is stopped again and again ends like an undisturbed one.",
    limit_factor=_SLOW,
)  # fmt: skip
def resumes_after_stops(training: Training) -> None:
    """Stop a training up to nine times, each time later, and compare what it leaves."""
    checkpoints, contexts = MemoryCheckpoints(), list[MemoryTrainContext]()
    questions = training.undisturbed.stop_questions // 3 or 1
    for attempt in range(9):
        # More of them each time, so that one that cannot resume comes to its end as well.
        context = training.context(
            f"attempt-{attempt}", stop_after=questions << attempt // 3, checkpoints=checkpoints
        )
        contexts.append(context)
        try:
            training.train("", context)
        except Stopped:
            continue
        break
    _check_like_undisturbed(training, contexts)


@CHECKS.add(
    "C2", "A training that is killed resumes from its checkpoint, to the same bytes.",
    limit_factor=_SLOW,
)  # fmt: skip
def resumes_after_a_kill(training: Training) -> None:
    """Kill a training in a step that is drawn, and run it again with its checkpoints."""
    steps = len(training.undisturbed.steps)
    if steps < 2:
        raise DoesNotApply("it reports no steps")
    checkpoints = MemoryCheckpoints(due_every=2)
    dies_at = random.Random(training.model.name).randint(max(1, steps // 3), steps - 1)
    killed = KilledContext(
        training.folder / "killed" / "version",
        tiny_data(training.examples),
        checkpoints=checkpoints,
    )
    killed.dies_at = dies_at
    try:
        training.train("", killed)
    except KilledError:
        pass
    else:
        raise CheckFailed(
            f"it goes on after an exception in context.step() {dies_at}",
            "Catch no BaseException: let what the context raises pass.",
            _train(training),
        )
    saved = checkpoints.saves
    resumed = training.context("resumed", checkpoints=checkpoints)
    training.train("", resumed)
    _check_like_undisturbed(training, [killed, resumed], f"killed in step {dies_at}: ")
    if saved and len(resumed.steps) >= steps:
        raise CheckFailed(
            "a training whose checkpoints were saved begins at its first step",
            "Go on from what context.checkpoints.load() returns.",
            _train(training),
        )


class KilledError(BaseException):
    """The end of a worker: nothing that a plugin catches, and no time to save."""


class KilledContext(MemoryTrainContext):
    """A training whose worker dies in a step."""

    dies_at = 0

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Report a step, or die in it."""
        super().step(done, total, **metrics)
        if len(self.steps) == self.dies_at:
            raise KilledError


def _check_like_undisturbed(
    training: Training, contexts: Sequence[MemoryTrainContext], when: str = ""
) -> None:
    last, undisturbed = contexts[-1], training.undisturbed
    if files_of(last) != files_of(undisturbed):
        raise CheckFailed(
            f"{when}{_WRITES_ELSE}: {_differing(last, undisturbed)}", _SAVE_ALL, _train(training)
        )
    if told(contexts) != told([undisturbed]):
        raise CheckFailed(
            f"{when}it reports other metrics of its epochs than an undisturbed training",
            _SAVE_ALL,
            _train(training),
        )
    if _curve_of(last) != _curve_of(undisturbed):
        raise CheckFailed(
            f"{when}the version's learning curve is another than that of an undisturbed training",
            "Report an epoch before you save the checkpoint that the next one begins from.",
            _train(training),
        )


def told(contexts: Sequence[MemoryTrainContext]) -> dict[int, Mapping[str, float]]:
    """Return the metrics of each epoch that was reported; one that was twice has one set.

    Raises CheckFailed where they differ.
    """
    metrics: dict[int, Mapping[str, float]] = {}
    for report in (report for context in contexts for report in context.epochs):
        if metrics.setdefault(report.epoch, report.metrics) != report.metrics:
            raise CheckFailed(
                f"epoch {report.epoch} is reported twice, with different metrics", _SAVE_ALL
            )
    return metrics


def _curve_of(context: MemoryTrainContext) -> list[tuple[int, Mapping[str, float]]]:
    """Return the epochs that a manifest would keep, without their seconds."""
    return [(one.epoch, one.metrics) for one in context.curve.epochs]


def files_of(context: MemoryTrainContext) -> dict[str, bytes]:
    """Return the files of a new version by their names."""
    return {path.name: path.read_bytes() for path in context.folder.iterdir() if path.is_file()}


def _train(training: Training) -> object:
    return author_method(training.model, TRAIN)
