"""One of two GPUs falls off the bus under load, and comes back after a while.

The driver is the fake one of `fake_gpu/`: it reports XID 79, and then that the device is lost. Its
slot ends, `seqd up` goes on with the other one, and starts it again when the driver lists it again.
"""

import tempfile
from pathlib import Path

from drills.load import READY_S, loaded, two_gpus
from drills.result import DrillResult
from fake_gpu_fixtures import LOST, XID
from worker_fixtures import wait_until

NAME = "device-lost"


def run() -> DrillResult:
    """Lose a device under load and have it back; return what came out."""
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        with two_gpus(folder) as (up, machine), loaded(up.settings, folder) as load:
            machine.event(1, XID, 79).change(1, error=LOST)
            up.wait_for("all@gpu:1  lost", READY_S)
            load.wait_for_more(200)
            machine.change(1, error=0)
            wait_until(
                lambda: up.screen().count("all@gpu:1  ready") == 2, "it is started again", READY_S
            )
            load.wait_for_more(200)
            return load.finish(NAME, is_breakdown=True)
