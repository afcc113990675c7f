"""Looking models up, leaving plugins out, requiring models, and telling observers."""

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from builders import a_worker_status
from cli_builders import a_record
from plugin_builders import a_registry_of
from seqd.errors import InvalidSettings, UnknownModel
from seqd.hookspecs import Device, Model, PluginParameters, TaskSpec, hookimpl
from seqd.models.registry import Registry
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd_schemas import PluginState
from store_builders import publish


def a_model(name: str) -> Model:
    class Named(Model):
        summary = "A model of a test."
        tasks: ClassVar = {"classify": TaskSpec(PluginParameters)}

        def load(self, artifact: object, device: object) -> Any:
            raise NotImplementedError

    Named.name = name
    return Named()


def a_plugin(*models: str) -> object:
    class Plugin:
        @hookimpl
        def seqd_register_models(self) -> object:
            return (a_model(name) for name in models)

    return Plugin()


BROKEN = SimpleNamespace(seqd_register_models=lambda: [a_model("markov")])

#: Plugins by name; `markov` is not marked as a hook.
SOUND = [("poets", a_plugin("markov", "char_lstm")), ("critics", a_plugin("imdb_lstm"))]
HALF = [("critics", a_plugin("imdb_lstm")), ("markov", BROKEN)]

REASON = "seqd_register_models is not marked as a hook. Put @hookimpl from seqd.hookspecs above it."
TABLE = (
    "The plugins:\n"
    "  plugin   state   distribution  models, or the reason\n"
    "  critics  ready   (none)        imdb_lstm\n"
    f"  markov   broken  (none)        {REASON}"
)


def a_registry(plugins: list[tuple[str, object]], **settings: object) -> Registry:
    return a_registry_of(plugins, settings=Settings(**settings))


@pytest.mark.parametrize(
    ("plugins", "asked", "message"),
    [
        (
            SOUND,
            "imbd_lstm",
            "no model named 'imbd_lstm'. Ready here: char_lstm, imdb_lstm, markov. Did you mean "
            "'imdb_lstm'? `seqd plugins list` shows every plugin with its state.",
        ),
        (
            [("markov", BROKEN)],
            "markov",
            f"no model named 'markov'. Ready here: none. The plugin 'markov' is broken: {REASON} "
            "`seqd plugins list` shows every plugin with its state.",
        ),
    ],
    ids=["unknown", "broken"],
)
def test_a_model_that_is_not_ready_is_answered_with_what_is_and_why(plugins, asked, message):
    with pytest.raises(UnknownModel) as refusal:
        a_registry(plugins).plugin_of(asked)

    assert str(refusal.value) == message


def test_a_plugin_that_brings_one_name_twice_is_refused():
    registry = a_registry([("twins", a_plugin("markov", "markov"))])

    assert registry.statuses[0].reason == "it brings two models named 'markov'. Rename one of them."
    assert not registry.models


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"disabled_plugins": "poets"}, "SEQD_DISABLED_PLUGINS names it."),
        (
            {"enabled_plugins": "critics"},
            "SEQD_ENABLED_PLUGINS does not name it; it names critics.",
        ),
    ],
)
def test_a_plugin_that_settings_leave_out_is_listed_and_not_loaded(settings, reason):
    registry = a_registry(SOUND, **settings)

    states = {status.name: (status.state, status.reason) for status in registry.statuses}
    assert states == {"poets": (PluginState.DISABLED, reason), "critics": (PluginState.READY, "")}
    assert list(registry.models) == ["imdb_lstm"]


UNKNOWN = "names 'poet', which is not installed. Installed: critics, poets. Did you mean 'poets'?"


@pytest.mark.parametrize(
    ("plugins", "settings", "message"),
    [
        (SOUND, {"enabled_plugins": "critics,poet"}, f"SEQD_ENABLED_PLUGINS {UNKNOWN}"),
        (SOUND, {"disabled_plugins": "critics,poet"}, f"SEQD_DISABLED_PLUGINS {UNKNOWN}"),
        (
            HALF,
            {"required_models": "imdb_lstm,markov"},
            f"SEQD_REQUIRED_MODELS names markov, not ready here. Ready: imdb_lstm. {TABLE}",
        ),
        (
            HALF,
            {"required_plugins": "critics,markov,critic"},
            "SEQD_REQUIRED_PLUGINS names what is not ready here. markov is broken: "
            f"{REASON} critic is not installed. Did you mean 'critics'? {TABLE}",
        ),
    ],
)
def test_a_setting_that_names_what_is_not_there_ends_the_loading_with_what_is(
    plugins, settings, message
):
    with pytest.raises(InvalidSettings) as refusal:
        a_registry(plugins, **settings)

    assert str(refusal.value) == message


def test_what_is_required_and_ready_passes_also_by_a_model_of_the_store(tmp_path):
    settings = Settings(data_dir=tmp_path)
    store = ModelStore(settings.store_dir, {})
    publish(store, "topics", "imdb_lstm")
    publish(store, "places", "char_lstm")
    of_store = {"data_dir": tmp_path, "required_plugins": "critics"}

    registry = a_registry(HALF[:1], required_models="imdb_lstm,topics", **of_store)
    with pytest.raises(InvalidSettings, match="names places, not ready here"):
        a_registry(HALF[:1], required_models="imdb_lstm,topics,places", **of_store)

    assert registry.model("imdb_lstm").name == "imdb_lstm"


class Watcher:
    """Notes what it is told, and raises when it is told to."""

    def __init__(self, fault: BaseException | None = None) -> None:
        self.told: list[tuple[object, ...]] = []
        self.fault = fault

    def _note(self, *what: object) -> None:
        self.told.append(what)
        if self.fault is not None:
            raise self.fault

    @hookimpl
    def seqd_claim_device(self, device: Device) -> None:
        self._note("device", device)

    @hookimpl
    def seqd_worker_ready(self, worker: Any) -> None:
        self._note("ready", worker.slot)

    @hookimpl
    def seqd_job_started(self, job: Any, worker: str) -> None:
        self._note("started", job.job_id, worker)

    @hookimpl
    def seqd_job_progress(self, event: object) -> None:
        self._note("progress", event)

    @hookimpl
    def seqd_job_finished(self, job: Any) -> None:
        self._note("finished", job.job_id)


@pytest.mark.parametrize("fault", [ConnectionError("no answer"), SystemExit(3)])
def test_each_observer_is_told_and_one_that_raises_is_logged_and_left_behind(caplog, fault):
    first, faulty, last = Watcher(), Watcher(fault), Watcher()
    registry = a_registry([("a", first), ("b", faulty), ("c", last)])

    registry.notify_worker_ready(a_worker_status(slot="cpu:0"))
    registry.notify_job_started(a_record(), "cpu:0@host-ab12")
    registry.notify_job_progress("event")
    registry.notify_job_finished(a_record())

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
    raised = [record.exc_info[1] for record in caplog.records if record.exc_info is not None]
    assert {(type(one).__name__, str(one)) for one in raised} == {
        (type(fault).__name__, str(fault))
    }


def test_each_plugin_takes_the_device_of_its_process_and_one_that_cannot_is_not_passed_over():
    first, faulty = Watcher(), Watcher(RuntimeError("no GPU"))
    device = Device("gpu:0", "gpu")

    a_registry([("a", first)]).claim_device(device)
    with pytest.raises(RuntimeError, match="no GPU"):
        a_registry([("a", faulty)]).claim_device(device)

    assert first.told == faulty.told == [("device", device)]
