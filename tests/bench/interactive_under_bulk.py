"""One review at a time, while a million wait: how long does somebody who is there have to wait?

`make bench-interactive`. A daemon of its own with one serving slot a core, the starter model, a
`bulk` job of 1,000,000 composed reviews; beside it `interactive` jobs of one review each, one after
the other. Prints the latencies, from the call to the result in hand. Not a test.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from cli_builders import running_daemon
from seqd.client import Client
from seqd.demo.reviews import compose_reviews
from seqd.settings import Settings
from seqd_schemas import Priority

REVIEW = "A wonderful film, moving and beautifully acted. I loved every minute of it."
BULK_ITEMS = 1_000_000


def measure(data_dir: Path, seconds: float) -> dict[str, float]:
    """Give the figures of so many seconds, in milliseconds where they are times."""
    reviews = itertools.cycle([review.text for review in compose_reviews(2_000)])
    with Client(settings=Settings(data_dir=data_dir)) as client:
        bulk = client.classify(
            itertools.islice(reviews, BULK_ITEMS), priority=Priority.BULK, durable=False
        )
        next(bulk.results())
        before, began = bulk.record().counts.done, time.monotonic()
        latencies_ms = []
        while time.monotonic() - began < seconds:
            asked = time.perf_counter()
            (_,) = client.classify([REVIEW], priority=Priority.INTERACTIVE).results()
            latencies_ms.append(1000 * (time.perf_counter() - asked))
            time.sleep(0.05)
        record, passed = bulk.record(), time.monotonic() - began
        still_runs = not record.state.is_terminal
        bulk.cancel()
    ranked = sorted(latencies_ms)
    return {
        "interactive jobs": len(ranked),
        "median, ms": statistics.median(ranked),
        "99%, ms": ranked[int(0.99 * (len(ranked) - 1))],
        "longest, ms": ranked[-1],
        "bulk reviews a second meanwhile": (record.counts.done - before) / passed,
        "bulk job ran all the time": float(still_runs),
    }


def main() -> int:
    """Read the command line; gives 1 when a review took a second or longer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_daemon(Path(folder)):
        figures = measure(Path(folder), asked.seconds)
    if asked.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<35}{value:>12,.1f}")
    return 0 if figures["longest, ms"] < 1000 and figures["bulk job ran all the time"] else 1


if __name__ == "__main__":
    sys.exit(main())
