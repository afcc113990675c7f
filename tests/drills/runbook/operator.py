"""What an operator asks when something is wrong: the commands of the runbook, and nothing else."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from checkout import python_path
from cli_builders import clean_environment
from seqd.settings import Settings
from worker_fixtures import PLUGIN

#: Seconds for one command.
COMMAND_S = 60.0


@dataclass(frozen=True)
class Operator:
    """A person at a terminal of the machine on which the fleet runs."""

    settings: Settings
    #: Where `seqd` finds Redis; of a Sentinel group its Sentinels.
    redis_url: str
    #: Variables of the machine.
    others: Mapping[str, str]

    def findings(self) -> dict[str, str]:
        """Return what `seqd doctor` finds, by id: what it says."""
        found = json.loads(self._run("doctor", "--json"))["findings"]
        return {finding["id"]: finding["what"] for finding in found}

    def explained(self, job_id: str) -> str:
        """Return what `seqd explain` says of a job."""
        return self._run("explain", job_id)

    def failures(self) -> list[dict[str, Any]]:
        """Return what `seqd failures list` has."""
        return list(json.loads(self._run("failures", "list", "--json"))["groups"])

    def queues(self) -> list[dict[str, Any]]:
        """Return what `seqd queues` has."""
        return list(json.loads(self._run("queues", "--json")))

    def status(self) -> dict[str, Any]:
        """Return what `seqd status` has."""
        return dict(json.loads(self._run("status", "--json")))

    def _run(self, *arguments: str) -> str:
        variables = {
            "SEQD_DATA_DIR": str(self.settings.data_dir),
            "SEQD_REDIS_URL": self.redis_url,
            "SEQD_PREFIX": self.settings.prefix,
            "SEQD_ENABLED_PLUGINS": "light",
            "SEQD_LEASE_S": str(self.settings.lease_s),
            "SEQD_HEARTBEAT_S": str(self.settings.heartbeat_s),
            "SEQD_OUTAGE_S": "1",
            "PYTHONPATH": python_path(PLUGIN),
            "COLUMNS": "160",
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "seqd", *arguments],
            env=clean_environment(**variables | dict(self.others)),
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        # Status 1 is what `doctor` says where something is wrong.
        assert done.stdout, f"{arguments} printed nothing, status {done.returncode}: {done.stderr}"
        return done.stdout
