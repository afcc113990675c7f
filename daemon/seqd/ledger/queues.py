"""Reads how each queue stands: what waits of it, how fast it goes, who can run it.

A read costs by queues and workers, and by a bounded number of open jobs. `seqd.queue_states` makes
the states of what is read.
"""

from typing import TYPE_CHECKING, Final, Protocol, cast

from seqd.ledger.backlog import Backlog, WithFleet
from seqd.ledger.exchange import Exchange, Part, command, exchange, open_jobs, permitted
from seqd.ledger.model_pauses import ModelPauses, pause_told
from seqd.queue_states import (
    JobRow,
    QueueFacts,
    QueueState,
    WorkDone,
    queue_states,
    tenant_states,
)
from seqd_schemas import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd_schemas import CatalogEntry, WorkerStatus

#: Open jobs, the oldest, that are looked at: for what is paused, and for what each tenant has.
LOOKED_AT: Final = 500
LOOKED_AT_BY_TENANT: Final = 5_000

_FIELDS: Final = (
    "queue", "tenant", "state", "created", "total", "succeeded", "errored", "cancelled", "expired",
)  # fmt: skip


class _WithBacklog(WithFleet, Protocol):
    backlog: Backlog
    model_pauses: ModelPauses


class Queues(Part):
    """Reads the queues' states."""

    def __init__(self, ledger: _WithBacklog) -> None:
        super().__init__(ledger)
        self._fleet, self._backlog = ledger.fleet, ledger.backlog
        self._model_pauses = ledger.model_pauses

    @exchange
    def states(self, *, by_tenant: bool = False) -> Exchange[list[QueueState]]:
        """Return the state of each task and model, those of the catalog without work too, sorted.

        By tenant there is one for each that has jobs among the oldest `LOOKED_AT_BY_TENANT` open
        ones.
        """
        workers = yield from self._fleet.workers.steps()
        catalog = yield from self._fleet.catalog.steps()
        jobs = LOOKED_AT_BY_TENANT if by_tenant else LOOKED_AT
        facts = yield from self.facts.steps(workers, catalog, jobs=jobs)
        return tenant_states(facts) if by_tenant else queue_states(facts)

    @exchange
    def facts(
        self,
        workers: "list[WorkerStatus]",
        catalog: "Mapping[str, CatalogEntry]",
        left: "Mapping[str, int] | None" = None,
        jobs: int = LOOKED_AT,
    ) -> Exchange[QueueFacts]:
        """Return what states are made of, by so many of the oldest open jobs.

        `left` are the items that are left by queue, where they were read already.
        """
        work = yield from self._backlog.queues.steps(left)
        rates = yield from permitted(self._backlog.rates.steps(), {})
        pauses = yield from self._model_pauses.all.steps()
        return QueueFacts(
            now_ms=(yield from self._fleet.now_ms.steps()),
            work=work,
            rates=rates,
            done=(yield from permitted(self._done(), {})),
            workers=workers,
            jobs=(yield from self._jobs(jobs)),
            known=[(task, model) for model, entry in catalog.items() for task in entry.all_tasks],
            pauses={model: pause_told(pause) for model, pause in pauses.items()},
            unheard=(yield from self._fleet.unheard.steps(workers)),
        )

    def _done(self) -> Exchange[dict[str, WorkDone]]:
        rows = cast(dict[bytes, bytes], (yield from command("HGETALL", self._keys.work_done())))
        found = {}
        for queue, row in rows.items():
            items, errors, recent, recent_errors, since, at = row.split()
            found[queue.decode()] = WorkDone(
                int(items), int(errors), float(recent), float(recent_errors), int(since), int(at)
            )
        return found

    def _jobs(self, most: int) -> Exchange[list[JobRow]]:
        """Return the oldest open jobs."""
        rows = yield from open_jobs(self._keys, 0, most, _FIELDS)
        # One that another engine runs is in no queue.
        found = ((one, row) for one, row in rows if row[0] and None not in row)
        return [_job_row(one, cast(list[bytes], row)) for one, row in found]


def _job_row(job_id: str, row: list[bytes]) -> JobRow:
    queue, tenant, state = (value.decode() for value in row[:3])
    created_ms, total, *ended = map(int, row[3:])
    return JobRow(job_id, queue, tenant, JobState(state), created_ms, total - sum(ended))
