"""What Redis is looked at for: that it keeps what it is given, has room, and answers soon."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from statistics import median
from typing import Final, cast

from redis.exceptions import ResponseError

from seqd.doctor.findings import Check, Finding, NotChecked, Severity, finding
from seqd.doctor.judging import NEARLY, ROOM, memory_used
from seqd.doctor.server import Server, how_to_write
from seqd.errors import RedisFull, RedisNoPermission
from seqd.ledger.acl import FOREIGN_KEYS, Role
from seqd.ledger.redis import has_sentinels, passing_code, redis_errors, user_of
from seqd.ledger.rights import OPTIONAL, missing_rights
from seqd.ledger.scripts import all_scripts, digest_of
from seqd.ledger.writing import REASONS, primary_of
from seqd.wording import first_of

#: The oldest server that the scripts run on.
_OLDEST: Final = (6, 2)

#: Seconds by which clocks may differ, and a replica be behind.
_SKEW_S: Final = 2.0
_LAG_S: Final = 10

#: Calls that are timed, and the seconds of the middle one that are long.
_PINGS: Final = 5
_LATENCY_S: Final = 0.025
#: Seconds for which a fork may stop Redis.
_FORK_S: Final = 0.5

#: Entries of the slow log that are read, how old they may be, and what is slow.
_SLOW_ENTRIES: Final = 128
_SLOW_WITHIN_S: Final = 3_600
_SLOW_S: Final = 0.1

#: What a server without writes makes of workers that run.
_SILENT: Final = "Workers cannot report, and look silent: leave them running"

#: Roles that a user may have, in the order in which they are tried.
#: An operator has all rights of a client.
_ROLES: Final = (Role.CLIENT, Role.WORKER, Role.DOCTOR, Role.EXPORTER, Role.INBOX)


def redis_checks(server: Server, role: Role | None) -> list[Check]:
    """Return the checks of a server; of the rights of a role, or of any that its user may have."""
    checks = _Checks(server, role)
    return [
        Check("redis writes", checks.writes),
        Check("redis version", checks.version),
        Check("redis rights", checks.rights),
        Check("redis eviction", checks.eviction),
        Check("redis memory", checks.memory),
        Check("redis persistence", checks.persistence),
        Check("redis replicas", checks.replicas),
        Check("redis clients", checks.clients),
        Check("redis clock", checks.clock),
        Check("redis latency", checks.latency),
        Check("redis slow log", checks.slow_log),
        Check("other Celery applications", checks.foreign_celery),
    ]


class _Checks:
    def __init__(self, server: Server, role: Role | None) -> None:
        self._server = server
        self._redis = server.redis
        self._keys = server.settings.keys
        self._role = role
        #: Since it takes no writes, which says more than how full it is.
        self._is_said_to_be_full = False

    def writes(self) -> Iterator[Finding]:
        error = self._server.write_error
        if error is None:
            return
        cause = error.__context__
        code = passing_code(cause) if isinstance(cause, ResponseError) else None
        if isinstance(error, RedisFull):
            self._is_said_to_be_full = code != "MISCONF"
            kind = "redis-memory-high" if self._is_said_to_be_full else "redis-persistence-failing"
            cure = ROOM if self._is_said_to_be_full else _DISK
            yield finding(kind, f"{error.cause} {_SILENT}", cure)
        elif code is not None:
            what = self._no_writes(code) if code in REASONS else str(error)
            yield finding("redis-not-writable", what, how_to_write(code))
        else:
            raise error

    def _no_writes(self, code: str) -> str:
        """Return that the server takes no writes and why; of a replica, whose it is."""
        whose = ""
        if code == "READONLY":
            with suppress(NotChecked):
                whose = primary_of(self._server.info())
        where = f"Redis at {self._server.address}"
        return f"{where} takes no writes: {REASONS[code]}{whose}. {_SILENT}"

    def version(self) -> Iterator[Finding]:
        server = self._server
        told = server.text("redis_version")
        number = tuple(int(part) for part in told.split(".")[:2] if part.isdecimal())
        if number and number < _OLDEST:
            yield finding(
                "redis-version",
                f"Redis at {server.address} is {told}",
                "Bring it to Redis 6.2 or newer, or to Valkey",
            )
        if server.number("cluster_enabled"):
            yield finding(
                "redis-address",
                f"Redis at {server.address} is one of a Redis Cluster",
                "Set SEQD_REDIS_URL to a single server, or to one with Sentinels",
            )

    def rights(self) -> Iterator[Finding]:
        wanted = _ROLES if self._role is None else (self._role,)
        lacking: dict[Role, list[str]] = {}
        for role in wanted:
            missing = missing_rights(self._redis, role, self._keys)
            lacking[role] = [right for right in missing if right[1:] not in OPTIONAL]
            if not lacking[role]:
                return
        role = min(lacking, key=lambda one: len(lacking[one]))
        user = user_of(self._redis)
        which = "" if self._role else ", of all roles the one that it has most of"
        yield finding(
            "redis-rights",
            f"The user {user!r} lacks {len(lacking[role])} rights of the role {role}{which}: "
            f"{first_of(lacking[role], 12)}",
            f"Give it those that `seqd redis acl --role {role} --user {user}` prints",
            severity=Severity.ERROR if self._role else None,
        )

    def eviction(self) -> Iterator[Finding]:
        server = self._server
        policy, limit = server.text("maxmemory_policy"), server.number("maxmemory")
        if policy not in ("", "noeviction"):
            allowed = server.settings.allow_eviction or not limit
            yield finding(
                "redis-eviction-policy",
                f"Redis at {server.address} has maxmemory-policy {policy} and maxmemory {limit:,}",
                "`redis-cli config set maxmemory-policy noeviction`, and the same in its file",
                severity=Severity.WARNING if allowed else None,
            )
        if not limit:
            yield finding(
                "redis-no-maxmemory",
                f"Redis at {server.address} has maxmemory 0",
                "`redis-cli config set maxmemory 6gb`, or what docker/sizing.md says, and the same "
                "in its file",
            )

    def memory(self) -> Iterator[Finding]:
        server = self._server
        if self._is_said_to_be_full:
            return
        used, limit = server.number("used_memory"), server.number("maxmemory")
        whole = limit or server.number("total_system_memory")
        held = server.ledger.inbox.memory(server.settings.max_memory_share)
        if not whole or held is None:
            return
        of = "maxmemory" if limit else "its machine's memory"
        waiting = self._waiting_uploads()
        whose = f", now those of {first_of(waiting, 3)}" if waiting else ""
        yield from memory_used(f"Redis at {server.address}", used, whole, held.share, of, whose)

    def _waiting_uploads(self) -> list[str]:
        """Return the jobs whose uploads wait for memory: with their next chunk there is too little.

        Of a small server a chunk is a large part, so that they wait while it seems to have room.
        """
        ledger = self._server.ledger
        since_ms = ledger.fleet.now_ms() - int(1000 * self._server.settings.upload_silence_s)
        return [f"job {job_id}" for job_id in ledger.jobs.uploads_short_of_memory(since_ms)]

    def persistence(self) -> Iterator[Finding]:
        server = self._server
        info = server.info()
        where = f"Redis at {server.address}"
        failing = [
            name
            for name in (
                "aof_last_write_status",
                "aof_last_bgrewrite_status",
                "rdb_last_bgsave_status",
            )
            if info.get(name, "ok") != "ok"
        ]
        if failing:
            yield finding(
                "redis-persistence-failing", f"{where} says err of {first_of(failing)}", _DISK
            )
        if info.get("aof_enabled") != 0:
            return
        rules = self._save_rules()
        allowed = server.settings.allow_volatile
        do = "`redis-cli config set appendonly yes`, and the same in its file"
        if rules == "":
            yield finding(
                "redis-aof-off",
                f"{where} has appendonly no and no save rule: it writes nothing to disk, and its "
                "restart loses all jobs",
                do,
                severity=None if allowed else Severity.ERROR,
            )
        else:
            known = f"save {rules}" if rules else "save rules that it does not tell"
            yield finding("redis-aof-off", f"{where} has appendonly no and {known}", do)

    def _save_rules(self) -> str | None:
        """Return the rules; None where the server does not tell."""
        try:
            with redis_errors(self._redis):
                row = cast("Mapping[object, object]", self._redis.config_get("save"))
        except (RedisNoPermission, ResponseError):
            return None
        for value in row.values():
            return value.decode() if isinstance(value, bytes) else str(value)
        return None

    def replicas(self) -> Iterator[Finding]:
        server = self._server
        info = server.info()
        count = server.number("connected_slaves")
        if has_sentinels(self._redis) and not count and info.get("role") == "master":
            yield finding(
                "redis-no-replica",
                f"The primary at {server.address} has no replica connected",
                "See why its replicas are away: `redis-cli info replication` there",
            )
        rows = [info.get(f"slave{number}") for number in range(count)]
        late = [
            f"{row.get('ip')}:{row.get('port')} ({row.get('state')}, {row.get('lag')} s)"
            for row in rows
            if isinstance(row, dict)
            and (row.get("state") != "online" or int(row.get("lag", 0)) > _LAG_S)
        ]
        if late:
            yield finding(
                "redis-replica-lag",
                f"Replicas of Redis at {server.address} are behind: {first_of(late)}",
                "See the network and the disk of the replica, and its log",
            )

    def clients(self) -> Iterator[Finding]:
        server = self._server
        count, most = server.number("connected_clients"), server.number("maxclients")
        if most and count >= NEARLY * most:
            yield finding(
                "redis-clients-high",
                f"Redis at {server.address} has {count:,} connections of {most:,} that it takes",
                "`redis-cli client list` shows whose they are; `redis-cli config set maxclients` "
                "raises the limit",
            )

    def clock(self) -> Iterator[Finding]:
        began = time.time()
        now_ms = self._server.ledger.fleet.now_ms()
        ended = time.time()
        ahead_s = now_ms / 1000 - (began + ended) / 2
        if abs(ahead_s) > max(_SKEW_S, ended - began):
            which = "ahead of" if ahead_s > 0 else "behind"
            yield finding(
                "redis-clock-skew",
                f"The clock of Redis's machine is {abs(ahead_s):,.1f} s {which} that of this one",
                "Have both set by NTP: `timedatectl status` shows which of them is not",
            )

    def latency(self) -> Iterator[Finding]:
        took = []
        for _ in range(_PINGS):
            began = time.perf_counter()
            self._server.ledger.fleet.now_ms()
            took.append(time.perf_counter() - began)
        middle_s = median(took)
        if middle_s >= _LATENCY_S:
            yield finding(
                "redis-latency",
                f"A call of Redis at {self._server.address} takes {1000 * middle_s:,.0f} ms from "
                f"here (the middle of {_PINGS}, the longest {1000 * max(took):,.0f} ms)",
                "Have workers in the zone of Redis. Where they are, see what keeps it busy: "
                "`redis-cli --latency`, `redis-cli slowlog get`, its machine's load",
            )
        fork_s = self._server.number("latest_fork_usec") / 1_000_000
        if fork_s >= _FORK_S:
            yield finding(
                "redis-latency",
                f"Redis at {self._server.address} stood still for {fork_s:.1f} s at its last fork",
                "Switch transparent huge pages off on its machine, or give it less to hold",
            )

    def slow_log(self) -> Iterator[Finding]:
        with redis_errors(self._redis):
            entries = cast("list[dict[str, object]]", self._redis.slowlog_get(_SLOW_ENTRIES))
        now_s = self._server.ledger.fleet.now_ms() / 1000
        scripts: defaultdict[str, list[float]] = defaultdict(list)
        commands: defaultdict[str, list[float]] = defaultdict(list)
        ours = {digest_of(one): one for one in all_scripts()}
        for entry in entries:
            took_s = int(str(entry["duration"])) / 1_000_000
            if took_s < _SLOW_S or now_s - int(str(entry["start_time"])) > _SLOW_WITHIN_S:
                continue
            words = _words_of(entry["command"])
            if words[0] == "EVALSHA" and words[1] in ours:
                scripts[ours[words[1]]].append(took_s)
            else:
                # Never its arguments: they hold what people send.
                commands[words[0]].append(took_s)
        if scripts:
            yield finding(
                "redis-slow-scripts",
                f"In the last hour these scripts took more than {_SLOW_S:g} s: {_timed(scripts)}",
                "See the load of Redis's machine (another program, swap, a slow disk) first; where "
                "it is idle, report it with `redis-cli slowlog get`",
            )
        if commands:
            yield finding(
                "redis-slow-commands",
                "In the last hour these commands, which are none of seqd's scripts, took more than "
                f"{_SLOW_S:g} s: {_timed(commands)}",
                "`redis-cli slowlog get` says who sent them; give other programs a Redis of their "
                "own",
            )

    def foreign_celery(self) -> Iterator[Finding]:
        with redis_errors(self._redis):
            found = [name for name in FOREIGN_KEYS if self._redis.exists(name)]
        if found:
            yield finding(
                "foreign-celery",
                "The database of seqd holds keys of another Celery application: "
                f"{first_of(found, 6)}",
                "Give seqd a database of its own (the number at the end of SEQD_REDIS_URL), better "
                "a Redis of its own",
            )


_DISK: Final = (
    "Make room on the disk of Redis's machine, mend its folder's permissions, then `redis-cli "
    "bgrewriteaof`; its log says what failed"
)


def _words_of(command: object) -> list[str]:
    text = command.decode(errors="replace") if isinstance(command, bytes) else str(command)
    words = text.split(" ")
    return [words[0].upper(), *words[1:2]] if len(words) > 1 else [words[0].upper(), ""]


def _timed(found: Mapping[str, list[float]]) -> str:
    ordered = sorted(found.items(), key=lambda item: -max(item[1]))
    return first_of(
        f"{name} ({len(took)} {'time' if len(took) == 1 else 'times'}, {max(took):.1f} s at most)"
        for name, took in ordered
    )
