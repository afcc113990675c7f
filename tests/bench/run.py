"""Vectors of 256 numbers beside labels: what a plugin's own task costs, with a model of no work.

Both are one job of many texts, handed in and read by one client process. Redis keeps what both
gave, so its bytes a result are those of the keys of the jobs.
"""

from dataclasses import dataclass
from functools import partial

from redis import Redis

from bench.case import Case, option
from bench.daemon import TESTS, usage_of
from bench.jobs import publish_echo, rate
from bench.report import Figure, Side, fact, in_turn, ratios, row, say, warm_up
from bench.texts import Reviews
from seqd.client import Client
from seqd.settings import Settings

PLUGIN, MODEL, TASK = TESTS / "bench" / "task_plugin", "random_vectors", "embed"
LABELS, VECTORS = "labels, by classify", "vectors of 256, by run embed"


@dataclass
class Run(Case):
    """Give texts vectors of 256 numbers, and labels, by a model that does nothing."""

    what = "one job of many texts: a vector of 256 numbers each, beside a label each"

    items: int = option(100_000, "texts of a job")
    rounds: int = option(5, "rounds; sides take turns")

    def measure(self) -> None:
        numbers = Reviews([(f"text {number}", "") for number in range(1_000)], "numbers")
        texts = numbers.write(self.folder / "texts.jsonl")
        publish_echo(Settings(data_dir=self.folder / "data"), MODEL)
        say("starting the daemon and the client")
        daemon = self.daemon(self.slots, python_path=str(PLUGIN))
        variables = {"SEQD_DATA_DIR": daemon.variables["SEQD_DATA_DIR"]}
        client = self.peer("one_client", variables, texts=str(texts), count=self.items)
        sides: dict[str, Side] = {
            LABELS: partial(rate, [client], self.items, "together", model=MODEL),
            VECTORS: partial(rate, [client], self.items, "together_run", model=MODEL, task=TASK),
        }
        warm_up(sides)
        figures = in_turn(sides, self.rounds)
        rows = [row(name, "a second", speeds) for name, speeds in figures.items()]
        self.report.add("results a second, each read", rows)
        beside = row(f"{VECTORS} / {LABELS}", "times", ratios(figures[VECTORS], figures[LABELS]))
        self.report.add("how many times as fast", [beside])
        kept = self._kept(daemon.endpoint.url, daemon.settings)
        self.report.add("bytes of Redis a result", facts=kept)
        used = {**daemon.usage(), "client": usage_of([client.program.pid])}
        memory = [fact(name, "bytes", one.peak_bytes) for name, one in used.items()]
        self.report.add("largest memory of a process", facts=memory)

    def _kept(self, url: str, settings: Settings) -> list[Figure]:
        """Return what Redis holds of a result, by the keys of the last job of each side."""
        with Client(settings=settings) as client:
            jobs = {record.kind: record for record in client.jobs(4)}
        with Redis.from_url(url) as redis:
            sizes = {
                kind: int(redis.memory_usage(settings.keys.output(record.job_id), samples=0) or 0)
                for kind, record in jobs.items()
            }
        names = {"classify": LABELS, "run": VECTORS}
        return [
            fact(names[kind], "count", size / jobs[kind].counts.total)
            for kind, size in sorted(sizes.items())
        ]
