"""The service of the services' guide, beside what it stands on: jobs of one text, and `predict`.

The service is one process of uvicorn with one `AsyncClient`. Its callers are processes of their
own, which on few cores take their share of them.
"""

from dataclasses import dataclass
from functools import partial

from bench.case import Case, option
from bench.jobs import MODEL, rate
from bench.report import Side, in_turn, latencies, ratios, row, say, warm_up
from bench.texts import TEST_FILE, reviews_of

#: Between two requests: a daemon that has just committed is not idle yet.
_PAUSE_S = 0.02


@dataclass
class Service(Case):
    """Ask a FastAPI service for one review a request, beside jobs of one review each."""

    what = "a FastAPI service that classifies one review a request, beside jobs of one review each"

    requests: int = option(5_000, "requests, and one-review jobs, of a round")
    callers: int = option(2, "processes that ask the service")
    clients: int = option(4, "client processes of the jobs")
    window: int = option(1_000, "requests, or jobs of a client, that are open at a time")
    singles: int = option(100, "single requests of a round, one after the other")
    rounds: int = option(5, "rounds; sides take turns")

    def measure(self) -> None:
        reviews = reviews_of(self.file_or(TEST_FILE), self.requests)
        self.report.setup["reviews from"] = reviews.source
        texts = str(reviews.write(self.folder / "reviews.jsonl"))
        say("starting the daemon, the service and the clients")
        daemon = self.daemon(self.slots)
        variables = {"SEQD_DATA_DIR": daemon.variables["SEQD_DATA_DIR"]}

        def share(module: str, number: int) -> list:  # type: ignore[type-arg] # of peers
            made = {"texts": texts, "count": self.requests // number}
            return [self.peer(module, variables, **made) for _ in range(number)]

        (service,) = share("one_answer", 1)
        address = service.ask("serve", model=MODEL)
        callers, clients = share("one_answer", self.callers), share("one_client", self.clients)
        posted = self.requests // self.callers * self.callers
        handed_in = self.requests // self.clients * self.clients
        window = max(1, self.window // self.callers)
        asked, alone = {"address": address}, {"count": self.singles, "pause_s": _PAUSE_S}
        each = {"do": "each", "model": MODEL, "window": self.window}
        sides: dict[str, Side] = {
            "requests to the service": partial(
                rate, callers, posted, do="post_all", window=window, **asked
            ),
            "requests to it that ask no daemon": partial(
                rate, callers, posted, do="post_all", window=window, path="/alone", **asked
            ),
            "jobs of one review, classify_each": partial(rate, clients, handed_in, **each),
        }
        warm_up(sides)
        took_ms: dict[str, list[float]] = {"one request": [], "one predict, blocking": []}

        def one_by_one() -> float:
            took_ms["one request"] += callers[0].ask("post", **asked, **alone)
            took_ms["one predict, blocking"] += callers[0].ask("predict", model=MODEL, **alone)
            return 0.0

        figures = in_turn({**sides, "one by one": one_by_one}, self.rounds)
        del figures["one by one"]
        ours, alone_rates, jobs = figures.values()
        rows = [row(name, "a second", speed) for name, speed in figures.items()]
        self.report.add("reviews a second, each with its answer", rows)
        against = [
            row("service / jobs", "times", ratios(ours, jobs)),
            row("service without a daemon / jobs", "times", ratios(alone_rates, jobs)),
        ]
        self.report.add("how many times as fast", against)
        idle = [latencies(name, values) for name, values in took_ms.items()]
        self.report.add("one review on an idle daemon", latencies=idle)
