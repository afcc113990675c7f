"""Pulls plugs at random while a job runs, and counts what came out: `make chaos`.

Real processes, real signals, a real Redis with its append-only file. The schedule of faults is
seeded and printed as it goes; the table at the end says what went in, what came out, and what
it cost. Exits 1 when an item is lost, doubled or out of order. Not a test of speed.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))

import redis

from chaos.faults import COUNTS, Stage, end, resident_mb, schedule
from redis_fixtures import PrivateServer
from seqd.client import Client, JobHandle
from seqd.errors import REDIS_ERRORS
from seqd.server.binaries import find_server_binaries
from seqd.settings import Settings
from seqd.store import ModelStore, VersionDraft
from seqd_schemas import DataFingerprint, ItemSuccess, JobRecord

PLUGIN = Path(__file__).parent / "plugin"
LEASE_S = 5.0
READY_S = 90.0

#: A job that has not moved for so long has been forgotten: the run ends as failed.
STALL_LIMIT_S = 120.0

T = TypeVar("T")


@dataclass
class Watch:
    """What was seen of the job while it ran."""

    longest_stall_s: float = 0.0
    worker_peak_mb: float = 0.0
    client_peak_mb: float = 0.0


def patiently(ask: Callable[[], T]) -> T:
    """Ask until Redis answers: this run takes it away on purpose."""
    while True:
        try:
            return ask()
        except REDIS_ERRORS:
            time.sleep(0.2)


@contextmanager
def daemon(settings: Settings, slots: int) -> Iterator[None]:
    """Run `seqd up` on the run's own Redis, with the chaos plugin alone."""
    variables = {
        "SEQD_REDIS_URL": settings.redis_url or "",
        "SEQD_DATA_DIR": str(settings.data_dir),
        "SEQD_ENABLED_PLUGINS": "chaos",
        "SEQD_LEASE_S": str(LEASE_S),
        "SEQD_HEARTBEAT_S": "1",
        "SEQD_RECONCILE_S": "1",
        # A unit may be under way in many kills; none of them is its own doing.
        "SEQD_MAX_ATTEMPTS": "20",
        "PYTHONPATH": str(PLUGIN),
    }
    names = ",".join(f"all@cpu:{number}" for number in range(slots))
    with (settings.data_dir / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "seqd", "up", "--slots", names],
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            end(up)


def publish_version(settings: Settings) -> None:
    """Put the one version of the plugin's model into the store."""
    store = ModelStore(settings.store_dir, {})
    folder = store.new_folder("pace", "setup")
    (folder / "pace.json").write_text("{}")
    data = DataFingerprint(description="nothing", records=1, sha256="0" * 64)
    draft = VersionDraft(
        model="pace", plugin_version="1.0", parameters={}, metrics={}, data=data, created_at_ms=1
    )
    store.publish(folder, draft)


def inject(stage: Stage, names: list[str], choice: random.Random, job: JobHandle) -> int:
    """Do the faults one after the other while the job runs; gives how many were done.

    Between two faults the job moves on, so that the longest stall is what one fault costs.
    """
    for number, name in enumerate(names, 1):
        wait_until_moved(job)
        time.sleep(choice.uniform(0.5, 3.0))
        if patiently(job.record).state.is_terminal:
            print(f"the job ended before fault {number}")
            return number - 1
        what = getattr(stage, name)(choice)
        print(f"{time.strftime('%H:%M:%S')} fault {number:2}: {name} {what}", flush=True)
    return len(names)


def wait_until_moved(job: JobHandle) -> None:
    """Wait until an item more is done, or the job has ended."""
    before = patiently(job.record)
    deadline = time.monotonic() + STALL_LIMIT_S
    while (now := patiently(job.record)).counts.done == before.counts.done:
        if now.state.is_terminal:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no item was finished for {STALL_LIMIT_S:g} s")
        time.sleep(0.1)


def follow(job: JobHandle, client: Client, watch: Watch, ended: threading.Event) -> None:
    """Note the longest time without a finished item, and the peaks of memory."""
    done, moved_at = -1, time.monotonic()
    while not ended.wait(0.2):
        record = patiently(job.record)
        if record.state.is_terminal:
            return
        now = time.monotonic()
        watch.longest_stall_s = max(watch.longest_stall_s, now - moved_at)
        if record.counts.done != done:
            done, moved_at = record.counts.done, now
        watch.client_peak_mb = max(watch.client_peak_mb, resident_mb(os.getpid()))
        with suppress(*REDIS_ERRORS):
            peaks = [resident_mb(worker.pid) for worker in client.workers()]
            watch.worker_peak_mb = max(watch.worker_peak_mb, *peaks, 0.0)


def wait_until_ready(client: Client, slots: int) -> None:
    deadline = time.monotonic() + READY_S
    while len(patiently(client.workers)) < slots or not patiently(client.catalog):
        if time.monotonic() > deadline:
            sys.exit(f"the workers were not ready within {READY_S:g} s")
        time.sleep(0.2)


def wait_for_end(job: JobHandle) -> JobRecord:
    while not (record := patiently(job.record)).state.is_terminal:
        time.sleep(0.2)
    return record


def count_results(job: JobHandle, items: int) -> dict[str, int]:
    """Read all results; an item is right when it stands in its place with its own text."""
    seen, errored, misplaced = 0, 0, 0
    for place, result in enumerate(job.results()):
        seen += 1
        misplaced += result.custom_id != f"row-{place + 1}"
        errored += not isinstance(result, ItemSuccess)
    return {
        "items in": items,
        "items out": seen,
        "errors": errored,
        "lost": max(0, items - seen),
        "doubled": max(0, seen - items),
        "out of place": misplaced,
    }


def run(items: int, slots: int, seed: int, unit_ms: float, counts: dict[str, int]) -> bool:
    """One run; prints the table and gives whether every item came out once, in its place."""
    choice = random.Random(seed)
    names = schedule(choice, counts)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "redis").mkdir()
        server = PrivateServer(find_server_binaries()[0], Path(folder) / "redis")
        server.start()
        try:
            settings = Settings(redis_url=server.url, data_dir=Path(folder))
            publish_version(settings)
            with daemon(settings, slots), Client(settings=settings) as client:
                wait_until_ready(client, slots)
                return _run_job(client, server, settings, items, unit_ms, names, choice)
        finally:
            server.stop()


def _run_job(
    client: Client,
    server: PrivateServer,
    settings: Settings,
    items: int,
    unit_ms: float,
    names: list[str],
    choice: random.Random,
) -> bool:
    began = time.monotonic()
    texts = (f"text {number}" for number in range(items))
    job = client.classify(
        texts, model="pace", parameters={"unit_ms": unit_ms}, expected_items=items
    )
    watch, ended = Watch(), threading.Event()
    watcher = threading.Thread(target=follow, args=[job, client, watch, ended])
    watcher.start()
    stage = Stage(server, settings.prefix, client.workers)
    try:
        faults = inject(stage, names, choice, job)
        record = wait_for_end(job)
    finally:
        ended.set()
        watcher.join()
    table = count_results(job, items)
    with redis.Redis.from_url(server.url) as connection:
        attempts = connection.hvals(settings.keys.attempts(job.job_id))
        peak_mb = connection.info("memory")["used_memory_peak"] / 1e6
    rows: dict[str, object] = {
        "state": record.state,
        "faults": faults,
        **table,
        "units started again": sum(int(attempt) > 1 for attempt in attempts),
        "longest stall, s": round(watch.longest_stall_s, 1),
        "seconds": round(time.monotonic() - began, 1),
        "worker peak, MB": round(watch.worker_peak_mb),
        "client peak, MB": round(watch.client_peak_mb),
        "Redis peak, MB (since its last start)": round(peak_mb),
    }
    for name, value in rows.items():
        print(f"{name:<40}{value:>12}")
    wrong = table["lost"] + table["doubled"] + table["out of place"] + table["errors"]
    return faults == len(names) and wrong == 0


def main() -> int:
    """Read the command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unit-ms", type=float, default=300.0, help="pace of the plugin")
    parser.add_argument("--faults", help="such as kill_group=2,kill_redis=1; all by default")
    asked = parser.parse_args()
    counts = dict(COUNTS)
    if asked.faults:
        pairs = [pair.split("=") for pair in asked.faults.split(",")]
        counts = {name: int(count) for name, count in pairs}
    print(f"seed {asked.seed}: {asked.items:,} items, {sum(counts.values())} faults", flush=True)
    return 0 if run(asked.items, asked.slots, asked.seed, asked.unit_ms, counts) else 1


if __name__ == "__main__":
    sys.exit(main())
