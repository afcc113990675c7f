"""One of two slots is drained under load, stays down for a while, and is started again."""

import tempfile
from pathlib import Path

from drills.load import READY_S, SLOTS, Model, loaded, seqd
from drills.result import DrillResult
from seqd.client import Client
from up_builders import running_up
from worker_fixtures import wait_until

NAME = "drain"

#: So long that nothing that is lost would come back by itself in time.
LEASE_S = 60.0


def run(model: Model | None = None) -> DrillResult:
    """Drain a slot under load and uncordon it; return what came out."""
    model = model or Model()
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        plugins = "light" if model.reviews is None else model.name
        with running_up(
            folder, plugins=plugins, slots=SLOTS, ready_s=READY_S, lease_s=LEASE_S
        ) as up:
            with Client(settings=up.settings) as client:
                slot = next(
                    f"{one.slot}@{one.host}" for one in client.workers() if one.slot == "cpu:0"
                )
            with loaded(up, folder, model) as load:
                seqd(up, "workers", "drain", slot, "--wait", "--reason", "a drill")
                load.wait_for_more(200)
                seqd(up, "workers", "uncordon", slot)
                wait_until(lambda: up.screen().count("ready") == 3, "it is started again", READY_S)
                load.wait_for_more(200)
                return load.finish(NAME)
