"""`AsyncClient`: what `Client` is, for asyncio."""

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack, cast

from typing_extensions import TypeVar

from seqd.client.client import Client, find_server
from seqd.client.client_methods import ClientMethods
from seqd.client.faces import Awaiting, told_as
from seqd.client.job import AsyncEndedJob, AsyncJobHandle, JobSteps
from seqd.client.requests import (
    AnswerOptions,
    ClassifyEachOptions,
    ClassifyOptions,
    PredictOptions,
    RecordOptions,
    SweepOptions,
    TrainOptions,
    WritingOptions,
    checked_id,
    each_job,
    resumption_of,
    sweep_of,
    training_of,
)
from seqd.client.results import check_output_class
from seqd.client.sending import Sender, Sent
from seqd.client.sources import AsyncEntries, Record, Source, Value, Values, training_set_of
from seqd.client.waiting import Announcements, ended_handles
from seqd.errors import IdempotencyConflict, SeqdError
from seqd.inputs.items import ItemRules
from seqd.ledger import LedgerParts
from seqd.ledger.async_redis import connect_async
from seqd.ledger.async_transport import AsyncStream, AsyncTransport
from seqd.ledger.exchange import Exchange
from seqd.ledger.outage import outage_to_wait_for
from seqd.ledger.redis import outage_of, user_of
from seqd.ledger.submissions import new_job_id
from seqd.local.redis_access import RedisAccess
from seqd_schemas import (
    Classification,
    FileSource,
    Generation,
    JsonOutput,
    NamedSource,
    Output,
    ParameterValue,
    TrainedVersion,
)

if TYPE_CHECKING:
    from seqd.client.async_prediction import AsyncPredictor
    from seqd.client.model import AsyncModelHandle
    from seqd.settings import Settings
    from seqd_schemas import CatalogEntry

AsyncItems = Values | FileSource
T = TypeVar("T")
#: What the outputs of a task are read as: a dictionary where no class is given.
Out = TypeVar("Out", default=JsonOutput)


class AsyncClient(Awaiting, ClientMethods):
    """A connection to a daemon for the tasks of one event loop, of asyncio or uvloop.

    Methods that ask Redis are coroutines, those that read on give asynchronous iterators, and
    inputs may be asynchronous iterables; any other iterable is read in the event loop, and must not
    block. Use it as an asynchronous context manager. All tasks that wait share one connection. A
    task that is cancelled in the middle of a call leaves no reply behind for the next one; what it
    asked for may have been done. Raises ClientMisused in another event loop or process than the one
    in which it was used first, and when it is closed.

    A Redis that goes away is waited for, `SEQD_OUTAGE_S` seconds at most: whatever sends, waits or
    reads goes on where it was, and loses and doubles nothing. One that never answered is not.
    """

    def __init__(self, redis_url: str | None = None, *, settings: "Settings | None" = None) -> None:
        """Find the server; connects on first use.

        Without `redis_url`: SEQD_REDIS_URL, else the server of a running `seqd up`. Raises
        RedisUnreachable when there is neither.
        """
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

        Leaving the block by an exception does not wait: it fails the jobs whose input is not
        complete, as does a task that is cancelled meanwhile, but none that another client had
        handed in before under the same idempotency key. Raises IdempotencyConflict when the input
        of such a job turned out to be another, and no handle has raised that. Whatever is asked of
        it afterwards raises ClientMisused.
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

    @told_as(Client.classify)
    async def classify(
        self, items: AsyncItems, *, model: str = "imdb_lstm", **options: Unpack[ClassifyOptions]
    ) -> AsyncJobHandle[Classification]:
        """Classify each text; returns the job at once, before it has run."""
        return await self._begun(self._sent("classify", items, model, options))

    @told_as(Client.predict)
    async def predict(
        self, text: str, *, model: str = "imdb_lstm", **options: Unpack[PredictOptions]
    ) -> "Classification":
        """Classify one text, and return its classification: for who waits for one answer."""
        from seqd.client.prediction import classification, request_of

        request = request_of("classify", model, text, options)
        return classification(await self._predictor.answer(request), model)

    @told_as(Client.complete)
    async def complete(
        self, prompt: str, *, model: str = "char_lstm", **options: Unpack[AnswerOptions]
    ) -> "Generation":
        """Continue one prompt, and return its generation; takes and raises what `predict` does."""
        from seqd.client.prediction import generation, request_of

        request = request_of("generate", model, prompt, options)
        return generation(await self._predictor.answer(request), model)

    @told_as(Client.classify_each)
    async def classify_each(
        self,
        items: Iterable[Value],
        *,
        model: str = "imdb_lstm",
        job_ids: Iterable[str] | None = None,
        **options: Unpack[ClassifyEachOptions],
    ) -> list[AsyncJobHandle[Classification]]:
        """Hand each text in as a job of its own, many in one round trip; returns their handles."""
        job = each_job("classify", model, options)
        sent = await self._run(self._each(job, items, job_ids, options))
        return [self._handle(one) for one in sent]

    @told_as(Client.as_completed)
    def as_completed(
        self, jobs: Iterable[AsyncJobHandle[Out]], timeout_s: float | None = None
    ) -> "AsyncStream[AsyncEndedJob[Out]]":
        """Yield each of many jobs as soon as it has ended, with one wait for all of them."""
        ended = ended_handles(
            self._ledger, self._completions, jobs, timeout_s, AsyncJobHandle, AsyncEndedJob[Out]
        )
        return self._transport.read(ended)

    @told_as(Client.generate)
    async def generate(
        self, prompts: AsyncItems, *, model: str = "char_lstm", **options: Unpack[WritingOptions]
    ) -> AsyncJobHandle[Generation]:
        """Continue each prompt; takes and raises what `classify` does. A prompt may be empty."""
        return await self._begun(self._sent("generate", prompts, model, options))

    @told_as(Client.run)
    async def run(
        self,
        items: AsyncItems,
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        **options: Unpack[WritingOptions],
    ) -> AsyncJobHandle[Out]:
        """Do a task that the model's plugin has named, such as `embed`, with each item."""
        check_output_class(output)
        return await self._begun(self._sent("run", items, model, options, task=task), output)

    @told_as(Client.run_one)
    async def run_one(
        self,
        item: Record,
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Out:
        """Do a plugin's own task with one item, and return its output: for who waits for it."""
        from seqd.client.prediction import read_as, task_request

        check_output_class(output)
        request = await self._run(task_request(self._ledger, model, task, item, options))
        return read_as(output, await self._predictor.answer(request))

    @told_as(Client.run_each)
    async def run_each(
        self,
        items: Iterable[Value],
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        job_ids: Iterable[str] | None = None,
        **options: Unpack[RecordOptions],
    ) -> list[AsyncJobHandle[Out]]:
        """Hand each item in as a job of its own that does a plugin's task; returns the handles."""
        job = each_job("run", model, options, task=task)
        check_output_class(output)
        sent = await self._run(self._each(job, items, job_ids, options))
        return [self._handle(one, output) for one in sent]

    @told_as(Client.train)
    async def train(
        self,
        data: Iterable[Record] | AsyncIterable[Record] | FileSource | NamedSource,
        *,
        model: str,
        held_out: Iterable[Record] | AsyncIterable[Record] | FileSource | NamedSource | None = None,
        **options: Unpack[TrainOptions],
    ) -> AsyncJobHandle[TrainedVersion]:
        """Train a new version of a model; `trained_version()` tells which."""
        if isinstance(data, AsyncIterable):
            data = [record async for record in data]
        if isinstance(held_out, AsyncIterable):
            held_out = [record async for record in held_out]
        job = training_of(data, model, options, held_out)
        source = training_set_of(data, held_out, options)
        return await self._begun(self._sender.send(job, options, source))

    @told_as(Client.sweep)
    async def sweep(
        self,
        data: FileSource | NamedSource,
        *,
        model: str,
        grid: Mapping[str, Sequence[ParameterValue]],
        **options: Unpack[SweepOptions],
    ) -> AsyncJobHandle[TrainedVersion]:
        """Train a model once for each combination of the values in `grid`; see `SweepJob`."""
        job = sweep_of(data, model, grid, options)
        return await self._begun(self._sender.send(job, options))

    @told_as(Client.retry)
    async def retry(
        self, job: str | AsyncJobHandle[Output], *, items: Mapping[str, Record] | None = None
    ) -> AsyncJobHandle[Output]:
        """Hand an ended job's failed items in again, as a job that continues it."""
        handle: AsyncJobHandle[Output] = self.job(job) if isinstance(job, str) else job
        record = await handle.record()
        sending = self._audited("retry", handle.job_id, self._sender.retry(record, items))
        return await self._begun(sending, handle.steps.output)

    @told_as(Client.resume)
    async def resume(self, job_id: str) -> AsyncJobHandle:
        """Let a paused job go on, or continue an ended training from its last checkpoint."""
        handle = self.job(job_id)
        record = await handle.record()
        if not record.state.is_terminal:
            await handle.resume()
            return handle
        sending = self._audited("resume", job_id, self._sender.send(resumption_of(record), {}))
        return await self._begun(sending)

    @told_as(Client.job)
    def job(self, job_id: str, *, output: type[Output] | None = None) -> AsyncJobHandle[Output]:
        """Return a handle on any job, whoever handed it in; the job is not looked up yet."""
        check_output_class(output)
        steps = JobSteps(self._ledger, checked_id(job_id), output=output)
        return AsyncJobHandle(self._transport, steps)

    @told_as(Client.models)
    async def models(self) -> "list[AsyncModelHandle]":
        """Return the models of the fleet that have a version, sorted by name."""
        from seqd.client.model import entries_found

        entries = await self._run(entries_found(self._ledger))
        return [self._model(entry) for entry in entries]

    @told_as(Client.model)
    async def model(self, name: str) -> "AsyncModelHandle":
        """Return a handle on a model: its versions, which is in service, and changes of that."""
        from seqd.client.model import entry_found

        return self._model(await self._run(entry_found(self._ledger, name)))

    def _model(self, entry: "CatalogEntry") -> "AsyncModelHandle":
        from seqd.client.model import AsyncModelHandle, ModelSteps

        steps = ModelSteps(self._ledger, entry, self._sender)
        return AsyncModelHandle(self._transport, steps)

    def _source(self, rules: ItemRules, items: Values) -> Source:
        if isinstance(items, AsyncIterable):
            return AsyncEntries(items, rules)
        return super()._source(rules, items)

    async def _begun(
        self, sending: Exchange[Sent], output: type[Out] | None = None
    ) -> AsyncJobHandle[Out]:
        sent = await self._run(sending)
        handle = self._handle(sent, output)
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
