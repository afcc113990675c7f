"""`seqd up` and operators' rules: what is drained stays down, workers are replaced one by one."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_builders import Ended, here_in
from seqd.client import Client
from seqd.errors import UnknownModel
from seqd_schemas import WorkerState, WorkerStatus
from up_builders import Up, running_up
from worker_fixtures import PLUGIN, only_worker, wait_until

# Each starts a daemon, and most of them its workers again.
pytestmark = [pytest.mark.processes, pytest.mark.slow]


Run = Callable[..., Ended]


@pytest.fixture
def seqd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Return what runs commands in this process on the `seqd up` of the test's folder."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    run = here_in(data_dir, capsys, monkeypatch)
    monkeypatch.setenv("COLUMNS", "250")
    return run


def workers_of(up: Up) -> dict[str, WorkerStatus]:
    """Return the workers by slot."""
    with Client(settings=up.settings) as client:
        return {one.slot: one for one in client.workers()}


def names_of(workers: dict[str, WorkerStatus]) -> set[str]:
    return {one.worker for one in workers.values()}


def states(seqd: Run) -> dict[str, str]:
    """Return what `workers list` says of each slot; some have no worker."""
    listed: Any = seqd("workers", "list", "--json").json()
    return {row["slot"]: row["state"] for row in listed["workers"]}


def takes_work_by_another_child(up: Up, before: WorkerStatus) -> bool:
    now = workers_of(up).get(before.slot, before)
    return now.state is WorkerState.READY and now.pid != before.pid


def test_a_drained_slot_stays_down_also_over_a_restart_until_it_is_uncordoned(
    tmp_path: Path, seqd: Run
) -> None:
    with running_up(tmp_path, slots="cpu:0,cpu:1") as up:
        name, host = workers_of(up)["cpu:0"].worker, workers_of(up)["cpu:0"].host

        drained = seqd("workers", "drain", name, "--wait", "--reason", "repair")
        target = name.rpartition("-")[0]
        up.wait_for(f"(repair); `seqd workers uncordon {target}` starts it again")
        wait_until(lambda: states(seqd).get("cpu:0") == "drained", "the fleet shows it")

        assert drained.out == f"drain {target}: {name}\nDrained.\n"
        uncordoned = seqd("workers", "uncordon", target)
        assert uncordoned.out == f"Uncordoned {target}.\n"
        wait_until(lambda: states(seqd).get("cpu:0") == "ready", "it is started again")
        assert seqd("workers", "drain", f"cpu:1@{host}", "--wait").status == 0
        # A request to restart means no worker of the next `seqd up`, which starts after it.
        assert seqd("workers", "restart").status == 0
        up.wait_for(" replaced ")

    with running_up(tmp_path, slots="cpu:0,cpu:1") as up:
        assert re.search(r"cpu:1  drained  pid \d+: by ", up.screen())
        assert states(seqd) == {"cpu:0": "ready", "cpu:1": "drained"}
        again = seqd("workers", "uncordon", f"cpu:1@{host}")
        assert again.out == f"Uncordoned cpu:1@{host}.\n"
        wait_until(lambda: states(seqd).get("cpu:1") == "ready", "it is started")
        assert " replaced " not in up.screen()


def test_a_worker_that_is_uncordoned_while_it_starts_is_ready_and_can_be_replaced(
    tmp_path: Path, seqd: Run
) -> None:
    plugin, may_load = shutil.copytree(PLUGIN, tmp_path / "plugin"), tmp_path / "may-load"
    file = plugin / "seqd_light.py"
    file.write_text(waiting_for(may_load, file.read_text()))
    may_load.touch()
    with running_up(tmp_path, plugin_folders=[plugin]) as up:
        name = workers_of(up)["cpu:0"].worker
        may_load.unlink()
        assert seqd("workers", "drain", name, "--yes", "--wait").status == 0
        wait_until(lambda: up.screen().count(" started ") == 2, "its successor starts")
        wait_until(lambda: states(seqd).get("cpu:0") == "drained", "the fleet shows it")

        assert seqd("workers", "uncordon", name.rpartition("-")[0]).status == 0
        may_load.touch()

        wait_until(lambda: up.screen().count(" ready ") == 2, "it takes work")
        assert seqd("workers", "restart").status == 0
        up.wait_for(" replaced ")


def waiting_for(file: Path, source: str) -> str:
    """Return the source of a plugin that is loaded once a file is there."""
    waits = (
        "import time\nfrom pathlib import Path\n"
        f"while not Path({str(file)!r}).exists():\n    time.sleep(0.05)\n"
    )
    return source.replace("from collections", f"{waits}from collections", 1)


def test_workers_are_replaced_one_at_a_time_and_only_by_those_that_come_up(
    tmp_path: Path, seqd: Run
) -> None:
    plugin, may_load = shutil.copytree(PLUGIN, tmp_path / "plugin"), tmp_path / "may-load"
    file = plugin / "seqd_light.py"
    source = file.read_text()
    with (
        running_up(
            tmp_path,
            plugin_folders=[plugin],
            slots="cpu:0,cpu:1",
            lease_s=60.0,
            heartbeat_s=5.0,
        ) as up,
        Client(settings=up.settings) as client,
    ):
        before = workers_of(up)
        nobody = seqd("workers", "restart", "--host", "elsewhere")
        assert (nobody.status, nobody.err) == (
            2,
            "error[unknown_worker]: No worker that is up has the host 'elsewhere'. There are: "
            f"{before['cpu:0'].host}.\n",
        )

        restarted = seqd("workers", "restart", "--wait", "--timeout-s", "300")
        after = workers_of(up)
        wait_until(lambda: up.screen().count(" replaced pid ") == 2, "the last old one has ended")

        assert (restarted.status, restarted.err) == (0, "")
        assert restarted.out == "2 workers are replaced, one at a time.\nReplaced.\n"
        assert names_of(before) & names_of(after) == set()
        assert set(after) == {"cpu:0", "cpu:1"}
        kinds = [line.split()[1] for line in up.screen().splitlines() if line.startswith("cpu:")]
        assert kinds[4:] == 2 * ["started", "ready", "replaced"]

        # A successor that does not come up leaves the old worker at work, and the others.
        file.write_text("raise RuntimeError('a broken release')")
        restarted = seqd("workers", "restart", "--wait", "--timeout-s", "300")

        assert restarted.status == 75
        assert "not replaced, since a new worker did not come up; the old ones go on" in (
            restarted.err
        )
        assert names_of(workers_of(up)) == names_of(after)
        assert up.screen().count(" kept ") == 1, "it was tried with the second worker, too"
        assert "its successor ended" in up.screen()

        # One that was just started is known before it has loaded its plugins.
        file.write_text(waiting_for(may_load, source))
        assert seqd("workers", "restart").status == 0
        wait_until(lambda: len(client.workers()) == 3, "the next one is known")
        (starting,) = [one for one in client.workers() if not one.plugins]
        with pytest.raises(UnknownModel) as refused:
            client.predict("a", model="topics")

        assert starting.state is WorkerState.STARTING
        assert str(refused.value).endswith(
            f" A worker is still starting ({starting.worker}): try again in a moment."
        )
        may_load.touch()
        wait_until(lambda: up.screen().count(" replaced pid ") == 4, "both are replaced")
        wait_until(lambda: len(client.workers()) == 2, "the old ones are gone")
        assert starting.worker in names_of(workers_of(up))


def test_a_worker_whose_child_or_parent_was_killed_is_replaced_and_told_of(
    tmp_path: Path, seqd: Run
) -> None:
    with running_up(tmp_path) as up, Client(settings=up.settings) as client:
        # It is replaced also where its child is a later one than the request.
        first = only_worker(client)
        up.process.send_signal(signal.SIGSTOP)
        try:
            assert seqd("workers", "restart").status == 0
            os.kill(first.pid, signal.SIGKILL)
            wait_until(lambda: takes_work_by_another_child(up, first), "its next child is ready")
        finally:
            up.process.send_signal(signal.SIGCONT)
        up.wait_for(" replaced pid ")
        wait_until(lambda: first.worker not in names_of(workers_of(up)), "the old one is gone")

        # Its parent's end is told of for an hour, wherever one looks.
        before = only_worker(client).worker
        node = [line.split()[-1] for line in up.screen().splitlines() if " ready " in line][-1]
        os.kill(int(node), signal.SIGKILL)
        up.wait_for("starts again in 1 s")
        wait_until(lambda: before not in names_of(workers_of(up)), "the next one is up")
        wait_until(lambda: states(seqd) == {"cpu:0": "ready"}, "it takes work")
        job = client.classify(["a"], model="echo", parameters={"delay_ms": 60_000})
        looks = {
            "doctor": seqd("doctor").out,
            "status": seqd("status").out,
            "top": seqd("top", "--once").out,
            "explain": str(client.explain(job.job_id).as_json()),
        }
        job.cancel()
        listed: Any = seqd("workers", "list", "--json").json()

    said = f"worker_killed.* The parent process of {before} ended without an order after "
    unwrapped = {name: " ".join(shown.split()) for name, shown in looks.items()}
    assert [name for name, shown in unwrapped.items() if not re.search(said, shown)] == []
    (worker,) = listed["workers"]
    assert worker["worker"] != before
