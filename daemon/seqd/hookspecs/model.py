"""What a plugin hands over: a model's description, and the model once it is loaded.

A `Model` is light: names, parameter schemas, presets. `load` gives a `LoadedModel`, which
is what holds weights and may import Keras. The daemon batches, leases, retries, counts and
publishes; a plugin only turns texts into outputs.

The contract's clauses, each checked by `seqd plugins check` and `seqd.testing.PluginChecks`; what
breaks O1 or O3 is not loaded:

    B1  classify, generate and run return exactly one outcome per item, in the items' order: a
        Classification, a Generation or the task's own output, whose fields keep to their bounds,
        or an ItemError; a label is one of `classes`, where the model names them, and
        probabilities add up to 1 at most
    B2  a bad item yields an ItemError in its place and does not disturb its neighbours; a text
        with a lone surrogate is bad for every model
    B3  an outcome does not depend on how the items were batched
    S1  a stop request is honoured within one batch or step, which a plugin asks about before
        the first item and at least once in a thousand: raise Stopped
    T1  what is handed to context.stream of a sample is, put together, the sample's text; a task
        of the plugin's own has one sample, 0, which is the field `text` of its output
    D1  same seed, same inputs, same device: same outcome
    I1  importing and describing import no Keras, no TensorFlow, and open nothing
    O1  every parameter is described and bounded; unknown ones are refused
    O2  what is generated for one item has no more characters than TaskSpec.bound says
    O3  the output of a task of the plugin's own is a pydantic model, whose fields are described and
        bounded; its input is a text, or a record of such fields
    M1  a loaded model says what memory it takes and what work a text is, both above 0
    A1  train writes only under context.folder
    C1  a training that was stopped or killed, and goes on from its checkpoint, reports and
        writes what an undisturbed one does

These have checks since version 1.2:

    P1  a first call of each task comes back, without an exception, and ends no process
    B4  items in another order give the same outcomes in that order
    B5  a word of a million characters is an item like any other
    S2  a call that is asked to stop half-way ends at once
    D2  another process gives the same outcomes
    V1  a version that was saved and went through a model store gives the same outcomes
    W1  warm_up changes no outcome
    I2  importing takes less than a second
    M2  resident memory does not grow with loads and batches
    M3  a version takes no more than twice the memory that it states, and 16 MiB
    M4  cost_tokens is cheap, and a unit is at most half a minute of work
    E1  nothing is printed to standard output
    E2  the random state that all of a process share stays as it is
    E3  environment, working folder and signal handlers stay as they are
    E4  no thread and no process is left behind
    A2  train leaves files that a store takes
    A3  train reads its data
    C2  a training that is killed in any step resumes from its checkpoint, to the same bytes
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Literal

import pluggy
from pydantic import BaseModel, ConfigDict

from seqd.hookspecs.contexts import Artifact, Device, RunContext, TrainContext, WorkItem
from seqd_schemas import (
    Classification,
    Event,
    Generation,
    ItemError,
    JobRecord,
    OutputBound,
    ParameterValue,
    Task,
    WorkerStatus,
)

#: Major grows when a plugin must change, minor when it may. A plugin states its major.
PLUGIN_API_VERSION: Final = (1, 3)

#: The name of the pluggy project, and of the entry-point group that plugins register under.
PROJECT: Final = "seqd"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PluginParameters(BaseModel):
    """Base of every parameter class: frozen and closed.

    Each field needs a `description` and, where it is a number or a text, bounds. Its JSON
    Schema is published, so that clients without the plugin can check a request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """How one task of a model is called, and what it takes and gives.

    `classify`, `generate` and `train` are what `LoadedModel` and `Model` have methods for. Any
    other name is a task of the plugin's own, which `LoadedModel.run` does: it states its `output`.
    """

    parameters: type[PluginParameters]
    #: Items that one unit holds at best: about a quarter of a second to two seconds of work,
    #: since a unit is what a killed worker loses and what a cancelled job still finishes.
    unit_items: int = 512
    #: What comes out for one item, of a task of the plugin's own (O3). One of those in
    #: `seqd_schemas` where it fits, such as `Embedding`, or a class that derives from `TaskOutput`.
    output: type[BaseModel] | None = None
    #: What one item is, of a task of the plugin's own: a text, or a record of this class, whose
    #: fields are checked before the plugin is called.
    input: type[BaseModel] | None = None
    #: What one item can make the task write, by its parameters (O2). Where it is stated, a job that
    #: would write too much is refused when it is handed in, and units are made small enough.
    bound: OutputBound | None = None
    #: What a task of the plugin's own does, in one sentence.
    summary: str = ""
    #: True where the text of an item may be empty, of a task of the plugin's own.
    allows_empty: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a loaded model needs from its slot."""

    device: Literal["any", "cpu", "gpu"] = "any"
    #: Memory that loading takes, in bytes: a worker makes so much room before it loads. With 0 it
    #: learns that from `LoadedModel.memory_bytes` afterwards, and holds old and new for a moment.
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What `train` leaves behind, next to the files in `context.folder`."""

    #: Final figures by name, such as `validation_accuracy`; names are lower case with `_`.
    metrics: Mapping[str, float]
    #: Versions of the libraries that took part, by name.
    libraries: Mapping[str, str] = field(default_factory=dict)
    #: The model as it was learnt: before the version is published, what `load` gives of the files
    #: is held against it on a few texts of the data (V1). None: that they can be loaded is all that
    #: is seen.
    in_memory: "LoadedModel | None" = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Which columns of a table are a distribution, so that it can be drawn as bars."""

    #: Column of what each share is of, and column of the shares, from 0 to 1.
    names: str
    shares: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A table that shows a person what a version has learnt."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]
    #: Set where the rows are the shares of one whole, or the greatest of them.
    distribution: Distribution | None = None


class LoadedModel(ABC):
    """A model version in memory, used by one thread at a time.

    A subclass overrides `classify`, `generate` and `run`, as its description's tasks say.
    """

    #: Memory that unloading would free, in bytes; the cache of loaded models counts it. To be
    #: set by each subclass: 0 is refused by the conformance tests (M1).
    memory_bytes: int = 0
    #: The labels that `classify` tells apart, where they are known: a job that gives another label
    #: a new name (`label_map`) fails with these, before an item of it is computed.
    classes: Sequence[str] = ()

    @abstractmethod
    def warm_up(self) -> None:
        """Run once on a small input, so that the first real item pays for nothing."""

    def cost_tokens(self, text: str) -> int:
        """Estimate the work that `text` is, in tokens, at least 1 (M1); must be cheap.

        Bounds what one call of `classify`, `generate` or `run` gets: its items times the longest of
        them are a million tokens at most, so that padding them takes bounded memory. Asked of long
        texts alone: of others the characters count, of which a token has one or more.
        """
        return max(1, len(text) // 5)

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        """Return the label of each text: one outcome per item, in order (B1).

        Raises Stopped once `context.stop_requested()` turned true (S1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not classify")

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Continue each prompt: one outcome per item, in order (B1).

        Raises Stopped once `context.stop_requested()` turned true (S1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not generate")

    def run(
        self,
        task: str,
        items: Sequence[WorkItem],
        parameters: PluginParameters,
        context: RunContext,
    ) -> Sequence[BaseModel | ItemError]:
        """Do a task that the description names: one outcome per item, in order (B1).

        An outcome is an instance of the task's output class itself. Of a task whose input is a
        record, `WorkItem.record` has it. Raises Stopped once `context.stop_requested()` turned
        true (S1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not {task}")

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Say how well the model predicts a text that it has not learnt from; figures by name.

        A model that generates gives `bits_per_char` at least: the mean code length of the text's
        characters, each given all before it, with what the model does not know paid for. Raises
        InvalidData for a text that cannot be measured, Stopped once
        `context.stop_requested()` turned true (S1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not measure texts")

    def measure_adapting(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Say the same of a model that learns from each character once it has predicted it.

        The version itself stays as it is. For `seqd models evaluate --adaptive`; without this
        method it says that the model does not adapt.
        """
        raise NotImplementedError(f"{type(self).__name__} does not adapt to a text")


class Model(ABC):
    """A model's description. Cheap to make; imports nothing heavy (I1)."""

    #: Unique name, `[a-z][a-z0-9_]*`.
    name: ClassVar[str]
    #: What it is, in one sentence.
    summary: ClassVar[str]
    #: Major of `PLUGIN_API_VERSION` that it is written for.
    api_major: ClassVar[int] = 1
    tasks: ClassVar[Mapping[Task, TaskSpec]]
    #: Named sets of training parameters, as `seqd train --preset` takes them.
    presets: ClassVar[Mapping[str, Mapping[str, ParameterValue]]] = {}
    #: Data sets that `train` knows by name, such as `keras:imdb`.
    datasets: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Needs] = Needs()
    #: Folder beside the plugin's module that the starter is in; `python -m seqd.starters` makes it.
    starter_name: ClassVar[str] = "starter"
    #: A model that has neither a task `train` nor a starter is built in: its version 0 is the
    #: plugin's code, and `load` reads no file. True where it needs files all the same, which
    #: `seqd models add` brings; then it has no version 0.
    needs_weights: ClassVar[bool] = False

    @property
    def starter(self) -> Path | None:
        """Folder of the version that ships with the plugin, offered as version 0.

        That is `starter_name` beside the module of this class, where it has a manifest.
        """
        module = getattr(sys.modules.get(type(self).__module__), "__file__", None)
        if module is None:
            return None
        folder = Path(module).parent / self.starter_name
        return folder if (folder / "manifest.json").is_file() else None

    @abstractmethod
    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Bring a version into memory. Its files have been checked against the manifest.

        Raises ArtifactDamaged when they do not fit together all the same.
        """

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Learn from `context.data` and write the new version's files into `context.folder`.

        Weights as safetensors, all else as JSON; the daemon writes the manifest and publishes
        the folder whole or not at all. A training of more than a few seconds keeps its state
        through `context.checkpoints`, after each epoch and whenever a checkpoint is due. Raises
        InvalidData when the data cannot be learnt from, Stopped when
        `context.stop_requested()` turned true.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be trained")

    def inspect(self, artifact: Artifact, focus: str | None) -> Sequence[Inspection]:
        """Show what a version has learnt; `focus` narrows it, such as to one state of a chain."""
        return ()


class SeqdHooks:
    """All hooks. An implementation may leave out arguments that it does not need.

    Model descriptions are collected once, and a model is found by its name, not by a hook.
    Observers are called one plugin at a time; one that raises is logged, and the others are still
    called.
    """

    @hookspec
    def seqd_register_models(self) -> Iterable[Model]:
        """Hand over the plugin's model descriptions.

        Called once a process, at start. Must be quick and must not import Keras, TensorFlow
        or anything else that is heavy: descriptions only.
        """
        raise NotImplementedError

    @hookspec
    def seqd_claim_device(self, device: Device) -> None:
        """Called in the child of a GPU slot before any model is loaded or trained.

        Take the device with the library that computes there: check that it sees it, and hold it
        to `device.memory_bytes`. What this raises ends the worker, for a library that finds no
        GPU computes on the CPU, and nobody is told. A plugin that uses no GPU leaves it out.
        """

    @hookspec
    def seqd_worker_ready(self, worker: WorkerStatus) -> None:
        """Called in a worker's child when its models are warm, before it takes work."""

    @hookspec
    def seqd_job_started(self, job: JobRecord, worker: str) -> None:
        """Called in the worker that claimed the first unit of a job."""

    @hookspec
    def seqd_job_progress(self, event: Event) -> None:
        """Called in the worker for each step, epoch, sample and log event that it publishes."""

    @hookspec
    def seqd_job_finished(self, job: JobRecord) -> None:
        """Called in the worker whose commit or failure ended a job."""
