"""Makes Celery's connection to Redis bear with messages that are none, and with a Redis in trouble.

Anyone who can write to Redis can push anything into a queue. As kombu comes, a message that is
not JSON, or not of its shape, ends the worker with an exception, and one with a `compression`
header is inflated without a limit. A wakeup carries nothing, so what is odd can be thrown away.
A Redis that cannot do something just now ends the worker too, unless it counts as a connection
that broke. Called once by `celery_app`, in the worker's parent. What else changes kombu is in
`acknowledging`.
"""

import logging
from collections.abc import Mapping

from kombu import compression
from kombu.transport import redis
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004 - redis-py's

from seqd.ledger.redis import transient_error

log = logging.getLogger(__name__)

#: What kombu and Celery raise over a message that they cannot read.
_NO_MESSAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


_parse_response = redis.GlobalKeyPrefixMixin.parse_response


def distrust_messages() -> None:
    """Have this process throw away messages that cannot be read, and inflate none.

    And have it connect anew where Redis cannot do something just now.
    """
    redis.Transport.Channel = DistrustfulChannel
    redis.GlobalKeyPrefixMixin.parse_response = _break_if_in_trouble  # type: ignore[method-assign,assignment]
    for content_type in compression.encoders():  # type: ignore[no-untyped-call]
        compression.register(_refuse, _refuse, content_type)  # type: ignore[no-untyped-call]


class DistrustfulChannel(redis.Channel):
    """A channel on which a bad message costs itself only."""

    def _brpop_read(self, **options: object) -> bool | None:
        """Hand over the message that has come; throw it away if it is none.

        It has left its queue by then. What was noted down as unacknowledged goes too, or it
        would count as a wakeup that is being answered, and no other would be heard.
        """
        known = set(self._unacknowledged())
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        except _NO_MESSAGE as error:
            log.warning("threw away a message that is no wakeup: %.200r", error)
            for tag in set(self._unacknowledged()) - known:
                self.qos.reject(tag, requeue=False)
            return True
        except ResponseError as error:
            if "WRONGTYPE" not in str(error) or not self._remove_false_queues():
                raise
            return True

    def _remove_false_queues(self) -> bool:
        """Delete what stands under a queue's name and is no list; False if nothing does."""
        removed = False
        with self.conn_or_acquire() as client:
            for queue in self.active_queues:
                # kombu puts the prefix in front of some commands' keys, and TYPE is not among them.
                kind = client.execute_command("TYPE", f"{self.global_keyprefix}{queue}")
                if kind not in (b"list", b"none", "list", "none"):
                    log.warning("deleted %s, which is no queue but a %s", queue, kind)
                    removed = bool(client.delete(queue)) or removed
        return removed

    def _unacknowledged(self) -> Mapping[str, object]:
        delivered: Mapping[str, object] = self.qos._delivered
        return delivered


def _break_if_in_trouble(
    client: redis.GlobalKeyPrefixMixin,
    connection: AbstractConnection,
    command_name: str,
    **options: object,
) -> object:
    """Read an answer. What passes by itself, such as a failover, breaks the connection."""
    try:
        return _parse_response(  # type: ignore[no-untyped-call]
            client, connection, command_name, **options
        )
    except ResponseError as error:
        if transient_error(error) is None:
            raise
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise ConnectionError(f"Redis cannot do this just now: {str(error).rstrip('.')}") from error


def _refuse(body: bytes) -> bytes:
    raise ValueError(f"a wakeup of {len(body)} bytes is compressed; wakeups carry nothing")
