"""A plugin for tests of the worker: no Keras, no NumPy, and it misbehaves on command.

Model `echo` labels a text with itself, and continues a prompt with itself backwards, or with as
many random letters as it is asked for, as slowly and delta by delta as a model that writes. A text
that is one of the words in `TRICKS` does what a broken plugin or a hard crash would do, so that a
test can put the fault on one item; `few`, `wrong`, `nan`, `subclass`, `batch` are tricks too, and
`held` takes until the folder of data has a file `cured`. Its training writes one small file, as
slowly as the test asks for, makes a checkpoint after each epoch, and keeps a diary that a test can
count steps in; one that is `held` begins no fourth step before that.

A worker whose folder of data holds a file `sick`, or `sick-` with its name, is sick: each line
names a place (load, warm_up, classify, generate, train) and what is raised there (`SICKNESSES`).

A worker whose folder of data holds a file `dies` kills itself at the step that it names, once: an
event of Python's audit, such as `os.link`, and how the name begins that it is about.

A version whose file has a `prefix` begins each label and text with it. One with a `trick` does that
for each text that it labels; `bad` is one too, and `load` breaks it when it is loaded.
"""

import errno
import json
import os
import random
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from seqd.errors import ArtifactDamaged, InvalidData, Stopped
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    RunContext,
    TaskSpec,
    TrainContext,
    TrainedModel,
    WorkItem,
    hookimpl,
)
from seqd_schemas import (
    Classification,
    GeneratedSample,
    Generation,
    ItemError,
    ItemErrorCode,
    OutputBound,
)


def _die_once_at_a_step() -> None:
    file = Path(os.environ.get("SEQD_DATA_DIR", ""), "dies")
    if not file.is_file():
        return
    step, begin = file.read_text().split()

    def die(event: str, arguments: tuple[object, ...]) -> None:
        if event == step and str(arguments[0]).startswith(begin) and file.exists():
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)


_die_once_at_a_step()

# A plugin that is slow to import where it computes, as one with a big library is.
if "FORKED_BY_MULTIPROCESSING" in os.environ:
    time.sleep(float(os.environ.get("LIGHT_IMPORT_S", "0")))

#: Items in one unit, and prompts.
UNIT_ITEMS = 8
UNIT_PROMPTS = 64

LETTERS = "abcdefghij\u00e9\u4e2d\U0001f600 \n"

WEIGHTS = "echo.json"


class EchoParameters(PluginParameters):
    delay_ms: float = Field(default=0, ge=0, le=60_000, description="Milliseconds an item takes.")
    note: str = Field(default="", max_length=64, description="Tells groups of jobs apart.")
    calls: str = Field(default="", max_length=256, description="File to note each item in.")


class LabelParameters(EchoParameters):
    probabilities: bool = Field(default=False, description="Give each class's, where a text has.")


class WriteParameters(EchoParameters):
    """`delay_ms` is what a step takes, of all texts together."""

    length: int = Field(
        default=0, ge=0, le=1_000_000, description="Characters to write; 0: the prompt backwards."
    )
    step_chars: int = Field(default=8, ge=1, le=1_000_000, description="Characters of a step.")
    samples: int = Field(default=1, ge=1, le=16, description="Samples of each prompt.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Same seed, same texts.")


class TrainParameters(PluginParameters):
    epochs: int = Field(default=2, ge=1, le=1_000, description="Epochs.")
    step_ms: float = Field(default=0, ge=0, le=60_000, description="Milliseconds a step takes.")
    trick: str = Field(
        default="",
        max_length=16,
        description="bug, exit, quit, spin, nan, deaf, ballast, disk, held or nothing.",
    )
    diary: str = Field(default="", max_length=256, description="File to note each step in.")
    accuracy: float = Field(default=0, ge=0, le=1, description="Accuracy to claim, if any.")


class RichClassification(Classification):
    """An outcome that no result has room for."""

    language: str


def _raises(items: Sequence[WorkItem]) -> None:
    raise ValueError("this text was made to break the plugin")


def _exits(items: Sequence[WorkItem]) -> None:
    os._exit(9)


def _sleeps(items: Sequence[WorkItem]) -> None:
    time.sleep(600)


def _quits(items: Sequence[WorkItem]) -> None:
    sys.exit(3)


def _dies_of(number: signal.Signals) -> Callable[[Sequence[WorkItem]], None]:
    return lambda items: os.kill(os.getpid(), number)


def _holds_the_interpreter(items: Sequence[WorkItem]) -> None:
    # `re` keeps the interpreter's lock, and this takes years: no thread of this process runs.
    re.match("(a+)+$", "a" * 64 + "b")


def _holds_for_longer_than_a_lease(items: Sequence[WorkItem]) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    end_s = time.monotonic() + 4
    while time.monotonic() < end_s:
        pass
    sys.setswitchinterval(before)


def _throws(error: BaseException) -> Callable[[Sequence[WorkItem]], None]:
    def throw(items: Sequence[WorkItem]) -> None:
        raise error

    return throw


class Unreadable(Exception):
    """Has no text that can be read, and tries to end whoever asks for it."""

    def __str__(self) -> str:
        sys.exit(4)


def _spins(items: Sequence[WorkItem]) -> None:
    while True:
        pass


def _loops(context: RunContext) -> None:
    """Come to no end, and ask whether to stop all the time."""
    while not context.stop_requested():
        pass
    raise Stopped("asked to stop")


class CudaError(RuntimeError):
    """Named as the libraries of devices name theirs."""


#: What a sick worker raises; `nan` raises nothing and gives numbers that are none.
SICKNESSES: dict[str, Callable[[], BaseException]] = {
    "cuda": lambda: CudaError("CUDA error: an illegal memory access was encountered"),
    "bug": lambda: ValueError("this worker was made to raise for everything"),
    "memory": lambda: MemoryError("Unable to allocate 8 GiB"),
    "library": lambda: ModuleNotFoundError("No module named 'heavy'", name="heavy"),
    "disk": lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    "quit": lambda: SystemExit(3),
    "hang": lambda: time.sleep(600) or SystemExit(4),
}


def _be_sick(place: str) -> bool:
    """Raise what the worker is to raise there; return True where it is to give NaN."""
    gives_nan = False
    folder, worker = os.environ.get("SEQD_DATA_DIR"), os.environ.get("SEQD_WORKER", "")
    for name in ("sick", f"sick-{worker}") if folder else ():
        file = Path(folder or "") / name
        for line in file.read_text().splitlines() if file.exists() else ():
            where, what = line.split()
            if where == place and what != "nan":
                raise SICKNESSES[what]()
            gives_nan = gives_nan or (where, what) == (place, "nan")
    return gives_nan


def _is_cured() -> bool:
    return Path(os.environ["SEQD_DATA_DIR"], "cured").exists()


def _is_broken_until_cured(items: Sequence[WorkItem]) -> None:
    if not _is_cured():
        raise ValueError("this text breaks the plugin until it is cured")


def _wait_until_cured(context: RunContext) -> None:
    """Come to an end once the file `cured` is there, or when asked to stop."""
    while not _is_cured():
        if context.stop_requested():
            raise Stopped("asked to stop")
        time.sleep(0.01)


def _needs_memory(items: Sequence[WorkItem]) -> None:
    if len(items) > 2:
        raise MemoryError(f"no memory for {len(items)} items")


def _fills_the_device(items: Sequence[WorkItem]) -> None:
    """Take 256 MiB of a GPU for each item of the batch, as activations would."""
    import keras  # only `tests/gpu` asks for this

    blocks = keras.ops.ones((len(items), 64 * 2**20), dtype="float32")
    assert float(keras.ops.sum(blocks[:, 0])) == len(items)


def _takes_memory(items: Sequence[WorkItem]) -> None:
    """Take a gibibyte, which the control group of the worker is not to have."""
    held = [b"x" * 2**24 for _ in range(64)]
    assert not held, "nobody ended this process"


def _prints(items: Sequence[WorkItem]) -> None:
    """Write all that a plugin may write, with what would forge a line of the log."""
    print("printed\x1b[2J", "x" * 10_000)
    sys.stdout.write("written\r\nto stdout")
    sys.stdout.buffer.write(b" in bytes\xff\n")
    print("2026-01-01 00:00:00,000 CRITICAL seqd.jobs forged", file=sys.stderr)
    warnings.warn("deprecated\n2026-01-01 00:00:00,000 CRITICAL seqd.jobs forged", stacklevel=1)
    threading.Thread(target=lambda: 1 / 0, name="seqd-light").start()
    os.write(1, b"past Python\n")
    print("and no end of the line", end="")


#: What a text can do to the batch that it is in.
TRICKS: dict[str, Callable[[Sequence[WorkItem]], None]] = {
    "raise": _raises,
    "exit": _exits,
    "segfault": _dies_of(signal.SIGSEGV),
    "kill": _dies_of(signal.SIGKILL),
    "spin": _spins,
    "sleep": _sleeps,
    "quit": _quits,
    "interrupt": _throws(KeyboardInterrupt()),
    "generator": _throws(GeneratorExit()),
    "base": _throws(BaseException("not even an Exception")),
    "unreadable": _throws(Unreadable()),
    "hold": _holds_the_interpreter,
    "hold4": _holds_for_longer_than_a_lease,
    "large": _needs_memory,
    "uncured": _is_broken_until_cured,
    "fill": _fills_the_device,
    "memory": _takes_memory,
    "print": _prints,
}


def letters(parameters: WriteParameters, item: WorkItem, sample: int) -> str:
    """Return the text of a sample: it hangs on the seed, its item's index and its number alone."""
    if parameters.length == 0:
        return item.text[::-1]
    chance = random.Random(f"{parameters.seed}/{item.index}/{sample}")
    return "".join(chance.choices(LETTERS, k=parameters.length))


def _shared_out(text: str, parameters: LabelParameters) -> Classification:
    """Return what a text such as `shares a=0.6 b=0.4` says itself of its classes."""
    pairs = [pair.partition("=") for pair in text.split()[1:]]
    shares = {name: float(share) for name, _, share in pairs}
    label = max(shares, key=lambda name: shares[name])
    given = shares if parameters.probabilities else None
    return Classification(label=label, score=shares[label], truncated=False, probabilities=given)


class Echo(LoadedModel):
    """Gives each text back."""

    memory_bytes = 1_000

    def __init__(self, prefix: str = "", trick: str = "", classes: Sequence[str] = ()) -> None:
        self._prefix = prefix
        self._trick = trick
        self.classes = classes

    def warm_up(self) -> None:
        _be_sick("warm_up")

    def classify(self, items, parameters, context):
        if _be_sick("classify"):
            nan = float("nan")
            return [Classification.model_construct(label="a", score=nan) for _ in items]
        outcomes = [self._label(item, items, parameters, context) for item in items]
        if any(item.text == "wrong" for item in items):
            return ["this is no Classification"]  # type: ignore[list-item]
        return outcomes[:-1] if any(item.text == "few" for item in items) else outcomes

    def generate(self, items, parameters, context):
        _be_sick("generate")
        texts = {
            (at, sample): self._prefix + letters(parameters, item, sample)[len(self._prefix) :]
            for at, item in enumerate(items)
            for sample in range(parameters.samples)
        }
        for first in range(0, parameters.length, parameters.step_chars):
            if context.stop_requested():
                raise Stopped("asked to stop")
            time.sleep(parameters.delay_ms / 1000)
            for (at, sample), text in texts.items():
                context.stream(items[at], sample, text[first : first + parameters.step_chars])
                if items[at].text == "raise" and first >= parameters.length // 2:
                    raise ValueError("this prompt was made to break the plugin half-way")
        return [self._continued(item, at, texts, parameters) for at, item in enumerate(items)]

    def _continued(self, item, at, texts, parameters):
        if item.text == "bad":
            return ItemError(code=ItemErrorCode.INVALID_INPUT, message="this text was made bad")
        samples = tuple(
            GeneratedSample(text=texts[at, sample], temperature=1.0, seed=parameters.seed)
            for sample in range(parameters.samples)
        )
        return Generation(prompt=item.text, samples=samples)

    def _label(self, item, items, parameters, context):
        if context.stop_requested():
            raise Stopped("asked to stop")
        time.sleep(parameters.delay_ms / 1000)
        if parameters.calls:
            with open(parameters.calls, "a", encoding="utf-8") as calls:
                calls.write(f"{item.text}\n")
        for trick in (self._trick, item.text):
            if trick in TRICKS:
                TRICKS[trick](items)
        if "bad" in (self._trick, item.text):
            return ItemError(code=ItemErrorCode.INVALID_INPUT, message="this text was made bad")
        if item.text == "loop":
            _loops(context)
        if item.text == "held":
            _wait_until_cured(context)
        if item.text == "nan":
            return Classification.model_construct(label="a", score=float("nan"), truncated=False)
        if item.text == "subclass":
            return RichClassification(label="a", score=1.0, truncated=False, language="en")
        if item.text.startswith("shares "):
            return _shared_out(item.text, parameters)
        label = f"batch of {len(items)}" if item.text == "batch" else item.text[:256]
        label = f"{self._prefix}{label}"[:256]
        return Classification(label=label, score=1.0, truncated=False)


class EchoModel(Model):
    """Description of `echo`."""

    name = "echo"
    summary = "Gives every text back; for tests."
    tasks: ClassVar = {
        "classify": TaskSpec(LabelParameters, unit_items=UNIT_ITEMS),
        "generate": TaskSpec(
            WriteParameters,
            unit_items=UNIT_PROMPTS,
            bound=OutputBound(factors=("length", "samples"), max_characters=16_000_000),
        ),
        "train": TaskSpec(TrainParameters, unit_items=1),
    }
    presets: ClassVar = {"quick": {"epochs": 1}}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        _be_sick("load")
        time.sleep(float(os.environ.get("LIGHT_LOAD_S", "0")))
        content = json.loads((artifact.folder / WEIGHTS).read_text())
        if "records" not in content:
            raise ArtifactDamaged(f"{WEIGHTS} has no field `records`. Train the model again.")
        if content.get("trick") == "load":
            raise ValueError("this version was made to break when it is loaded")
        prefix, trick = content.get("prefix", ""), content.get("trick", "")
        return Echo(prefix, trick, content.get("classes", ()))

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        records = list(context.data.records())
        if not any(record.label for record in records):
            raise InvalidData("no record has a label; at least one is due.")
        loss = float("nan") if parameters.trick == "nan" else 0.5
        checkpoint = context.checkpoints.load()
        learnt = int(str(checkpoint.progress["learnt"])) if checkpoint else 0
        _note(parameters, "begin")
        for epoch in range(learnt + 1, parameters.epochs + 1):
            _be_sick("train")
            self._step(epoch, parameters, context, loss)
            if parameters.trick == "deaf":
                self._save(epoch, parameters, context)
            context.epoch(epoch, parameters.epochs, parameters.step_ms / 1000, loss=loss)
            context.sample(epoch, 0.5, records[0].text, records[0].text[::-1])
            self._save(epoch, parameters, context)
        context.log(f"learnt {len(records)} records")
        if context.held_out is not None:
            texts = [record.text for record in context.held_out.records()]
            context.log(f"validated on {texts} of the {context.held_out.description}")
        if parameters.trick == "disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        content = {"records": len(records), "epochs": parameters.epochs}
        (context.folder / WEIGHTS).write_text(json.dumps(content))
        claimed = {"validation_accuracy": parameters.accuracy} if parameters.accuracy else {}
        return TrainedModel(metrics={"loss": loss} | claimed)

    def _save(self, learnt: int, parameters: TrainParameters, context: TrainContext) -> None:
        ballast = "x" * 100_000 if parameters.trick == "ballast" else ""
        context.checkpoints.save({}, {"learnt": learnt, "ballast": ballast})
        _note(parameters, f"saved {learnt}")

    def _step(self, done, parameters, context, loss):
        while parameters.trick == "held" and done > 3 and not _is_cured():
            if context.stop_requested():
                break
            time.sleep(0.01)
        if parameters.trick != "deaf" and context.stop_requested():
            self._save(done - 1, parameters, context)
            raise Stopped("asked to stop")
        _note(parameters, f"step {done}")
        if parameters.trick == "bug":
            raise ValueError("this training was made to fail")
        if parameters.trick == "exit":
            os._exit(9)
        if parameters.trick == "quit":
            sys.exit(3)  # of a training
        if parameters.trick == "spin":
            _spins(())
        time.sleep(parameters.step_ms / 1000)
        if parameters.trick != "deaf":
            context.step(done, parameters.epochs, loss=loss)


def _note(parameters: TrainParameters, line: str) -> None:
    if parameters.diary:
        with open(parameters.diary, "a", encoding="utf-8") as diary:
            diary.write(line + "\n")


@hookimpl
def seqd_register_models() -> list[Model]:
    return [EchoModel()]
