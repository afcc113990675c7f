"""Looking models up, leaving plugins out, requiring models, and telling observers."""

import logging
from types import SimpleNamespace
from typing import ClassVar

import pytest

from plugin_builders import a_registry_of
from seqd.errors import InvalidSettings, UnknownModel
from seqd.hookspecs import Device, Model, PluginParameters, TaskSpec, hookimpl
from seqd.models.job_log import JobLog
from seqd.models.registry import Registry
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd_schemas import (
    ClassifyJob,
    Counts,
    Failure,
    InlineSource,
    Item,
    JobRecord,
    JobState,
    PluginState,
    Priority,
    WorkerState,
    WorkerStatus,
)
from store_builders import publish


class NoParameters(PluginParameters):
    """No parameters."""


def a_model(name: str) -> Model:
    class Named(Model):
        summary = "A model of a test."
        tasks: ClassVar = {"classify": TaskSpec(NoParameters)}

        def load(self, artifact, device):
            raise NotImplementedError

    Named.name = name
    return Named()


def a_plugin(*models: str) -> object:
    class Plugin:
        @hookimpl
        def seqd_register_models(self):
            return (a_model(name) for name in models)

    return Plugin()


def a_broken_plugin() -> object:
    def unmarked():
        return [a_model("markov")]

    return SimpleNamespace(seqd_register_models=unmarked)


def a_registry(**settings: object) -> Registry:
    plugins = [("poets", a_plugin("markov", "char_lstm")), ("critics", a_plugin("imdb_lstm"))]
    return a_registry_of(plugins, settings=Settings(**settings))


def a_job_record(**changes: object) -> JobRecord:
    source = InlineSource(items=(Item(custom_id="1", text="a good film"),))
    fields = {
        "job_id": "j1",
        "kind": "classify",
        "model": "imdb_lstm",
        "version": 3,
        "state": JobState.COMPLETED,
        "counts": Counts(total=3, succeeded=2, errored=1),
        "sealed": True,
        "units": 1,
        "units_done": 1,
        "unit_items": 64,
        "priority": Priority.NORMAL,
        "tenant": "default",
        "created_at_ms": 1_000,
        "started_at_ms": 2_000,
        "ended_at_ms": 4_500,
        "job": ClassifyJob(model="imdb_lstm", source=source),
    }
    return JobRecord(**fields | changes)


def a_worker_status() -> WorkerStatus:
    return WorkerStatus(
        worker="cpu:0@host-ab12",
        slot="cpu:0",
        tasks=("classify",),
        host="host",
        pid=1,
        state=WorkerState.READY,
        plugins=(),
        seqd_version="0.1.0",
        started_at_ms=1,
        seen_at_ms=1,
    )


def test_models_are_found_by_name_and_listed_sorted():
    registry = a_registry()

    assert list(registry.models) == ["char_lstm", "imdb_lstm", "markov"]
    assert registry.model("markov").name == "markov"
    assert registry.plugin_of("markov").models == ("char_lstm", "markov")
    assert [status.name for status in registry.statuses] == ["critics", "poets"]


def test_the_models_cannot_be_changed_from_outside():
    registry = a_registry()

    with pytest.raises(TypeError):
        registry.models["mine"] = a_model("mine")


def test_an_unknown_model_is_answered_with_what_is_ready_and_what_was_meant():
    registry = a_registry()

    with pytest.raises(UnknownModel) as refusal:
        registry.model("imbd_lstm")

    assert str(refusal.value) == (
        "no model named 'imbd_lstm'. Ready here: char_lstm, imdb_lstm, markov. Did you mean "
        "'imdb_lstm'? `seqd plugins list` shows every plugin with its state."
    )


def test_a_model_of_a_broken_plugin_is_answered_with_the_plugins_reason():
    registry = a_registry_of([("markov", a_broken_plugin())])

    with pytest.raises(UnknownModel) as refusal:
        registry.plugin_of("markov")

    assert str(refusal.value) == (
        "no model named 'markov'. Ready here: none. The plugin 'markov' is broken: "
        "seqd_register_models is not marked as a hook. Put @hookimpl from seqd.hookspecs above it. "
        "`seqd plugins list` shows every plugin with its state."
    )


def test_a_plugin_that_brings_one_name_twice_is_refused():
    registry = a_registry_of([("twins", a_plugin("markov", "markov"))])

    assert registry.statuses[0].reason == (
        "it brings two models named 'markov'. Rename one of them."
    )
    assert not registry.models


def test_a_disabled_plugin_is_listed_and_not_loaded():
    registry = a_registry(disabled_plugins="poets")

    states = {status.name: (status.state, status.reason) for status in registry.statuses}
    assert states["poets"] == (PluginState.DISABLED, "SEQD_DISABLED_PLUGINS names it.")
    assert states["critics"][0] is PluginState.READY
    assert list(registry.models) == ["imdb_lstm"]


def test_with_a_list_of_enabled_plugins_all_others_are_disabled():
    registry = a_registry(enabled_plugins="critics")

    states = {status.name: (status.state, status.reason) for status in registry.statuses}
    assert states["poets"] == (
        PluginState.DISABLED,
        "SEQD_ENABLED_PLUGINS does not name it; it names critics.",
    )
    assert list(registry.models) == ["imdb_lstm"]


@pytest.mark.parametrize("setting", ["enabled_plugins", "disabled_plugins"])
def test_a_setting_that_names_no_plugin_is_refused_with_what_there_is(setting):
    with pytest.raises(InvalidSettings) as refusal:
        a_registry(**{setting: "critics,poet"})

    assert str(refusal.value) == (
        f"SEQD_{setting.upper()} names 'poet', which is not installed. "
        "Installed: critics, poets. Did you mean 'poets'?"
    )


def test_a_required_model_that_is_missing_ends_the_loading_with_the_table():
    plugins = [("critics", a_plugin("imdb_lstm")), ("markov", a_broken_plugin())]
    settings = Settings(required_models="imdb_lstm,markov")

    with pytest.raises(InvalidSettings) as refusal:
        a_registry_of(plugins, settings=settings)

    assert str(refusal.value) == (
        "SEQD_REQUIRED_MODELS names markov, not ready here. Ready: imdb_lstm. The plugins:\n"
        "  plugin   state   distribution  models, or the reason\n"
        "  critics  ready   (none)        imdb_lstm\n"
        "  markov   broken  (none)        seqd_register_models is not marked as a hook. "
        "Put @hookimpl from seqd.hookspecs above it."
    )


def test_a_required_plugin_that_is_missing_ends_the_loading_with_the_reason_and_the_table():
    plugins = [("critics", a_plugin("imdb_lstm")), ("markov", a_broken_plugin())]
    settings = Settings(required_plugins="critics,markov,critic")

    with pytest.raises(InvalidSettings) as refusal:
        a_registry_of(plugins, settings=settings)

    assert str(refusal.value) == (
        "SEQD_REQUIRED_PLUGINS names what is not ready here. markov is broken: "
        "seqd_register_models is not marked as a hook. Put @hookimpl from seqd.hookspecs above it. "
        "critic is not installed. Did you mean 'critics'? The plugins:\n"
        "  plugin   state   distribution  models, or the reason\n"
        "  critics  ready   (none)        imdb_lstm\n"
        "  markov   broken  (none)        seqd_register_models is not marked as a hook. "
        "Put @hookimpl from seqd.hookspecs above it."
    )


def test_required_plugins_that_are_ready_pass():
    registry = a_registry(required_plugins="critics")

    assert registry.model("imdb_lstm").name == "imdb_lstm"


def test_required_models_that_are_ready_pass():
    registry = a_registry(required_models="imdb_lstm,markov")

    assert registry.model("imdb_lstm").name == "imdb_lstm"


def test_a_required_model_of_the_store_passes_where_its_plugin_is_ready(tmp_path):
    settings = Settings(data_dir=tmp_path, required_models="imdb_lstm,topics,places")
    store = ModelStore(settings.store_dir, {})
    publish(store, "topics", "imdb_lstm")
    publish(store, "places", "char_lstm")

    with pytest.raises(InvalidSettings) as refusal:
        a_registry_of([("critics", a_plugin("imdb_lstm"))], settings=settings)

    assert str(refusal.value).startswith(
        "SEQD_REQUIRED_MODELS names places, not ready here. Ready: imdb_lstm. The plugins:"
    )


class Watcher:
    """Notes what it is told, and raises when it is told to."""

    def __init__(self, fault: BaseException | None = None) -> None:
        self.told = []
        self.fault = fault

    def _note(self, *what: object) -> None:
        self.told.append(what)
        if self.fault is not None:
            raise self.fault

    @hookimpl
    def seqd_worker_ready(self, worker):
        self._note("ready", worker.slot)

    @hookimpl
    def seqd_job_started(self, job, worker):
        self._note("started", job.job_id, worker)

    @hookimpl
    def seqd_job_progress(self, event):
        self._note("progress", event)

    @hookimpl
    def seqd_job_finished(self, job):
        self._note("finished", job.job_id)


@pytest.mark.parametrize("fault", [ConnectionError("no answer"), SystemExit(3)])
def test_each_observer_is_told_and_one_that_raises_is_logged_and_left_behind(
    caplog, fault: BaseException
):
    # Given three observers, the middle one at fault
    first, faulty, last = Watcher(), Watcher(fault), Watcher()
    registry = a_registry_of([("a", first), ("b", faulty), ("c", last)])

    registry.notify_worker_ready(a_worker_status())
    registry.notify_job_started(a_job_record(), "cpu:0@host-ab12")
    registry.notify_job_progress("event")
    registry.notify_job_finished(a_job_record())

    told = [
        ("ready", "cpu:0"),
        ("started", "j1", "cpu:0@host-ab12"),
        ("progress", "event"),
        ("finished", "j1"),
    ]
    assert [first.told, faulty.told, last.told] == [told, told, told]
    assert caplog.messages == [
        f"plugin b raised in seqd_{hook}; the work goes on"
        for hook in ("worker_ready", "job_started", "job_progress", "job_finished")
    ]
    raised = [record.exc_info[1] for record in caplog.records]
    assert {(type(one).__name__, str(one)) for one in raised} == {
        (type(fault).__name__, str(fault))
    }


def test_the_job_log_writes_a_line_at_a_jobs_start_and_one_at_its_end(caplog):
    log = JobLog()
    registry = a_registry_of([("job_log", log)])

    with caplog.at_level(logging.INFO, logger="seqd.jobs"):
        registry.notify_worker_ready(a_worker_status())
        registry.notify_job_started(a_job_record(version=None), "cpu:0@host-ab12")
        registry.notify_job_finished(a_job_record())

    assert caplog.messages == [
        "job started: job=j1 model=imdb_lstm slot=cpu:0",
        "job completed: job=j1 model=imdb_lstm@3 slot=cpu:0 succeeded=2 errored=1 seconds=2.5",
    ]


def test_the_job_log_warns_of_a_failed_job_with_its_reason(caplog):
    failure = Failure(code="plugin_fault", message="it broke")
    record = a_job_record(state=JobState.FAILED, failure=failure)

    JobLog().seqd_job_finished(record)

    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage().endswith("seconds=2.5 reason=plugin_fault: it broke")


class Claimant:
    """Takes a GPU, or cannot."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.taken: list[Device] = []
        self.fault = fault

    @hookimpl
    def seqd_claim_device(self, device):
        self.taken.append(device)
        if self.fault is not None:
            raise self.fault


def test_each_plugin_takes_the_device_of_its_process():
    first, second = Claimant(), Claimant()
    device = Device("gpu:0", "gpu")

    a_registry_of([("a", first), ("b", second), ("c", Watcher())]).claim_device(device)

    assert first.taken == second.taken == [device]


def test_a_plugin_that_cannot_take_the_device_is_not_passed_over():
    registry = a_registry_of([("a", Claimant(RuntimeError("no GPU")))])

    with pytest.raises(RuntimeError, match="no GPU"):
        registry.claim_device(Device("gpu:0", "gpu"))
