"""Model store: finds the versions and labels of models, opens them, and publishes new ones.

`<root>/<name>/<version>/` holds a version's files and its `manifest.json`; version 0 is the starter
that ships with a plugin and is read in place. Labels such as `production` are in `labels.json`.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqd.errors import ArtifactDamaged, UnknownModel
from seqd.hookspecs import Artifact
from seqd.models import publishing
from seqd.models.disk import drafts_in, exclusive, writing
from seqd.models.labels import (
    LATEST,
    PRODUCTION,
    Signature,
    check_label,
    read_labels,
    signature_of,
    write_label,
)
from seqd.models.publishing import (
    begin_publish,
    begun_publishes,
    check_holder,
    finalize,
    move_labels,
    remove_version,
    removed_numbers,
    restore_labels,
)
from seqd.models.version_files import VersionDraft, open_folder, read_manifest
from seqd.validation import did_you_mean, listed
from seqd_schemas import ModelManifest, job_of_run

logger = logging.getLogger(__name__)

#: Number of the version that ships with a plugin.
STARTER_VERSION = 0

_REF = re.compile(r"([a-z][a-z0-9_]{0,39})(?:@(?:([0-9]{1,9})|([a-z][a-z0-9_-]{0,39})))?")
_VERSION_FOLDER = re.compile(r"[1-9][0-9]{0,8}")
_MODEL_FOLDER = re.compile(r"[a-z][a-z0-9_]{0,39}")


class ModelStore:
    """All versions of all models. `starters` maps a model to the folder of its version 0.

    Any number of processes may use one store at the same time. The root need not exist.
    """

    def __init__(self, root: Path, starters: Mapping[str, Path]) -> None:
        self._root = root
        self._starters = dict(starters)

    def models(self) -> list[str]:
        """Return the names of all models with a version, in alphabetical order."""
        names = {*self._starters, *self._folders()}
        return sorted(name for name in names if self.numbers(name))

    def folder_of(self, name: str) -> Path:
        """Return the folder of a model's versions and labels, there or not."""
        return self._root / name

    def has_folder(self, name: str) -> bool:
        """Return True while that folder is there; it stays when versions are removed."""
        return self.folder_of(name).is_dir()

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a model's versions, ascending; opens none of them."""
        folder = self._root / name
        found = [STARTER_VERSION] if name in self._starters else []
        if folder.is_dir():
            found += [int(p.name) for p in folder.iterdir() if _VERSION_FOLDER.fullmatch(p.name)]
        return sorted(found)

    def versions(self, name: str) -> list[ModelManifest]:
        """Return the manifests of a model's versions, ascending by number.

        A version whose manifest cannot be read is left out with a warning in the log, so that
        it does not hide the others; `open` says what is wrong with it.
        """
        manifests = []
        for number in self.numbers(name):
            try:
                manifests.append(read_manifest(self._folder(name, number)))
            except ArtifactDamaged as error:
                logger.warning("version left out of the list: %s", error)
        return manifests

    def labels_signature(self, name: str) -> Signature:
        """Return what changes with each change of a model's labels, by whomever."""
        return signature_of(self._root / name)

    def labels(self, name: str) -> dict[str, int]:
        """Return a model's labels with the versions that they stand for, `latest` included.

        A version that a label stands for may be gone. Raises ArtifactDamaged.
        """
        labels = read_labels(self._root / name)
        numbers = self.numbers(name)
        return {**labels, LATEST: numbers[-1]} if numbers else labels

    def resolve(self, ref: str) -> tuple[str, int]:
        """Return the model and the version that `name`, `name@3` or `name@label` means.

        A bare name means its label `production` where it is set, else `latest`. Raises
        UnknownModel, which lists what there is, and ArtifactDamaged where labels cannot be read,
        which `name@3` does without.
        """
        match = _REF.fullmatch(ref)
        if match is None:
            raise UnknownModel(
                f"{ref!r} is not a model; allowed: a name, name@3 (a version) or name@label"
            )
        name, number, label = match.groups()
        if not self.numbers(name):
            raise UnknownModel(f"no model named {name!r}{self._known_models(name)}")
        version = int(number) if number else self._labelled(name, label)
        self._check_version(name, version, ref)
        return name, version

    def open(self, name: str, version: int) -> Artifact:
        """Check every file of a version against its manifest and give it.

        Raises UnknownModel, or ArtifactDamaged with the file and both digests.
        """
        self._check_version(name, version, f"{name}@{version}")
        return open_folder(self._folder(name, version), name, version)

    def new_folder(self, name: str, run_id: str) -> Path:
        """Make an empty folder for a training's files, to be published or discarded."""
        return publishing.new_folder(self._root, name, run_id)

    def publish(
        self, folder: Path, draft: VersionDraft, holder: str | None = None
    ) -> ModelManifest:
        """Make a finished staging folder the model's next version, whole and for good.

        Two processes get two versions. A training gets one: if its version is there already, the
        folder is discarded and that version's manifest given. On an error the folder stays.
        Raises PluginFault for files that no version may hold, StoreUnwritable, and LeaseLost
        where `holder` is not the attempt that has begun to publish last.
        """
        model_folder = self._root / draft.model
        with writing(model_folder):
            model_folder.mkdir(parents=True, exist_ok=True)
        with exclusive(model_folder):
            run_id = draft.run_id
            if holder is not None and run_id is not None:
                check_holder(model_folder, run_id, holder)
            earlier = None if run_id is None else self.find_by_run(draft.model, run_id)
            if earlier is not None:
                self.discard(folder)
                return earlier
            taken = [STARTER_VERSION, *self.numbers(draft.model), *removed_numbers(model_folder)]
            return publishing.move_in(self._root, folder, draft, max(taken) + 1)

    def find_by_run(self, name: str, run_id: str) -> ModelManifest | None:
        """Return the version that a training made; None if it made none (yet).

        `run_id` is its job's, or of one in a sweep `JOB.UNIT`; so it is wherever a training is
        named here.
        """
        job_id, unit = job_of_run(run_id)
        made = (m for m in reversed(self.versions(name)) if (m.job_id, m.unit) == (job_id, unit))
        return next(made, None)

    def set_label(self, name: str, label: str, version: int) -> None:
        """Move a label to a version that opens; raises as `open` does, or InvalidRequest."""
        check_label(label)
        self.open(name, version)
        write_label(self._root / name, label, version)

    def begin_publish(self, name: str, run_id: str, holder: str) -> None:
        """Record that a training is about to publish a version, which counts once finalized.

        `holder` is a new random word for this attempt; an earlier one can change nothing any
        more. Raises StoreUnwritable.
        """
        folder = self._root / name
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            begin_publish(folder, run_id, holder)

    def move_labels(
        self,
        name: str,
        labels: Sequence[str],
        version: int,
        run_id: str,
        holder: str,
        made_by: str | None = None,
    ) -> None:
        """Move labels to a version of a training that has begun to publish.

        `made_by` made the version, where that is another training than `run_id`, which `holder`
        is an attempt at. Raises as `set_label` does, and LeaseLost where another attempt holds it.
        """
        for label in labels:
            check_label(label)
        self.open(name, version)
        with exclusive(self._root / name):
            check_holder(self._root / name, run_id, holder)
            move_labels(self._root / name, labels, version, made_by or run_id)

    def finalize(self, name: str, run_id: str) -> None:
        """Let a version count for good: its training has completed."""
        if (self._root / name).is_dir():
            with exclusive(self._root / name):
                finalize(self._root / name, run_id)

    def begun(self) -> list[tuple[str, str]]:
        """Return model and training of each version that was begun and not finalized yet."""
        return [
            (name, run_id)
            for name in self._folders()
            for run_id in begun_publishes(self._root / name)
        ]

    def rollback(self, name: str, run_id: str) -> int | None:
        """Remove what a training published, and move its labels to where they were.

        The version's number is not used again, since somebody may have noted it. Returns it, or
        None where nothing was published. Raises StoreUnwritable.
        """
        folder = self._root / name
        if not folder.is_dir():
            return None
        with exclusive(folder):
            manifest = self.find_by_run(name, run_id)
            if manifest is not None:
                restore_labels(folder, manifest.version, run_id)
                remove_version(folder, manifest.version)
            finalize(folder, run_id)
        return None if manifest is None else manifest.version

    def staged(self) -> list[tuple[Path, str]]:
        """Return the staging folders, each with the training that it was made for."""
        return publishing.staged_folders(self._root)

    def drafts(self) -> list[Path]:
        """Return the drafts of labels and of publications, which a killed process leaves behind."""
        return [path for name in self._folders() for path in drafts_in(self._root / name)]

    def _folders(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return sorted(p.name for p in self._root.iterdir() if _MODEL_FOLDER.fullmatch(p.name))

    def discard(self, folder: Path) -> None:
        """Remove a staging folder; nothing happens if it is gone already."""
        publishing.discard(self._root, folder)

    def _folder(self, name: str, version: int) -> Path:
        if version == STARTER_VERSION:
            return self._starters[name]
        return self._root / name / str(version)

    def _labelled(self, name: str, label: str | None) -> int:
        labels = self.labels(name)
        if label is None:
            return labels.get(PRODUCTION, labels[LATEST])
        if label not in labels:
            raise UnknownModel(
                f"no label {label!r} on {name}. Its labels: {listed(labels)}."
                f"{did_you_mean(label, labels)}"
            )
        return labels[label]

    def _check_version(self, name: str, version: int, ref: str) -> None:
        numbers = self.numbers(name)
        if version in numbers:
            return
        if not numbers:
            raise UnknownModel(f"no model named {name!r}{self._known_models(name)}")
        meant = ref if ref == f"{name}@{version}" else f"{name}@{version}, which {ref} stands for,"
        there = ", ".join(str(number) for number in numbers)
        raise UnknownModel(f"no version {meant}. Versions of {name}: {there}")

    def _known_models(self, name: str) -> str:
        names = self.models()
        return f". Models here: {listed(names)}.{did_you_mean(name, names)}"
