"""Which version of a model is in service: its first by itself, a later one when it is put there."""

from collections.abc import Callable

import pytest

from seqd.errors import (
    ArtifactDamaged,
    ServiceChanged,
    UnknownModel,
)
from seqd.models.store import ModelStore
from store_builders import a_change, files_of, train

pytestmark = pytest.mark.processes


@pytest.fixture
def root(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def store(root):
    return ModelStore(root, {})


def three_versions(store: ModelStore) -> ModelStore:
    for job in ("job-1", "job-2", "job-3"):
        train(store, job)
        store.finalize("topics", job)
    return store


def test_an_attempt_that_takes_over_a_first_version_puts_it_in_service(store, monkeypatch):
    def die(manifest: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_put_first_in_service", die)
    with pytest.raises(KeyboardInterrupt):
        train(store, "job-1")
    monkeypatch.undo()
    store.begin_publish("topics", "job-1", "attempt-2")

    found = store.take_over("topics", "job-1")

    assert found is not None and found.version == 1
    assert store.resolve("topics") == ("topics", 1)
    assert store.take_over("topics", "job-2") is None
    assert store.rollback("topics", "job-1") == 1
    assert store.labels("topics") == {}


@pytest.mark.parametrize(
    ("expected", "now", "told"),
    [
        (2, 1, "topics@1 is in service, no longer topics@2"),
        (None, 1, "topics@1 is in service, no longer none"),
        (1, None, "no version is in service, no longer topics@1"),
    ],
)
def test_a_version_is_not_put_in_service_where_another_one_is_than_was_expected(
    store, expected, now, told
):
    three_versions(store)
    if now is None:
        (store.folder_of("topics") / "labels.json").write_text("{}")
    before = files_of(store.folder_of("topics"))

    with pytest.raises(ServiceChanged) as refused:
        store.put_in_service("topics", a_change(expected, 3))

    assert str(refused.value) == (
        f"{told}: somebody was faster. topics@3 comes too late, and nothing is changed. Look at it "
        "with `seqd models history topics`, and say it again"
    )
    assert files_of(store.folder_of("topics")) == before


@pytest.mark.parametrize(
    ("version", "error"), [(2, ArtifactDamaged), (7, UnknownModel)], ids=["damaged", "missing"]
)
def test_a_version_that_does_not_open_is_not_put_in_service(store, version, error):
    three_versions(store)
    file = store.folder_of("topics") / "2" / "echo.json"
    file.chmod(0o644)
    file.write_text("{}")
    before = files_of(store.folder_of("topics"))

    with pytest.raises(error):
        store.put_in_service("topics", a_change(1, version))
    with pytest.raises(error):
        store.set_label("topics", "best", version)

    assert files_of(store.folder_of("topics")) == before


def test_damaged_labels_are_not_overwritten_by_a_version_that_is_put_in_service(store):
    three_versions(store)
    labels = store.folder_of("topics") / "labels.json"
    labels.write_text("[]")
    steps: list[Callable[[], object]] = [
        lambda: store.put_in_service("topics", a_change(1, 2)),
        lambda: store.set_label("topics", "production", 2),
        lambda: store.history("topics"),
        lambda: store.remove("topics", 2),
    ]

    for step in steps:
        with pytest.raises(ArtifactDamaged, match="which version each label is of"):
            step()

    assert labels.read_text() == "[]"


def test_a_label_is_dropped_unless_somebody_has_moved_it(store):
    three_versions(store)
    store.set_label("topics", "candidate", 2)
    store.set_label("topics", "best", 2)

    store.drop_label("topics", "candidate", 3)
    store.drop_label("topics", "nothing", 2)
    kept = store.labels("topics")
    store.drop_label("topics", "candidate", 2)

    assert kept == {"production": 1, "candidate": 2, "best": 2, "latest": 3}
    assert store.labels("topics") == {"production": 1, "best": 2, "latest": 3}
