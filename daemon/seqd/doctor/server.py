"""The Redis that is examined: whether it answers, and if not, how it does not.

Nothing is waited for: an operator wants to know now.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, cast

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from seqd.doctor.findings import Check, Finding, NotChecked, Report, Unchecked, finding, sentence
from seqd.errors import (
    InvalidSettings,
    RedisFull,
    RedisNoPermission,
    RedisRefused,
    RedisUnreachable,
    SeqdError,
)
from seqd.ledger import Ledger, connect
from seqd.ledger.denials import denial_of
from seqd.ledger.redis import MARK_TTL_S, address_of, passing_code, redis_errors
from seqd.ledger.refusals import tls_fault_of
from seqd.ledger.writing import REASONS
from seqd.local.endpoint import owner_of, redis_url_of, server_folder
from seqd.local.redis_access import RedisAccess

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds without an answer, after which Redis counts as away.
ANSWER_S = 3.0

#: Seconds for which an embedded server is waited for that its `seqd up` is just starting.
_EMBEDDED_S = 1.0


class Server:
    """A server that answers, and what it says of itself, which is asked once."""

    def __init__(self, redis: Redis, settings: "Settings") -> None:
        self.redis = redis
        self.settings = settings
        self.address = address_of(redis)
        self.ledger = Ledger(redis, settings)

    @cached_property
    def _info(self) -> Mapping[str, object] | str:
        """What `INFO` says, or why it says nothing."""
        try:
            with redis_errors(self.redis):
                return cast("Mapping[str, object]", self.redis.info())
        except RedisUnreachable:
            raise
        except (SeqdError, RedisError) as error:
            return reason_of(error)

    def info(self) -> Mapping[str, object]:
        """Return what `INFO` says. Raises NotChecked where the server does not say it."""
        if isinstance(self._info, str):
            raise NotChecked(self._info)
        return self._info

    @cached_property
    def write_error(self) -> SeqdError | None:
        """What a write is answered with, or None; the mark is written, which goes by itself."""
        try:
            with redis_errors(self.redis):
                self.redis.set(self.settings.keys.durability_mark(), 1, ex=MARK_TTL_S)
        except SeqdError as error:
            return error
        return None

    @property
    def takes_writes(self) -> bool:
        """False where workers that run cannot report: what they wrote before says nothing now."""
        cause = None if self.write_error is None else self.write_error.__context__
        return not (isinstance(cause, ResponseError) and passing_code(cause) in REASONS)

    def number(self, name: str) -> int:
        """Return a figure of `INFO`; 0 where it is not among them."""
        value = self.info().get(name, 0)
        return int(value) if isinstance(value, (int, float)) else 0

    def text(self, name: str) -> str:
        """Return a word of `INFO`; '' where it is not among them."""
        return str(self.info().get(name, ""))


def open_server(settings: "Settings") -> Server | Finding:
    """Return the server of the settings, or the embedded one; or a finding that says why not."""
    try:
        url = redis_url_of(settings, _EMBEDDED_S)
        redis = connect(
            url,
            retries=0,
            timeout_s=ANSWER_S,
            access=RedisAccess.of(settings),
            role="operator",
        )
    except SeqdError as error:
        return _refused(error, settings)
    try:
        with redis_errors(redis):
            redis.ping()
    except (RedisNoPermission, RedisFull):
        pass  # it answers; what it permits and takes is looked at later
    except SeqdError as error:
        redis.close()
        return _refused(error, settings)
    return Server(redis, settings)


def _refused(error: SeqdError, settings: "Settings") -> Finding:
    cause = error.__context__
    if isinstance(cause, BusyLoadingError):
        return finding(
            "redis-loading",
            str(error),
            "Wait until it has read its file: `redis-cli info persistence` has loading_eta_seconds",
        )
    code = passing_code(cause) if isinstance(cause, ResponseError) else None
    if code is not None:
        return finding("redis-not-writable", str(error), how_to_write(code))
    if cause is not None and tls_fault_of(cause) is not None:
        return finding("redis-tls", str(error), "Mend the certificate or the setting named above")
    if isinstance(error, RedisRefused):
        return finding(
            "redis-login",
            str(error),
            "Set SEQD_REDIS_URL to the user and password that Redis has: "
            "redis://USER:PASSWORD@HOST:PORT/0",
        )
    if isinstance(error, InvalidSettings):
        return finding(
            "redis-address", str(error), "Set SEQD_REDIS_URL to a Redis that seqd can use"
        )
    if settings.redis_url is None:
        if owner_of(server_folder(settings)):
            do = "Wait a minute: one that answers nothing for so long is ended and started again"
        else:
            do = "Start it by `seqd up`, or set SEQD_REDIS_URL to the Redis that you mean"
        return finding("redis-unreachable", str(error), do)
    return finding(
        "redis-unreachable",
        str(error),
        "See on its machine whether it runs and why not (`systemctl status redis-server`, its "
        "log), and from here whether its port is reached. Workers go on by themselves",
    )


def how_to_write(code: str) -> str:
    """Return what to do about a server that does not take a write, by the code of its error."""
    if code == "READONLY":
        return (
            "Set SEQD_REDIS_URL to the primary; with Sentinels use redis+sentinel://, which finds "
            "it by itself. Where it was made a replica by mistake, and there is surely no other "
            "primary: `redis-cli replicaof no one` there"
        )
    if code == "NOREPLICAS":
        return "Bring its replicas back, or lower its min-replicas-to-write"
    return "See what it does: `redis-cli slowlog get`, its log. A script that hangs ends by " + (
        "`redis-cli script kill`"
    )


class Running:
    """Checks that run by themselves, from now on."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self._checks = list(checks)
        self._report = Report()
        self._thread = Thread(target=self._run, name="seqd-doctor", daemon=True)
        self._thread.start()

    def report(self, until_s: float) -> Report:
        """Return what they find; of those that have not ended by then (monotonic), that they hang.

        What they find later is lost.
        """
        self._thread.join(max(0.0, until_s - monotonic()))
        found = Report()
        found.add(self._report)
        looked_at = {*found.checked, *(one.what for one in found.not_checked)}
        why = "it took too long: a disk, a driver or a plugin hangs"
        found.not_checked += [
            Unchecked(one.name, why) for one in self._checks if one.name not in looked_at
        ]
        return found

    def _run(self) -> None:
        run_checks(self._checks, self._report)


def run_checks(checks: Iterable[Check], report: Report | None = None) -> Report:
    """Return what the checks find; one that cannot look is noted, and the others go on.

    It is added to `report` where that is given. Once Redis has gone away none of the rest waits for
    it again.
    """
    report = Report() if report is None else report
    gone = ""
    for check in checks:
        why = gone
        if not why:
            try:
                # One by one: what is found before it fails counts.
                for found in check.run():
                    report.findings.append(found)
            except RedisUnreachable as error:
                why = gone = f"Redis went away meanwhile: {error}"
            except (NotChecked, SeqdError, RedisError, OSError) as error:
                why = reason_of(error)
        if why:
            report.not_checked.append(Unchecked(check.name, sentence(why).rstrip(".")))
        else:
            report.checked.append(check.name)
    return report


def reason_of(error: Exception) -> str:
    """Return why something could not be done, such as `the user lacks +info`."""
    denial = denial_of(error.__context__ if isinstance(error, RedisNoPermission) else error)  # type: ignore[arg-type]
    if denial is not None:
        if denial.is_of_key:
            return f"the user may not use the key {denial.key or 'of it'}"
        return f"the user lacks +{denial.command or 'a command'}"
    if isinstance(error, ResponseError) and "unknown command" in str(error).lower():
        return f"the server does not know the command ({str(error).partition(', with args')[0]})"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
