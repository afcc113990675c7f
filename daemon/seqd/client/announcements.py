"""Ends of a client's own jobs, as its completion stream announces them: one read for all that wait.

The stream is a hint. Whoever waits looks at the job itself now and then.
"""

import logging
from collections import OrderedDict
from time import monotonic

from seqd.errors import SeqdError
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange, Pause, Signal, Start, Until
from seqd.ledger.jobs import LOOK_S

log = logging.getLogger(__name__)

#: Ends that are remembered of jobs that nobody has waited for yet.
MAX_ENDED = 100_000

#: Seconds for which the stream is read though no job is expected: the next one comes soon.
LINGER_S = 5.0

#: Seconds between two tries to read it.
RETRY_S = 0.5


class Announcements:
    """What a client hears of the ends of its jobs."""

    def __init__(self, ledger: LedgerParts, stream: str) -> None:
        """`stream` names the client's completion stream."""
        self._ledger = ledger
        self._signal = ledger.driver.signal
        self.stream = stream
        #: Jobs that have not ended, each with what wakes those that wait for it.
        self._expected = dict[str, Signal]()
        self._ended = OrderedDict[str, None]()
        self._is_reading = False
        self._used_s = 0.0

    def expect(self, job_id: str) -> Exchange[None]:
        """Listen for the end of a job, which is about to be sent."""
        self._expected[job_id] = self._signal()
        self._used_s = monotonic()
        if not self._is_reading:
            self._is_reading = True
            yield Start(self._read(), "seqd-completions", is_daemon=True)

    def has_ended(self, job_id: str) -> bool:
        """Return True once the end of a job was announced."""
        return job_id in self._ended

    def wait(self, job_id: str, wait_s: float) -> Exchange[bool]:
        """Wait until the end of a job is announced, at most `wait_s` seconds."""
        signal = self._expected.get(job_id)
        if signal is None:
            return True
        return bool((yield Until(signal, lambda: job_id in self._ended, wait_s)))

    def forget(self, job_id: str) -> None:
        """Stop listening for a job."""
        self._expected.pop(job_id, None)
        self._ended.pop(job_id, None)

    def _read(self) -> Exchange[None]:
        place = "0-0"
        try:
            while self._expected or monotonic() - self._used_s < LINGER_S:
                try:
                    place, jobs = yield from self._ledger.jobs.completions.steps(
                        self.stream, place, longest_wait_s=LOOK_S
                    )
                except SeqdError as error:
                    log.debug("completions are not read: %s", error)
                    yield Pause(RETRY_S)
                    continue
                for job_id in jobs:
                    self._note_end(job_id)
        finally:
            self._is_reading = False

    def _note_end(self, job_id: str) -> None:
        signal = self._expected.pop(job_id, None)
        if signal is None:
            return
        self._ended[job_id] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        signal.notify_all()
