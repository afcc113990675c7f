"""The plugin that a child has, one version of its model in memory, and what is done with it.

It is loaded by the plugin host and called as a worker calls it, so what is wrong is told as there.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from seqd.authoring.messages import (
    Compute,
    Computed,
    Learn,
    Load,
    Loaded,
    Reported,
    Trained,
)
from seqd.errors import ArtifactDamaged, InvalidRequest, PluginFault, UnknownModel
from seqd.hookspecs import Artifact, Device, LoadedModel, Model, PluginParameters
from seqd.hookspecs.reports import Reporter
from seqd.inputs.datasets import FileDataset
from seqd.kinds import TRAIN
from seqd.local.pinning import slots_here
from seqd.models.catalog import catalog_entry, versions_zero
from seqd.models.registry import Registry
from seqd.models.source_folders import chosen, read_source
from seqd.models.store import ModelStore
from seqd.models.version_files import open_folder, read_manifest, seal_folder
from seqd.plugin.calls import PluginCall
from seqd.plugin.decorated import QuietContext
from seqd.settings import load_settings
from seqd.testing.contexts import MemoryTrainContext
from seqd.testing.training import parameters_of, train
from seqd.validation import did_you_mean, listed
from seqd.worker.computing import TaskCall, call_of, results_alone
from seqd.worker.faults import sentence_of
from seqd_schemas import (
    CatalogEntry,
    FileSource,
    PluginState,
    PluginStatus,
)

log = logging.getLogger(__name__)

#: Seconds after which it is said where an import stands, which takes less than one (I2), and where
#: a version's loading does, for which a framework and its weights are read.
IMPORT_S = 5.0
LOAD_S = 20.0


_REPORTER = Reporter("trial")

#: The number of the version: any but 0, which ships with a plugin.
_VERSION = 1


class _ReportingContext(MemoryTrainContext):
    """Passes on what a training reports, and ends it when that is asked for."""

    def __init__(
        self,
        folder: Path,
        data: FileDataset,
        held_out: FileDataset | None,
        device: Device,
        *,
        report: Callable[[Reported], None],
        stop: Callable[[], bool],
    ) -> None:
        super().__init__(folder, data, held_out, device=device)
        self._report = report
        self._is_stopped = stop

    def stop_requested(self) -> bool:
        """True once Ctrl-C was pressed."""
        return self._is_stopped()

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Keep the epoch, and pass it on."""
        super().epoch(epoch, epochs, seconds, **metrics)
        self._report(Reported(event=_REPORTER.epoch(epoch, epochs, seconds, metrics)))

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Pass a text on."""
        self._report(Reported(event=_REPORTER.sample(epoch, temperature, prompt, text)))

    def log(self, message: str) -> None:
        """Pass a message on."""
        self._report(Reported(event=_REPORTER.log(message)))


@dataclass(frozen=True, slots=True)
class Subject:
    """A plugin's model, and a version of it; None where it has none yet."""

    model: Model
    plugin: PluginStatus
    entry: CatalogEntry
    device: Device
    version: str
    loaded: LoadedModel | None
    #: Why there is no version.
    fault: str

    @classmethod
    def load(cls, order: Load) -> Self:
        """Load a plugin and a version of its model.

        Raises PluginFault for a plugin that is broken, UnknownPlugin, UnknownModel and
        InvalidRequest for names, ArtifactDamaged for files, and what the plugin raises.
        """
        source = order.source
        if source.path:  # as it is now: it may have changed since it was read, or be gone
            source = chosen(read_source(Path(source.path)), source.name)
        with _told_where_it_stands(f"The import of the plugin {source.name}", IMPORT_S):
            registry = Registry.alone([source])
        model = _model_of(registry, order.model, source.name)
        (slot,) = slots_here(order.slot)
        device = Device(slot.name, slot.kind, slot.threads, slot.framework_bytes)
        if slot.kind == "gpu":
            registry.claim_device(device)
        store = ModelStore.of(load_settings(), versions_zero(registry))
        plugin = registry.plugin_of(model.name)
        entry = catalog_entry(model, plugin, store, time.time_ns() // 1_000_000)
        artifact, fault = _version_of(model, store, order.version, registry.models)
        loaded = None if artifact is None else _loaded(model, artifact, device)
        name = "" if artifact is None else f"{artifact.manifest.model}@{artifact.manifest.version}"
        return cls(model, plugin, entry, device, name, loaded, fault)

    def described(self, seconds: float) -> Loaded:
        """Return what is told of it."""
        return Loaded(
            plugin=self.plugin,
            entry=self.entry,
            version=self.version,
            fault=self.fault,
            seconds=seconds,
        )

    def compute(self, asked: Compute, stop: Callable[[], bool]) -> Computed:
        """Return the results of the items, checked as a worker checks them.

        Raises Stopped, and Unfit where the model's warm-up input fails, too.
        """
        began = time.perf_counter()
        loaded, spec = self._usable(), self.model.tasks[asked.task]
        with PluginCall():
            parameters: PluginParameters = spec.parameters.model_validate(asked.parameters)
        task = TaskCall.named(asked.task, self.model)
        call = call_of(loaded, task, parameters, QuietContext(self.device, stop))
        results = results_alone(
            loaded,
            task,
            asked.entries,
            call,
            at_once=spec.unit_items,
            ref=self.version,
            stop=stop,
        )
        return Computed(results=tuple(results), seconds=time.perf_counter() - began)

    def train(
        self, asked: Learn, report: Callable[[Reported], None], stop: Callable[[], bool]
    ) -> Trained:
        """Train a version into an empty folder, and hold what is loaded of its files against it.

        Raises InvalidInput for data, Stopped, VersionDiffers, and what the training raises.
        """
        began, folder = time.perf_counter(), Path(asked.folder)
        data = _dataset(asked.data)
        held_out = None if asked.held_out is None else _dataset(asked.held_out)
        context = _ReportingContext(folder, data, held_out, self.device, report=report, stop=stop)
        with PluginCall():
            parameters = parameters_of(self.model, asked.parameters)
            draft = train(self.model, parameters, context, self.plugin.version)
        manifest = seal_folder(folder, draft, _VERSION)
        return Trained(manifest=manifest, seconds=time.perf_counter() - began)

    def _usable(self) -> LoadedModel:
        if self.loaded is None:
            raise UnknownModel(self.fault)
        return self.loaded


def _model_of(registry: Registry, name: str, plugin: str) -> Model:
    """Return the model that is meant. Raises PluginFault for a broken plugin, and for names."""
    (status,) = registry.statuses
    if status.state is not PluginState.READY:
        raise PluginFault(f"the plugin {status.name!r} is broken: {status.reason}")
    models = registry.models
    if not models:
        raise PluginFault(f"the plugin {plugin!r} brings no model, so nothing can be tried")
    if not name and (len(models) == 1 or plugin in models):
        return models.get(plugin) or next(iter(models.values()))
    if not name:
        raise InvalidRequest(
            f"the plugin {plugin!r} brings the models {listed(models)}. Say which one: "
            f"--model {next(iter(models))}."
        )
    if name not in models:
        raise UnknownModel(
            f"the plugin {plugin!r} brings no model {name!r}. Its models: "
            f"{listed(models)}.{did_you_mean(name, models)}"
        )
    return models[name]


def _version_of(
    model: Model, store: ModelStore, wanted: str, models: Collection[str]
) -> tuple[Artifact | None, str]:
    """Return the version that is meant; None, and why, where the model has none yet.

    Raises InvalidRequest for a version of another model, where it is one of `models` with what to
    say for it.
    """
    if wanted and Path(wanted).is_dir():
        return _of_folder(model, Path(wanted), models), ""
    if wanted:
        store.refresh()
    elif not store.numbers(model.name):
        return None, _no_version(model)
    name, number = store.resolve(wanted or model.name)
    if store.plugin_of(name) != model.name:
        raise _other_model(f"{name}@{number}", store.plugin_of(name), model, models)
    return store.open(name, number), ""


def _other_model(
    version: str, made_with: str, model: Model, models: Collection[str]
) -> InvalidRequest:
    cure = f"--model {made_with}" if made_with in models else f"the plugin that brings {made_with}"
    return InvalidRequest(
        f"{version} is made with {made_with}, and {model.name} is tried. Say {cure}."
    )


def _of_folder(model: Model, folder: Path, models: Collection[str]) -> Artifact:
    manifest = read_manifest(folder)
    artifact = open_folder(folder, manifest.model, manifest.version)
    made_with = manifest.plugin or manifest.model
    if made_with != model.name:
        raise _other_model(str(folder), made_with, model, models)
    return artifact


def _no_version(model: Model) -> str:
    if TRAIN in model.tasks:
        return (
            f"{model.name} has no version yet: it is to be trained. Train one into a folder, "
            f"`seqd plugins try … {TRAIN} --data FILE --out FOLDER`, and try that: --version FOLDER"
        )
    return (
        f"{model.name} has no version yet: it needs files (needs_weights). Ship them as its "
        "starter, or give the folder of a version: --version FOLDER"
    )


def _loaded(model: Model, artifact: Artifact, device: Device) -> LoadedModel:
    """Return a version in memory, warm. Raises PluginFault where the plugin raises."""
    what = f"{artifact.manifest.model}@{artifact.manifest.version}"
    try:
        with PluginCall(), _told_where_it_stands(f"load() or warm_up() of {what}", LOAD_S):
            loaded = model.load(artifact, device)
            loaded.warm_up()
    except ArtifactDamaged:
        raise
    except Exception as error:
        log.exception("%s could not be loaded", what)
        raise PluginFault(f"{what} could not be loaded: {sentence_of(error)}") from None
    return loaded


@contextmanager
def _told_where_it_stands(what: str, after_s: float) -> Iterator[None]:
    """Have the child print where the plugin stands in a block that takes longer, and go on."""

    def tell() -> None:
        said = "%s has not ended after %g s, and goes on; Ctrl-C ends it. It stands here:"
        log.warning(said, what, after_s)
        signal.pthread_kill(loading, signal.SIGUSR2)

    loading = threading.get_ident()
    timer = threading.Timer(after_s, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _dataset(path: str) -> FileDataset:
    return FileDataset(FileSource(path=path))
