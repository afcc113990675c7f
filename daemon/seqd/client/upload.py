"""Sends an input of any length into the ledger, chunk by chunk, beside whoever reads results.

In a thread of its own, or in a task of asyncio. Holds one chunk at a time. When the workers are
behind, or Redis is full, the upload waits for as long as that lasts; when the job ends, it stops.
An exception of the caller's own iterable fails the job and is raised again in whoever waits for it.

A job is owned by the upload that created it. An upload for a job that was there already, since
its idempotency key or identifier was used before, only follows: it compares its input with that of
the job, and raises IdempotencyConflict where they differ. Whatever happens to it, the job goes on.
Where the owner has died, the next upload with the same input so far owns the job, and sends the
rest.
"""

import logging
import os
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from time import monotonic
from typing import Literal

from seqd.client.sources import Source
from seqd.errors import (
    IdempotencyConflict,
    InvalidData,
    QuotaExceeded,
    RedisFull,
    RedisUnreachable,
    SeqdError,
    failure_of,
)
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import PackedChunk
from seqd.ledger.digests import InputDigest
from seqd.ledger.exchange import Exchange, Signal, Start, Until
from seqd.ledger.submissions import Followed, conflict, lost_units, memory_short
from seqd_schemas import Failure, ItemChunk, Job, TextChunk, TrainJob

log = logging.getLogger(__name__)

#: Seconds for which a caller that is on its way out waits for its own iterable.
GIVE_UP_S = 5.0

#: Seconds between two tries while the workers, or the owner of the job, are behind: twice as long
#: each time, since a chunk is sent anew at each.
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0

#: Seconds for which the data of a training waits for room.
PATIENCE_S = 60.0

#: Seconds between two tries while Redis is away (SEQD_OUTAGE_S says for how long).
OUTAGE_WAIT_S = 0.5

#: Seconds after which an upload says again that it waits, for the same reason.
SAID_AGAIN_S = 60.0

#: Signs of life within the silence after which another client takes the job over.
HEARTBEATS_OF_SILENCE = 4

#: What a chunk, or the end of the input, has come to: go on, try again later, try again at once, or
#: send nothing more.
Step = Literal["done", "wait", "again", "stop"]


class Upload:
    """A job's input on its way into the ledger, or beside one that is there."""

    def __init__(
        self,
        ledger: LedgerParts,
        job: Job,
        job_id: str,
        source: Source,
        *,
        token: str,
        owns: bool,
        silence_s: float,
        head: Sequence[ItemChunk | TextChunk] = (),
        asked_id: str = "",
    ) -> None:
        """`head` and then `source` are the whole input, but for what `skip` is told of.

        `token` is what the ledger knows this upload by. After `silence_s` without a sign of life,
        an owner counts as dead. `asked_id` is the identifier that the caller
        wanted where the job was there already.
        """
        self._ledger = ledger
        self._job = job
        self._job_id = job_id
        self._asked_id = asked_id
        self._head = deque(head)
        self._source = source
        self._token = token
        self._owns = owns
        self._silence_s = silence_s
        self._digest = InputDigest(job)
        #: Units, and entries of them, that are in the ledger and known to be the same.
        self._unit = 0
        self._entries = 0
        #: What the job has, once no more comes: to be compared with what is sent.
        self._target: Followed | None = None
        #: True as long as somebody else's input may turn out to be another.
        self._compares = not owns
        #: True when all of the input is in the ledger: the job goes on without this upload.
        self._is_complete = False
        #: True when nothing more is to be sent, and when nothing is sent any more.
        self._is_ended = False
        self._is_finished = False
        self._waits_for_room = False
        #: When it was said last that it waits, by the code of the reason.
        self._said_at = dict[str, float]()
        self._signal = Signal()
        self._error: BaseException | None = None
        self._is_told = False
        self._pid = os.getpid()

    def start(self) -> Exchange[None]:
        """Begin."""
        # Not a daemon: leaving the program before the input is complete would leave a job behind
        # that can never end.
        yield Start(self._run(), f"seqd-upload-{self._job_id}")
        yield Start(self._show_life(), f"seqd-heartbeat-{self._job_id}", is_daemon=True)

    def skip(self, packed: PackedChunk) -> None:
        """Take a chunk as sent: the first, which came into the ledger with the job."""
        self._digest.add(packed)
        self._advance(packed.size)

    def compare_now(self) -> Exchange[None]:
        """Compare the input with that of a job that takes no more; raises IdempotencyConflict."""
        yield from self._send_all()
        yield from self._finish()

    def give_up(self, error: BaseException | None = None) -> Exchange[None]:
        """Stop as soon as possible: the job is about to be cancelled, or fails with `error`.

        Of a job that this upload does not own, it only stops to be compared. In a process that was
        forked meanwhile nothing is done: the upload is the other one's.
        """
        if not self._is_here():
            return
        self._stop()
        yield from self._source.finish()
        if error is not None:
            # An iterable of the caller's that never gives another item must not hold it up.
            yield from self.join(GIVE_UP_S)
            if not self._is_complete:
                yield from self._fail(error)

    def let_go(self, wait_s: float) -> Exchange[None]:
        """Send nothing more after `wait_s`; another upload of the same input may go on.

        At once while it waits for room, which workers make. It ends with its step, or with its wait
        for the caller's own iterable.
        """
        if self._is_here():
            yield Until(self._signal, lambda: self._is_finished or self._waits_for_room, wait_s)
        if not self._is_finished:
            self._owns = False
            self._stop()

    def join(self, timeout_s: float | None = None) -> Exchange[None]:
        """Wait until the input is complete or compared, or the job has ended."""
        if self._is_here():
            yield Until(self._signal, lambda: self._is_finished, timeout_s)

    @property
    def is_running(self) -> bool:
        """True while there is more to send or to compare."""
        return not self._is_finished and self._is_here()

    @property
    def has_untold_conflict(self) -> bool:
        """True when the input differs from that of the job and nobody has been told."""
        return isinstance(self._error, IdempotencyConflict) and not self._is_told

    def raise_error(self) -> Exchange[None]:
        """Raise what the caller's iterable, or the sending, raised; an owner's job has ended."""
        if self._error is not None:
            yield from self.join()
            self._is_told = True
            raise self._error

    def raise_untold_conflict(self) -> Exchange[None]:
        """Raise an IdempotencyConflict that nobody has been told of."""
        if self.has_untold_conflict:
            yield from self.raise_error()

    def is_compared(self, entries: int | None) -> bool:
        """Return True when so many entries, or all, are known to be those of the job."""
        return not self._compares or (entries is not None and self._entries >= entries)

    def is_clear(self, entries: int | None) -> bool:
        """Return True when so many entries, or all, are the job's, and nothing was raised."""
        return self._error is None and self.is_compared(entries)

    def wait_until_compared(
        self, entries: int | None, timeout_s: float | None = None
    ) -> Exchange[bool]:
        """Wait until so many entries, or all, are known to be those of the job; False if not yet.

        An owner's are. Raises what `raise_error` does.
        """

        def known() -> bool:
            return self.is_compared(entries)

        is_known = known() or bool((yield Until(self._signal, known, timeout_s)))
        yield from self.raise_error()
        return is_known

    def _run(self) -> Exchange[None]:
        try:
            yield from self._send_all()
            yield from self._finish()
        except GeneratorExit:  # nothing can be sent any more
            raise
        except BaseException as error:  # noqa: BLE001
            # Kept for whoever waits: a thread's own traceback would reach nobody. Before the job
            # ends, or they would be told of the failed job alone.
            if not isinstance(error, CancelledError):  # else nobody who waits is cancelled
                self._error = error
            if isinstance(error, IdempotencyConflict):
                log.warning("job=%s: %s", self._job_id, error)
            yield from self._fail(error)
        finally:
            self._is_finished = True
            self._note_progress(compares=False)
        yield from self._source.finish()

    def _is_here(self) -> bool:
        """Return False in a process that was forked from the one that sends."""
        return os.getpid() == self._pid

    def _stop(self) -> None:
        self._is_ended = True
        self._signal.notify_all()

    def _send_all(self) -> Exchange[None]:
        """Send or compare chunk after chunk, until the input ends or nothing more is to be sent."""
        while (chunk := (yield from self._next())) is not None:
            packed = PackedChunk(chunk)
            self._digest.add(packed)
            if not (yield from self._take(partial(self._send, packed))):
                self._stop()
                return
            self._advance(packed.size)
            if self._is_ended:
                return

    def _next(self) -> Exchange[ItemChunk | TextChunk | None]:
        return self._head.popleft() if self._head else (yield from self._source.next())

    def _advance(self, entries: int) -> None:
        self._unit += 1
        self._note_progress(entries)

    def _finish(self) -> Exchange[None]:
        """Say that the input is complete, or find that the job's is the same."""
        if not self._is_ended:
            self._is_complete = yield from self._take(self._seal)

    def _take(self, step: Callable[[], Exchange[Step]]) -> Exchange[bool]:
        """Take a step until it is done; False when it need not be, or the upload was given up."""
        wait_s = FIRST_WAIT_S
        deadline = monotonic() + PATIENCE_S
        while not self._is_ended:
            outcome = yield from self._patiently(step)
            if outcome in ("done", "stop"):
                return outcome == "done"
            if outcome == "wait":
                self._refuse_to_wait_in_vain(deadline)
                self._waits_for_room = True
                self._signal.notify_all()
                yield Until(self._signal, lambda: self._is_ended, wait_s)
                self._waits_for_room = False
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        return False

    def _patiently(self, step: Callable[[], Exchange[Step]]) -> Exchange[Step]:
        """Take a step again while Redis is away; a step that was taken already does nothing.

        A full one answers: there is no knowing for how long it stays full, so nothing fails by it.
        """
        deadline = monotonic() + self._ledger.outage_s
        while True:
            try:
                return (yield from step())
            except RedisFull as error:
                self._say_that_it_waits(error.code, f"for room: {error.cause} See: seqd doctor")
                return "wait"
            except RedisUnreachable as error:
                if monotonic() >= deadline:
                    raise
                if (yield Until(self._signal, lambda: self._is_ended, OUTAGE_WAIT_S)):
                    raise
                self._say_that_it_waits(error.code, f"for Redis: {error}")

    def _say_that_it_waits(self, code: str, what_for: str) -> None:
        """Say it once, and not at each try, nor whenever a chunk has got through."""
        now = monotonic()
        if now - self._said_at.get(code, -inf) >= SAID_AGAIN_S:
            self._said_at[code] = now
            log.warning("job=%s: its upload waits %s", self._job_id, what_for)

    def _refuse_to_wait_in_vain(self, deadline: float) -> None:
        """Fail a training whose tenant, or Redis, has had no room for a minute.

        Workers make room for the rest of a bulk job; nothing takes a training set out again.
        """
        if isinstance(self._job, TrainJob) and self._owns and monotonic() >= deadline:
            raise QuotaExceeded(
                f"There was no room for the rest of the training data for {PATIENCE_S:g} s: Redis "
                f"or tenant {self._job.tenant!r} has too much waiting. Put the data into a file "
                "that the workers can read, and name the file (seqd train --no-upload), or try "
                "again later.",
                PATIENCE_S,
            )

    def _send(self, packed: PackedChunk) -> Exchange[Step]:
        """Add the next unit to a job of this upload's own, or compare it with that of another."""
        if self._target is not None:
            return self._compare(self._target)
        if not self._owns:
            return (yield from self._follow(self._digest.hex(), packed.size))
        outcome = yield from self._ledger.submissions.append.steps(
            self._job,
            self._job_id,
            self._unit,
            packed,
            digest=self._digest.hex(),
            owner=self._token,
        )
        if outcome == "added":
            return "done"
        if outcome == "short":
            raise memory_short()
        if outcome == "full":
            return "wait"
        if outcome == "too_large":
            raise InvalidData(
                "the training data does not fit into the ledger (SEQD_MAX_PENDING_BYTES); put it "
                "into a file that the workers can read, and name the file (seqd train --no-upload)"
            )
        if outcome == "behind":
            raise lost_units(self._job_id, self._unit)
        return self._lose()

    def _seal(self) -> Exchange[Step]:
        """Seal a job of this upload's own, or find that another's has no more units than this."""
        if self._target is not None:
            return self._compare_end(self._target)
        if not self._owns:
            return (yield from self._follow("", 0))
        is_sealed = yield from self._ledger.submissions.seal.steps(
            self._job, self._job_id, self._unit, digest=self._digest.hex(), owner=self._token
        )
        return "done" if is_sealed else self._lose()

    def _lose(self) -> Step:
        """Go on as one that follows: the job has ended, or another upload has taken it over."""
        self._owns = False
        self._note_progress(compares=True)
        return "again"

    def _follow(self, digest: str, size: int) -> Exchange[Step]:
        """Compare the next unit, or with digest '' the end, with what the job has."""
        found = yield from self._ledger.submissions.follow.steps(
            self._job_id, self._unit, digest, self._token, self._silence_s
        )
        match found.outcome:
            case "same":
                return "done"
            case "wait":
                return "wait"
            case "taken":
                log.warning("job=%s: its client is silent; its upload goes on here", self._job_id)
                self._owns = True
                self._note_progress(compares=False)
                return "again"
            case "differs":
                raise self._conflict(self._where(size))
            case "behind":
                raise lost_units(self._job_id, self._unit)
            case "unknown":
                return "stop"
            case _:
                self._target = found
                return "again"

    def _compare(self, target: Followed) -> Step:
        """Compare a unit with a job that takes no more input."""
        if target.outcome == "complete":
            return "done"  # whether it is the same, the last one tells
        if self._unit >= target.units:
            return "stop"  # the job ended in front of it, and all that it has is the same
        if self._unit == target.units - 1 and self._digest.hex() != target.digest:
            raise self._conflict("has another input")
        return "done"

    def _compare_end(self, target: Followed) -> Step:
        """Compare the end of the input with a job that takes no more input."""
        is_same = target.digest == self._digest.hex() or (
            target.outcome == "ended" and target.units == self._unit
        )
        if not is_same:
            raise self._conflict("has another input")
        return "done"

    def _where(self, size: int) -> str:
        if size == 0:
            return f"has more input than the {self._entries:,} entries of this one"
        first, last = self._entries + 1, self._entries + size
        return f"has another input: it differs within the entries {first:,} to {last:,}"

    def _conflict(self, difference: str) -> IdempotencyConflict:
        return conflict(self._job, self._asked_id, self._job_id, difference)

    def _note_progress(self, entries: int = 0, *, compares: bool | None = None) -> None:
        if self._target is None:  # else nothing is known before the end
            self._entries += entries
        if compares is not None:
            self._compares = compares
        self._signal.notify_all()

    def _show_life(self) -> Exchange[None]:
        """Let other clients know that this one is alive, while its input is slow or has to wait."""
        pause_s = self._silence_s / HEARTBEATS_OF_SILENCE
        while not (yield Until(self._signal, lambda: self._is_finished, pause_s)):
            if not self._owns:
                continue
            try:
                yield from self._ledger.submissions.heartbeat.steps(self._job_id, self._token)
            except SeqdError as error:
                # The next one may come through; if not, another client goes on with the job.
                log.debug("job=%s: no sign of life: %s", self._job_id, error)

    def _fail(self, error: BaseException) -> Exchange[None]:
        """End a job of this upload's own whose input is not complete; any other goes on."""
        if not self._owns:
            return
        if isinstance(error, SeqdError):
            failure = failure_of(error)
        else:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, CancelledError):
                reason = "its upload was cancelled."
            elif isinstance(error, KeyboardInterrupt):
                reason = "its sender was interrupted."
            message = f"The input broke off after unit {self._unit}: {reason}"
            failure = Failure(code="upload_failed", message=message[:4_096])
        try:
            yield from self._ledger.control.fail_upload.steps(self._job_id, failure, self._token)
        except SeqdError as also:
            # The reconciler ends the job when no chunk has come for long enough.
            log.warning("job=%s could not be ended: %s", self._job_id, also)
