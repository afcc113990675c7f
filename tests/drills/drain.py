"""One of two slots is drained under load, stays down for a while, and is started again."""

import tempfile
from pathlib import Path

from drills.load import READY_S, Model, loaded, seqd, two_slots
from drills.result import DrillResult
from seqd.client import Client
from up_builders import Up
from worker_fixtures import wait_until

NAME = "drain"


def run(model: Model | None = None) -> DrillResult:
    """Drain a slot under load and uncordon it; return what came out."""
    model = model or Model()
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        with two_slots(folder, model) as up, loaded(up.settings, folder, model) as load:
            slot = _first_slot(up)
            seqd(up, "workers", "drain", slot, "--wait", "--reason", "a drill")
            load.wait_for_more(200)
            seqd(up, "workers", "uncordon", slot)
            wait_until(lambda: up.screen().count("ready") == 3, "it is started again", READY_S)
            load.wait_for_more(200)
            return load.finish(NAME)


def _first_slot(up: Up) -> str:
    with Client(settings=up.settings) as client:
        return next(f"{one.slot}@{one.host}" for one in client.workers() if one.slot == "cpu:0")
