"""What is in service in a model store: which version, by whom and why; labels; what is tried.

Each change is one step under the model's lock, with a line in its history.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seqd.errors import ArtifactDamaged, ModelNameTaken, ServiceChanged
from seqd.models.disk import exclusive, writing
from seqd.models.model_records import (
    CANDIDATE,
    PRODUCTION,
    begin_rollout,
    begun_publishes,
    check_label,
    end_rollout,
    move_labels,
    note_change,
    read_labels,
    read_model_file,
    read_rollouts,
    write_labels,
    write_model_file,
)
from seqd.models.shared_store import repeated
from seqd.models.stored_versions import STARTER_VERSION, StoredVersions
from seqd_schemas import (
    ModelFile,
    ModelManifest,
    Rollout,
    ServiceChange,
    job_of_run,
    run_id_of,
)

logger = logging.getLogger(__name__)


class ServingStore(StoredVersions):
    """Puts versions in service, moves labels, begins and ends roll-outs."""

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """Keep others from changing a model's folder in the block, on all hosts that share it.

        What calls it is `repeated`. Raises StoreUnwritable.
        """
        with exclusive(self._root / name):
            if self._shared is None:
                yield
            else:
                with self._shared.changing(name):
                    yield

    def check_plugin(self, name: str, plugin: str, job_id: str | None = None) -> None:
        """Raise ModelNameTaken where a model is made with another plugin's model.

        A name without a version is free, unless another job than `job_id`,
        whose training asks, is about to publish one.
        """
        folder, has_versions = self._root / name, bool(self.numbers(name))
        begun = begun_publishes(folder) if folder.is_dir() and not has_versions else []
        if not has_versions and all(job_of_run(run_id)[0] == job_id for run_id in begun):
            return
        found = read_model_file(folder)
        known = found.plugin if found else name if has_versions else None
        if known not in (None, plugin):
            raise ModelNameTaken(
                f"model {name!r} is made with {known}, and a model's plugin never changes: it "
                f"takes no version of {plugin}. Choose another name: --as NAME"
            )

    def _note_model(
        self, name: str, plugin: str, job_id: str | None = None, tenant: str | None = None
    ) -> None:
        """Write down what a model is made with, and before its first version whose it is.

        A plugin's own model is nobody's. Raises as `check_plugin` does.
        """
        self.check_plugin(name, plugin, job_id)
        found = read_model_file(self._root / name)
        owner = None if found is None else found.owner
        if name != plugin and not self.numbers(name):
            owner = tenant
        if found is None or (found.plugin, found.owner) != (plugin, owner):
            write_model_file(self._root / name, ModelFile(plugin=plugin, owner=owner))

    @repeated
    def set_label(self, name: str, label: str, version: int, by: str = "", why: str = "") -> None:
        """Move a label to a version that opens; raises as `open` does, or InvalidRequest."""
        check_label(label)
        with self._locked_with(name, version) as (_, made_by):
            self._move_labels(name, [label], version, made_by, by, why)

    def _move_labels(
        self, name: str, labels: Sequence[str], version: int, made_by: str, by: str, why: str
    ) -> None:
        """Move labels to a version that `made_by` made; the caller holds the model's lock."""
        before = self.labels(name).get(PRODUCTION)
        move_labels(self._root / name, labels, version, made_by)
        if PRODUCTION in labels and before != version:
            self._note(name, change_now(before, version, by, why))

    @repeated
    def drop_label(self, name: str, label: str, version: int) -> None:
        """Remove a label, unless somebody has moved it from the version. Raises ArtifactDamaged."""
        with self.changing(name):
            self._drop_label(name, label, version)

    def _drop_label(self, name: str, label: str, version: int) -> None:
        labels = read_labels(self._root / name)
        if labels.get(label) == version:
            del labels[label]
            write_labels(self._root / name, labels)

    @contextmanager
    def _locked_with(self, name: str, version: int) -> Iterator[tuple[Path, str]]:
        """Yield a model's folder, locked, and the training that made a version that opens."""
        made_by = maker_of(self.open(name, version).manifest)
        folder = self._root / name
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with self.changing(name):
            self._check_version(name, version, f"{name}@{version}")  # else removed meanwhile
            yield folder, made_by

    @repeated
    def put_in_service(self, name: str, change: ServiceChange) -> None:
        """Put the change's version in service, as one step: both or neither of two at once.

        A roll-out that goes on ends. Raises ServiceChanged where another version
        is in service than the one that it is to follow, and as `open` does.
        """
        version = change.to_version
        assert version is not None, "a version is put in service, or another one is"
        with self._locked_with(name, version) as (folder, made_by):
            self._check_in_service(name, change, version)
            move_labels(folder, [PRODUCTION], version, made_by)
            self._note(name, change)

    @repeated
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
            begin_rollout(folder, rollout)
            note_change(folder, change)

    @repeated
    def end_rollout(
        self, name: str, rollout: Rollout, by: str, why: str, order_id: str | None = None
    ) -> bool:
        """Abort a roll-out; False where it had ended. The version in service stays.

        The candidate computes nothing more, of the jobs that take part in it neither. Raises
        StoreUnwritable.
        """
        folder = self._root / name
        with self.changing(name):
            ended = end_rollout(folder, rollout.id, is_aborted=True)
            if ended is None:
                return False
            self._drop_label(name, CANDIDATE, ended.version)
            serving = self._in_service(name)
            more = {"rollout": ended, "order_id": order_id}
            note_change(folder, change_now(serving, serving, by, why).model_copy(update=more))
        return True

    def _put_first_in_service(self, manifest: ModelManifest) -> None:
        """Put a version in service where no version of its model is.

        That is so, too, where version 0 was and its plugin does not bring it any more.
        """
        folder, name = self._root / manifest.model, manifest.model
        try:
            serving = self.labels(name).get(PRODUCTION)
        except ArtifactDamaged as error:
            logger.warning("%s@%d is not put in service: %s", name, manifest.version, error)
            return
        is_gone = serving == STARTER_VERSION and serving not in self.numbers(name)
        if serving is None or is_gone:
            run_id = maker_of(manifest)
            move_labels(folder, [PRODUCTION], manifest.version, run_id)
            by = f"job {run_id}" if run_id else ""
            why = "its plugin brings no version 0 any more" if is_gone else "its first version"
            self._note(name, change_now(serving, manifest.version, by, why))
        elif PRODUCTION not in (stored := read_labels(folder)):
            # So that it is known what the name meant once the plugin brings no version 0 any more.
            write_labels(folder, stored | {PRODUCTION: serving})

    def _check_in_service(self, name: str, change: ServiceChange, wanted: int) -> None:
        current = self.labels(name).get(PRODUCTION)
        if current != change.from_version:
            expected = change.from_version
            now = "no version" if current is None else f"{name}@{current}"
            before = "none" if expected is None else f"{name}@{expected}"
            raise ServiceChanged(
                f"{now} is in service, no longer {before}: somebody was faster. {name}@{wanted} "
                f"comes too late, and nothing is changed. Look at it with `seqd models history "
                f"{name}`, and say it again"
            )

    def _end_beside(self, name: str, version: int | None) -> Rollout | None:
        """End the roll-out that goes on, as another version is in service; return it.

        It is aborted, unless the version is its candidate: then jobs that take part in it go on as
        they are. The caller holds the model's lock.
        """
        folder = self._root / name
        running = read_rollouts(folder).current
        if running is None or running.serving == version:
            return None
        end_rollout(folder, running.id, is_aborted=running.version != version)
        self._drop_label(name, CANDIDATE, running.version)
        return running

    def _note(self, name: str, change: ServiceChange) -> None:
        """Write down that another version is in service, and end the roll-out that goes on.

        The caller holds the model's lock.
        """
        ended = self._end_beside(name, change.to_version)
        note_change(self._root / name, change.model_copy(update={"rollout": ended}))


def change_now(before: int | None, after: int | None, by: str, why: str) -> ServiceChange:
    """Return a change of the version in service that is made now."""
    now_ms = time.time_ns() // 1_000_000
    return ServiceChange(at_ms=now_ms, by=by, from_version=before, to_version=after, why=why)


def maker_of(manifest: ModelManifest) -> str:
    """Return the training that made a version; '' where none did."""
    return run_id_of(manifest.job_id, manifest.unit) if manifest.job_id else ""
