"""What the gateway asks of the ledger beside what any client does; and what of it a tenant sees.

A tenant sees its own models and nobody's, and changes its own alone.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from time import monotonic
from typing import Final

from seqd.admission import find_model
from seqd.client import AsyncClient, AsyncJob
from seqd.client.explaining.reading import explained
from seqd.client.explaining.records import Explanation
from seqd.client.faces import call, reading
from seqd.errors import JobFailed, ModelNameTaken, NotAllowed, UnknownJob
from seqd.ledger import LedgerParts
from seqd.ledger.audit import NO_DETAILS, audited
from seqd.ledger.exchange import Exchange, Give, Reading, T
from seqd.ledger.jobs import StreamPosition
from seqd.ledger.overview import FleetOverview, workers_overview
from seqd.ledger.uploaded_files import Place
from seqd.settings import Settings
from seqd_schemas import (
    DEFAULT_TENANT,
    TERMINAL_EVENTS,
    CatalogEntry,
    Event,
    Job,
    JobRecord,
    ModelReference,
    Priority,
    WorkerStatus,
)

#: Jobs whose tenants one reader of all events remembers.
_MAX_REMEMBERED: Final = 10_000

#: Seconds for which one look at the fleet is good for all who watch it, and how many times as long
#: as it took: looking takes a fifth of a gateway's time at most, whoever watches.
_OVERVIEW_S: Final = 1.0
_REST: Final = 4.0


class GatewayClient(AsyncClient):
    """A client of the ledger for all requests of one gateway."""

    #: The last look at the fleet, and until when it is good.
    _look: asyncio.Task[FleetOverview] | None = None
    _look_good_until_s = 0.0

    async def recent_overview(self) -> FleetOverview:
        """Return what `overview` does, or did about a second ago: all who watch share one look."""
        look = self._look
        if look is None or (look.done() and monotonic() >= self._look_good_until_s):
            look = self._look = asyncio.create_task(self._overview())
        return await asyncio.shield(look)

    async def _overview(self) -> FleetOverview:
        began_s, self._look_good_until_s = monotonic(), 0.0
        fleet = await self.overview()
        took_s = monotonic() - began_s
        self._look_good_until_s = monotonic() + max(_OVERVIEW_S, _REST * took_s)
        return fleet

    async def hand_in(self, job: Job, job_id: str) -> JobRecord:
        """Hand a job in whose input is in the request itself, or in a file that workers read.

        Under an identifier that stands for the same request already it joins that job. Raises
        IdInUse for another request, and what admission raises.
        """
        handle: AsyncJob = await self._begun(self._sender.send(job, {"job_id": job_id}))
        if job.priority is Priority.INTERACTIVE:
            return await handle.record()
        return await self.noted_record(handle, job.model)

    async def noted_record(self, job: AsyncJob, model: str) -> JobRecord:
        """Return the record of a job that was handed in, and write that into the audit.

        Behind the act, unlike others: which job it is, is known then; and beside the record, for
        which a round trip is due anyway.
        """
        noting = self._ledger.audit.note.steps("jobs.new", job.job_id, {"model": model})
        record: JobRecord
        record, _ = await asyncio.gather(job.record(), self.ask(noting))
        return record

    async def found_job(self, job_id: str, tenant: str | None) -> tuple[AsyncJob, JobRecord]:
        """Return a job and its record; without a tenant it may be anybody's.

        Raises UnknownJob where it is not kept, and in the same words where it is another tenant's.
        """
        job: AsyncJob = self.job(job_id)
        try:
            record = await job.record()
        except (UnknownJob, JobFailed):  # the inbox has refused it: whose it was to be is not known
            raise _unknown(job_id) from None
        if tenant is not None and record.tenant != tenant:
            raise _unknown(job_id)
        return job, record

    @call
    def events_by_now(self, job_id: str) -> Exchange[list[Event]]:
        """Return the events of a job that are kept, in order; waits for none."""
        jobs, found, after = self._ledger.jobs, list[Event](), "0-0"
        while events := (yield from jobs.events.steps(job_id, after, longest_wait_s=0)):
            found += events
            after = events[-1].id
            if events[-1].event in TERMINAL_EVENTS:
                break
        return found

    @call
    def texts_by_now(self, job_id: str) -> Exchange[dict[tuple[str, int], str]]:
        """Return what has come of the texts of a job with `stream`, by item and sample.

        Those that were written to last come last.
        """
        jobs, found = self._ledger.jobs, dict[tuple[str, int], str]()
        place = StreamPosition("0-0", (yield from jobs.last_event_id.steps(job_id)))
        while True:
            entries, place = yield from jobs.deltas.steps(job_id, place, longest_wait_s=0)
            if not entries:
                return found
            for delta in chain.from_iterable(entry.deltas for entry in entries):
                before = after = found.pop((delta.custom_id, delta.sample), "")
                if delta.offset <= len(before):  # else others are not kept in front of it
                    after = before[: delta.offset] + delta.text
                # A unit that is started again writes the same texts again.
                found[delta.custom_id, delta.sample] = max(before, after, key=len)

    @call
    def explained_to(
        self, tenant: str | None, job_id: str, item: str | None = None
    ) -> Exchange[Explanation]:
        """Return what `explain` does; a tenant learns no names of others."""
        return explained(self._ledger, job_id, item, tenant)

    @call
    def seen_models(self, tenant: str | None) -> Exchange[dict[str, CatalogEntry]]:
        """Return the models that are there for a tenant, by name: its own and nobody's; or all."""
        catalog = yield from self._ledger.fleet.catalog.steps()
        return {name: entry for name, entry in catalog.items() if _is_seen(entry, tenant)}

    @call
    def check_model(self, model: str, tenant: str | None) -> Exchange[None]:
        """Raise UnknownModel for a model of another tenant, as for one that there is not."""
        if tenant is None:
            return
        name, fleet = ModelReference.parse(model).name, self._ledger.fleet
        entry = yield from fleet.published.steps(name)
        if entry is None or not _is_seen(entry, tenant):
            catalog = yield from fleet.catalog.steps()
            find_model(name, {key: one for key, one in catalog.items() if _is_seen(one, tenant)})

    @call
    def check_own_model(self, model: str, tenant: str | None) -> Exchange[None]:
        """Raise ModelNameTaken or NotAllowed for a model that a tenant may not train or change.

        One that there is not becomes its own. What is nobody's is that of the tenant `default`.
        """
        entry = yield from self._ledger.fleet.published.steps(model)
        if tenant is None or entry is None or (entry.owner or DEFAULT_TENANT) == tenant:
            return
        if entry.owner is not None:
            raise ModelNameTaken(f"The model name {model!r} is taken. Choose another one.")
        raise NotAllowed(
            f"Model {model!r} is shared by all, and this key may not change it. Make one of your "
            "own with it: by a `suffix`, or as another `model` with it as the `plugin`."
        )

    @call
    def seen_fleet(self, tenant: str | None) -> Exchange[FleetOverview]:
        """Return the workers and what judges them, without queues and jobs, as a tenant sees it."""
        fleet = yield from workers_overview(self._ledger)
        return fleet if tenant is None else fleet_seen(fleet, tenant)

    @reading
    def all_events(self, after: str, tenant: str | None) -> Reading[Event]:
        """Follow the changes of state of all jobs, or of a tenant's; never ends.

        Behind the stream id `after`, as far as they are kept.
        """
        jobs, tenants, place = self._ledger.jobs, dict[str, str](), after
        while True:
            events = yield from jobs.events_of_all.steps(place, longest_wait_s=self._ledger.look_s)
            if tenant is not None:
                yield from self._learn_tenants(events, tenants)
            for event in events:
                place = event.id
                if tenant is None or tenants.get(event.job_id) == tenant:
                    yield Give((event,))

    def _learn_tenants(self, events: Sequence[Event], tenants: dict[str, str]) -> Exchange[None]:
        """Look up whose jobs events are about; one that is not kept any more is nobody's."""
        if len(tenants) > _MAX_REMEMBERED:
            tenants.clear()
        unknown = {event.job_id for event in events} - tenants.keys()
        if unknown:
            records = yield from self._ledger.jobs.kept.steps(list(unknown))
            tenants.update({record.job_id: record.tenant for record in records})

    @property
    def settings(self) -> Settings:
        """What the gateway was started with."""
        return self._settings

    @property
    def ledger(self) -> LedgerParts:
        """The parts of the ledger, whose exchanges `ask` runs."""
        return self._ledger

    async def ask(self, exchange: Exchange[T]) -> T:
        """Return what an exchange with the ledger returns."""
        return await self._transport.run(exchange)

    async def act(
        self,
        exchange: Exchange[T],
        action: str,
        target: str = "",
        details: Mapping[str, object] = NO_DETAILS,
    ) -> T:
        """Return what an exchange returns that changes something: it is written into the audit."""
        return await self.ask(audited(self._ledger.audit, exchange, action, target, details))

    @call
    def batches(self, tenant: str, place: Place) -> Exchange[list[JobRecord]]:
        """Return the next jobs that a tenant asked for as batches, and that are kept."""
        found: list[JobRecord] = []
        names = yield from self._ledger.uploaded_files.batches.steps(tenant, place)
        while names:
            found += yield from self._ledger.jobs.kept.steps(names)
            if len(found) >= place.limit or len(names) < place.limit:
                break
            on = place._replace(after=names[-1])
            names = yield from self._ledger.uploaded_files.batches.steps(tenant, on)
        return found[: place.limit]


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"There is no job {job_id}; one that has ended is kept for a time only.")


def fleet_seen(fleet: FleetOverview, tenant: str) -> FleetOverview:
    """Return the fleet as a tenant sees it: without models and jobs of others, and what they do."""
    catalog = {name: one for name, one in fleet.catalog.items() if _is_seen(one, tenant)}
    hidden = fleet.catalog.keys() - catalog.keys()
    workers = [_worker_seen(one, hidden) for one in fleet.workers]
    return replace(
        fleet,
        catalog=catalog,
        workers=workers,
        queues=[one for one in fleet.queues if one.model not in hidden],
        jobs=[one for one in fleet.jobs if one.tenant == tenant],
        pauses={name: one for name, one in fleet.pauses.items() if name not in hidden},
        failures=None,
    )


def _worker_seen(worker: WorkerStatus, hidden: Collection[str]) -> WorkerStatus:
    def is_seen(ref: str) -> bool:
        return ModelReference.parse(ref).name not in hidden

    told: dict[str, object] = {
        "models_loaded": tuple(filter(is_seen, worker.models_loaded)),
        "loading": tuple(filter(is_seen, worker.loading)),
        "left_out": tuple(filter(is_seen, worker.left_out)),
        "loaded_bytes": {ref: n for ref, n in worker.loaded_bytes.items() if is_seen(ref)},
        "versions": {name: n for name, n in worker.versions.items() if is_seen(name)},
        "run_tasks": {name: tasks for name, tasks in worker.run_tasks.items() if is_seen(name)},
        "unfit": tuple(one for one in worker.unfit if is_seen(one.model)),
    }
    if worker.claim is not None and worker.claim.is_lost:
        told["claim"] = worker.claim.model_copy(update={"job_id": "(not told)"})
    return worker.model_copy(update=told)


def _is_seen(entry: CatalogEntry, tenant: str | None) -> bool:
    return tenant is None or entry.owner in (None, tenant)
