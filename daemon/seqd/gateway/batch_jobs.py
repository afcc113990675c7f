"""A batch is a job on an uploaded file: all that is shown of it is read from the job's record.

What it gave are two files: its answers and its errors, each in the order of the input. Neither is
stored: both are read from the results of the job, as far as these have come.
"""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Self, cast

from pydantic_core import to_json

from seqd.client import AsyncJob
from seqd.errors import InvalidRequest, JobFailed, UnknownJob
from seqd.gateway.batch_lines import ENDPOINTS
from seqd.gateway.bodies import Answer, head_of
from seqd.gateway.callers import Caller
from seqd.gateway.classifications import labels_of
from seqd.gateway.completions import completed
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.stored_files import file_id_of
from seqd_schemas import Classification, Generation, ItemFailure, ItemSuccess, JobRecord, JobState

#: The status of a batch by its job's state.
_STATUSES: Final = {
    JobState.QUEUED: "validating",
    JobState.RUNNING: "in_progress",
    JobState.PAUSED: "in_progress",
}

#: The note of a job that says how many classes' probabilities were asked for.
TOP_K_NOTE: Final = "_top_k"

#: Seconds of the units of a completion window.
UNITS_S: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

_OUTPUT: Final = re.compile(r"file-(?P<job>.+)-(?P<what>output|errors)")

#: Bytes that are sent at once.
_BLOCK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A batch, and its job."""

    record: JobRecord
    endpoint: str
    input_file_id: str

    @classmethod
    def of(cls, record: JobRecord) -> Self | None:
        """Return the batch that a job is; None of a job that is none."""
        file_id = file_id_of(record.job.source)
        endpoint = next((url for url, one in ENDPOINTS.items() if one.kind == record.kind), None)
        return None if file_id is None or endpoint is None else cls(record, endpoint, file_id)

    @property
    def top_k(self) -> int | None:
        """Classes whose probabilities each answer has; None where nobody asked for any."""
        note = self.record.job.metadata.get(TOP_K_NOTE, "")
        return int(note) if note.isdecimal() else None  # a caller's own may be anything

    def shown(self) -> Answer:
        """Return the batch as OpenAI's clients read it; ours says why it waits, too."""
        record, counts, state = self.record, self.record.counts, self.record.state
        names = {name: f"file-{record.job_id}-{name}" for name in ("output", "errors")}
        undone = counts.total - counts.succeeded if state.is_terminal else counts.errored
        notes = {key: one for key, one in record.job.metadata.items() if key != TOP_K_NOTE}
        failure, ended_s = record.failure, _seconds(record.ended_at_ms)
        ends = {
            f"{name}_at": ended_s if state is name else None
            for name in JobState
            if name.is_terminal
        }
        return {
            "id": f"batch_{record.job_id}",
            "object": "batch",
            "endpoint": self.endpoint,
            "input_file_id": self.input_file_id,
            "model": f"{record.model}@{record.version}",
            "completion_window": _window_of(record.job.expires_in_s),
            "status": _STATUSES.get(state, state.value),
            "output_file_id": names["output"] if counts.succeeded else None,
            "error_file_id": names["errors"] if undone else None,
            "created_at": _seconds(record.created_at_ms),
            "in_progress_at": _seconds(record.started_at_ms),
            "expires_at": _seconds(record.expires_at_ms),
            "finalizing_at": None,
            "cancelling_at": ends["cancelled_at"],
            **ends,
            "request_counts": {
                "total": counts.total,
                "completed": counts.succeeded,
                "failed": counts.errored,
            },
            "errors": failure
            and {
                "object": "list",
                "data": [
                    {
                        "code": failure.code,
                        "message": failure.message,
                        "line": None,
                        "param": None,
                    }
                ],
            },
            "metadata": notes or None,
            "waiting": record.waiting and record.waiting.message,
        }


async def batch_of(
    job_id: str, caller: Caller, seqd: GatewayClient
) -> tuple[AsyncJob, BatchJob] | None:
    """Return a caller's batch with the handle on its job; None where there is none."""
    try:
        job, record = await seqd.found_job(job_id, caller.only_tenant)
    except (InvalidRequest, UnknownJob):  # no name of a job, or none that there is
        return None
    batch = BatchJob.of(record)
    return None if batch is None else (job, batch)


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1_000


def _window_of(seconds: int | None) -> str:
    """Return the time that a batch has, such as `24h`."""
    if seconds is None:
        return "none"
    unit = "h" if seconds % 3_600 == 0 else "m" if seconds % 60 == 0 else "s"
    return f"{seconds // UNITS_S[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class OutputFile:
    """The answers of a batch, or its errors."""

    file_id: str
    job: AsyncJob
    batch: BatchJob
    has_errors: bool

    def shown(self) -> Answer:
        """Return the file as OpenAI's clients read it; its size is known to nobody."""
        record = self.batch.record
        kept_until_ms = record.kept_until_ms
        return {
            "id": self.file_id,
            "object": "file",
            "bytes": None,
            "created_at": (record.ended_at_ms or record.created_at_ms) // 1_000,
            "expires_at": kept_until_ms and kept_until_ms // 1_000,
            "filename": f"batch_{record.job_id}_{'errors' if self.has_errors else 'output'}.jsonl",
            "purpose": "batch_output",
            "status": "processed",
            "status_details": None,
        }

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines that are there, many at once."""
        block, number = bytearray(), 0
        try:
            async with aclosing(self.job.result_lines(wait=False)) as results:
                async for line in results:
                    number += 1
                    if isinstance(line.result, ItemFailure) is self.has_errors:
                        block += to_json(self._line(line.result, number)) + b"\n"
                    if len(block) >= _BLOCK_BYTES:
                        yield bytes(block)
                        block.clear()
        except JobFailed:
            pass  # raised behind the last result; the batch's own `errors` say it
        yield bytes(block)

    def _line(self, result: ItemSuccess | ItemFailure, number: int) -> Answer:
        name = f"{self.batch.record.job_id}-{number}"
        line: Answer = {"id": f"batch_req_{name}", "custom_id": result.custom_id}
        if isinstance(result, ItemFailure):
            error = {"code": result.error.code, "message": result.error.message}
            return {**line, "response": None, "error": error}
        response = {"status_code": 200, "request_id": name, "body": self._body(result, name)}
        return {**line, "response": response, "error": None}

    def _body(self, result: ItemSuccess, name: str) -> Answer:
        """Return what the route itself would answer."""
        record, output = self.batch.record, result.output
        made = record.created_at_ms // 1_000, record.job.model
        if isinstance(output, Generation):
            return {**head_of("cmpl", "text_completion", name, *made), **completed([output])}
        labels = labels_of([cast(Classification, output)], self.batch.top_k)
        return {**head_of("classify", "list", name, *made), **labels}


async def output_file_of(file_id: str, caller: Caller, seqd: GatewayClient) -> OutputFile | None:
    """Return what a batch of the caller gave; None where the name is that of no such file."""
    named = _OUTPUT.fullmatch(file_id)
    found = named and await batch_of(named["job"], caller, seqd)
    if not named or not found:
        return None
    job, batch = found
    return OutputFile(file_id, job, batch, named["what"] == "errors")
