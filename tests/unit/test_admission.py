"""A request is admitted or refused by what workers have published, without any plugin."""

import pytest
from pydantic import TypeAdapter

from seqd.admission import admit, resolve_version
from seqd.errors import InvalidParameters, InvalidRequest, UnknownModel
from seqd_schemas import (
    CatalogEntry,
    Job,
    ModelReference,
    OutputBound,
    TaskSchema,
    VersionSummary,
)

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
        "model": "imdb_lstm",
        "summary": "Likes or dislikes.",
        "plugin": "imdb_lstm",
        "plugin_version": "1.0",
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
        "published_at_ms": 1,
    }
    return CatalogEntry(**fields | changes)


def a_catalog(**changes: object) -> dict[str, CatalogEntry]:
    writer = an_entry(
        model="markov", tasks={"generate": TaskSchema(parameters=NOTHING, unit_items=8)}
    )
    return {"imdb_lstm": an_entry(**changes), "markov": writer}


def a_job(kind: str = "classify", **changes: object) -> Job:
    source = {"type": "upload"}
    fields = {"kind": kind, "model": "imdb_lstm", "source": source}
    return TypeAdapter(Job).validate_python(fields | changes)


def test_a_classification_is_admitted_on_a_fixed_version():
    job = a_job(model="imdb_lstm@5")

    admitted = admit(job, a_catalog())

    assert admitted.version == 5
    assert admitted.unit_items == 256


def test_a_training_makes_a_version_and_is_one_unit():
    job = a_job("train", preset="tutorial", parameters={"epochs": 1})

    admitted = admit(job, a_catalog())

    assert (admitted.version, admitted.unit_items) == (None, 1)


@pytest.mark.parametrize(
    ("labels", "wanted", "version"),
    [
        ({"production": 2}, "", 2),
        ({"candidate": 0}, "", 5),
        ({}, "", 5),
        ({}, "latest", 5),
        ({"latest": 2}, "latest", 2),
        ({"latest": 2}, "", 2),
        ({"production": 2}, "0", 0),
        ({"production": 2}, "05", 5),
        ({"production": 2}, "production", 2),
        ({"candidate": 5}, "candidate", 5),
    ],
)
def test_a_reference_is_resolved_to_one_version(labels, wanted, version):
    reference = ModelReference.parse(f"imdb_lstm@{wanted}")

    assert resolve_version(an_entry(labels=labels), reference.version) == version


@pytest.mark.parametrize(
    ("reference", "what"), [("imdb_lstm@3", "version 3"), ("imdb_lstm@best", "label 'best'")]
)
def test_an_unknown_version_or_label_is_answered_with_all_of_them(reference, what):
    with pytest.raises(UnknownModel) as refusal:
        admit(a_job(model=reference), a_catalog())

    assert str(refusal.value) == (
        f"model 'imdb_lstm' has no {what}. Versions: 0, 2, 5. "
        "Labels: candidate → 5, latest → 5, production → 2."
    )


def test_a_model_without_a_version_can_be_trained_and_nothing_else():
    catalog = a_catalog(versions=(), labels={})

    admit(a_job("train"), catalog)
    with pytest.raises(UnknownModel) as refusal:
        admit(a_job(), catalog)

    assert str(refusal.value) == (
        "model 'imdb_lstm' has no version yet: train one with `seqd train imdb_lstm`."
    )


def test_an_unknown_model_is_answered_with_the_known_ones():
    with pytest.raises(UnknownModel) as refusal:
        admit(a_job(model="imbd_lstm"), a_catalog())

    assert str(refusal.value) == (
        "no model named 'imbd_lstm'. Known models: imdb_lstm, markov. Did you mean 'imdb_lstm'? "
        "`seqd plugins list` shows plugins that failed to load; "
        "one that was installed since needs `seqd workers restart`."
    )


def test_an_empty_catalog_says_that_no_worker_was_ever_there():
    with pytest.raises(UnknownModel) as refusal:
        admit(a_job(), {})

    assert str(refusal.value) == (
        "no model named 'imdb_lstm': no worker has published a model yet. "
        "Start workers with `seqd up`; `seqd status` shows them."
    )


def test_a_task_that_the_model_cannot_do_is_refused_with_those_that_can():
    with pytest.raises(InvalidRequest) as refusal:
        admit(a_job("generate"), a_catalog())

    assert str(refusal.value) == (
        "model 'imdb_lstm' cannot generate; it can: classify, train. "
        "Models that can generate: markov."
    )


def test_an_unknown_preset_is_answered_with_the_known_ones():
    with pytest.raises(InvalidParameters) as refusal:
        admit(a_job("train", preset="tutorail"), a_catalog())

    assert str(refusal.value) == (
        "model 'imdb_lstm' has no preset named 'tutorail'. Its presets: tutorial. "
        "Did you mean 'tutorial'?"
    )


@pytest.mark.parametrize("role", ["source", "held_out"])
def test_an_unknown_data_set_is_answered_with_the_known_ones(role):
    job = a_job("train", **{role: {"type": "named", "name": "keras:imbd"}})

    with pytest.raises(InvalidRequest) as refusal:
        admit(job, a_catalog())

    assert str(refusal.value) == (
        "model 'imdb_lstm' knows no data set named 'keras:imbd'. Its data sets: keras:imdb. "
        "Did you mean 'keras:imdb'?"
    )


def test_parameters_are_checked_against_the_published_schema():
    job = a_job("train", preset="tutorial", parameters={"epochs": 0})

    with pytest.raises(InvalidParameters) as refusal:
        admit(job, a_catalog())

    assert str(refusal.value) == ("imdb_lstm train: parameter 'epochs' is 0; allowed: 1 to 100.")


def test_a_training_cannot_move_the_label_that_always_means_the_newest_version():
    job = a_job("train", labels=["production", "latest"])

    with pytest.raises(InvalidRequest) as refusal:
        admit(job, a_catalog())

    assert str(refusal.value) == (
        "the label 'latest' cannot be set: it always means the newest version, which the training "
        "makes anyway. Choose another, such as 'production'."
    )


def a_sweep(**changes: object) -> Job:
    fields = {"source": {"type": "named", "name": "keras:imdb"}, "grid": {"units": [8, 16]}}
    return a_job("sweep", **fields | changes)


def test_a_sweep_makes_versions_a_unit_for_each_combination():
    admitted = admit(a_sweep(preset="tutorial", parameters={"epochs": 1}), a_catalog())

    assert (admitted.version, admitted.unit_items) == (None, 1)


def test_a_combination_that_the_model_does_not_take_is_named_before_anything_is_sent():
    job = a_sweep(grid={"units": [8, 16], "epochs": [1, 0]})

    with pytest.raises(InvalidParameters) as refusal:
        admit(job, a_catalog())

    assert str(refusal.value) == (
        "combination units=8,epochs=0: imdb_lstm train: parameter 'epochs' is 0; allowed: 1 to 100."
    )


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"parameters": {"units": 4}},
            InvalidParameters,
            "imdb_lstm train: parameter 'units' is swept and fixed; give it once.",
        ),
        (
            {"only": ("units=8", "units=9")},
            InvalidRequest,
            "the sweep has no combination units=9, which `only` names; name those of its grid, "
            "each once.",
        ),
        (
            {"model": "markov"},
            InvalidRequest,
            "model 'markov' cannot train; it can: generate. Models that can train: imdb_lstm.",
        ),
        (
            {"grid": {"unit": [8]}},
            InvalidParameters,
            "combination unit=8: imdb_lstm train: parameter 'unit' is unknown. Did you mean "
            "'units'? Known parameters: epochs, units.",
        ),
        ({"grid": {"units": [8, float("nan")]}}, InvalidParameters, "combination units=NaN: "),
        ({"labels": ("latest",)}, InvalidRequest, "the label 'latest' cannot be set"),
    ],
)
def test_a_sweep_that_could_not_run_is_refused(changes, error, said):
    with pytest.raises(error) as refusal:
        admit(a_sweep(**changes), a_catalog())

    assert str(refusal.value).startswith(said)


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


def a_writer(
    *, allowed: int | None = 2_000_000, unit_items: int = 32, **bound: object
) -> dict[str, CatalogEntry]:
    """A catalog with a model that states what one item can make it write."""
    fields = {
        "factors": ("length", "samples"),
        "lists": ("temperature",),
        "max_characters": 1_000_000,
    }
    task = TaskSchema(
        parameters=WRITING, unit_items=unit_items, output=OutputBound(**fields | bound)
    )
    entry = an_entry(
        model="writer", tasks={"generate": task}, labels={}, max_output_characters=allowed
    )
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
    ],
)
def test_a_unit_holds_no_more_items_than_write_what_a_commit_takes(parameters, bound, unit_items):
    admitted = admit(a_generation(**parameters), a_writer(allowed=None, **bound))

    assert admitted.unit_items == unit_items


def an_embedder(shape: int, unit_items: int = 512) -> dict[str, CatalogEntry]:
    """A catalog with a model whose own task gives vectors of so many numbers."""
    vector = {"type": "string", "format": "float32-vector", "shape": [shape]}
    task = TaskSchema(
        parameters={},
        unit_items=unit_items,
        result={"properties": {"vector": vector}, "required": ["vector"]},
        digest="0" * 64,
    )
    return {"embedder": an_entry(model="embedder", tasks={}, run_tasks={"embed": task}, labels={})}


@pytest.mark.parametrize(("shape", "unit_items"), [(256, 512), (4_096, 384), (65_536, 24)])
def test_a_unit_holds_fewer_items_the_longer_their_vectors_are(shape, unit_items):
    job = a_job("run", model="embedder", task="embed")

    admitted = admit(job, an_embedder(shape))

    assert admitted.unit_items == unit_items
    assert admitted.task_schema is not None
    assert admitted.task_schema.result_bytes == 4 * shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "embedd"},
            "model 'embedder' cannot embedd; it can: embed. Did you mean 'embed'? Models that can "
            "embedd: none.",
        ),
        (
            {"task": "embed", "stream": True},
            "embedder embed writes no text: `stream` is for tasks whose output has a field `text`. "
            "Read the results.",
        ),
    ],
)
def test_what_a_task_of_a_plugins_own_cannot_do_is_refused(changes, message):
    job = a_job("run", model="embedder", **changes)

    with pytest.raises(InvalidRequest) as refused:
        admit(job, an_embedder(256))

    assert str(refused.value) == message


def test_an_item_that_could_write_more_than_the_plugin_allows_is_refused():
    job = a_generation(length=100_000, temperature=[0.5, 0.7, 1.0, 1.2], samples=3)

    with pytest.raises(InvalidParameters) as refusal:
        admit(job, a_writer())

    assert str(refusal.value) == (
        "writer generate: length 100,000 x samples 3 x 4 of temperature are 1,200,000 symbols for "
        "each item; allowed: 1,000,000. Ask for fewer or shorter texts."
    )


def test_an_item_that_could_write_more_than_the_operator_allows_is_refused():
    with pytest.raises(InvalidParameters) as refusal:
        admit(a_generation(), a_writer(allowed=50_000, characters_per_symbol=128))

    assert str(refusal.value) == (
        "writer generate: length 400 x samples 1 x 1 of temperature can be 51,200 characters for "
        "each item; allowed: 50,000 (SEQD_MAX_OUTPUT_CHARACTERS of the workers). Ask for fewer or "
        "shorter texts."
    )


def test_a_model_that_cuts_what_it_writes_is_bounded_by_that():
    admitted = admit(a_generation(length=100_000), a_writer(characters_per_symbol=4_096))

    assert admitted.unit_items == 8
