"""Registry: all plugins of this process with their state, all models by name, and the observers."""

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

import pluggy

from seqd.errors import InvalidSettings, NameTaken, UnknownModel
from seqd.hookspecs import Device, Model, SeqdHooks
from seqd.hookspecs.model import PROJECT
from seqd.models.loading import PluginSource, discover, implements, load_plugin, refuse, status_of
from seqd.models.store import ModelStore
from seqd.plugin.calls import PluginCall
from seqd.settings import Settings, load_settings
from seqd.validation import did_you_mean, listed
from seqd_schemas import Event, JobRecord, PluginState, PluginStatus, WorkerStatus


class Registry:
    """Plugins and models of one process; nothing changes once it is loaded."""

    def __init__(self, candidates: Sequence[PluginSource], settings: Settings) -> None:
        """Load the candidates in their order. Raises InvalidSettings, see `load`."""
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(SeqdHooks)
        self._statuses: list[PluginStatus] = []
        self._models: dict[str, Model] = {}
        self._owners: dict[str, PluginStatus] = {}
        self._observed: dict[str, bool] = {}
        #: Plugins that ship with seqd and are broken here, by the name of their model: another
        #: model of this name would serve in their place what the other workers do not.
        self._reserved: dict[str, PluginStatus] = {}
        _check_selection(candidates, settings)
        for candidate in candidates:
            self._statuses.append(self._take(candidate, settings))
        self._check_required(settings)

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Load all installed plugins.

        A broken plugin is listed with its reason and logged once. Raises InvalidSettings when
        a setting names a plugin that is not installed, or what is required is not ready.
        """
        return cls(discover(), settings)

    @classmethod
    def alone(cls, candidates: Sequence[PluginSource]) -> Self:
        """Load these and no others, whatever the settings enable or require."""
        every = {"enabled_plugins": None, "disabled_plugins": ()}
        return cls(candidates, load_settings(**every, required_models=(), required_plugins=()))

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
        """Return the plugin that brings a model. Raises UnknownModel."""
        if model_name not in self._owners:
            raise UnknownModel(self._unknown(model_name))
        return self._owners[model_name]

    def is_observed(self, hook: str) -> bool:
        """Return True where one of the observer hooks would tell a plugin."""
        if hook not in self._observed:  # asked for each job
            plugins = self._manager.get_plugins()
            self._observed[hook] = any(implements(self._manager, one, hook) for one in plugins)
        return self._observed[hook]

    def claim_device(self, device: Device) -> None:
        """Have each plugin take the GPU of this process. Raises what the first of them raises."""
        self._manager.hook.seqd_claim_device(device=device)

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

    def _take(self, candidate: PluginSource, settings: Settings) -> PluginStatus:
        why_not = _disabled(candidate.name, settings)
        if why_not:
            return status_of(candidate, PluginState.DISABLED, why_not)
        first = next((one for one in self._statuses if one.name == candidate.name), None)
        if first is not None:
            return refuse(
                candidate,
                f"the plugin name {candidate.name!r} is already used by {first.distribution} "
                f"{first.version}. Rename the entry point in the pyproject.toml of "
                f"{candidate.distribution}, or uninstall {candidate.distribution}.",
                code=NameTaken.code,
            )
        status, models = load_plugin(candidate, self._manager, self._reserved | self._owners)
        if status.state is PluginState.BROKEN and candidate.distribution == PROJECT:
            self._reserved[candidate.name] = status
        self._models.update(models)
        self._owners.update(dict.fromkeys(models, status))
        return status

    def _check_required(self, settings: Settings) -> None:
        absent = [why for name in settings.required_plugins if (why := self._lacks_plugin(name))]
        if absent:
            raise InvalidSettings(
                f"SEQD_REQUIRED_PLUGINS names what is not ready here. {' '.join(absent)} "
                f"The plugins:\n{plugin_table(self.statuses)}"
            )
        missing = [name for name in settings.required_models if name not in self._models]
        if missing:
            missing = self._not_in_store(missing, settings)
        if missing:
            raise InvalidSettings(
                f"SEQD_REQUIRED_MODELS names {listed(missing)}, not ready here. "
                f"Ready: {listed(self._models)}. The plugins:\n{plugin_table(self.statuses)}"
            )

    def _lacks_plugin(self, name: str) -> str:
        """Return why a plugin is not ready, as a sentence; '' where it is."""
        known = [status for status in self.statuses if status.name == name]
        if any(status.state is PluginState.READY for status in known):
            return ""
        if known:
            return f"{name} is {known[0].state}: {known[0].reason.rstrip('.')}."
        meant = did_you_mean(name, [status.name for status in self.statuses])
        return f"{name} is not installed.{meant}"

    def _not_in_store(self, names: Sequence[str], settings: Settings) -> list[str]:
        """Return those of the names that no model in the store has whose plugin is ready."""
        try:
            made = ModelStore(settings.store_dir, {}).made_with(self._models.keys())
        except OSError:
            return list(names)
        return [name for name in names if name not in made]

    def _unknown(self, name: str) -> str:
        said = f"no model named {name!r}. Ready here: {listed(self._models)}."
        said += did_you_mean(name, self._models)
        for status in self.statuses:
            if status.name == name and status.state is not PluginState.READY:
                said += f" The plugin {name!r} is {status.state}: {status.reason}"
        return f"{said} `seqd plugins list` shows every plugin with its state."


def _check_selection(candidates: Sequence[PluginSource], settings: Settings) -> None:
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


LOG = logging.getLogger(__name__)


def notify(manager: pluggy.PluginManager, hook: str, **arguments: object) -> None:
    """Call one observer hook on each plugin that implements it, in the order of their names."""
    for name, plugin in sorted(manager.list_name_plugin()):
        if not implements(manager, plugin, hook):
            continue
        others = [other for other in manager.get_plugins() if other is not plugin]
        try:
            with PluginCall():
                manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        except Exception:
            LOG.exception("plugin %s raised in %s; the work goes on", name, hook)


def plugin_table(statuses: Sequence[PluginStatus]) -> str:
    """Draw one line a plugin: its name, state, origin, and its models or the reason."""
    rows = [("plugin", "state", "distribution", "models, or the reason")]
    for one in statuses:
        origin = f"{one.distribution} {one.version}".strip()
        rows.append((one.name, str(one.state), origin, one.reason or ", ".join(one.models)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (map(str.ljust, row, widths) for row in rows)
    return "\n".join("  ".join(["", *cells]).rstrip() for cells in padded)
