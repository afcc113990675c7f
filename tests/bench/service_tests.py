"""What a service's test pays for `seqd.testing.running_services`: until it is ready, and per job.

    .venv/bin/python tests/bench/service_tests.py [--rounds 20] [--json]

An import and a server are paid once in a run of tests, all else by each test. A test of a real
service pays for its own fixtures in addition. No `SEQD_` variable is looked at.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

Times = dict[str, list[float]]

MANY = 1_000


@contextmanager
def timed(times: Times, what: str) -> Iterator[None]:
    """Add the milliseconds of a block."""
    began = time.perf_counter()
    yield
    times.setdefault(what, []).append(1000 * (time.perf_counter() - began))


def measured(rounds: int) -> Times:
    """Run a test's steps so many times, after one round for nothing."""
    times: Times = {}
    with timed(times, "import, once"):
        from seqd.testing import running_services
        from seqd.testing.in_process.server import server_for_tests
    server = server_for_tests()
    with timed(times, "server started, once"):
        started = server.__enter__()
    models = {"imdb_lstm": lambda text: "positive"}
    for number in range(rounds + 1):
        found: Times = {} if number == 0 else times
        services = running_services(models, server=started)
        with timed(found, "test's worker ready"):
            running = services.__enter__()
        with running.client() as client:
            with timed(found, "first job of one text"):
                list(client.classify(["a"]).results())
            for _ in range(10):
                with timed(found, "job of one text"):
                    list(client.classify(["a"]).results())
            with timed(found, f"job of {MANY:,} texts"):
                list(client.classify(["a"] * MANY).results())
            running.kill_worker("b")
            with timed(found, "job whose worker is killed once"):
                list(client.classify(["b"]).results())
        with timed(found, "test's end"):
            services.__exit__(None, None, None)
    with timed(times, "server stopped, once"):
        server.__exit__(None, None, None)
    return times


def show(times: Times, say: Callable[[str], None]) -> None:
    """Print a table."""
    say(f"{'':<34}{'median ms':>10}{'lowest':>9}{'highest':>9}")
    for what, each in times.items():
        say(f"{what:<34}{median(each):>10.1f}{min(each):>9.1f}{max(each):>9.1f}")


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="What seqd.testing costs a test.")
    parser.add_argument("--rounds", type=int, default=20, help="tests, after one to warm up")
    parser.add_argument("--json", action="store_true", help="print JSON: each time in ms")
    options = parser.parse_args()
    for variable in [name for name in os.environ if name.startswith("SEQD_")]:
        del os.environ[variable]
    times = measured(options.rounds)
    if options.json:
        print(json.dumps(times, indent=2))
    else:
        show(times, print)


if __name__ == "__main__":
    main()
