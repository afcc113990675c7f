"""`seqd bench jobs`: small jobs, one text each, beside plain Celery's one task a text.

Several client processes hand in and read at once, on both sides; both have the same Redis, its
append-only file on, and as many worker processes. Also how long one text takes on an idle
daemon, and what one job of many texts comes to. With a model that does nothing, which shows the
daemon alone, and with the shipped classifier.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from seqd.bench.daemon import BenchDaemon, OwnSettings, bench_daemon
from seqd.bench.echo import NAME as ECHO
from seqd.bench.echo import lay_out
from seqd.bench.machine import load_average, this_machine
from seqd.bench.peer import Peer, end_program
from seqd.bench.report import Latencies, Report, Row, Section
from seqd.bench.rounds import Side, in_turn, rates, ratios
from seqd.bench.texts import Reviews
from seqd.errors import SeqdError
from seqd.supervisor import launch_command

Say = Callable[[str], None]

MODEL = "imdb_lstm@0"
#: Between two single jobs: a daemon that has just committed is not idle yet.
PAUSE_S = 0.02
_CELERY_END_S = 30.0

LIGHT, REVIEWS, TOGETHER, CELERY = "light", "reviews", "together", "celery"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do. Counts are of one round, of all clients together."""

    reviews: Reviews
    rounds: int
    slots: str
    clients: int
    #: One-text jobs of the model that does nothing, and of the classifier.
    light_jobs: int
    review_jobs: int
    #: Texts of the one job, on the model that does nothing.
    texts: int
    #: Celery's tasks.
    tasks: int
    #: Jobs that a client has open at a time.
    window: int
    #: Single jobs on the idle daemon, of each kind.
    singles: int


def bench_jobs(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens."""
    report = _new_report(asked)
    with (
        tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        plugins = lay_out(folder / "plugins", OwnSettings(data_dir=folder / "data"))
        say("starting the daemon, Celery's worker and the clients")
        daemon = stack.enter_context(
            bench_daemon(folder / "data", asked.slots, python_path=plugins)
        )
        clients = _Clients(stack, daemon, asked, folder)
        sides = clients.sides()
        say("warming up")
        for side in sides.values():
            side()
        say("one at a time, on the idle daemon")
        report.sections.append(Section("one job on an idle daemon", latencies=clients.latencies()))
        figures = in_turn(
            sides, asked.rounds, lambda number: say(f"round {number} of {asked.rounds}")
        )
        report.load_after = load_average()
    _fill(report, asked, figures)
    return report


def _new_report(asked: Asked) -> Report:
    return Report(
        bench="jobs",
        what="small jobs of one text each, beside plain Celery with one task and result a text",
        machine=this_machine(),
        setup={
            "rounds in turn": asked.rounds,
            "slots": asked.slots,
            "client processes": asked.clients,
            "jobs open at a time, each client": asked.window,
            "one-text jobs, model that does nothing": asked.light_jobs,
            f"one-review jobs, {MODEL}": asked.review_jobs,
            "reviews from": asked.reviews.source,
            "texts of the one job": asked.texts,
            "Celery tasks": asked.tasks,
        },
        load_before=load_average(),
    )


class _Clients:
    """The client processes of both sides."""

    def __init__(self, stack: ExitStack, daemon: BenchDaemon, asked: Asked, folder: Path) -> None:
        self._asked = asked
        light = Reviews(tuple((f"text {number}", "") for number in range(1_000)), "numbers")
        light_file = light.write(folder / "light.jsonl")
        review_file = asked.reviews.write(folder / "reviews.jsonl")
        ours = "seqd.bench.one_review_jobs"

        def start(path: Path, count: int, number: int) -> list[Peer]:
            started = [
                stack.enter_context(Peer(ours, folder, daemon.environment)) for _ in range(number)
            ]
            for peer in started:
                peer.begin("prepare", texts=str(path), count=count)
            for peer in started:
                peer.answer()
            return started

        number = asked.clients
        self._light = start(light_file, asked.light_jobs // number, number)
        self._reviews = start(review_file, asked.review_jobs // number, number)
        (self._one,) = start(light_file, asked.texts, 1)
        environment = daemon.environment | _celery_address(daemon)
        stack.enter_context(_celery_worker(environment, len(daemon.slots), folder))
        theirs = "seqd.bench.peers.celery_tasks"
        self._celery = [
            stack.enter_context(Peer(theirs, folder, environment)) for _ in range(number)
        ]

    def sides(self) -> dict[str, Side]:
        """Give the sides; each gives the seconds of a round."""
        asked = self._asked
        window = {"window": asked.window}
        return {
            LIGHT: lambda: _all(self._light, "each", model=ECHO, is_echo=True, **window),
            REVIEWS: lambda: _all(self._reviews, "each", model=MODEL, is_echo=False, **window),
            TOGETHER: lambda: _all([self._one], "together", model=ECHO),
            CELERY: lambda: _all(self._celery, "run", count=asked.tasks // asked.clients),
        }

    def latencies(self) -> list[Latencies]:
        """Time single jobs, and Celery's tasks, one after the other."""
        jobs = self._asked.singles

        def ours(peer: Peer, model: str) -> list[float]:
            answer = peer.ask("one_by_one", model=model, jobs=jobs, pause_s=PAUSE_S)
            return list(answer["milliseconds"])

        celery = list(self._celery[0].ask("one_by_one", count=jobs)["milliseconds"])
        return [
            Latencies(f"one review, {MODEL}", ours(self._reviews[0], MODEL)),
            Latencies("one text, model that does nothing", ours(self._light[0], ECHO)),
            Latencies("one task and its result, Celery", celery),
        ]


def _all(peers: list[Peer], do: str, **arguments: object) -> float:
    """Let all work at once; gives seconds. Raises SeqdError when a result is missing or wrong."""
    began = time.perf_counter()
    for peer in peers:
        peer.begin(do, **arguments)
    answers = [peer.answer() for peer in peers]
    took_s = time.perf_counter() - began
    lost = sum(answer.get("missing", 0) + answer.get("wrong", 0) for answer in answers)
    if lost:
        raise SeqdError(
            f"{lost:,} results of a round were missing or wrong; it counts for nothing."
        )
    return took_s


def _celery_address(daemon: BenchDaemon) -> dict[str, str]:
    url = daemon.endpoint.url
    return {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}


@contextmanager
def _celery_worker(environment: dict[str, str], processes: int, folder: Path) -> Iterator[None]:
    """Run Celery's own worker on as many processes as the daemon has slots."""
    module = "seqd.bench.peers.celery_tasks"
    options = [
        "worker",
        "-c",
        str(processes),
        "-l",
        "ERROR",
        "--without-gossip",
        "--without-mingle",
    ]
    with (folder / "celery.log").open("wb") as log:
        worker = subprocess.Popen(  # noqa: S603 (a module of ours, no shell)
            launch_command(
                [sys.executable, "-m", "celery", "-A", module, *options], signal.SIGTERM
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    try:
        yield
    finally:
        end_program(worker, _CELERY_END_S)


def _fill(report: Report, asked: Asked, figures: dict[str, list[float]]) -> None:
    counts = {
        LIGHT: (f"seqd, {asked.light_jobs:,} jobs, model that does nothing", asked.light_jobs),
        REVIEWS: (f"seqd, {asked.review_jobs:,} jobs, one review each", asked.review_jobs),
        TOGETHER: (f"seqd, one job of {asked.texts:,} texts", asked.texts),
        CELERY: (f"Celery, {asked.tasks:,} tasks with results", asked.tasks),
    }
    speeds = {name: rates(count, figures[name]) for name, (_, count) in counts.items()}
    rows = [Row(counts[name][0], "a second", values) for name, values in speeds.items()]
    beside = [
        Row(f"{counts[name][0]} / Celery", "times", ratios(speeds[name], speeds[CELERY]))
        for name in (LIGHT, REVIEWS, TOGETHER)
    ]
    # What a person waits for stands behind what a service asks for.
    report.sections[:0] = [
        Section("texts a second, each with its result read", rows),
        Section("how many times as fast", beside),
    ]
