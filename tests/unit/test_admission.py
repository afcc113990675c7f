"""A request is admitted or refused by what workers have published, without any plugin."""

import pytest
from pydantic import TypeAdapter

from builders import a_catalog_entry
from seqd.admission import Admitted, admit
from seqd.errors import (
    InvalidParameters,
    InvalidRequest,
    ModelNameTaken,
    SeqdError,
    UnknownModel,
)
from seqd_schemas import CatalogEntry, Job, OutputBound, TaskSchema, VersionSummary

EPOCHS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "epochs": {"type": "integer", "minimum": 1, "maximum": 100},
        "units": {"type": "integer", "minimum": 1, "maximum": 512},
    },
}
NOTHING = {"type": "object", "additionalProperties": False, "properties": {}}


def an_entry(**changes: object) -> CatalogEntry:
    fields = {
        "tasks": {
            "classify": TaskSchema(parameters=NOTHING, unit_items=256),
            "train": TaskSchema(parameters=EPOCHS, unit_items=9),
        },
        "presets": {"tutorial": {"epochs": 3, "units": 100}},
        "datasets": ("keras:imdb",),
        "versions": tuple(
            VersionSummary(version=version, created_at_ms=1, metrics={}) for version in (0, 2, 5)
        ),
        "labels": {"production": 2, "candidate": 5},
    }
    return a_catalog_entry(**fields | changes)


def a_catalog(**changes: object) -> dict[str, CatalogEntry]:
    tasks = {"generate": TaskSchema(parameters=NOTHING, unit_items=8)}
    return {"imdb_lstm": an_entry(**changes), "markov": an_entry(model="markov", tasks=tasks)}


def a_job(kind: str = "classify", **changes: object) -> Job:
    fields = {"kind": kind, "model": "imdb_lstm", "source": {"type": "upload"}}
    return TypeAdapter(Job).validate_python(fields | changes)


def a_sweep(**changes: object) -> Job:
    fields = {"source": {"type": "named", "name": "keras:imdb"}, "grid": {"units": [8, 16]}}
    return a_job("sweep", **fields | changes)


def sizes(admitted: Admitted) -> tuple[int | None, int]:
    return admitted.version, admitted.unit_items


def test_items_run_on_a_fixed_version_and_a_training_or_sweep_makes_versions_unit_by_unit():
    trained = {"preset": "tutorial", "parameters": {"epochs": 1}}

    assert sizes(admit(a_job(model="imdb_lstm@5"), a_catalog())) == (5, 256)
    assert sizes(admit(a_job("train", **trained), a_catalog())) == (None, 1)
    assert sizes(admit(a_job("train"), a_catalog(versions=(), labels={}))) == (None, 1)
    assert sizes(admit(a_sweep(**trained), a_catalog())) == (None, 1)


@pytest.mark.parametrize(
    ("labels", "wanted", "version"),
    [
        ({"production": 2}, "", 2),
        ({}, "@latest", 5),
        ({"latest": 2}, "@latest", 2),
        ({"production": 2}, "@0", 0),
        ({"production": 2}, "@05", 5),
        ({"production": 2}, "@production", 2),
        ({"candidate": 5}, "@candidate", 5),
    ],
)
def test_a_reference_is_resolved_to_one_version(labels, wanted, version):
    admitted = admit(a_job(model=f"imdb_lstm{wanted}"), a_catalog(labels=labels))

    assert admitted.version == version


REFUSED: list[tuple[Job, type[SeqdError], str]] = [
    (
        a_job(model="imdb_lstm@3"),
        UnknownModel,
        "model 'imdb_lstm' has no version 3. Versions: 0, 2, 5. Labels: candidate → 5, latest → 5, "
        "production → 2.",
    ),
    (
        a_job(model="imdb_lstm@best"),
        UnknownModel,
        "model 'imdb_lstm' has no label 'best'. Versions: 0, 2, 5. Labels: candidate → 5, "
        "latest → 5, production → 2.",
    ),
    (
        a_job(model="imbd_lstm"),
        UnknownModel,
        "no model named 'imbd_lstm'. Known models: imdb_lstm, markov. Did you mean 'imdb_lstm'? "
        "`seqd plugins list` shows plugins that failed to load; one that was installed since needs "
        "`seqd workers restart`.",
    ),
    (
        a_job("generate"),
        InvalidRequest,
        "model 'imdb_lstm' has no task 'generate'; its tasks: classify, train. Models with that "
        "task: markov.",
    ),
    (
        a_job("train", preset="tutorail"),
        InvalidParameters,
        "model 'imdb_lstm' has no preset named 'tutorail'. Its presets: tutorial. Did you mean "
        "'tutorial'?",
    ),
    *(
        (
            a_job("train", **{role: {"type": "named", "name": "keras:imbd"}}),
            InvalidRequest,
            "model 'imdb_lstm' knows no data set named 'keras:imbd'. Its data sets: keras:imdb. "
            "Did you mean 'keras:imdb'?",
        )
        for role in ("source", "held_out")
    ),
    (
        a_job("train", preset="tutorial", parameters={"epochs": 0}),
        InvalidParameters,
        "imdb_lstm train: parameter 'epochs' is 0; allowed: 1 to 100.",
    ),
    *(
        (
            job,
            InvalidRequest,
            "the label 'latest' cannot be set: it always means the newest version, which the "
            "training makes anyway. Choose another, such as 'production'.",
        )
        for job in (a_job("train", labels=["production", "latest"]), a_sweep(labels=("latest",)))
    ),
    (
        a_sweep(grid={"units": [8, 16], "epochs": [1, 0]}),
        InvalidParameters,
        "combination units=8,epochs=0: imdb_lstm train: parameter 'epochs' is 0; allowed: 1 to "
        "100.",
    ),
    (
        a_sweep(parameters={"units": 4}),
        InvalidParameters,
        "imdb_lstm train: parameter 'units' is swept and fixed; give it once.",
    ),
    (
        a_sweep(only=("units=8", "units=9")),
        InvalidRequest,
        "the sweep has no combination units=9, which `only` names; name those of its grid, each "
        "once.",
    ),
    (
        a_sweep(grid={"units": [8, float("nan")]}),
        InvalidParameters,
        "combination units=NaN: imdb_lstm train: parameter 'units' is ",
    ),
]


@pytest.mark.parametrize(("job", "error", "said"), REFUSED)
def test_what_workers_could_not_run_is_refused_with_what_they_could(job, error, said):
    with pytest.raises(error) as refusal:
        admit(job, a_catalog())

    assert str(refusal.value).startswith(said)
    assert str(refusal.value) == said or said.endswith(" ")


@pytest.mark.parametrize(
    ("catalog", "said"),
    [
        (
            {},
            "no model named 'imdb_lstm': no worker has published a model yet. Start workers with "
            "`seqd up`; `seqd status` shows them.",
        ),
        (
            a_catalog(versions=(), labels={}),
            "model 'imdb_lstm' has no version yet: train one with `seqd train imdb_lstm`.",
        ),
    ],
    ids=["no worker", "no version"],
)
def test_where_nothing_is_published_yet_it_is_said_how_to_begin(catalog, said):
    with pytest.raises(UnknownModel) as refusal:
        admit(a_job(), catalog)

    assert str(refusal.value) == said


WRITING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "length": {"type": "integer", "minimum": 1, "maximum": 100_000, "default": 400},
        "samples": {"type": "integer", "minimum": 1, "maximum": 64, "default": 1},
        "temperature": {
            "default": 1.0,
            "anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}],
        },
    },
}


def a_writer(*, allowed: int | None = 2_000_000, **bound: object) -> dict[str, CatalogEntry]:
    """A catalog with a model that states what one item can make it write."""
    fields = {
        "factors": ("length", "samples"),
        "lists": ("temperature",),
        "max_characters": 1_000_000,
    }
    task = TaskSchema(parameters=WRITING, unit_items=32, output=OutputBound(**fields | bound))
    entry = an_entry(model="writer", tasks={"generate": task}, max_output_characters=allowed)
    return {"writer": entry}


def a_generation(**parameters: object) -> Job:
    return a_job("generate", model="writer", parameters=parameters)


@pytest.mark.parametrize(
    ("parameters", "bound", "unit_items"),
    [
        ({}, {}, 32),
        ({"length": 100_000}, {}, 32),
        ({"length": 100_000, "samples": 10}, {}, 8),
        ({"length": 50_000, "samples": 5, "temperature": [0.5, 1]}, {}, 16),
        ({"length": 100_000}, {"characters_per_symbol": 5}, 16),
        ({"length": 100_000}, {"characters_per_symbol": 128}, 8),
        ({"length": 100_000, "samples": 60}, {"max_characters": 2**32}, 1),
        # One that cuts what it writes is bounded by that.
        ({"length": 100_000}, {"characters_per_symbol": 4_096, "allowed": 2_000_000}, 8),
    ],
)
def test_a_unit_holds_no_more_items_than_write_what_a_commit_takes(parameters, bound, unit_items):
    admitted = admit(a_generation(**parameters), a_writer(**{"allowed": None} | bound))

    assert admitted.unit_items == unit_items


@pytest.mark.parametrize(
    ("parameters", "catalog", "said"),
    [
        (
            {"length": 100_000, "temperature": [0.5, 0.7, 1.0, 1.2], "samples": 3},
            a_writer(),
            "writer generate: length 100,000 x samples 3 x 4 of temperature are 1,200,000 symbols "
            "for each item; allowed: 1,000,000. Ask for fewer or shorter texts.",
        ),
        (
            {},
            a_writer(allowed=50_000, characters_per_symbol=128),
            "writer generate: length 400 x samples 1 x 1 of temperature can be 51,200 characters "
            "for each item; allowed: 50,000 (SEQD_MAX_OUTPUT_CHARACTERS of the workers). Ask for "
            "fewer or shorter texts.",
        ),
    ],
    ids=["the plugin", "the operator"],
)
def test_an_item_that_could_write_more_than_is_allowed_is_refused(parameters, catalog, said):
    with pytest.raises(InvalidParameters) as refusal:
        admit(a_generation(**parameters), catalog)

    assert str(refusal.value) == said


def an_embedder(shape: int) -> dict[str, CatalogEntry]:
    """A catalog with a model whose own task gives vectors of so many numbers."""
    vector = {"type": "string", "format": "float32-vector", "shape": [shape]}
    result = {"properties": {"vector": vector}, "required": ["vector"]}
    task = TaskSchema(parameters={}, unit_items=512, result=result, digest="0" * 64)
    return {"embedder": an_entry(model="embedder", tasks={}, run_tasks={"embed": task})}


@pytest.mark.parametrize(("shape", "unit_items"), [(256, 512), (4_096, 384), (65_536, 24)])
def test_a_unit_holds_fewer_items_the_longer_their_vectors_are(shape, unit_items):
    admitted = admit(a_job("run", model="embedder", task="embed"), an_embedder(shape))

    assert admitted.unit_items == unit_items
    assert admitted.task_schema is not None
    assert admitted.task_schema.result_bytes == 4 * shape


def with_topics(**changes: object) -> dict[str, CatalogEntry]:
    """The catalog with a model `topics` too, which is made with `imdb_lstm`."""
    fields = {"model": "topics", "made_with": "imdb_lstm"}
    return a_catalog() | {"topics": an_entry(**fields | changes)}


def a_training(model: str, plugin: str | None = None, **changes: object) -> Job:
    return a_job("train", model=model, plugin=plugin, **changes)


@pytest.mark.parametrize(
    ("job", "version", "unit_items"),
    [
        (a_training("moods", "imdb_lstm", parameters={"epochs": 3}), None, 1),
        (a_training("moods", "imdb_lstm", preset="tutorial"), None, 1),
        (a_training("topics"), None, 1),
        (a_training("topics", "imdb_lstm"), None, 1),
        (a_job(model="topics"), 2, 256),
    ],
)
def test_jobs_of_a_named_model_are_routed_by_what_it_is_made_with(job, version, unit_items):
    admitted = admit(job, with_topics())

    assert (*sizes(admitted), admitted.plugin) == (version, unit_items, "imdb_lstm")


TAKEN = (
    "model {0!r} is made with {2}, and a model's plugin never changes: it cannot be trained with "
    "{1!r}. Choose another name: --as NAME."
)


@pytest.mark.parametrize(
    ("job", "error", "said"),
    [
        (
            a_training("topic"),
            UnknownModel,
            "no model named 'topic'. Known models: imdb_lstm, markov, topics. Did you mean "
            "'topics'?",
        ),
        (a_training("moods", "imbd_lstm"), UnknownModel, "no model named 'imbd_lstm'."),
        (
            a_training("moods", "topics"),
            InvalidRequest,
            "model 'topics' is made with imdb_lstm, and is no plugin's own: nothing is made with "
            "it. Make 'moods' with 'imdb_lstm'.",
        ),
        *(
            (a_training(model, plugin), ModelNameTaken, TAKEN.format(model, plugin, made_with))
            for model, plugin, made_with in (
                ("topics", "markov", "imdb_lstm"),
                ("topics", "topics", "imdb_lstm"),
                ("topics", "gone", "imdb_lstm"),
                ("markov", "imdb_lstm", "markov"),
            )
        ),
        *(
            (a_training("moods", "imdb_lstm", **given), InvalidParameters, "")
            for given in ({"parameters": {"epochs": 0}}, {"preset": "slow"})
        ),
    ],
)
def test_a_training_whose_name_or_plugin_does_not_fit_is_refused(job, error, said):
    with pytest.raises(error) as refusal:
        admit(job, with_topics())

    assert str(refusal.value).startswith(said)


def test_a_bare_name_without_a_version_in_service_is_refused_with_the_way_to_put_one_there():
    catalog = with_topics(labels={"latest": 5, "best": 0})

    with pytest.raises(UnknownModel) as refusal:
        admit(a_job(model="topics"), catalog)

    assert str(refusal.value) == (
        "no version of topics is in service. Put one there: seqd models promote topics@5. Or ask "
        "for a version."
    )
    assert admit(a_job(model="topics@best"), catalog).version == 0
