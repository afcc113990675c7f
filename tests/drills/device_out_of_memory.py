"""The memory of both GPUs holds no more than two items at a time, for a while, under load.

The tests' plugin raises the error that TensorFlow raises then, for every larger batch, on slots of
the fake driver. What a real device does is run by `make test-gpu`
(`test_a_batch_that_the_device_has_no_memory_for_is_halved`).
"""

import tempfile
from pathlib import Path

from drills.load import loaded, two_gpus
from drills.result import DrillResult
from seqd.client import Client
from seqd.settings import Settings
from up_builders import Up
from worker_fixtures import wait_until

NAME = "device-out-of-memory"

#: Items that fit; batches have eight and more.
FIT = 2

HALVED = "no memory for a batch of "


def run() -> DrillResult:
    """Be short of memory under load for a while; return what came out."""
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        with two_gpus(folder) as (up, _), loaded(up.settings, folder) as load:
            before = _pids(up.settings)
            shortage = up.settings.data_dir / "sick"
            shortage.write_text(f"classify fits-{FIT}\n")
            wait_until(lambda: _have_halved(up), "each worker has halved a batch")
            load.wait_for_more(400)
            shortage.unlink()
            load.wait_for_more(200)
            result = load.finish(NAME)
            assert _pids(up.settings) == before, f"a worker did not stay up\n{up.screen()}"
            return result


def _have_halved(up: Up) -> bool:
    logs = list((up.settings.data_dir / "logs").glob("all-gpu-*.log"))
    return len(logs) == 2 and all(HALVED in log.read_text(errors="replace") for log in logs)


def _pids(settings: Settings) -> dict[str, int]:
    with Client(settings=settings) as client:
        return {worker.slot: worker.pid for worker in client.workers()}
