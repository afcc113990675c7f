"""Slots: which share of which device a worker gets, and the environment that pins it there."""

import os
import re
import secrets
import socket
from dataclasses import dataclass, replace
from typing import Literal, Self

from seqd.errors import InvalidSettings
from seqd.kinds import SERVED_TASKS, TRAIN
from seqd.local.cgroups import quota_cores
from seqd.local.gpus import PinnedGpu
from seqd_schemas import NamedTask

#: Of a slot that serves also those that plugins have named, which need not be listed.
_TASKS: dict[str, tuple[NamedTask, ...]] = {
    "": SERVED_TASKS,
    TRAIN: (TRAIN,),
    "all": (*SERVED_TASKS, TRAIN),
}
#: A GPU by its index, or by a UUID or the first characters of one. The last part of a MIG
#: instance's, `/3/0`, is of drivers before 470.
_GPU = r"\d{1,4}|(?:GPU|MIG)-[0-9A-Za-z-]{1,44}(?:/\d{1,2}/\d{1,2})?"
_SHARE = r"(?P<part>0?\.\d{1,4})|(?P<amount>\d{1,4}(?:\.\d{1,3})?)(?P<unit>GiB|MiB)"
_SPEC = re.compile(
    rf"(?:(?P<tasks>train|all)@)?(?:(?P<cpu>cpu)(?::\d{{1,4}})?|gpu:(?P<gpu>{_GPU})(?:=(?:{_SHARE}))?)"
)
#: How a worker can be told from its predecessor on the same slot: 24 random bits.
_NONCE_BYTES = 3

#: As long as the published status of a worker can hold.
_MAX_SPEC = 64
_FORMS = (
    "A slot is cpu:0, gpu:0 or gpu:MIG-UUID; train@ in front takes training alone, all@ every "
    "task; =0.5 or =6GiB behind a GPU is the share of its memory. Such as cpu:0,cpu:1,train@cpu, "
    "gpu:0,train@gpu:0 or gpu:0=0.3,train@gpu:0=0.7, or auto."
)
_UNITS = {"GiB": 2**30, "MiB": 2**20}

#: Memory of a device that a CUDA context and the workspace of cuDNN take beside what a framework
#: counts as its own: 0.5 GB and more (TensorFlow's issue 53822).
CONTEXT_BYTES = 640 * 2**20

#: Least share: the context, and something to compute with.
MIN_SHARE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """How much of a device's memory a slot may take: a part of all, or an amount."""

    part: float | None = None
    amount_bytes: int | None = None

    def of(self, memory_bytes: int) -> int:
        """Return the share of a device with so much memory, in bytes."""
        if self.amount_bytes is not None:
            return self.amount_bytes
        return int(memory_bytes * (self.part or 0.0))


@dataclass(frozen=True, slots=True)
class Slot:
    """One device share. `name` is its spec, such as `cpu:0` or `train@gpu:0=0.5`."""

    name: str
    kind: Literal["cpu", "gpu"]
    tasks: tuple[NamedTask, ...]
    #: What the spec calls the device: an index or a UUID; None on a CPU.
    wanted_gpu: str | None
    #: Threads that a numeric library may use.
    threads: int
    #: None: whatever is free of a GPU's memory when it is needed.
    share: MemoryShare | None = None
    #: The device, once it was looked up.
    gpu: PinnedGpu | None = None

    def does(self, task: str) -> bool:
        """Return True for a task that it takes: every one but training, where it serves."""
        return task in self.tasks or (task != TRAIN and SERVED_TASKS[0] in self.tasks)

    def new_worker_name(self) -> str:
        """Name a worker on it `SLOT@HOST-NONCE`; no two starts share a name."""
        safe_name = re.sub(r"[^A-Za-z0-9_.:@-]", "-", self.name)  # for keys
        return f"{safe_name}@{socket.gethostname()[:128]}-{secrets.token_hex(_NONCE_BYTES)}"

    @property
    def share_bytes(self) -> int | None:
        """Memory of the device that it may take; None where there is no limit, or no device yet."""
        if self.share is None or self.gpu is None:
            return None
        return self.share.of(self.gpu.memory_bytes)

    @property
    def framework_bytes(self) -> int | None:
        """What is left of its share for a framework, which does not count the context."""
        return None if self.share_bytes is None else self.share_bytes - CONTEXT_BYTES

    def pinned(self, gpu: PinnedGpu) -> Self:
        """Return the slot on a device."""
        return replace(self, gpu=gpu)

    def environment(self) -> dict[str, str]:
        """Variables to set before the worker starts, and so before any library is imported."""
        threads = str(self.threads)
        return {
            # As nvidia-smi counts; CUDA's own order is the fastest first.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": self._visible(),
            # Without it the first of two slots on a GPU takes all of its memory.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            **self._share_variables(),
            "OMP_NUM_THREADS": threads,
            # Products of recurrent networks are too small to be shared out: two threads of OpenBLAS
            # on two busy cores took 10 times the processor time of one. Who has work for several
            # threads starts them.
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": threads,
        }

    def _visible(self) -> str:
        if self.gpu is not None:
            return self.gpu.uuid  # an index counts anew when a device falls off the bus
        # -1 hides every GPU from a CPU slot, which else would take memory there.
        return self.wanted_gpu or "-1"

    def _share_variables(self) -> dict[str, str]:
        """Return what JAX reads; TensorFlow and torch read none, and are told in the process."""
        if self.gpu is None or self.framework_bytes is None:
            return {}
        fraction = self.framework_bytes / self.gpu.memory_bytes
        return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{fraction:.4f}"}


def parse_slots(text: str) -> tuple[Slot, ...]:
    """Read slot specs that are joined by commas. Looks at no device.

    Raises InvalidSettings, which names the bad spec and shows good ones.
    """
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
    if match is None or len(spec) > _MAX_SPEC:
        raise InvalidSettings(f"{spec!r} is no slot. {_FORMS}")
    tasks = _TASKS[match["tasks"] or ""]
    if match["cpu"]:
        # Serving slots share the cores, one each. Training is alone on its slot.
        threads = cores() if TRAIN in tasks else 1
        return Slot(spec, "cpu", tasks, None, threads)
    # The CPU only feeds the device here.
    return Slot(spec, "gpu", tasks, match["gpu"], threads=1, share=_share_of(match))


def _share_of(match: re.Match[str]) -> MemoryShare | None:
    if match["part"]:
        return MemoryShare(part=float(match["part"]))
    if match["amount"]:
        return MemoryShare(amount_bytes=int(float(match["amount"]) * _UNITS[match["unit"]]))
    return None


def cores() -> int:
    """Count the CPU cores that this process may use, a container's quota respected."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, quota_cores() or allowed))
