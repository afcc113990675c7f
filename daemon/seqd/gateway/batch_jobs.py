"""A batch is a job on an uploaded file: all that is shown of it is read from the job's record."""

from dataclasses import dataclass
from typing import Final, Self

from seqd.client import AsyncJob
from seqd.errors import InvalidRequest, UnknownJob
from seqd.gateway.batch_lines import ENDPOINTS
from seqd.gateway.bodies import Answer
from seqd.gateway.callers import Caller
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.stored_files import file_id_of
from seqd_schemas import JobRecord, JobState

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
