"""How many numbers a safetensors file holds, read from its head alone."""

import json
import math
import os
from pathlib import Path
from typing import Final

#: Longest head that is read, in bytes; a tensor takes about 100.
_MAX_HEAD_BYTES: Final = 2**24

SUFFIX: Final = ".safetensors"


def numbers_in(path: Path) -> int | None:
    """Return the numbers of all tensors of a file; None where its head makes no sense.

    The head is JSON behind its length in eight bytes: each tensor's name with its shape.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MAX_HEAD_BYTES:
                return None
            head: dict[str, dict[str, list[int]]] = json.loads(file.read(length))
        tensors = (tensor for name, tensor in head.items() if name != "__metadata__")
        sizes: list[int] = [math.prod(tensor["shape"]) for tensor in tensors]
        return sum(sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
