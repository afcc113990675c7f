"""Both workers of a `seqd up` are replaced under load, one after the other."""

import tempfile
from pathlib import Path

from drills.load import Model, loaded, seqd, two_slots
from drills.result import DrillResult

NAME = "rolling-restart"


def run(model: Model | None = None) -> DrillResult:
    """Replace the workers under load; return what came out."""
    model = model or Model()
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        with two_slots(folder, model) as up, loaded(up.settings, folder, model) as load:
            seqd(up, "workers", "restart", "--wait", "--timeout-s", "200")
            load.wait_for_more(200)
            return load.finish(NAME)
