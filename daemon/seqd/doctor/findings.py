"""What an examination finds: kinds of findings with stable ids, checks, and the report.

`KINDS` has, by id, how bad a finding is, why it matters and its page of the runbook.
docker/doctor.md has the same ids.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from seqd.escaping import one_line
from seqd.masking import mask_passwords

#: Where the pages of the runbook are.
RUNBOOK = "docker/RUNBOOK.md"

#: Characters of a sentence at most; what comes from outside may be longer.
_MAX_CHARS = 1_000


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Work is lost, refused or stands still, or will."""
    WARNING = "warning"
    """Nothing stands still yet."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all findings of an id share."""

    severity: Severity
    why: str
    #: Its page of the runbook; '' without one.
    anchor: str = ""


_E, _W = Severity.ERROR, Severity.WARNING

#: All kinds by their ids.
KINDS = {
    "redis-unreachable": Kind(
        _E, "Without Redis no job is taken and no result committed. Nothing is lost.", "redis-gone"
    ),
    "redis-login": Kind(_E, "Whoever has these settings can neither hand in nor do work."),
    "redis-tls": Kind(_E, "No connection is made, so no work is handed in or done from here."),
    "redis-address": Kind(_E, "seqd cannot use what answers there."),
    "redis-loading": Kind(
        _E, "Redis reads its file after a start. It takes no command before that.", "redis-gone"
    ),
    "redis-not-writable": Kind(
        _E, "Nothing is accepted or committed. Workers keep results in memory.", "redis-read-only"
    ),
    "redis-version": Kind(_E, "Scripts use commands that an older server does not know."),
    "redis-rights": Kind(_W, "What needs a missing right fails when it is called."),
    "redis-eviction-policy": Kind(
        _E, "Redis deletes keys when its memory is used up, and with them parts of jobs."
    ),
    "redis-no-maxmemory": Kind(
        _W, "Nothing is refused before the machine's memory is full. Then the kernel may end Redis."
    ),
    "redis-memory-high": Kind(
        _E, "New jobs are refused, uploads wait, ended jobs go before their time.", "redis-full"
    ),
    "redis-aof-off": Kind(_W, "A crash of Redis loses what came after its last snapshot."),
    "redis-persistence-failing": Kind(
        _E, "Redis does not write to its disk. A restart loses jobs, and it may refuse writes."
    ),
    "redis-no-replica": Kind(_W, "A failover has no server to go to.", "failover"),
    "redis-replica-lag": Kind(_W, "A failover now loses what the replica has not got.", "failover"),
    "redis-clients-high": Kind(_W, "Beyond maxclients Redis refuses connections of all programs."),
    "redis-clock-skew": Kind(
        _W, "Times of jobs, logs and metrics do not fit together, nor do certificates.", "clock"
    ),
    "redis-latency": Kind(_W, "Each unit takes several calls of Redis, so workers wait for it."),
    "redis-slow-scripts": Kind(_W, "While a script runs Redis does nothing else, for anybody."),
    "redis-slow-commands": Kind(_W, "While a command runs Redis does nothing else, for anybody."),
    "foreign-celery": Kind(
        _W,
        "It shares memory and eviction with seqd. A purge of one may delete what the other needs, "
        "and its own tasks run twice after its visibility timeout.",
    ),
    "no-workers": Kind(_E, "Nobody does the work that waits."),
    "worker-starting": Kind(_W, "It takes no jobs before it has loaded what it needs first."),
    "worker-silent": Kind(
        _W,
        "It reports nothing, and takes no new work until it goes on or is started again.",
        "host-cut-off",
    ),
    "worker-crash-loop": Kind(
        _E,
        "Each death costs the time of a start, and what was in hand is tried anew.",
        "crash-loop",
    ),
    "worker-deaths": Kind(
        _W, "What was in hand of open jobs is tried again, split where it is to blame."
    ),
    "worker-clock-skew": Kind(
        _W, "Times in its log, and of models that it makes, do not fit those of jobs.", "clock"
    ),
    "worker-stopped": Kind(
        _E,
        "It claims nothing. Another worker may take what a stopped child had in hand, if it can "
        "run it.",
    ),
    "worker-lost-claim": Kind(
        _W, "It takes no work until its plugin stops, or its parent ends the process.", "hang"
    ),
    "worker-draining-forever": Kind(
        _W, "It claims nothing new, and what it has in hand does not end.", "hang"
    ),
    "cordon-forgotten": Kind(_W, "The workers that it means claim nothing until it is removed."),
    "model-paused": Kind(
        _W, "Its jobs wait until it is resumed; a disabled model refuses new ones, too."
    ),
    "leases-overdue": Kind(
        _E, "Work that its worker has lost is not handed to another: nobody reconciles."
    ),
    "mixed-releases": Kind(
        _W,
        "They work side by side, but a worker of an older release leaves what only a later one "
        "knows.",
        "mixed-versions",
    ),
    "unfit-workers": Kind(_W, "Its units are left to workers that can run it."),
    "plugin-broken": Kind(_W, "Its models are not served where it is broken.", "plugin-missing"),
    "plugin-missing": Kind(
        _W, "Only some workers serve its models, and none when those are gone.", "plugin-missing"
    ),
    "plugin-versions": Kind(
        _W, "The same request may have another result on another worker.", "mixed-versions"
    ),
    "route-unserved": Kind(_E, "This work waits until a worker comes that can run it."),
    "backlog-grows": Kind(
        _W, "What is handed in now waits for long, and may expire.", "backlog-grows"
    ),
    "tenant-full": Kind(_W, "Further work of the tenant is refused.", "noisy-tenant"),
    "inbox-stuck": Kind(_E, "What other programs add to the inbox does not become jobs."),
    "disk-full": Kind(
        _E, "Models, checkpoints, logs and Redis's file cannot be written.", "disk-full"
    ),
    "inodes": Kind(_E, "No file can be made, though there are bytes left.", "disk-full"),
    "open-files-limit": Kind(
        _W, "Connections, files of models and logs count. Beyond the limit nothing is opened."
    ),
    "processes-limit": Kind(_W, "Beyond the limit no thread or process is started."),
    "memory-low": Kind(_W, "The kernel ends a process when memory is used up.", "out-of-memory"),
    "settings-unknown": Kind(_W, "What was meant by the variable has no effect."),
    "store-unreadable": Kind(_E, "No version can be loaded from it.", "corrupt-model"),
    "store-unwritable": Kind(_E, "No training can publish its version.", "disk-full"),
    "store-damaged": Kind(_E, "The version is refused where it would be loaded.", "corrupt-model"),
    "store-labels": Kind(
        _E, "The bare name of the model, or its label, means no version.", "corrupt-model"
    ),
    "gpu-driver": Kind(_E, "No slot can use a GPU of this machine.", "sick-gpu"),
    "gpu-lost": Kind(_E, "The slots on it do no work.", "sick-gpu"),
    "gpu-sick": Kind(_E, "What is computed on it fails.", "sick-gpu"),
    "gpu-busy": Kind(_W, "Others use its memory. A further slot on it may not start.", "sick-gpu"),
    "gpu-unusable": Kind(
        _E, "A framework would compute on the CPU without a word, or not at all.", "sick-gpu"
    ),
    "gpu-kernels": Kind(_E, "The installed framework cannot compute on this GPU.", "sick-gpu"),
    "slots-unusable": Kind(_E, "`seqd up` does not start workers with these settings."),
}


#: Findings of one kind that are told at most, and by kind what is said of all others.
MOST = 10
_LISTS = "`seqd workers list`, `seqd models list` and `seqd queues` have all"
_FURTHER = {
    "cordon-forgotten": (
        "rules have stood for more than a day",
        "`seqd workers list` shows them",
    ),
    "model-paused": ("models are paused or disabled", "`seqd models list` shows them"),
    "plugin-broken": ("plugins are broken on workers", "`seqd plugins list` shows them"),
    "plugin-missing": ("plugins are missing on workers", "`seqd plugins list` shows them"),
    "plugin-versions": ("plugins are there in several versions", "`seqd plugins list` shows them"),
    "tenant-full": (
        "limits of tenants are used up, or nearly",
        "`seqd tenants list` shows what they use",
    ),
    "unfit-workers": (
        "things cannot be run by some workers",
        "`seqd workers list` and `seqd models show` have them",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    id: str
    severity: Severity
    what: str
    why: str
    do: str
    #: Its page of the runbook, such as `docker/RUNBOOK.md#redis-full`; '' without one.
    page: str = ""


def finding(
    kind_id: str,
    what: str,
    do: str,
    *,
    severity: Severity | None = None,
    anchor: str | None = None,
) -> Finding:
    """Return a finding of a kind; `what` and `do` are sentences, which may hold text from outside.

    `severity` and `anchor` are those of the kind unless they are given.
    """
    kind = KINDS[kind_id]
    page = kind.anchor if anchor is None else anchor
    return Finding(
        id=kind_id,
        severity=severity or kind.severity,
        what=sentence(what),
        why=kind.why,
        do=sentence(do),
        page=f"{RUNBOOK}#{page}" if page else "",
    )


def sentence(text: str) -> str:
    """Return a text as one line with a full stop, without passwords and control characters."""
    line = one_line(mask_passwords(text.strip()), _MAX_CHARS)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def bounded(found: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the first `MOST` of each kind, then how many more of it there are."""
    counts = Counter[str]()
    for one in found:
        counts[one.id] += 1
        if counts[one.id] <= MOST:
            yield one
    for kind_id, count in counts.items():
        if count > MOST:
            which, do = _FURTHER.get(kind_id, (f"findings are of the kind {kind_id}", _LISTS))
            yield finding(kind_id, f"{count - MOST:,} further {which}", do)


class NotChecked(Exception):
    """Something could not be looked at; its text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    #: What it is, such as `redis memory`.
    name: str
    #: Yields what is wrong. Raises NotChecked, an error of Redis or an OSError.
    run: Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Unchecked:
    """What was not looked at."""

    what: str
    why: str


@dataclass(slots=True)
class Report:
    """What came of an examination."""

    findings: list[Finding] = field(default_factory=list)
    #: Names of what was looked at.
    checked: list[str] = field(default_factory=list)
    not_checked: list[Unchecked] = field(default_factory=list)

    def of(self, severity: Severity) -> list[Finding]:
        """Return the findings of a severity."""
        return [one for one in self.findings if one.severity is severity]

    @property
    def is_well(self) -> bool:
        """True without an error; there may be warnings."""
        return not self.of(Severity.ERROR)

    def add(self, other: "Report") -> None:
        """Add what came of another part, the worst first."""
        self.findings += other.findings
        self.checked += other.checked
        self.not_checked += other.not_checked
        self.findings.sort(key=lambda one: list(Severity).index(one.severity))
