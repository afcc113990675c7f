"""A job of the ledger that another engine runs, as the process has it that runs it.

It stands in no queue, so that no worker takes part. The process commits each unit as it is done,
and keeps the lease by which the workers find its death.
"""

from dataclasses import replace
from os import getpid
from socket import gethostname
from typing import TYPE_CHECKING, Any

from seqd.admission import Admitted
from seqd.ledger.work import CommitOutcome, Renewal

if TYPE_CHECKING:
    from seqd.client import Client, JobHandle
    from seqd.ledger.blobs import PartReference
    from seqd_schemas import JobRecord


def process_name() -> str:
    """Return how the ledger calls this process: HOST:PID."""
    return f"{gethostname()[:128]}:{getpid()}"


class HeldJob:
    """A job that this process has another engine run. Steps raise what it has ended with."""

    def __init__(self, client: "Client", job_id: str, record: "JobRecord") -> None:
        """Hand the job of a record in. Raises what the ledger refuses it with."""
        self.handle: JobHandle[Any] = client.job(job_id)
        self._ledger = self.handle.steps.ledger
        self._ingest = self._ledger.submissions.begin_elsewhere(
            record.job,
            Admitted(record.version, record.unit_items),
            job_id=job_id,
            units=record.units,
            items=record.counts.total,
            holder=process_name(),
        )

    def keep(self) -> None:
        """Keep the job for another lease."""
        if self._ledger.work.renew([self._ingest]) == [Renewal.LOST]:
            self.handle.wait()  # ended, so this only raises

    def commit(self, unit: int, part: "PartReference", failed: str) -> None:
        """Record where the results of a unit are; `failed` has the records of its failed items.

        The last one completes the job.
        """
        named = replace(self._ingest, name=str(unit))
        if self._ledger.work.commit_part(named, part, failed) is CommitOutcome.ENDED:
            self.handle.wait()
