"""The two minutes that the picture of the dashboard shows: work, tenants, and three faults.

Workers `a` and `b` serve; `a` dies of a plugin that ends its process, and `b` is killed and comes
back. The rest is jobs of three tenants, of which one sends more than it should.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from checkout import use_checkout
from monitoring.files import RULES, with_short_waits
from monitoring.fleet import WatchedFleet, watched_fleet
from seqd.client import Client
from seqd_schemas import TenantLimits

SECONDS = 130
SEED = 1

#: Seconds after which something happens.
_MANY_S, _EXITS_S, _KILLED_S, _BACK_S = 15, 35, 80, 95


@contextmanager
def played(seconds: int = SECONDS) -> Iterator[tuple[WatchedFleet, float, float]]:
    """Play it; yield the fleet, and from when to when, in seconds since 1970."""
    use_checkout()
    rules = with_short_waits(RULES.read_text(encoding="utf-8"))
    with (
        TemporaryDirectory(prefix="seqd-monitoring-") as folder,
        watched_fleet(Path(folder), rules, ("a", "b")) as fleet,
    ):
        for worker in [fleet.start(name) for name in fleet.ports]:
            worker.wait_until_ready()
        fleet.wait_until_read()
        began_s = time.time()
        _play(fleet, began_s + seconds)
        yield fleet, began_s, time.time()


def _play(fleet: WatchedFleet, until_s: float) -> None:
    chance = random.Random(SEED)
    client = fleet.cluster.client()
    client.set_tenant("ads", TenantLimits(items=4_000))
    began_s = time.time()
    happens = [
        (_MANY_S, lambda: _send(client, "ads", 3_800, 2.0)),
        (_EXITS_S, lambda: client.classify(["exit"] * 3, model="echo", tenant="search")),
        (_KILLED_S, lambda: fleet.cluster.workers[1].kill()),
        (_BACK_S, lambda: fleet.start("b")),
    ]
    while time.time() < until_s:
        while happens and time.time() - began_s > happens[0][0]:
            happens.pop(0)[1]()
        _send(client, chance.choice(("search", "reviews")), chance.randint(5, 60), 4.0)
        client.generate(["there is nothing so"], model="echo", tenant="reviews")
        time.sleep(chance.uniform(0.5, 1.5))


def _send(client: Client, tenant: str, items: int, delay_ms: float) -> None:
    texts = ["bad" if number % 17 == 0 else f"text {number}" for number in range(items)]
    client.classify(texts, model="echo", tenant=tenant, parameters={"delay_ms": delay_ms})
