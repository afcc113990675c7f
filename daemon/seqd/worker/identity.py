"""Who this worker is: its slot, its name, and the routes that it can run."""

import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from seqd.errors import InvalidSettings
from seqd.hookspecs import Device, Model
from seqd.local.slots import Slot
from seqd_schemas import route_of

_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,200}")


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
    """Give a worker its name: the supervisor's, or a new one. Raises InvalidSettings."""
    host = socket.gethostname()
    name = name or f"{slot.name.replace('@', '-')}@{host}-{secrets.token_hex(3)}"
    if _NAME.fullmatch(name) is None:
        raise InvalidSettings(
            f"The worker's name is {name!r}; allowed: up to 200 letters, digits and `_.:@-`, and "
            "no space, since it becomes part of a key."
        )
    return Identity(name=name, slot=slot, host=host)


def runnable_routes(slot: Slot, models: Mapping[str, Model]) -> tuple[str, ...]:
    """List the routes that a slot can run: its tasks, of the models that fit its device."""
    routes = []
    for name, model in sorted(models.items()):
        if model.needs.device not in ("any", slot.kind):
            continue
        routes += [route_of(task, name) for task in slot.tasks if task in model.tasks]
    return tuple(routes)
