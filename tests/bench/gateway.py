"""One review a request over HTTP: the gateway beside what its two costs allow, and beside Celery.

HTTP's own cost is that of a route that answers at once, a job's that of `predict` without HTTP. One
after the other they allow 1 / (1 / HTTP's rate + 1 / the job's rate) requests a second. All are on
the same processors, with Redis, the workers and the callers.
"""

import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from socket import socket

from bench.case import Case, option
from bench.daemon import Daemon, Peer, running
from bench.jobs import ECHO, PLUGIN, celery_beside, publish_echo
from bench.report import Side, in_turn, latencies, ratios, row, say, warm_up
from seqd.errors import SeqdError
from seqd.settings import Settings

_START_S = 60.0


@dataclass
class Gateway(Case):
    """Answer one text a request: the gateway, its parts, and a FastAPI route that calls Celery."""

    what = "one text a request over HTTP, with a model that does nothing"

    requests: int = option(4_000, "requests of a round")
    tasks: int = option(1_000, "requests of a round that Celery answers")
    connections: int = option(32, "connections that ask at a time")
    singles: int = option(200, "single requests for the latency")
    rounds: int = option(5, "rounds; sides take turns")

    def measure(self) -> None:
        say("starting the daemon, Celery's worker, the gateway and the routes beside it")
        publish_echo(Settings(data_dir=self.folder / "data"))
        daemon = self.daemon(self.slots, python_path=str(PLUGIN))
        address = celery_beside(self, daemon)
        ours, theirs = self._gateway(daemon), self._routes(address)
        callers = self.peer("peers.http_callers")
        client = self.peer(
            "many_answers", {"SEQD_DATA_DIR": daemon.variables["SEQD_DATA_DIR"]}, model=ECHO
        )
        asks = {"connections": self.connections, "model": ECHO}
        sides: dict[str, Side] = {
            "gateway": partial(
                _rate, callers, self.requests, port=ours, path="/v1/classify", **asks
            ),
            "HTTP alone: a route that answers at once": partial(
                _rate, callers, self.requests, port=theirs, path="/nothing", **asks
            ),
            "a job alone: predict of one client": partial(
                _rate, client, self.requests, connections=self.connections
            ),
            "a FastAPI route that calls Celery": partial(
                _rate, callers, self.tasks, port=theirs, path="/celery", **asks
            ),
        }
        warm_up(sides)
        rates = in_turn(sides, self.rounds)
        self.report.add("requests a second", [row(*one) for one in _named(rates)])
        gateway, http, job, celery = rates.values()
        allowed = [1 / (1 / one + 1 / two) for one, two in zip(http, job, strict=True)]
        self.report.add(
            "ratios",
            [
                row("gateway / what its two costs allow", "times", ratios(gateway, allowed)),
                row("gateway / route that calls Celery", "times", ratios(gateway, celery)),
            ],
        )
        one = {"count": self.singles, "connections": 1}
        alone = client.ask("ask", **one)
        through = callers.ask("ask", port=ours, path="/v1/classify", model=ECHO, **one)
        figures = [latencies("predict", alone), latencies("the same through the gateway", through)]
        self.report.add("one after the other, on an idle daemon", latencies=figures)

    def _gateway(self, daemon: Daemon) -> int:
        port = _free_port()
        log = self.folder / "gateway.log"
        self.stack.enter_context(
            running("seqd", log, daemon.variables, "gateway", "--port", str(port))
        )
        _wait_for(port)
        return port

    def _routes(self, address: dict[str, str]) -> int:
        port = _free_port()
        options = ("bench.peers.http_routes:app", "--port", str(port), "--log-level", "error")
        self.stack.enter_context(
            running("uvicorn", self.folder / "routes.log", address, *options, "--no-access-log")
        )
        _wait_for(port)
        return port


def _named(rates: dict[str, list[float]]) -> list[tuple[str, str, list[float]]]:
    return [(name, "a second", values) for name, values in rates.items()]


def _rate(peer: Peer, count: int, **asked: object) -> float:
    began = time.perf_counter()
    took_ms = peer.ask("ask", count=count, **asked)
    if len(took_ms) != count:
        raise SeqdError(f"Of {count:,} requests {len(took_ms):,} were answered.")
    return count / (time.perf_counter() - began)


def _free_port() -> int:
    with closing(socket()) as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        with closing(socket()) as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SeqdError(f"Nothing listens on port {port} after {_START_S:g} s.")
