"""The readers' face of the ledger: jobs, their results and their events; and the cancel.

Reads are plain commands. Called by `seqd.client` and the command line.
"""

from collections.abc import Iterator, Sequence
from typing import cast

from redis import Redis

from seqd.errors import UnknownJob
from seqd.ledger.connection import redis_errors
from seqd.ledger.scripts import Scripts, as_text
from seqd.ledger.work import JOB
from seqd_schemas import EVENT, Counts, Event, Failure, JobRecord, JobState, Keys, TrainingResult

#: Longest blocking read in milliseconds; shorter than the socket timeout of the connection.
BLOCK_MS = 2_000

_Entry = tuple[bytes, dict[bytes, bytes]]


class Jobs:
    """Reads jobs, results and events."""

    def __init__(self, redis: Redis, scripts: Scripts, keys: Keys) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = keys
        #: Where `forget_expired` goes on.
        self._cursor = 0

    def get(self, job_id: str) -> JobRecord:
        """Give a job as it is now; raises UnknownJob."""
        with redis_errors(self._redis):
            row = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.job(job_id)))
        if not row:
            raise _unknown(job_id)
        return _record(job_id, {key.decode(): value for key, value in row.items()})

    def newest(self, limit: int) -> list[JobRecord]:
        """Give the newest `limit` jobs that are kept, newest first."""
        return self._newest_of(self._keys.jobs(), limit)

    def newest_open(self, limit: int) -> list[JobRecord]:
        """Give the newest `limit` jobs that have not ended, newest first."""
        records = self._newest_of(self._keys.open_jobs(), limit)
        return [record for record in records if not record.state.is_terminal]

    def cancel(self, job_id: str) -> JobState:
        """Cancel a job, with or without a worker up; gives its state afterwards.

        A job that had ended keeps its state. Raises UnknownJob.
        """
        return self._end(job_id, JobState.CANCELLED, "")

    def fail(self, job_id: str, failure: Failure) -> JobState:
        """End a job as failed, whoever holds its units; gives its state afterwards."""
        return self._end(job_id, JobState.FAILED, failure.model_dump_json())

    def fail_abandoned(self, silence_s: float, now_ms: int) -> None:
        """End jobs whose client has sent no chunk for `silence_s` seconds and did not finish."""
        with redis_errors(self._redis):
            latest_ms = now_ms - int(silence_s * 1000)
            rows = self._redis.zrangebyscore(self._keys.uploads(), "-inf", latest_ms)
        for job_id in cast(list[bytes], rows):
            message = (
                f"The client sent no more input for {silence_s:g} s and did not say that it was "
                "done. Send the job again; what had finished stays readable."
            )
            failure = Failure(code="upload_abandoned", message=message, retryable=True)
            # Not `fail`: a job that somebody has deleted by hand is no error here.
            self._scripts.call(
                "end_job", job_id, JobState.FAILED.value, failure.model_dump_json(), "", ""
            )

    def forget_expired(self, batch: int = 1_000) -> None:
        """Take jobs off the list whose time to live has passed; called again and again.

        Looks at about `batch` jobs and goes on from there at the next call; goes on at once
        while many of them are gone, so that the list never holds much more than what is kept.
        """
        while True:
            with redis_errors(self._redis):
                reply = self._redis.zscan(self._keys.jobs(), cursor=self._cursor, count=batch)
                self._cursor, rows = cast(tuple[int, list[tuple[bytes, float]]], reply)
                gone = self._forget_gone([job_id for job_id, _ in rows])
            if self._cursor == 0 or gone * 10 < len(rows):
                return

    def outputs(self, job_id: str, units: Sequence[int | str]) -> list[bytes | None]:
        """Give the result blobs of units, None for each that is not committed."""
        with redis_errors(self._redis):
            names = [str(unit) for unit in units]
            rows = self._redis.hmget(self._keys.output(job_id), names)
        return cast(list[bytes | None], rows)

    def inputs(self, job_id: str, units: Sequence[int | str]) -> list[bytes | None]:
        """Give the input blobs of units, None for each that is done or unknown."""
        with redis_errors(self._redis):
            names = [str(unit) for unit in units]
            rows = self._redis.hmget(self._keys.input(job_id), names)
        return cast(list[bytes | None], rows)

    def parts(self, job_id: str, unit: int) -> list[str]:
        """Name the parts of a unit in order; of one that was not split, the unit itself."""
        with redis_errors(self._redis):
            names = cast(bytes | None, self._redis.hget(self._keys.parts(job_id), str(unit)))
        return [str(unit)] if names is None else names.decode().split()

    def input_units(self, job_id: str) -> int:
        """Count the input chunks that are kept."""
        with redis_errors(self._redis):
            return self._redis.hlen(self._keys.input(job_id))

    def events(
        self,
        job_id: str,
        after: str = "0-0",
        *,
        block: bool = True,
        longest_wait_s: float = BLOCK_MS / 1000,
    ) -> list[Event]:
        """Give the events behind stream id `after`; `block` waits up to two seconds for one."""
        block_ms = min(BLOCK_MS, max(1, int(longest_wait_s * 1000)))  # 0 would wait for ever
        return self._read(self._keys.events(job_id), after, block_ms if block else None)

    def all_events(self, after: str = "$", *, block: bool = True) -> list[Event]:
        """Give state changes of all jobs behind stream id `after`; `$` means from now on."""
        return self._read(self._keys.all_events(), after, BLOCK_MS if block else None)

    def last_event_id(self, job_id: str) -> str:
        """Give the stream id of a job's newest event, `0-0` when it has none."""
        with redis_errors(self._redis):
            rows = cast(
                list[tuple[bytes, object]],
                self._redis.xrevrange(self._keys.events(job_id), count=1),
            )
        return rows[0][0].decode() if rows else "0-0"

    def _newest_of(self, key: str, limit: int) -> list[JobRecord]:
        records: list[JobRecord] = []
        first = 0
        while len(records) < limit:
            with redis_errors(self._redis):
                ids = cast(list[bytes], self._redis.zrevrange(key, first, first + limit - 1))
            if not ids:
                break
            records += self._kept(ids)
            first += len(ids)
        return records[:limit]

    def _kept(self, ids: Sequence[bytes]) -> list[JobRecord]:
        """Read jobs; leaves those out whose time to live has passed since."""
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(self._keys.job(job_id.decode()))
            rows = cast(list[dict[bytes, bytes]], pipe.execute())
        return [
            _record(job_id.decode(), {key.decode(): value for key, value in row.items()})
            for job_id, row in zip(ids, rows, strict=True)
            if row
        ]

    def _forget_gone(self, ids: Sequence[bytes]) -> int:
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.exists(self._keys.job(job_id.decode()))
            kept = cast(list[int], pipe.execute())
        gone = [job_id for job_id, exists in zip(ids, kept, strict=True) if not exists]
        if gone:
            self._redis.zrem(self._keys.jobs(), *gone)
        return len(gone)

    def _read(self, key: str, after: str, block_ms: int | None) -> list[Event]:
        with redis_errors(self._redis):
            reply = self._redis.xread({key: after}, count=500, block=block_ms)
        return list(_events(reply))

    def _end(self, job_id: str, state: JobState, failure: str) -> JobState:
        outcome = as_text(self._scripts.call("end_job", job_id, state.value, failure, "", ""))
        if outcome == "unknown":
            raise _unknown(job_id)
        return state if outcome == "ended" else JobState(outcome)


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(
        f"No job {job_id!r}. It may have been removed when its time to live had passed. "
        "`seqd jobs list` shows those that are kept."
    )


def _events(reply: object) -> Iterator[Event]:
    """Read an XREAD reply: a list of streams, each with its name and its entries."""
    for _, entries in cast(list[tuple[bytes, list[_Entry]]], reply or []):
        for event_id, fields in entries:
            event = EVENT.validate_json(fields[b"e"])
            yield event.model_copy(update={"id": event_id.decode()})


def _record(job_id: str, row: dict[str, bytes]) -> JobRecord:
    failure, training = row.get("failure"), row.get("training")
    return JobRecord(
        job_id=job_id,
        kind=row["kind"].decode(),
        model=row["model"].decode(),
        version=_number(row, "version"),
        state=JobState(row["state"].decode()),
        counts=_counts(row),
        sealed=row["sealed"] == b"1",
        unit_items=int(row["unit_items"]),
        units=int(row["units"]),
        units_done=int(row["units_done"]),
        priority=row["priority"].decode(),
        tenant=row["tenant"].decode(),
        created_at_ms=int(row["created"]),
        started_at_ms=_number(row, "started"),
        ended_at_ms=_number(row, "ended"),
        failure=None if failure is None else Failure.model_validate_json(failure),
        training=None if training is None else TrainingResult.model_validate_json(training),
        job=JOB.validate_json(row["spec"]),
    )


def _number(row: dict[str, bytes], name: str) -> int | None:
    value = row.get(name)
    return None if value is None else int(value)


def _counts(row: dict[str, bytes]) -> Counts:
    total = int(row["total"])
    done = {name: int(row[name]) for name in ("succeeded", "errored", "cancelled", "expired")}
    return Counts(total=total, processing=total - sum(done.values()), **done)
