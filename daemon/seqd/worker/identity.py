"""Who this worker is: its slot, its name, and the routes that it can run."""

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from seqd.hookspecs import Device, Model
from seqd.slots import Slot
from seqd_schemas import route_of


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's slot and name. The name is new at each start, so leases tell starts apart."""

    name: str
    slot: Slot
    host: str

    @property
    def device(self) -> Device:
        """The device share, as plugins see it."""
        return Device(slot=self.slot.name, kind=self.slot.kind, threads=self.slot.threads)


def identify(slot: Slot, name: str = "") -> Identity:
    """Give a worker its name: the supervisor's, or a new one."""
    host = socket.gethostname()
    name = name or f"{slot.name.replace('@', '-')}@{host}-{secrets.token_hex(3)}"
    return Identity(name=name, slot=slot, host=host)


def runnable_routes(slot: Slot, models: Mapping[str, Model]) -> tuple[str, ...]:
    """List the routes that a slot can run: its tasks, of the models that fit its device."""
    routes = []
    for name, model in sorted(models.items()):
        if model.needs.device not in ("any", slot.kind):
            continue
        routes += [route_of(task, name) for task in slot.tasks if task in model.tasks]
    return tuple(routes)
