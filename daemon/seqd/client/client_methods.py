"""`ClientMethods`: what both clients do alike."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Unpack, cast

from seqd.client.faces import call
from seqd.client.requests import items_job
from seqd.client.sending import Sender, Sent
from seqd.client.sources import Source, entries_by, items_by, rules_of
from seqd.client.waiting import check_limit, with_waiting
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange, Taken
from seqd.ledger.job_filter import MAX_SEARCHED, FoundJobs, JobFilters, job_filter, job_place
from seqd_schemas import FileSource

if TYPE_CHECKING:
    from datetime import date, datetime

    from seqd.client.explaining.records import Explanation
    from seqd.client.failures import FailureGroups, ReplayedJob
    from seqd.client.many_jobs import JobCount, JobsActedOn, OnActed, OnCounted
    from seqd.client.requests import ItemOptions, RecordOptions
    from seqd.client.sources import Value, Values
    from seqd.inputs.items import ItemRules
    from seqd.ledger.inbox import InboxState
    from seqd.ledger.job_filter import FailureFilters
    from seqd.ledger.overview import FleetOverview
    from seqd.ledger.retention import Evictions
    from seqd.queue_states import QueueState
    from seqd.scaling import RouteWork
    from seqd_schemas import (
        AuditRecord,
        CatalogEntry,
        FailureRecord,
        Item,
        Job,
        JobRecord,
        ModelPause,
        TenantLimits,
        TenantRecord,
        TenantUsage,
        WorkerStatus,
    )


class ActOptions(JobFilters, total=False):
    """Which jobs to act on, and how."""

    #: True for all jobs; without filters it has to be.
    every: bool
    #: What was counted for the same filters: later jobs are left alone.
    counted: "JobCount | None"
    #: Called after each step.
    on_step: "OnActed | None"


class ClientMethods:
    """The methods that `Client` and `AsyncClient` have with the same parameters."""

    _ledger: LedgerParts
    _sender: Sender

    @call
    def jobs(
        self,
        limit: int = 20,
        *,
        before: str | None = None,
        most_searched: int = MAX_SEARCHED,
        **filters: Unpack[JobFilters],
    ) -> "Exchange[FoundJobs]":
        """Return the newest `limit` jobs that are kept and match all `filters`, newest first.

        A search looks at about `most_searched` jobs that do not match, at most; `stopped_at_ms` of
        the list says how far it came. `older` of the list, passed as `before`, goes on from there:
        the same time for each page, however many jobs there are. Raises InvalidRequest for a filter
        that nothing can match.
        """
        check_limit(limit, "jobs")
        wanted, place = job_filter(filters), job_place(before)
        found = yield from self._ledger.jobs.newest.steps(limit, wanted, place, most_searched)
        found[:] = yield from with_waiting(self._ledger, found)
        found.at_ms = yield from self._ledger.fleet.now_ms.steps()
        return found

    @call
    def explain(self, job: str, item: str | None = None) -> "Exchange[Explanation]":
        """Return why a job stands where it does: its units, what it waits for, what is next.

        With `item`, also where the item of that `custom_id` stands; a search for it reads 4,096
        units at most. Otherwise it costs the same however large the job is. Raises UnknownJob,
        also where the job is removed meanwhile, UnknownItem, and InvalidRequest for an item of a
        training.
        """
        from seqd.client.explaining.reading import explained

        return explained(self._ledger, job, item)

    @call
    def count_jobs(
        self,
        action: str,
        *,
        every: bool = False,
        on_step: "OnCounted | None" = None,
        **filters: Unpack[JobFilters],
    ) -> "Exchange[JobCount]":
        """Return how many jobs match all `filters` on which an action would act.

        `action` is `cancel`, `pause`, `resume`, `retry` or `remove`. All jobs that are kept are
        looked at, in steps; `on_step` is called after each with the count so far. Without filters
        pass `every=True`. Raises InvalidRequest for a filter that nothing can match.
        """
        from seqd.client.many_jobs import jobs_counted, selection_of

        selection = selection_of(action, filters, every=every)
        return jobs_counted(self._ledger, selection, on_step)

    @call
    def cancel_jobs(self, **asked: Unpack[ActOptions]) -> "Exchange[JobsActedOn]":
        """Cancel the open jobs that match all `filters`; return how many that were.

        Works in steps of a few jobs each, between which Redis serves others. `on_step` is called
        after each; what it raises stops the walk, and a second call does the rest. Jobs that are
        handed in after the call are left alone; with `counted`, which `count_jobs` gave for the
        same filters, those that were handed in after that count. Without filters pass `every=True`.
        Raises InvalidRequest for a filter that nothing can match.
        """
        return self._act("cancel", asked)

    @call
    def pause_jobs(self, **asked: Unpack[ActOptions]) -> "Exchange[JobsActedOn]":
        """Pause the jobs that match and are queued or running; takes what `cancel_jobs` does."""
        return self._act("pause", asked)

    @call
    def resume_jobs(self, **asked: Unpack[ActOptions]) -> "Exchange[JobsActedOn]":
        """Let the paused jobs go on that match; takes what `cancel_jobs` does."""
        return self._act("resume", asked)

    @call
    def retry_jobs(self, **asked: Unpack[ActOptions]) -> "Exchange[JobsActedOn]":
        """Retry the ended jobs that match and have failed items, each as `retry` does.

        One that was retried before is left alone. Takes what `cancel_jobs` does.
        """
        return self._act("retry", asked)

    @call
    def remove_jobs(self, **asked: Unpack[ActOptions]) -> "Exchange[JobsActedOn]":
        """Forget the ended jobs that match, with their results; takes what `cancel_jobs` does.

        Of small jobs that completed the newest 10,000 are listed, and found here.
        """
        return self._act("remove", asked)

    def _act(self, action: str, asked: ActOptions) -> "Exchange[JobsActedOn]":
        from seqd.client.many_jobs import jobs_acted_on, selection_of

        every, counted = asked.pop("every", False), asked.pop("counted", None)
        on_step = asked.pop("on_step", None)
        selection = selection_of(action, cast(JobFilters, asked), every=every)
        until_ms = None if counted is None else counted.until_ms
        return jobs_acted_on(self._ledger, self._sender, selection, until_ms, on_step)

    @call
    def open_jobs(self, limit: int = 20) -> "Exchange[list[JobRecord]]":
        """Return the newest jobs that have not ended, newest first."""
        check_limit(limit, "jobs")
        records = yield from self._ledger.jobs.newest_open.steps(limit)
        return (yield from with_waiting(self._ledger, records))

    @call
    def failures(
        self, limit: int = 100, **filters: "Unpack[FailureFilters]"
    ) -> "Exchange[list[FailureRecord]]":
        """Return the newest dead letters that match all filters, newest first; 100 by default.

        Each tells of the items of a unit that failed with one code, or of a job that failed. They
        are kept beside the jobs and outlive them, bounded by SEQD_MAX_FAILURES and
        SEQD_FAILURES_TTL_S. Raises InvalidRequest for a filter that nothing can match.
        """
        from seqd.client.failures import failures_found
        from seqd.ledger.job_filter import failure_filter

        return failures_found(self._ledger, failure_filter(filters), limit)

    @call
    def failure(self, failure_id: str) -> "Exchange[FailureRecord]":
        """Return one dead letter by its id; raises UnknownFailure."""
        return self._ledger.failures.get.steps(failure_id)

    @call
    def failure_groups(
        self, by: str = "failure", **filters: "Unpack[FailureFilters]"
    ) -> "Exchange[FailureGroups]":
        """Return the dead letters that match, those with one cause together.

        That is one model, code, way of a worker's death, place in the plugin and form of the
        message; or `by` one of `code`, `model`, `worker`, `cause`, `job` and `tenant` alone.
        """
        from seqd.client.failures import groups_found
        from seqd.ledger.job_filter import failure_filter

        return groups_found(self._ledger, failure_filter(filters), by)

    @call
    def failure_items(self, failure_id: str) -> "Exchange[list[Item]]":
        """Return the items that a dead letter names, with their input.

        Empty for a whole job, for items that never held a text that could be read, and where the
        job is not kept any more. Raises UnknownFailure.
        """
        from seqd.client.failures import failed_items_of

        return failed_items_of(self._ledger, failure_id)

    @call
    def replay(
        self,
        *,
        every: bool = False,
        current_version: bool = False,
        again: bool = False,
        dry_run: bool = False,
        **filters: "Unpack[FailureFilters]",
    ) -> "Exchange[list[ReplayedJob]]":
        """Try again what matching dead letters tell of, once its cause is mended.

        Each job is continued by a new one, with those of its items that still have an error of such
        a code, under their names; `merged_results` of the first job has their results. It runs on
        the same version, or with `current_version` on the one in service. Dead letters that were
        replayed before are left out, unless `again`. Jobs that still run, or are gone, are left
        alone, and the result says why. A `dry_run` changes nothing. Without filters pass
        `every=True`. Raises InvalidRequest for a filter that nothing can match.
        """
        from seqd.client.failures import Replay
        from seqd.ledger.job_filter import failures_meant

        replay = Replay(
            self._ledger,
            self._sender,
            failures_meant("replay", filters, every=every),
            current_version=current_version,
            again=again,
            dry_run=dry_run,
        )
        return replay.run()

    @call
    def purge_failures(
        self,
        *,
        every: bool = False,
        dry_run: bool = False,
        **filters: "Unpack[FailureFilters]",
    ) -> "Exchange[int]":
        """Remove the dead letters that match; return how many there were. Jobs and results stay.

        Without filters pass `every=True`. A `dry_run` only counts. Raises InvalidRequest for a
        filter that nothing can match.
        """
        from seqd.ledger.job_filter import failures_meant

        failures, wanted = self._ledger.failures, failures_meant("purge", filters, every=every)
        if not dry_run:
            yield from self._ledger.audit.note.steps("failures.purge", details=wanted.asked)
        removed, pages = 0, Taken(failures.pages(wanted))
        while (page := (yield from pages.take_some())) is not None:
            ids = [record.id for record in page]
            removed += len(ids) if dry_run else (yield from failures.purge.steps(ids))
        return removed

    @call
    def evictions(self) -> "Exchange[Evictions]":
        """Return how many ended jobs were removed before their time so far, by reason."""
        return self._ledger.retention.evictions.steps()

    @call
    def inbox(self) -> "Exchange[InboxState]":
        """Return how many entries wait in the inbox, and how old the oldest is."""
        return self._ledger.inbox.state.steps()

    @call
    def work_left(self) -> "Exchange[list[RouteWork]]":
        """Return the work that is left by task and model, in seconds of one slot.

        Leased work is part of it, paused jobs are not. Reading it costs the same however many jobs
        are open.
        """
        workers = yield from self._ledger.fleet.workers.steps()
        return (yield from self._ledger.backlog.routes.steps(workers))

    @call
    def queues(self, *, by_tenant: bool = False) -> "Exchange[list[QueueState]]":
        """Return how each task and model stands: what waits, how fast it goes, who can run it.

        Those of the catalog with nothing to do are among them. With `by_tenant` there is one for
        each tenant that has jobs among the 5,000 oldest open ones. Reading it costs the same
        however many jobs are open.
        """
        return self._ledger.queues.states.steps(by_tenant=by_tenant)

    @call
    def overview(self) -> "Exchange[FleetOverview]":
        """Return the whole fleet as it is now: queues, workers, the newest jobs and dead letters.

        Of open jobs the newest 200 are read, of dead letters the newest 100, and the rest is
        counted.
        """
        from seqd.ledger.overview import fleet_overview

        return fleet_overview(self._ledger)

    @call
    def audit(
        self,
        limit: int = 20,
        *,
        since: "datetime | None" = None,
        action: str | None = None,
        who: str | None = None,
        target: str | None = None,
    ) -> "Exchange[list[AuditRecord]]":
        """Return the newest acts that match all that is given, newest first.

        `action` is the name of an act, such as `jobs.cancel`, or `jobs` for all on jobs. `who` is a
        user, `user@host` or the id of a key of the gateway. `target` is a part of the name of what
        it was done to. An entry without an outcome was written before the act was done. Reading
        them takes the rights of an
        operator.
        """
        from seqd.ledger.audit import audit_filter

        check_limit(limit, "acts")
        wanted = audit_filter(since, action, who, target)
        return self._ledger.audit.newest.steps(limit, wanted)

    @call
    def tenants(self) -> "Exchange[list[TenantRecord]]":
        """Return the tenants with limits of their own, with work that waits, or that keep most."""
        return self._ledger.tenants.all.steps()

    @call
    def tenant(self, name: str) -> "Exchange[TenantRecord]":
        """Return a tenant's limits and what it has in Redis; raises UnknownTenant."""
        return self._ledger.tenants.show.steps(name)

    @call
    def set_tenant(
        self,
        name: str,
        limits: "TenantLimits | None" = None,
        *,
        unset: Collection[str] = (),
        evicts: bool = False,
    ) -> "Exchange[TenantRecord]":
        """Set a tenant's limits that are not None, and take those named in `unset` away.

        They hold at once, for all clients and workers. Raises InvalidRequest where there is
        nothing to set, and WrongState where `kept_bytes` are fewer than the tenant keeps now,
        unless it `evicts`: then the oldest of its ended jobs are removed.
        """
        from seqd.ledger.tenants import audited_limits

        return audited_limits(
            self._ledger.tenants, self._ledger.audit, name, limits, unset=unset, evicts=evicts
        )

    @call
    def tenant_usage(
        self,
        *,
        since: "date | None" = None,
        until: "date | None" = None,
        tenant: str | None = None,
    ) -> "Exchange[list[TenantUsage]]":
        """Return what tenants have used, by day (UTC) and name; all days that are kept by default.

        `since` and `until` are the first and the last day.
        """
        return self._ledger.tenants.usage.steps(since=since, until=until, tenant=tenant)

    @call
    def workers(self) -> "Exchange[list[WorkerStatus]]":
        """Return the workers that are up, sorted by name."""
        return self._ledger.fleet.workers.steps()

    @call
    def catalog(self) -> "Exchange[dict[str, CatalogEntry]]":
        """Return the models that the fleet can run, by name."""
        return self._ledger.fleet.catalog.steps()

    @call
    def paused_models(self) -> "Exchange[dict[str, ModelPause]]":
        """Return the models that are paused or disabled, by name."""
        return self._ledger.model_pauses.all.steps()

    @call
    def pause_model(self, name: str, *, reason: str = "") -> "Exchange[ModelPause]":
        """Begin no further unit of a model's items, on any worker, until `resume_model`.

        Units in hand are finished; new jobs are taken, and wait. Trainings go on: pause those by
        `pause_jobs`, by model and kind. Raises UnknownModel, WrongState for a disabled model,
        which stays so, and RedisNoPermission: it takes the rights of an operator.
        """
        from seqd.client.model import model_paused

        return model_paused(self._ledger, name, reason, disables=False)

    @call
    def disable_model(self, name: str, *, reason: str = "") -> "Exchange[ModelPause]":
        """Take no new job on a model, a training neither, and begin no unit of those that wait.

        A job is refused by ModelDisabled, with the code `model_disabled`. Those that are there wait
        for `resume_model`; `cancel_jobs(model=…)` cancels them. Raises UnknownModel and
        RedisNoPermission.
        """
        from seqd.client.model import model_paused

        return model_paused(self._ledger, name, reason, disables=True)

    @call
    def resume_model(self, name: str) -> "Exchange[bool]":
        """Let the jobs of a paused or disabled model go on, and take new ones.

        Returns False where the model was neither.
        """
        from seqd.client.model import model_resumed

        return model_resumed(self._ledger, name)

    def _sent(
        self,
        kind: str,
        items: "Values | FileSource",
        model: str,
        options: "ItemOptions",
        **fields: object,
    ) -> Exchange[Sent]:
        """Hand items in; `fields` are those that the job has beside its options."""
        job = items_job(kind, items, model, options, **fields)
        source = None
        if not isinstance(items, FileSource):
            source = self._source((yield from rules_of(self._ledger, job, options)), items)
        return (yield from self._sender.send(job, options, source))

    def _source(self, rules: "ItemRules", items: "Values") -> Source:
        """Return items as the input of a job; raises InvalidRequest for what cannot be read."""
        return entries_by(rules, cast("Iterable[Value]", items))

    def _each(
        self,
        job: "Job",
        items: "Iterable[Value]",
        job_ids: "Iterable[str] | None",
        options: "RecordOptions",
    ) -> Exchange[list[Sent]]:
        """Hand each of the items in as a job of its own that is like `job`."""
        entries = items_by((yield from rules_of(self._ledger, job, options)), items)
        return (yield from self._sender.send_each(job, entries, job_ids, options))

    def _audited(self, action: str, job_id: str, sending: Exchange[Sent]) -> Exchange[Sent]:
        from seqd.ledger.audit import audited

        return audited(self._ledger.audit, sending, f"jobs.{action}", job_id)
