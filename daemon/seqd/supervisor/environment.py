"""What a worker is started with: its command line, its identity and its environment.

The settings travel as the variables that they came from, so that a worker of `seqd up` and
one that a person starts by hand read them in the same way. Called by `supervisor` only.
"""

import os
import secrets
import socket
import sys
from pathlib import Path

from seqd.settings import Settings
from seqd.slots import Slot

#: How a worker can be told from its predecessor on the same slot: 24 random bits.
_NONCE_BYTES = 3


def worker_command(slot: Slot, worker_id: str) -> list[str]:
    """Give the command line of a worker."""
    return [sys.executable, "-m", "seqd", "worker", "--slot", slot.name, "--name", worker_id]


def new_worker_id(slot: Slot) -> str:
    """Name a worker `SLOT@HOST-NONCE`; no two starts share a name."""
    host = socket.gethostname()[:128]
    return f"{slot.name}@{host}-{secrets.token_hex(_NONCE_BYTES)}"


def worker_environment(settings: Settings, redis_url: str, slot: Slot) -> dict[str, str]:
    """Give a worker's whole environment: ours, the settings, and the slot's pinning on top."""
    return {
        # Keras's own default, stated, so that a keras.json of the user cannot change it.
        "KERAS_BACKEND": "tensorflow",
        **os.environ,
        **_settings_variables(settings, redis_url),
        **slot.environment(),
    }


def _settings_variables(settings: Settings, redis_url: str) -> dict[str, str]:
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    values["redis_url"] = redis_url
    values["data_dir"] = settings.data_dir.absolute()
    if settings.redis_url is None and settings.input_roots is None:
        # The server is embedded, so only its own user can name files; a worker sees a mere
        # address, and would take it for a shared server that may name none.
        values["input_roots"] = (Path("/"),)
    return {
        f"SEQD_{name.upper()}": _written(name, value)
        for name, value in values.items()
        if value is not None
    }


def _written(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return (os.pathsep if name == "input_roots" else ",").join(map(str, value))
    return str(value)
