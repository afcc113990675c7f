"""Pins slots to the devices of this machine, by UUID, and makes the slots of `auto`.

An index counts as nvidia-smi does, over all devices, whatever CUDA_VISIBLE_DEVICES leaves of them;
a device that the variable hides cannot be had. Nothing here falls back to the CPU: a GPU that is
asked for and cannot be used is an error, and one that cannot be listed is no machine without GPUs.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seqd.errors import DeviceLost, UnusableSlot
from seqd.local.gpus import BrokenGpu, ComputeMode, Gpu, GpuListing, PinnedGpu, in_gib, list_gpus
from seqd.local.slots import MIN_SHARE_BYTES, Slot, cores, parse_slot, parse_slots

log = logging.getLogger(__name__)

#: Serving slots that `auto` makes at most; each one's TensorFlow takes 0.7 GB of memory.
MAX_AUTO_SERVING_SLOTS = 8

_ON_CPU = (
    "To compute on the CPU, say so: SEQD_SLOTS=cpu:0,train@cpu of `seqd up`, or --slot cpu:0 of "
    "`seqd worker`."
)


def slots_here(text: str) -> tuple[Slot, ...]:
    """Read slot specs that are joined by commas, or `auto`, and pin them to this machine's devices.

    Raises InvalidSettings, which names the bad spec and shows good ones, and UnusableSlot, which
    says which devices there are.
    """
    if text.strip() == "auto":
        return auto_slots()
    slots = parse_slots(text)
    if all(slot.kind == "cpu" for slot in slots):
        return slots
    devices = Devices.here()
    pinned = tuple(devices.pin(slot) for slot in slots)
    devices.check_shares(pinned)
    return pinned


def auto_slots() -> tuple[Slot, ...]:
    """Make one serving slot for each GPU, or else for each core, and one training slot.

    A GPU in error is left out, and named in the log. Raises UnusableSlot where all are, or where
    the driver lists none though there is one.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not _tokens(visible):
        return _cpu_slots()
    devices = Devices.here()
    if devices.listing.is_absent and visible is None:
        return _cpu_slots()
    return devices.auto_slots()


def pin_worker(slot: Slot, told: str) -> Slot:
    """Return the slot of one worker on its device.

    `told` is SEQD_DEVICE of whoever started it, who has looked the device up; its index may count
    another one by now. Raises UnusableSlot, and DeviceLost where a device was here and is not.
    """
    if slot.kind == "cpu":
        return slot
    devices = Devices.here()
    if not told:
        pinned = devices.pin(slot)
        devices.check_shares((pinned,))
        return pinned
    gpu = PinnedGpu.read(told)
    found = devices.listing.find(gpu.uuid)
    if isinstance(found, Gpu):
        return slot.pinned(gpu)
    said = "the driver does not list it any more" if found is None else found.reason
    raise DeviceLost(f"Slot {slot.name}: {gpu.name} ({gpu.uuid}) is lost: {said}.")


def given_slot(needs: str) -> Slot:
    """Return the slot that an engine, such as Ray, has given this process.

    A GPU where CUDA_VISIBLE_DEVICES names one, unless what is run `needs` the `cpu`; else the CPU,
    with the threads of OMP_NUM_THREADS, or all cores. No variable is no GPU: an engine says which.
    """
    if needs != "cpu" and _tokens(os.environ.get("CUDA_VISIBLE_DEVICES", "")):
        return parse_slot("gpu:0")
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return replace(parse_slot("cpu:0"), threads=int(threads) if threads.isdecimal() else cores())


def _cpu_slots() -> tuple[Slot, ...]:
    serving = min(cores(), MAX_AUTO_SERVING_SLOTS)
    specs = [*(f"cpu:{index}" for index in range(serving)), "train@cpu"]
    return tuple(parse_slot(spec) for spec in specs)


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of this machine, and which of them CUDA_VISIBLE_DEVICES leaves."""

    listing: GpuListing
    #: The variable; None where it is not set.
    visible: str | None = None

    @classmethod
    def here(cls) -> "Devices":
        """Return those of this machine now."""
        return cls(list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))

    def auto_slots(self) -> tuple[Slot, ...]:
        """Return a serving slot on each device that is well, and a training slot on the last.

        A device that one process alone may use has one slot that does both. Raises UnusableSlot.
        """
        self._check_listed("auto")
        gpus, left_out = list[Gpu](), list[str]()
        for one in self._visible():
            if isinstance(one, BrokenGpu):
                left_out.append(one.label)
            elif one.mode is ComputeMode.PROHIBITED:
                left_out.append(f"{one.label}: its compute mode is {one.mode}")
            else:
                gpus.append(one)
        if not gpus:
            if not left_out:
                raise UnusableSlot(f"auto finds no GPU. {self.listing.in_words()}. {_ON_CPU}")
            raise UnusableSlot(f"auto finds no GPU that is well: {'; '.join(left_out)}. {_ON_CPU}")
        for reason in left_out:
            log.warning("left out by auto: %s", reason)
        slots = [_slot_on(gpu) for gpu in gpus[:-1]]
        if gpus[-1].mode is ComputeMode.EXCLUSIVE:
            return (*slots, _slot_on(gpus[-1], "all@"))
        return (*slots, _slot_on(gpus[-1]), _slot_on(gpus[-1], "train@"))

    def pin(self, slot: Slot) -> Slot:
        """Return a slot on its device. Raises UnusableSlot, which says what there is."""
        if slot.wanted_gpu is None:
            return slot
        self._check_listed(slot.name)
        found = self._find(slot.wanted_gpu)
        if not found:
            raise UnusableSlot(
                f"Slot {slot.name} wants {_wanted(slot.wanted_gpu)}, which is not here. "
                f"{self.listing.in_words()}."
            )
        shown = self._visible()
        left = [one for one in found if one in shown]
        if not left:
            raise UnusableSlot(
                f"Slot {slot.name} wants {_label(found[0])}, which CUDA_VISIBLE_DEVICES="
                f"{self.visible} hides. Left: {', '.join(map(_label, shown)) or 'none'}."
            )
        if len(left) > 1:
            names = ", ".join(f"gpu:{one.uuid}" for one in left)
            raise UnusableSlot(
                f"Slot {slot.name} may be each of {names}: name one of them by its whole UUID."
            )
        return self._usable(slot, left[0])

    def check_shares(self, slots: Sequence[Slot]) -> None:
        """Raise UnusableSlot where slots on one device want more of it than there is."""
        slots_by_uuid = defaultdict[str, list[Slot]](list)
        for slot in slots:
            if slot.gpu is not None:
                slots_by_uuid[slot.gpu.uuid].append(slot)
        for uuid, together in slots_by_uuid.items():
            gpu = self.listing.find(uuid)
            if isinstance(gpu, Gpu):
                _check_together(gpu, together)

    def _usable(self, slot: Slot, one: Gpu | BrokenGpu) -> Slot:
        if isinstance(one, BrokenGpu):
            raise UnusableSlot(f"Slot {slot.name} wants a device in error: {one.label}.")
        if one.mode is ComputeMode.PROHIBITED:
            raise UnusableSlot(
                f"Slot {slot.name} wants {one.label}, on which nobody may compute: its compute "
                f"mode is {one.mode}. Allow it: nvidia-smi -i {one.index} -c DEFAULT."
            )
        pinned = slot.pinned(PinnedGpu.of(one))
        share = pinned.share_bytes
        if share is not None and share < MIN_SHARE_BYTES:
            raise UnusableSlot(
                f"Slot {slot.name} has {in_gib(share)} of {one.label}; allowed: at least "
                f"{in_gib(MIN_SHARE_BYTES)}, since a CUDA context alone takes half of that."
            )
        return pinned

    def _check_listed(self, what: str) -> None:
        if self.listing.fault:
            raise UnusableSlot(
                f"{what} wants a GPU, and NVML, the driver's library, lists none: "
                f"{self.listing.fault}. {_ON_CPU}"
            )

    def _all(self) -> list[Gpu | BrokenGpu]:
        every: list[Gpu | BrokenGpu] = [*self.listing.gpus, *self.listing.broken]
        return sorted(every, key=lambda one: one.index)

    def _find(self, token: str) -> list[Gpu | BrokenGpu]:
        """Return the devices that an index, a UUID or the begin of one may mean.

        More than one, of an index, are the MIG instances of a GPU.
        """
        if token.isdigit():
            return [one for one in self._all() if one.index == int(token)]
        exact = [one for one in self._all() if one.uuid == token]
        return exact or [one for one in self._all() if one.uuid.startswith(token)]

    def _visible(self) -> list[Gpu | BrokenGpu]:
        """Return what CUDA_VISIBLE_DEVICES leaves, in its order.

        CUDA hides silently what stands behind a name that it does not know; here that is an error.
        """
        if self.visible is None:
            return self._all()
        shown = list[Gpu | BrokenGpu]()
        for token in _tokens(self.visible):
            found = self._find(token)
            is_ambiguous = not token.isdigit() and len(found) > 1
            if not found or is_ambiguous:
                many = "may be more than one device" if is_ambiguous else "is no device here"
                raise UnusableSlot(
                    f"CUDA_VISIBLE_DEVICES is {self.visible}, of which {token!r} {many}. "
                    f"{self.listing.in_words()}."
                )
            shown += [one for one in found if one not in shown]
        return shown


def _tokens(visible: str) -> list[str]:
    """Return the names in CUDA_VISIBLE_DEVICES; as CUDA does, up to the first -1 or empty one."""
    names = [name.strip() for name in visible.split(",")]
    hidden = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:hidden]


def _slot_on(gpu: Gpu, tasks: str = "") -> Slot:
    name = str(gpu.index) if gpu.instance is None else gpu.uuid
    return parse_slot(f"{tasks}gpu:{name}").pinned(PinnedGpu.of(gpu))


def _check_together(gpu: Gpu, slots: Sequence[Slot]) -> None:
    names = " and ".join(slot.name for slot in slots)
    if gpu.mode is ComputeMode.EXCLUSIVE and len(slots) > 1:
        raise UnusableSlot(
            f"Slots {names} want {gpu.label} together, which one process alone may use: its "
            f"compute mode is {gpu.mode}. Name one slot, such as all@gpu:{gpu.index}, or allow "
            f"several: nvidia-smi -i {gpu.index} -c DEFAULT."
        )
    wanted = sum(slot.share_bytes or 0 for slot in slots)
    if wanted > gpu.memory_bytes:
        shares = " + ".join(in_gib(slot.share_bytes) for slot in slots if slot.share_bytes)
        raise UnusableSlot(
            f"{'Slots' if len(slots) > 1 else 'Slot'} {names} want {shares} of the "
            f"{in_gib(gpu.memory_bytes)} of {gpu.label}. Give them smaller shares."
        )


def _label(one: Gpu | BrokenGpu) -> str:
    return one.label


def _wanted(token: str) -> str:
    return f"GPU {token}" if token.isdigit() else token
