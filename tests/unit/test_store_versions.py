"""The store finds, resolves and labels versions."""

import logging
import resource

import pytest

from seqd.errors import InvalidRequest, PluginFault, StoreUnwritable, UnknownModel
from seqd.models.store import ModelStore
from store_builders import a_starter, a_version_draft, publish


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", {"echo": a_starter(tmp_path / "package" / "starter")})


def test_a_store_without_a_folder_has_the_starters(store):
    assert store.models() == ["echo"]
    assert store.labels("echo") == {"production": 0, "latest": 0}
    assert store.resolve("echo") == ("echo", 0)
    assert store.open("echo", 0).manifest.model == "echo"


def test_a_starter_is_not_removed(store):
    with pytest.raises(InvalidRequest) as refused:
        store.remove("echo", 0)

    assert str(refused.value) == (
        "echo@0 is the starter that ships with its plugin; it is not removed"
    )


def test_versions_are_numbered_from_one_and_a_bare_name_means_the_one_in_service(store):
    numbers = [publish(store, "echo", job_id=f"job{n}") for n in range(11)]
    before = store.resolve("echo")
    store.set_label("echo", "best", 3)
    store.set_label("echo", "production", 1)

    assert numbers == list(range(1, 12))
    assert [manifest.version for manifest in store.versions("echo")] == list(range(12))
    assert store.labels("echo") == {"production": 1, "best": 3, "latest": 11}
    assert before == ("echo", 0)
    found = [store.resolve(f"echo{which}")[1] for which in ("", "@latest", "@best", "@0")]
    assert found == [1, 11, 3, 0]


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("ecko", "no model named 'ecko'. Models here: echo. Did you mean 'echo'?"),
        ("zebra", "no model named 'zebra'. Models here: echo."),
        ("echo@7", "no version echo@7. Versions of echo: 0, 1"),
        (
            "echo@prodution",
            "no label 'prodution' on echo. Its labels: latest, production. Did you mean "
            "'production'?",
        ),
        ("../etc", "'../etc' is not a model; allowed: a name, name@3 (a version) or name@label"),
    ],
)
def test_an_unknown_reference_is_answered_with_what_there_is(store, ref, message):
    publish(store, "echo")

    with pytest.raises(UnknownModel) as raised:
        store.resolve(ref)

    assert str(raised.value) == message


@pytest.mark.parametrize("label", ["latest", "Production", "", "a/b", "1"])
def test_a_label_that_cannot_be_set_is_refused(store, label):
    with pytest.raises(InvalidRequest, match="label"):
        store.set_label("echo", label, 0)

    assert store.labels("echo") == {"production": 0, "latest": 0}


@pytest.mark.parametrize("name", ["a" * 300, "../topics", ""])
def test_what_no_model_can_be_called_is_no_model(store, name):
    with pytest.raises(UnknownModel):
        store.history(name)

    assert store.numbers(name) == []
    assert store.plugin_of(name) == name


def test_a_job_that_publishes_twice_gets_one_version(store, tmp_path):
    first = publish(store, "echo", job_id="job1")

    second = publish(store, "echo", content='{"other": 1}', job_id="job1")

    assert (first, second, store.numbers("echo")) == (1, 1, [0, 1])
    assert list((tmp_path / "models" / ".staging").iterdir()) == []
    found = store.find_by_run("echo", "job1")
    assert found is not None and found.version == 1
    assert store.find_by_run("echo", "job2") is None


def test_a_version_with_a_torn_manifest_does_not_hide_the_others(store, tmp_path, caplog):
    publish(store, "echo", job_id="a")
    publish(store, "echo", job_id="b")
    manifest = tmp_path / "models" / "echo" / "1" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:50])

    with caplog.at_level(logging.WARNING):
        versions = store.versions("echo")

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
    folder = store.new_folder("echo", "job")
    (folder / name).write_text("x")

    with pytest.raises(PluginFault) as raised:
        store.publish(folder, a_version_draft("echo"))

    assert str(raised.value) == f"a model version may not hold {name!r}: {reason}"
    assert store.numbers("echo") == [0]


def test_a_training_that_diverged_or_left_a_folder_a_link_or_nothing_is_refused(store, tmp_path):
    empty, nested, linked = (store.new_folder("echo", "job") for _ in range(3))
    (nested / "sub").mkdir()
    (linked / "a.json").symlink_to(tmp_path)

    with pytest.raises(PluginFault, match="wrote no file into"):
        store.publish(empty, a_version_draft("echo"))
    for folder in (nested, linked):
        with pytest.raises(PluginFault, match="it is no regular file"):
            store.publish(folder, a_version_draft("echo"))
    with pytest.raises(PluginFault, match="the training of echo diverged: loss is nan"):
        publish(store, "echo", metrics={"loss": float("nan")})


def test_a_discarded_folder_is_gone_and_nothing_else_can_be_discarded(store, tmp_path):
    folder = store.new_folder("echo", "job")
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
        store.new_folder("echo", "job")

    assert str(raised.value) == (
        f"the model store cannot write {tmp_path}/models/.staging: Not a directory. Make room or "
        "mend the folder's permissions, or set SEQD_DATA_DIR to another folder"
    )
    assert raised.value.exit_status == 1


def test_a_disk_that_takes_no_more_leaves_the_store_as_it_was(store):
    folder = store.new_folder("echo", "job")
    (folder / "chain.json").write_text("{}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    # The closest thing to a full disk that needs no disk: no file may grow past 64 bytes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(StoreUnwritable, match=r"manifest\.json: File too large\. Make room"):
            store.publish(folder, a_version_draft("echo"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert store.numbers("echo") == [0]
    assert store.publish(folder, a_version_draft("echo")).version == 1
