"""Model store: publishes new versions and removes them, beside what it reads and serves.

Reading is in `stored_versions`, and what is in service in `serving_store`.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from seqd.errors import InvalidRequest, PluginFault, VersionInUse
from seqd.formats import LAYOUT
from seqd.hookspecs import Artifact
from seqd.models.disk import drafts_in, empty, sync, write_atomically, writing
from seqd.models.model_records import (
    LATEST,
    MEASUREMENTS_FOLDER,
    PRODUCTION,
    RUN_ID,
    begin_publish,
    begun_publishes,
    check_holder,
    check_label,
    end_publish,
    mark_retiring,
    measurements_file,
    restore_labels,
)
from seqd.models.serving_store import ServingStore, change_now
from seqd.models.shared_store import new_version, repeated, shared_store
from seqd.models.stored_versions import FORMAT_FILE_NAME, STARTER_VERSION
from seqd.models.version_files import VersionDraft, check_sealed, seal_folder
from seqd.settings import Settings
from seqd_schemas import FileDigest, ModelManifest, RolloutKind

#: In the root of a store: folders that are not versions yet, on the file system that it is on.
_STAGING = ".staging"

_REMOVED = re.compile(r"\.removed-([1-9][0-9]{0,8})")


class ModelStore(ServingStore):
    """A store of models. Any number of processes may use one at the same time."""

    @classmethod
    def of(cls, settings: Settings, starters: Mapping[str, Path | Artifact]) -> Self:
        """Return the store that the settings name, as its mirror is now where it is at a URL."""
        return cls(settings.store_dir, starters, shared_store(settings))

    def new_folder(self, name: str, run_id: str) -> Path:
        """Make an empty folder for a training's files, to be published or discarded."""
        for part in (name, run_id):
            if RUN_ID.fullmatch(part) is None:
                raise PluginFault(f"{part!r} cannot be part of a folder's name")
        staging = self._root / _STAGING
        with writing(staging):
            staging.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=f"{name}-{run_id}-", dir=staging))

    def staged(self) -> list[tuple[Path, str]]:
        """Return the staging folders, each with the training that it was made for."""
        staging = self._root / _STAGING
        folders = sorted(staging.iterdir()) if staging.is_dir() else []
        # NAME-RUN-RANDOM: neither a model's name nor the random part has a dash.
        return [(one, one.name.partition("-")[2].rpartition("-")[0]) for one in folders]

    def discard(self, folder: Path) -> None:
        """Remove a staging folder; nothing happens if it is gone already."""
        self._check_staged(folder)
        with writing(folder):
            if folder.exists():
                shutil.rmtree(folder)

    def _check_staged(self, folder: Path) -> None:
        if folder.parent != self._root / _STAGING:
            raise PluginFault(
                f"{folder} is not a staging folder of this store; `new_folder` makes one"
            )

    @repeated
    def publish(
        self, folder: Path, draft: VersionDraft, holder: str | None = None
    ) -> ModelManifest:
        """Make a finished staging folder the model's next version, whole and for good.

        Two processes get two versions. A training gets one: if its version is there already, the
        folder is discarded and that version's manifest given. A model's first version goes into
        service, a later one does not. On an error the folder stays.
        Raises ModelNameTaken where the model is made with another plugin, PluginFault for files
        that no version may hold, StoreUnwritable, and LeaseLost where `holder` is not the attempt
        that has begun to publish last.
        """
        model_folder = self._make_folder(draft.model)
        with self.changing(draft.model):
            run_id = draft.run_id
            if holder is not None and run_id is not None:
                check_holder(model_folder, run_id, holder)
            earlier = None if run_id is None else self.find_by_run(draft.model, run_id)
            if earlier is not None:
                self.discard(folder)
                self._put_first_in_service(earlier)
                return earlier
            return self._move_in(folder, draft)

    @repeated
    def publish_once(
        self,
        folder: Path,
        draft: VersionDraft,
        files: Mapping[str, FileDigest],
        check: Callable[[Artifact], None] | None = None,
    ) -> tuple[ModelManifest, bool]:
        """Publish a folder as `publish` does, unless a version of the model has the same files.

        Returns that version and False then, and discards the folder. Of two processes with the
        same files at the same time one publishes them. `check`, if any, raises where the plugin
        cannot load a version that is new.
        """
        if check is not None and all(one.files != files for one in self.versions(draft.model)):
            check_sealed(folder, draft, max([0, *self.numbers(draft.model)]) + 1, check)
        self._make_folder(draft.model)
        with self.changing(draft.model):
            self.check_plugin(draft.model, draft.plugin or draft.model)
            there = [one for one in self.versions(draft.model) if one.files == files]
            if there:
                self.discard(folder)
                return there[-1], False
            return self._move_in(folder, draft), True

    def _make_folder(self, name: str) -> Path:
        """Make a model's folder where it is not there, and say the format of a store that is new.

        Raises StoreUnwritable.
        """
        folder = self._root / name
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        if not (self._root / FORMAT_FILE_NAME).exists():
            write_atomically(self._root / FORMAT_FILE_NAME, f"{LAYOUT}\n".encode())
        return folder

    def _move_in(self, folder: Path, draft: VersionDraft) -> ModelManifest:
        """Make a staging folder the next version; the caller holds the model's lock."""
        model_folder = self._root / draft.model
        tenant = None if draft.origin is None else draft.origin.tenant
        self._note_model(draft.model, draft.plugin or draft.model, draft.job_id, tenant)
        self._check_staged(folder)
        removed = map(_REMOVED.fullmatch, [path.name for path in model_folder.iterdir()])
        taken = [int(match[1]) for match in removed if match]
        manifest = seal_folder(folder, draft, max([0, *self.numbers(draft.model), *taken]) + 1)
        target = model_folder / str(manifest.version)
        if self._shared is not None:
            target = new_version(model_folder, str(manifest.version))
        with writing(target):
            for name in manifest.files:
                (folder / name).chmod(0o444)
            folder.chmod(0o755)
            sync(folder)
            if self._shared is None:
                folder.rename(target)
            else:  # it may be refused, and is published under another number then
                shutil.copytree(folder, target, copy_function=os.link)
            sync(model_folder)
        self._put_first_in_service(manifest)
        return manifest

    @repeated
    def take_over(self, name: str, run_id: str) -> ModelManifest | None:
        """Return the version that an earlier attempt at a training published, if one did.

        A model's first version goes into service now where that attempt died before. Raises
        StoreUnwritable.
        """
        found = self.find_by_run(name, run_id)
        if found is not None:
            with self.changing(name):
                self._put_first_in_service(found)
        return found

    @repeated
    def remove(self, name: str, version: int) -> None:
        """Remove a version; its number is not used again.

        Raises VersionInUse for one that a label stands for, InvalidRequest for a starter, and
        UnknownModel. Whether jobs run on it is not known here.
        """
        self.check_removable(name, version)
        with self.changing(name):
            self._refuse_labelled(name, version)
            self._remove(name, version)
            mark_retiring(self._root / name, [version], is_retiring=False)

    def _remove(self, name: str, version: int) -> None:
        """Remove a version at once; an empty folder keeps its number from being used again.

        What was measured of it goes, too.
        """
        folder = self._root / name
        removed = folder / f".removed-{version}"
        with writing(removed):
            measurements_file(folder, version).unlink(missing_ok=True)
            (folder / str(version)).rename(removed)
            if self._shared is None:  # else a removal may be refused, and comes to nothing
                empty(removed)
            sync(folder)

    @repeated
    def retire(self, name: str, versions: Iterable[int]) -> None:
        """Have no new job get versions that are about to go, for two minutes at most."""
        with self.changing(name):
            mark_retiring(self._root / name, versions, is_retiring=True)

    @repeated
    def keep(self, name: str, versions: Iterable[int]) -> None:
        """Let new jobs get versions again that do not go."""
        if self.has_folder(name):
            with self.changing(name):
                mark_retiring(self._root / name, versions, is_retiring=False)

    def check_removable(self, name: str, version: int) -> None:
        """Raise as `remove` does, of a version that is not removed now."""
        self._check_version(name, version, f"{name}@{version}")
        if version == STARTER_VERSION:
            what = "the starter that ships with its plugin"
            if self.built_in(name, version) is not None:
                what = "built in: it is the plugin's code, and goes with the plugin"
            raise InvalidRequest(f"{name}@{version} is {what}; it is not removed")
        self._refuse_labelled(name, version)

    def _refuse_labelled(self, name: str, version: int) -> None:
        stored = self.labels(name)
        if stored.get(PRODUCTION) == version:
            raise VersionInUse(
                f"{name}@{version} is in service: it is not removed. Put another version in "
                f"service first: seqd models promote {name}@VERSION"
            )
        tried = self.rollout(name)
        if tried is not None and tried.version == version:
            option = "shadow" if tried.kind == RolloutKind.SHADOW else "share"
            raise VersionInUse(
                f"{name}@{version} is tried as a {tried.kind}: it is not removed. End that first: "
                f"seqd models promote {name}@{version} --{option} 0%"
            )
        labels = sorted(one for one, at in stored.items() if at == version and one != LATEST)
        if labels:
            raise VersionInUse(
                f"{name}@{version} has the label {labels[0]}: it is not removed. Take it away "
                f"first: seqd models label {name}@{version} {labels[0]} --remove"
            )

    @repeated
    def begin_publish(self, name: str, run_id: str, holder: str) -> None:
        """Record that a training is about to publish a version, which counts once finalized.

        `holder` is a new random word for this attempt; an earlier one can change nothing any
        more. Raises StoreUnwritable.
        """
        folder = self._make_folder(name)
        with self.changing(name):
            begin_publish(folder, run_id, holder)

    @repeated
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
        with self.changing(name):
            check_holder(self._root / name, run_id, holder)
            by, why = f"job {run_id}", "asked for with the training"
            self._move_labels(name, labels, version, made_by or run_id, by, why)

    @repeated
    def finalize(self, name: str, run_id: str) -> None:
        """Let a version count for good: its training has completed."""
        if (self._root / name).is_dir():
            with self.changing(name):
                end_publish(self._root / name, run_id)

    def begun(self) -> list[tuple[str, str]]:
        """Return model and training of each version that was begun and not finalized yet."""
        return [
            (name, run_id)
            for name in self._folders()
            for run_id in begun_publishes(self._root / name)
        ]

    @repeated
    def rollback(self, name: str, run_id: str) -> int | None:
        """Remove what a training published, and move its labels to where they were.

        The version's number is not used again, since somebody may have noted it. Returns it, or
        None where nothing was published. Raises StoreUnwritable.
        """
        folder = self._root / name
        if not folder.is_dir():
            return None
        with self.changing(name):
            manifest = self.find_by_run(name, run_id)
            if manifest is not None:
                before = self._in_service(name)
                restore_labels(folder, manifest.version, run_id)
                self._remove(name, manifest.version)
                after = self._in_service(name)
                if before != after:
                    by, why = f"job {run_id}", "its training did not complete"
                    change = change_now(before, after, by, why)
                    self._note(name, change.model_copy(update={"is_rollback": True}))
                if before == manifest.version and after is None:
                    # Those that came meanwhile were no first versions; now one of them is.
                    for first in self.versions(name)[:1]:
                        self._put_first_in_service(first)
            end_publish(folder, run_id)
        return None if manifest is None else manifest.version

    def drafts(self) -> list[Path]:
        """Return the drafts of files beside versions, which a killed process leaves behind."""
        folders = [self._root / name for name in self._folders()]
        folders += [folder / MEASUREMENTS_FOLDER for folder in folders]
        return [path for folder in folders if folder.is_dir() for path in drafts_in(folder)]
