"""Runs `seqd up` with the light plugin, in a folder of the test's own."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from checkout import python_path
from cli_builders import clean_environment
from seqd.local.endpoint import ENDPOINT_NAME, Endpoint, read_endpoint
from seqd.settings import Settings
from worker_fixtures import PLUGIN, QUICK, READY_S, Cluster, wait_until

#: As a person runs it who has no `seqd` on PATH.
MODULE = (sys.executable, "-m", "seqd")


@dataclass
class Up:
    """A `seqd up` that runs, with the light plugin."""

    settings: Settings
    process: "subprocess.Popen[bytes]"
    output: Path
    is_killed: bool = False

    def kill(self) -> None:
        """End it by SIGKILL, and with it all that it has started."""
        self.is_killed = True
        self.process.kill()
        self.process.wait()

    def screen(self) -> str:
        return self.output.read_text()

    def server_log(self) -> str:
        return (self.settings.data_dir / "redis" / "redis.log").read_text()

    def endpoint(self) -> Endpoint:
        endpoint = read_endpoint(self.settings.data_dir / "redis" / ENDPOINT_NAME)
        assert endpoint is not None
        return endpoint

    def wait_for(self, text: str, timeout_s: float = READY_S) -> None:
        try:
            wait_until(lambda: text in self.screen(), f"{text!r} on the screen", timeout_s)
        except AssertionError as late:
            raise AssertionError(f"{late}; the screen:\n{self.screen()}") from None


@contextmanager
def running_up(
    folder: Path,
    *,
    command: Sequence[str] = MODULE,
    working_folder: Path | None = None,
    plugins: str = "light",
    plugin_folders: Sequence[Path] = (PLUGIN,),
    slots: str = "cpu:0",
    options: Sequence[str] = (),
    ready_s: float = READY_S,
    others: Mapping[str, str] | None = None,
    **changes: object,
) -> Iterator[Up]:
    """Run it until the block ends; `changes` are settings, `others` variables that are none."""
    settings = Settings(data_dir=folder / "data", **QUICK | changes)
    if not settings.store_dir.exists():
        Cluster(settings, folder)  # makes the model
    variables = {
        "SEQD_DATA_DIR": str(settings.data_dir),
        "SEQD_ENABLED_PLUGINS": plugins,
        "SEQD_LEASE_S": str(settings.lease_s),
        "SEQD_HEARTBEAT_S": str(settings.heartbeat_s),
        "SEQD_RECONCILE_S": str(settings.reconcile_s),
        "SEQD_UNFIT_GRACE_S": str(settings.unfit_grace_s),
        "PYTHONPATH": python_path(*plugin_folders),
    }
    output = folder / "up.log"
    with output.open("wb") as screen:
        process = subprocess.Popen(
            [*command, "up", "--slots", slots, *options],
            env=clean_environment(**variables | dict(others or {})),
            cwd=working_folder,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
        )
    up = Up(settings, process, output)
    try:
        up.wait_for("Ready after", ready_s)
        yield up
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.returncode == (-signal.SIGKILL if up.is_killed else 0), up.screen()
