"""What the model store of this machine is looked at for: each version whole, each label of use."""

import os
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from seqd.doctor.findings import Check, Finding, NotChecked, finding
from seqd.errors import ArtifactDamaged, InvalidSettings, StoreUnreachable
from seqd.models.model_records import PRODUCTION, read_labels
from seqd.models.store import ModelStore
from seqd.models.version_files import digest_of, read_manifest

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Findings at most.
_MOST: Final = 20

_MEND: Final = (
    "Restore its folder from a backup or another host's store. Else put another version in "
    "service, where this one is (`seqd models promote MODEL@N`), and remove it: `seqd models rm`"
)


def store_checks(settings: "Settings", *, deep: bool) -> list[Check]:
    """Return the checks of the store; with `deep` all bytes of all versions here are read.

    Of a store at a URL these are the files in this host's cache. Nothing is written to a store.
    """
    checks = _Checks(settings, deep=deep)
    which = "hashes" if deep else "sizes"
    files = "stored versions" if settings.store_url is None else "files in this host's cache"
    return [
        Check("model store", checks.folder),
        Check(f"{which} of {files}", checks.versions),
        Check("labels of models", checks.labels),
    ]


class _Checks:
    def __init__(self, settings: "Settings", *, deep: bool) -> None:
        self._settings = settings
        self._root = settings.store_dir
        self._url = settings.store_url
        self._deep = deep

    @cached_property
    def _store(self) -> ModelStore:
        """The store without plugins: what they bring is read in place, and their wheel's.

        Raises InvalidSettings.
        """
        return ModelStore.of(self._settings, {})

    def folder(self) -> Iterator[Finding]:
        if self._url is not None:
            yield from self._at_url()
            return
        self._check_there()
        if not os.access(self._root, os.R_OK | os.X_OK):
            yield finding(
                "store-unreadable",
                f"The model store {self._root} may not be read by the user {os.geteuid()}",
                f"Give it to that user: `chown -R {os.geteuid()} {self._root}`",
            )
        elif os.statvfs(self._root).f_flag & os.ST_RDONLY or not os.access(self._root, os.W_OK):
            yield finding(
                "store-unwritable",
                f"The model store {self._root} may not be written by the user {os.geteuid()}",
                "Mount it for writing, or give it to that user; serving alone does not need it",
            )

    def _at_url(self) -> Iterator[Finding]:
        try:
            if not self._is_there():
                what = f"There is no model store at {self._url}"
                yield finding("store-unreadable", what, _ADDRESS)
                return
            self._store.refresh()
        except (InvalidSettings, StoreUnreachable) as error:
            said = str(error).partition(". ")[0]
            yield finding("store-unreadable", said[0].upper() + said[1:], _REACH)
            return
        if not self._store.may_write(""):
            yield finding(
                "store-unwritable",
                f"The model store {self._url} may not be written with this host's credentials",
                "Give them s3:PutObject and s3:DeleteObject; serving alone does not need it",
            )

    def _is_there(self) -> bool:
        """Return False where `refresh` would make a store."""
        objects = self._store.objects
        return objects is not None and objects.read("format.json") is not None

    def versions(self) -> Iterator[Finding]:
        self._check_there()
        found = 0
        for name in self._names():
            for number in self._store.numbers(name):
                try:
                    self._check(name, number)
                except ArtifactDamaged as error:
                    found += 1
                    if found <= _MOST:
                        yield finding("store-damaged", f"{name}@{number}: {error}", _MEND)
        if found > _MOST:
            yield finding(
                "store-damaged",
                f"{found - _MOST:,} further versions are damaged",
                "See whether the disk is: its kernel's log (`dmesg`), `smartctl`",
            )

    def labels(self) -> Iterator[Finding]:
        self._check_there()
        for name in self._names():
            try:
                self._store.plugin_of(name)
                labels = read_labels(self._root / name)
            except ArtifactDamaged as error:
                yield finding("store-labels", f"{name}: {error}", _LABELS)
                continue
            numbers = self._store.numbers(name)
            for label, number in labels.items():
                # Version 0 comes with a plugin, and is not in the store.
                if number and number not in numbers:
                    what = "in service" if label == PRODUCTION else f"labelled {label}"
                    yield finding(
                        "store-labels",
                        f"{name}@{number} is {what}, and the store has no such version",
                        f"`seqd models promote {name}@N`, or `seqd models label {name}@N {label}`, "
                        "with a version that is there",
                    )

    def _check(self, name: str, number: int) -> None:
        """Raise ArtifactDamaged where a version is not what its manifest says."""
        folder = self._root / name / str(number)
        if self._deep and self._url is None:
            self._store.open(name, number)
            return
        for file, expected in read_manifest(folder).files.items():
            if self._url is not None and not (folder / file).exists():
                continue  # it is fetched, and checked, when a worker loads it
            try:
                size = (folder / file).lstat().st_size
            except OSError as error:
                raise ArtifactDamaged(f"{folder / file}: {error.strerror}") from None
            if size != expected.size_bytes:
                raise ArtifactDamaged(
                    f"{folder / file} has {size:,} bytes, and its manifest says "
                    f"{expected.size_bytes:,}"
                )
            # By hand: to open a version is to fetch it, and others would leave the cache for it.
            if self._deep and digest_of(folder / file) != expected:
                raise ArtifactDamaged(f"{folder / file} has another SHA-256 than its manifest says")

    def _names(self) -> list[str]:
        return [name for name in self._store.models() if self._store.has_folder(name)]

    def _check_there(self) -> None:
        if not self._root.is_dir():
            raise NotChecked(f"this machine has no store at {self._root}")


_ADDRESS: Final = "Correct SEQD_STORE_URL; where the store is to be there, `seqd up` makes it"
_REACH: Final = "See SEQD_STORE_URL, the credentials of this host, and the way to the store"

_LABELS: Final = (
    "Write the file again by `seqd models promote MODEL@N`, after moving the damaged one away"
)
