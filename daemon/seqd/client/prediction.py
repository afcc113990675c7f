"""One item, one answer: a job that is sent, waited for, read and forgotten in one call.

Its end is announced in a completion stream, which wakes whoever waits; its result comes in the step
that removes it. Where that reply is lost, the text is sent again.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf
from time import monotonic
from typing import Final, NoReturn, TypeVar, cast

from pydantic import JsonValue

from seqd.client.job import JobSteps
from seqd.client.requests import (
    AnswerOptions,
    JobOptions,
    PredictOptions,
    job_of,
    refuse_unknown,
)
from seqd.client.results import OutputReader, Result
from seqd.client.sending import admission_of
from seqd.client.sources import Record, published_task
from seqd.client.waiting import WaitingNotice, check_timeout, with_waiting
from seqd.errors import (
    InvalidRequest,
    ItemFailed,
    JobCancelled,
    JobExpired,
    JobFailed,
    RedisUnreachable,
    SeqdError,
    UnknownJob,
    wire_text,
)
from seqd.inputs.items import BadEntry, ItemRules, check_text, task_rules
from seqd.kinds import CLASSIFY, KINDS
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import unpack_results
from seqd.ledger.exchange import LOOK_S, Exchange, Taken
from seqd.ledger.jobs import EndedRow
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.submissions import new_job_id
from seqd_schemas import (
    Classification,
    Generation,
    Item,
    ItemChunk,
    ItemFailure,
    Job,
    JobState,
    Priority,
    RefusedItem,
    RunJob,
    UploadSource,
)

Output = Classification | Generation | dict[str, JsonValue]
Out = TypeVar("Out")

#: Seconds for which a result is kept that nobody fetched, as of a client that died: the shortest.
KEPT_S: Final = 60

#: Seconds for which an answer is waited for where none are stated.
ANSWER_S: Final = 30.0

#: Longest time that a job may state for its end.
_MAX_EXPIRES_S: Final = 366 * 24 * 3600

#: The name of the one item.
_NAME: Final = "row-1"

#: Times that a text is sent whose job has gone without its result.
TRIES = 3


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One text, and what is asked of it."""

    job: Job
    chunk: ItemChunk
    #: Seconds to wait for the answer; None for no end.
    timeout_s: float | None


def single_job(kind: str, model: str, options: AnswerOptions, **more: object) -> Job:
    """Return the job of one item; raises InvalidRequest.

    It is `interactive`, and expires soon after `timeout_s`: nobody computes what nobody waits for.
    `more` are fields that the job has beside its options, such as its task.
    """
    refuse_unknown(options, PredictOptions if kind == CLASSIFY else AnswerOptions)
    timeout_s = _timeout_s(options)
    check_timeout(timeout_s)
    expires_in_s = None
    if timeout_s is not None and timeout_s < _MAX_EXPIRES_S:
        expires_in_s = ceil(timeout_s) + 1
    given = {name: one for name, one in options.items() if name != "timeout_s" and one is not None}
    fields = {
        name: dict(one) if isinstance(one, Mapping) else one for name, one in (given | more).items()
    }
    try:
        asked = json.dumps(fields)
        is_json = json.loads(asked) == fields
    except (TypeError, ValueError):
        is_json = False
    if not is_json:  # what is wrong with them is said there
        return _job(kind, model, expires_in_s, fields)
    return _known_job(kind, model, expires_in_s, asked)


def _timeout_s(options: AnswerOptions) -> float | None:
    return options.get("timeout_s", ANSWER_S)


@lru_cache(maxsize=256)
def _known_job(kind: str, model: str, expires_in_s: int | None, fields: str) -> Job:
    # To validate one takes as long as to send it, and a service asks the same again and again.
    return _job(kind, model, expires_in_s, json.loads(fields))


def _job(kind: str, model: str, expires_in_s: int | None, fields: Mapping[str, object]) -> Job:
    options: JobOptions = {
        "priority": Priority.INTERACTIVE,
        "results_ttl_s": KEPT_S,
        "expires_in_s": expires_in_s,
    }
    return job_of(kind, model, options, source=UploadSource(expected_items=1), **fields)


def request_of(kind: str, model: str, text: str, options: AnswerOptions) -> TextRequest:
    """Return what is asked of one text; raises ItemFailed for a text that no item may hold."""
    job = single_job(kind, model, options)
    try:
        checked = check_text(text, allow_empty=KINDS[job.kind].allows_empty)
    except BadEntry as bad:
        raise ItemFailed(bad.code, wire_text(f"The item was not sent: {bad.reason}.")) from None
    return _request(job, Item.model_construct(custom_id=_NAME, text=checked), options)


def task_request(
    ledger: LedgerParts, model: str, task: str, item: Record, options: AnswerOptions
) -> Exchange[TextRequest]:
    """Return what is asked of one item by a plugin's own task.

    Raises ItemFailed for an item that the task does not take.
    """
    job = single_job("run", model, options, task=task)
    schema = yield from published_task(ledger, cast(RunJob, job))
    rules = ItemRules() if schema is None else task_rules(schema)  # without one, sending says so
    if not isinstance(item, str | Mapping):
        raise InvalidRequest(
            f"The item is of type {type(item).__name__}; allowed: a text, or a record with the "
            "fields that the task takes. Of several: `run_each`, or `run`."
        )
    entry = rules.entry(item, _NAME, "The item was not sent")
    if isinstance(entry, RefusedItem):
        raise ItemFailed(entry.refused.code, entry.refused.message)
    return _request(job, entry.model_copy(update={"custom_id": _NAME}), options)


def read_as(output: type[Out] | None, answer: Output) -> Out:
    """Return what a plugin's own task gave as the class that is asked for."""
    return OutputReader(output).read(cast("Mapping[str, object]", answer), _NAME)


def _request(job: Job, item: Item, options: AnswerOptions) -> TextRequest:
    # What is in it was checked before.
    chunk = ItemChunk.model_construct(type="items", first_index=0, items=(item,))
    return TextRequest(job, chunk, _timeout_s(options))


def predicted(ledger: LedgerParts, request: TextRequest) -> Exchange[Output]:
    """Return the answer to a request, by a completion stream of its own; see `Client.predict`."""
    timeout_s = request.timeout_s
    deadline = monotonic() + (inf if timeout_s is None else timeout_s)
    with in_time(timeout_s, deadline):
        for _ in range(TRIES):
            job_id = new_job_id()
            try:
                row = yield from _answered(ledger, request, job_id, deadline)
            except (Exception, KeyboardInterrupt):
                with waiting_at_most(0), suppress(SeqdError):
                    yield from ledger.jobs.take_ended.steps([job_id], cancels=True, client=job_id)
                raise
            if row.is_kept:
                return (yield from answer_in(ledger, job_id, row))
    raise lost(job_id)


def _answered(
    ledger: LedgerParts,
    request: TextRequest,
    job_id: str,
    deadline: float,
) -> Exchange[EndedRow]:
    """Send a request, wait for its end, and take what is there of it then."""
    job, jobs = request.job, ledger.jobs
    catalog = yield from ledger.fleet.catalog_for.steps(job)
    admitted = yield from admission_of(job, ledger, catalog)
    yield from ledger.submissions.submit.steps(
        job, admitted, job_id=job_id, chunk=request.chunk, sealed=True, client=job_id
    )
    notice = WaitingNotice(ledger)
    while True:
        wait_s = max(0.001, min(LOOK_S, deadline - monotonic()))
        yield from jobs.completions.steps(job_id, "0-0", longest_wait_s=wait_s)
        (row,) = yield from jobs.take_ended.steps([job_id], client=job_id)
        if not row.is_kept or row.state is not None:
            return row
        if monotonic() >= deadline:
            return (yield from cancelled_late(ledger, job_id, request.timeout_s))
        yield from look(ledger, notice, job_id)


def look(ledger: LedgerParts, notice: WaitingNotice, job_id: str) -> Exchange[None]:
    """Tell in the log why a job waits of which nothing was heard for a while."""
    with suppress(UnknownJob):  # removed just now
        yield from notice.look((yield from ledger.jobs.get.steps(job_id)))


def cancelled_late(ledger: LedgerParts, job_id: str, timeout_s: float | None) -> Exchange[EndedRow]:
    """Cancel and remove a job that took too long; return how it ended if it just has.

    Else raises TimeoutError, with what it waited for.
    """
    state, why = "unknown", ""
    with suppress(UnknownJob):
        record = yield from ledger.jobs.get.steps(job_id)
        (record,) = yield from with_waiting(ledger, [record])
        state = record.state.value
        why = "" if record.waiting is None else f" It waited: {record.waiting.message}"
    (row,) = yield from ledger.jobs.take_ended.steps([job_id], cancels=True, client=job_id)
    if row.state in (JobState.COMPLETED, JobState.FAILED):
        return row
    raise TimeoutError(
        f"Job {job_id} was {state} after {timeout_s or 0:g} s, and is cancelled and removed.{why}"
    )


def answer_in(ledger: LedgerParts, job_id: str, row: EndedRow) -> Exchange[Output]:
    """Return the answer that a job which was taken has; raises why there is none."""
    if row.state is not JobState.COMPLETED:
        _raise_end(job_id, row)
    if row.blob is not None:
        (result,) = unpack_results(row.blob)
        return output_of(result)
    # Larger than what comes that way.
    steps = JobSteps(ledger, job_id)
    read = yield from Taken(steps.results()).take()
    yield from steps.remove()
    return output_of(cast(Result, read))


def output_of(result: Result) -> Output:
    """Return what a result has; raises ItemFailed for an error."""
    if isinstance(result, ItemFailure):
        raise ItemFailed(result.error.code, result.error.message, result.error.retryable)
    return cast(Output, result.output)


def lost(job_id: str) -> UnknownJob:
    """Return the error for a text whose job has gone each time without its result."""
    return UnknownJob(
        f"The text was sent {TRIES} times, and each time its job had gone before its result was "
        f"read, as job {job_id}: somebody removes jobs, or their Redis is lost. Send it again."
    )


@contextmanager
def in_time(timeout_s: float | None, deadline: float) -> Iterator[None]:
    """Wait for a Redis that is away no longer than for the answer."""
    try:
        with waiting_at_most(deadline - monotonic()):
            yield
    except RedisUnreachable as error:
        if timeout_s is None or monotonic() < deadline:
            raise
        raise TimeoutError(f"There is no answer after {timeout_s:g} s: {error}") from None


def _raise_end(job_id: str, row: EndedRow) -> NoReturn:
    if row.state is JobState.FAILED and row.failure is not None:
        raise JobFailed(job_id, row.failure)
    if row.state is JobState.EXPIRED:
        raise JobExpired(f"Job {job_id} expired before it had its turn. Send the text again.")
    raise JobCancelled(f"Job {job_id} was cancelled before it had its turn. Send the text again.")


def classification(output: Output, model: str) -> Classification:
    """Return an output that is a classification; raises InvalidRequest for another."""
    if isinstance(output, Classification):
        return output
    raise InvalidRequest(f"Model {model} gave a {_type_of(output)} and no classification.")


def generation(output: Output, model: str) -> Generation:
    """Return an output that is a generation; raises InvalidRequest for another."""
    if isinstance(output, Generation):
        return output
    raise InvalidRequest(f"Model {model} gave a {_type_of(output)} and no generation.")


def _type_of(output: Output) -> object:
    return output.get("type", "dictionary") if isinstance(output, dict) else output.type
