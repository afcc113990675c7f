"""A version as one file: what is written is read again, and nothing foreign is trusted."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.cli.drafts import placed
from seqd.cli.output_forms import Form, Target
from seqd.errors import ArtifactDamaged, InvalidData
from seqd.models.archives import import_archive, read_archived_manifest, write_archive
from seqd.models.store import ModelStore
from seqd_schemas import DataFingerprint, VersionOrigin
from store_builders import publish

#: A member of a tar: its name, its content, and its kind.
Member = tuple[str, bytes, bytes]


@pytest.fixture
def store(tmp_path):
    """A store with `topics@1`, made with `echo`."""
    store = ModelStore(tmp_path / "models", {})
    publish(store, "topics", "echo", metrics={"loss": 0.5})
    return store


@pytest.fixture
def other(tmp_path):
    """An empty store, as on another machine."""
    return ModelStore(tmp_path / "elsewhere", {})


@pytest.fixture
def archive(store, tmp_path):
    """The archive of `topics@1`."""
    path = tmp_path / "topics-1.tar"
    with path.open("wb") as file:
        write_archive(store.open("topics", 1), file)
    return path


def members_of(path: Path) -> list[Member]:
    with tarfile.open(path) as archive:
        return [
            (one.name, archive.extractfile(one).read(), one.type) for one in archive.getmembers()
        ]


def written(path: Path, members: list[Member]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = (len(content) if kind == tarfile.REGTYPE else 0), kind
            member.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_file_that_goes_while_a_version_is_exported_is_named_and_no_archive_is_left(
    store, tmp_path
):
    artifact, out = store.open("topics", 1), tmp_path / "out.tar"
    gone = artifact.folder / max(artifact.manifest.files)
    gone.unlink()

    with (
        pytest.raises(ArtifactDamaged, match=f"^{gone} cannot be read: No such file"),
        placed(Target(out, Form.JSONL), "FILE", replaces=False) as file,
    ):
        write_archive(artifact, file)

    assert not out.exists()


def test_an_imported_version_says_what_it_is_elsewhere_and_nothing_of_that_stores_jobs(
    store, other, tmp_path
):
    held_out = DataFingerprint(description="test.jsonl", records=2, sha256="1" * 64)
    origin = VersionOrigin(
        worker="cpu:0@lab", slot="cpu:0", attempts=2, continues="j0", in_service=1
    )
    number = publish(store, "topics", "echo", held_out=held_out, origin=origin, job_id="j1")
    path = tmp_path / "topics-2.tar"
    with path.open("wb") as file:
        write_archive(store.open("topics", number), file)

    manifest, _ = import_archive(other, path, "subjects")

    assert manifest.held_out == held_out
    assert other.resolve("subjects") == ("subjects", 1)  # the first goes into service
    assert other.open("subjects", 1).manifest.plugin == "echo"
    assert manifest.origin == VersionOrigin(
        worker="cpu:0@lab", slot="cpu:0", attempts=2, imported_from="topics@2"
    )


FILE, LONG_NAME = tarfile.REGTYPE, tarfile.TarInfo("././@LongLink")
LONG_NAME.type, LONG_NAME.size = tarfile.GNUTYPE_LONGNAME, 1
WITHOUT_END = 2_000 * (LONG_NAME.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0"))
CUT_OFF = "is no archive of a version, or is cut off"
NO_FILE = "has 'echo.json', no regular file, where echo.json is due"


def with_manifest(old: bytes, new: bytes, *others: Member) -> Callable[[Member, Member], list]:
    """Return what changes a manifest and gives other files with it."""
    return lambda manifest, file: [
        (manifest[0], manifest[1].replace(old, new), FILE),
        *(others or [file]),
    ]


#: What is written in the place of a manifest and its file, and what is told of it.
FORGED: dict[str, tuple[Callable[[Member, Member], list], str]] = {
    "a link": (lambda manifest, file: [manifest, (file[0], b"", tarfile.SYMTYPE)], NO_FILE),
    "a path outside": (
        lambda manifest, file: [manifest, ("../../echo.json", file[1], FILE)],
        "has '../../echo.json', a file, where echo.json is due",
    ),
    "a file more": (
        lambda manifest, file: [manifest, file, ("more.py", b"import os", FILE)],
        "has more in it than its manifest lists",
    ),
    "a file less": (lambda manifest, file: [manifest], "is cut off: echo.json is missing"),
    "no manifest": (
        lambda manifest, file: [file, manifest],
        "has 'echo.json', a file, where manifest.json is due",
    ),
    "a larger file": (
        lambda manifest, file: [manifest, (file[0], file[1] + b" ", FILE)],
        "has 15 bytes for echo.json; allowed: 14",
    ),
    "another file": (
        lambda manifest, file: [manifest, (file[0], file[1][::-1], FILE)],
        "is not the file that its manifest names",
    ),
    "code": (
        with_manifest(b"echo.json", b"echo.py", ("echo.py", b"", FILE)),
        "its manifest lists 'echo.py': allowed endings: ",
    ),
    "a path": (
        with_manifest(b"echo.json", b"../echo.json", ("../echo.json", b"", FILE)),
        "its manifest lists '../echo.json': allowed names: ",
    ),
    "no JSON": (lambda manifest, file: [(manifest[0], b"{", FILE), file], "has no manifest: "),
    "a later manifest": (
        lambda manifest, file: [(manifest[0], b'{"format": 99}', FILE), file],
        "was written by a later version of seqd",
    ),
}


@pytest.mark.parametrize(("forged", "told"), FORGED.values(), ids=list(FORGED))
def test_what_no_archive_of_ours_has_is_refused_and_leaves_nothing(
    archive, other, tmp_path, forged, told
):
    path = written(tmp_path / "forged.tar", forged(*members_of(archive)))

    with pytest.raises((InvalidData, ArtifactDamaged)) as refused:
        import_archive(other, path, "topics")

    assert told in str(refused.value)
    assert other.models() == []
    assert other.staged() == []
    assert {one.name for one in tmp_path.iterdir()} == {
        "elsewhere", "forged.tar", "models", "topics-1.tar",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["nothing", "a folder", "a text"])
def test_what_is_no_archive_at_all_is_refused_by_name(tmp_path, name):
    path = tmp_path / "it.tar"
    if name == "a folder":
        path.mkdir()
    elif name == "a text":
        path.write_text("no tar")

    with pytest.raises(InvalidData) as refused:
        read_archived_manifest(path)

    assert str(path) in str(refused.value)


@given(data=st.data())
def test_an_archive_that_is_cut_off_or_changed_anywhere_is_refused_or_the_same(
    tmp_path_factory, data
):
    root = tmp_path_factory.mktemp("archives")
    store, other = ModelStore(root / "models", {}), ModelStore(root / "elsewhere", {})
    publish(store, "topics", "echo")
    whole = io.BytesIO()
    write_archive(store.open("topics", 1), whole)
    content = bytearray(whole.getvalue())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = root / "changed.tar"
    path.write_bytes(content)

    try:
        import_archive(other, path, "topics")
    except (InvalidData, ArtifactDamaged):
        assert other.models() == []
    else:
        taken, original = other.open("topics", 1), store.open("topics", 1)
        assert (taken.folder / "echo.json").read_bytes() == (
            original.folder / "echo.json"
        ).read_bytes()
    assert other.staged() == []


#: Headers of a file, of which one has a hole that would fill the disk, and others make no sense.
HEADERS = [
    (
        {"GNU.sparse.map": "0,0", "GNU.sparse.size": "14000000", "GNU.sparse.numblocks": "1"},
        NO_FILE,
    ),
    ({"GNU.sparse.map": "0,x"}, CUT_OFF),
    ({"GNU.sparse.size": "x", "GNU.sparse.map": "0,0"}, CUT_OFF),
]


@pytest.mark.parametrize(("headers", "told"), HEADERS)
def test_a_file_with_holes_and_headers_that_make_no_sense_are_refused(
    archive, other, tmp_path, headers, told
):
    manifest, (name, *_) = members_of(archive)
    larger = manifest[1].replace(b'"size_bytes":14', b'"size_bytes":14000000')
    path = tmp_path / "forged.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        for member, held in ((manifest[0], larger), (name, b"")):
            info = tarfile.TarInfo(member)
            info.size, info.pax_headers = len(held), headers if member == name else {}
            made.addfile(info, io.BytesIO(held))

    with pytest.raises(InvalidData) as refused:
        import_archive(other, path, "topics")

    assert told in str(refused.value)
    assert other.staged() == []


def test_headers_without_end_are_refused(archive, tmp_path):
    path = tmp_path / "forged.tar"
    path.write_bytes(WITHOUT_END + archive.read_bytes())

    with pytest.raises(InvalidData, match=CUT_OFF):
        read_archived_manifest(path)
