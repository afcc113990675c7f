"""Images and containers for tests: `mmdebstrap` makes a base, `buildah` builds, `podman` runs.

All that they store is below one folder, which `Storage.remove` takes away. Nothing of the machine's
own images and containers is seen or changed, and no service is started. Containers share the
machine's network; a `Stack` makes networks of its own, and removes them. It works as root inside of
a virtual machine or a container.
"""

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from checkout import ROOT

#: Debian packages of them; `.ci/run` installs them.
TOOLS = ("mmdebstrap", "buildah", "podman", "runc")

BASE = "localhost/base:trixie"
CPU = "localhost/seqd:cpu"
REDIS = "localhost/redis:trixie"

#: The label of the commit, in images that tests build.
REVISION = "0123456789abcdef"

#: Where Debian has the certificates that a build trusts, besides those of an index of one's own.
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def missing_tools() -> str:
    """Return why no image can be built here; nothing where one can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "images are built and run as root here"
    return ""


@dataclass(frozen=True)
class Ended:
    """How a command of a container ended."""

    status: int
    out: str
    err: str


class Storage:
    """Images and containers below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._global = [
            *("--root", str(folder / "storage"), "--runroot", str(folder / "run")),
            *("--storage-driver", "overlay" if _has_overlay() else "vfs"),
        ]
        self._networks = folder / "networks"

    def make_base(self) -> None:
        """Make the image `BASE`: Debian with its Python, and nothing else."""
        self._import(BASE, "python3,python3-venv")

    def make_redis(self) -> None:
        """Make the image `REDIS`: Debian's Redis, with user and volume of the official one."""
        owned = '--customize-hook=install -d -o 999 -g 999 "$1/data"'
        self._import(REDIS, "redis-server", owned, change="VOLUME /data")

    def has(self, image: str) -> bool:
        """Return whether an image is there."""
        return self.podman("image", "exists", image, check=False).status == 0

    def build(self, target: str, tag: str, **arguments: str) -> None:
        """Build a target of docker/Dockerfile, with what pip is told on this machine."""
        arguments = {"BASE_IMAGE": BASE, "PIP_INDEX_URL": index_url(), **arguments}
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        command = ["buildah", *self._global, "build", "--isolation", "chroot", "--layers"]
        command += ["--format", "docker", "--file", str(ROOT / "docker" / "Dockerfile")]
        command += [*_limits(), *self._secrets(), *options]
        _run([*command, "--target", target, "--tag", tag, str(ROOT)], timeout_s=1_200)

    def podman(self, *arguments: str, check: bool = True) -> Ended:
        """Run podman on this storage."""
        return _run(self._podman(*arguments), check=check)

    def write_podman(self) -> Path:
        """Return a program that is podman on this storage, with the limits of this process."""
        script = self.folder / "podman"
        own = shlex.join(self._podman())
        limits = shlex.join(_limits())
        lines = (
            "#!/bin/sh",
            "export PODMAN_IGNORE_CGROUPSV1_WARNING=1",
            "command=$1; shift",
            "case $command in",
            f'create|run) exec {own} "$command" {limits} "$@";;',
            f'*) exec {own} "$command" "$@";;',
            "esac",
        )
        script.write_text("\n".join(lines) + "\n")
        script.chmod(0o755)
        return script

    def inspect(self, image: str) -> dict[str, object]:
        """Return what podman knows of an image."""
        (found,) = json.loads(self.podman("image", "inspect", image).out)
        assert isinstance(found, dict)
        return found

    def sh(self, image: str, script: str) -> Ended:
        """Run a script of the shell in a container of an image, as its user."""
        options = ["run", "--rm", "--network=host", *_limits(), "--read-only"]
        return self.podman(*options, "--entrypoint", "sh", image, "-c", script, check=False)

    def run(self, image: str, *command: str, options: Sequence[str]) -> Ended:
        """Run a container to its end."""
        arguments = ["run", "--rm", "--network=host", *_limits(), *options, image, *command]
        return self.podman(*arguments, check=False)

    @contextmanager
    def running(
        self, name: str, image: str, *command: str, options: Sequence[str]
    ) -> Iterator[Path]:
        """Run a container until the block ends; its log is in the file."""
        log = self.folder / f"{name}.log"
        arguments = ["run", "--name", name, "--network=host", *_limits(), *options, image, *command]
        with log.open("w") as output:
            running = subprocess.Popen(
                self._podman(*arguments), env=_quiet(), stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield log
        finally:
            self.podman("rm", "--force", "--volumes", "--time", "40", name, check=False)
            running.wait(120)

    def remove(self) -> None:
        """Remove all of it, and what is mounted there."""
        self.podman("rm", "--all", "--force", "--volumes", check=False)
        self.podman("network", "prune", "--force", check=False)
        self.podman("rmi", "--all", "--force", check=False)
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            mounted = line.split()[1]
            if mounted.startswith(f"{self.folder}/"):
                _run(["umount", mounted])
        shutil.rmtree(self.folder)

    def _podman(self, *arguments: str) -> list[str]:
        # By runc, since crun cannot run on the first version of control groups.
        engine = ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        networks = ["--network-config-dir", str(self._networks)]
        return ["podman", *self._global, *engine, *networks, *arguments]

    def _import(self, image: str, packages: str, *hooks: str, change: str = "") -> None:
        if self.has(image):
            return
        root = self.folder / "root.tar"
        # Nobody needs the folder on the disk: without a sync a file it takes half the time.
        options = ["--variant=minbase", f"--include={packages}", "--dpkgopt=force-unsafe-io"]
        command = ["mmdebstrap", "--quiet", *options, *hooks, "trixie", str(root)]
        _run(command, timeout_s=1_200)
        changes = ["--change", change] if change else []
        self.podman("import", "--quiet", *changes, str(root), image)
        root.unlink()

    def _secrets(self) -> list[str]:
        """Return options that give a build this machine's certificates, and keep none."""
        certificates = Path(os.environ.get("PIP_CERT", _CERTIFICATES))
        if not certificates.is_file():
            return []
        told = self.folder / "pip.conf"
        told.write_text("[global]\ncert = /run/secrets/ca_bundle\n")
        return [f"--secret=id=pip_conf,src={told}", f"--secret=id=ca_bundle,src={certificates}"]


def index_url() -> str:
    """Return the package index that pip reads on this machine."""
    configured = _run(
        [sys.executable, "-P", "-m", "pip", "config", "get", "global.index-url"], check=False
    )
    if configured.status == 0:
        return configured.out.strip()
    default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return _run([sys.executable, "-P", "-c", default]).out.strip()


def _limits() -> list[str]:
    """Return the limits of this process: where it may not raise them, a container must not ask."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    limits = {name: resource.getrlimit(kind) for name, kind in kinds.items()}
    return [f"--ulimit={name}={soft}:{hard}" for name, (soft, hard) in limits.items()]


def _quiet() -> dict[str, str]:
    return os.environ | {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}


def _has_overlay() -> bool:
    return "overlay" in Path("/proc/filesystems").read_text()


def _run(command: Sequence[str], *, check: bool = True, timeout_s: float = 300) -> Ended:
    done = subprocess.run(
        command,
        env=_quiet(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return Ended(done.returncode, done.stdout, done.stderr)
