"""One review at a time: how long has a person to wait?

On an idle daemon, by both clients and beside a bare round trip of Celery, which each answer takes
and more; with a model that does nothing, too. And while a bulk job of a million waits, which stands
alone: no peer of ours has priorities.
"""

import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bench.case import Case, option
from bench.daemon import Daemon, Peer
from bench.jobs import ECHO, PLUGIN, celery_beside, publish_echo
from bench.report import fact, latencies, say
from bench.texts import TEST_FILE, reviews_of
from seqd.errors import SeqdError
from seqd.settings import Settings
from seqd_schemas import Priority

_MODEL = "imdb_lstm@0"
_REVIEW = "A wonderful film, moving and beautifully acted. I loved every minute of it."
_PAUSE_S = 0.05
#: Between two single texts of the idle daemon, and texts of one turn.
_IDLE_PAUSE_S, _TURN = 0.02, 20


@dataclass
class Interactive(Case):
    """Classify one review at a time, idle and beside a bulk job: how long does a person wait?"""

    what = "one interactive review after the other, on an idle daemon and beside a bulk job"

    bulk: int = option(1_000_000, "reviews of the bulk job")
    seconds: float = option(30.0, "how long to measure")
    singles: int = option(200, "single texts of each kind on the idle daemon")

    def measure(self) -> None:
        reviews = reviews_of(self.file_or(TEST_FILE), min(5_000, self.bulk))
        self.report.setup |= {"reviews from": reviews.source, "pause between two, s": _PAUSE_S}
        texts = itertools.islice(itertools.cycle(text for text, _ in reviews.rows), self.bulk)
        publish_echo(Settings(data_dir=self.folder / "data"))
        daemon = self.daemon(self.slots, python_path=str(PLUGIN))
        self._measure_idle(daemon)
        client = self.stack.enter_context(daemon.client())
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

    def _measure_idle(self, daemon: Daemon) -> None:
        """Time single texts, all kinds in turn."""
        say("one at a time, on the idle daemon")
        (self.folder / "texts.jsonl").write_text(json.dumps({"text": _REVIEW}) + "\n")
        address = celery_beside(self, daemon)
        celery = self.peer("peers.celery_tasks", address)
        variables = {"SEQD_DATA_DIR": daemon.variables["SEQD_DATA_DIR"]}
        ours = self.peer("one_answer", variables, texts=str(self.folder / "texts.jsonl"), count=1)
        kinds: dict[str, Callable[[int], list[float]]] = {
            "one task and its result, Celery": lambda count: celery.ask("one_by_one", count=count)
        }
        for how, name in (("predict", "predict"), ("predict_async", "await predict")):
            for model, what in ((_MODEL, _MODEL), (ECHO, "a model that does nothing")):
                asked = {"model": model, "pause_s": _IDLE_PAUSE_S}
                kinds[f"{name}, {what}"] = partial(_ask, ours, how, asked)
        took_ms: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(max(1, self.singles // _TURN)):
            for name, time_some in kinds.items():
                took_ms[name] += time_some(min(_TURN, self.singles))
        figures = [latencies(name, values) for name, values in took_ms.items()]
        self.report.add("one text on an idle daemon", latencies=figures)


def _ask(peer: Peer, how: str, asked: Mapping[str, object], count: int) -> list[float]:
    took_ms: list[float] = peer.ask(how, count=count, **asked)
    return took_ms
