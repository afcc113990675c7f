"""One review at a time, while a bulk job of a million waits: how long has a person to wait?

Stands alone: no peer of ours has priorities.
"""

import itertools
import time
from dataclasses import dataclass

from bench.case import Case, option
from bench.report import fact, latencies, say
from bench.texts import TEST_FILE, reviews_of
from seqd.errors import SeqdError
from seqd_schemas import Priority

_MODEL = "imdb_lstm@0"
_REVIEW = "A wonderful film, moving and beautifully acted. I loved every minute of it."
_PAUSE_S = 0.05


@dataclass
class Interactive(Case):
    """Classify one review at a time while a bulk job waits: how long does a person wait?"""

    what = "one interactive review after the other, beside a bulk job"

    bulk: int = option(1_000_000, "reviews of the bulk job")
    seconds: float = option(30.0, "how long to measure")

    def measure(self) -> None:
        reviews = reviews_of(self.file_or(TEST_FILE), min(5_000, self.bulk))
        self.report.setup |= {"reviews from": reviews.source, "pause between two, s": _PAUSE_S}
        texts = itertools.islice(itertools.cycle(text for text, _ in reviews.rows), self.bulk)
        client = self.stack.enter_context(self.daemon(self.slots).client())
        say(f"measuring for {self.seconds:g} s")
        bulk = client.classify(texts, model=_MODEL, priority=Priority.BULK, durable=False)
        next(bulk.results())
        done, began, took_ms = bulk.record().counts.done, time.monotonic(), []
        while time.monotonic() - began < self.seconds:
            sent = time.perf_counter()
            job = client.classify([_REVIEW], model=_MODEL, priority=Priority.INTERACTIVE)
            (_,) = job.results()
            took_ms.append(1000 * (time.perf_counter() - sent))
            time.sleep(_PAUSE_S)
        record, passed_s = bulk.record(), time.monotonic() - began
        bulk.cancel()
        if record.state.is_terminal:
            raise SeqdError("The bulk job ended before the time was over: give it more by --bulk.")
        rate = fact(
            "bulk reviews a second meanwhile", "a second", (record.counts.done - done) / passed_s
        )
        waited = latencies("one interactive review", took_ms)
        self.report.add("while the bulk job runs", latencies=[waited], facts=[rate])
