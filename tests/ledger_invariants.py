"""What must be true of a ledger after any step.

Reads the keys themselves, and trusts no reader of the ledger. Each check is one promise. Knows
nothing of how the ledger came to be as it is, but for what a walk knows of its own jobs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from redis import Redis

from seqd_schemas import ItemFailure, ItemSuccess, Job, Keys

#: Bytes of text deltas that a job of a walk keeps, or its last delta alone.
STREAM_BYTES = 512

COUNTS = ("succeeded", "errored", "cancelled", "expired")
ACCOUNT = ("jobs", "items", "bytes", "kept_bytes", "in buckets")

#: Fields of a job that say nothing about what went wrong.
UNSHOWN = ("spec", "digest", "kind", "model", "version", "ttl", "created", "queue", "event_at")

#: Fields that a small job that has completed leaves out.
#: What a small job that has completed takes beside its results; see `retention.lua`.
SMALL_JOB_BYTES = 450
SMALL = dict.fromkeys((b"errored", b"cancelled", b"expired", b"pending_bytes"), b"0")
SMALL |= dict.fromkeys((b"units", b"units_done", b"total", b"succeeded"), b"1")

#: ARGV: pattern. Gives the keys without a time to live: one call, where TTL would take hundreds.
KEYS_FOR_EVER = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  if redis.call('TTL', key) == -1 then found[#found + 1] = key end
end
return found
"""


@dataclass
class KnownJob:
    """What a walk knows of a job that is kept."""

    request: Job
    #: Names of its items, in order.
    items: list[str]
    units: int
    #: What was first committed for each item.
    answers: dict[str, ItemSuccess | ItemFailure] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredJob:
    """What stands in Redis of one job."""

    job_id: str
    fields: dict[str, str]
    todo: set[str]
    #: Unit → `ATTEMPT WORKER`.
    leases: dict[str, str]
    done: set[str]
    parts: dict[str, str]
    input_bytes: int
    #: Bytes of each entry of its text deltas.
    deltas: list[int]
    #: Units with a timer: that of a lease, or of a back-off.
    timed: set[str]

    def __str__(self) -> str:
        shown = {name: value for name, value in self.fields.items() if name not in UNSHOWN}
        return (
            f"{self.job_id} is {self.state}, todo {self.todo}, leases {self.leases}, timers "
            f"{self.timed}, done {self.done}, parts {self.parts}; {shown}"
        )

    def number(self, name: str) -> int:
        return int(self.fields[name])

    @property
    def state(self) -> str:
        return self.fields["state"]

    @property
    def is_open(self) -> bool:
        return self.state in ("queued", "running", "paused")

    @property
    def leased(self) -> set[str]:
        return set(self.leases)

    @property
    def open_items(self) -> int:
        return self.number("total") - sum(self.number(name) for name in COUNTS)

    @property
    def most_leased(self) -> float:
        return float(self.fields.get("max_units", "inf"))

    @property
    def is_claimable(self) -> bool:
        """True when a claim must return a unit of it, or of another job."""
        is_going = self.state in ("queued", "running")
        return is_going and bool(self.todo) and len(self.leased) < self.most_leased

    @property
    def unit_names(self) -> set[str]:
        """Return the names of its units; of those that were split, of their parts."""
        numbers = [str(unit) for unit in range(self.number("units"))]
        return {name for unit in numbers for name in self.parts.get(unit, unit).split()}


@dataclass(frozen=True)
class StoredLedger:
    """What stands in Redis under one prefix."""

    keys: Keys
    names: list[str]
    #: Keys of jobs that have no time to live.
    for_ever: list[str]
    #: Members of the sorted sets that jobs share, by key; what is not there is empty.
    indexes: dict[str, list[str]]
    #: What each worker's index says that it holds: `JOB UNIT`.
    held: dict[str, set[str]]
    accounts: dict[str, dict[str, int]]
    #: Queue → items that are left.
    work_left: dict[str, int]
    jobs: list[StoredJob]

    def index(self, name: str) -> set[str]:
        return set(self.indexes.get(name, ()))

    def is_enqueued(self, job: StoredJob) -> bool:
        if "group" in job.fields:
            jobs = self.keys.group_jobs(job.fields["group"], job.fields["tenant"])
            return job.job_id in self.index(jobs)
        groups = [name for name in self.indexes if name.startswith(self.keys.group(""))]
        return any(job.job_id in self.index(name) for name in groups)

    def is_found(self, job: StoredJob) -> bool:
        """True when a worker that begins at the queues is led to the job."""
        queue, priority, group, tenant = (
            job.fields[name] for name in ("queue", "priority", "group", "tenant")
        )
        way = {
            self.keys.queues(priority): queue,
            self.keys.queue(queue, priority): tenant,
            self.keys.groups(queue, priority, tenant): group,
            self.keys.group(group): tenant,
        }
        return all(member in self.index(name) for name, member in way.items())


def read_ledger(redis: Redis, keys: Keys, job_ids: Iterable[str]) -> StoredLedger:
    """Read what stands in Redis now; nobody may write meanwhile."""
    names = sorted(_texts(redis.keys(f"{keys.prefix}:*")))
    shared = [name for name in names if _is_index(name, keys)]
    tenants = [tenant for tenant in _ids(names, keys.tenant("")) if ":" not in tenant]
    workers = _ids(names, *keys.worker_leases("|").split("|"))
    with redis.pipeline(transaction=False) as pipe:
        pipe.eval(KEYS_FOR_EVER, 0, f"{keys.prefix}:job:*")
        for name in shared:
            pipe.zrange(name, 0, -1)
        for tenant in tenants:
            pipe.hgetall(keys.tenant(tenant))
            pipe.hgetall(keys.tenant_kept(tenant))
        for worker in workers:
            pipe.smembers(keys.worker_leases(worker))
        pipe.hgetall(keys.work_left())
        replies = iter(pipe.execute())
    for_ever = _texts(next(replies))
    indexes = {name: _texts(next(replies)) for name in shared}
    return StoredLedger(
        keys=keys,
        names=names,
        for_ever=for_ever,
        indexes=indexes,
        accounts={
            tenant: _numbers(next(replies)) | {"in buckets": sum(_numbers(next(replies)).values())}
            for tenant in tenants
        },
        held={worker: set(_texts(next(replies))) for worker in workers},
        work_left=_numbers(next(replies)),
        jobs=_read_jobs(redis, keys, list(job_ids), indexes.get(keys.timers(), [])),
    )


def _is_index(name: str, keys: Keys) -> bool:
    if name.startswith((keys.group(""), f"{keys.prefix}:queue:", keys.queues(""))):
        return True
    return name in (keys.open_jobs(), keys.uploads(), keys.deadlines(), keys.timers())


def _read_jobs(redis: Redis, keys: Keys, job_ids: list[str], timers: list[str]) -> list[StoredJob]:
    with redis.pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.hgetall(keys.job(job_id))
            pipe.zrange(keys.todo(job_id), 0, -1)
            pipe.hgetall(keys.leases(job_id))
            pipe.hgetall(keys.output(job_id))
            pipe.hgetall(keys.parts(job_id))
            pipe.hgetall(keys.input(job_id))
            pipe.xrange(keys.deltas(job_id))
            pipe.hvals(keys.failed(job_id))
        rows = pipe.execute()
    timed = [timer.split() for timer in timers]
    for at in range(0, len(rows), 8):
        kept = [*rows[at + 3].values(), *rows[at + 7]]
        if is_small(rows[at]):
            template = redis.hgetall(keys.template(rows[at][b"template"].decode()))
            assert template, f"{rows[at]} has lost its template"
            rows[at] = {**SMALL, **template, **rows[at]}
            assert not rows[at + 3], f"a small job has results in two places: {rows[at]}"
            kept += [value for name, value in rows[at].items() if b"results" in name]
            weight = SMALL_JOB_BYTES + sum(map(len, kept))
            rows[at][b"kept_bytes"] = str(weight).encode()
            rows[at + 3] = [b"0"]
        rows[at][b"result_bytes"] = str(sum(map(len, kept))).encode()
    return [
        StoredJob(
            job_id=job_id,
            fields=_texts_of(rows[at]),
            todo=set(_texts(rows[at + 1])),
            leases=_fields(rows[at + 2]),
            done={name for name in _texts(rows[at + 3]) if "+" not in name},
            parts=_fields(rows[at + 4]),
            input_bytes=sum(len(blob) for blob in rows[at + 5].values()),
            deltas=[len(entry[b"d"]) for _, entry in rows[at + 6]],
            timed={unit for owner, unit in timed if owner == job_id},
        )
        for at, job_id in zip(range(0, len(rows), 8), job_ids, strict=True)
    ]


def _ids(names: Iterable[str], start: str, end: str = "") -> list[str]:
    """Return what stands between `start` and `end` in the names that have both."""
    found = [name for name in names if name.startswith(start) and name.endswith(end)]
    return [name.removeprefix(start).removesuffix(end) for name in found]


def _texts(row: Iterable[bytes]) -> list[str]:
    return [name.decode() for name in row]


def _fields(row: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in row.items()}


def _texts_of(row: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return a job's fields, without the results of a small one."""
    return _fields({name: value for name, value in row.items() if b"results" not in name})


def is_small(row: Mapping[bytes, bytes]) -> bool:
    """Return True for the hash of a small job that has completed."""
    return b"template" in row and b"group" not in row


def _numbers(row: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name: int(value) for name, value in _fields(row).items()}


def check_ledger(stored: StoredLedger, known: Mapping[str, KnownJob]) -> None:
    """Hold a ledger to its promises; raises AssertionError with what is wrong."""
    _check_removed_jobs_left_nothing(stored, known)
    for job in stored.jobs:
        _check_counts(job, known[job.job_id])
        _check_deltas_are_bounded(job)
        if job.is_open:
            _check_each_unit_is_in_one_set(job)
            _check_it_is_queued(job, stored)
        else:
            _check_nothing_is_left_to_do(job, stored)
    _check_indexes(stored)
    _check_accounts(stored)
    _check_work_left(stored)


def _check_removed_jobs_left_nothing(stored: StoredLedger, known: Mapping[str, KnownJob]) -> None:
    start = stored.keys.job("").removesuffix("{}")
    of_jobs = [name for name in stored.names if name.startswith(start)]
    strays = [name for name in of_jobs if name[len(start) + 1 :].partition("}")[0] not in known]
    assert not strays, f"of jobs that are not there any more, there are {strays}"


def _check_counts(job: StoredJob, known: KnownJob) -> None:
    counts = {name: job.number(name) for name in ("total", *COUNTS)}
    good = sum(isinstance(answer, ItemSuccess) for answer in known.answers.values())
    expected = (len(known.items), good, len(known.answers) - good)
    found = (counts["total"], counts["succeeded"], counts["errored"])
    assert found == expected, f"{job.job_id} counts {counts}; due are {expected}"
    assert job.open_items >= 0, f"{job.job_id} counts more items than it has: {counts}"
    units = (job.number("units"), job.number("units_done"))
    whole = sum(":" not in name for name in job.done)
    assert units == (known.units, whole), f"{job.job_id} counts units {units}, done are {whole}"


def _check_deltas_are_bounded(job: StoredJob) -> None:
    most = max([STREAM_BYTES, *job.deltas[-1:]])
    assert sum(job.deltas) <= most, f"{job.job_id} keeps {job.deltas} bytes of deltas"
    assert not (job.state == "completed" and job.deltas), f"deltas of a whole text are kept: {job}"


def _check_each_unit_is_in_one_set(job: StoredJob) -> None:
    waiting = job.timed - job.leased
    for name in job.unit_names:
        places = sum(name in place for place in (job.todo, job.leased, waiting, job.done))
        assert places == 1, f"unit {name} is in {places} places: {job}"
    strays = (job.todo | job.leased | job.timed | job.done) - job.unit_names
    assert not strays, f"no units of the job are {strays}: {job}"
    assert job.leased <= job.timed, f"a lease has no end: {job}"


def _check_it_is_queued(job: StoredJob, stored: StoredLedger) -> None:
    assert len(job.leased) <= job.most_leased, f"more is under way than may be: {job}"
    if job.is_claimable:
        assert stored.is_enqueued(job), f"no worker can find it: {job}"
    if job.state == "paused":
        assert not stored.is_enqueued(job), f"workers can find a paused job: {job}"
    if stored.is_enqueued(job):
        assert stored.is_found(job), f"no queue leads to it: {job}"


def _check_nothing_is_left_to_do(job: StoredJob, stored: StoredLedger) -> None:
    assert job.open_items == 0, f"an ended job has items open: {job}"
    if job.state == "completed":
        assert job.number("cancelled") + job.number("expired") == 0, f"not completed: {job}"
    left = job.todo | job.leased | job.timed
    assert not left, f"an ended job has {left} to do: {job}"
    assert not stored.is_enqueued(job), f"workers can find an ended job: {job}"
    start = stored.keys.job(job.job_id)
    for_ever = [name for name in stored.for_ever if name.startswith(start)]
    holder = next((one for one in stored.jobs if one.job_id == job.fields.get("held_by")), None)
    if holder is not None and holder.is_open:
        assert start in for_ever, f"a job that {holder.job_id} needs has a time to live: {job}"
    else:
        assert not for_ever, f"an ended job leaves for ever {for_ever}: {job}"


def _check_indexes(stored: StoredLedger) -> None:
    keys, going = stored.keys, [job for job in stored.jobs if job.is_open]
    due = {
        keys.open_jobs(): {job.job_id for job in going},
        keys.uploads(): {job.job_id for job in going if job.fields["sealed"] == "0"},
        keys.deadlines(): {job.job_id for job in going if "expires_at" in job.fields},
    }
    for name, members in due.items():
        assert stored.index(name) == members, f"{name} is {stored.index(name)}; due are {members}"
    held: dict[str, set[str]] = {}
    for job in going:
        for unit, lease in job.leases.items():
            held.setdefault(lease.partition(" ")[2], set()).add(f"{job.job_id} {unit}")
    assert stored.held == held, f"by their indexes workers hold {stored.held}; they hold {held}"


def _check_accounts(stored: StoredLedger) -> None:
    due: dict[str, dict[str, int]] = {}
    for job in stored.jobs:
        account = due.setdefault(job.fields["tenant"], dict.fromkeys(ACCOUNT, 0))
        kept_bytes, result_bytes = (
            int(job.fields.get(f"{n}_bytes", 0)) for n in ("kept", "result")
        )
        account["kept_bytes"] += kept_bytes
        if job.is_open:
            assert job.input_bytes == job.number("pending_bytes"), f"bytes are miscounted: {job}"
            assert kept_bytes == result_bytes, f"bytes of results are miscounted: {job}"
            account["jobs"] += 1
            account["items"] += job.open_items
            account["bytes"] += job.input_bytes
        else:
            assert kept_bytes >= result_bytes + job.input_bytes, f"kept for nothing: {job}"
            account["in buckets"] += 0 if "held_by" in job.fields else kept_bytes
    found = {tenant: dict.fromkeys(ACCOUNT, 0) | row for tenant, row in stored.accounts.items()}
    kept = {tenant: row for tenant, row in found.items() if any(row.values())}
    due = {tenant: row for tenant, row in due.items() if any(row.values())}
    assert kept == due, f"the tenants' accounts are {kept}; what they have open is {due}"


def _check_work_left(stored: StoredLedger) -> None:
    due: dict[str, int] = {}
    for job in stored.jobs:
        if job.is_open and job.state != "paused":
            left = job.open_items + int(job.fields.get("unread", 0))
            due[job.fields["queue"]] = due.get(job.fields["queue"], 0) + left
    due = {queue: items for queue, items in due.items() if items}
    assert stored.work_left == due, f"left are {stored.work_left} by queue; due are {due}"
