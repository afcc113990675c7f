"""`seqd bench interactive`: one review at a time, while a bulk job of a million waits.

Tells how long somebody who is there has to wait. Stands alone: no peer of ours has priorities.
"""

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seqd.bench.daemon import BenchDaemon, bench_daemon
from seqd.bench.machine import load_average, this_machine
from seqd.bench.report import Fact, Latencies, Report, Section
from seqd.bench.texts import Reviews
from seqd.errors import SeqdError
from seqd_schemas import Priority

Say = Callable[[str], None]

MODEL = "imdb_lstm@0"
REVIEW = "A wonderful film, moving and beautifully acted. I loved every minute of it."
PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    reviews: Reviews
    #: Reviews of the bulk job, more than are done in `seconds`.
    bulk: int
    seconds: float
    slots: str


def bench_interactive(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens. Raises SeqdError when the bulk job ended too soon."""
    report = Report(
        bench="interactive",
        what="one interactive review after the other, beside a bulk job",
        machine=this_machine(),
        setup={
            "slots": asked.slots,
            "seconds": asked.seconds,
            "reviews of the bulk job": asked.bulk,
            "bulk reviews from": asked.reviews.source,
            "pause between two, s": PAUSE_S,
        },
        load_before=load_average(),
    )
    with (
        tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name,
        bench_daemon(Path(name) / "data", asked.slots) as daemon,
    ):
        say(f"measuring for {asked.seconds:g} s")
        report.sections.append(_measure(daemon, asked))
        report.load_after = load_average()
    return report


def _measure(daemon: BenchDaemon, asked: Asked) -> Section:
    texts = itertools.cycle([text for text, _ in asked.reviews.rows])
    with daemon.client() as client:
        bulk = client.classify(
            itertools.islice(texts, asked.bulk), model=MODEL, priority=Priority.BULK, durable=False
        )
        next(bulk.results())
        done, began = bulk.record().counts.done, time.monotonic()
        took_ms = []
        while time.monotonic() - began < asked.seconds:
            sent = time.perf_counter()
            (_,) = client.classify([REVIEW], model=MODEL, priority=Priority.INTERACTIVE).results()
            took_ms.append(1000 * (time.perf_counter() - sent))
            time.sleep(PAUSE_S)
        record, passed_s = bulk.record(), time.monotonic() - began
        bulk.cancel()
    if record.state.is_terminal:
        raise SeqdError("The bulk job ended before the time was over: give it more with --bulk.")
    rate = (record.counts.done - done) / passed_s
    return Section(
        "while the bulk job runs",
        latencies=[Latencies("one interactive review", took_ms)],
        facts=[Fact("bulk reviews a second meanwhile", "a second", rate)],
    )
