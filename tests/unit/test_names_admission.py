"""A training names what a model is made with; jobs are admitted and routed by that."""

import pytest
from pydantic import TypeAdapter, ValidationError

from builders import a_catalog_entry, a_sweep_job, a_train_job
from seqd.admission import admit, resolve_version
from seqd.analysis.sweeps import combinations_of, training_of
from seqd.errors import InvalidParameters, InvalidRequest, ModelNameTaken, UnknownModel
from seqd_schemas import CatalogEntry, Job, SweepJob, TaskSchema, TrainJob, VersionSummary

NOTHING = {"type": "object", "additionalProperties": False, "properties": {}}
EPOCHS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"epochs": {"type": "integer", "minimum": 1, "maximum": 100}},
}
TASKS = {
    "classify": TaskSchema(parameters=NOTHING, unit_items=256),
    "train": TaskSchema(parameters=EPOCHS, unit_items=1),
}


def versions(*numbers: int) -> tuple[VersionSummary, ...]:
    return tuple(VersionSummary(version=one, created_at_ms=1, metrics={}) for one in numbers)


def an_entry(model: str, made_with: str | None, **changes: object) -> CatalogEntry:
    fields: dict[str, object] = {
        "datasets": ("keras:imdb",),
        "presets": {"quick": {"epochs": 1}},
        "tasks": TASKS,
        "versions": versions(1, 2, 3),
        "labels": {"production": 2, "latest": 3},
    }
    return a_catalog_entry(model=model, made_with=made_with, **(fields | changes))


def a_catalog(**topics: object) -> dict[str, CatalogEntry]:
    """What workers publish that have the plugins `imdb_lstm` and `markov`, and a model `topics`."""
    return {
        "imdb_lstm": an_entry("imdb_lstm", "imdb_lstm", schema_version=1),
        "markov": an_entry("markov", "markov"),
        "topics": an_entry("topics", "imdb_lstm", schema_version=2, **topics),
    }


def a_job(**fields: object) -> Job:
    return TypeAdapter(Job).validate_python({"source": {"type": "upload"}} | fields)


def a_training(model: str, plugin: str | None = None, **changes: object) -> TrainJob:
    return a_train_job(model=model, plugin=plugin, schema_version=2, **changes)


@pytest.mark.parametrize("kind", [TrainJob, SweepJob])
def test_a_plugin_of_another_name_needs_readers_that_know_of_it(kind: type[TrainJob]):
    make = a_train_job if kind is TrainJob else a_sweep_job

    with pytest.raises(ValidationError) as refused:
        make(model="topics", plugin="imdb_lstm")

    assert [(error["loc"], error["msg"]) for error in refused.value.errors()] == [
        (
            ("plugin",),
            "Value error, it is not the model's name, and schema_version is 1; allowed: 2",
        )
    ]
    assert make(model="topics", plugin="imdb_lstm", schema_version=2).plugin == "imdb_lstm"
    assert make(model="imdb_lstm", plugin="imdb_lstm").schema_version == 1


TAKEN = (
    "model {0!r} is made with {2}, and a model's plugin never changes: it cannot be trained with "
    "{1!r}. Choose another name: --as NAME."
)


@pytest.mark.parametrize(
    ("model", "plugin", "error", "told"),
    [
        (
            "topic",
            None,
            UnknownModel,
            "no model named 'topic'. Known models: imdb_lstm, markov, topics. Did you mean "
            "'topics'?",
        ),
        ("moods", "imbd_lstm", UnknownModel, "no model named 'imbd_lstm'."),
        (
            "moods",
            "topics",
            InvalidRequest,
            "model 'topics' is made with imdb_lstm, and is no plugin's own: nothing is made with "
            "it. Make 'moods' with 'imdb_lstm'.",
        ),
        *(
            (model, plugin, ModelNameTaken, TAKEN.format(model, plugin, made_with))
            for model, plugin, made_with in (
                ("topics", "markov", "imdb_lstm"),
                ("topics", "topics", "imdb_lstm"),
                ("topics", "gone", "imdb_lstm"),
                ("markov", "imdb_lstm", "markov"),
            )
        ),
    ],
)
def test_a_training_whose_name_or_plugin_does_not_fit_is_refused(
    model: str, plugin: str | None, error: type[Exception], told: str
):
    with pytest.raises(error) as refused:
        admit(a_training(model, plugin), a_catalog())

    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    "given", [{"parameters": {"epochs": 0}}, {"parameters": {"depth": 1}}, {"preset": "slow"}]
)
def test_the_training_of_a_new_name_is_checked_by_what_its_plugin_takes(given: dict[str, object]):
    with pytest.raises(InvalidParameters):
        admit(a_training("moods", "imdb_lstm", **given), a_catalog())


@pytest.mark.parametrize(
    "training",
    [
        a_training("moods", "imdb_lstm", parameters={"epochs": 3}),
        a_training("moods", "imdb_lstm", preset="quick"),
        a_training("topics"),
        a_training("topics", "imdb_lstm"),
    ],
)
def test_a_training_is_routed_by_its_plugin(training: TrainJob):
    admitted = admit(training, a_catalog())

    assert (admitted.version, admitted.unit_items, admitted.plugin) == (None, 1, "imdb_lstm")


@pytest.mark.parametrize(
    ("reference", "version"),
    [("topics", 2), ("topics@3", 3), ("topics@latest", 3), ("topics@production", 2)],
)
def test_jobs_of_a_named_model_are_routed_by_what_it_is_made_with(reference: str, version: int):
    admitted = admit(a_job(kind="classify", model=reference), a_catalog())

    assert (admitted.version, admitted.unit_items, admitted.plugin) == (version, 256, "imdb_lstm")


def test_each_training_of_a_sweep_has_the_sweeps_plugin():
    job = a_sweep_job(model="topics", plugin="imdb_lstm", schema_version=2)

    trainings = [training_of(job, one) for one in combinations_of(job)]

    assert [(one.model, one.plugin, one.schema_version) for one in trainings] == [
        ("topics", "imdb_lstm", 2)
    ] * 2


def test_a_bare_name_without_a_version_in_service_is_refused_with_the_way_to_put_one_there():
    catalog = a_catalog(labels={"latest": 3, "best": 1})

    with pytest.raises(UnknownModel) as refused:
        admit(a_job(kind="classify", model="topics"), catalog)

    assert str(refused.value) == (
        "no version of topics is in service. Put one there: seqd models promote topics@3. Or ask "
        "for a version."
    )
    assert admit(a_job(kind="classify", model="topics@best"), catalog).version == 1


def test_a_bare_name_in_an_entry_of_the_release_before_still_means_the_latest_version():
    old = an_entry("imdb_lstm", None, labels={"best": 1})
    admitted = admit(a_job(kind="classify", model="imdb_lstm"), {"imdb_lstm": old})

    assert (admitted.version, admitted.plugin) == (3, "imdb_lstm")
    assert resolve_version(old, None) == resolve_version(old, "latest") == 3
    with_label = an_entry("imdb_lstm", None, labels={"production": 1})
    assert resolve_version(with_label, None) == 1


def test_an_entry_of_the_release_before_is_of_the_plugin_of_its_name():
    catalog = {"imdb_lstm": an_entry("imdb_lstm", None)}

    assert admit(a_training("moods", "imdb_lstm"), catalog).plugin == "imdb_lstm"
    with pytest.raises(ModelNameTaken, match="is made with imdb_lstm"):
        admit(a_training("imdb_lstm", "markov"), catalog)
