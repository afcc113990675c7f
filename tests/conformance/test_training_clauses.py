"""Clauses D1, S1, A1 and C1 for train, on every model that can be trained."""

import os
import sys
from pathlib import Path

import pytest

from conformance.conftest import small_parameters, tiny_data, train
from seqd.errors import Stopped
from seqd.testing import MemoryCheckpoints, MemoryTrainContext, train_to_artifact

pytestmark = [pytest.mark.network, pytest.mark.smoke]

#: What a checkpoint that is not whole brings about.
WRITES_ELSE = (
    "C1: a training that goes on from its checkpoint writes other files than an undisturbed one; "
    "save all that the next step reads: weights, every variable of the optimizer, running means"
)
REPORTS_ELSE = (
    "C1: a training that goes on from its checkpoint reports other figures than an undisturbed "
    "one; save the running means of the epoch too"
)

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod"}


class WriteWatch:
    """Notes every path that Python code writes to while it is switched on.

    An audit hook cannot be taken away again, so there is one, which is quiet when off. Cannot
    see what a C library opens by itself.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.paths: list[Path] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.is_on:
            return
        writes = event in CHANGES or (event == "open" and bool(arguments[2] & WRITING))
        if writes and isinstance(arguments[0], str | os.PathLike):
            self.paths.append(Path(arguments[0]).absolute())

    def __enter__(self):
        self.paths = []
        self.is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_on = False


@pytest.fixture(scope="session")
def write_watch():
    return WriteWatch()


def test_d1_two_trainings_of_one_seed_make_the_same_files(trainable, tmp_path):
    parameters = small_parameters(trainable, "train")

    first = train_to_artifact(trainable, parameters, tiny_data(), tmp_path / "first")
    second = train_to_artifact(trainable, parameters, tiny_data(), tmp_path / "second")

    assert first.manifest.files == second.manifest.files, (
        "D1: two trainings with one seed write different files; take all chance from the seed, and "
        "write no time and no path"
    )
    assert first.manifest.metrics == second.manifest.metrics, (
        "D1: two trainings with one seed give different metrics; leave times and speeds out"
    )


def test_s1_a_training_that_is_asked_to_stop_raises_stopped_within_a_step(trainable, tmp_path):
    undisturbed = train(trainable, tmp_path / "undisturbed")
    half = undisturbed.stop_questions // 2
    context = MemoryTrainContext(tmp_path / "stopped", tiny_data(), stop_after=half)

    assert undisturbed.stop_questions >= 1, (
        "S1: train never asks context.stop_requested(); ask before each step"
    )
    try:
        trainable.train(small_parameters(trainable, "train"), context)
    except Stopped:
        pass
    else:
        pytest.fail("S1: train goes on to its end though a stop is requested; raise Stopped")

    assert context.stop_questions <= half + 2, (
        f"S1: train asks {context.stop_questions - half} times more once a stop is requested; "
        "raise Stopped at once"
    )
    assert len(context.steps) <= len(undisturbed.steps)


def test_a1_a_training_writes_only_into_its_folder(trainable, tmp_path, write_watch, monkeypatch):
    train(trainable, tmp_path / "warm")  # the first import of Keras writes its own settings
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    with write_watch:
        context = train(trainable, tmp_path / "watched")

    made = [path for path in write_watch.paths if "__pycache__" not in path.parts]
    strays = [
        path
        for path in made
        if path != Path(os.devnull)
        and not path.is_relative_to(context.folder)
        and path != context.folder.parent  # made by the test's own context
    ]
    assert any(path.is_relative_to(context.folder) for path in made), (
        "A1: train writes nothing into context.folder, so the version would be empty"
    )
    assert not strays, f"A1: train writes to {strays}; write into context.folder only"
    assert list((tmp_path / "elsewhere").iterdir()) == [], (
        "A1: train leaves files in the working directory; write into context.folder only"
    )


def test_a1_a_training_leaves_only_files_that_a_store_takes(trainable, tmp_path):
    context = train(trainable, tmp_path)

    suffixes = {path.suffix for path in context.folder.rglob("*") if path.is_file()}
    assert suffixes, "A1: train leaves no files in context.folder"
    assert suffixes <= {".safetensors", ".json"}, (
        f"A1: train leaves files {sorted(suffixes)}; allowed: arrays as .safetensors, the rest as "
        ".json, formats that run no code when they are read"
    )


class KilledError(BaseException):
    """The end of a worker: nothing that a plugin catches, and no time to save."""


class KilledContext(MemoryTrainContext):
    """A training whose worker dies in a step."""

    def __init__(self, *arguments, dies_at: int, **more) -> None:
        super().__init__(*arguments, **more)
        self.dies_at = dies_at

    def step(self, done: int, total: int, **metrics: float) -> None:
        super().step(done, total, **metrics)
        if len(self.steps) == self.dies_at:
            raise KilledError


def told(*contexts):
    """Return the figures of each epoch that was told; one that was told twice has one set."""
    figures = {}
    for report in (report for context in contexts for report in context.epochs):
        assert figures.setdefault(report.epoch, report.metrics) == report.metrics, (
            f"C1: epoch {report.epoch} is told twice, with different figures"
        )
    return figures


def curve_of(context):
    """Return the epochs that a manifest would keep, without their seconds."""
    return [(one.epoch, one.metrics) for one in context.curve.epochs]


def files_of(context):
    return {path.name: path.read_bytes() for path in context.folder.iterdir()}


def test_c1_a_training_that_is_stopped_again_and_again_ends_like_an_undisturbed_one(
    trainable, tmp_path
):
    undisturbed = train(trainable, tmp_path / "undisturbed")
    parameters, checkpoints, contexts = (
        small_parameters(trainable, "train"),
        MemoryCheckpoints(),
        [],
    )
    questions = undisturbed.stop_questions // 3 or 1

    for attempt in range(9):
        # More of them each time, so that one that cannot go on comes to its end as well.
        stop_after = questions << attempt // 3
        context = MemoryTrainContext(
            tmp_path / str(attempt), tiny_data(), checkpoints=checkpoints, stop_after=stop_after
        )
        contexts.append(context)
        try:
            trainable.train(parameters, context)
        except Stopped:
            continue
        break

    assert len(contexts) >= 3 or undisturbed.stop_questions < 3
    assert files_of(contexts[-1]) == files_of(undisturbed), WRITES_ELSE
    assert told(*contexts) == told(undisturbed), REPORTS_ELSE


def test_c1_a_training_whose_worker_is_killed_ends_like_an_undisturbed_one(trainable, tmp_path):
    undisturbed = train(trainable, tmp_path / "undisturbed")
    parameters, checkpoints = small_parameters(trainable, "train"), MemoryCheckpoints(due_every=2)
    dies_at = len(undisturbed.steps) * 2 // 3
    killed = KilledContext(
        tmp_path / "killed", tiny_data(), checkpoints=checkpoints, dies_at=dies_at
    )
    resumed = MemoryTrainContext(tmp_path / "resumed", tiny_data(), checkpoints=checkpoints)

    if dies_at:
        with pytest.raises(KilledError):
            trainable.train(parameters, killed)
    saved = checkpoints.saves
    trainable.train(parameters, resumed)

    assert files_of(resumed) == files_of(undisturbed), WRITES_ELSE
    assert told(killed, resumed) == told(undisturbed), REPORTS_ELSE
    assert curve_of(resumed) == curve_of(undisturbed), (
        "C1: a training reports an epoch before it saves the checkpoint that the next begins from"
    )
    if saved:
        assert len(resumed.steps) < len(undisturbed.steps), (
            "C1: a training whose checkpoints were saved begins at its first step; take what "
            "context.checkpoints.load() gives"
        )
