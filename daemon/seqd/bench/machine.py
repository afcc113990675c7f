"""Says what a figure was measured on: processor, cores, load, versions of what took part.

Reads the system; measures nothing itself. Called at the start and the end of each bench.
"""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from seqd.slots import cores

#: Distributions whose version may change a figure; those that are not installed are left out.
_TAKING_PART = (
    "seqd",
    "numpy",
    "celery",
    "redis",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "onnxruntime",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and with what."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    versions: dict[str, str]


def this_machine() -> Machine:
    """Look at the machine that this runs on."""
    return Machine(
        processor=processor_of(_read(Path("/proc/cpuinfo"))) or platform.processor() or "unknown",
        cores=cores(),
        memory_bytes=_memory_bytes(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=versions_of(_TAKING_PART),
    )


def load_average() -> float | None:
    """Give how many programs wanted a core over the last minute; None where nobody counts."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def processor_of(cpuinfo: str) -> str:
    """Read the processor's name out of Linux's /proc/cpuinfo; empty when it is not there."""
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == "model name":
            return value.strip()
    return ""


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """Give the versions of those distributions that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # An extra that is not installed takes no part.
    return found


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
