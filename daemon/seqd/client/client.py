"""The client: submits jobs (`classify`, `generate`, `train`, `sweep` …) and finds those that exist.

Each checks the request against what workers publish, writes it into the ledger, and gives a
handle at once. An input of more than one unit is uploaded by a thread while the job runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack, cast

from typing_extensions import TypeVar

from seqd.client.client_methods import ClientMethods
from seqd.client.faces import Blocking
from seqd.client.job import EndedJob, JobHandle, JobSteps
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
from seqd.client.sources import Record, Value, training_set_of
from seqd.client.waiting import ended_handles
from seqd.errors import IdempotencyConflict
from seqd.ledger import Ledger, connect
from seqd.ledger.exchange import Exchange
from seqd.ledger.outage import outage_to_wait_for
from seqd.ledger.redis import outage_of
from seqd.ledger.submissions import new_job_id
from seqd.ledger.transport import Stream
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
    from seqd.client.model import ModelHandle
    from seqd.client.prediction import Output as Answer
    from seqd.client.prediction import TextRequest
    from seqd.settings import Settings
    from seqd_schemas import CatalogEntry

Items = Iterable[Value] | FileSource
T = TypeVar("T")
#: What the outputs of a task are read as: a dictionary where no class is given.
Out = TypeVar("Out", default=JsonOutput)


def find_server(redis_url: str | None, settings: "Settings | None") -> "tuple[Settings, str]":
    """Return the settings and the address of Redis; raises RedisUnreachable without one."""
    from seqd.settings import load_settings  # here: a module that only names `Client` needs none

    settings = settings or load_settings()
    if redis_url:
        # It stands for itself, also where the settings would look for a server.
        return settings.model_copy(update={"redis_url": redis_url}), redis_url
    from seqd.local.endpoint import redis_url_of

    return settings, redis_url_of(settings)


class Client(Blocking, ClientMethods):
    """A connection to a daemon. Safe to share between threads; use it as a context manager.

    A Redis that goes away is waited for, `SEQD_OUTAGE_S` seconds at most: whatever sends, waits or
    reads goes on where it was, and loses and doubles nothing. One that never answered is not.
    """

    def __init__(self, redis_url: str | None = None, *, settings: "Settings | None" = None) -> None:
        """Find the server; connects on first use.

        Without `redis_url`: SEQD_REDIS_URL, else the server of a running `seqd up`. Raises
        RedisUnreachable when there is neither.
        """
        self._settings, redis_url = find_server(redis_url, settings)
        self._redis = connect(
            redis_url,
            timeout_s=self._settings.redis_timeout_s,
            outage=outage_to_wait_for(self._settings),
            access=RedisAccess.of(self._settings),
        )
        self._ledger = Ledger(self._redis, self._settings)
        self._transport = self._ledger.transport
        #: Names the completion stream, which announces the jobs of this client that have ended.
        self._completions = new_job_id()
        self._sender = Sender(self._ledger, self._completions)
        self._lock = Lock()
        self._handles: list[JobHandle[object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not self._transport.is_closed:
            # The caller is on its way out; the rest of its input may never come.
            outage_of(self._redis).gives_up = lambda: True
            for handle in self._handles:
                handle.give_up(error)
            with suppress(IdempotencyConflict):  # the caller's own error says why it leaves
                self.close()
            return
        self.close()

    def close(self) -> None:
        """Wait until every upload is complete or its job has ended, then disconnect.

        Leaving the `with` block by an exception does not wait: it fails the jobs whose input
        is not complete, but none that another client had handed in before under the same
        idempotency key. Raises IdempotencyConflict when the input of such a job turned out to be
        another, and no handle has raised that. Whatever is asked of it afterwards raises
        ClientMisused.
        """
        if self._transport.is_closed:
            return
        with ExitStack() as stack:
            stack.callback(self._redis.close)
            stack.callback(self._transport.close)
            for handle in self._handles:
                stack.callback(handle.close)

    def classify(
        self, items: Items, *, model: str = "imdb_lstm", **options: Unpack[ClassifyOptions]
    ) -> JobHandle[Classification]:
        """Classify each text; returns the job at once, before it has run.

        `items` is any iterable of texts, or of records with `text_field` (`text` when left out) and
        `id_field` (`custom_id`; an `id` is taken too, else the position is, as `row-N`); it is read
        lazily. Or a `FileSource` that the workers read themselves. `expected_items` is for the ETA
        alone.
        A text that cannot be used becomes an error record in its place. Results with a score
        below `min_score` are `uncertain`. `label_map` has new names for labels of the model, by
        its own; the probabilities of those with one name are added. The other options are those of
        any job (`JobOptions`).

        Where `idempotency_key` or `job_id` stands for a job that has all of its input, `items` are
        read to their end first, to be compared with it.

        Raises UnknownModel, InvalidParameters or InvalidRequest before anything is sent,
        IdempotencyConflict, and RedisUnreachable (JobOutOfReach where the job may have been
        written), RedisRefused or RedisFull.
        """
        return self._begun(self._sent("classify", items, model, options))

    def predict(
        self, text: str, *, model: str = "imdb_lstm", **options: Unpack[PredictOptions]
    ) -> "Classification":
        """Classify one text, and return its classification: for who waits for one answer.

        It is a job of priority `interactive`, of which nothing is left in Redis afterwards. Raises
        TimeoutError when there is no answer after `timeout_s` seconds, 30 when left out; the job is
        cancelled and removed then. Raises ItemFailed, with the code of the item's error, for a text
        that has an error in the place of a classification, JobFailed for a job that failed as a
        whole, and what `classify` raises.

        With `AsyncClient` the texts of tasks that ask at the same time travel together. The job of
        a task that is cancelled is cancelled and removed.
        """
        from seqd.client.prediction import classification, request_of

        return classification(self._answer(request_of("classify", model, text, options)), model)

    def complete(
        self, prompt: str, *, model: str = "char_lstm", **options: Unpack[AnswerOptions]
    ) -> "Generation":
        """Continue one prompt, and return its generation; takes and raises what `predict` does."""
        from seqd.client.prediction import generation, request_of

        return generation(self._answer(request_of("generate", model, prompt, options)), model)

    def classify_each(
        self,
        items: Iterable[Value],
        *,
        model: str = "imdb_lstm",
        job_ids: Iterable[str] | None = None,
        **options: Unpack[ClassifyEachOptions],
    ) -> list[JobHandle[Classification]]:
        """Hand each text in as a job of its own, many in one round trip; returns their handles.

        For a service that has many single texts in hand: each job has its own identifier, events
        and result, is charged alone, and depends on no other. `items` are what `classify` takes,
        in order; all of them are held in memory. `job_ids` has an identifier for each: sent
        again, it makes no second job. The options hold for every job; `durable` waits for all of
        them at once. `as_completed` gives the results.

        Raises what `classify` does before anything is sent, and JobsRefused when some of the jobs
        were refused: it knows which, why, and which were not.
        """
        job = each_job("classify", model, options)
        return [self._handle(one) for one in self._run(self._each(job, items, job_ids, options))]

    def as_completed(
        self, jobs: Iterable[JobHandle[Out]], timeout_s: float | None = None
    ) -> "Stream[EndedJob[Out]]":
        """Yield each of many jobs as soon as it has ended, with one wait for all of them.

        Quick for jobs that this client's `classify_each` handed in: the results of a completed
        one come with it. Any other job is looked at every two seconds. A job that failed, was
        cancelled or has expired is given like any other: its state says so. Raises TimeoutError
        when not all have ended after `timeout_s` seconds, and UnknownJob for one that is not kept
        (any more).
        """
        ended = ended_handles(
            self._ledger, self._completions, jobs, timeout_s, JobHandle, EndedJob[Out]
        )
        return self._transport.read(ended)

    def generate(
        self, prompts: Items, *, model: str = "char_lstm", **options: Unpack[WritingOptions]
    ) -> JobHandle[Generation]:
        """Continue each prompt; takes and raises what `classify` does. A prompt may be empty.

        `stream` lets the handle's `stream` give the texts while they are written.
        """
        return self._begun(self._sent("generate", prompts, model, options))

    def run(
        self,
        items: Items,
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        **options: Unpack[WritingOptions],
    ) -> JobHandle[Out]:
        """Do a task that the model's plugin has named, such as `embed`, with each item.

        `items` are what `classify` takes; of a task whose input is a record, mappings with its
        fields. Each result has an `output` of the class that is given: the plugin's own, one of
        `seqd_schemas` such as `Embedding`, or one of the caller's. Without one it is a dictionary,
        as the task's schema in `catalog()` says. `stream` lets the handle's `stream` give the texts
        of a task that writes some. Raises what `classify` does.
        """
        check_output_class(output)
        return self._begun(self._sent("run", items, model, options, task=task), output)

    def run_one(
        self,
        item: Record,
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Out:
        """Do a plugin's own task with one item, and return its output: for who waits for it.

        `item` is a text, or a record with the fields that the task takes. The output is what `run`
        reads: an `output` of the class that is given, or a dictionary. Otherwise it takes and
        raises what `predict` does.
        """
        from seqd.client.prediction import read_as, task_request

        check_output_class(output)
        request = self._run(task_request(self._ledger, model, task, item, options))
        return read_as(output, self._answer(request))

    def run_each(
        self,
        items: Iterable[Value],
        *,
        model: str,
        task: str,
        output: type[Out] | None = None,
        job_ids: Iterable[str] | None = None,
        **options: Unpack[RecordOptions],
    ) -> list[JobHandle[Out]]:
        """Hand each item in as a job of its own that does a plugin's task; returns the handles.

        `items` and `output` are what `run` takes. Otherwise it takes and raises what
        `classify_each` does.
        """
        job = each_job("run", model, options, task=task)
        check_output_class(output)
        sent = self._run(self._each(job, items, job_ids, options))
        return [self._handle(one, output) for one in sent]

    def train(
        self,
        data: Iterable[Record] | FileSource | NamedSource,
        *,
        model: str,
        held_out: Iterable[Record] | FileSource | NamedSource | None = None,
        **options: Unpack[TrainOptions],
    ) -> JobHandle[TrainedVersion]:
        """Train a new version of a model; `trained_version()` tells which.

        `model` is one that there is, a plugin's own such as `imdb_lstm`, or a new name for what
        `plugin` is to make: `train(data, model="topics", plugin="imdb_lstm")`. A model's first
        version goes into service by itself; a later one where `labels` has `production`.

        `data` is a file that the workers read, a data set that the plugin knows by name, or an
        iterable of texts or records, which is uploaded and must fit into the ledger. So is
        `held_out`, what to validate on; it is read behind `data`. An asynchronous iterable, which
        `AsyncClient` takes, is read to its end first. `labels` are moved to the new version. Raises
        what `classify` does; data that cannot be learnt from fails the job.
        """
        job = training_of(data, model, options, held_out)
        source = training_set_of(data, held_out, options)
        return self._begun(self._sender.send(job, options, source))

    def sweep(
        self,
        data: FileSource | NamedSource,
        *,
        model: str,
        grid: Mapping[str, Sequence[ParameterValue]],
        **options: Unpack[SweepOptions],
    ) -> JobHandle[TrainedVersion]:
        """Train a model once for each combination of the values in `grid`; see `SweepJob`.

        The trainings run side by side, on all slots that train. Each combination is an item, named
        like `embedding_dim=8`; its result has the version that it made, with its figures.
        `labels` are moved to the best version at the end, and `metric` says which that is.
        Raises what `train` does, also for a combination that the model does not take, before
        anything is sent; and InvalidRequest for data that would have to be uploaded.
        """
        return self._begun(self._sender.send(sweep_of(data, model, grid, options), options))

    def retry(
        self, job: str | JobHandle[Output], *, items: Mapping[str, Record] | None = None
    ) -> JobHandle[Output]:
        """Hand an ended job's failed items in again, as a job that continues it.

        On the same version, with the same parameters. `merged_results` of the first job's handle
        then has the new results in the place of the errors. `items` has new texts for some of them,
        by `custom_id`, or new records of a task that takes records. Items whose text or record
        could not be read are sent again only with a new one. Raises WrongState when the job has not
        ended, has nothing to send again, or was already continued. Before anything is sent it
        raises UnknownItem for a name that the job does not have, InvalidRequest for an item that
        has an output, and InvalidInput for a text or record that cannot be used. With `items` all
        results of the job are read.
        """
        handle: JobHandle[Output] = self.job(job) if isinstance(job, str) else job
        sending = self._audited("retry", handle.job_id, self._sender.retry(handle.record(), items))
        return self._begun(sending, handle.steps.output)

    def resume(self, job_id: str) -> JobHandle:
        """Let a paused job go on, or continue an ended training from its last checkpoint.

        Gives the handle of that job, or of the new one that continues the training. A job that
        waits or runs stays as it is. Raises WrongState for an ended job of items, as well as for
        a training that completed; a handle's own `resume` gives the state of an ended job instead.
        """
        handle = self.job(job_id)
        record = handle.record()
        if not record.state.is_terminal:
            handle.resume()
            return handle
        sending = self._audited("resume", job_id, self._sender.send(resumption_of(record), {}))
        return self._begun(sending)

    def job(self, job_id: str, *, output: type[Output] | None = None) -> JobHandle[Output]:
        """Return a handle on any job, whoever handed it in; the job is not looked up yet.

        `output` is the class of its outputs, such as `Classification`, for type checkers. Outputs
        of a plugin's own task are read as that class, as `run` does.
        """
        check_output_class(output)
        steps = JobSteps(self._ledger, checked_id(job_id), output=output)
        return JobHandle(self._transport, steps)

    def models(self) -> "list[ModelHandle]":
        """Return the models of the fleet that have a version, sorted by name."""
        from seqd.client.model import entries_found

        entries = self._run(entries_found(self._ledger))
        return [self._model(entry) for entry in entries]

    def model(self, name: str) -> "ModelHandle":
        """Return a handle on a model: its versions, which is in service, and changes of that.

        Raises UnknownModel.
        """
        from seqd.client.model import entry_found

        return self._model(self._run(entry_found(self._ledger, name)))

    def _model(self, entry: "CatalogEntry") -> "ModelHandle":
        from seqd.client.model import ModelHandle, ModelSteps

        steps = ModelSteps(self._ledger, entry, self._sender)
        return ModelHandle(self._transport, steps)

    def _begun(self, sending: Exchange[Sent], output: type[Out] | None = None) -> JobHandle[Out]:
        sent = self._run(sending)
        handle = self._handle(sent, output)
        if sent.steps.upload is not None:
            with self._lock:
                self._handles = [handle, *(known for known in self._handles if known.is_uploading)]
        return handle

    def _handle(self, sent: Sent, output: type[Out] | None = None) -> JobHandle[Out]:
        steps = cast("JobSteps[Out]", sent.steps)
        steps.output = output
        return JobHandle(self._transport, steps, durable=sent.durable)

    def _answer(self, request: "TextRequest") -> "Answer":
        from seqd.client.prediction import predicted

        return self._run(predicted(self._ledger, request))

    def _run(self, exchange: Exchange[T]) -> T:
        return self._transport.run(exchange)
