"""A version as one file: what is written is read again, and nothing foreign is trusted."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import ArtifactDamaged, InvalidData, ModelNameTaken
from seqd.models.archives import import_archive, read_archived_manifest, write_archive
from seqd.models.store import ModelStore
from seqd_schemas import DataFingerprint, VersionOrigin
from store_builders import files_of, publish

#: A member of a tar: its name, its content, and its kind.
Member = tuple[str, bytes, bytes]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with `topics@1`, made with `echo`."""
    store = ModelStore(tmp_path / "models", {})
    publish(store, "topics", "echo", metrics={"loss": 0.5})
    return store


@pytest.fixture
def other(tmp_path: Path) -> ModelStore:
    """An empty store, as on another machine."""
    return ModelStore(tmp_path / "elsewhere", {})


@pytest.fixture
def archive(store: ModelStore, tmp_path: Path) -> Path:
    """The archive of `topics@1`."""
    path = tmp_path / "topics-1.tar"
    with path.open("wb") as file:
        write_archive(store.open("topics", 1), file)
    return path


def members_of(path: Path) -> list[Member]:
    with tarfile.open(path) as archive:
        return [
            (one.name, archive.extractfile(one).read(), one.type)  # type: ignore[union-attr]
            for one in archive.getmembers()
        ]


def written(path: Path, members: list[Member]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = (len(content) if kind == tarfile.REGTYPE else 0), kind
            member.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_version_is_the_next_one_of_its_model_in_another_store(
    archive: Path, store: ModelStore, other: ModelStore
):
    publish(other, "topics", "echo", content='{"records": 2}')

    manifest, is_new = import_archive(other, archive, "topics")

    assert (manifest.model, manifest.version, is_new) == ("topics", 2, True)
    original, taken = store.open("topics", 1), other.open("topics", 2)
    assert (taken.folder / "echo.json").read_bytes() == (original.folder / "echo.json").read_bytes()
    assert taken.manifest.metrics == {"loss": 0.5}
    assert other.plugin_of("topics") == "echo"
    assert other.resolve("topics") == ("topics", 1)


def test_the_first_version_that_comes_goes_into_service_under_any_name(
    archive: Path, other: ModelStore
):
    import_archive(other, archive, "subjects")

    assert other.resolve("subjects") == ("subjects", 1)
    assert other.open("subjects", 1).manifest.plugin == "echo"


def test_an_imported_version_says_what_it_is_elsewhere_and_nothing_of_that_stores_jobs(
    store: ModelStore, other: ModelStore, tmp_path: Path
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
    assert manifest.origin == VersionOrigin(
        worker="cpu:0@lab", slot="cpu:0", attempts=2, imported_from="topics@2"
    )


def test_the_same_archive_twice_adds_one_version(archive: Path, other: ModelStore):
    first, _ = import_archive(other, archive, "topics")
    second, is_new = import_archive(other, archive, "topics")

    assert (second.version, is_new) == (first.version, False)
    assert other.numbers("topics") == [1]
    assert other.staged() == []


def test_an_archive_of_another_plugin_is_refused_and_leaves_nothing(
    archive: Path, other: ModelStore
):
    publish(other, "topics", "another")
    before = files_of(other.folder_of("topics"))

    with pytest.raises(ModelNameTaken):
        import_archive(other, archive, "topics")

    assert files_of(other.folder_of("topics")) == before
    assert other.staged() == []


def a_link(members: list[Member]) -> list[Member]:
    return [members[0], (members[1][0], b"", tarfile.SYMTYPE)]


def a_hard_link(members: list[Member]) -> list[Member]:
    return [members[0], (members[1][0], b"", tarfile.LNKTYPE)]


def a_device(members: list[Member]) -> list[Member]:
    return [members[0], (members[1][0], b"", tarfile.CHRTYPE)]


def a_folder(members: list[Member]) -> list[Member]:
    return [members[0], (members[1][0], b"", tarfile.DIRTYPE)]


def a_path_outside(members: list[Member]) -> list[Member]:
    return [members[0], ("../../echo.json", members[1][1], tarfile.REGTYPE)]


def an_absolute_path(members: list[Member]) -> list[Member]:
    return [members[0], ("/tmp/echo.json", members[1][1], tarfile.REGTYPE)]


def a_file_more(members: list[Member]) -> list[Member]:
    return [*members, ("more.py", b"import os", tarfile.REGTYPE)]


def a_file_twice(members: list[Member]) -> list[Member]:
    return [*members, members[1]]


def a_file_less(members: list[Member]) -> list[Member]:
    return members[:1]


def no_manifest(members: list[Member]) -> list[Member]:
    return members[1:]


def files_first(members: list[Member]) -> list[Member]:
    return members[::-1]


def a_larger_file(members: list[Member]) -> list[Member]:
    return [members[0], (members[1][0], members[1][1] + b" ", tarfile.REGTYPE)]


def a_manifest_of_code(members: list[Member]) -> list[Member]:
    manifest = members[0][1].replace(b"echo.json", b"echo.py")
    return [(members[0][0], manifest, tarfile.REGTYPE), ("echo.py", b"", tarfile.REGTYPE)]


def a_manifest_of_a_path(members: list[Member]) -> list[Member]:
    manifest = members[0][1].replace(b"echo.json", b"../echo.json")
    return [(members[0][0], manifest, tarfile.REGTYPE), ("../echo.json", b"", tarfile.REGTYPE)]


def no_json(members: list[Member]) -> list[Member]:
    return [(members[0][0], b"{", tarfile.REGTYPE), *members[1:]]


def a_later_manifest(members: list[Member]) -> list[Member]:
    manifest = b'{"schema_version": 99}'
    return [(members[0][0], manifest, tarfile.REGTYPE), *members[1:]]


@pytest.mark.parametrize(
    ("forged", "told"),
    [
        (a_link, "has 'echo.json', no regular file, where echo.json is due"),
        (a_hard_link, "has 'echo.json', no regular file, where echo.json is due"),
        (a_device, "has 'echo.json', no regular file, where echo.json is due"),
        (a_folder, "has 'echo.json', no regular file, where echo.json is due"),
        (a_path_outside, "has '../../echo.json', a file, where echo.json is due"),
        (an_absolute_path, "has '/tmp/echo.json', a file, where echo.json is due"),
        (a_file_more, "has more in it than its manifest lists"),
        (a_file_twice, "has more in it than its manifest lists"),
        (a_file_less, "is cut off: echo.json is missing"),
        (no_manifest, "has 'echo.json', a file, where manifest.json is due"),
        (files_first, "has 'echo.json', a file, where manifest.json is due"),
        (a_larger_file, "has 15 bytes for echo.json; allowed: 14"),
        (a_manifest_of_code, "its manifest lists 'echo.py': allowed endings: "),
        (a_manifest_of_a_path, "its manifest lists '../echo.json': allowed names: "),
        (no_json, "has no manifest: "),
        (a_later_manifest, "was written by a later version of seqd"),
    ],
)
def test_what_no_archive_of_ours_has_is_refused_and_leaves_nothing(
    archive: Path,
    other: ModelStore,
    tmp_path: Path,
    forged: Callable[[list[Member]], list[Member]],
    told: str,
):
    path = written(tmp_path / "forged.tar", forged(members_of(archive)))

    with pytest.raises(InvalidData) as refused:
        import_archive(other, path, "topics")

    assert told in str(refused.value)
    assert other.models() == []
    assert other.staged() == []
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "elsewhere",
        "forged.tar",
        "models",
        "topics-1.tar",
    ]


def test_a_file_with_another_digest_is_refused(archive: Path, other: ModelStore, tmp_path: Path):
    manifest, (name, content, kind) = members_of(archive)
    path = written(tmp_path / "forged.tar", [manifest, (name, content[::-1], kind)])

    with pytest.raises(ArtifactDamaged) as refused:
        import_archive(other, path, "topics")

    assert "echo.json in " in str(refused.value)
    assert "is not the file that its manifest names" in str(refused.value)
    assert other.models() == []


@pytest.mark.parametrize("name", ["nothing", "a folder", "a text"])
def test_what_is_no_archive_at_all_is_refused_by_name(tmp_path: Path, name: str):
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
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
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


def with_pax(path: Path, headers: dict[str, str], members: list[Member]) -> Path:
    """Write members of which the last has further headers."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, _ in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.pax_headers = headers if name == members[-1][0] else {}
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_file_with_holes_is_refused_since_it_would_fill_the_disk(
    archive: Path, other: ModelStore, tmp_path: Path
):
    manifest, (name, _, kind) = members_of(archive)
    larger = manifest[1].replace(b'"size_bytes":14', b'"size_bytes":14000000')
    holes = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "14000000", "GNU.sparse.numblocks": "1"}
    members = [(manifest[0], larger, manifest[2]), (name, b"", kind)]
    path = with_pax(tmp_path / "forged.tar", holes, members)

    with pytest.raises(InvalidData, match=r"no regular file, where echo\.json is due"):
        import_archive(other, path, "topics")

    assert other.staged() == []


@pytest.mark.parametrize(
    "headers", [{"GNU.sparse.map": "0,x"}, {"GNU.sparse.size": "x", "GNU.sparse.map": "0,0"}]
)
def test_headers_that_make_no_sense_are_refused(
    archive: Path, other: ModelStore, tmp_path: Path, headers: dict[str, str]
):
    path = with_pax(tmp_path / "forged.tar", headers, members_of(archive))

    with pytest.raises(InvalidData, match="is no archive of a version, or is cut off"):
        import_archive(other, path, "topics")

    assert other.staged() == []


def test_headers_without_end_are_refused(archive: Path, tmp_path: Path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    block = header.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    path = tmp_path / "forged.tar"
    path.write_bytes(2_000 * block + archive.read_bytes())

    with pytest.raises(InvalidData, match="is no archive of a version, or is cut off"):
        read_archived_manifest(path)
