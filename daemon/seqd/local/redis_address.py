"""What an address of Redis says: the forms that seqd takes, and one that has been read.

redis://user:password@host:6379/0                           one server
rediss://…                                                  the same over TLS
unix:///run/redis.sock?db=0                                 one server's Unix socket
redis+sentinel://user:password@host:26379,host2/NAME/0      the primary that Sentinels watch
rediss+sentinel://…                                         the same, both over TLS
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from seqd.errors import InvalidSettings
from seqd.masking import without_password

#: What both redis-py and Celery's transport can speak.
SCHEMES = ("redis", "rediss", "unix")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")

SENTINEL_PORT = 26379

#: What may stand behind the `?` of an address with Sentinels. Whatever else there is to set is a
#: setting of seqd.
_SENTINEL_OPTIONS = frozenset({"ssl_cert_reqs", "ssl_check_hostname"})

#: As Sentinel itself takes names.
_NAME = re.compile(r"[A-Za-z0-9._-]+")

#: For an address that cannot be read. What is wrong is not quoted: it may be the password's end.
HOW_TO_WRITE_IT = (
    "Form: redis://user:password@host:6379/0 with a port from 0 to 65535. In a password each of "
    "/ ? # @ % stands as %2F %3F %23 %40 %25"
)
HOW_TO_WRITE_SENTINELS = (
    "Form: redis+sentinel://user:password@host:26379,host2:26379/NAME/0, where NAME is what "
    "`sentinel monitor NAME …` calls the primary. In a password each of / ? # @ % stands as %2F "
    "%3F %23 %40 %25"
)


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Sentinels, the name under which they watch a primary, and the login of that primary."""

    hosts: tuple[tuple[str, int], ...]
    master_name: str
    database: int
    user: str | None
    password: str | None
    is_tls: bool

    def __str__(self) -> str:
        """Return it for a message, without the password."""
        return f"{self.master_name} (Sentinels {self.hosts_in_words()})"

    def hosts_in_words(self) -> str:
        """Return the Sentinels as `host:port, host:port`."""
        return ", ".join(f"{_bracketed(host)}:{port}" for host, port in self.hosts)


def check_redis_url(url: str) -> str:
    """Return the address if seqd can use it.

    Raises InvalidSettings, which says what is allowed; the password is not in the message.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if "cluster" in scheme:
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}: Redis Cluster cannot carry Celery's "
            "queues. Use a single server (redis:// or rediss://), or one with replicas and "
            "Sentinels (redis+sentinel://)."
        )
    if scheme in SENTINEL_SCHEMES:
        read_sentinel_url(url)
        return url
    if scheme not in SCHEMES:
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}: it must begin with redis://, "
            "rediss:// (TLS), redis+sentinel://, rediss+sentinel:// (TLS) or unix://, such as "
            "redis://:password@host:6379/0."
        )
    _check_form(url)
    return url


def is_sentinel_url(url: str) -> bool:
    """Return whether an address names Sentinels."""
    return url.partition("://")[0] in SENTINEL_SCHEMES


def is_tls_url(url: str) -> bool:
    """Return whether an address asks for TLS."""
    return url.partition("://")[0] in ("rediss", "rediss+sentinel")


def options_of(url: str) -> dict[str, str]:
    """Return the options behind the `?` of an address."""
    return dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))


def read_sentinel_url(url: str) -> SentinelAddress:
    """Return what an address with Sentinels says.

    Raises InvalidSettings for one that cannot be read, has no name of a primary, or has options
    that mean nothing to Sentinels.
    """
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0]
    account, at, where = place.rpartition("@")
    hosts, _, path = where.partition("/")
    name, _, database = path.rstrip("/").partition("/")
    read_hosts = tuple(map(_host_and_port, hosts.split(",")))
    if "#" in rest or "/" in account or not _NAME.fullmatch(unquote(name)):
        raise _unreadable(url)
    if None in read_hosts or not re.fullmatch(r"[0-9]{0,5}", database):
        raise _unreadable(url)
    if not _SENTINEL_OPTIONS.issuperset(options_of(url)):
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}: behind the ? of an address with "
            f"Sentinels there may be {' and '.join(sorted(_SENTINEL_OPTIONS))} alone."
        )
    user, colon, password = account.partition(":")
    if at and not colon:
        # redis-py would take it for a user without a password, which whoever wrote it did not mean.
        raise _unreadable(url)
    return SentinelAddress(
        hosts=tuple(host for host in read_hosts if host is not None),
        master_name=unquote(name),
        database=int(database or 0),
        user=unquote(user) or None,
        password=unquote(password) or None,
        is_tls=scheme == "rediss+sentinel",
    )


def _unreadable(url: str) -> InvalidSettings:
    return InvalidSettings(
        f"SEQD_REDIS_URL is {without_password(url)!r}, which cannot be read. "
        f"{HOW_TO_WRITE_SENTINELS}."
    )


def _host_and_port(text: str) -> tuple[str, int] | None:
    """Return one Sentinel of an address; None where it is none."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?", text)
    if match is None:
        return None
    port = int(match[2] or SENTINEL_PORT)
    return (match[1].strip("[]"), port) if 0 < port <= 65_535 else None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _check_form(url: str) -> None:
    """Refuse what would be read otherwise than it is meant.

    A `#`, or a `/` before the last `@`, ends the part with the password: what stands before it
    would be taken for host and port. A database that is no number would be taken for 0.
    """
    scheme, _, rest = url.partition("://")
    account = rest.partition("?")[0].rpartition("@")[0]
    is_cut = "#" in rest or ("/" in account and scheme != "unix")
    try:
        parts = urlsplit(url)
        _ = parts.port
        is_cut |= scheme != "unix" and not re.fullmatch(r"/*[0-9]*/*", parts.path)
    except ValueError:
        is_cut = True
    if is_cut:
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}, which cannot be read. {HOW_TO_WRITE_IT}."
        )
