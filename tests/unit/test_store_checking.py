"""No byte of a version is trusted: a folder that is not what its manifest says never opens."""

import hashlib
import json

import pytest

from seqd.errors import ArtifactDamaged
from seqd.models.store import ModelStore
from store_builders import a_version_draft


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", {})


@pytest.fixture
def folder(store, tmp_path):
    staged = store.new_folder("lstm", "job")
    (staged / "weights.safetensors").write_bytes(b"0123456789")
    (staged / "vocabulary.json").write_text("[]")
    store.publish(staged, a_version_draft("lstm"))
    return tmp_path / "models" / "lstm" / "1"


def refusal(store) -> str:
    with pytest.raises(ArtifactDamaged) as raised:
        store.open("lstm", 1)
    return str(raised.value)


def rewrite_manifest(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def overwrite(path, content):
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_whole_version_opens(store, folder):
    artifact = store.open("lstm", 1)

    assert artifact.folder == folder
    assert set(artifact.manifest.files) == {"weights.safetensors", "vocabulary.json"}
    assert (folder / "weights.safetensors").stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("content", [b"0123456780", b"01234", b""])
def test_a_changed_file_is_named_with_both_digests(store, folder, content):
    overwrite(folder / "weights.safetensors", content)

    assert refusal(store) == (
        f"{folder}/weights.safetensors is not the file that was stored: its manifest says 10 "
        f"bytes with SHA-256 {hashlib.sha256(b'0123456789').hexdigest()}, the file has "
        f"{len(content)} bytes with SHA-256 {hashlib.sha256(content).hexdigest()}. Take another "
        "version, or train again"
    )


@pytest.mark.parametrize("name", ["model.pkl", "model.keras", "more.json", ".hidden"])
def test_a_planted_file_is_refused(store, folder, name):
    (folder / name).write_bytes(b"planted")

    assert refusal(store).startswith(f"{folder}/{name} is not in the version's manifest")


def test_a_missing_file_is_named(store, folder):
    (folder / "vocabulary.json").unlink()

    assert refusal(store) == f"{folder}/vocabulary.json cannot be read: No such file or directory"


def test_a_link_in_a_files_place_is_refused_even_to_the_same_bytes(store, folder, tmp_path):
    (tmp_path / "same.safetensors").write_bytes(b"0123456789")
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").symlink_to(tmp_path / "same.safetensors")

    assert refusal(store) == (
        f"{folder}/weights.safetensors is refused: it is no regular file; links, folders and "
        "devices are refused"
    )


def test_a_link_in_the_manifests_or_the_folders_place_is_refused(store, folder, tmp_path):
    (folder / "manifest.json").rename(tmp_path / "manifest.json")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest.json")
    manifest_refusal = refusal(store)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")

    assert manifest_refusal.startswith(f"{folder}/manifest.json cannot be read: ")
    assert refusal(store) == f"{folder} is a link; a model version is a folder of its own"


@pytest.mark.parametrize("name", ["../../secret.json", "/etc/x.json", "a\\b.json", "x.pkl"])
def test_a_manifest_that_names_what_no_version_holds_is_refused(store, folder, name):
    rewrite_manifest(folder, lambda m: m["files"].update({name: m["files"]["vocabulary.json"]}))

    assert refusal(store).startswith(f"the manifest in {folder} lists {name!r}: allowed ")


def test_a_version_of_another_model_is_refused(store, folder):
    rewrite_manifest(folder, lambda m: m.update(version=2))

    assert refusal(store) == f"{folder} should hold lstm@1; its manifest says lstm@2"


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff", b"[" * 2**20 + b"["])
def test_a_manifest_that_is_none_is_refused(store, folder, content):
    overwrite(folder / "manifest.json", content)

    assert str(folder / "manifest.json") in refusal(store)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"production": "1"}', "production: Input should be a valid integer"),
        ("[" * 100_000, "the whole: Invalid JSON: recursion limit exceeded"),
        ("\xff", "the whole: Invalid JSON: "),
        ('{"A b": 1}', "A b.[key]: String should match pattern"),
        (json.dumps({f"l{n}": 1 for n in range(1_001)}), "Dictionary should have at most 1000"),
    ],
)
def test_labels_that_make_no_sense_are_damage_and_versions_are_found_without(
    store, folder, content, fault
):
    (folder.parent / "labels.json").write_text(content, encoding="latin-1")

    with pytest.raises(ArtifactDamaged) as raised:
        store.resolve("lstm")
    assert "labels.json does not say which version each label is of: " in str(raised.value)
    assert fault in str(raised.value)
    assert str(raised.value).endswith(". Mend or remove it")
    assert store.resolve("lstm@1") == ("lstm", 1)
