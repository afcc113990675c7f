"""Wakeups: Celery messages without content, each of which has one worker look at the ledger.

A wakeup may be lost, doubled or late: its worker looks at the ledger, and the reconciler notifies
again for units that nobody claims. The message is written as Celery and kombu write it (protocol 2,
in kombu's envelope for Redis), but without them: they take longer to import than a client takes
for all else.
"""

import base64
import json
import logging
import math
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from redis import Redis

from seqd.errors import RedisFull, RedisNoPermission, RedisRefused, SeqdError
from seqd.ledger.outage import Outage, Trouble
from seqd.ledger.redis import connect, redis_errors
from seqd.ledger.sentinel import sentinel_login
from seqd.local.redis_access import RedisAccess, without_tls_options
from seqd.local.redis_address import SentinelAddress, is_sentinel_url, read_sentinel_url
from seqd_schemas import wakeup_queue

if TYPE_CHECKING:
    from seqd.settings import Settings

log = logging.getLogger(__name__)

#: Seconds that `notify` waits for a Redis that hangs, at each step. A lost wakeup costs less: the
#: reconciler notifies again within seconds.
NOTIFY_TIMEOUT_S = 2.0

#: What the names of Celery's channels begin with behind the prefix, where there are any.
FANOUT_PREFIX = "/fanout."

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
            # Of channels, which the rights of a user name; kombu's own has the database's number.
            "fanout_prefix": FANOUT_PREFIX,
            # A priority is a list of its own in Redis; classes of work live in the ledger.
            "priority_steps": [0],
            # Only redelivers a wakeup, so the value hardly matters.
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_restore_interval": 10,
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


class Wakeup:
    """Sends wakeups. Safe to share between threads; connects on the first `notify`."""

    def __init__(self, redis_url: str, settings: "Settings", outage: Outage | None = None) -> None:
        """`outage` is that of a worker, whose log has one line on a right that is taken away."""
        self._outage = outage or Outage()
        #: True since a full Redis has refused a wakeup, until it takes one.
        self._is_full = False
        self._keys = settings.keys
        timeout_s = min(settings.redis_timeout_s, NOTIFY_TIMEOUT_S)
        access = RedisAccess.of(settings)
        self._redis: Redis = connect(redis_url, retries=1, timeout_s=timeout_s, access=access)

    def notify(self, route: str) -> None:
        """Wake one worker of a route.

        Where Redis hangs, it stops after two tries, a few times `NOTIFY_TIMEOUT_S` together.
        Raises nothing: a failure is logged, and the reconciler notifies again.
        """
        try:
            with redis_errors(self._redis):
                self._redis.lpush(self._keys.wakeup(route), wakeup_message(route))
            self._is_full = False
        except RedisFull as error:
            # Once: the reconciler notifies again every few seconds, for as long as it is full.
            log_lost_wakeup(route, error.cause, logging.DEBUG if self._is_full else logging.WARNING)
            self._is_full = True
        except SeqdError as error:
            is_said = isinstance(error, RedisRefused) and self._outage.bears_denial
            if is_said:
                is_denial = isinstance(error, RedisNoPermission)
                self._outage.begin(Trouble.DENIED if is_denial else Trouble.LOCKED_OUT, error)
            log_lost_wakeup(route, error, logging.DEBUG if is_said else logging.WARNING)
        except Exception:
            # The job is in the ledger: a fault in here must not look like the job's.
            log.exception("could not notify route=%s", route)

    def close(self) -> None:
        """Close its connections; a later `notify` opens new ones."""
        self._redis.close()


def take_wakeup(redis: Redis, queues: Sequence[str], wait_s: float) -> bool:
    """Take a wakeup of one of the lists that `Keys.wakeup` names; False where none comes in time.

    Raises RedisUnreachable, RedisRefused or RedisFull, and ResponseError where one is no list.
    """
    with redis_errors(redis):
        return redis.brpop(list(queues), timeout=wait_s) is not None


def log_lost_wakeup(route: str, error: Exception | str, level: int = logging.WARNING) -> None:
    """Say in the log that a route was not notified: the reconciler does so within seconds."""
    log.log(level, "could not notify route=%s: %s", route, error)


def wakeup_message(route: str) -> str:
    """Return the message that has a worker of a route call the task `WAKEUP_TASK`."""
    task_id, tag = str(uuid.uuid4()), str(uuid.uuid4())
    message = {
        "body": _BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": WAKEUP_TASK,
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
            "delivery_info": {"exchange": "", "routing_key": wakeup_queue(route)},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
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
