"""`AsyncClient`: what `Client` is, for asyncio."""

from collections.abc import AsyncIterable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack, cast, overload

from seqd.client.announcements import Announcements
from seqd.client.async_handle import AsyncJobHandle
from seqd.client.client import find_server
from seqd.client.job_steps import JobSteps
from seqd.client.outputs import check_output_class
from seqd.client.requests import (
    JobOptions,
    SweepOptions,
    checked_id,
    job_of,
    labelling_of,
    refuse_options_of_one,
    resumption_of,
    run_of,
    sweep_of,
    training_of,
    upload_job,
)
from seqd.client.sending import Sender, Sent
from seqd.client.sources import (
    AsyncEntries,
    Record,
    Source,
    entries_by,
    listed,
    rules_of,
    rules_of_task,
    training_set_of,
)
from seqd.client.waiting import jobs_found, open_jobs_found
from seqd.errors import IdempotencyConflict, SeqdError
from seqd.inputs.items import ItemRules, items_of
from seqd.ledger import LedgerParts
from seqd.ledger.async_redis import connect_async
from seqd.ledger.async_transport import AsyncStream, AsyncTransport
from seqd.ledger.exchange import Exchange
from seqd.ledger.job_filter import FoundJobs, JobFilters
from seqd.ledger.outage import outage_to_wait_for
from seqd.ledger.redis import outage_of, user_of
from seqd.ledger.submissions import new_job_id
from seqd.local.redis_access import RedisAccess
from seqd_schemas import (
    Classification,
    FileSource,
    Generation,
    Item,
    Job,
    JsonOutput,
    NamedSource,
    ParameterValue,
    RefusedItem,
    TrainedVersion,
)

if TYPE_CHECKING:
    from datetime import date, datetime

    from seqd.client.async_completion import AsyncEndedJob
    from seqd.client.async_model_handle import AsyncModelHandle
    from seqd.client.async_prediction import AsyncPredictor
    from seqd.client.explaining.records import Explanation
    from seqd.client.failure_groups import FailureGroups
    from seqd.client.many_jobs import JobCount, JobsActedOn, OnActed, OnCounted
    from seqd.client.replaying import ReplayedJob
    from seqd.ledger.failure_filter import FailureFilters
    from seqd.ledger.inbox import InboxState
    from seqd.ledger.overview import FleetOverview
    from seqd.ledger.retention import Evictions
    from seqd.queue_states import QueueState
    from seqd.scaling import RouteWork
    from seqd.settings import Settings
    from seqd_schemas import (
        AuditRecord,
        CatalogEntry,
        FailureRecord,
        JobRecord,
        ModelPause,
        TenantLimits,
        TenantRecord,
        TenantUsage,
        WorkerStatus,
    )

Value = Record | Item | RefusedItem
AsyncItems = Iterable[Value] | AsyncIterable[Value] | FileSource
T = TypeVar("T")
Out = TypeVar("Out")


class AsyncClient:
    """A connection to a daemon for the tasks of one event loop, of asyncio or uvloop.

    It has the methods of `Client`, which see. Those that ask Redis are coroutines, those that read
    on give asynchronous iterators, and inputs may be asynchronous iterables; any other iterable is
    read in the event loop, and must not block. Use it as an asynchronous context manager. All tasks
    that wait share one connection. A task that is cancelled in the middle of a call leaves no reply
    behind for the next one; what it asked for may have been done. Raises ClientMisused in another
    event loop or process than the one in which it was used first, and when it is closed.
    """

    def __init__(self, redis_url: str | None = None, *, settings: "Settings | None" = None) -> None:
        """Find the server, as `Client` does; connects on first use."""
        self._settings, redis_url = find_server(redis_url, settings)
        self._redis = connect_async(
            redis_url,
            timeout_s=self._settings.redis_timeout_s,
            outage=outage_to_wait_for(self._settings),
            access=RedisAccess.of(self._settings),
        )
        keys, stream = self._settings.keys, new_job_id()
        self._transport = AsyncTransport(
            self._redis,
            keys,
            self._settings.prefix,
            wake_key=keys.completions(f"{stream}-wake"),
        )
        self._ledger = LedgerParts(self._transport.driver, self._settings, user_of(self._redis))
        self._transport.first = self._ledger.fleet.check_format.steps
        self._completions = stream
        self._announcements = Announcements(self._ledger, stream)
        self._sender = Sender(self._ledger, stream, self._announcements)
        self._handles: list[AsyncJobHandle[object]] = []
        self._made_predictor: AsyncPredictor | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            # The caller is on its way out; the rest of its input may never come.
            outage_of(self._redis).gives_up = lambda: True
            with suppress(SeqdError):  # the caller's own error says why it leaves
                for handle in self._handles:
                    await handle.give_up(error)
                await self.aclose()
            return
        await self.aclose()

    async def aclose(self) -> None:
        """Wait until every upload is complete or its job has ended, then disconnect.

        See `Client.close`. A task that is cancelled meanwhile fails the jobs whose input is not
        complete.
        """
        if self._transport.is_closed:
            return
        self._transport.check_use()
        conflict: IdempotencyConflict | None = None
        is_through = False
        try:
            for handle in self._handles:
                try:
                    await handle.close()
                except IdempotencyConflict as error:
                    conflict = conflict or error
            is_through = True
        finally:
            try:
                if self._made_predictor is not None:
                    await self._made_predictor.close()
            finally:
                await self._transport.close(waits=is_through)
        if conflict is not None:
            raise conflict

    async def classify(
        self,
        items: AsyncItems,
        *,
        model: str = "imdb_lstm",
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
        min_score: float | None = None,
        label_map: Mapping[str, str] | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle[Classification]:
        """Classify each text; returns the job at once, before it has run. See `Client.classify`."""
        asked = labelling_of(min_score, label_map)
        if isinstance(items, FileSource):
            job = job_of("classify", model, options, source=items, **asked)
            return await self._send(job, options)
        job = upload_job("classify", model, options, items, expected_items, **asked)
        rules = rules_of(id_field, text_field, job)
        return await self._send(job, options, _source_of(items, rules))

    async def predict(
        self,
        text: str,
        *,
        model: str = "imdb_lstm",
        parameters: Mapping[str, ParameterValue] | None = None,
        tenant: str = "default",
        timeout_s: float | None = 30.0,
        min_score: float | None = None,
        label_map: Mapping[str, str] | None = None,
    ) -> "Classification":
        """Classify one text, and return its classification. See `Client.predict`.

        The texts of tasks that ask at the same time travel together. The job of a task that is
        cancelled is cancelled and removed.
        """
        from seqd.client.prediction import classification, request_of, single_job

        asked = labelling_of(min_score, label_map)
        job = single_job("classify", model, parameters, tenant, timeout_s, asked)
        output = await self._predictor.answer(request_of(job, text), timeout_s)
        return classification(output, model)

    async def complete(
        self,
        prompt: str,
        *,
        model: str = "char_lstm",
        parameters: Mapping[str, ParameterValue] | None = None,
        tenant: str = "default",
        timeout_s: float | None = 30.0,
    ) -> "Generation":
        """Continue one prompt, and return its generation. See `predict`."""
        from seqd.client.prediction import generation, request_of, single_job

        job = single_job("generate", model, parameters, tenant, timeout_s)
        output = await self._predictor.answer(request_of(job, prompt), timeout_s)
        return generation(output, model)

    async def classify_each(
        self,
        items: Iterable[Value],
        *,
        model: str = "imdb_lstm",
        id_field: str = "custom_id",
        text_field: str = "text",
        job_ids: Iterable[str] | None = None,
        min_score: float | None = None,
        label_map: Mapping[str, str] | None = None,
        **options: Unpack[JobOptions],
    ) -> list[AsyncJobHandle[Classification]]:
        """Hand each text in as a job of its own, many in one round trip.

        See `Client.classify_each`.
        """
        refuse_options_of_one(options)
        asked = labelling_of(min_score, label_map)
        job = upload_job("classify", model, options, (), 1, **asked)
        entries = items_of(listed(items), id_field=id_field, text_field=text_field)
        sent = await self._run(self._sender.send_each(job, entries, job_ids, options))
        return [self._handle(one) for one in sent]

    def as_completed(
        self, jobs: Iterable[AsyncJobHandle[Out]], timeout_s: float | None = None
    ) -> "AsyncStream[AsyncEndedJob[Out]]":
        """Yield each of many jobs as soon as it has ended. See `Client.as_completed`."""
        from seqd.client.async_completion import ended_handles

        return self._transport.read(ended_handles(self._ledger, self._completions, jobs, timeout_s))

    async def generate(
        self,
        prompts: AsyncItems,
        *,
        model: str = "char_lstm",
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
        stream: bool = False,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle[Generation]:
        """Continue each prompt. See `Client.generate`."""
        if isinstance(prompts, FileSource):
            job = job_of("generate", model, options, source=prompts, stream=stream)
            return await self._send(job, options)
        job = upload_job("generate", model, options, prompts, expected_items, stream=stream)
        rules = rules_of(id_field, text_field, job)
        return await self._send(job, options, _source_of(prompts, rules))

    @overload
    async def run(
        self,
        items: AsyncItems,
        *,
        model: str,
        task: str,
        output: type[Out],
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
        stream: bool = False,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle[Out]: ...

    @overload
    async def run(
        self,
        items: AsyncItems,
        *,
        model: str,
        task: str,
        output: None = None,
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
        stream: bool = False,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle[JsonOutput]: ...

    async def run(
        self,
        items: AsyncItems,
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
        stream: bool = False,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle[Out] | AsyncJobHandle[JsonOutput]:
        """Do a task that the model's plugin has named with each item. See `Client.run`."""
        check_output_class(output)
        job = run_of(items, model, task, options, expected_items, stream=stream)
        source = None
        if not isinstance(items, FileSource):
            rules = await self._run(rules_of_task(self._ledger, job, id_field, text_field))
            source = _source_of(items, rules)
        handle: AsyncJobHandle[Out] = await self._send(job, options, source)
        handle.steps.output = output
        return handle

    @overload
    async def run_one(
        self,
        item: Record,
        *,
        model: str,
        task: str,
        output: type[Out],
        parameters: Mapping[str, ParameterValue] | None = None,
        tenant: str = "default",
        timeout_s: float | None = 30.0,
    ) -> Out: ...

    @overload
    async def run_one(
        self,
        item: Record,
        *,
        model: str,
        task: str,
        output: None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
        tenant: str = "default",
        timeout_s: float | None = 30.0,
    ) -> JsonOutput: ...

    async def run_one(
        self,
        item: Record,
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
        tenant: str = "default",
        timeout_s: float | None = 30.0,
    ) -> Out | JsonOutput:
        """Do a plugin's own task with one item, and return its output. See `Client.run_one`.

        The items of tasks that ask at the same time travel together, as those of `predict`.
        """
        from seqd.client.prediction import read_as, single_job, task_request

        check_output_class(output)
        job = single_job("run", model, parameters, tenant, timeout_s, {"task": task})
        request = await self._run(task_request(self._ledger, job, item))
        return read_as(output, await self._predictor.answer(request, timeout_s))

    @overload
    async def run_each(
        self,
        items: Iterable[Value],
        *,
        model: str,
        task: str,
        output: type[Out],
        id_field: str = "custom_id",
        text_field: str = "text",
        job_ids: Iterable[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> list[AsyncJobHandle[Out]]: ...

    @overload
    async def run_each(
        self,
        items: Iterable[Value],
        *,
        model: str,
        task: str,
        output: None = None,
        id_field: str = "custom_id",
        text_field: str = "text",
        job_ids: Iterable[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> list[AsyncJobHandle[JsonOutput]]: ...

    async def run_each(
        self,
        items: Iterable[Value],
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        id_field: str = "custom_id",
        text_field: str = "text",
        job_ids: Iterable[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> list[AsyncJobHandle[Out]] | list[AsyncJobHandle[JsonOutput]]:
        """Hand each item in as a job of its own that does a plugin's own task.

        See `Client.run_each`.
        """
        refuse_options_of_one(options)
        check_output_class(output)
        job = upload_job("run", model, options, (), 1, task=task)
        sending = self._sender.run_each(job, items, job_ids, options, (id_field, text_field))
        return [self._handle(one, output) for one in await self._run(sending)]

    async def train(
        self,
        data: Iterable[Record] | AsyncIterable[Record] | FileSource | NamedSource,
        *,
        model: str,
        plugin: str | None = None,
        preset: str | None = None,
        held_out: Iterable[Record] | AsyncIterable[Record] | FileSource | NamedSource | None = None,
        labels: Sequence[str] = (),
        text_field: str = "text",
        label_field: str = "label",
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle[TrainedVersion]:
        """Train a new version of a model. See `Client.train`.

        An asynchronous iterable is read to its end first.
        """
        if isinstance(data, AsyncIterable):
            data = [record async for record in data]
        if isinstance(held_out, AsyncIterable):
            held_out = [record async for record in held_out]
        job = training_of(
            data,
            model,
            options,
            plugin=plugin,
            preset=preset,
            held_out=held_out,
            labels=labels,
        )
        texts = training_set_of(data, held_out, text_field, label_field)
        return await self._send(job, options, texts)

    async def sweep(
        self,
        data: FileSource | NamedSource,
        *,
        model: str,
        grid: Mapping[str, Sequence[ParameterValue]],
        **options: Unpack[SweepOptions],
    ) -> AsyncJobHandle[TrainedVersion]:
        """Train a model once for each combination of values. See `Client.sweep`."""
        return await self._send(sweep_of(data, model, grid, options), options)

    @overload
    async def retry(
        self, job: str, *, items: Mapping[str, Record] | None = None
    ) -> AsyncJobHandle: ...

    @overload
    async def retry(
        self, job: AsyncJobHandle[Out], *, items: Mapping[str, Record] | None = None
    ) -> AsyncJobHandle[Out]: ...

    async def retry(
        self, job: str | AsyncJobHandle[Out], *, items: Mapping[str, Record] | None = None
    ) -> AsyncJobHandle | AsyncJobHandle[Out]:
        """Hand an ended job's failed items in again, some with new texts. See `Client.retry`."""
        handle = self.job(job) if isinstance(job, str) else job
        record = await handle.record()
        sending = self._audited("retry", handle.job_id, self._sender.retry(record, items))
        retried: AsyncJobHandle[Out] = await self._begun(sending)
        retried.steps.output = cast("type[Out] | None", handle.steps.output)
        return retried

    async def resume(self, job_id: str) -> AsyncJobHandle:
        """Let a paused job go on, or continue an ended training. See `Client.resume`."""
        handle = self.job(job_id)
        record = await handle.record()
        if not record.state.is_terminal:
            await handle.resume()
            return handle
        sending = self._audited("resume", job_id, self._sender.send(resumption_of(record), {}))
        return await self._begun(sending)

    @overload
    def job(self, job_id: str) -> AsyncJobHandle: ...

    @overload
    def job(self, job_id: str, *, output: type[Out]) -> AsyncJobHandle[Out]: ...

    def job(
        self, job_id: str, *, output: type[Out] | None = None
    ) -> AsyncJobHandle[Out] | AsyncJobHandle:
        """Return a handle on any job, whoever handed it in; the job is not looked up yet.

        See `Client.job`.
        """
        check_output_class(output)
        steps = JobSteps(self._ledger, checked_id(job_id), output=output)
        return AsyncJobHandle(self._transport, steps)

    async def jobs(self, limit: int = 20, **filters: Unpack[JobFilters]) -> FoundJobs:
        """Return the newest `limit` jobs that are kept and match all `filters`, newest first."""
        return await self._run(jobs_found(self._ledger, limit, filters))

    async def explain(self, job: str, item: str | None = None) -> "Explanation":
        """Return why a job stands where it does; see `Client.explain`."""
        from seqd.client.explaining.reading import explained

        return await self._run(explained(self._ledger, job, item))

    async def count_jobs(
        self,
        action: str,
        *,
        every: bool = False,
        on_step: "OnCounted | None" = None,
        **filters: Unpack[JobFilters],
    ) -> "JobCount":
        """Return how many jobs an action would act on. See `Client.count_jobs`."""
        from seqd.client.many_jobs import jobs_counted, selection_of

        selection = selection_of(action, filters, every=every)
        return await self._run(jobs_counted(self._ledger, selection, on_step))

    async def cancel_jobs(
        self,
        *,
        every: bool = False,
        counted: "JobCount | None" = None,
        on_step: "OnActed | None" = None,
        **filters: Unpack[JobFilters],
    ) -> "JobsActedOn":
        """Cancel the open jobs that match all `filters`. See `Client.cancel_jobs`."""
        return await self._act("cancel", filters, every, counted, on_step)

    async def pause_jobs(
        self,
        *,
        every: bool = False,
        counted: "JobCount | None" = None,
        on_step: "OnActed | None" = None,
        **filters: Unpack[JobFilters],
    ) -> "JobsActedOn":
        """Pause the jobs that match and are queued or running. See `Client.cancel_jobs`."""
        return await self._act("pause", filters, every, counted, on_step)

    async def resume_jobs(
        self,
        *,
        every: bool = False,
        counted: "JobCount | None" = None,
        on_step: "OnActed | None" = None,
        **filters: Unpack[JobFilters],
    ) -> "JobsActedOn":
        """Let the paused jobs go on that match. See `Client.cancel_jobs`."""
        return await self._act("resume", filters, every, counted, on_step)

    async def retry_jobs(
        self,
        *,
        every: bool = False,
        counted: "JobCount | None" = None,
        on_step: "OnActed | None" = None,
        **filters: Unpack[JobFilters],
    ) -> "JobsActedOn":
        """Retry the ended jobs that match and have failed items. See `Client.retry_jobs`."""
        return await self._act("retry", filters, every, counted, on_step)

    async def remove_jobs(
        self,
        *,
        every: bool = False,
        counted: "JobCount | None" = None,
        on_step: "OnActed | None" = None,
        **filters: Unpack[JobFilters],
    ) -> "JobsActedOn":
        """Forget the ended jobs that match, with their results. See `Client.remove_jobs`."""
        return await self._act("remove", filters, every, counted, on_step)

    async def _act(
        self,
        action: str,
        filters: JobFilters,
        every: bool,
        counted: "JobCount | None",
        on_step: "OnActed | None",
    ) -> "JobsActedOn":
        from seqd.client.many_jobs import jobs_acted_on, selection_of

        selection = selection_of(action, filters, every=every)
        until_ms = None if counted is None else counted.until_ms
        return await self._run(
            jobs_acted_on(self._ledger, self._sender, selection, until_ms, on_step)
        )

    async def open_jobs(self, limit: int = 20) -> "list[JobRecord]":
        """Return the newest jobs that have not ended, newest first."""
        return await self._run(open_jobs_found(self._ledger, limit))

    async def failures(
        self, limit: int = 100, **filters: "Unpack[FailureFilters]"
    ) -> "list[FailureRecord]":
        """Return the newest dead letters that match all filters. See `Client.failures`."""
        from seqd.client.replaying import failures_found
        from seqd.ledger.failure_filter import failure_filter

        return await self._run(failures_found(self._ledger, failure_filter(filters), limit))

    async def failure(self, failure_id: str) -> "FailureRecord":
        """Return one dead letter by its id; raises UnknownFailure."""
        return await self._run(self._ledger.failures.get.steps(failure_id))

    async def failure_count(self) -> int:
        """Return how many dead letters are kept."""
        return await self._run(self._ledger.failures.count.steps())

    async def why_no_writes(self) -> str | None:
        """Return why Redis takes no writes just now. See `Client.why_no_writes`."""
        return await self._run(self._ledger.writing.refusal.steps())

    async def failure_groups(
        self, by: str = "failure", **filters: "Unpack[FailureFilters]"
    ) -> "FailureGroups":
        """Return the dead letters that match, in groups. See `Client.failure_groups`."""
        from seqd.client.replaying import groups_found
        from seqd.ledger.failure_filter import failure_filter

        return await self._run(groups_found(self._ledger, failure_filter(filters), by))

    async def failure_items(self, failure_id: str) -> "list[Item]":
        """Return the items that a dead letter names. See `Client.failure_items`."""
        from seqd.client.replaying import failed_items_of

        return await self._run(failed_items_of(self._ledger, failure_id))

    async def replay(
        self,
        *,
        every: bool = False,
        current_version: bool = False,
        again: bool = False,
        dry_run: bool = False,
        **filters: "Unpack[FailureFilters]",
    ) -> "list[ReplayedJob]":
        """Try again what matching dead letters tell of, once it is mended. See `Client.replay`."""
        from seqd.client.replaying import Replay
        from seqd.ledger.failure_filter import failures_meant

        replay = Replay(
            self._ledger,
            self._sender,
            failures_meant("replay", filters, every=every),
            current_version=current_version,
            again=again,
            dry_run=dry_run,
        )
        return await self._run(replay.run())

    async def purge_failures(
        self,
        *,
        every: bool = False,
        dry_run: bool = False,
        **filters: "Unpack[FailureFilters]",
    ) -> int:
        """Remove the dead letters that match; return how many. See `Client.purge_failures`."""
        from seqd.client.replaying import purged
        from seqd.ledger.failure_filter import failures_meant

        wanted = failures_meant("purge", filters, every=every)
        return await self._run(purged(self._ledger, wanted, dry_run=dry_run))

    async def evictions(self) -> "Evictions":
        """Return how many ended jobs were removed before their time so far, by reason."""
        return await self._run(self._ledger.retention.evictions.steps())

    async def inbox(self) -> "InboxState":
        """Return how many entries wait in the inbox, and how old the oldest is."""
        return await self._run(self._ledger.inbox.state.steps())

    async def work_left(self) -> "list[RouteWork]":
        """Return the work that is left by task and model. See `Client.work_left`."""
        return await self._run(self._ledger.backlog.routes.steps(await self.workers()))

    async def queues(self, *, by_tenant: bool = False) -> "list[QueueState]":
        """Return how each task and model stands. See `Client.queues`."""
        return await self._run(self._ledger.queues.states.steps(by_tenant=by_tenant))

    async def overview(self) -> "FleetOverview":
        """Return the whole fleet as it is now. See `Client.overview`."""
        return await self._run(self._ledger.overviews.read.steps())

    async def audit(
        self,
        limit: int = 20,
        *,
        since: "datetime | None" = None,
        action: str | None = None,
        who: str | None = None,
        target: str | None = None,
    ) -> "list[AuditRecord]":
        """Return the newest acts that match all that is given, newest first. See `Client.audit`."""
        from seqd.ledger.audit import audit_filter

        wanted = audit_filter(since, action, who, target)
        return await self._run(self._ledger.audit.newest.steps(limit, wanted))

    async def tenants(self) -> "list[TenantRecord]":
        """Return the tenants with limits of their own, with work that waits, or that keep most."""
        return await self._run(self._ledger.tenants.all.steps())

    async def tenant(self, name: str) -> "TenantRecord":
        """Return a tenant's limits and what it has in Redis; raises UnknownTenant."""
        return await self._run(self._ledger.tenants.show.steps(name))

    async def set_tenant(
        self,
        name: str,
        limits: "TenantLimits | None" = None,
        *,
        unset: Collection[str] = (),
        evicts: bool = False,
    ) -> "TenantRecord":
        """Set a tenant's limits, and take some away. See `Client.set_tenant`."""
        from seqd.ledger.tenants import audited_limits

        change = audited_limits(
            self._ledger.tenants, self._ledger.audit, name, limits, unset=unset, evicts=evicts
        )
        return await self._run(change)

    async def tenant_usage(
        self,
        *,
        since: "date | None" = None,
        until: "date | None" = None,
        tenant: str | None = None,
    ) -> "list[TenantUsage]":
        """Return what tenants have used, by day and name. See `Client.tenant_usage`."""
        usage = self._ledger.tenants.usage
        return await self._run(usage.steps(since=since, until=until, tenant=tenant))

    async def workers(self) -> "list[WorkerStatus]":
        """Return the workers that are up, sorted by name."""
        return await self._run(self._ledger.fleet.workers.steps())

    async def catalog(self) -> "dict[str, CatalogEntry]":
        """Return the models that the fleet can run, by name."""
        return await self._run(self._ledger.fleet.catalog.steps())

    async def models(self) -> "list[AsyncModelHandle]":
        """Return the models of the fleet that have a version, sorted by name."""
        from seqd.client.model_steps import entries_found

        entries = await self._run(entries_found(self._ledger))
        return [self._model(entry) for entry in entries]

    async def model(self, name: str) -> "AsyncModelHandle":
        """Return a handle on a model. See `Client.model`."""
        from seqd.client.model_steps import entry_found

        return self._model(await self._run(entry_found(self._ledger, name)))

    async def paused_models(self) -> "dict[str, ModelPause]":
        """Return the models that are paused or disabled, by name."""
        return await self._run(self._ledger.model_pauses.all.steps())

    async def pause_model(self, name: str, *, reason: str = "") -> "ModelPause":
        """Begin no further unit of a model's items. See `Client.pause_model`."""
        from seqd.client.model_steps import model_paused

        return await self._run(model_paused(self._ledger, name, reason, disables=False))

    async def disable_model(self, name: str, *, reason: str = "") -> "ModelPause":
        """Take no new job on a model. See `Client.disable_model`."""
        from seqd.client.model_steps import model_paused

        return await self._run(model_paused(self._ledger, name, reason, disables=True))

    async def resume_model(self, name: str) -> bool:
        """Let the jobs of a paused or disabled model go on. See `Client.resume_model`."""
        from seqd.client.model_steps import model_resumed

        return await self._run(model_resumed(self._ledger, name))

    def _model(self, entry: "CatalogEntry") -> "AsyncModelHandle":
        from seqd.client.async_model_handle import AsyncModelHandle
        from seqd.client.model_steps import ModelSteps

        return AsyncModelHandle(self._transport, self.classify, ModelSteps(self._ledger, entry))

    async def _send(
        self, job: Job, options: JobOptions, source: Source | None = None
    ) -> AsyncJobHandle[Out]:
        return await self._begun(self._sender.send(job, options, source))

    def _audited(self, action: str, job_id: str, sending: Exchange[Sent]) -> Exchange[Sent]:
        from seqd.ledger.audit import audited

        return audited(self._ledger.audit, sending, f"jobs.{action}", job_id)

    async def _begun(self, sending: Exchange[Sent]) -> AsyncJobHandle[Out]:
        sent = await self._run(sending)
        handle: AsyncJobHandle[Out] = self._handle(sent)
        if sent.steps.upload is not None:
            self._handles = [handle, *(known for known in self._handles if known.is_uploading)]
        return handle

    def _handle(self, sent: Sent, output: type[Out] | None = None) -> AsyncJobHandle[Out]:
        steps = cast("JobSteps[Out]", sent.steps)
        steps.output = output
        return AsyncJobHandle(self._transport, steps, durable=sent.durable)

    @property
    def _predictor(self) -> "AsyncPredictor":
        if self._made_predictor is None:
            from seqd.client.async_prediction import AsyncPredictor

            self._made_predictor = AsyncPredictor(
                self._ledger, self._transport, self._completions, self._announcements
            )
        return self._made_predictor

    async def _run(self, exchange: Exchange[T]) -> T:
        return await self._transport.run(exchange)


def _source_of(values: Iterable[Value] | AsyncIterable[Value], rules: ItemRules) -> Source:
    if isinstance(values, AsyncIterable):
        return AsyncEntries(values, rules)
    return entries_by(rules, values)
