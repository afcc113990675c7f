"""Versions of models in a store: finds them, says what names and labels mean, and opens them.

`<root>/<name>/<version>/` holds a version's files and its `manifest.json`; version 0 comes with a
plugin and is read in place: its starter, or its code. `model.json` beside the versions says what
the model is made with, and `labels.json` has its labels. The label `production` stands for the
version in service, which the bare name means. Changes nothing.
"""

import logging
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from seqd.errors import ArtifactDamaged, UnknownModel
from seqd.formats import refuse_other_format
from seqd.hookspecs import Artifact
from seqd.models.model_records import (
    HISTORY_FILE_NAME,
    LABELS_FILE_NAME,
    LATEST,
    MODEL_FILE_NAME,
    PRODUCTION,
    ROLLOUT_FILE_NAME,
    Signature,
    read_history,
    read_labels,
    read_model_file,
    read_rollouts,
    retiring_in,
    signature_of,
)
from seqd.models.shared_store import SharedStore
from seqd.models.version_files import open_folder, read_manifest, under_name
from seqd.objects import Objects
from seqd.validation import MODEL_NAME, did_you_mean, listed
from seqd_schemas import ModelManifest, Rollout, RolloutFile, ServiceChange, job_of_run

logger = logging.getLogger(__name__)

#: In the root of a store: the least format that may work there.
FORMAT_FILE_NAME = "format.json"

#: Number of the version that ships with a plugin.
STARTER_VERSION = 0

_REF = re.compile(r"([a-z][a-z0-9_]{0,39})(?:@(?:([0-9]{1,9})|([a-z][a-z0-9_-]{0,39})))?")
_VERSION_FOLDER = re.compile(r"[1-9][0-9]{0,8}")


T = TypeVar("T")


class _Remembered(Generic[T]):
    """What a file of each model says; read again when it has changed, as it is asked at each claim.

    A file that is damaged meanwhile says what it said before.
    """

    def __init__(self, file_name: str, read: Callable[[Path], T]) -> None:
        self._file_name = file_name
        self._read = read
        self._known: dict[Path, tuple[Signature, T]] = {}

    def of(self, folder: Path) -> T:
        """Return what a model's file says. Raises what reading does, where nothing is known."""
        signature = signature_of(folder / self._file_name)
        known = self._known.get(folder)
        if known is not None and known[0] == signature:
            return known[1]
        try:
            found = self._read(folder)
        except (ArtifactDamaged, OSError) as error:
            if known is None:
                raise
            logger.warning("%s goes on as before: %s", folder.name, error)
            found = known[1]
            if not isinstance(error, ArtifactDamaged):
                return found  # it may be readable the next time
        self._known[folder] = signature, found
        return found


class StoredVersions:
    """All versions of all models. `starters` has each model's version 0.

    That is the folder of a starter, or an artifact where the plugin's code alone is the version.
    The root need not exist.
    """

    def __init__(
        self,
        root: Path,
        starters: Mapping[str, Path | Artifact],
        shared: SharedStore | None = None,
    ) -> None:
        """`shared` is the store at a URL of which the root is this host's mirror."""
        self._root = root
        self._shared = shared
        self._starters = dict(starters)
        self._model_files = _Remembered(MODEL_FILE_NAME, read_model_file)
        self._rollouts = _Remembered(ROLLOUT_FILE_NAME, read_rollouts)

    def check_format(self) -> None:
        """Raise OtherFormat where the store has a format that this release cannot read.

        In a store of 0.1 or 0.2 models have versions, and no `model.json`. That of one at a URL is
        looked at by `refresh`.
        """
        if self._shared is not None:
            return
        try:
            found = (self._root / FORMAT_FILE_NAME).read_text(errors="replace").strip()
        except OSError:
            found = ""
        if found or any(map(self._is_of_before, self._folders())):
            instead = "Set SEQD_DATA_DIR to another folder"
            refuse_other_format(found, f"The model store {self._root}", instead)

    @property
    def objects(self) -> Objects | None:
        """The objects of the store at a URL; None of a store that is a folder."""
        return None if self._shared is None else self._shared.objects

    @property
    def is_mirrored(self) -> bool:
        """Return True where this host has a mirror of a store at a URL, of whatever age."""
        return self._shared is not None and self._shared.has_mirror

    def refresh(self, max_age_s: float = 0.0) -> None:
        """Look what a store at a URL says now, unless that was done lately; else do nothing.

        Raises StoreUnreachable, OtherFormat.
        """
        if self._shared is not None:
            self._shared.refresh(max_age_s)

    def models(self) -> list[str]:
        """Return the names of all models with a version, in alphabetical order."""
        names = {*self._starters, *self._folders()}
        return sorted(name for name in names if self.numbers(name))

    def plugin_of(self, name: str) -> str:
        """Return the plugin's model that a model is made with, `imdb_lstm` for `topics`.

        Raises ArtifactDamaged where `model.json` cannot be read.
        """
        if MODEL_NAME.fullmatch(name) is None:
            return name  # which no model can have: whoever asks for it is told so
        found = self._model_files.of(self._root / name)
        return name if found is None else found.plugin

    def owner_of(self, name: str) -> str | None:
        """Return the tenant whose model it is; None of nobody's. Raises as `plugin_of` does."""
        found = self._model_files.of(self._root / name)
        return None if found is None else found.owner

    def made_with(self, plugins: Collection[str]) -> dict[str, str]:
        """Return the models that are made with some plugins' models, each with its own.

        Those of the plugins' own names are among them, with versions or without; a model whose
        `model.json` cannot be read is not, and a warning in the log says so.
        """
        found = {}
        for name in sorted({*plugins, *self._folders()}):
            try:
                plugin = self.plugin_of(name)
            except ArtifactDamaged as error:
                logger.warning("model %s left out: %s", name, error)
                continue
            if plugin in plugins:
                found[name] = plugin
        return found

    def folder_of(self, name: str) -> Path:
        """Return the folder of a model's versions, labels and evaluations, there or not."""
        return self._root / name

    def has_folder(self, name: str) -> bool:
        """Return True while that folder is there; it stays when versions are removed."""
        return self.folder_of(name).is_dir()

    def may_write(self, name: str) -> bool:
        """Return False where a model's folder, or what it would be made in, takes no file."""
        if self._shared is not None and not self._shared.may_write:
            return False
        folder = self.folder_of(name)
        there = next(one for one in (folder, *folder.parents) if one.is_dir())
        return os.access(there, os.W_OK)

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a model's versions, ascending; opens none of them."""
        starter = [STARTER_VERSION] if name in self._starters else []
        return [*starter, *self._numbers_here(name)]

    def _is_of_before(self, name: str) -> bool:
        # In this order: whoever publishes writes the file first.
        has_versions = bool(self._numbers_here(name))
        return has_versions and not (self._root / name / MODEL_FILE_NAME).exists()

    def _numbers_here(self, name: str) -> list[int]:
        folder = self._root / name
        if MODEL_NAME.fullmatch(name) is None or not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if _VERSION_FOLDER.fullmatch(p.name))

    def versions(self, name: str) -> list[ModelManifest]:
        """Return the manifests of a model's versions, ascending by number.

        A version whose manifest cannot be read is left out with a warning in the log, so that
        it does not hide the others; `open` says what is wrong with it.
        """
        manifests = []
        for number in self.numbers(name):
            try:
                manifests.append(self._manifest(name, number))
            except ArtifactDamaged as error:
                logger.warning("version left out of the list: %s", error)
        return manifests

    def labels(self, name: str) -> dict[str, int]:
        """Return a model's labels with the versions that they stand for, `latest` included.

        `production` is the version in service, that which came with the plugin where nobody has set
        it; there is none where a model has no version in service. A version that a label stands for
        may be gone. Raises ArtifactDamaged.
        """
        folder = self._root / name
        labels = read_labels(folder)
        numbers = self.numbers(name)
        if not numbers:
            return labels
        if PRODUCTION not in labels and numbers[0] == STARTER_VERSION:
            labels[PRODUCTION] = STARTER_VERSION
        return {**labels, LATEST: numbers[-1]}

    def serving_signature(self, name: str) -> tuple[Signature, ...]:
        """Return what changes with each change of a model's labels or roll-out, by whomever.

        Also with the line of the history, which is written behind it.
        """
        names = (LABELS_FILE_NAME, ROLLOUT_FILE_NAME, HISTORY_FILE_NAME)
        return tuple(signature_of(self._root / name / one) for one in names)

    def history(self, name: str) -> list[ServiceChange]:
        """Return when, by whom and why the version in service changed, oldest first.

        Raises UnknownModel, and ArtifactDamaged where the labels cannot be read.
        """
        self._check_model(name)
        return read_history(self._root / name, self.labels(name).get(PRODUCTION))

    def rollout(self, name: str) -> Rollout | None:
        """Return the roll-out of a model that goes on; None where none does.

        One whose candidate is gone does not, nor does one beside a version that is not in service
        any more: a label was moved by hand.
        """
        known = self._rollouts_of(name)
        found = None if known is None else known.current
        if found is None or found.version not in self.numbers(name):
            return None
        return found if self._in_service(name) == found.serving else None

    def is_aborted(self, name: str, rollout_id: str) -> bool:
        """Return True for a roll-out of which the candidate computes nothing more.

        Also where that cannot be read now, and nothing is known from before.
        """
        known = self._rollouts_of(name)
        return known is None or rollout_id in known.aborted

    def _rollouts_of(self, name: str) -> RolloutFile | None:
        try:
            return self._rollouts.of(self._root / name)
        except OSError as error:
            logger.warning("roll-outs of %s cannot be read: %s", name, error)
            return None

    def retiring(self, name: str) -> frozenset[int]:
        """Return the versions that are about to go, which no new job is to get."""
        return retiring_in(self._root / name)

    def _names_before(self, name: str) -> tuple[str, ...]:
        try:
            found = self._model_files.of(self._root / name)
        except ArtifactDamaged:
            return ()
        return () if found is None else found.former_names

    def resolve(self, ref: str) -> tuple[str, int]:
        """Return the model and the version that `name`, `name@3` or `name@label` means.

        A bare name means its label `production`. Raises UnknownModel, which lists what there is,
        and ArtifactDamaged where labels cannot be read, which `name@3` does without.
        """
        match = _REF.fullmatch(ref)
        if match is None:
            raise UnknownModel(
                f"{ref!r} is not a model; allowed: a name, name@3 (a version) or name@label"
            )
        name, number, label = match.groups()
        self._check_model(name)
        version = int(number) if number else self._labelled(name, label)
        self._check_version(name, version, ref)
        return name, version

    def open(self, name: str, version: int) -> Artifact:
        """Check every file of a version against its manifest and give it.

        Raises UnknownModel, or ArtifactDamaged with the file and both digests.
        """
        self._check_version(name, version, f"{name}@{version}")
        built_in = self.built_in(name, version)
        if built_in is not None:
            return built_in
        folder, names_before = self._folder(name, version), self._names_before(name)
        if self._shared is not None and version != STARTER_VERSION:
            self._shared.fetch(name, version)
            try:
                return open_folder(folder, name, version, names_before)
            except ArtifactDamaged as error:  # in the cache, that is
                logger.warning("fetched once more: %s", error)
                self._shared.fetch(name, version, is_damaged=True)
        return open_folder(folder, name, version, names_before)

    def built_in(self, name: str, version: int) -> Artifact | None:
        """Return a version that is the plugin's code alone, without files; None for any other."""
        starter = self._starters.get(name) if version == STARTER_VERSION else None
        return starter if isinstance(starter, Artifact) else None

    def find_by_run(self, name: str, run_id: str) -> ModelManifest | None:
        """Return the version that a training made; None if it made none (yet).

        `run_id` is its job's, or of one in a sweep `JOB.UNIT`; so it is wherever a training is
        named here.
        """
        job_id, unit = job_of_run(run_id)
        made = (m for m in reversed(self.versions(name)) if (m.job_id, m.unit) == (job_id, unit))
        return next(made, None)

    def _in_service(self, name: str) -> int | None:
        try:
            return self.labels(name).get(PRODUCTION)
        except ArtifactDamaged:
            return None

    def _labelled(self, name: str, label: str | None) -> int:
        labels = self.labels(name)
        if label is None and PRODUCTION not in labels:
            raise UnknownModel(
                f"no version of {name} is in service. Put one there: "
                f"seqd models promote {name}@{labels[LATEST]}"
            )
        label = label or PRODUCTION
        if label not in labels:
            raise UnknownModel(
                f"no label {label!r} on {name}. Its labels: {listed(labels)}."
                f"{did_you_mean(label, labels)}"
            )
        return labels[label]

    def _check_model(self, name: str) -> None:
        if not self.numbers(name):
            names = self.models()
            raise UnknownModel(
                f"no model named {name!r}. Models here: {listed(names)}.{did_you_mean(name, names)}"
            )

    def _check_version(self, name: str, version: int, ref: str) -> None:
        numbers = self.numbers(name)
        if version in numbers:
            return
        self._check_model(name)
        meant = ref if ref == f"{name}@{version}" else f"{name}@{version}, which {ref} stands for"
        there = ", ".join(str(number) for number in numbers)
        said = f"no version {meant}. Versions of {name}: {there}"
        if version == STARTER_VERSION and meant != f"{name}@{version}":
            said += (
                ". Its plugin brings no version 0 any more. Put another one in service: "
                f"seqd models promote {name}@{numbers[-1]}"
            )
        raise UnknownModel(said)

    def _folders(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return sorted(p.name for p in self._root.iterdir() if MODEL_NAME.fullmatch(p.name))

    def _manifest(self, name: str, version: int) -> ModelManifest:
        built_in = self.built_in(name, version)
        if built_in is not None:
            return built_in.manifest
        return under_name(read_manifest(self._folder(name, version)), name)

    def _folder(self, name: str, version: int) -> Path:
        starter = self._starters.get(name) if version == STARTER_VERSION else None
        return starter if isinstance(starter, Path) else self._root / name / str(version)
