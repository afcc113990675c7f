"""Checks the text of a Redis address; opens no connection.

Called wherever an address enters: the settings of the daemon and of its clients.
"""

import re
from urllib.parse import urlsplit

from seqd.errors import InvalidSettings

#: What both redis-py and Celery's transport can speak.
SCHEMES = ("redis", "rediss", "unix")

#: Up to the last @, so that a password with an @ or / of its own does not show half.
_PASSWORD = re.compile(r"(://[^:/@]*:).*@")


def check_redis_url(url: str) -> str:
    """Give the address back when seqd can use it.

    Raises InvalidSettings, which says what is allowed; the password is not in the message.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if "cluster" in scheme:
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}: Redis Cluster cannot carry Celery's "
            "queues. Use a single server (redis:// or rediss://)."
        )
    if scheme not in SCHEMES:
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}: it must begin with redis://, "
            "rediss:// (TLS) or unix://, such as redis://:password@host:6379/0."
        )
    _check_port(url)
    return url


def without_password(url: str) -> str:
    """Give the address for people: its password shows as `***`."""
    return _PASSWORD.sub(r"\1***@", url)


def _check_port(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise InvalidSettings(f"SEQD_REDIS_URL is {without_password(url)!r}: {error}.") from None
