"""Work without an end on two real hosts, disturbed or not: `make chaos` and `make soak`.

`--on pace` is one job after the other of 1,000,000 items on a light plugin, `--on reviews` of real
reviews on imdb_lstm, `--on mixed` eleven kinds of work side by side: small jobs, bulk, files,
streams, trainings, cancels, items that raise, items that kill their process, the inbox, clients
that come and go, versions that are tried and put in service. With `--faults` plugs are pulled
meanwhile, one after the other, in a seeded order that is printed as it goes, until all have come; a
fault waits until work has moved since the one before, so that the longest stall is what one costs.
Without, the work goes on for `--minutes`, and each curve must be flat after the warm-up: memory,
open files and threads of each process, Redis, logs, files.

Exits 1 when an item is lost, doubled, out of order or wrong, when anything is left in an account
once all is removed, when a fault did not come, when a curve rises, or, under faults, when memory
went beyond its limits. Not a test of speed.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread

from redis import RedisError

from checkout import use_checkout
from endless.curves import Soak
from endless.faults import COUNTS, Faults, NoVictim, schedule
from endless.fleet import Fleet, a_fleet, patiently
from endless.judgement import StallClock, Tally, left_behind
from endless.sampling import Sampler
from endless.work import KINDS, Reviews, Work
from seqd.errors import REDIS_ERRORS

#: Limits of the project under faults, in MB: of a worker's growth beyond its median, not its size.
LIMITS_MB = {"worker growth, MB": 100, "client peak, MB": 150, "Redis peak, MB": 300}

#: Work that has not moved for so long has been forgotten: the run ends as failed.
STALL_LIMIT_S = 120.0

#: Logs are short, so that they are set aside within the time.
CALM = {"SEQD_MAX_LOG_BYTES": "65536", "SEQD_LOG_FILES": "2"}
#: A unit may be under way in many kills; none of them is its own doing.
DISTURBED = {"SEQD_MAX_ATTEMPTS": "20"}

#: Curves without which a run of mixed work says nothing.
ALWAYS_THERE = (
    *("client, MB", "redis, MB", "logs, MB", "files", "second cpu:0 parent, MB"),
    *("first cpu:0 child, MB", "first cpu:1 child, MB", "first train@cpu child, MB"),
)


def main() -> int:
    """Read the command line; returns the exit status."""
    use_checkout()
    asked = _parser().parse_args()
    counts = _counts(asked.faults)
    soak = Soak(asked.warm_up_minutes * 60)
    with tempfile.TemporaryDirectory(prefix="seqd-endless-") as name:
        variables = DISTURBED if counts else CALM
        with a_fleet(Path(name), asked.on, variables) as fleet:
            reviews = _reviews(asked)
            work = Work(
                fleet, Path(name), asked.items, asked.unit_ms, reviews, is_disturbed=bool(counts)
            )
            if asked.on != "pace":
                work.learn_labels()
            figures = _run(asked, fleet, work, soak, counts)
    is_well = _print(soak, figures, sum(counts.values()), asked.on)
    if asked.figures:
        asked.figures.write_text(json.dumps({**asdict(soak), **figures}))
    return 0 if is_well else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "endless", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--on", choices=KINDS, default="mixed")
    parser.add_argument("--faults", default="", help="all, or such as kill_group=2,kill_redis=1")
    parser.add_argument("--seed", type=int, default=1, help="the order of the faults")
    parser.add_argument("--minutes", type=float, default=30.0, help="the longest time for faults")
    parser.add_argument("--warm-up-minutes", type=float, default=8.0)
    parser.add_argument("--every-s", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--items", type=int, default=1_000_000, help="of a job on pace")
    parser.add_argument("--unit-ms", type=float, default=300.0, help="pace of the plugin pace")
    parser.add_argument("--pause-s", type=float, default=3.0, help="longest wait between faults")
    parser.add_argument("--reviews", type=Path, help="JSON Lines, gzipped: id, text; else made up")
    parser.add_argument("--count", type=int, default=4_000, help="of reviews that are made up")
    parser.add_argument("--figures", type=Path, help="write figures and curves there, as JSON")
    return parser


def _counts(asked: str) -> dict[str, int]:
    if asked == "all":
        return COUNTS
    pairs = dict(pair.split("=") for pair in asked.split(",") if pair)
    if unknown := set(pairs) - set(COUNTS):
        sys.exit(f"--faults: there is no {sorted(unknown)[0]!r}; there are {', '.join(COUNTS)}")
    return {name: int(count) for name, count in pairs.items()}


def _reviews(asked: argparse.Namespace) -> Reviews:
    if asked.reviews:
        return Reviews.of_file(asked.reviews, None)
    return Reviews.composed(asked.count)


def _run(
    asked: argparse.Namespace, fleet: Fleet, work: Work, soak: Soak, counts: dict[str, int]
) -> dict[str, object]:
    """Work until the time is over or all faults have come; return the figures of it."""
    began = time.monotonic()
    kinds = {**KINDS[asked.on]}
    if counts:
        kinds.pop("dying_children", None)
    with _sampled(soak, Sampler(fleet), asked.every_s):
        clock = StallClock(lambda: _done(work))
        with work.running(kinds), clock:
            if counts:
                done = _break_things(asked, fleet, work, clock, counts)
            else:
                done = 0
                work.wait(asked.minutes * 60)
            stall_s = clock.stall_s
    total = Tally()
    for tally in work.tallies.values():
        total.add(tally)
    soak.items_of = {name: tally.items for name, tally in work.tallies.items()}
    soak.faults = [*work.errors, *left_behind(fleet.client)]
    return {
        "seed": asked.seed,
        "faults done": done,
        **asdict(total),
        "late commits refused": fleet.late_commits(),
        "longest stall, s": round(stall_s, 1),
        "run, s": round(time.monotonic() - began),
        "worker growth, MB": soak.growth(" child, MB"),
        "client peak, MB": soak.peak("client, MB"),
        "Redis peak, MB": soak.peak("redis, MB"),
    }


@contextmanager
def _sampled(soak: Soak, sampler: Sampler, every_s: float) -> Iterator[None]:
    """Take samples until the block ends; there is none while Redis does not answer."""
    over, began = Event(), time.monotonic()

    def take() -> None:
        while not over.is_set():
            second = time.monotonic() - began
            with suppress(RedisError, OSError):
                soak.add(second, sampler.sample())
            if len(soak.seconds) % 60 == 59:
                print(f"{second / 60:5.1f} min", flush=True)
            over.wait(every_s)

    thread = Thread(target=take, name="endless-samples")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _done(work: Work) -> int:
    """Return a number that changes as long as work goes on, or there is none to do."""
    job, items = work.large_job, sum(tally.items for tally in [*work.tallies.values()])
    if job is None:
        return items
    record = patiently(job.record)
    # Of a job that has ended the results are read when the fault is over.
    return items + (time.monotonic_ns() if record.state.is_terminal else record.counts.done)


def _break_things(
    asked: argparse.Namespace, fleet: Fleet, work: Work, clock: StallClock, counts: dict[str, int]
) -> int:
    """Do all faults, one after the other; return how many there were time for."""
    choice, deadline = random.Random(asked.seed), time.monotonic() + asked.minutes * 60
    due, faults = deque(schedule(choice, counts)), Faults(fleet, choice)
    while due and not work.errors and time.monotonic() < deadline:
        _wait_until_moved(clock, work)
        work.wait(choice.uniform(asked.pause_s / 6, asked.pause_s))
        with work.at_rest, suppress(NoVictim, *REDIS_ERRORS):  # it comes later, then
            if asked.on != "mixed" and work.large_job is None:
                continue  # a job has just ended
            what = faults.do(due[0])
            name, number = due.popleft(), sum(counts.values()) - len(due)
            print(f"{time.strftime('%H:%M:%S')} fault {number:2}: {name} {what}", flush=True)
    if not work.errors:
        _wait_until_moved(clock, work)
    return sum(counts.values()) - len(due)


def _wait_until_moved(clock: StallClock, work: Work) -> None:
    """Wait until an item more is done; Redis is asked patiently meanwhile."""
    before, deadline = clock.value, time.monotonic() + STALL_LIMIT_S
    while clock.value == before and not work.errors:
        if time.monotonic() > deadline:
            work.errors.append(f"no item was finished for {STALL_LIMIT_S:g} s")
        time.sleep(0.05)


def _print(soak: Soak, figures: Mapping[str, object], due: int, worked_on: str) -> bool:
    """Print what came of it; return whether all is as it must be."""
    wrong = list(soak.faults)
    for name, value in figures.items():
        limit = LIMITS_MB.get(name) if due else None
        is_bad = limit is not None and float(str(value)) >= limit
        is_bad |= name in ("lost", "doubled", "misplaced", "failed") and value != 0
        is_bad |= name == "faults done" and value != due
        print(f"{name:<38}{value!s:>12}  {'WRONG' if is_bad else ''}".rstrip())
        wrong += [f"{name}: {value}"] if is_bad else []
    for kind, count in sorted(soak.items_of.items()):
        print(f"{kind:<38}{count:>12,} items")
        wrong += [] if count else [f"nothing was done of {kind}"]
    verdicts = [] if due else soak.verdicts()
    if verdicts:
        print(f"{'after the warm-up':<38}{'median':>12}{'rise':>12}{'tolerance':>12}")
    for one in verdicts:
        word = "flat" if one.is_flat else "RISES"
        print(f"{one.name:<38}{one.median:12,.1f}{one.rise:12,.1f}{one.tolerance:12,.1f}  {word}")
        wrong += [] if one.is_flat else [f"{one.name} rises"]
    if worked_on == "mixed":
        wrong += [f"never seen: {name}" for name in ALWAYS_THERE if name not in soak.curves]
    print(*wrong, sep="\n", file=sys.stderr)
    return not wrong and bool(due or verdicts)


if __name__ == "__main__":
    sys.exit(main())
