"""The Celery application of a worker, and its connection to Redis.

Celery on Redis may lose or double a message, so a message carries nothing that matters: it only
says that there is something to claim in the ledger. As kombu comes, three things end or stop the
worker that should cost one message or one connection; they are changed here:

- Anyone who can write to Redis can push a message. One that is not of its shape ends the worker,
  one with a `compression` header is inflated without a limit, and the headers of others have Celery
  kill the child (`timelimit`), keep the message for years (`eta`) or send tasks (`chain`). So
  nothing of a message is read: what comes out of a queue of wakeups is replaced by a wakeup.
- A Redis that cannot do something just now, during a failover or without memory, ends the worker.
- A message whose acknowledgement was lost counts as being worked on for ever (kombu 5.7 logs
  "Couldn't ack"); with a prefetch of one the worker then receives no other and looks healthy.
"""

import logging
import warnings
from collections.abc import Callable
from importlib import import_module
from time import sleep
from types import ModuleType

from celery import Celery
from celery.loaders.app import AppLoader
from celery.signals import setup_logging
from celery.worker.consumer import Consumer
from celery.worker.consumer import consumer as celery_consumer
from celery.worker.state import maybe_shutdown
from kombu.connection import Connection
from kombu.transport import redis, virtual
from redis import Redis
from redis.client import Pipeline
from redis.connection import AbstractConnection
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - redis-py's
    NoPermissionError,
    ResponseError,
)

from seqd.ledger.outage import Outage, Trouble
from seqd.ledger.redis import trouble_of
from seqd.ledger.sentinel import PrimaryConnection, PrimaryTlsConnection
from seqd.ledger.wakeup import broker_settings, wakeup_message
from seqd.settings import Settings
from seqd.worker.logs import configure_logging
from seqd.worker.pool import START_LIMIT_S, ChildPool
from seqd_schemas import wakeup_queue

log = logging.getLogger(__name__)

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
    """Celery's consumer, which listens again soon after Redis is back.

    Celery's own waits up to 30 s between two tries to connect, the longer the longer an outage has
    taken: a Redis that was away for half a minute was listened to 10 s after its return.
    """

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


def _says_more(record: logging.LogRecord) -> bool:
    """Return False for what Celery logs of an outage: `seqd.ledger.outage` has two lines of it."""
    return not record.getMessage().startswith(_REPEATS)


#: What kombu raises over an unacknowledged message that it cannot read.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class _Denials:
    """Has the outage of the worker, by which the log tells of rights that are missing."""

    outage = Outage()


_parse_response = redis.GlobalKeyPrefixMixin.parse_response


def create_app(redis_url: str, settings: Settings, outage: Outage | None = None) -> Celery:
    """Return the application that a node listens with; changes kombu in this process.

    `outage` logs when a right is missing.
    """
    _Denials.outage = outage or Outage()
    setup_logging.connect(configure_logging)
    redis.Transport.Channel = TolerantChannel
    redis.SentinelTransport.Channel = TolerantSentinelChannel
    redis.Channel.QoS = TolerantQoS
    redis.GlobalKeyPrefixMixin.parse_response = _answer_of  # type: ignore[method-assign,assignment]
    logging.getLogger(celery_consumer.__name__).addFilter(_says_more)
    # A class: of a name Celery would look for its module in the working folder, too.
    app = Celery("seqd", loader=PathLoader)
    app.conf.update(broker_settings(redis_url, settings))
    app.conf.update(
        imports=["seqd.worker.wakeups"],
        # A busy worker hoards nothing: a wakeup that it cannot answer goes to another.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        # The ledger retries, not the broker: with this on, a unit that kills its process is
        # redelivered three times a second for ever.
        task_reject_on_worker_lost=False,
        task_retry_on_worker_lost=False,
        # With this on, a Redis restart loses the message for good.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_consumer=f"{ReconnectingConsumer.__module__}:{ReconnectingConsumer.__name__}",
        worker_pool=f"{ChildPool.__module__}:{ChildPool.__name__}",
        worker_concurrency=1,
        # A forked child would inherit dead thread pools; a spawned one gets the slot's
        # environment before any library is imported.
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=START_LIMIT_S,
        # Until then a dead child's wakeup counts as being answered, so the new child gets none.
        # The default of 10 s waits for a result that may be on its way; a wakeup has none.
        worker_lost_wait=0.5,
        # Slices are bounded by us; a hard limit would acknowledge the wakeup and drop it.
        task_time_limit=None,
        broker_connection_max_retries=None,
        worker_send_task_events=False,
        # Whoever can reach Redis could shut workers down by it; what steers them is the ledger.
        worker_enable_remote_control=False,
    )
    return app


class PathLoader(AppLoader):  # type: ignore[misc] # Celery has no types
    """Imports from the path alone, where Celery's own loaders look into the working folder first.

    There may be a clone in a folder `seqd`, or a module with the name of a library.
    """

    def import_from_cwd(
        self,
        module: str,
        imp: Callable[..., ModuleType] | None = None,
        package: str | None = None,
    ) -> ModuleType:
        """Import a module; overrides Celery's."""
        return (imp or import_module)(module, package=package)


class TolerantConnection:
    """A connection that counts as broken while the user may not choose its database."""

    def connect(self) -> None:
        """Connect, and wait for the right to do so like for a server that is away."""
        try:
            super().connect()  # type: ignore[misc]
        except NoPermissionError as error:
            raise _broken_by(error) from error


class TolerantChannel(redis.Channel):
    """A channel whose unacknowledged messages are wakeups again when they are queued anew."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, object]:
        """Return how to connect: with the protocol that the ledger's connections have, too.

        The newer one begins with HELLO, which Redis 6.2 permits by the rights of the default user.
        """
        settings = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        kind = settings["connection_class"]
        tolerant = type(kind.__name__, (TolerantConnection, kind), {})
        return {**settings, "protocol": 2, "connection_class": tolerant}

    def _do_restore_message(
        self,
        payload: object,
        exchange: object,
        routing_key: object,
        pipe: Pipeline,
        leftmost: bool = False,
    ) -> None:
        """Queue an unacknowledged message again, as a wakeup of the queue that it came from."""
        first = wakeup_queue("")
        if not isinstance(routing_key, str) or not routing_key.startswith(first):
            raise ValueError(f"it is of the queue {routing_key!r:.200}")
        push = pipe.lpush if leftmost else pipe.rpush
        push(routing_key, wakeup_message(routing_key.removeprefix(first)))


class TolerantSentinelChannel(TolerantChannel, redis.SentinelChannel):
    """The same on the primary that Sentinels watch."""

    connection_class = PrimaryConnection
    connection_class_ssl = PrimaryTlsConnection  # type: ignore[assignment] # kombu's is another


class TolerantQoS(redis.QoS):
    """Counts a message as done whose acknowledgement got no answer.

    At worst it is still in Redis and comes again after the visibility timeout, which is harmless.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; what breaks here breaks where Celery listens, too.

        Celery would log it here with a traceback of a hundred lines.
        """
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except Exception as error:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            if trouble_of(error) is None:
                raise

    def restore_by_tag(
        self, tag: str | bytes, client: Redis | None = None, leftmost: bool = False
    ) -> None:
        """Queue an unacknowledged message again; drop one that cannot be read.

        Else it would be tried, and logged, again and again.
        """
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except _UNREADABLE as error:
            log.warning("dropped an unacknowledged message that is no wakeup: %.200s", error)
            self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]


def _answer_of(
    client: redis.GlobalKeyPrefixMixin,
    connection: AbstractConnection,
    command_name: str,
    **options: object,
) -> object:
    """Return an answer: to BRPOP, by which kombu reads its queues, a wakeup.

    An error that passes by itself, as of a full server, disconnects: Celery connects anew after a
    connection that broke, and ends on any other error.
    """
    try:
        answer: object = _parse_response(  # type: ignore[no-untyped-call]
            client, connection, command_name, **options
        )
    except ResponseError as error:
        if trouble_of(error) is None:
            raise
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise _broken_by(error) from error
    if command_name == "BRPOP" and isinstance(answer, tuple):
        queue = answer[0]
        return queue, wakeup_message(queue.decode().removeprefix(wakeup_queue("")))
    return answer


def _broken_by(error: ResponseError) -> ConnectionError:
    """Return the error for a connection that is of no use just now; a denial is logged once."""
    if trouble_of(error) is Trouble.DENIED and _Denials.outage.bears_denial:
        _Denials.outage.begin(Trouble.DENIED, error)
    return ConnectionError(f"Redis cannot do this just now: {str(error).rstrip('.')}")
