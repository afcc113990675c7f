"""Takes the GPU of a slot for the process, through the framework behind Keras, or through torch.

Keras computes on the CPU without a word where its backend finds no GPU. `claim` asks the backend
first, holds it to the slot's share of the memory while that can still be set, and computes a small
product there. The backend is imported when it is called.
"""

import os
import re
from collections.abc import Callable
from functools import cache

from seqd.errors import UnusableSlot
from seqd.hookspecs import Device

#: Rows and columns of the product; the result is this in each element.
_SIZE = 64

_NO_KERNELS = re.compile(
    r"no kernel image|NO_BINARY_FOR_GPU|INVALID_PTX|UNSUPPORTED_PTX|not compatible with the current"
    r"|device kernel image is invalid",
    re.IGNORECASE,
)
_MIB = 2**20


def claim(device: Device, library: str | None = None) -> None:
    """Have a library compute on the slot's GPU, within its share; nothing on a CPU slot.

    `library` is `tensorflow`, `torch` or `jax`; without it, Keras's backend. Call it before
    anything of the library is used: later its memory cannot be limited. A second call does
    nothing. Raises UnusableSlot where the backend is not installed, was built without
    CUDA, sees no GPU or several, or has no kernels for this card; else what the backend raises.
    """
    if device.kind == "gpu":
        _claim(device, library)


@cache
def _claim(device: Device, library: str | None) -> None:
    backend = library or os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in _CLAIMS:
        named = "the plugin claims the GPU for" if library else "KERAS_BACKEND is"
        raise UnusableSlot(
            f"Slot {device.slot}: {named} {backend!r}; allowed on a GPU: "
            f"{', '.join(sorted(_CLAIMS))}."
        )
    try:
        result = _CLAIMS[backend](device)
    except ImportError as error:
        named = "" if library else ", which KERAS_BACKEND names,"
        raise UnusableSlot(
            f"Slot {device.slot}: {backend}{named} cannot be imported "
            f"({error}). On a GPU: pip install 'seqd[gpu]'."
        ) from error
    except Exception as error:
        if _NO_KERNELS.search(str(error)) is None:
            raise
        raise UnusableSlot(
            f"Slot {device.slot}: this {backend} has no kernels for this card. Install a release "
            f"of it that names the card: {error}"
        ) from error
    if result != _SIZE:
        raise ArithmeticError(f"CUDA error: {backend} computed {result} where {_SIZE} is right")


def _check_count(device: Device, backend: str, found: int, has_cuda: bool) -> None:
    if found == 1:
        return
    if found:
        raise UnusableSlot(
            f"Slot {device.slot}: {backend} sees {found} GPUs, and a slot is one: something else "
            "than its worker sets CUDA_VISIBLE_DEVICES."
        )
    why = (
        "the driver, or a library of CUDA, is missing or too old; the worker's log has its reason"
        if has_cuda
        else "it was built without CUDA: pip install 'seqd[gpu]'"
    )
    raise UnusableSlot(
        f"Slot {device.slot}: {backend} sees no GPU and would compute on the CPU, since {why}."
    )


def _claim_tensorflow(device: Device) -> float:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    backend = f"tensorflow {tf.__version__}"
    _check_count(device, backend, len(gpus), tf.test.is_built_with_cuda())
    if device.memory_bytes is None:
        tf.config.experimental.set_memory_growth(gpus[0], True)
    else:
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=device.memory_bytes // _MIB)
        tf.config.set_logical_device_configuration(gpus[0], [limit])
    with tf.device("/GPU:0"):
        ones = tf.ones((_SIZE, _SIZE))
        product = tf.matmul(ones, ones)
    return float(product[0, 0])


def _claim_torch(device: Device) -> float:
    import torch

    backend = f"torch {torch.__version__}"
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    _check_count(device, backend, found, torch.version.cuda is not None)
    if device.memory_bytes is not None:
        whole_bytes = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, device.memory_bytes / whole_bytes), 0)
    ones = torch.ones((_SIZE, _SIZE), device="cuda:0")
    return float((ones @ ones)[0, 0])


def _claim_jax(device: Device) -> float:
    """Claim through JAX, which reads its share from the environment that the slot has set."""
    import jax

    backend = f"jax {jax.__version__}"
    gpus = [one for one in jax.devices() if one.platform in ("gpu", "cuda")]
    _check_count(device, backend, len(gpus), jax.default_backend() != "cpu")
    ones = jax.device_put(jax.numpy.ones((_SIZE, _SIZE)), gpus[0])
    return float((ones @ ones)[0, 0])


_CLAIMS: dict[str, Callable[[Device], float]] = {
    "tensorflow": _claim_tensorflow,
    "torch": _claim_torch,
    "jax": _claim_jax,
}
