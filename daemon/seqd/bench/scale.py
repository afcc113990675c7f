"""`seqd bench scale`: the same reviews again and again, with new ids, in ever larger jobs.

Shows whether time grows in proportion and whether memory stays flat. Asserts nothing. Each job
is a command, file to file; its input file is written before and removed after.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqd.bench import usage
from seqd.bench.daemon import BenchDaemon, bench_daemon
from seqd.bench.machine import load_average, this_machine
from seqd.bench.report import Column, Grid, Report, Section
from seqd.bench.texts import Reviews
from seqd.errors import InvalidSettings, SeqdError

Say = Callable[[str], None]

#: Bytes of a result in the output file, at most.
_RESULT_BYTES = 300

_TIMES = (
    Column("reviews", "count"),
    Column("command", "s"),
    Column("reviews/s", "a second"),
    Column("a review", "share"),
    Column("in the ledger", "s"),
    Column("a review there", "share"),
)
_PEAKS = (
    Column("reviews", "count"),
    Column("client", "bytes"),
    Column("Redis", "bytes"),
    Column("largest worker", "bytes"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    reviews: Reviews
    #: Ascending.
    sizes: Sequence[int]
    model: str
    slots: str
    max_minutes: float


@dataclass(frozen=True, slots=True)
class _Size:
    """What one size came to."""

    reviews: int
    command_s: float
    ledger_s: float
    client_bytes: int
    redis_bytes: int
    worker_bytes: int


def bench_scale(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens. Raises InvalidSettings when the disk has no room."""
    report = _new_report(asked)
    ends_at = time.monotonic() + 60 * asked.max_minutes
    done: list[_Size] = []
    with tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with bench_daemon(folder / "data", asked.slots) as daemon:
            say("warming up")
            _run(daemon, asked, folder, min(asked.sizes[0], len(asked.reviews)))
            for size in asked.sizes:
                left_s = ends_at - time.monotonic()
                if done and left_s < size / done[-1].reviews * done[-1].command_s:
                    report.notes.append(_out_of_time(size, asked))
                    break
                say(f"{size:,} reviews")
                done.append(_run(daemon, asked, folder, size))
        report.load_after = load_average()
    report.sections += [
        Section("time", grid=Grid(_TIMES, [_times(one, done[0]) for one in done])),
        Section("largest memory", grid=Grid(_PEAKS, [_peaks(one) for one in done])),
    ]
    report.notes += [
        "`a review` is the time a review of the smallest job's: 100% is in proportion. The command "
        "has its start-up in it, the ledger's time is from the job's acceptance to its end.",
        "Redis's and a worker's largest memory are those since their start, over all jobs so far.",
    ]
    if not usage.is_counted():
        report.notes.append("Memory is told on Linux only; 0 here.")
    return report


def _new_report(asked: Asked) -> Report:
    return Report(
        bench="scale",
        what="the same reviews with new ids, in ever larger jobs, raw file to results file",
        machine=this_machine(),
        setup={
            "slots": asked.slots,
            "model": asked.model,
            "distinct reviews": len(asked.reviews),
            "reviews from": asked.reviews.source,
            "at most, minutes": asked.max_minutes,
        },
        load_before=load_average(),
    )


def _run(daemon: BenchDaemon, asked: Asked, folder: Path, size: int) -> _Size:
    _need_room(asked.reviews, size, folder)
    path, out = folder / f"{size}.jsonl", folder / "results.jsonl"
    asked.reviews.write(path, size)
    run = daemon.command(
        "classify", str(path), "--model", asked.model, "--out", str(out), allowed=(0, 2)
    )
    path.unlink()
    out.unlink()
    with daemon.client() as client:
        (record,) = client.jobs(1)
    if record.counts.done != size:
        raise SeqdError(f"Of {size:,} reviews {record.counts.done:,} came back.")
    used = daemon.usage()
    return _Size(
        reviews=size,
        command_s=run.seconds,
        # At least a millisecond, the ledger's smallest time: it is divided by.
        ledger_s=max(1, (record.ended_at_ms or 0) - record.created_at_ms) / 1000,
        client_bytes=run.usage.peak_bytes,
        redis_bytes=used["redis"].peak_bytes,
        worker_bytes=used["workers"].peak_bytes,
    )


def _need_room(reviews: Reviews, size: int, folder: Path) -> None:
    mean_bytes = sum(len(text.encode()) for text, _ in reviews.rows) / len(reviews)
    needed = round(size * (mean_bytes + 2 * _RESULT_BYTES))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InvalidSettings(
            f"{size:,} reviews need about {needed:,} bytes in {folder.parent}, which has {free:,} "
            "free. Set TMPDIR to a folder with more room, or name smaller --sizes."
        )


def _times(one: _Size, smallest: _Size) -> list[float]:
    def share(seconds: float, of_smallest_s: float) -> float:
        return (seconds / one.reviews) / (of_smallest_s / smallest.reviews)

    return [
        one.reviews,
        one.command_s,
        one.reviews / one.command_s,
        share(one.command_s, smallest.command_s),
        one.ledger_s,
        share(one.ledger_s, smallest.ledger_s),
    ]


def _peaks(one: _Size) -> list[float]:
    return [one.reviews, one.client_bytes, one.redis_bytes, one.worker_bytes]


def _out_of_time(size: int, asked: Asked) -> str:
    return (
        f"{size:,} reviews and more were left out: at this speed they would go beyond "
        f"--max-minutes {asked.max_minutes:g}."
    )
