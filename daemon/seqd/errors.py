"""Every error that seqd raises on purpose, each with a stable code.

A message says what arrived, what is allowed and what to do. A `UserError` is one that the caller
can mend. A command ends with the error's `exit_status`: 1, or 2 for what the caller can mend, where
a class states none. `Failure` in `seqd_schemas` is how an error crosses a process border;
`failure_of` makes one.
"""

import errno
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from seqd_schemas.errors import ItemFailed as ItemFailed
from seqd_schemas.errors import SeqdError as SeqdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seqd_schemas import Failure, Waiting


class UserError(SeqdError, code="user_error", exit_status=2):
    """The caller can mend it."""


class InvalidParameters(UserError, code="invalid_parameters"):
    """A parameter is unknown, of the wrong type or out of range."""


class InvalidRequest(UserError, code="invalid_request"):
    """The request itself is malformed."""


class InvalidInput(UserError, code="invalid_input"):
    """A file or an item cannot be used."""


class OutputMismatch(UserError, code="output_mismatch"):
    """The output of a plugin's own task is not of the class that it is to be read as."""


class OutputExists(UserError, code="output_exists"):
    """There is a file under the name of an output; --force replaces it."""


class OutputUnwritable(UserError, code="output_unwritable"):
    """An output cannot be written: its disk is full, its folder is missing or not the caller's."""


class InvalidData(UserError, code="invalid_data"):
    """Training data cannot be learnt from."""


class DuplicateCustomId(UserError, code="duplicate_custom_id"):
    """Two items of one job share an identifier."""


class UnknownModel(UserError, code="unknown_model"):
    """No such model, version or label."""


class ModelNameTaken(UserError, code="model_name_taken"):
    """The model of this name is made with another plugin; that never changes."""


class ServiceChanged(UserError, code="service_changed"):
    """Another version was put in service meanwhile; nothing was changed."""


class VersionInUse(UserError, code="version_in_use"):
    """A version that is in service, has a label, or is what a job runs on; it is not removed."""


class UnknownPlugin(UserError, code="unknown_plugin"):
    """No such plugin."""


class UnknownJob(UserError, code="unknown_job"):
    """No such job."""


class UnknownFile(UserError, code="unknown_file"):
    """No file of that name was uploaded, or it is not kept any more."""


class FileTooLarge(UserError, code="file_too_large"):
    """An uploaded file has more bytes than one may."""


class UnknownItem(UserError, code="unknown_item"):
    """The job has no item of that name, or no result of it yet."""


class NoLogs(UserError, code="no_logs"):
    """No folder of logs can be read here."""


class UnknownFailure(UserError, code="unknown_failure"):
    """No such dead letter is kept."""


class UnknownKey(UserError, code="unknown_key"):
    """The gateway has no key of that name."""


class UnknownWebhook(UserError, code="unknown_webhook"):
    """No such webhook."""


class UnknownWorker(UserError, code="unknown_worker"):
    """No worker, slot, host or label of that name is there, nor a rule for it."""


class Unconfirmed(UserError, code="unconfirmed"):
    """What was asked for needs a confirmation, and there is nobody to ask."""


class DrainUnfinished(
    UserError, code="drain_unfinished", exit_status=os.EX_TEMPFAIL, retryable=True
):
    """Workers had not drained, or were not replaced, when the time was over; they go on with it."""


class IdempotencyConflict(UserError, code="idempotency_conflict"):
    """The idempotency key, or the job's id, already stands for another request or other input."""

    #: The job that it stands for, where that is known.
    existing_job_id: str | None = None


class IdInUse(IdempotencyConflict, code="id_in_use"):
    """The job's identifier already stands for another request."""


class AlreadySubmitted(UserError, code="already_submitted"):
    """The idempotency key stands for a job with another identifier, which asks for the same."""

    def __init__(self, message: str, existing_job_id: str) -> None:
        super().__init__(message)
        self.existing_job_id = existing_job_id


class QuotaExceeded(UserError, code="quota_exceeded", retryable=True):
    """A tenant has as many jobs, items or bytes waiting as it may."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotAllowed(UserError, code="not_allowed"):
    """The operator does not allow the tenant what it asks for; the message says what is allowed."""


class ModelDisabled(UserError, code="model_disabled"):
    """An operator has disabled the model; the message says who, since when and why."""


class UnknownTenant(UserError, code="unknown_tenant"):
    """Nothing is known of the tenant."""


class JobsRefused(UserError, code="jobs_refused"):
    """Some of many jobs that were handed in together were refused; the others were accepted."""

    def __init__(self, accepted: Sequence[str], refused: Mapping[str, SeqdError]) -> None:
        """`accepted` are identifiers, `refused` has the reason by identifier; both in order."""
        first = next(iter(refused))
        super().__init__(
            f"{len(refused):,} of {len(accepted) + len(refused):,} jobs were refused, the first "
            f"because: {refused[first]} The others were accepted: see `accepted` and `refused`, "
            "and send the refused ones again."
        )
        self.accepted = list(accepted)
        self.refused = dict(refused)
        self.retry_after_s = refused[first].retry_after_s


class UploadLost(SeqdError, code="upload_lost", retryable=True):
    """Redis crashed and lost input of a job that it had acknowledged."""


class JobDamaged(SeqdError, code="job_damaged"):
    """What Redis holds of a job is not what seqd writes."""


class KeyDamaged(UserError, code="key_damaged"):
    """A key of Redis has a value of another type than seqd writes: somebody has written it over."""


class LaterVersion(UserError, code="later_version"):
    """A record can only be read by a later version of seqd, which wrote it."""


class OtherFormat(UserError, code="other_format"):
    """Redis, or the model store, has a format that this release of seqd cannot read."""


class WrongState(UserError, code="wrong_state"):
    """The job is not in a state in which this can be done."""


class ClientMisused(UserError, code="client_misused"):
    """A client, or an iterator of it, cannot be used here or any more."""


class InvalidSettings(UserError, code="invalid_settings"):
    """A setting, a slot or a port is wrong."""


class UnusableSlot(InvalidSettings, code="unusable_slot", exit_status=os.EX_CONFIG):
    """A slot's device is not there, is hidden, is too small, or lacks what computes on it."""


class RedisUnreachable(UserError, code="redis_unreachable", retryable=True):
    """No Redis server answers."""

    def __init__(self, message: str, cause: str = "") -> None:
        """`cause` is why, as a sentence without advice, for a line of who goes on by itself."""
        super().__init__(message)
        self.cause = cause or message


class JobOutOfReach(RedisUnreachable, code="job_out_of_reach", exit_status=os.EX_TEMPFAIL):
    """Redis was away for too long while somebody waited for a job, which goes on by itself."""

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class RedisRefused(UserError, code="redis_refused"):
    """The Redis server wants another password or user, or a certificate is not accepted."""


class RedisNoPermission(RedisRefused, code="redis_no_permission"):
    """The user of the Redis server lacks the right to a command or to a key."""


class PortTaken(UserError, code="port_taken"):
    """Another program listens on the port."""


class RedisFull(SeqdError, code="redis_full", exit_status=2, retryable=True):
    """The Redis server's memory is used up."""

    def __init__(self, message: str, cause: str = "") -> None:
        """`cause` is why, as a sentence without advice, for a line of who waits."""
        super().__init__(message)
        self.cause = cause or message


class InboxFull(SeqdError, code="inbox_full", exit_status=2, retryable=True):
    """The inbox has as many entries as the operator allows."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class JobFailed(SeqdError, code="job_failed"):
    """A job ended without success; `failure` says why."""

    def __init__(self, job_id: str, failure: "Failure") -> None:
        super().__init__(failure.message)
        self.job_id = job_id
        self.failure = failure


class JobCancelled(SeqdError, code="job_cancelled"):
    """A job was cancelled while somebody waited for it."""


class JobExpired(SeqdError, code="job_expired"):
    """A job's time ran out before it was done."""


class CheckpointDamaged(SeqdError, code="checkpoint_damaged"):
    """A training's checkpoints are there and cannot be gone on from."""


class PluginFault(SeqdError, code="plugin_fault"):
    """A plugin raised, or broke its contract."""


class VersionDiffers(PluginFault, code="version_differs"):
    """A version that was trained is another once it was saved and loaded."""


class NameTaken(PluginFault, code="name_taken"):
    """A plugin brings a model, or has a name, that another plugin has."""


class PluginForked(PluginFault, code="plugin_forked"):
    """A plugin forked its process in a call, and came back in the copy too, which ends here."""


class PluginEnded(SeqdError, code="plugin_ended"):
    """The process that has a plugin, which its author tries, has ended in the middle of a call."""


class ArtifactDamaged(SeqdError, code="artifact_damaged", exit_status=2):
    """A stored model is not what its manifest says."""


class StoreUnwritable(SeqdError, code="store_unwritable", retryable=True):
    """The model store takes no file: the disk is full, or the folder may not be written."""


class StoreUnreachable(StoreUnwritable, code="store_unreachable"):
    """A bucket, of the model store or of data, does not answer or wants other credentials."""


class FilesUnusable(SeqdError, code="files_unusable", retryable=True):
    """The place of uploaded files is away or full, or may not be written."""


class LibraryMissing(SeqdError, code="no_library", exit_status=2):
    """A library that this needs is not installed here, such as Keras."""


class NoFitWorker(SeqdError, code="no_fit_worker", retryable=True):
    """No worker that is up can run what a job needs; the message has the reason of each."""


class OrderUnfinished(
    SeqdError, code="order_unfinished", exit_status=os.EX_TEMPFAIL, retryable=True
):
    """A worker had not carried an order out when the time of its client was over; it goes on."""


class NoWorker(SeqdError, code="no_worker", exit_status=os.EX_TEMPFAIL, retryable=True):
    """No worker could run a job for as long as somebody wanted to wait for one; the job stays."""

    def __init__(self, job_id: str, waiting: "Waiting", waited_s: float) -> None:
        """`waiting` has the reason, `waited_s` is for how long it was waited."""
        super().__init__(
            f"No worker could run job {job_id} for {waited_s:g} s. {waiting.message} It stays, "
            f"and goes on when one can: seqd jobs watch {job_id}. To cancel it: seqd jobs cancel "
            f"{job_id}"
        )
        self.job_id = job_id
        self.waiting = waiting


class WorkersNotReady(SeqdError, code="workers_not_ready", retryable=True):
    """Workers that a command has started were not ready when its time was over."""


class DeviceUnavailable(
    SeqdError, code="device_unavailable", exit_status=os.EX_UNAVAILABLE, retryable=True
):
    """A slot's device is there and cannot be computed on now: others have it, or it is sick."""


class DeviceLost(DeviceUnavailable, code="device_lost", exit_status=os.EX_OSERR):
    """A slot's device fell off the bus, or has errors that only a reset mends."""


class WorkerUnfit(SeqdError, code="worker_unfit"):
    """This worker cannot run a version now, so its units are released; no item is to blame."""


class LeaseLost(SeqdError, code="lease_lost"):
    """The unit now belongs to another worker, or its job has ended; nothing may be written."""


class Stopped(SeqdError, code="stopped"):
    """Work ended early because it was asked to; there is no result."""


#: What the system says where a disk is full or may not be written, whatever was written.
DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})

#: What the reading of files, and the writing of results, may raise: on a disk, or in a bucket.
FILE_ERRORS = (UserError, OSError, StoreUnwritable, LibraryMissing)

#: Redis is away, full or refuses us. No job is to blame for it, and trying again may help.
REDIS_ERRORS = (RedisUnreachable, RedisRefused, RedisFull)


#: Longest message on the wire, in characters.
_MAX_MESSAGE_CHARS = 4_096


def all_told(faults: Iterable[str]) -> str:
    """Return sentences as one text, each but the first with a capital."""
    first, *others = faults
    return " ".join([first, *(f"{fault[:1].upper()}{fault[1:]}" for fault in others)])


def schema_fault(error: Exception) -> str:
    """Return what is wrong by a SchemaError of pydantic, which tells first what it was building."""
    text = str(error)
    field = re.search(r'Field "([^"]+)"', text)
    last = text.rpartition("SchemaError: ")[2]
    pattern = re.match(r"regex parse error:\n\s+(.+)\n[\s^]+\nerror: (.+)", last)
    said = " ".join(last.split())
    if pattern is not None:
        said = f"its pattern {pattern[1]!r} cannot be used: {pattern[2]}"
    return f"parameter {field[1]!r}: {said}" if field else said


def wire_text(text: str) -> str:
    """Return a message as any record can hold it: cut short, lone surrogates shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()[:_MAX_MESSAGE_CHARS]


def failure_of(error: SeqdError) -> "Failure":
    """Turn an error into the record that crosses process borders."""
    from seqd_schemas import Failure  # here: a command that is typed wrong needs no pydantic

    message = str(error) or (type(error).__doc__ or "").strip()
    return Failure(
        code=error.code,
        message=wire_text(message),
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )


def error_of(failure: "Failure") -> SeqdError:
    """Return the error that a record stands for, of the class that has its code.

    Of an error that holds more than its message it is a `SeqdError` with that code.
    """
    kinds = {kind.code: kind for kind in _kinds(SeqdError) if kind.__init__ is Exception.__init__}
    error = kinds.get(failure.code, SeqdError)(failure.message)
    error.code, error.retryable = failure.code, failure.retryable
    error.retry_after_s = failure.retry_after_s
    return error


def _kinds(root: type[SeqdError]) -> "Iterator[type[SeqdError]]":
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)
