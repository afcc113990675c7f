"""How a listener comes back after its connection to Redis broke.

Celery waits 2, 4, 6 and up to 30 s between two tries to connect, and longer the longer an outage
has taken: a Redis that was away for half a minute was listened to 10 s after its return. It also
writes a line for each try, and a traceback where Redis breaks the new connection, too; the outage
has its two lines in the log already, from `seqd.ledger.outage`.
"""

import logging
import warnings
from time import sleep

from celery.worker.consumer import Consumer
from celery.worker.consumer import consumer as celery_consumer
from celery.worker.state import maybe_shutdown
from kombu.connection import Connection

#: Seconds between two tries to connect, which grow by the first.
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 0.5

#: Seconds before a connection is made anew that broke. Celery takes more than five breaks in a
#: second for a fault, as a read-only Redis would cause them.
BREAK_WAIT_S = 0.25

#: How the lines of Celery begin that say nothing new.
_REPEATS = tuple(
    text.partition("%")[0].strip()
    for text in (celery_consumer.CONNECTION_RETRY, celery_consumer.CONNECTION_ERROR)
)


class ReconnectingConsumer(Consumer):  # type: ignore[misc] # Celery has no types
    """Celery's consumer, which listens again soon after Redis is back."""

    def ensure_connected(self, conn: Connection) -> Connection:
        """Return the connection once it is made, however long that takes."""
        conn.ensure_connection(  # type: ignore[no-untyped-call]
            None,
            None,
            interval_start=FIRST_WAIT_S,
            interval_step=FIRST_WAIT_S,
            interval_max=LONGEST_WAIT_S,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        return conn

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait a moment: it broke at the first command, as on a full Redis."""
        super().on_connection_error_before_connected(exc)
        sleep(BREAK_WAIT_S)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close what broke, and wait a moment."""
        with warnings.catch_warnings():
            # Celery announces a default of its next release at each break.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        sleep(BREAK_WAIT_S)


def silence_repeats() -> None:
    """Leave out what Celery logs of an outage."""
    logging.getLogger(celery_consumer.__name__).addFilter(_says_more)


def _says_more(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_REPEATS)
