"""What is kept beside a version: bounded, the newest of each data, of that very version alone."""

import logging

import pytest

from seqd.errors import UnknownModel
from seqd.models.cards import (
    keep_evaluation,
    keep_speed,
    measurements_file,
    numbers_in,
    read_measurements,
    version_digest,
)
from seqd.models.store import ModelStore
from seqd_schemas import (
    DataFingerprint,
    EvaluatedMetric,
    MeasuredSpeed,
    ModelManifest,
    VersionEvaluation,
)
from store_builders import publish


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", {})


def an_evaluation(data: int = 1, at_ms: int = 1, **parameters: bool) -> VersionEvaluation:
    return VersionEvaluation(
        data=DataFingerprint(description="test.jsonl", records=4, sha256=f"{data:064x}"),
        at_ms=at_ms,
        task="classify",
        items=4,
        parameters=dict(parameters),
        metrics={"accuracy": EvaluatedMetric(value=0.75)},
    )


def a_speed(machine: str = "one", at_ms: int = 1) -> MeasuredSpeed:
    return MeasuredSpeed(
        at_ms=at_ms,
        machine=machine,
        slot="cpu:0",
        threads=2,
        task="classify",
        items=10,
        seconds=2.0,
        items_per_s=5.0,
        characters_per_s=500.0,
    )


def published(store: ModelStore, content: str = "{}") -> ModelManifest:
    return store.open("topics", publish(store, content=content)).manifest


def test_of_two_evaluations_on_the_same_data_with_the_same_parameters_the_newer_stays(store):
    manifest, folder = published(store), store.folder_of("topics")

    keep_evaluation(store, manifest, an_evaluation(data=1, at_ms=1))
    keep_evaluation(store, manifest, an_evaluation(data=2, at_ms=2))
    keep_evaluation(store, manifest, an_evaluation(data=1, at_ms=3))
    keep_evaluation(store, manifest, an_evaluation(data=1, at_ms=4, fast=True))

    kept = read_measurements(folder, manifest).evaluations
    found = [(one.data.sha256[-1], one.at_ms, one.parameters) for one in kept]
    assert found == [("2", 2, {}), ("1", 3, {}), ("1", 4, {"fast": True})]


def test_each_machine_has_its_newest_speed(store):
    manifest, folder = published(store), store.folder_of("topics")

    for machine, at_ms in (("one", 1), ("two", 2), ("one", 3)):
        keep_speed(store, manifest, a_speed(machine, at_ms))
    keep_evaluation(store, manifest, an_evaluation())

    found = read_measurements(folder, manifest)
    assert [(one.machine, one.at_ms) for one in found.speeds] == [("two", 2), ("one", 3)]
    assert len(found.evaluations) == 1


def test_a_version_opens_with_what_was_measured_of_it_and_loses_that_when_it_is_removed(store):
    published(store)
    second, folder = published(store, '{"records": 2}'), store.folder_of("topics")
    keep_evaluation(store, second, an_evaluation())

    assert store.open("topics", 2).manifest == second
    assert store.numbers("topics") == [1, 2]
    assert measurements_file(folder, 2).exists()
    store.remove("topics", 2)
    assert not measurements_file(folder, 2).exists()


def test_nothing_is_kept_of_a_version_that_was_removed_meanwhile(store):
    published(store)
    second, folder = published(store, '{"records": 2}'), store.folder_of("topics")
    store.remove("topics", 2)

    with pytest.raises(UnknownModel, match="topics@2 was removed meanwhile"):
        keep_evaluation(store, second, an_evaluation())

    assert not measurements_file(folder, 2).exists()


def test_measurements_of_another_version_under_the_same_number_are_not_shown(store):
    manifest, folder = published(store), store.folder_of("topics")
    keep_evaluation(store, manifest, an_evaluation())
    other = published(store, '{"records": 2}').model_copy(update={"version": 1})

    assert version_digest(other) != version_digest(manifest)
    assert read_measurements(folder, other).evaluations == ()


def test_a_file_that_makes_no_sense_is_said_in_the_log_and_replaced(store, caplog):
    manifest, folder = published(store), store.folder_of("topics")
    keep_evaluation(store, manifest, an_evaluation())
    path = measurements_file(folder, 1)
    path.write_text("{}")

    with caplog.at_level(logging.WARNING):
        assert read_measurements(folder, manifest).evaluations == ()
    keep_evaluation(store, manifest, an_evaluation(data=2))

    assert caplog.messages[0] == (
        f"{path} does not say what was measured: version_sha256: Field required. Mend or remove it"
    )
    assert len(read_measurements(folder, manifest).evaluations) == 1


def test_a_link_in_the_place_of_the_file_is_not_followed(store, tmp_path):
    manifest, folder = published(store), store.folder_of("topics")
    keep_evaluation(store, manifest, an_evaluation())
    path = measurements_file(folder, 1)
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")

    assert read_measurements(folder, manifest).evaluations == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\0\0\0\0\0\0\0[[[[[[[[",
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0[]",
        b'\x0c\0\0\0\0\0\0\0{"a": {"b":1}}',
    ],
)
def test_a_file_that_is_none_has_no_numbers(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)

    assert numbers_in(path) is None
