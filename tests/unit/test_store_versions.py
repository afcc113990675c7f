"""The store finds, resolves and labels versions."""

import logging
import resource

import pytest

from seqd.errors import ArtifactDamaged, InvalidRequest, PluginFault, StoreUnwritable, UnknownModel
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft, seal_folder
from seqd_schemas import DataFingerprint


def a_draft(**changes) -> VersionDraft:
    values = {
        "model": "markov",
        "plugin_version": "1.0",
        "parameters": {"order": 1},
        "metrics": {"loss": 0.5},
        "data": DataFingerprint(description="a.txt", records=3, sha256="0" * 64),
        "created_at_ms": 1_700_000_000_000,
    }
    return VersionDraft(**(values | changes))


@pytest.fixture
def store(tmp_path):
    starter = tmp_path / "package" / "starter"
    starter.mkdir(parents=True)
    (starter / "chain.json").write_text("{}")
    seal_folder(starter, a_draft(), 0)
    return ModelStore(tmp_path / "models", {"markov": starter})


def publish(store, content="{}", **changes):
    draft = a_draft(**changes)
    folder = store.new_folder(draft.model, "job")
    (folder / "chain.json").write_text(content)
    return store.publish(folder, draft)


def test_a_store_without_a_folder_has_the_starters(store):
    assert store.models() == ["markov"]
    assert [manifest.version for manifest in store.versions("markov")] == [0]
    assert store.labels("markov") == {"production": 0, "latest": 0}
    assert store.resolve("markov") == ("markov", 0)
    assert store.open("markov", 0).manifest.model == "markov"


def test_versions_are_numbered_from_one_and_listed_ascending(store):
    numbers = [publish(store, job_id=f"job{n}").version for n in range(11)]

    assert numbers == list(range(1, 12))
    assert [manifest.version for manifest in store.versions("markov")] == list(range(12))
    assert store.labels("markov") == {"production": 0, "latest": 11}


def test_a_bare_name_means_the_version_in_service_whatever_is_trained(store):
    publish(store, job_id="a")
    publish(store, job_id="b")

    before = store.resolve("markov")
    store.set_label("markov", "production", 1)

    assert before == ("markov", 0)
    assert store.resolve("markov") == ("markov", 1)
    assert store.resolve("markov@latest") == ("markov", 2)
    assert store.resolve("markov@production") == ("markov", 1)
    assert store.resolve("markov@0") == ("markov", 0)
    assert store.labels("markov") == {"production": 1, "latest": 2}


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("markvo", "no model named 'markvo'. Models here: markov. Did you mean 'markov'?"),
        ("zebra", "no model named 'zebra'. Models here: markov."),
        ("markov@7", "no version markov@7. Versions of markov: 0, 1"),
        (
            "markov@prodution",
            "no label 'prodution' on markov. Its labels: latest, production. Did you mean "
            "'production'?",
        ),
        ("../etc", "'../etc' is not a model; allowed: a name, name@3 (a version) or name@label"),
    ],
)
def test_an_unknown_reference_is_answered_with_what_there_is(store, ref, message):
    publish(store)
    store.set_label("markov", "production", 1)

    with pytest.raises(UnknownModel) as raised:
        store.resolve(ref)

    assert str(raised.value) == message


def test_a_label_moves_and_leaves_the_others(store):
    publish(store, job_id="a")
    store.set_label("markov", "canary", 1)
    store.set_label("markov", "production", 0)

    store.set_label("markov", "production", 1)

    assert store.labels("markov") == {"canary": 1, "production": 1, "latest": 1}


@pytest.mark.parametrize("label", ["latest", "Production", "", "a/b", "1"])
def test_a_label_that_cannot_be_set_is_refused(store, label):
    with pytest.raises(InvalidRequest, match="label"):
        store.set_label("markov", label, 0)

    assert store.labels("markov") == {"production": 0, "latest": 0}


def test_a_label_is_never_set_to_a_version_that_does_not_open(store, tmp_path):
    publish(store)
    (tmp_path / "models" / "markov" / "1" / "extra.json").write_text("{}")

    with pytest.raises(ArtifactDamaged):
        store.set_label("markov", "production", 1)
    with pytest.raises(UnknownModel):
        store.set_label("markov", "production", 2)

    assert store.labels("markov") == {"production": 0, "latest": 1}


def test_a_job_finds_its_version(store):
    publish(store, job_id="job1")

    assert store.find_by_run("markov", "job1").version == 1
    assert store.find_by_run("markov", "job2") is None


def test_a_job_that_publishes_twice_gets_one_version(store, tmp_path):
    first = publish(store, job_id="job1")

    second = publish(store, content='{"other": 1}', job_id="job1")

    assert second == first
    assert store.numbers("markov") == [0, 1]
    assert list((tmp_path / "models" / ".staging").iterdir()) == []


def test_a_version_with_a_torn_manifest_does_not_hide_the_others(store, tmp_path, caplog):
    publish(store, job_id="a")
    publish(store, job_id="b")
    manifest = tmp_path / "models" / "markov" / "1" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:50])

    with caplog.at_level(logging.WARNING):
        versions = store.versions("markov")

    assert [version.version for version in versions] == [0, 2]
    assert f"{manifest} is not a manifest" in caplog.text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.keras", "allowed endings: .safetensors, .json, .onnx"),
        ("model.pkl", "allowed endings: .safetensors, .json, .onnx"),
        (".hidden.json", "allowed names: up to 128 of A-Z a-z 0-9 _ . - without a dot in front"),
    ],
)
def test_a_training_may_leave_data_only(store, name, reason):
    folder = store.new_folder("markov", "job")
    (folder / name).write_text("x")

    with pytest.raises(PluginFault) as raised:
        store.publish(folder, a_draft())

    assert str(raised.value) == f"a model version may not hold {name!r}: {reason}"
    assert store.numbers("markov") == [0]


def test_a_training_that_left_a_folder_a_link_or_nothing_is_refused(store, tmp_path):
    empty, nested, linked = (store.new_folder("markov", "job") for _ in range(3))
    (nested / "sub").mkdir()
    (linked / "a.json").symlink_to(tmp_path)

    with pytest.raises(PluginFault, match="wrote no file into"):
        store.publish(empty, a_draft())
    for folder in (nested, linked):
        with pytest.raises(PluginFault, match="it is no regular file"):
            store.publish(folder, a_draft())


def test_a_training_that_diverged_is_not_published(store):
    with pytest.raises(PluginFault, match="the training of markov diverged: loss is nan"):
        publish(store, metrics={"loss": float("nan")})


def test_a_discarded_folder_is_gone_and_nothing_else_can_be_discarded(store, tmp_path):
    folder = store.new_folder("markov", "job")
    (folder / "half.json").write_text("{")

    store.discard(folder)
    store.discard(folder)

    assert not folder.exists()
    with pytest.raises(PluginFault, match="is not a staging folder of this store"):
        store.discard(tmp_path / "package")
    assert (tmp_path / "package").exists()


def test_a_store_that_cannot_be_written_names_the_path_and_the_reason(tmp_path):
    (tmp_path / "models").write_text("a file in the folder's place")
    store = ModelStore(tmp_path / "models", {})

    with pytest.raises(StoreUnwritable) as raised:
        store.new_folder("markov", "job")

    assert str(raised.value) == (
        f"the model store cannot write {tmp_path}/models/.staging: Not a directory. Make room or "
        "mend the folder's permissions, or set SEQD_DATA_DIR to another folder"
    )
    assert raised.value.exit_status == 1


def test_a_disk_that_takes_no_more_leaves_the_store_as_it_was(store, tmp_path):
    folder = store.new_folder("markov", "job")
    (folder / "chain.json").write_text("{}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    # The closest thing to a full disk that needs no disk: no file may grow past 64 bytes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(StoreUnwritable) as raised:
            store.publish(folder, a_draft())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert str(raised.value).startswith(
        f"the model store cannot write {folder}/manifest.json: File too large. Make room"
    )
    assert store.numbers("markov") == [0]
    assert store.publish(folder, a_draft()).version == 1
