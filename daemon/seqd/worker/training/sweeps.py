"""Commits the combinations of a sweep, each a training of its own, and labels the best at the end.

A combination is an item of the job and a unit of its own, so the ledger hands it out, releases it
and counts it like any other. A training that fails is one item's error, and labels move once, when
it is known which version is best.

Whoever publishes the last version sees all others in the store, and moves the labels before it
commits, so they stand when the sweep completes. Only where the last combination fails in the
moment in which another is published are they moved right after that; a worker that dies just then
leaves them where they stood. And a cancel that comes between labels and commit leaves them at the
best of what was finished, if that is not what it undoes.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from seqd.analysis.sweeps import best_of, combinations_of, training_of
from seqd.errors import REDIS_ERRORS, InvalidInput, LeaseLost, SeqdError, UnknownJob, failure_of
from seqd.ledger.blobs import unpack_results
from seqd.ledger.units import Unit
from seqd.ledger.work import NO_USE, CommitOutcome, Use
from seqd.models.model_records import PRODUCTION
from seqd.worker.computing import unpack
from seqd.worker.context import WorkerContext
from seqd.worker.logs import log_and_continue
from seqd.worker.training.publish import Publisher, RunCommit, Trained, how_it_died
from seqd.worker.training.run import Run
from seqd_schemas import (
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobState,
    Metrics,
    ModelManifest,
    SweepJob,
    TrainedVersion,
    run_id_of,
)

log = logging.getLogger(__name__)

#: Codes of failures that the combination itself, or the data, is to blame for.
_OF_THE_INPUT = ("invalid_parameters", "invalid_request", "invalid_input", "invalid_data")

_CRASHED = (
    "The worker died each time that it trained this combination, without getting as far as a new "
    "checkpoint, and as often as it is tried (SEQD_MAX_ATTEMPTS)."
)


class CombinationCommit(RunCommit):
    """Commits one combination as the result of an item; the other combinations go on."""

    def __init__(
        self, context: WorkerContext, publisher: Publisher, job: SweepJob, unit: Unit
    ) -> None:
        """Raises InvalidInput where the unit is no combination of the job's grid."""
        try:
            self._chunk = unpack(unit).chunk
            name = self._chunk.items[0].custom_id
            self._combination = next(one for one in combinations_of(job) if one.name == name)
        except (InvalidInput, IndexError, StopIteration):
            raise InvalidInput(
                f"unit {unit.name} of job {unit.job_id} is no combination of its grid: its chunk "
                "was replaced. Hand the sweep in again."
            ) from None
        run = Run(training_of(job, self._combination), unit, job, name)
        super().__init__(context, publisher, run)
        self._labels = BestLabels(context, publisher, job, unit.job_id)

    def succeed(self, trained: Trained) -> None:
        """Commit the version, if the unit is still ours. Raises LeaseLost."""
        manifest = trained.manifest
        output = TrainedVersion(
            model=manifest.model,
            version=manifest.version,
            parameters=self._combination.values,
            metrics=manifest.metrics,
            # What epochs took can be compared; the first training of a process also pays for the
            # import of its libraries.
            seconds=self._earlier_s + trained.epochs_s or trained.seconds,
        )
        self._labels.move_if_last(self.run, manifest)
        self._context.publish_catalog()
        success = ItemSuccess(custom_id=self._combination.name, output=output)
        self._commit(success, JobState.COMPLETED, self._use(trained), manifest.plugin_version)

    def fail(self, error: SeqdError) -> None:
        """Commit why there is no version."""
        failure = failure_of(error)
        is_input = failure.code in _OF_THE_INPUT
        code = ItemErrorCode.INVALID_INPUT if is_input else ItemErrorCode.PLUGIN_ERROR
        message, retryable = failure.message, failure.retryable
        self._commit_error(ItemError(code=code, message=message, retryable=retryable))

    def give_up(self) -> None:
        """Commit that the worker died each time that it was tried."""
        message = f"{_CRASHED} {how_it_died(self.run.unit)}"
        self._commit_error(ItemError(code=ItemErrorCode.WORKER_CRASHED, message=message))

    def _commit_error(self, error: ItemError) -> None:
        self._labels.move_if_last(self.run, None)
        name, attempts = self._combination.name, self.run.unit.attempt
        failure = ItemFailure(custom_id=name, error=error, attempts=attempts)
        self._commit(failure, JobState.FAILED)

    def _commit(
        self,
        result: ItemSuccess | ItemFailure,
        state: JobState,
        use: Use = NO_USE,
        plugin_version: str = "",
    ) -> None:
        unit, work = self.run.unit, self._context.ledger.work
        self._context.leases.computed()
        outcome = work.commit(
            unit, [result], self._chunk, fenced=True, use=use, plugin_version=plugin_version
        )
        if outcome is CommitOutcome.COMPLETED:
            log_and_continue(f"labels of job={unit.job_id} not moved", self._labels.move_at_end)
        self._note(outcome, state)


class BestLabels:
    """Moves a sweep's labels to its best version, once all of it is there."""

    def __init__(
        self, context: WorkerContext, publisher: Publisher, job: SweepJob, job_id: str
    ) -> None:
        self._context = context
        self._publisher = publisher
        self._job = job
        self._job_id = job_id

    def move_if_last(self, run: Run, manifest: ModelManifest | None) -> None:
        """Move them if no other combination is still to come; `manifest` is what this run made.

        What else than a lost lease keeps them from moving is logged, and fails no training.
        """
        try:
            labels = self._labels()
            if not labels:
                return
            made = self._all_made(run, manifest)
            best = None if made is None else self._best(made)
            if best is not None:
                self._publisher.move_labels(run, labels, best.version, best.run_id)
        except (LeaseLost, *REDIS_ERRORS):
            raise
        except SeqdError as error:
            log.warning("labels of job=%s not moved: %s", self._job_id, error)

    def move_at_end(self) -> None:
        """Move those that are not at the best version, now that the sweep has completed."""
        store, name, labels = self._context.store, self._job.model, self._labels()
        best = self._best(self._committed(self._job_id)) if labels else None
        if best is None:
            return
        number = best.version
        moved = [label for label in labels if store.labels(name).get(label) != number]
        for label in moved:
            store.set_label(name, label, number, f"job {self._job_id}", "the best of its sweep")
        if moved:
            self._context.publish_catalog()

    def _labels(self) -> tuple[str, ...]:
        """Return the job's labels; `production`, too, where it has put a version in service itself.

        That is the first of a model which had none. One that somebody has put there stays.
        """
        store, name = self._context.store, self._job.model
        changes = store.history(name) if store.numbers(name) else []
        is_own = bool(changes) and changes[-1].by.partition(".")[0] == f"job {self._job_id}"
        return (*dict.fromkeys((*self._job.labels, *([PRODUCTION] if is_own else []))),)

    def _best(self, made: "Sequence[_Made]") -> "_Made | None":
        best = best_of(self._job.metric, {one.version: one.metrics for one in made})
        return next((one for one in made if one.version == best), None)

    def _all_made(self, run: Run, manifest: ModelManifest | None) -> "list[_Made] | None":
        """Return all versions, of a retry with those before it; None while one is still to come.

        Those that are in the store and not committed yet count: a version is published first.
        """
        jobs = self._context.ledger.jobs
        record = jobs.get(self._job_id)
        if not record.sealed:
            return None
        found = [] if self._job.continues is None else self._committed(self._job.continues)
        published = {
            version.unit: version
            for version in self._context.store.versions(self._job.model)
            if version.job_id == self._job_id
        } | {run.number: manifest}
        for number, blob in enumerate(jobs.outputs(self._job_id, range(record.units))):
            if blob is not None:
                found += _made_by(self._job_id, number, blob)
            elif number not in published:
                return None
            elif (version := published[number]) is not None:
                run_id = run_id_of(self._job_id, number)
                found.append(_Made(run_id, version.version, version.metrics))
        return found

    def _committed(self, job_id: str) -> "list[_Made]":
        """Return what a sweep has made so far, behind what those before it made."""
        jobs = self._context.ledger.jobs
        try:
            record = jobs.get(job_id)
        except UnknownJob:
            return []  # an earlier sweep that is not kept any more
        earlier = record.job.continues
        found = [] if earlier is None else self._committed(earlier)
        for number, blob in enumerate(jobs.outputs(job_id, range(record.units))):
            found += () if blob is None else _made_by(job_id, number, blob)
        return found


@dataclass(frozen=True, slots=True)
class _Made:
    """A version, and the training that made it."""

    run_id: str
    version: int
    metrics: Metrics


def _made_by(job_id: str, number: int, blob: bytes) -> "list[_Made]":
    """Return the version that a combination has committed, if it made one."""
    outputs = [result.output for result in unpack_results(blob) if isinstance(result, ItemSuccess)]
    run_id = run_id_of(job_id, number)
    return [
        _Made(run_id, made.version, made.metrics)
        for made in outputs
        if isinstance(made, TrainedVersion)
    ]
