"""Rings for the workers of a route: one Celery message, which carries nothing.

A bell may be lost, doubled or late: whoever hears it looks at the ledger, and a reconciler
rings again for work that nobody looks after. The message is written as Celery and kombu write it
(protocol 2, in kombu's envelope for Redis), but without them: they take longer to import than
a client takes for all else.
"""

import base64
import json
import logging
import math
import uuid
from typing import TYPE_CHECKING, Final

from redis import Redis

from seqd.errors import SeqdError
from seqd.ledger.connection import connect, redis_errors
from seqd_schemas import bell_queue

if TYPE_CHECKING:
    from seqd.settings import Settings

log = logging.getLogger(__name__)

#: Seconds that whoever hands a job in waits for a Redis that hangs, for each step of a ring. A
#: ring that is lost costs less: the reconciler rings again within seconds.
RING_TIMEOUT_S = 2.0

#: Name of the only Celery task that there is.
DOORBELL = "seqd.doorbell"

#: Arguments, keywords and callbacks of a task: none.
_NO_ARGUMENTS: Final = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
_BODY: Final = base64.b64encode(json.dumps(_NO_ARGUMENTS).encode()).decode()


def broker_settings(redis_url: str, settings: "Settings") -> dict[str, object]:
    """Give the Celery settings of whoever listens; `wakeup_message` is written to fit them."""
    timeout_s = settings.redis_timeout_s
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
    """Rings. Safe to share between threads; connects on the first ring."""

    def __init__(self, redis_url: str, settings: "Settings") -> None:
        self._keys = settings.keys
        timeout_s = min(settings.redis_timeout_s, RING_TIMEOUT_S)
        self._redis: Redis = connect(redis_url, retries=1, timeout_s=timeout_s)

    def ring(self, route: str) -> None:
        """Wake one worker of a route.

        Where Redis hangs, it gives up after two tries, a few times `RING_TIMEOUT_S` together. A
        ring that fails is logged: the reconciler rings again.
        """
        try:
            with redis_errors(self._redis):
                self._redis.lpush(self._keys.bell(route), wakeup_message(route))
        except SeqdError as error:
            log.warning("could not ring for route=%s: %s", route, error)
        except Exception:
            # The job that this rings for is in the ledger: no fault in here may be taken for its.
            log.exception("could not ring for route=%s", route)


def wakeup_message(route: str) -> str:
    """Write the message that has a worker of a route call the task `DOORBELL`."""
    task_id, tag = str(uuid.uuid4()), str(uuid.uuid4())
    message = {
        "body": _BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": DOORBELL,
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": bell_queue(route)},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }
    return json.dumps(message)


def _kombu_url(redis_url: str) -> str:
    """Celery names a Unix socket `redis+socket://`, redis-py names it `unix://`."""
    return redis_url.replace("unix://", "redis+socket://", 1)
