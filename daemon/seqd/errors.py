"""Every error that seqd raises on purpose, each with a stable code.

    SeqdError
    ├── UserError                    exit 2: the caller can mend it
    │   ├── InvalidParameters        a parameter is unknown, of the wrong type or out of range
    │   ├── InvalidRequest           the request itself is malformed
    │   ├── InvalidInput             a file or an item cannot be used
    │   ├── OutputMismatch           an output is not of the class that it is to be read as
    │   ├── OutputExists             there is a file under the output's name; --force replaces it
    │   ├── OutputUnwritable         an output cannot be written: its disk is full, no permission
    │   ├── InvalidData              training data cannot be learnt from
    │   ├── DuplicateCustomId        two items of a job share an identifier
    │   ├── UnknownModel             no such model, version or label
    │   ├── UnknownPlugin            no such plugin
    │   ├── UnknownJob               no such job
    │   ├── UnknownFile              no such uploaded file
    │   ├── FileTooLarge             an uploaded file has more bytes than one may
    │   ├── UnknownItem              the job has no item of that name, or no result of it yet
    │   ├── UnknownKey               the gateway has no key of that name
    │   ├── UnknownWorker            no worker, slot, host or label of that name, and no rule
    │   ├── Unconfirmed              it needs a confirmation, and nobody can be asked for one
    │   ├── IdempotencyConflict      the key already stands for another request
    │   │   └── IdInUse              the job's identifier already stands for another request
    │   ├── AlreadySubmitted         the key stands for a job that asks for the same
    │   ├── QuotaExceeded            the tenant has as much waiting as it may; try later
    │   ├── NotAllowed               the operator does not allow it to the tenant
    │   ├── ModelDisabled            an operator has disabled the model: it takes no new jobs
    │   ├── UnknownTenant            nothing is known of the tenant
    │   ├── JobsRefused              some of many jobs were refused; it knows which and why
    │   ├── LaterVersion             a later version of seqd wrote it; this one cannot read it
    │   ├── OtherFormat              Redis or the model store has a format that this one cannot read
    │   ├── WrongState               the job is not in a state in which this can be done
    │   ├── ClientMisused            the client is closed, or another process's or event loop's
    │   ├── InvalidSettings          a setting, slot or port is wrong
    │   │   └── UnusableSlot         exit 78: a slot's device is not there, hidden, or too small
    │   ├── DrainUnfinished          exit 75: workers are still at it, and go on
    │   ├── RedisUnreachable         no server answers
    │   │   └── JobOutOfReach        exit 75: while a job was waited for, which goes on
    │   ├── RedisRefused             the server wants another login, or one side's certificate fails
    │   │   └── RedisNoPermission    the user lacks the right to a command or a key
    │   └── PortTaken                another program listens there
    ├── RedisFull                    exit 2: the server's memory is used up; try later
    ├── InboxFull                    exit 2: the inbox has as many entries as it may; try later
    ├── JobFailed                    exit 1: a job ended without success
    ├── ItemFailed                   an item has no output; its code is that of the item's error
    ├── JobCancelled                 exit 1: a job was cancelled while somebody waited for it
    ├── JobExpired                   exit 1: a job's time ran out
    ├── UploadLost                   exit 1: Redis lost input that it had acknowledged
    ├── JobDamaged                   exit 1: what Redis holds of a job is not what seqd writes
    ├── CheckpointDamaged            exit 1: a training's checkpoints cannot be gone on from
    ├── PluginFault                  exit 1: a plugin broke its contract
    │   ├── NameTaken                another plugin has the name of its model, or its own
    │   └── PluginForked             a copy of the process came back from a plugin's call; in logs
    ├── PluginEnded                  exit 1: the process that has a plugin ended in a call
    ├── ArtifactDamaged              exit 2: a stored model is not what its manifest says
    ├── StoreUnwritable              exit 1: the model store takes no file: disk full, no permission
    │   └── StoreUnreachable         exit 1: the model store at a URL does not answer, or not to us
    ├── FilesUnusable                exit 1: the place of uploaded files is away, full, or no one's
    ├── LibraryMissing               exit 1: a library that this needs is not installed here
    ├── NoFitWorker                  exit 1: no worker that is up can run the job's version now
    ├── OrderUnfinished              exit 75: a worker was still at a change of a model; it goes on
    ├── NoWorker                     exit 75: no worker can run a job that somebody waits for
    ├── WorkersNotReady              workers that a command has started were not ready in time
    ├── DeviceUnavailable            exit 69: a slot's device is busy or sick; that may pass
    │   └── DeviceLost               exit 71: a slot's device fell off the bus
    ├── WorkerUnfit                  this worker cannot run a version now; never leaves the worker
    ├── LeaseLost                    a unit now belongs to another worker; never leaves the worker
    └── Stopped                      work ended early because it was asked to

A message says what arrived, what is allowed and what to do. `Failure` in `seqd_schemas` is
how an error crosses a process border; `failure_of` makes one.
"""

import errno
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from seqd_schemas.errors import ItemFailed as ItemFailed
from seqd_schemas.errors import SeqdError as SeqdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seqd_schemas import Failure, Waiting


class UserError(SeqdError):
    """The caller can mend it."""

    code = "user_error"
    exit_status = 2


class InvalidParameters(UserError):
    """A parameter is unknown, of the wrong type or out of range."""

    code = "invalid_parameters"


class InvalidRequest(UserError):
    """The request itself is malformed."""

    code = "invalid_request"


class InvalidInput(UserError):
    """A file or an item cannot be used."""

    code = "invalid_input"


class OutputMismatch(UserError):
    """The output of a plugin's own task is not of the class that it is to be read as."""

    code = "output_mismatch"


class OutputExists(UserError):
    """There is a file under the name of an output; --force replaces it."""

    code = "output_exists"


class OutputUnwritable(UserError):
    """An output cannot be written: its disk is full, its folder is missing or not the caller's."""

    code = "output_unwritable"


class InvalidData(UserError):
    """Training data cannot be learnt from."""

    code = "invalid_data"


class DuplicateCustomId(UserError):
    """Two items of one job share an identifier."""

    code = "duplicate_custom_id"


class UnknownModel(UserError):
    """No such model, version or label."""

    code = "unknown_model"


class ModelNameTaken(UserError):
    """The model of this name is made with another plugin; that never changes."""

    code = "model_name_taken"


class ServiceChanged(UserError):
    """Another version was put in service meanwhile; nothing was changed."""

    code = "service_changed"


class VersionInUse(UserError):
    """A version that is in service, has a label, or is what a job runs on; it is not removed."""

    code = "version_in_use"


class UnknownPlugin(UserError):
    """No such plugin."""

    code = "unknown_plugin"


class UnknownJob(UserError):
    """No such job."""

    code = "unknown_job"


class UnknownFile(UserError):
    """No file of that name was uploaded, or it is not kept any more."""

    code = "unknown_file"


class FileTooLarge(UserError):
    """An uploaded file has more bytes than one may."""

    code = "file_too_large"


class UnknownItem(UserError):
    """The job has no item of that name, or no result of it yet."""

    code = "unknown_item"


class NoLogs(UserError):
    """No folder of logs can be read here."""

    code = "no_logs"


class UnknownFailure(UserError):
    """No such dead letter is kept."""

    code = "unknown_failure"


class UnknownKey(UserError):
    """The gateway has no key of that name."""

    code = "unknown_key"


class UnknownWebhook(UserError):
    """No such webhook."""

    code = "unknown_webhook"


class UnknownWorker(UserError):
    """No worker, slot, host or label of that name is there, nor a rule for it."""

    code = "unknown_worker"


class Unconfirmed(UserError):
    """What was asked for needs a confirmation, and there is nobody to ask."""

    code = "unconfirmed"


class DrainUnfinished(UserError):
    """Workers had not drained, or were not replaced, when the time was over; they go on with it."""

    code = "drain_unfinished"
    #: EX_TEMPFAIL: it goes on, and may be waited for again.
    exit_status = 75
    retryable = True


class IdempotencyConflict(UserError):
    """The idempotency key, or the job's id, already stands for another request or other input."""

    code = "idempotency_conflict"
    #: The job that it stands for, where that is known.
    existing_job_id: str | None = None


class IdInUse(IdempotencyConflict):
    """The job's identifier already stands for another request."""

    code = "id_in_use"


class AlreadySubmitted(UserError):
    """The idempotency key stands for a job with another identifier, which asks for the same."""

    code = "already_submitted"

    def __init__(self, message: str, existing_job_id: str) -> None:
        super().__init__(message)
        self.existing_job_id = existing_job_id


class QuotaExceeded(UserError):
    """A tenant has as many jobs, items or bytes waiting as it may."""

    code = "quota_exceeded"
    retryable = True

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotAllowed(UserError):
    """The operator does not allow the tenant what it asks for; the message says what is allowed."""

    code = "not_allowed"


class ModelDisabled(UserError):
    """An operator has disabled the model; the message says who, since when and why."""

    code = "model_disabled"


class UnknownTenant(UserError):
    """Nothing is known of the tenant."""

    code = "unknown_tenant"


class JobsRefused(UserError):
    """Some of many jobs that were handed in together were refused; the others were accepted."""

    code = "jobs_refused"

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


class UploadLost(SeqdError):
    """Redis crashed and lost input of a job that it had acknowledged."""

    code = "upload_lost"
    retryable = True


class JobDamaged(SeqdError):
    """What Redis holds of a job is not what seqd writes."""

    code = "job_damaged"


class KeyDamaged(UserError):
    """A key of Redis has a value of another type than seqd writes: somebody has written it over."""

    code = "key_damaged"


class LaterVersion(UserError):
    """A record can only be read by a later version of seqd, which wrote it."""

    code = "later_version"


class OtherFormat(UserError):
    """Redis, or the model store, has a format that this release of seqd cannot read."""

    code = "other_format"


class WrongState(UserError):
    """The job is not in a state in which this can be done."""

    code = "wrong_state"


class ClientMisused(UserError):
    """A client, or an iterator of it, cannot be used here or any more."""

    code = "client_misused"


class InvalidSettings(UserError):
    """A setting, a slot or a port is wrong."""

    code = "invalid_settings"


class UnusableSlot(InvalidSettings):
    """A slot's device is not there, is hidden, is too small, or lacks what computes on it."""

    code = "unusable_slot"
    #: EX_CONFIG: no restart can mend that.
    exit_status = 78


class RedisUnreachable(UserError):
    """No Redis server answers."""

    code = "redis_unreachable"
    retryable = True

    def __init__(self, message: str, cause: str = "") -> None:
        """`cause` is why, as a sentence without advice, for a line of who goes on by itself."""
        super().__init__(message)
        self.cause = cause or message


class JobOutOfReach(RedisUnreachable):
    """Redis was away for too long while somebody waited for a job, which goes on by itself."""

    code = "job_out_of_reach"
    #: EX_TEMPFAIL: a script tells a job that goes on from one that has to be sent again.
    exit_status = 75

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class RedisRefused(UserError):
    """The Redis server wants another password or user, or a certificate is not accepted."""

    code = "redis_refused"


class RedisNoPermission(RedisRefused):
    """The user of the Redis server lacks the right to a command or to a key."""

    code = "redis_no_permission"


class PortTaken(UserError):
    """Another program listens on the port."""

    code = "port_taken"


class RedisFull(SeqdError):
    """The Redis server's memory is used up."""

    code = "redis_full"
    exit_status = 2
    retryable = True

    def __init__(self, message: str, cause: str = "") -> None:
        """`cause` is why, as a sentence without advice, for a line of who waits."""
        super().__init__(message)
        self.cause = cause or message


class InboxFull(SeqdError):
    """The inbox has as many entries as the operator allows."""

    code = "inbox_full"
    exit_status = 2
    retryable = True

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class JobFailed(SeqdError):
    """A job ended without success; `failure` says why."""

    code = "job_failed"

    def __init__(self, job_id: str, failure: "Failure") -> None:
        super().__init__(failure.message)
        self.job_id = job_id
        self.failure = failure


class JobCancelled(SeqdError):
    """A job was cancelled while somebody waited for it."""

    code = "job_cancelled"


class JobExpired(SeqdError):
    """A job's time ran out before it was done."""

    code = "job_expired"


class CheckpointDamaged(SeqdError):
    """A training's checkpoints are there and cannot be gone on from."""

    code = "checkpoint_damaged"


class PluginFault(SeqdError):
    """A plugin raised, or broke its contract."""

    code = "plugin_fault"


class VersionDiffers(PluginFault):
    """A version that was trained is another once it was saved and loaded."""

    code = "version_differs"


class NameTaken(PluginFault):
    """A plugin brings a model, or has a name, that another plugin has."""

    code = "name_taken"


class PluginForked(PluginFault):
    """A plugin forked its process in a call, and came back in the copy too, which ends here."""

    code = "plugin_forked"


class PluginEnded(SeqdError):
    """The process that has a plugin, which its author tries, has ended in the middle of a call."""

    code = "plugin_ended"


class ArtifactDamaged(SeqdError):
    """A stored model is not what its manifest says."""

    code = "artifact_damaged"
    exit_status = 2


class StoreUnwritable(SeqdError):
    """The model store takes no file: the disk is full, or the folder may not be written."""

    code = "store_unwritable"
    retryable = True


class StoreUnreachable(StoreUnwritable):
    """A bucket, of the model store or of data, does not answer or wants other credentials."""

    code = "store_unreachable"


class FilesUnusable(SeqdError):
    """The place of uploaded files is away or full, or may not be written."""

    code = "files_unusable"
    retryable = True


class LibraryMissing(SeqdError):
    """A library that this needs is not installed here, such as Keras."""

    code = "no_library"
    exit_status = 2


class NoFitWorker(SeqdError):
    """No worker that is up can run what a job needs; the message has the reason of each."""

    code = "no_fit_worker"
    retryable = True


class OrderUnfinished(SeqdError):
    """A worker had not carried an order out when the time of its client was over; it goes on."""

    code = "order_unfinished"
    #: EX_TEMPFAIL: it goes on, and its end can be looked up.
    exit_status = 75
    retryable = True


class NoWorker(SeqdError):
    """No worker could run a job for as long as somebody wanted to wait for one; the job stays."""

    code = "no_worker"
    #: EX_TEMPFAIL: the job goes on by itself when a worker comes.
    exit_status = 75
    retryable = True

    def __init__(self, job_id: str, waiting: "Waiting", waited_s: float) -> None:
        """`waiting` has the reason, `waited_s` is for how long it was waited."""
        super().__init__(
            f"No worker could run job {job_id} for {waited_s:g} s. {waiting.message} It stays, "
            f"and goes on when one can: seqd jobs watch {job_id}. To cancel it: seqd jobs cancel "
            f"{job_id}"
        )
        self.job_id = job_id
        self.waiting = waiting


class WorkersNotReady(SeqdError):
    """Workers that a command has started were not ready when its time was over."""

    code = "workers_not_ready"
    retryable = True


class DeviceUnavailable(SeqdError):
    """A slot's device is there and cannot be computed on now: others have it, or it is sick."""

    code = "device_unavailable"
    #: EX_UNAVAILABLE: another start may find it well.
    exit_status = 69
    retryable = True


class DeviceLost(DeviceUnavailable):
    """A slot's device fell off the bus, or has errors that only a reset mends."""

    code = "device_lost"
    #: EX_OSERR: another start is of use only once the driver sees the device again.
    exit_status = 71


class WorkerUnfit(SeqdError):
    """This worker cannot run a version now, so its units are released; no item is to blame."""

    code = "worker_unfit"


class LeaseLost(SeqdError):
    """The unit now belongs to another worker, or its job has ended; nothing may be written."""

    code = "lease_lost"


class Stopped(SeqdError):
    """Work ended early because it was asked to; there is no result."""

    code = "stopped"


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
