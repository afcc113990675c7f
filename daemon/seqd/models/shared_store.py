"""The model store at a URL, and this host's mirror of it, on which all else works as on any store.

| object below the URL | what it is |
| --- | --- |
| `format.json` | the number of this layout |
| `models/MODEL.json` | the model's record: its small files, its versions, each with the SHA-256 of its manifest, and the numbers of those that were removed |
| `versions/MODEL/N/SHA256-NAME` | a file of a version, or its manifest |

The mirror is to the store as a working copy is to a repository: a change pulls, is made in the
mirror, and pushes. The push puts the files of new versions first, and then the record, on condition
that it is the one that was pulled: one step, by which a version, its labels and its history appear
together. Of two hosts one is refused, pulls, and makes its change anew, of what is true by then.

Nobody sees an object that no record leads to, by digests: what a killed or refused publisher left
goes when its number is published, or removed. Manifests and small files are always in the mirror,
the files of a version once it is opened; those of versions that were opened long ago go for others.

A new version lies aside until its record is in the store, and one that is removed keeps its files
until then: other processes of the host see no version that is none.
"""  # noqa: E501

import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from math import inf
from pathlib import Path
from random import random
from typing import Annotated, Final, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from seqd.errors import (
    ArtifactDamaged,
    InvalidSettings,
    OtherFormat,
    SeqdError,
    StoreUnreachable,
    StoreUnwritable,
)
from seqd.models.disk import empty, exclusive, exclusive_if_free, write_atomically, writing
from seqd.models.model_records import RUN_ID
from seqd.models.version_files import MANIFEST_NAME, digest_of, read_manifest, refusal_of_name
from seqd.objects import Objects
from seqd.settings import Settings
from seqd.validation import MODEL_NAME
from seqd_schemas import FileDigest, Sha256, from_stored, to_stored

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: The number of the layout above.
LAYOUT: Final = "1"

#: Seconds for which a version's files stay, however full the cache is, since they were opened.
RECENT_S: Final = 600.0

#: How often a change is made anew, and the longest wait before that, in seconds.
_TRIES: Final = 40
_LONGEST_WAIT_S: Final = 1.0

#: Seconds between two looks whether a host may write that could not.
_LOOK_AGAIN_S: Final = 60.0

#: In a model's folder: the ETag of the record that the folder is equal to. It is not there while a
#: change goes on, so a folder that a killed process has left is pulled anew.
_PULLED: Final = ".pulled"
#: In the root of a mirror: its time is that of the last refresh, or of the last try since there was
#: one; files that are being fetched.
_REFRESHED: Final = ".refreshed"
_FETCHING: Final = ".fetching"

_NUMBER = r"[1-9][0-9]{0,8}"
_FILE = re.compile(
    r"(?:model|labels|rollout)\.json|history\.jsonl|evaluations/[0-9]{1,9}\.json"
    rf"|\.publishing-{RUN_ID.pattern}\.json|\.retiring-{_NUMBER}"
)
_VERSION = re.compile(_NUMBER)
#: A version that no record has yet.
_ASIDE = re.compile(rf"\.new-({_NUMBER})")
_REMOVED = re.compile(rf"\.removed-({_NUMBER})")

_Number = Annotated[str, StringConstraints(pattern=f"^{_NUMBER}$")]


class _Record(BaseModel):
    """What `models/MODEL.json` holds."""

    model_config = ConfigDict(frozen=True)

    token: str = Field(default="", description="A random word, new at each change.")
    files: dict[Annotated[str, StringConstraints(pattern=f"^(?:{_FILE.pattern})$")], str] = {}
    versions: dict[_Number, Sha256] = {}
    removed: tuple[_Number, ...] = ()


class _Refused(Exception):
    """Another host has changed the model since it was pulled."""


def shared_store(settings: Settings) -> "SharedStore | None":
    """Return the store at a URL that the settings name; None where they name a folder."""
    if settings.store_url is None:
        return None
    return SharedStore(settings.store_url, settings.store_dir, settings.store_cache_bytes)


def repeated(change: Callable[P, T]) -> Callable[P, T]:
    """Have a change of a model made anew where another host has changed it meanwhile."""

    @wraps(change)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        for count in range(_TRIES):
            try:
                return change(*args, **kwargs)
            except _Refused:
                time.sleep(min(_LONGEST_WAIT_S, 0.05 * 2**count) * random())
        raise StoreUnreachable(
            f"other hosts have changed the model {_TRIES} times in a row meanwhile; try it again"
        )

    return made


class SharedStore:
    """A store at a URL with its mirror in a folder, which processes of this host share."""

    def __init__(self, url: str, root: Path, cache_bytes: int) -> None:
        self.objects = Objects(url)
        self._url = self.objects.url
        self._root = root
        self._cache_bytes = cache_bytes
        self._is_known, self._looked_s = False, 0.0
        #: False where this host's credentials may not write.
        self.may_write = True

    @property
    def has_mirror(self) -> bool:
        """Return True once the mirror has said what the store says."""
        return (self._root / _REFRESHED).exists()

    def refresh(self, max_age_s: float = 0.0) -> None:
        """Have the mirror say what the store says, unless a process of this host tried just now.

        A model that is being changed on this host is passed over: whoever changes it pulls it.
        Raises StoreUnreachable, StoreUnwritable, OtherFormat, InvalidSettings.
        """
        looks_again = not self.may_write and time.monotonic() - self._looked_s >= _LOOK_AGAIN_S
        if looks_again or not self._is_known:
            self._look_at_format()
            self._is_known = True
        stamp = self._root / _REFRESHED
        with exclusive(self._root):
            if _age_s(stamp) < max_age_s:
                return
            try:
                self._pull_all()
            except SeqdError:
                with suppress(OSError):
                    os.utime(stamp)
                raise
            with writing(stamp):
                stamp.touch()

    def _pull_all(self) -> None:
        names = self.objects.etags("models")
        listed = {Path(name).stem: etag for name, etag in names.items()}
        here = {path.name for path in self._root.iterdir() if path.is_dir()}
        for name in filter(MODEL_NAME.fullmatch, sorted(here | listed.keys())):
            if self._pulled(name) != listed.get(name, ""):
                with writing(self._root):
                    (self._root / name).mkdir(exist_ok=True)
                with exclusive_if_free(self._root / name) as is_free:
                    if is_free:
                        try:
                            self._pull(name)
                        except ArtifactDamaged as error:  # which is no matter of the other models
                            log.warning("%s is as it was before: %s", name, error)

    def _look_at_format(self) -> None:
        """Make a store where there is none. Raises OtherFormat, InvalidSettings."""
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
        could_write, self.may_write = self.may_write, True
        self._looked_s = time.monotonic()
        try:
            content = f"{LAYOUT}\n".encode()
            self.objects.put("format.json", content)
            # By now it is there, with another ETag.
            if any(self.objects.put("format.json", content, etag) for etag in ("", '"none"')):
                raise InvalidSettings(
                    f"The server of {self._url} puts an object whatever the condition "
                    "(If-None-Match, If-Match), so hosts would undo each other's changes. Set "
                    "SEQD_STORE_URL to a bucket of one that keeps to it, as Amazon S3 does"
                )
        except StoreUnreachable:
            raise
        except StoreUnwritable as error:
            self.may_write = False
            if could_write:
                log.info("%s", error)
        found = self.objects.read("format.json")
        layout = LAYOUT if found is None else found[0].decode(errors="replace").strip()
        if layout != LAYOUT:
            raise OtherFormat(
                f"The model store {self._url} has layout {layout:.20}, and this release "
                f"reads layout {LAYOUT}. Upgrade seqd here, or set SEQD_STORE_URL to another place"
            )

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """Pull a model, and push what the block changes of its folder; both are undone on an error.

        The caller holds the lock of the folder, and repeats where it is refused. Raises
        StoreUnreachable, StoreUnwritable.
        """
        before, etag = self._pull(name)
        (self._root / name / _PULLED).unlink(missing_ok=True)
        try:
            yield
            etag = self._push(name, before, etag)
        except BaseException:
            with suppress(SeqdError, OSError):  # else the next refresh does so
                self._lay_out(name, before, etag)
            raise
        with suppress(StoreUnwritable):
            write_atomically(self._root / name / _PULLED, etag.encode())

    def _pulled(self, name: str) -> str | None:
        try:
            return (self._root / name / _PULLED).read_text()
        except OSError:
            return None

    def _pull(self, name: str) -> tuple[_Record, str]:
        """Have a model's folder equal its record; return that with its ETag, "" where none is."""
        found = self.objects.read(f"models/{name}.json")
        record, etag = _Record(), ""
        if found is not None:
            record, etag = self._record(name, found[0]), found[1]
        if etag != self._pulled(name):
            self._lay_out(name, record, etag)
        return record, etag

    def _record(self, name: str, content: bytes) -> _Record:
        try:
            return from_stored(_Record, content)
        except ValidationError as error:
            raise ArtifactDamaged(
                f"{self._url}/models/{name}.json is no record of a model "
                f"({error.error_count()} faults): restore it from the bucket's versions or a backup"
            ) from None

    def _lay_out(self, name: str, record: _Record, etag: str) -> None:
        """Make a model's folder equal to a record, so that no label is ahead of its version."""
        folder, is_whole = self._root / name, True
        with writing(folder):
            (folder / _PULLED).unlink(missing_ok=True)
            for number in _numbers_in(folder, _ASIDE):
                shutil.rmtree(new_version(folder, number))
            for number, digest in record.versions.items():
                if not (folder / number).exists():
                    with suppress(FileNotFoundError):  # its removal did not get into the store
                        (folder / f".removed-{number}").rename(folder / number)
                if _manifest_digest(folder / number) != digest:
                    is_whole &= self._take_manifest(name, number, digest)
            here = _files_in(folder)
            for file, content in record.files.items():
                (folder / file).parent.mkdir(exist_ok=True)
                if here.get(file) != content:
                    write_atomically(folder / file, content.encode())
            for file in here.keys() - record.files.keys():
                (folder / file).unlink()
            for number in _numbers_in(folder, _VERSION) - record.versions.keys():
                shutil.rmtree(folder / number)
            for number in _numbers_in(folder, _REMOVED) - {*record.removed}:
                shutil.rmtree(folder / f".removed-{number}")
            _empty_removed(folder, record)
        if is_whole:
            write_atomically(folder / _PULLED, etag.encode())

    def _take_manifest(self, name: str, number: str, digest: str) -> bool:
        """Take another manifest into the mirror; False where it is not what the record says."""
        folder, key = self._root / name, _key(name, number, digest, MANIFEST_NAME)
        found = self.objects.read(key)
        is_sound = found is not None and hashlib.sha256(found[0]).hexdigest() == digest
        aside = new_version(folder, number)
        aside.mkdir()
        if found is not None and is_sound:
            write_atomically(aside / MANIFEST_NAME, found[0])
        else:
            log.warning("%s@%s cannot be used: %s/%s is damaged", name, number, self._url, key)
        if (folder / number).exists():  # a version that had the number in another store
            shutil.rmtree(folder / number)
        aside.rename(folder / number)
        return is_sound

    def _push(self, name: str, before: _Record, etag: str) -> str:
        """Put what has changed in a model's folder; return the record's ETag. Raises _Refused."""
        folder = self._root / name
        removed = _numbers_in(folder, _REMOVED)
        aside = {number: new_version(folder, number) for number in _numbers_in(folder, _ASIDE)}
        new = {number: digest_of(path / MANIFEST_NAME).sha256 for number, path in aside.items()}
        # One that is there never changes, whatever its manifest says here.
        kept = {number: one for number, one in before.versions.items() if number not in removed}
        record = _Record(
            token=before.token,
            files=_files_in(folder),
            versions=kept | new,
            removed=tuple(sorted(removed, key=int)),
        )
        if record == before:
            return etag
        record = record.model_copy(update={"token": secrets.token_hex(8)})
        for number, digest in new.items():
            there = self.objects.etags(f"versions/{name}/{number}")  # by a push that was refused
            for key, path in self._keys(name, number, digest, aside[number]).items():
                if key not in there:
                    self.objects.upload(path, key)
        place = f"models/{name}.json"
        put = self.objects.put(place, to_stored(record).encode(), etag)
        if put is None:
            found = self.objects.read(place)  # ours, where the answer to a first try was lost
            if found is None or self._record(name, found[0]).token != record.token:
                raise _Refused
            put = found[1]
        with writing(folder):
            for number, path in aside.items():
                path.rename(folder / number)
            _empty_removed(folder, record)
        if record.versions != before.versions:
            self._clean(name, record)
            self._evict()
        return put

    def _keys(self, name: str, number: str, digest: str, folder: Path) -> dict[str, Path]:
        """Return the objects of a version, each with its file in a folder; its manifest last."""
        files = read_manifest(folder).files.items()
        keys = {_key(name, number, one.sha256, file): folder / file for file, one in files}
        return keys | {_key(name, number, digest, MANIFEST_NAME): folder / MANIFEST_NAME}

    def _clean(self, name: str, record: _Record) -> None:
        """Remove objects that no version needs, of numbers that nobody can publish any more."""
        try:
            needed, settled = set[str](), {*record.removed}
            for number, digest in record.versions.items():
                folder = self._root / name / number
                if _manifest_digest(folder) == digest:
                    needed |= self._keys(name, number, digest, folder).keys()
                    settled.add(number)
            for key in self.objects.etags(f"versions/{name}"):
                if key.split("/")[2] in settled and key not in needed:
                    self.objects.remove(key)
        except SeqdError as error:
            log.warning("objects of %s that nobody needs are left: %s", name, error)

    def fetch(self, name: str, version: int, is_damaged: bool = False) -> None:
        """Have all files of a version in the mirror, each as its manifest says.

        `is_damaged` says that those which are there are not. Raises ArtifactDamaged,
        StoreUnreachable, StoreUnwritable.
        """
        folder = self._root / name / str(version)
        manifest = read_manifest(folder)
        for file in manifest.files:
            if (reason := refusal_of_name(file)) is not None:
                raise ArtifactDamaged(f"the manifest in {folder} lists {file!r}: {reason}")
        aside = self._root / _FETCHING / f"{name}-{version}"
        with writing(aside):
            aside.mkdir(parents=True, exist_ok=True)
        is_new = False
        with exclusive(aside):
            for file, digest in manifest.files.items():
                target = folder / file
                with writing(target):
                    is_there = target.is_file() and target.stat().st_size == digest.size_bytes
                    if is_there and not (is_damaged and digest_of(target) != digest):
                        continue
                    self._fetch_file(_key(name, str(version), digest.sha256, file), aside, digest)
                    (aside / _FETCHED).chmod(0o444)
                    (aside / _FETCHED).replace(target)
                    is_new = True
            with suppress(OSError):
                os.utime(folder)  # it is in use
        if is_new:
            log.info("fetched %s@%d from %s", name, version, self._url)
            self._evict()

    def _fetch_file(self, key: str, aside: Path, expected: FileDigest) -> None:
        found = None
        for _ in range(2):  # a broken connection may be the reason
            if not self.objects.download(key, aside / _FETCHED):
                raise ArtifactDamaged(f"{self._url}/{key} is not there. {_ANOTHER}")
            found = digest_of(aside / _FETCHED)
            if found == expected:
                return
            (aside / _FETCHED).unlink()
        assert found is not None, "it was tried"
        raise ArtifactDamaged(
            f"{self._url}/{key} is not the file that was published: it should have "
            f"{expected.size_bytes:,} bytes with SHA-256 {expected.sha256}, and what came has "
            f"{found.size_bytes:,} with {found.sha256}. {_ANOTHER}"
        )

    def _evict(self) -> None:
        """Remove files of the versions that were opened longest ago, while there are too many."""
        used: list[tuple[float, int, list[Path]]] = []
        with suppress(OSError):  # another process is at it, too
            for folder in self._root.glob("*/*"):
                if _VERSION.fullmatch(folder.name) and MODEL_NAME.fullmatch(folder.parent.name):
                    files = [path for path in folder.iterdir() if path.name != MANIFEST_NAME]
                    size = sum(path.stat().st_size for path in files)
                    used.append((folder.stat().st_mtime, size, files))
            too_much = sum(size for _, size, _ in used) - self._cache_bytes
            for opened_s, size, files in sorted(used, key=lambda one: one[0]):
                if too_much <= 0 or time.time() - opened_s < RECENT_S:
                    return
                too_much -= size
                for path in files:
                    path.unlink(missing_ok=True)


def _age_s(stamp: Path) -> float:
    try:
        return abs(time.time() - stamp.stat().st_mtime)
    except OSError:
        return inf


_FETCHED: Final = "fetched"

_ANOTHER: Final = "Put another version in service, or train or import it again"


def _key(name: str, number: str, digest: str, file: str) -> str:
    return f"versions/{name}/{number}/{digest}-{file}"


def new_version(folder: Path, number: str) -> Path:
    """Return where a version lies that no record has yet."""
    return folder / f".new-{number}"


def _empty_removed(folder: Path, record: _Record) -> None:
    """Keep of removed versions the numbers alone."""
    for number in record.removed:
        removed = folder / f".removed-{number}"
        removed.mkdir(exist_ok=True)
        empty(removed)


def _manifest_digest(folder: Path) -> str | None:
    try:
        return digest_of(folder / MANIFEST_NAME).sha256
    except OSError:
        return None


def _numbers_in(folder: Path, form: re.Pattern[str]) -> set[str]:
    """Return the numbers of the versions whose folders have names of this form."""
    found = [form.fullmatch(path.name) for path in folder.iterdir()]
    return {match[form.groups] for match in found if match}


def _files_in(folder: Path) -> dict[str, str]:
    """Return the small files of a model that all hosts share."""
    paths = [*folder.iterdir(), *folder.glob("evaluations/*")]
    names = {str(path.relative_to(folder)): path for path in paths if path.is_file()}
    shared = {name: path for name, path in names.items() if _FILE.fullmatch(name)}
    return {name: path.read_bytes().decode(errors="replace") for name, path in shared.items()}
