"""A real Prometheus, with the rules of `docker/monitoring`: started, asked, and ended."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from held_ports import Holder, hold_port
from seqd.local.parent_death import launch_command
from worker_fixtures import wait_until

#: Seconds between two scrapes, and between two looks at the rules.
INTERVAL_S = 1


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str
    log: Path

    def has_answer(self, expr: str) -> bool:
        """Tell whether a query has an answer. Raises HTTPError where it is not understood."""
        return bool(self._get("query", query=expr)["result"])

    def metrics(self) -> set[str]:
        """Return the names of all metrics that it has read."""
        return set(self._get("label/__name__/values"))

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire."""
        return [one for one in self._get("alerts")["alerts"] if one["state"] == "firing"]

    def targets_up(self) -> int:
        """Return how many of its targets it could read."""
        return sum(one["health"] == "up" for one in self._get("targets")["activeTargets"])

    def is_ready(self) -> bool:
        """Return True once it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def _get(self, what: str, **parameters: object) -> Any:
        url = f"{self.url}/api/v1/{what}?{urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus(
    folder: Path, rules: str, targets: Mapping[str, Sequence[str]]
) -> Iterator[Prometheus]:
    """Run a Prometheus that reads targets, by name of their job, until the block ends."""
    holder = Holder()
    port = hold_port(holder)
    configuration = {
        "global": {
            "scrape_interval": f"{INTERVAL_S}s",
            "scrape_timeout": f"{INTERVAL_S}s",
            "evaluation_interval": f"{INTERVAL_S}s",
        },
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
            for job, addresses in targets.items()
        ],
    }
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    running = Prometheus(f"http://127.0.0.1:{port}", folder / "prometheus.log")
    with running.log.open("wb") as log:
        program = subprocess.Popen(
            launch_command(
                [
                    _program(),
                    f"--config.file={folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                signal.SIGKILL,
            ),
            env={**os.environ, "GOMAXPROCS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(running.is_ready, "Prometheus is ready")
        yield running
    finally:
        program.kill()
        program.wait()


def is_installed() -> bool:
    """Return True where there is a Prometheus to run."""
    return shutil.which("prometheus") is not None


def _program() -> str:
    found = shutil.which("prometheus")
    assert found is not None, "prometheus is not installed here; `apt-get install prometheus`"
    return found


def wait_for_alerts(
    running: Prometheus,
    names: AbstractSet[str],
    allowed: AbstractSet[str] = frozenset(),
    timeout_s: float = 120.0,
) -> list[dict[str, Any]]:
    """Wait until these alerts fire, and no others but those that are allowed; return them."""
    deadline = time.monotonic() + timeout_s
    while True:
        alerts = running.alerts()
        found = {one["labels"]["alertname"] for one in alerts}
        if names <= found <= names | allowed:
            return alerts
        assert time.monotonic() < deadline, f"{sorted(found)} fire, and not {sorted(names)}"
        time.sleep(0.1)
