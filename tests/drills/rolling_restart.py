"""Both workers of a `seqd up` are replaced under load, one after the other."""

import tempfile
from pathlib import Path

from drills.load import READY_S, SLOTS, Model, loaded, seqd
from drills.result import DrillResult
from up_builders import running_up

NAME = "rolling restart"

#: So long that nothing that is lost would come back by itself in time.
LEASE_S = 60.0


def run(model: Model | None = None) -> DrillResult:
    """Replace the workers under load; return what came out."""
    model = model or Model()
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        plugins = "light" if model.reviews is None else model.name
        with (
            running_up(
                folder, plugins=plugins, slots=SLOTS, ready_s=READY_S, lease_s=LEASE_S
            ) as up,
            loaded(up, folder, model) as load,
        ):
            seqd(up, "workers", "restart", "--wait", "--timeout-s", "200")
            load.wait_for_more(200)
            return load.finish(NAME)
