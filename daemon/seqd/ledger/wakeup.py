"""Wakeups: Celery messages without content, each of which has one worker look at the ledger.

The scripts send them, see `lua/shared/wakeups.lua`. The message is written as Celery and kombu
write it (protocol 2, in kombu's envelope for Redis), but without them: they take longer to import
than a client takes for all else.
"""

import base64
import json
import math
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from redis import Redis

from seqd.ledger.redis import redis_errors
from seqd.ledger.sentinel import sentinel_login
from seqd.local.redis_access import RedisAccess, without_tls_options
from seqd.local.redis_address import SentinelAddress, is_sentinel_url, read_sentinel_url
from seqd_schemas import wakeup_queue

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Name of the only Celery task.
WAKEUP_TASK = "seqd.wakeup"


#: Arguments, keywords and callbacks of a task: none.
_NO_ARGUMENTS: Final = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
_BODY: Final = base64.b64encode(json.dumps(_NO_ARGUMENTS).encode()).decode()


def broker_settings(redis_url: str, settings: "Settings") -> dict[str, object]:
    """Return the Celery settings of a worker, which `wakeup_message` is written to fit."""
    timeout_s = settings.redis_timeout_s
    access = RedisAccess.of(settings)
    return {
        "broker_url": _kombu_url(redis_url),
        "broker_use_ssl": access.tls_options(redis_url) or None,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "global_keyprefix": f"{settings.prefix}:",
            # A priority is a list of its own in Redis; classes of work live in the ledger.
            "priority_steps": [0],
            # Only redelivers a wakeup, so the value hardly matters.
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_restore_interval": min(60, settings.visibility_timeout_s),
            "unacked_restore_throttle": 1,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": min(5.0, timeout_s),
            "socket_keepalive": True,
            # A worker whose connection is half open finds that out within twice this, and a
            # second: the longest that Celery's BRPOP waits.
            "health_check_interval": math.ceil(timeout_s),
            **_sentinel_options(redis_url, access),
        },
    }


def take_wakeup(redis: Redis, queues: Sequence[str], wait_s: float) -> bool:
    """Take a wakeup of one of the lists that `Keys.wakeup` names; False where none comes in time.

    Raises RedisUnreachable, RedisRefused or RedisFull, and ResponseError where one is no list.
    """
    with redis_errors(redis):
        return redis.brpop(list(queues), timeout=wait_s) is not None


def wakeup_message(route: str, message_id: str = "") -> str:
    """Return the message that has a worker of a route call the task `WAKEUP_TASK`.

    No other one has its identifier, which is made where none is given.
    """
    message_id = message_id or str(uuid.uuid4())
    message = {
        "body": _BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": WAKEUP_TASK,
            "id": message_id,
            "root_id": message_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": message_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": wakeup_queue(route)},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": message_id,
        },
    }
    return json.dumps(message)


def _kombu_url(redis_url: str) -> str:
    """Return a URL as Celery reads it.

    A Unix socket is `redis+socket://`, not `unix://`, and its database a virtual host. User and
    password stand before the host: of those among the options kombu 5.7 makes a TypeError. Options
    of TLS are Celery's `broker_use_ssl`.
    """
    if is_sentinel_url(redis_url):
        return _kombu_sentinels(read_sentinel_url(redis_url))
    parts = urlsplit(without_tls_options(redis_url))
    options = parse_qs(parts.query)
    netloc = parts.netloc
    user, password = (options.pop(name, [""])[0] for name in ("username", "password"))
    if (user or password) and "@" not in netloc:  # else redis-py does not look among them either
        netloc = f"{_login(user, password)}{netloc}"
    if parts.scheme == "unix":
        database = options.get("db", ["0"])[0]
        return f"redis+socket://{netloc}{parts.path}?virtual_host={database}"
    path = f"/{options.pop('db')[0]}" if "db" in options else parts.path  # as redis-py reads it
    query = urlencode(options, doseq=True)
    return urlunsplit(parts._replace(netloc=netloc, path=path, query=query))


def _kombu_sentinels(address: SentinelAddress) -> str:
    """Return all Sentinels, each with the login of the primary.

    After a failure kombu goes on with the next of them, and knows nothing of the one before.
    """
    login = _login(address.user or "", address.password or "")
    return ";".join(
        f"sentinel://{login}{f'[{host}]' if ':' in host else host}:{port}/{address.database}"
        for host, port in address.hosts
    )


def _sentinel_options(redis_url: str, access: RedisAccess) -> dict[str, object]:
    """Return kombu's transport options for an address with Sentinels; none for another."""
    if not is_sentinel_url(redis_url):
        return {}
    address = read_sentinel_url(redis_url)
    login = sentinel_login(address, access, redis_url)
    return {"master_name": address.master_name, "sentinel_kwargs": login}


def _login(user: str, password: str) -> str:
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
