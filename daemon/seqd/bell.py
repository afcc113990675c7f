"""Rings for the workers of a route: one Celery message, which carries nothing.

A bell may be lost, doubled or late: whoever hears it looks at the ledger, and a reconciler
rings again for work that nobody looks after. Celery is imported at the first ring, so that
`import seqd.client` stays quick.
"""

import logging
from threading import Lock
from typing import Protocol, cast

from seqd.settings import Settings
from seqd_schemas import bell_queue

log = logging.getLogger(__name__)

#: Name of the only Celery task that there is.
DOORBELL = "seqd.doorbell"


class _Publisher(Protocol):
    def send_task(self, name: str, *, args: list[str], queue: str, ignore_result: bool) -> object:
        """Publish a Celery message."""


def broker_settings(redis_url: str, prefix: str) -> dict[str, object]:
    """Give the Celery settings that whoever rings and whoever listens must share."""
    return {
        "broker_url": _kombu_url(redis_url),
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "global_keyprefix": f"{prefix}:",
            # A priority is a list of its own in Redis; classes of work live in the ledger.
            "priority_steps": [0],
            # Only rings a bell again, so the value hardly matters.
            "visibility_timeout": 3600,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    }


class Bell:
    """Rings. Safe to share between threads."""

    def __init__(self, redis_url: str, settings: Settings) -> None:
        self._redis_url = redis_url
        self._prefix = settings.prefix
        self._lock = Lock()
        self._publisher: _Publisher | None = None

    def ring(self, route: str) -> None:
        """Wake one worker of a route. A ring that fails is logged: the reconciler rings again."""
        from kombu.exceptions import OperationalError

        try:
            publisher = self._open()
            publisher.send_task(DOORBELL, args=[], queue=bell_queue(route), ignore_result=True)
        except OperationalError as error:
            log.warning("could not ring for route=%s: %s", route, error)

    def _open(self) -> _Publisher:
        with self._lock:
            if self._publisher is None:
                from celery import Celery

                app = Celery("seqd", set_as_current=False)
                app.conf.update(broker_settings(self._redis_url, self._prefix))
                self._publisher = cast(_Publisher, app)
            return self._publisher


def _kombu_url(redis_url: str) -> str:
    """Celery names a Unix socket `redis+socket://`, redis-py names it `unix://`."""
    return redis_url.replace("unix://", "redis+socket://", 1)
