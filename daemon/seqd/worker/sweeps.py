"""Runs the combinations of a sweep, each a training of its own, and labels the best at the end.

A combination is an item of the job and a unit of its own, so the ledger hands it out, takes it
back and counts it like any other; `trainings` trains it. What is special is here: a training that
fails is one item's error, and labels move once, when it is known which version is best.
Called by `runtime`.

Whoever publishes the last version sees all others in the store, and moves the labels before it
commits, so they stand when the sweep completes. Only where the last combination fails in the
moment in which another is published are they moved right after that; a worker that dies just then
leaves them where they stood. And a cancel that comes between labels and commit leaves them at the
best of what was finished, if that is not what it undoes.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from seqd.analysis.sweeps import Combination, best_of, combinations_of, training_of
from seqd.errors import REDIS_ERRORS, InvalidInput, LeaseLost, SeqdError, UnknownJob, failure_of
from seqd.ledger.blobs import unpack_results
from seqd.ledger.commits import CommitOutcome
from seqd.ledger.units import Unit
from seqd.worker.chores import outlive
from seqd.worker.item_units import unpack
from seqd.worker.publication import Publication
from seqd.worker.runs import Run, events_so_far
from seqd.worker.trainings import Trainings
from seqd.worker.workbench import Workbench
from seqd_schemas import (
    Epoch,
    Failure,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
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
    "checkpoint, and as often as it is tried (SEQD_MAX_ATTEMPTS). Its log says why; memory is the "
    "usual reason."
)


class Sweeps:
    """Runs the units of sweeps."""

    def __init__(self, bench: Workbench, trainings: Trainings) -> None:
        self._bench = bench
        self._trainings = trainings

    def run(self, job: SweepJob, unit: Unit) -> None:
        """Train one combination and commit. Raises Stopped or LeaseLost when it must not go on."""
        try:
            chunk = unpack(unit).chunk
            name = chunk.items[0].custom_id
            combination = next(one for one in combinations_of(job) if one.name == name)
        except (InvalidInput, IndexError, StopIteration):
            self._refuse(unit)
            return
        run = Run(training_of(job, combination), unit, job, name)
        labels = BestLabels(self._bench, self._trainings.publication, job, unit.job_id)
        ending = _CombinationEnding(
            self._bench, labels, chunk, combination, self._epochs_before_s(run)
        )
        if unit.crashes >= self._bench.max_attempts:
            ending.give_up(run, ItemError(code=ItemErrorCode.WORKER_CRASHED, message=_CRASHED))
            self._trainings.publication.settle(run)
        else:
            taken = "begun" if unit.attempt == 1 else "taken up again"
            self._trainings.tell(run, f"{taken} by {self._bench.identity.name}")
            self._trainings.carry_out(run, ending)

    def _epochs_before_s(self, run: Run) -> float:
        """Give the seconds of the epochs that earlier attempts finished."""
        if run.unit.attempt == 1:
            return 0.0
        events = events_so_far(run.unit.job_id, self._bench.ledger.jobs)
        return sum(
            event.seconds for event in events if isinstance(event, Epoch) and event.run == run.name
        )

    def _refuse(self, unit: Unit) -> None:
        error = InvalidInput(
            f"unit {unit.name} of job {unit.job_id} is no combination of its grid: its chunk was "
            "replaced. Hand the sweep in again."
        )
        if self._bench.ledger.work.fail_job(unit, failure_of(error)):
            self._bench.job_finished(unit.job_id)


class _CombinationEnding:
    """Commits what came of one combination, as the result of an item."""

    def __init__(
        self,
        bench: Workbench,
        labels: "BestLabels",
        chunk: ItemChunk,
        combination: Combination,
        epochs_before_s: float,
    ) -> None:
        """`epochs_before_s` are the seconds of the epochs that earlier attempts finished."""
        self._bench = bench
        self._labels = labels
        self._chunk = chunk
        self._combination = combination
        self._epochs_before_s = epochs_before_s

    def succeed(self, run: Run, manifest: ModelManifest, seconds: float, epochs_s: float) -> None:
        """Commit the version, if the unit is still ours. Raises LeaseLost."""
        output = TrainedVersion(
            model=manifest.model,
            version=manifest.version,
            parameters=self._combination.values,
            metrics=manifest.metrics,
            # What epochs took can be compared; the first training of a process also pays for the
            # import of its libraries.
            seconds=self._epochs_before_s + epochs_s or seconds,
        )
        self._labels.move_if_last(run, manifest)
        self._bench.publish_catalog()
        self._commit(run, ItemSuccess(custom_id=self._combination.name, output=output))

    def fail(self, run: Run, failure: Failure) -> None:
        """Commit why there is no version; the other combinations go on."""
        is_input = failure.code in _OF_THE_INPUT
        code = ItemErrorCode.INVALID_INPUT if is_input else ItemErrorCode.PLUGIN_ERROR
        message, retryable = failure.message, failure.retryable
        self.give_up(run, ItemError(code=code, message=message, retryable=retryable))

    def give_up(self, run: Run, error: ItemError) -> None:
        """Commit an error."""
        self._labels.move_if_last(run, None)
        name, attempts = self._combination.name, run.unit.attempt
        self._commit(run, ItemFailure(custom_id=name, error=error, attempts=attempts))

    def _commit(self, run: Run, result: ItemSuccess | ItemFailure) -> None:
        job_id = run.unit.job_id
        outcome = self._bench.ledger.commits.one(run.unit, [result], self._chunk, fenced=True)
        if outcome is CommitOutcome.COMPLETED:
            outlive(f"labels of job={job_id} not moved", self._labels.move_at_end)
            self._bench.job_finished(job_id)
        elif outcome is not CommitOutcome.COMMITTED:
            # As of a training of its own: `settle` takes the version back, or it is taken over.
            log.info("commit of training job=%s: %s", run.id, outcome)


class BestLabels:
    """Moves a sweep's labels to its best version, once all of it is there."""

    def __init__(
        self, bench: Workbench, publication: Publication, job: SweepJob, job_id: str
    ) -> None:
        self._bench = bench
        self._publication = publication
        self._job = job
        self._job_id = job_id

    def move_if_last(self, run: Run, manifest: ModelManifest | None) -> None:
        """Move them if no other combination is still to come; `manifest` is what this run made.

        What else than a lost lease keeps them from moving is told, and fails no training.
        """
        if not self._job.labels:
            return
        try:
            made = self._all_made(run, manifest)
            best = None if made is None else self._best(made)
            if best is not None:
                self._move(run, best)
        except (LeaseLost, *REDIS_ERRORS):
            raise
        except SeqdError as error:
            log.warning("labels of job=%s not moved: %s", self._job_id, error)

    def move_at_end(self) -> None:
        """Move those that are not at the best version, now that the sweep has completed."""
        store, name = self._bench.store, self._job.model
        best = self._best(self._committed(self._job_id)) if self._job.labels else None
        if best is None:
            return
        number = best.version
        moved = [label for label in self._job.labels if store.labels(name).get(label) != number]
        for label in moved:
            store.set_label(name, label, number)
        if moved:
            self._bench.publish_catalog()

    def _move(self, run: Run, best: "_Made") -> None:
        store, job = self._bench.store, self._job

        def step(holder: str) -> None:
            store.move_labels(job.model, job.labels, best.version, run.id, holder, best.run_id)

        self._publication.while_ours(run, step)

    def _best(self, made: "Sequence[_Made]") -> "_Made | None":
        figures = {one.version: one.metrics for one in made}
        best = best_of(self._job.metric, figures)
        return next((one for one in made if one.version == best), None)

    def _all_made(self, run: Run, manifest: ModelManifest | None) -> "list[_Made] | None":
        """Give all versions, of a retry with those before it; None while one is still to come.

        Those that are in the store and not committed yet count: a version is published first.
        """
        record = self._bench.ledger.jobs.get(self._job_id)
        if not record.sealed:
            return None
        found = self._committed(self._job_id)
        published = {
            version.unit: version
            for version in self._bench.store.versions(self._job.model)
            if version.job_id == self._job_id
        } | {run.number: manifest}
        blobs = self._bench.ledger.jobs.outputs(self._job_id, range(record.units))
        for number, blob in enumerate(blobs):
            if blob is None and number not in published:
                return None
            version = published.get(number)
            if blob is None and version is not None:
                run_id = run_id_of(self._job_id, number)
                found.append(_Made(run_id, version.version, version.metrics))
        return found

    def _committed(self, job_id: str) -> "list[_Made]":
        """Give what a sweep has made so far, behind what those before it made."""
        jobs = self._bench.ledger.jobs
        try:
            record = jobs.get(job_id)
        except UnknownJob:
            return []  # an earlier sweep that is not kept any more
        earlier = record.job.continues
        found = [] if earlier is None else self._committed(earlier)
        for number, blob in enumerate(jobs.outputs(job_id, range(record.units))):
            for result in () if blob is None else unpack_results(blob):
                if isinstance(result, ItemSuccess) and isinstance(result.output, TrainedVersion):
                    run_id, made = run_id_of(job_id, number), result.output
                    found.append(_Made(run_id, made.version, made.metrics))
        return found


@dataclass(frozen=True, slots=True)
class _Made:
    """A version, and the training that made it."""

    run_id: str
    version: int
    metrics: Metrics
