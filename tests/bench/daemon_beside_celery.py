"""Times the daemon beside raw Celery: one job of many items, and one Celery task per item.

Not a test: `make bench-celery` runs it and prints what the README quotes. Both sides do nothing
with an item but give it back, so what is timed is the way there and back: hand in, work on,
store, read every result in input order. Both have two worker processes, the same Redis server
with its append-only file on, and are warm. Start-up is not counted on either side.

Celery's tasks are sent by `delay` and read by `get`. Of 3,000 that gave 574 a second, one group
with `join_native` 533, with `join` 484 (2 cores, each once). Celery promises less than the daemon
here: by default it acknowledges a task before it runs, so a kill loses it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from chaos.loads import Light
from chaos.scene import Scene, scene
from chaos.tally import tally_of

PROCESSES = 2
#: Long enough for a slow machine; a round that takes longer has hung.
ROUND_S = 600.0


@contextmanager
def celery_worker(url: str, folder: Path) -> Iterator[None]:
    """Run Celery's own worker on as many processes as the daemon has."""
    os.environ["BENCH_REDIS_URL"] = url
    command = ["-m", "celery", "-A", "task_per_item", "worker", "-c", str(PROCESSES), "-l", "ERROR"]
    with (folder / "celery.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, *command, "--without-gossip", "--without-mingle"],
            cwd=Path(__file__).parent,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(60)


def time_celery(items: int) -> float:
    """Send a task per item and read all results in order; gives seconds."""
    from task_per_item import label

    began = time.perf_counter()
    sent = [label.delay(f"text {number}") for number in range(items)]
    results = [result.get(timeout=ROUND_S) for result in sent]
    took_s = time.perf_counter() - began
    wrong = sum(result["label"] != f"text {number}" for number, result in enumerate(results))
    assert len(results) == items and wrong == 0, "Celery gave other results than were due"
    for result in sent:  # Not timed: what the next round should not find.
        result.forget()
    return took_s


def time_daemon(raised: Scene, load: Light, job_id: str) -> float:
    """Hand one job in and read all results in order; gives seconds."""
    began = time.perf_counter()
    tally = tally_of(load.submit(raised.client, job_id).results(), load)
    took_s = time.perf_counter() - began
    assert tally.is_clean, f"the daemon gave other results than were due: {tally}"
    return took_s


def main() -> None:
    """Run the rounds and print medians, spread and ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--daemon-items", type=int, default=500_000)
    parser.add_argument("--celery-items", type=int, default=5_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()

    load = Light(asked.daemon_items, unit_ms=0)
    daemon_s, celery_s = list[float](), list[float]()
    with (
        tempfile.TemporaryDirectory() as folder,
        scene(load.plugin, PROCESSES, load.prepare) as raised,
        celery_worker(raised.server.url, Path(folder)),
    ):
        # The first round warms both up: connections, scripts, Celery's processes.
        for number in range(asked.rounds + 1):
            daemon_s.append(time_daemon(raised, load, f"round-{number}"))
            celery_s.append(time_celery(asked.celery_items))
    report(asked, daemon_s[1:], celery_s[1:])


def report(asked: argparse.Namespace, daemon_s: list[float], celery_s: list[float]) -> None:
    """Print items a second of both sides and the median of the rounds' ratios."""
    daemon = [asked.daemon_items / took_s for took_s in daemon_s]
    celery = [asked.celery_items / took_s for took_s in celery_s]
    ratios = [ours / theirs for ours, theirs in zip(daemon, celery, strict=True)]
    figures = {
        "rounds": asked.rounds,
        "cores": os.cpu_count(),
        "load_average_1_min": round(os.getloadavg()[0], 1),
        "processes": PROCESSES,
        "daemon_items": asked.daemon_items,
        "celery_items": asked.celery_items,
        "daemon": _summary(daemon),
        "celery": _summary(celery),
        "ratio": _summary(ratios),
    }
    if asked.json:
        print(json.dumps(figures))
        return
    print(
        f"items a second, {asked.rounds} rounds in turn, {PROCESSES} worker processes a side, "
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}\n"
        f"{'':<40}{'median':>9}{'lowest':>9}{'highest':>9}"
    )
    _print_row(f"seqd, one job of {asked.daemon_items:,}", daemon)
    _print_row(f"Celery, {asked.celery_items:,} tasks with results", celery)
    _print_row("seqd / Celery", ratios)


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "min": round(min(values), 1),
        "max": round(max(values), 1),
    }


def _print_row(name: str, values: list[float]) -> None:
    figures = (statistics.median(values), min(values), max(values))
    print(f"{name:<40}" + "".join(f"{figure:>9,.0f}" for figure in figures))


if __name__ == "__main__":
    main()
