"""Makes Celery's connection to Redis bear with messages that are none.

Anyone who can write to Redis can push anything into a queue. As kombu comes, a message that is
not JSON, or not of its shape, ends the worker with an exception, and one with a `compression`
header is inflated without a limit. A bell carries nothing, so what is odd can be thrown away.
Called once by `celery_app`, in the worker's parent. What else changes kombu is in `acknowledging`.
"""

import logging
from collections.abc import Mapping

from kombu import compression
from kombu.transport import redis
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)

#: What kombu and Celery raise over a message that they cannot read.
_NO_MESSAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def distrust_messages() -> None:
    """Have this process throw away messages that cannot be read, and inflate none."""
    redis.Transport.Channel = DistrustfulChannel
    for content_type in compression.encoders():  # type: ignore[no-untyped-call]
        compression.register(_refuse, _refuse, content_type)  # type: ignore[no-untyped-call]


class DistrustfulChannel(redis.Channel):
    """A channel on which a bad message costs itself only."""

    def _brpop_read(self, **options: object) -> bool | None:
        """Hand over the message that has come; throw it away if it is none.

        It has left its queue by then. What was noted down as unacknowledged goes too, or it
        would count as a bell that is being answered, and no other would be heard.
        """
        known = set(self._unacknowledged())
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        except _NO_MESSAGE as error:
            log.warning("threw away a message that is no bell: %.200r", error)
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


def _refuse(body: bytes) -> bytes:
    raise ValueError(f"a bell of {len(body)} bytes is compressed; bells carry nothing")
