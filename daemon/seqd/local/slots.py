"""Slots: which share of which device a worker gets, and the environment that pins it there."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqd.errors import InvalidSettings
from seqd.local.cgroups import quota_cores
from seqd_schemas import Task

#: Serving slots that `auto` makes at most; each one's TensorFlow takes 0.7 GB of memory.
MAX_AUTO_SERVING_SLOTS = 8

_SERVING: tuple[Task, ...] = ("classify", "generate")
_TASKS: dict[str, tuple[Task, ...]] = {
    "": _SERVING,
    "train": ("train",),
    "all": (*_SERVING, "train"),
}
_SPEC = re.compile(
    r"(?:(?P<tasks>train|all)@)?"
    r"(?:(?P<cpu>cpu)(?::\d{1,4})?|gpu:(?P<gpu>\d{1,4}|(?:GPU|MIG)-[0-9A-Za-z-]{1,48}))"
)
#: What the driver makes for its devices, on Linux and on WSL.
_GPU_DEVICES = (Path("/dev/nvidia0"), Path("/dev/nvidiactl"), Path("/dev/dxg"))
_FORMS = (
    "A slot is cpu:0, gpu:0 or gpu:MIG-UUID; train@ in front takes training alone, all@ every "
    "task. Such as cpu:0,cpu:1,train@cpu or gpu:0,train@gpu:0, or auto."
)
_SMI_GPU = re.compile(r"GPU (\d+): ")
_SMI_MIG = re.compile(r"\s+MIG .*\(UUID: (MIG-[0-9A-Za-z-]+)\)")


@dataclass(frozen=True, slots=True)
class Slot:
    """One device share. `name` is its spec, such as `cpu:0` or `train@gpu:0`."""

    name: str
    kind: Literal["cpu", "gpu"]
    tasks: tuple[Task, ...]
    #: What CUDA calls the device: an index or a UUID; None on a CPU.
    cuda_device: str | None
    #: Threads that a numeric library may use.
    threads: int

    def environment(self) -> dict[str, str]:
        """Variables to set before the worker starts, and so before any library is imported."""
        threads = str(self.threads)
        return {
            # As nvidia-smi counts; CUDA's own order is the fastest first.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            # -1 hides every GPU from a CPU slot, which else would take memory there.
            "CUDA_VISIBLE_DEVICES": "-1" if self.cuda_device is None else self.cuda_device,
            # Without it the first of two slots on a GPU takes all of its memory.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "OMP_NUM_THREADS": threads,
            # Products of recurrent networks are too small to be shared out: two threads of OpenBLAS
            # on two busy cores took 10 times the processor time of one. Who has work for several
            # threads starts them.
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": threads,
        }


def parse_slots(text: str) -> tuple[Slot, ...]:
    """Read slot specs that are joined by commas, or `auto`.

    Raises InvalidSettings, which names the bad spec and shows good ones.
    """
    if text.strip() == "auto":
        return auto_slots()
    specs = [spec.strip() for spec in text.split(",") if spec.strip()]
    if not specs:
        raise InvalidSettings(f"SEQD_SLOTS is empty. {_FORMS}")
    slots = tuple(parse_slot(spec) for spec in specs)
    for spec in specs:
        if specs.count(spec) > 1:
            raise InvalidSettings(
                f"SEQD_SLOTS names slot {spec!r} {specs.count(spec)} times; each may stand once. "
                "Number CPU slots to have several: cpu:0,cpu:1."
            )
    return slots


def parse_slot(spec: str) -> Slot:
    """Read one slot's spec; the number of a CPU slot only tells it from the others.

    Raises InvalidSettings, which shows good ones.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise InvalidSettings(f"{spec!r} is no slot. {_FORMS}")
    tasks = _TASKS[match["tasks"] or ""]
    if match["cpu"]:
        # Serving slots share the cores, one each. Training is alone on its slot.
        threads = cores() if "train" in tasks else 1
        return Slot(spec, "cpu", tasks, None, threads)
    # The CPU only feeds the device here.
    return Slot(spec, "gpu", tasks, match["gpu"], threads=1)


def auto_slots(cuda_visible_devices: str | None = None) -> tuple[Slot, ...]:
    """Make one serving slot for each GPU, or else for each core, and one training slot.

    `cuda_visible_devices` is what CUDA_VISIBLE_DEVICES would be; None looks at the variable.
    """
    if cuda_visible_devices is None:
        cuda_visible_devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = _visible_gpus(cuda_visible_devices)
    if gpus:
        specs = [*(f"gpu:{gpu}" for gpu in gpus), f"train@gpu:{gpus[-1]}"]
    else:
        serving = min(cores(), MAX_AUTO_SERVING_SLOTS)
        specs = [*(f"cpu:{index}" for index in range(serving)), "train@cpu"]
    return tuple(parse_slot(spec) for spec in specs)


def cores() -> int:
    """Count the CPU cores that this process may use, a container's quota respected."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, quota_cores() or allowed))


def check_device(slot: Slot) -> None:
    """Raise InvalidSettings for a GPU slot where there is no sign of a GPU.

    TensorFlow would not complain: it computes on the CPU, and the operator finds out by the
    speed.
    """
    if slot.kind == "cpu" or _installed_gpus() or any(path.exists() for path in _GPU_DEVICES):
        return
    raise InvalidSettings(
        f"Slot {slot.name} wants a GPU, and there is none here: `nvidia-smi -L` lists no device. "
        "Allowed on this machine: CPU slots, such as cpu:0 or train@cpu."
    )


def _visible_gpus(cuda_visible_devices: str | None) -> list[str]:
    if cuda_visible_devices is None:
        return _installed_gpus()
    names = [name.strip() for name in cuda_visible_devices.split(",")]
    # As CUDA does: what stands behind the first -1, or empty name, is hidden.
    hidden = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:hidden]


def _installed_gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listing = subprocess.run(  # noqa: S603 (found on PATH, no shell)
            [program, "-L"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []  # A driver that does not answer has no GPU to offer.
    return gpus_of_listing(listing.stdout) if listing.returncode == 0 else []


def gpus_of_listing(listing: str) -> list[str]:
    """Read `nvidia-smi -L`: each GPU's index, or the UUIDs of its MIG shares where it has some."""
    gpus: list[str] = []
    for line in listing.splitlines():
        if gpu := _SMI_GPU.match(line):
            gpus.append(gpu[1])
        elif share := _SMI_MIG.match(line):
            # The first share takes the place of its GPU, which is not usable as a whole.
            if gpus and gpus[-1].isdigit():
                gpus.pop()
            gpus.append(share[1])
    return gpus
