"""Sends an input of any length into the ledger, chunk by chunk, from a thread of its own.

Holds one chunk at a time. When the workers are behind, the ledger says `full` and the upload
waits; when the job ends, it stops. An exception of the caller's own iterable fails the job and
is raised again in whoever waits for it.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event, Thread
from time import monotonic

from seqd.errors import (
    InvalidData,
    QuotaExceeded,
    RedisFull,
    RedisUnreachable,
    SeqdError,
    failure_of,
)
from seqd.ledger import Ledger
from seqd.ledger.submissions import lost_units
from seqd_schemas import Failure, ItemChunk, Job, TextChunk

log = logging.getLogger(__name__)

#: Seconds for which a caller that is on its way out waits for its own iterable.
GIVE_UP_S = 5.0

#: Seconds between two tries while the workers are behind: twice as long each time, since a chunk
#: is sent anew at each.
FULL_WAIT_S = 0.05
LONGEST_FULL_WAIT_S = 1.0

#: Seconds for which the data of a training waits for room.
PATIENCE_S = 60.0

#: Seconds between two tries while Redis is away or full (SEQD_OUTAGE_S says for how long).
OUTAGE_WAIT_S = 0.5


class Upload:
    """The rest of a job's input on its way into the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        job_id: str,
        chunks: Iterator[ItemChunk | TextChunk],
        first_unit: int,
    ) -> None:
        self._ledger = ledger
        self._job = job
        self._job_id = job_id
        self._chunks = chunks
        self._unit = first_unit
        self._ended = Event()
        self._sealed = False
        self._error: BaseException | None = None
        # Not a daemon thread: leaving the program before the input is complete would leave
        # a job behind that can never end.
        self._thread = Thread(target=self._run, name=f"seqd-upload-{job_id}")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def give_up(self, error: BaseException | None = None) -> None:
        """Stop as soon as possible: the job is about to be cancelled, or fails with `error`."""
        self._ended.set()
        if error is not None:
            # An iterable of the caller's that never gives another item must not hold it up.
            self.join(GIVE_UP_S)
            if not self._sealed:
                self._fail(error)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the input is complete or the job has ended."""
        self._thread.join(timeout_s)

    @property
    def is_running(self) -> bool:
        """True while there is more to send."""
        return self._thread.is_alive()

    def raise_error(self) -> None:
        """Raise what the caller's iterable, or the sending, raised; the job has ended by then."""
        if self._error is not None:
            self._thread.join()
            raise self._error

    def _run(self) -> None:
        try:
            if self._send_all():
                self._sealed = self._patiently(self._seal)
        except BaseException as error:  # noqa: BLE001
            # Kept for the thread that waits: a thread's own traceback would reach nobody. Before
            # the job ends, or that thread would be told of the failed job alone.
            self._error = error
            self._fail(error)

    def _send_all(self) -> bool:
        """Send chunk after chunk; False when the job ended first."""
        for chunk in self._chunks:
            wait_s = FULL_WAIT_S
            deadline = monotonic() + PATIENCE_S
            while not self._patiently(partial(self._send, chunk)):
                self._refuse_to_wait_in_vain(deadline)
                if self._ended.wait(wait_s):
                    return False
                wait_s = min(2 * wait_s, LONGEST_FULL_WAIT_S)
            if self._ended.is_set():
                return False
            self._unit += 1
        return True

    def _refuse_to_wait_in_vain(self, deadline: float) -> None:
        """Fail a training whose tenant, or Redis, has had no room for a minute.

        Workers make room for the rest of a bulk job; nothing takes a training set out again.
        """
        if self._job.kind == "train" and monotonic() >= deadline:
            raise QuotaExceeded(
                f"There was no room for the rest of the training data for {PATIENCE_S:g} s: Redis "
                f"or tenant {self._job.tenant!r} has too much waiting. Put the data into a file "
                "that the workers can read, and name the file, or try again later.",
                PATIENCE_S,
            )

    def _seal(self) -> bool:
        return self._ledger.submissions.seal(self._job, self._job_id, self._unit)

    def _patiently(self, step: Callable[[], bool]) -> bool:
        """Take a step again while Redis is away; a step that was taken already does nothing."""
        deadline = monotonic() + self._ledger.outage_s
        while True:
            try:
                return step()
            except (RedisUnreachable, RedisFull) as error:
                if monotonic() >= deadline or self._ended.wait(OUTAGE_WAIT_S):
                    raise
                log.warning("job=%s: upload waits: %s", self._job_id, error)

    def _send(self, chunk: ItemChunk | TextChunk) -> bool:
        """Send one chunk; False when it must be sent again later."""
        outcome = self._ledger.submissions.append(self._job, self._job_id, self._unit, chunk)
        if outcome == "too_large":
            raise InvalidData(
                "the training data does not fit into the ledger (SEQD_MAX_PENDING_BYTES); put it "
                "into a file that the workers can read, and name the file"
            )
        if outcome == "behind":
            raise lost_units(self._job_id, self._unit)
        if outcome == "ended":
            self._ended.set()
        return outcome == "added"

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, SeqdError):
            failure = failure_of(error)
        else:
            reason = f"The input broke off after unit {self._unit}: {type(error).__name__}: {error}"
            failure = Failure(code="upload_failed", message=reason[:4_096])
        try:
            self._ledger.control.fail(self._job_id, failure)
        except SeqdError as also:
            # The reconciler ends the job when no chunk has come for long enough.
            log.warning("job=%s could not be ended: %s", self._job_id, also)
