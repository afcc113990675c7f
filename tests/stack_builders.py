"""The stack of docker/compose.yaml, run for real by podman-compose: as in the guide, with `docker`.

Podman runs a health check by a timer of systemd, and there may be none, so a thread runs it here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from checkout import ROOT
from cli_builders import Ended
from container_builders import Storage
from worker_fixtures import wait_until

#: What a network and an init process of Podman come from, beside `container_builders.TOOLS`.
PARTS: Mapping[str, tuple[str, ...]] = {
    "netavark": ("/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"),
    "aardvark-dns": ("/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"),
    "catatonit": ("/usr/libexec/podman/catatonit", "/usr/bin/catatonit"),
    "nftables": ("/usr/sbin/nft",),
}

#: Compose's own words for it, and a name that no stack of this machine has.
PROJECT = "seqd-test"

LOOK_S = 1.0


def missing_parts() -> str:
    """Return why no stack can be run here; nothing where one can."""
    missing = [name for name, paths in PARTS.items() if not any(map(os.path.exists, paths))]
    return f"not installed: {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Container:
    """A container of a service, as podman knows it."""

    name: str
    service: str
    #: The begin of its identifier, which is its host's name.
    host: str
    pid: int
    state: str
    health: str
    image: str
    ips: tuple[str, ...]


class Stack:
    """A stack in a folder of its own, with its secrets and its input."""

    def __init__(self, storage: Storage, folder: Path, image: str, redis_image: str) -> None:
        self.storage = storage
        self.input = folder / "input"
        self.secrets = folder / "secrets"
        self.image = image
        self._redis_image = redis_image
        self._podman = storage.write_podman()

    def prepare(self) -> None:
        """Make the folder of the input, and the secrets as the guide does."""
        self.input.mkdir()
        done = subprocess.run(
            ["sh", str(ROOT / "docker" / "make_secrets.sh"), str(self.secrets)],
            env=os.environ | {"SEQD": f"{self._podman} run --rm -i --network=none {self.image}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done

    def compose(self, *arguments: str, check: bool = True, timeout_s: float = 300) -> Ended:
        """Run a command of Compose on the stack."""
        done = subprocess.run(
            self._compose(*arguments),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return Ended(done.returncode, done.stdout, done.stderr)

    def url(self, role: str) -> str:
        """Return the address of Redis for a role, from this machine; nothing while it is down."""
        url = (self.secrets / f"{role}-url").read_text().strip()
        ips = [ip for one in self.containers("redis") for ip in one.ips]
        return url.replace("@redis:", f"@{ips[0]}:") if ips else ""

    def containers(self, service: str = "") -> list[Container]:
        """Return the containers of a service, or all, in the order in which they were made."""
        named = f"label=io.podman.compose.project={PROJECT}"
        listed = self.storage.podman("ps", "--all", "--quiet", "--sort=created", "--filter", named)
        if not (ids := listed.out.split()):
            return []
        # One may be removed between the two.
        told = self.storage.podman("inspect", "--type=container", *ids, check=False)
        known = [_container(one) for one in json.loads(told.out)]
        known.sort(key=lambda one: ids.index(one.host))
        return [one for one in known if service in ("", one.service)]

    def wait_for(self, container: str, state: str, timeout_s: float = 120) -> None:
        """Wait until a container is `running`, `healthy` or `exited`."""

        def is_so() -> bool:
            found = [one for one in self.containers() if one.name == container]
            return any(state in (one.state, one.health) for one in found)

        wait_until(is_so, f"{container} is {state}", timeout_s)

    def logs(self) -> str:
        """Return the logs of all containers."""
        said = []
        for one in self.containers():
            log = self.storage.podman("logs", one.name, check=False)
            said.append(f"--- {one.name}: {one.state} {one.health}\n{log.out}{log.err}")
        return "\n".join(said)

    def check_health(self) -> None:
        """Run the health check of each container that runs, once."""
        for one in self.containers():
            if one.state == "running" and one.health:
                self.storage.podman("healthcheck", "run", one.name, check=False)

    def remove(self) -> None:
        """Remove its containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout", "20", check=False)
        for one in self.containers():
            self.storage.podman("rm", "--force", "--time", "5", one.name, check=False)

    def _compose(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-P", "-m", "podman_compose", "--podman-path", str(self._podman)]
        command += ["--file", str(ROOT / "docker" / "compose.yaml"), "--project-name", PROJECT]
        command += ["--in-pod", "false"]
        if arguments[:1] == ("run",):
            command += ["--profile", "cli"]
        return [*command, *arguments]

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "STACK_IMAGE": self.image,
            "STACK_REDIS_IMAGE": self._redis_image,
            "STACK_SECRETS": str(self.secrets),
            "STACK_INPUT_DIR": str(self.input),
            "SEQD_EXPORTER_PORT": os.environ.get("STACK_TEST_PORT", "19808"),
        }


@contextmanager
def running_stack(storage: Storage, folder: Path, image: str, redis_image: str) -> Iterator[Stack]:
    """Yield a stack that is made and not started; it is removed when the block ends."""
    stack = Stack(storage, folder, image, redis_image)
    stack.prepare()
    end = Event()
    checks = Thread(target=_check_until, args=(stack, end), name="health-checks")
    checks.start()
    try:
        yield stack
    except BaseException:
        print(stack.logs())
        raise
    finally:
        stack.remove()
        end.set()
        checks.join()


def _check_until(stack: Stack, end: Event) -> None:
    while not end.wait(LOOK_S):
        stack.check_health()


def _container(known: Mapping[str, Any]) -> Container:
    state, networks = known["State"], known["NetworkSettings"]["Networks"]
    return Container(
        name=known["Name"],
        service=known["Config"]["Labels"].get("com.docker.compose.service", ""),
        host=known["Id"][:12],
        pid=state["Pid"],
        state=state["Status"],
        health=state.get("Health", {}).get("Status", ""),
        image=known["ImageName"],
        ips=tuple(one["IPAddress"] for one in networks.values() if one["IPAddress"]),
    )
