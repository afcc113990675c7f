"""Model store: finds the versions and labels of models, opens them, and publishes new ones.

`<root>/<name>/<version>/` holds a version's files and its `manifest.json`; version 0 is the starter
that ships with a plugin and is read in place. `model.json` beside the versions says what the model
is made with, and `labels.json` has its labels. The label `production` stands for the version in
service, which the bare name means.
"""

import logging
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from seqd.errors import (
    ArtifactDamaged,
    InvalidRequest,
    ModelNameTaken,
    ServiceChanged,
    UnknownModel,
    VersionInUse,
    WrongState,
)
from seqd.hookspecs import Artifact
from seqd.models import publishing, retiring, rollout_file
from seqd.models.disk import drafts_in, exclusive, sync, writing
from seqd.models.history import note_change, read_history
from seqd.models.labels import (
    CANDIDATE,
    LABELS_FILE_NAME,
    LATEST,
    PRODUCTION,
    Signature,
    check_label,
    read_labels,
    signature_of,
    write_labels,
)
from seqd.models.measurements import MEASUREMENTS_FOLDER
from seqd.models.model_file import (
    MODEL_FILE_NAME,
    has_model_file,
    read_model_file,
    read_plugin,
    write_model_file,
    write_plugin,
)
from seqd.models.publishing import (
    begin_publish,
    begun_publishes,
    check_holder,
    finalize,
    forget_version,
    move_labels,
    remove_version,
    removed_numbers,
    restore_labels,
)
from seqd.models.rollout_file import ROLLOUT_FILE_NAME, read_rollouts
from seqd.models.version_files import VersionDraft, open_folder, read_manifest, under_name
from seqd.validation import did_you_mean, listed
from seqd_schemas import (
    FileDigest,
    ModelFile,
    ModelManifest,
    Rollout,
    RolloutFile,
    RolloutKind,
    ServiceChange,
    job_of_run,
    run_id_of,
)

logger = logging.getLogger(__name__)

#: Number of the version that ships with a plugin.
STARTER_VERSION = 0

#: Former names of a model that are kept, the last ones.
_MAX_FORMER_NAMES = 64

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
        #: What each model is made with, and the file that said so: this is asked at each claim.
        self._plugins: dict[str, tuple[Signature, str]] = {}
        #: The roll-outs of each model, and the file that said so: so is this, during one.
        self._rollouts: dict[str, tuple[Signature, RolloutFile]] = {}
        #: Names that each model had before, and the file that said so.
        self._former_names: dict[str, tuple[Signature, tuple[str, ...]]] = {}

    def models(self) -> list[str]:
        """Return the names of all models with a version, in alphabetical order."""
        names = {*self._starters, *self._folders()}
        return sorted(name for name in names if self.numbers(name))

    def plugin_of(self, name: str) -> str:
        """Return the plugin's model that a model is made with, `imdb_lstm` for `topics`.

        Raises ArtifactDamaged where `model.json` cannot be read.
        """
        if _MODEL_FOLDER.fullmatch(name) is None:
            return name  # which no model can have: whoever asks for it is told so
        folder = self._root / name
        signature = signature_of(folder / MODEL_FILE_NAME)
        known = self._plugins.get(name)
        if known is None or known[0] != signature:
            known = self._plugins[name] = signature, self._read_plugin(name)
        return known[1]

    def _read_plugin(self, name: str) -> str:
        """Return what `model.json` says; what it said before, where it is damaged meanwhile."""
        try:
            return read_plugin(self._root / name) or name
        except ArtifactDamaged as error:
            if name not in self._plugins:
                raise
            logger.warning("%s goes on as before: %s", name, error)
            return self._plugins[name][1]

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

    def adopt(self) -> None:
        """Write down, in a store of before, which version the bare name of each model meant.

        That was the label `production` where it was set, else the highest version. It stays in
        service then, whatever is trained later. Raises StoreUnwritable.
        """
        for name in self._folders():
            folder = self._root / name
            if has_model_file(folder) or not self.numbers(name):
                continue
            with exclusive(folder):
                if not has_model_file(folder):  # else its first training has been there meanwhile
                    self._adopt(name, name)

    def folder_of(self, name: str) -> Path:
        """Return the folder of a model's versions, labels and evaluations, there or not."""
        return self._root / name

    def has_folder(self, name: str) -> bool:
        """Return True while that folder is there; it stays when versions are removed."""
        return self.folder_of(name).is_dir()

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a model's versions, ascending; opens none of them."""
        folder = self._root / name
        found = [STARTER_VERSION] if name in self._starters else []
        if _MODEL_FOLDER.fullmatch(name) and folder.is_dir():
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
                manifests.append(under_name(read_manifest(self._folder(name, number)), name))
            except ArtifactDamaged as error:
                logger.warning("version left out of the list: %s", error)
        return manifests

    def serving_signature(self, name: str) -> tuple[Signature, Signature]:
        """Return what changes with each change of a model's labels or roll-out, by whomever."""
        folder = self._root / name
        return signature_of(folder / LABELS_FILE_NAME), signature_of(folder / ROLLOUT_FILE_NAME)

    def labels(self, name: str) -> dict[str, int]:
        """Return a model's labels with the versions that they stand for, `latest` included.

        `production` is the version in service, also where that is written down nowhere; there is
        none where a model has no version in service. A version that a label stands for may be
        gone. Raises ArtifactDamaged.
        """
        folder = self._root / name
        labels = read_labels(folder)
        numbers = self.numbers(name)
        if not numbers:
            return labels
        if PRODUCTION not in labels and not has_model_file(folder):
            labels[PRODUCTION] = numbers[-1]  # what it meant before there were such files
        elif PRODUCTION not in labels and numbers[0] == STARTER_VERSION:
            labels[PRODUCTION] = STARTER_VERSION
        return {**labels, LATEST: numbers[-1]}

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
        return open_folder(self._folder(name, version), name, version, self._names_before(name))

    def new_folder(self, name: str, run_id: str) -> Path:
        """Make an empty folder for a training's files, to be published or discarded."""
        return publishing.new_folder(self._root, name, run_id)

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
        with exclusive(model_folder):
            run_id = draft.run_id
            if holder is not None and run_id is not None:
                check_holder(model_folder, run_id, holder)
            earlier = None if run_id is None else self.find_by_run(draft.model, run_id)
            if earlier is not None:
                self.discard(folder)
                self._put_first_in_service(earlier)
                return earlier
            return self._move_in(folder, draft)

    def publish_once(
        self, folder: Path, draft: VersionDraft, files: Mapping[str, FileDigest]
    ) -> tuple[ModelManifest, bool]:
        """Publish a folder as `publish` does, unless a version of the model has the same files.

        Returns that version and False then, and discards the folder. Of two processes with the
        same files at the same time one publishes them.
        """
        model_folder = self._make_folder(draft.model)
        with exclusive(model_folder):
            self.check_plugin(draft.model, draft.plugin or draft.model)
            there = [one for one in self.versions(draft.model) if one.files == files]
            if there:
                self.discard(folder)
                return there[-1], False
            return self._move_in(folder, draft), True

    def _make_folder(self, name: str) -> Path:
        """Make a model's folder where it is not there. Raises ModelNameTaken, StoreUnwritable."""
        folder = self._root / name
        self._refuse_former(name)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _move_in(self, folder: Path, draft: VersionDraft) -> ModelManifest:
        """Make a staging folder the next version; the caller holds the model's lock."""
        model_folder = self._root / draft.model
        self._adopt(draft.model, draft.plugin or draft.model, draft.job_id)
        taken = [STARTER_VERSION, *self.numbers(draft.model), *removed_numbers(model_folder)]
        manifest = publishing.move_in(self._root, folder, draft, max(taken) + 1)
        self._put_first_in_service(manifest)
        return manifest

    def find_by_run(self, name: str, run_id: str) -> ModelManifest | None:
        """Return the version that a training made; None if it made none (yet).

        `run_id` is its job's, or of one in a sweep `JOB.UNIT`; so it is wherever a training is
        named here.
        """
        job_id, unit = job_of_run(run_id)
        made = (m for m in reversed(self.versions(name)) if (m.job_id, m.unit) == (job_id, unit))
        return next(made, None)

    def take_over(self, name: str, run_id: str) -> ModelManifest | None:
        """Return the version that an earlier attempt at a training published, if one did.

        A model's first version goes into service now where that attempt died before. Raises
        StoreUnwritable.
        """
        found = self.find_by_run(name, run_id)
        if found is not None:
            with exclusive(self._root / name):
                self._put_first_in_service(found)
        return found

    def set_label(self, name: str, label: str, version: int, by: str = "", why: str = "") -> None:
        """Move a label to a version that opens; raises as `open` does, or InvalidRequest."""
        check_label(label)
        with self._locked_with(name, version) as (folder, made_by):
            before = self.labels(name).get(PRODUCTION)
            move_labels(folder, [label], version, made_by)
            if label == PRODUCTION and before != version:
                ended = self._end_beside(name, version)
                self._note(name, before, version, by, why, rollout=ended)

    @contextmanager
    def _locked_with(self, name: str, version: int) -> Iterator[tuple[Path, str]]:
        """Yield a model's folder, locked, and the training that made a version that opens."""
        made_by = _made_by(self.open(name, version).manifest)
        folder = self._root / name
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            self._check_version(name, version, f"{name}@{version}")  # else removed meanwhile
            self._adopt(name, self.plugin_of(name))
            yield folder, made_by

    def drop_label(self, name: str, label: str, version: int) -> None:
        """Remove a label, unless somebody has moved it from the version. Raises ArtifactDamaged."""
        with exclusive(self._root / name):
            self._drop_label(name, label, version)

    def _drop_label(self, name: str, label: str, version: int) -> None:
        labels = read_labels(self._root / name)
        if labels.get(label) == version:
            del labels[label]
            write_labels(self._root / name, labels)

    def history(self, name: str) -> list[ServiceChange]:
        """Return when, by whom and why the version in service changed, oldest first.

        Raises UnknownModel, and ArtifactDamaged where the labels cannot be read.
        """
        self._check_model(name)
        return read_history(self._root / name, self.labels(name).get(PRODUCTION))

    def rollout(self, name: str) -> Rollout | None:
        """Return the roll-out of a model that goes on; None where none does.

        One whose candidate is gone does not, nor does one beside a version that is not in service
        any more: a label was moved by hand, or by an older release.
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

    def begin_rollout(self, name: str, rollout: Rollout, order_id: str | None = None) -> None:
        """Try a version beside the one in service, in the place of any roll-out that goes on.

        The candidate keeps the label `candidate` meanwhile, so that workers have it loaded.
        `order_id` is the client's order. Raises ServiceChanged where another version is in service
        than the one that the roll-out is beside, and as `open` does.
        """
        change = ServiceChange(
            at_ms=rollout.at_ms,
            by=rollout.by,
            from_version=rollout.serving,
            to_version=rollout.serving,
            why=rollout.why,
            order_id=order_id,
            rollout=rollout,
        )
        with self._locked_with(name, rollout.version) as (folder, made_by):
            self._check_in_service(name, change, rollout.version)
            move_labels(folder, [CANDIDATE], rollout.version, made_by)
            rollout_file.begin(folder, rollout)
            note_change(folder, change)

    def end_rollout(
        self, name: str, rollout: Rollout, by: str, why: str, order_id: str | None = None
    ) -> bool:
        """Abort a roll-out; False where it had ended. The version in service stays.

        The candidate computes nothing more, of the jobs that take part in it neither. Raises
        StoreUnwritable.
        """
        folder = self._root / name
        with exclusive(folder):
            ended = rollout_file.end(folder, rollout.id, is_aborted=True)
            if ended is None:
                return False
            self._drop_label(name, CANDIDATE, ended.version)
            serving = self._in_service(name)
            self._note(name, serving, serving, by, why, rollout=ended, order_id=order_id)
        return True

    def _rollouts_of(self, name: str) -> RolloutFile | None:
        """Return a model's roll-outs; those known before where the file cannot be read now."""
        folder = self._root / name
        signature = signature_of(folder / ROLLOUT_FILE_NAME)
        known = self._rollouts.get(name)
        if known is None or known[0] != signature:
            try:
                found = read_rollouts(folder)
            except OSError as error:
                logger.warning("roll-outs of %s cannot be read: %s", name, error)
                return None if known is None else known[1]
            known = self._rollouts[name] = signature, found
        return known[1]

    def _end_beside(self, name: str, version: int | None) -> Rollout | None:
        """End the roll-out that goes on, as another version is in service; return it.

        It is aborted, unless the version is its candidate: then jobs that take part in it go on as
        they are. The caller holds the model's lock.
        """
        folder = self._root / name
        running = read_rollouts(folder).current
        if running is None or running.serving == version:
            return None
        rollout_file.end(folder, running.id, is_aborted=running.version != version)
        self._drop_label(name, CANDIDATE, running.version)
        return running

    def _check_in_service(self, name: str, change: ServiceChange, wanted: int) -> None:
        current = self.labels(name).get(PRODUCTION)
        if current != change.from_version:
            raise ServiceChanged(_changed_meanwhile(name, change.from_version, wanted, current))

    def put_in_service(self, name: str, change: ServiceChange) -> None:
        """Put the change's version in service, as one step: both or neither of two at once.

        A roll-out that goes on ends; see `_end_beside`. Raises ServiceChanged where another version
        is in service than the one that it is to follow, and as `open` does.
        """
        version = change.to_version
        assert version is not None, "a version is put in service, or another one is"
        with self._locked_with(name, version) as (folder, made_by):
            self._check_in_service(name, change, version)
            move_labels(folder, [PRODUCTION], version, made_by)
            ended = self._end_beside(name, version)
            note_change(folder, change.model_copy(update={"rollout": ended}))

    def remove(self, name: str, version: int) -> None:
        """Remove a version; its number is not used again.

        Raises VersionInUse for one that a label stands for, InvalidRequest for a starter, and
        UnknownModel. Whether jobs run on it is not known here.
        """
        self.check_removable(name, version)
        with exclusive(self._root / name):
            self._refuse_labelled(name, version)
            forget_version(self._root / name, version, {})
            remove_version(self._root / name, version)
            retiring.unmark(self._root / name, [version])

    def retiring(self, name: str) -> frozenset[int]:
        """Return the versions that are about to go, which no new job is to get."""
        return retiring.retiring_in(self._root / name)

    def retire(self, name: str, versions: Iterable[int]) -> None:
        """Have no new job get versions that are about to go, for two minutes at most."""
        with exclusive(self._root / name):
            retiring.mark(self._root / name, versions)

    def keep(self, name: str, versions: Iterable[int]) -> None:
        """Let new jobs get versions again that do not go."""
        if self.has_folder(name):
            with exclusive(self._root / name):
                retiring.unmark(self._root / name, versions)

    def check_rename(self, name: str, new_name: str) -> None:
        """Raise where a model cannot be renamed: InvalidRequest, UnknownModel, ModelNameTaken."""
        if _MODEL_FOLDER.fullmatch(new_name) is None:
            raise InvalidRequest(
                f"{new_name!r} is not a model's name; allowed: up to 40 of a-z 0-9 _ with a letter "
                "in front"
            )
        self._check_model(name)
        if name in self._starters or self.plugin_of(name) == name:
            raise InvalidRequest(f"{name} is a plugin's own model, and keeps its name")
        if self.has_folder(new_name) or new_name in self._starters:
            raise ModelNameTaken(f"there is a model {new_name!r}: {name} is not renamed")
        if self.renamed(new_name) not in (None, name):
            self._refuse_former(new_name)

    def rename(self, name: str, new_name: str) -> None:
        """Give a model another name: versions, labels and history move along, in one step.

        Raises as `check_rename` does, WrongState while a training is about to publish a version,
        and StoreUnwritable. Whether jobs name it is not known here.
        """
        folder, target = self._root / name, self._root / new_name
        self.check_rename(name, new_name)
        with exclusive(folder):
            self.check_rename(name, new_name)
            begun = begun_publishes(folder)
            if begun:
                raise WrongState(
                    f"training {begun[0]} is about to publish a version of {name}: it is not "
                    "renamed. Wait for its end, or cancel it"
                )
            self._adopt(name, self.plugin_of(name))
            former = [one for one in self._names_before(name) if one != new_name]
            plugin = self.plugin_of(name)
            # Before the folder moves: a process that is killed here has renamed nothing.
            names = (*former, name)[-_MAX_FORMER_NAMES:]
            write_model_file(folder, ModelFile(plugin=plugin, former_names=names))
            retiring.unmark(folder, self.numbers(name))
            with writing(target):
                folder.rename(target)
                sync(self._root)

    def renamed(self, name: str) -> str | None:
        """Return what the model is called now that had this name before; None where none had."""
        others = (other for other in self._folders() if other != name)
        return next((other for other in others if name in self._names_before(other)), None)

    def _names_before(self, name: str) -> tuple[str, ...]:
        """Return the former names of a model; those known before, where its file is damaged."""
        folder = self._root / name
        signature = signature_of(folder / MODEL_FILE_NAME)
        known = self._former_names.get(name)
        if known is None or known[0] != signature:
            names = () if known is None else known[1]
            with suppress(ArtifactDamaged):
                found = read_model_file(folder)
                names = () if found is None else found.former_names
            known = self._former_names[name] = signature, names
        return known[1]

    def _refuse_former(self, name: str) -> None:
        """Raise ModelNameTaken for the former name of a model that was renamed.

        Workers may have the model in memory under that name, and jobs and notes name it so.
        """
        now = None if self.has_folder(name) else self.renamed(name)
        if now is not None:
            raise ModelNameTaken(
                f"model {name!r} is called {now!r} now, and no other model gets its old name. "
                "Choose another name: --as NAME"
            )

    def check_removable(self, name: str, version: int) -> None:
        """Raise as `remove` does, of a version that is not removed now."""
        self._check_version(name, version, f"{name}@{version}")
        if version == STARTER_VERSION:
            raise InvalidRequest(
                f"{name}@{version} is the starter that ships with its plugin; it is not removed"
            )
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
            raise VersionInUse(
                f"{name}@{version} is tried as a {tried.kind}: it is not removed. End that first: "
                f"seqd models promote {name}@{version} --{_option_of(tried)} 0%"
            )
        labels = sorted(one for one, at in stored.items() if at == version and one != LATEST)
        if labels:
            raise VersionInUse(
                f"{name}@{version} has the label {labels[0]}: it is not removed. Take it away "
                f"first: seqd models label {name}@{version} {labels[0]} --remove"
            )

    def begin_publish(self, name: str, run_id: str, holder: str) -> None:
        """Record that a training is about to publish a version, which counts once finalized.

        `holder` is a new random word for this attempt; an earlier one can change nothing any
        more. Raises StoreUnwritable.
        """
        folder = self._make_folder(name)
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
            self._adopt(name, self.plugin_of(name))
            before = self.labels(name).get(PRODUCTION)
            move_labels(self._root / name, labels, version, made_by or run_id)
            if PRODUCTION in labels and before != version:
                ended = self._end_beside(name, version)
                by, why = f"job {run_id}", "asked for with the training"
                self._note(name, before, version, by, why, rollout=ended)

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
                before = self._in_service(name)
                restore_labels(folder, manifest.version, run_id)
                remove_version(folder, manifest.version)
                after = self._in_service(name)
                if before != after:
                    by, why = f"job {run_id}", "its training did not complete"
                    ended = self._end_beside(name, after)
                    self._note(name, before, after, by, why, is_rollback=True, rollout=ended)
                if before == manifest.version and after is None:
                    # Those that came meanwhile were no first versions; now one of them is.
                    for first in self.versions(name)[:1]:
                        self._put_first_in_service(first)
            finalize(folder, run_id)
        return None if manifest is None else manifest.version

    def staged(self) -> list[tuple[Path, str]]:
        """Return the staging folders, each with the training that it was made for."""
        return publishing.staged_folders(self._root)

    def drafts(self) -> list[Path]:
        """Return the drafts of files beside versions, which a killed process leaves behind."""
        folders = [self._root / name for name in self._folders()]
        folders += [folder / MEASUREMENTS_FOLDER for folder in folders]
        return [path for folder in folders if folder.is_dir() for path in drafts_in(folder)]

    def check_plugin(self, name: str, plugin: str, job_id: str | None = None) -> None:
        """Raise ModelNameTaken where a model is made with another plugin's model.

        `job_id` is the job whose training asks.
        """
        if self._is_free(name, job_id):
            return
        known = read_plugin(self._root / name) or (name if self.numbers(name) else None)
        if known not in (None, plugin):
            raise ModelNameTaken(
                f"model {name!r} is made with {known}, and a model's plugin never changes: it "
                f"takes no version of {plugin}. Choose another name: --as NAME"
            )

    def _is_free(self, name: str, job_id: str | None) -> bool:
        """Return True for a name without a version, nor another job that is about to publish one.

        Raises ModelNameTaken for a former name.
        """
        self._refuse_former(name)
        folder = self._root / name
        if self.numbers(name):
            return False
        begun = begun_publishes(folder) if folder.is_dir() else []
        return all(job_of_run(run_id)[0] == job_id for run_id in begun)

    def _adopt(self, name: str, plugin: str, job_id: str | None = None) -> None:
        """Write down what a model is made with, and what its name means, where nobody has."""
        self.check_plugin(name, plugin, job_id)
        folder = self._root / name
        if has_model_file(folder) and (self.numbers(name) or read_plugin(folder) == plugin):
            return
        if self.numbers(name):  # else its name means nothing yet
            try:
                meant, stored = self.labels(name), read_labels(folder)
            except ArtifactDamaged as error:
                logger.warning("what %s means is not written down yet: %s", name, error)
                return
            if PRODUCTION not in stored:
                write_labels(folder, stored | {PRODUCTION: meant[PRODUCTION]})
        write_plugin(folder, plugin)

    def _put_first_in_service(self, manifest: ModelManifest) -> None:
        """Put a version in service where no version of its model is."""
        folder, name = self._root / manifest.model, manifest.model
        try:
            has_other = PRODUCTION in self.labels(name)
        except ArtifactDamaged as error:
            logger.warning("%s@%d is not put in service: %s", name, manifest.version, error)
            return
        if not has_other:
            run_id = _made_by(manifest)
            move_labels(folder, [PRODUCTION], manifest.version, run_id)
            by = f"job {run_id}" if run_id else ""
            self._note(name, None, manifest.version, by, "its first version")

    def _in_service(self, name: str) -> int | None:
        try:
            return self.labels(name).get(PRODUCTION)
        except ArtifactDamaged:
            return None

    def _note(
        self,
        name: str,
        before: int | None,
        after: int | None,
        by: str,
        why: str,
        is_rollback: bool = False,
        rollout: Rollout | None = None,
        order_id: str | None = None,
    ) -> None:
        """Write down what changed of what is in service; the caller holds the model's lock."""
        change = ServiceChange(
            at_ms=time.time_ns() // 1_000_000,
            by=by,
            from_version=before,
            to_version=after,
            why=why,
            is_rollback=is_rollback,
            rollout=rollout,
            order_id=order_id,
        )
        note_change(self._root / name, change)

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
            raise UnknownModel(f"no model named {name!r}{self._known_models(name)}")

    def _check_version(self, name: str, version: int, ref: str) -> None:
        numbers = self.numbers(name)
        if version in numbers:
            return
        self._check_model(name)
        meant = ref if ref == f"{name}@{version}" else f"{name}@{version}, which {ref} stands for"
        there = ", ".join(str(number) for number in numbers)
        raise UnknownModel(f"no version {meant}. Versions of {name}: {there}")

    def _known_models(self, name: str) -> str:
        names = self.models()
        return f". Models here: {listed(names)}.{did_you_mean(name, names)}"


def _option_of(rollout: Rollout) -> str:
    return "shadow" if rollout.kind == RolloutKind.SHADOW else "share"


def _made_by(manifest: ModelManifest) -> str:
    """Return the training that made a version; '' where none did."""
    return run_id_of(manifest.job_id, manifest.unit) if manifest.job_id else ""


def _changed_meanwhile(name: str, expected: int | None, wanted: int, current: int | None) -> str:
    now = "no version" if current is None else f"{name}@{current}"
    before = "none" if expected is None else f"{name}@{expected}"
    return (
        f"{now} is in service, no longer {before}: somebody was faster. {name}@{wanted} "
        f"comes too late, and nothing is changed. Look at it with `seqd models history {name}`, "
        "and say it again"
    )
