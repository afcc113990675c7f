"""A job of the ledger that another engine runs, as the process has it that runs it.

It stands in no queue, so that no worker takes part. The process commits each unit as it is done,
and keeps the lease by which the workers find its death.
"""

from dataclasses import replace
from os import getpid
from socket import gethostname
from typing import TYPE_CHECKING, Any

from seqd.admission import Admitted
from seqd.ledger.blobs import PartReference
from seqd.ledger.work import CommitOutcome, Renewal

if TYPE_CHECKING:
    from seqd.client import JobHandle
    from seqd_schemas import JobRecord


def process_name() -> str:
    """Return how the ledger calls this process: HOST:PID."""
    return f"{gethostname()[:128]}:{getpid()}"


class HeldJob:
    """A job that this process has another engine run. Steps raise what it has ended with."""

    def __init__(self, handle: "JobHandle[Any]", record: "JobRecord") -> None:
        """Hand the job of a record in, under a handle's name. Raises what it is refused with."""
        self.handle, self._units = handle, record.units
        self._ledger = handle.steps.ledger
        self._ingest = self._ledger.submissions.begin_elsewhere(
            record.job,
            Admitted(record.version, record.unit_items),
            job_id=handle.job_id,
            units=record.units,
            items=record.counts.total,
            holder=process_name(),
        )
        self._committed = list[tuple[int, PartReference, str]]()

    def keep(self) -> None:
        """Keep the job for another lease."""
        if self._ledger.work.renew([self._ingest]) == [Renewal.LOST]:
            self.handle.wait()  # ended, so this only raises

    def commit(self, unit: int, part: PartReference, failed: str) -> None:
        """Record where the results of a unit are; `failed` has the records of its failed items.

        The last one completes the job.
        """
        self._committed.append((unit, part, failed))
        is_last = len(self._committed) == self._units
        if self._commit(unit, part, failed) is CommitOutcome.COMMITTED and is_last:
            # A Redis that crashed has lost some that it had acknowledged.
            for row in self._committed:
                self._commit(*row)

    def _commit(self, unit: int, part: PartReference, failed: str) -> CommitOutcome:
        named = replace(self._ingest, name=str(unit))
        outcome = self._ledger.work.commit_part(named, part, failed)
        if outcome is CommitOutcome.ENDED:
            self.handle.wait()
        return outcome
