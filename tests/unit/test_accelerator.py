"""The model kit takes a GPU through the framework behind Keras; here the frameworks are made up.

`tests/gpu` has the same with real ones.
"""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from seqd.errors import UnusableSlot
from seqd.hookspecs import Device
from seqd_modelkit import accelerator

GPU = Device("gpu:0", "gpu", 1)
SHARED = Device("gpu:0=0.5", "gpu", 1, memory_bytes=20 * 2**30)
WHOLE_BYTES = 80 * 2**30


class Product:
    """Ones times ones, of a device that may compute wrongly or raise."""

    def __init__(self, value: float = 64.0, error: Exception | None = None) -> None:
        self.value, self.error = value, error

    def __matmul__(self, other: object) -> "Product":
        if self.error is not None:
            raise self.error
        return self

    def __getitem__(self, place: tuple[int, int]) -> float:
        return self.value


class Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def a_tensorflow(told: list[object], gpus: int, product: Product, has_cuda: bool) -> ModuleType:
    tf = ModuleType("tensorflow")
    tf.__version__ = "2.99"
    tf.config = SimpleNamespace(
        list_physical_devices=lambda kind: [f"{kind}:{i}" for i in range(gpus)],
        experimental=SimpleNamespace(
            set_memory_growth=lambda gpu, grows: told.append(("growth", gpu, grows))
        ),
        LogicalDeviceConfiguration=lambda memory_limit: memory_limit,
        set_logical_device_configuration=lambda gpu, limits: told.append(("limit", gpu, limits)),
    )
    tf.test = SimpleNamespace(is_built_with_cuda=lambda: has_cuda)
    tf.device = lambda name: Nothing()
    tf.ones = lambda shape: product
    tf.matmul = lambda one, other: one @ other
    return tf


def a_torch(told: list[object], gpus: int, product: Product, has_cuda: bool) -> ModuleType:
    torch = ModuleType("torch")
    torch.__version__ = "2.99"
    torch.version = SimpleNamespace(cuda="12.9" if has_cuda else None)
    torch.cuda = SimpleNamespace(
        is_available=lambda: gpus > 0,
        device_count=lambda: gpus,
        get_device_properties=lambda number: SimpleNamespace(total_memory=WHOLE_BYTES),
        set_per_process_memory_fraction=lambda part, gpu: told.append(("part", gpu, part)),
    )
    torch.ones = lambda shape, device: product
    return torch


def a_jax(told: list[object], gpus: int, product: Product, has_cuda: bool) -> ModuleType:
    jax = ModuleType("jax")
    jax.__version__ = "2.99"
    devices = [SimpleNamespace(platform="gpu") for _ in range(gpus)]
    jax.devices = lambda: devices or [SimpleNamespace(platform="cpu")]
    jax.default_backend = lambda: "gpu" if has_cuda else "cpu"
    jax.numpy = SimpleNamespace(ones=lambda shape: product)
    jax.device_put = lambda array, device: array
    return jax


MAKERS = {"tensorflow": a_tensorflow, "torch": a_torch, "jax": a_jax}
EVERY_BACKEND = pytest.mark.parametrize("backend", MAKERS)


@pytest.fixture
def install(monkeypatch):
    """Put a made-up framework in the place of a real one; returns what it was told."""
    accelerator._claim.cache_clear()

    def install(
        backend: str,
        gpus: int = 1,
        product: Product | None = None,
        has_cuda: bool = True,
    ) -> list[object]:
        told: list[object] = []
        made = MAKERS[backend](told, gpus, product or Product(), has_cuda)
        monkeypatch.setitem(sys.modules, backend, made)
        monkeypatch.setenv("KERAS_BACKEND", backend)
        return told

    yield install
    accelerator._claim.cache_clear()


def refusal_of(device: Device) -> str:
    with pytest.raises(UnusableSlot) as refusal:
        accelerator.claim(device)
    return str(refusal.value)


def test_a_cpu_slot_imports_no_framework(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "no_such_module")

    accelerator.claim(Device("cpu:0", "cpu", 1))


@pytest.mark.parametrize(
    ("backend", "device", "told"),
    [
        ("tensorflow", GPU, [("growth", "GPU:0", True)]),
        ("tensorflow", SHARED, [("limit", "GPU:0", [20 * 1024])]),
        ("torch", GPU, []),
        ("torch", SHARED, [("part", 0, 0.25)]),
        ("jax", SHARED, []),  # it reads XLA_PYTHON_CLIENT_MEM_FRACTION
    ],
)
def test_a_framework_is_held_to_the_share_of_the_slot_once(install, backend, device, told):
    heard = install(backend)

    accelerator.claim(device)
    accelerator.claim(device)

    assert heard == told


NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"

#: What is made up of a framework, and what is said of it.
REFUSED = [
    (
        {"gpus": 0, "has_cuda": False},
        "{backend} 2.99 sees no GPU and would compute on the CPU, since it was built without CUDA: "
        "pip install 'seqd[gpu]'.",
    ),
    (
        {"gpus": 0},
        "{backend} 2.99 sees no GPU and would compute on the CPU, since the driver, or a library "
        "of CUDA, is missing or too old; the worker's log has its reason.",
    ),
    (
        {"gpus": 4},
        "{backend} 2.99 sees 4 GPUs, and a slot is one: something else than its worker sets "
        "CUDA_VISIBLE_DEVICES.",
    ),
    (
        {"product": Product(error=RuntimeError(NO_KERNEL))},
        "this {backend} has no kernels for this card. Install a release of it that names the card: "
        + NO_KERNEL,
    ),
]


@pytest.mark.parametrize(("made", "said"), REFUSED)
@EVERY_BACKEND
def test_a_framework_that_cannot_compute_on_the_slot_alone_is_refused_with_what_to_do(
    install, backend, made, said
):
    if backend == "jax" and made == {"gpus": 0}:
        return  # it does not say what it was built for
    install(backend, **made)

    assert refusal_of(GPU) == f"Slot gpu:0: {said.format(backend=backend)}"


@EVERY_BACKEND
def test_a_device_that_computes_something_else_and_other_errors_are_errors_of_the_device(
    install, backend
):
    install(backend, product=Product(63.0))

    with pytest.raises(ArithmeticError) as error:
        accelerator.claim(GPU)

    assert str(error.value) == f"CUDA error: {backend} computed 63.0 where 64 is right"
    install(backend, product=Product(error=RuntimeError("CUDA out of memory")))
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        accelerator.claim(GPU)


def test_a_framework_that_is_not_installed_is_named_with_the_extra_that_has_it(
    install, monkeypatch
):
    install("torch")
    monkeypatch.setitem(sys.modules, "torch", None)

    assert refusal_of(GPU) == (
        "Slot gpu:0: torch, which KERAS_BACKEND names, cannot be imported (import of torch halted; "
        "None in sys.modules). On a GPU: pip install 'seqd[gpu]'."
    )


def test_a_backend_that_has_no_gpu_is_refused(install, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")

    assert refusal_of(GPU) == (
        "Slot gpu:0: KERAS_BACKEND is 'numpy'; allowed on a GPU: jax, tensorflow, torch."
    )
