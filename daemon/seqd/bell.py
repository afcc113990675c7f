"""Rings for the workers of a route: one Celery message, which carries nothing.

A bell may be lost, doubled or late: whoever hears it looks at the ledger, and a reconciler
rings again for work that nobody looks after. Celery is imported at the first ring, so that
`import seqd.client` stays quick.
"""

import logging
import math
from threading import Lock
from typing import Protocol, cast

from seqd.settings import Settings
from seqd_schemas import bell_queue

log = logging.getLogger(__name__)

#: Seconds that whoever hands a job in waits for a Redis that hangs, for each step of a ring. A
#: ring that is lost costs less: the reconciler rings again within seconds.
RING_TIMEOUT_S = 2.0

#: Name of the only Celery task that there is.
DOORBELL = "seqd.doorbell"


class _Publisher(Protocol):
    def send_task(self, name: str, *, args: list[str], queue: str, ignore_result: bool) -> object:
        """Publish a Celery message."""

    def close(self) -> None:
        """Give up its connections."""


def broker_settings(
    redis_url: str, settings: Settings, *, longest_timeout_s: float = math.inf
) -> dict[str, object]:
    """Give the Celery settings that whoever rings and whoever listens must share."""
    timeout_s = min(settings.redis_timeout_s, longest_timeout_s)
    return {
        "broker_url": _kombu_url(redis_url),
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "global_keyprefix": f"{settings.prefix}:",
            # A priority is a list of its own in Redis; classes of work live in the ledger.
            "priority_steps": [0],
            # Only rings a bell again, so the value hardly matters.
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": min(5.0, timeout_s),
            "socket_keepalive": True,
            # A listener whose connection is half open finds that out within twice this, and a
            # second: the longest that Celery's BRPOP waits.
            "health_check_interval": math.ceil(timeout_s),
        },
    }


class Bell:
    """Rings. Safe to share between threads."""

    def __init__(self, redis_url: str, settings: Settings) -> None:
        self._redis_url = redis_url
        self._settings = settings
        self._lock = Lock()
        self._publisher: _Publisher | None = None

    def ring(self, route: str) -> None:
        """Wake one worker of a route.

        Where Redis hangs, it gives up after two tries, a few times `RING_TIMEOUT_S` together. A
        ring that fails is logged: the reconciler rings again.
        """
        from kombu.exceptions import OperationalError

        try:
            if not self._try(route, OperationalError):
                # The connection may have been an old one, which broke while nobody used it.
                self._send(route)
        except OperationalError as error:
            log.warning("could not ring for route=%s: %s", route, error)
        except Exception:
            # The job that this rings for is in the ledger: no fault in here may be taken for its.
            log.exception("could not ring for route=%s", route)

    def _try(self, route: str, broken: type[Exception]) -> bool:
        try:
            self._send(route)
        except broken as error:
            log.debug("ringing again for route=%s: %s", route, error)
            return False
        return True

    def _send(self, route: str) -> None:
        publisher = self._open()
        try:
            publisher.send_task(DOORBELL, args=[], queue=bell_queue(route), ignore_result=True)
        except BaseException:
            self._forget(publisher)
            raise

    def _forget(self, publisher: _Publisher) -> None:
        """Make a new publisher for the next ring.

        After a broken connection kombu keeps a producer on the closed channel, and the next ring
        by it ends with an AttributeError (5.7.0; test_redis_lost_replies).
        """
        with self._lock:
            if self._publisher is publisher:
                self._publisher = None
        publisher.close()

    def _open(self) -> _Publisher:
        with self._lock:
            if self._publisher is None:
                from celery import Celery

                app = Celery("seqd", set_as_current=False)
                app.conf.update(
                    broker_settings(
                        self._redis_url, self._settings, longest_timeout_s=RING_TIMEOUT_S
                    ),
                    task_publish_retry=False,  # `ring` does, with a new publisher
                )
                self._publisher = cast(_Publisher, app)
            return self._publisher


def _kombu_url(redis_url: str) -> str:
    """Celery names a Unix socket `redis+socket://`, redis-py names it `unix://`."""
    return redis_url.replace("unix://", "redis+socket://", 1)
