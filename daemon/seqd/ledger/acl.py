"""The least rights of each role on a Redis with users, as `ACL SETUSER` takes them.

What a role may reach are its keys, named here one by one. On them it may do all that reads, or
reads and writes, data; of all else it has what is named. So a script that runs another command
needs no entry here, and no user needs new rights for it.

    worker     takes work, and keeps the ledger in order: all keys under the prefix
    client     hands jobs in, follows and steers them, and reads results, models and workers; adds
               to the audit
    operator   what a client may; steers many jobs by a filter, sets rules on workers and models,
               limits and weights of tenants, makes keys and webhooks of the gateway, orders which
               version of a model is in service, and reads the audit
    gateway    what a client may, and of what an operator may what its console does: makes keys and
               webhooks, pauses models, cordons workers, orders which version of a model is in
               service; and notes figures of each minute
    exporter   reads figures: queues, jobs, workers and rules on them, the server's memory;
               changes nothing
    doctor     reads that, the slow log, and whether another Celery application has keys there;
               tries a write of its own mark
    inbox      adds jobs to the inbox and reads what became of them, without any script
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from seqd.errors import InvalidSettings
from seqd_schemas import Keys

Version = tuple[int, int]

#: What the rights are written for, unless another version is named.
NEWEST: Version = (7, 2)

#: From this version on a pattern of keys may be for reading or for writing alone.
KEY_ACCESS_SINCE: Version = (7, 0)

#: Commands that a server before this version does not know; all others are older than 6.2. What
#: cannot be called is not missed: see `until_durable`.
_SINCE: Mapping[str, Version] = {"waitaof": (7, 2), "client|setinfo": (7, 2)}


class Role(StrEnum):
    """Who connects to Redis."""

    WORKER = "worker"
    CLIENT = "client"
    OPERATOR = "operator"
    GATEWAY = "gateway"
    EXPORTER = "exporter"
    DOCTOR = "doctor"
    INBOX = "inbox"


class Access(StrEnum):
    """What may be done with keys."""

    ALL = "~"
    READ = "%R~"
    WRITE = "%W~"
    #: To add entries to a stream, and nothing else, whatever commands the role has.
    APPEND = "+xadd"


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """Keys, with what may be done with them."""

    pattern: str
    access: Access = Access.ALL

    def rule(self, version: Version) -> str:
        """Return the rule; a server before 7.0 has none for reading or writing alone."""
        access = self.access if version >= KEY_ACCESS_SINCE else Access.ALL
        if access is Access.APPEND:
            return f"(+xadd {Access.WRITE.value}{self.pattern})"
        return f"{access.value}{self.pattern}"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role may do."""

    #: Categories of commands, such as `@read`, and single commands in small letters.
    commands: tuple[str, ...]
    keys: tuple[KeyPattern, ...]

    def rules(self, version: Version) -> list[str]:
        """Return the rules of a user, who has no other rights."""
        keys = [key.rule(version) for key in _without_covered(self.keys, version)]
        categories = [f"+{name}" for name in self.commands if name.startswith("@")]
        named = [
            f"+{name}"
            for name in self.commands
            if not name.startswith("@") and _may_be_named(name, version)
        ]
        selectors = ["clearselectors"] if version >= KEY_ACCESS_SINCE else []
        # Last, since each is a set of rights of its own.
        appended = [rule for rule in keys if rule.startswith("(")]
        own = [rule for rule in keys if not rule.startswith("(")]
        start = [*selectors, "resetkeys", "resetchannels", "-@all"]
        # Behind the categories, of which it takes something away, and in front of what is named.
        without = [f"-{name}" for name in _NEVER] if categories else []
        return [*start, *own, *categories, *without, *named, *appended]


#: Of what reads and writes data: what reaches beyond the keys that a user may use.
_NEVER = ("@dangerous", "@scripting", "dbsize", "randomkey", "scan")

#: Of every connection: `select` where the address names another database than 0.
_CONNECTION = ("ping", "select", "client|setinfo")

#: To run scripts, and to load them into a server that has been started anew.
_SCRIPTING = ("evalsha", "script|load")

_CLIENT = ("@read", "@write", *_CONNECTION, *_SCRIPTING, "info", "time", "wait", "waitaof")
_EXPORTER = ("@read", *_CONNECTION, "info", "time")

#: What is no key of the role's, by role.
_COMMANDS = {
    # Transactions are Celery's.
    Role.WORKER: (
        "@read", "@write", "@transaction", *_CONNECTION, *_SCRIPTING, "info", "time",
    ),
    Role.CLIENT: _CLIENT,
    Role.OPERATOR: _CLIENT,
    Role.GATEWAY: _CLIENT,
    Role.EXPORTER: _EXPORTER,
    # Not `config|get`, which tells the server's passwords.
    Role.DOCTOR: (*_EXPORTER, "set", "slowlog|get"),
    # What schemas/languages.md tells a program of another language to call: no other writes, since
    # the entries of all programs stand in one stream.
    Role.INBOX: (*_CONNECTION, "hexists", "hget", "xadd", "xlen", "xread"),
}  # fmt: skip

#: What the release before reads and writes: this release's rights are given before it goes.
READ_BY_THE_RELEASE_BEFORE = "quarantined"
WRITTEN_BY_THE_RELEASE_BEFORE = "ended_leases*"

#: Keys of a Celery application without a prefix, as seqd never writes them.
FOREIGN_KEYS = (
    "unacked",
    "unacked_index",
    "unacked_mutex",
    "_kombu.binding.celery",
    "_kombu.binding.celery.pidbox",
    "celery",
)


def rights_of(role: Role, keys: Keys) -> Rights:
    """Return the least rights of a role under a prefix."""
    return Rights(tuple(sorted(_COMMANDS[role])), _keys_of(role, keys))


def _may_be_named(command: str, version: Version) -> bool:
    """Return True where a rule may name a command; before 7.0 a subcommand may be any word."""
    is_subcommand_of_any_word = "|" in command and version < KEY_ACCESS_SINCE
    return is_subcommand_of_any_word or _SINCE.get(command, version) <= version


def _keys_of(role: Role, keys: Keys) -> tuple[KeyPattern, ...]:
    if role is Role.WORKER:
        return (KeyPattern(f"{keys.prefix}:*"),)
    if role is Role.EXPORTER:
        return tuple(KeyPattern(pattern, Access.READ) for pattern in _read_for_metrics(keys))
    if role is Role.DOCTOR:
        more = (keys.timers(), *FOREIGN_KEYS)
        return _sorted([keys.durability_mark()], (*_read_for_metrics(keys), *more), [])
    if role is Role.INBOX:
        return (
            KeyPattern(keys.inbox(), Access.WRITE),
            KeyPattern(keys.inbox_answers(), Access.READ),
            KeyPattern(keys.limits(), Access.READ),
            KeyPattern(f"{keys.job('*')}*", Access.READ),
        )
    own = {Role.OPERATOR: _written_by_operators(keys), Role.GATEWAY: _written_by_gateways(keys)}
    own_read = [keys.audit()] if role is Role.OPERATOR else []
    written = [*_written_by_clients(keys), *own.get(role, ())]
    read = [name for name in _read_by_clients(keys) if name not in written]
    return _sorted(written, [*read, *own_read], [keys.audit()])


def _sorted(
    written: Sequence[str], read: Sequence[str], appended: Sequence[str]
) -> tuple[KeyPattern, ...]:
    patterns = [KeyPattern(pattern) for pattern in written]
    patterns += [KeyPattern(pattern, Access.READ) for pattern in read]
    patterns += [KeyPattern(pattern, Access.APPEND) for pattern in appended]
    return tuple(sorted(patterns, key=lambda key: key.pattern))


def _without_covered(keys: Sequence[KeyPattern], version: Version) -> list[KeyPattern]:
    """Leave out what another pattern covers where patterns of a version know no read or write."""
    if version >= KEY_ACCESS_SINCE:
        return list(keys)
    keys = list({key.pattern: key for key in keys}.values())
    samples = {key.pattern: key.pattern.replace("*", "x") for key in keys}
    return [
        key
        for key in keys
        if not any(fnmatchcase(samples[key.pattern], o.pattern) for o in keys if o is not key)
    ]


def _read_for_metrics(keys: Keys) -> tuple[str, ...]:
    """Return patterns of the figures of a fleet; of a job no input and no output, but its hash.

    The sizes of its units say what a worker has in hand, and its events how long a training takes.
    """
    return (
        keys.catalog(),
        keys.cordons(),
        keys.evictions(),
        keys.events("*"),
        keys.failures(),
        keys.failures_replayed(),
        keys.format(),
        keys.inbox(),
        keys.job("*"),
        keys.limits(),
        keys.open_jobs(),
        keys.paused_models(),
        f"{keys.prefix}:{READ_BY_THE_RELEASE_BEFORE}",
        keys.queue("*", "*"),
        keys.queues("*"),
        keys.rates(),
        keys.sizes("*"),
        keys.template("*"),
        keys.tenant("*"),
        keys.tenant_limits("*"),
        keys.tenants(),
        keys.uploads(),
        keys.weights(),
        keys.work_done(),
        keys.work_left(),
        keys.worker("*"),
        keys.workers(),
    )


def _written_by_clients(keys: Keys) -> tuple[str, ...]:
    """Return patterns of what the scripts of a client, and its wakeups, change."""
    return (
        f"{keys.job('*')}*",
        keys.template("*"),
        keys.jobs(),
        keys.small_jobs(),
        keys.open_jobs(),
        keys.all_events(),
        keys.failures(),
        keys.failures_replayed(),
        keys.offered_ranges(),
        keys.uploads(),
        keys.timers(),
        keys.deadlines(),
        keys.warnings(),
        keys.tenant("*"),
        keys.tenants(),
        keys.kept(),
        keys.evictions(),
        keys.evicted(),
        keys.memory(),
        keys.idempotency("*", "*"),
        keys.queues("*"),
        keys.queue("*", "*"),
        keys.since("*"),
        keys.virtual_times("*"),
        keys.wakeup("*"),
        keys.completions("*"),
        keys.worker_leases("*"),
        f"{keys.prefix}:{WRITTEN_BY_THE_RELEASE_BEFORE}",
        keys.durability_mark(),
        keys.work_left(),
        keys.webhooks_due(),
        keys.webhook("*"),
    )


def _written_by_operators(keys: Keys) -> tuple[str, ...]:
    """Return patterns of what operators change beside: rules, limits, keys, webhooks, orders."""
    return (
        keys.api_keys(),
        keys.api_keys_used(),
        keys.cordons(),
        keys.model_order("*"),
        keys.model_orders(),
        keys.notices(),
        keys.paused_models(),
        keys.placements(),
        keys.tenant_limits("*"),
        keys.webhooks(),
        keys.weights(),
    )


def _written_by_gateways(keys: Keys) -> tuple[str, ...]:
    """Return patterns of what a gateway changes beside what a client does."""
    return (
        keys.api_keys(),
        keys.api_keys_used(),
        keys.api_key_rate("*"),
        keys.cordons(),
        keys.file_bytes(),
        keys.files(),
        keys.files_due(),
        keys.minutes(),
        keys.model_order("*"),
        keys.model_orders(),
        keys.notices(),
        keys.paused_models(),
        keys.webhooks(),
    )


def _read_by_clients(keys: Keys) -> tuple[str, ...]:
    """Return patterns of what a client reads of workers and operators, and of what was used."""
    return (
        keys.catalog(),
        keys.cordons(),
        keys.format(),
        keys.inbox(),
        keys.limits(),
        keys.paused_models(),
        keys.placements(),
        f"{keys.prefix}:{READ_BY_THE_RELEASE_BEFORE}",
        keys.rates(),
        keys.rollout("*", "*"),
        keys.task_schemas(),
        keys.tenant_limits("*"),
        f"{keys.prefix}:usage:*",
        keys.weights(),
        keys.work_done(),
        keys.worker("*"),
        keys.workers(),
    )


def setuser_line(user: str, role: Role, keys: Keys, version: Version = NEWEST) -> str:
    """Return the command that gives a user the rights of a role, and no others.

    The user is switched on by it, and keeps its passwords. Quoted as `redis-cli` reads it.
    """
    rules = [_quoted(rule) for rule in rights_of(role, keys).rules(version)]
    return " ".join(["ACL", "SETUSER", checked_user(user), "on", *rules])


def users_acl_line(
    user: str, role: Role, keys: Keys, password: str, version: Version = NEWEST
) -> str:
    """Return a user's line of the file that Redis's `aclfile` names; it has the password's hash."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    rules = rights_of(role, keys).rules(version)
    return " ".join(["user", checked_user(user), "on", f"#{digest}", *rules])


def checked_user(user: str) -> str:
    """Return the name of a user; raises InvalidSettings for one that a rule cannot hold."""
    if not re.fullmatch(r"[A-Za-z0-9_.@-]{1,64}", user):
        raise InvalidSettings(
            f"The name of the user is {user!r}; allowed are 1 to 64 letters, digits and _ . @ -."
        )
    return user


def _quoted(rule: str) -> str:
    return f"'{rule}'" if re.search(r"[~*{}|]", rule) else rule
