"""The registry: all plugins of this process with their state, and all models by name.

Loads nothing by itself: `load` is called once a process, by a worker or the command line.
The untyped hook relay of pluggy stays behind the typed methods here.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

import pluggy

from seqd.errors import InvalidSettings, UnknownModel
from seqd.hookspecs import Model, SeqdHooks
from seqd.hookspecs.hooks import PROJECT
from seqd.registry.candidates import Candidate, discover
from seqd.registry.loading import load_plugin, refuse, status_of
from seqd.registry.observers import notify, observers_of
from seqd.registry.table import plugin_table
from seqd.settings import Settings
from seqd.validation import did_you_mean, listed
from seqd_schemas import Event, JobRecord, PluginState, PluginStatus, WorkerStatus


class Registry:
    """Plugins and models of one process; nothing changes once it is loaded."""

    def __init__(self, candidates: Sequence[Candidate], settings: Settings) -> None:
        """Load the candidates in their order. Raises InvalidSettings, see `load`."""
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(SeqdHooks)
        self._statuses: list[PluginStatus] = []
        self._models: dict[str, Model] = {}
        self._owners: dict[str, PluginStatus] = {}
        _check_selection(candidates, settings)
        for candidate in candidates:
            self._statuses.append(self._take(candidate, settings))
        self._check_required(settings.required_models)

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Load the daemon's own plugins and all installed ones.

        A broken plugin is listed with its reason and logged once. Raises InvalidSettings when
        a setting names a plugin that is not installed, or a required model is not ready.
        """
        return cls(discover(), settings)

    @property
    def statuses(self) -> tuple[PluginStatus, ...]:
        """One line for each plugin, sorted by name; two when two distributions share a name."""
        return tuple(sorted(self._statuses, key=lambda status: (status.name, status.distribution)))

    @property
    def models(self) -> Mapping[str, Model]:
        """The models that are ready, by name, sorted."""
        return MappingProxyType(dict(sorted(self._models.items())))

    def model(self, name: str) -> Model:
        """Look a model up. Raises UnknownModel, which lists what is ready."""
        if name not in self._models:
            raise UnknownModel(self._unknown(name))
        return self._models[name]

    def plugin_of(self, model_name: str) -> PluginStatus:
        """Give the plugin that brings a model. Raises UnknownModel."""
        if model_name not in self._owners:
            raise UnknownModel(self._unknown(model_name))
        return self._owners[model_name]

    def observers_of(self, hook: str) -> list[str]:
        """Name the plugins that one of the observer hooks would tell, sorted."""
        return observers_of(self._manager, hook)

    def notify_worker_ready(self, worker: WorkerStatus) -> None:
        """Tell observers that this process is warm and about to take work."""
        notify(self._manager, "seqd_worker_ready", worker=worker)

    def notify_job_started(self, job: JobRecord, worker: str) -> None:
        """Tell observers that this worker claimed the first unit of a job."""
        notify(self._manager, "seqd_job_started", job=job, worker=worker)

    def notify_job_progress(self, event: Event) -> None:
        """Tell observers of a step, epoch, sample or log event."""
        notify(self._manager, "seqd_job_progress", event=event)

    def notify_job_finished(self, job: JobRecord) -> None:
        """Tell observers that this worker ended a job."""
        notify(self._manager, "seqd_job_finished", job=job)

    def _take(self, candidate: Candidate, settings: Settings) -> PluginStatus:
        why_not = _disabled(candidate.name, settings)
        if why_not:
            return status_of(candidate, PluginState.DISABLED, why_not)
        first = self._loaded_as(candidate.name)
        if first is not None:
            return refuse(
                candidate,
                f"the plugin name {candidate.name!r} is already used by {first.distribution} "
                f"{first.version}. Uninstall one of the two distributions.",
            )
        loaded = load_plugin(candidate, self._manager, self._owners)
        self._models.update(loaded.models)
        self._owners.update(dict.fromkeys(loaded.models, loaded.status))
        return loaded.status

    def _loaded_as(self, name: str) -> PluginStatus | None:
        return next((status for status in self._statuses if status.name == name), None)

    def _check_required(self, required: Sequence[str]) -> None:
        missing = [name for name in required if name not in self._models]
        if missing:
            raise InvalidSettings(
                f"SEQD_REQUIRED_MODELS names {listed(missing)}, not ready here. "
                f"Ready: {listed(self._models)}. The plugins:\n{plugin_table(self.statuses)}"
            )

    def _unknown(self, name: str) -> str:
        said = f"no model named {name!r}. Ready here: {listed(self._models)}."
        said += did_you_mean(name, self._models)
        for status in self.statuses:
            if status.name == name and status.state is not PluginState.READY:
                said += f" The plugin {name!r} is {status.state}: {status.reason}"
        return f"{said} `seqd plugins list` shows every plugin with its state."


def _check_selection(candidates: Sequence[Candidate], settings: Settings) -> None:
    installed = {candidate.name for candidate in candidates}
    selections = {
        "SEQD_ENABLED_PLUGINS": settings.enabled_plugins or (),
        "SEQD_DISABLED_PLUGINS": settings.disabled_plugins,
    }
    for setting, names in selections.items():
        for name in names:
            if name not in installed:
                raise InvalidSettings(
                    f"{setting} names {name!r}, which is not installed. "
                    f"Installed: {listed(installed)}.{did_you_mean(name, installed)}"
                )


def _disabled(name: str, settings: Settings) -> str:
    if name in settings.disabled_plugins:
        return "SEQD_DISABLED_PLUGINS names it."
    if settings.enabled_plugins is not None and name not in settings.enabled_plugins:
        return (
            f"SEQD_ENABLED_PLUGINS does not name it; it names {listed(settings.enabled_plugins)}."
        )
    return ""
