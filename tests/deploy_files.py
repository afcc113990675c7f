"""What stands in `docker/`, taken apart: commands, settings, pods, units, for tests to hold up."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from configparser import RawConfigParser
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from typer.main import get_command

from seqd.cli.app import app

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
COMPOSE_FILES = tuple(DOCKER / f"compose{part}.yaml" for part in ("", ".gpu", ".tls"))
OVERLAYS = ("cpu", "gpu", "gpu-dra")
UNITS = sorted((DOCKER / "systemd").glob("*.service"))

#: Kinds with pods.
_WORKLOADS = ("Deployment", "StatefulSet")

#: A document of YAML, whatever it holds.
Document = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A call of `seqd`, without that word, and the file in which it stands."""

    where: str
    words: tuple[str, ...]


def tool(name: str, package: str) -> str:
    """Return the path of a program, or skip the test: it comes with a package of Debian."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here; `apt-get install {package}`")
    return found


def run(*command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, within a minute."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, **options
    )


def documents(path: Path) -> list[Document]:
    """Return the objects in a file of YAML; a patch, which is a list, is none."""
    return [one for one in deepcopy(_parsed(path)) if isinstance(one, dict)]


def patches(path: Path) -> list[Document]:
    """Return the steps of a patch in a file of YAML; none where it holds objects."""
    return [step for one in deepcopy(_parsed(path)) if isinstance(one, list) for step in one]


@cache
def _parsed(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def services() -> Iterator[tuple[str, Document]]:
    """Yield each service of the compose files, with `file: name`."""
    for path in COMPOSE_FILES:
        for name, service in documents(path)[0]["services"].items():
            yield f"{path.name}: {name}", service


def kubernetes_files() -> list[Path]:
    """Return all files of the Kubernetes folder."""
    return sorted((DOCKER / "k8s").rglob("*.yaml"))


def pods() -> Iterator[tuple[str, Document]]:
    """Yield each pod's specification of the base, with `file: name`."""
    for path in kubernetes_files():
        for document in documents(path):
            if document["kind"] in _WORKLOADS:
                name = document["metadata"]["name"]
                yield f"{path.name}: {name}", document["spec"]["template"]["spec"]


def unit(path: Path) -> RawConfigParser:
    """Return a unit of systemd; of a key that is given again, the last one counts."""
    parsed = RawConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(path.read_text(encoding="utf-8"))
    return parsed


def values(path: Path, key: str) -> list[str]:
    """Return all values of a key of a unit, in their order."""
    return re.findall(rf"^{key}=(.*)$", path.read_text(encoding="utf-8"), re.M)


def commands() -> list[Command]:
    """Return each call of `seqd` in the files."""
    return [*_commands_of_compose(), *_commands_of_pods(), *_commands_of_units(), *_of_scripts()]


def settings() -> set[str]:
    """Return the settings that the files set in a container or a unit."""
    names: set[str] = set()
    for _, service in services():
        names |= set(service.get("environment") or {})
    for _, pod in pods():
        for container in pod["containers"]:
            names |= {entry["name"] for entry in container["env"]}
    for path in kubernetes_files():
        names |= set(re.findall(r"^\s+- (SEQD_\w+)=", path.read_text(encoding="utf-8"), re.M))
    for path in UNITS:
        for line in values(path, "Environment"):
            names |= {pair.partition("=")[0] for pair in shlex.split(line)}
    names |= set(re.findall(r"(SEQD_\w+)=", (DOCKER / "systemd" / "tls.conf").read_text("utf-8")))
    for path in (DOCKER / "systemd").glob("*.env"):
        names |= set(re.findall(r"^(\w+)=", path.read_text(encoding="utf-8"), re.M))
    return {name for name in names if name.startswith("SEQD_")}


def unknown_in(words: Sequence[str]) -> set[str]:
    """Return what of a call of `seqd` is no command, or no option of it."""
    left = list(words)
    command = get_command(app)
    context = click.Context(command, info_name="seqd")  # type: ignore[arg-type]
    while isinstance(getattr(command, "commands", None), dict):
        name = left.pop(0)
        found = command.get_command(context, name)  # type: ignore[attr-defined]
        if found is None:
            return {name}
        command = found
    options = {name for parameter in command.params for name in parameter.opts}
    return {word for word in left if re.fullmatch(r"--[a-z-]+", word)} - options


def _commands_of_compose() -> Iterator[Command]:
    for where, service in services():
        if "redis" not in where and "command" in service:
            yield Command(where, tuple(service["command"]))
        test = service.get("healthcheck", {}).get("test", ())
        if list(test[:2]) == ["CMD", "seqd"]:
            yield Command(where, tuple(test[2:]))


def _commands_of_pods() -> Iterator[Command]:
    for where, pod in pods():
        for container in pod["containers"]:
            yield Command(where, tuple(container["args"]))
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                words = container[probe].get("exec", {}).get("command")
                if words is not None:
                    assert words[0] == "seqd-probe", where
                    yield Command(where, ("probe", *words[1:]))
    for path in (DOCKER / "k8s" / "overlays").rglob("*.yaml"):
        for step in patches(path):
            if step["path"].endswith("/args"):
                yield Command(f"{path.parent.name}/{path.name}", tuple(step["value"]))


def _commands_of_units() -> Iterator[Command]:
    for path in UNITS:
        (line,) = values(path, "ExecStart")
        yield Command(path.name, tuple(shlex.split(line)[1:]))


def _of_scripts() -> Iterator[Command]:
    for path in sorted(DOCKER.glob("*.sh")):
        text = path.read_text("utf-8").replace("\\\n", " ").replace('"$role"', "worker")
        for line in re.findall(r"^\s*\$seqd (.*?)(?: >>.*)?$", text, re.M):
            yield Command(path.name, tuple(shlex.split(line)))


def labels_match(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return True where an object with these labels is selected."""
    return all(labels.get(key) == value for key, value in selector.items())
