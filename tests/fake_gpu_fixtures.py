"""A machine with GPUs that are not there: fake libraries of the driver, compiled for the test run.

    fake_driver      folder with a fake libnvidia-ml.so.1 and libcuda.so.1, for LD_LIBRARY_PATH
    machine          a machine whose GPUs a test makes, changes and breaks; the test's own process
                     sees them, and so does every program that is started with its `variables`

The real `nvidia-ml-py` and the real `cuda_probe` load these libraries as they would load the
driver's. `fake_gpu/state.h` says how the file looks that describes a machine.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

SOURCES = Path(__file__).parent / "fake_gpu"
LIBRARIES = {"nvml.c": "libnvidia-ml.so.1", "cuda.c": "libcuda.so.1"}

#: NVML's numbers.
LOST, UNKNOWN, RM_MISMATCH = 15, 999, 18
ECC, XID = 0x2, 0x8
EXCLUSIVE, PROHIBITED = 3, 2
NO_INSTANCE = 0xFFFF_FFFF

#: MiB of a whole GPU, and what its driver keeps of it.
TOTAL_MIB, RESERVED_MIB = 81_559, 639


def gpu_uuid(number: int) -> str:
    """Return the UUID of a fake GPU."""
    return f"GPU-{UUID(int=(number + 1) << 96 | number)}"


def mig_uuid(number: int) -> str:
    """Return the UUID of a fake MIG instance, as drivers from 470 on name them."""
    return f"MIG-{UUID(int=(number + 0xA0) << 96 | number)}"


@dataclass
class FakeGpu:
    """A GPU as the file describes it."""

    uuid: str
    name: str = "NVIDIA_H100_80GB_HBM3"
    total_mib: int = TOTAL_MIB
    used_mib: int = 0
    mode: int = 0
    error: int = 0
    is_cut: bool = False

    def line(self) -> str:
        sizes = f"{self.total_mib} {RESERVED_MIB} {self.used_mib}"
        return f"gpu {self.uuid} {self.name} {sizes} {self.mode} {self.error} {int(self.is_cut)}"


@dataclass
class Machine:
    """A machine with GPUs; each change is written at once."""

    folder: Path
    libraries: Path
    gpus: list[FakeGpu] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "gpus"

    @property
    def variables(self) -> dict[str, str]:
        """What a program's environment needs to see this machine."""
        return {"FAKE_GPU_STATE": str(self.state), "LD_LIBRARY_PATH": str(self.libraries)}

    def add(self, count: int = 1, **changes: object) -> "Machine":
        """Add GPUs."""
        for _ in range(count):
            self.gpus.append(FakeGpu(gpu_uuid(len(self.gpus)), **changes))  # type: ignore[arg-type]
        return self.write()

    def cut(self, index: int, *uuids: str, total_mib: int = 20_000) -> "Machine":
        """Cut a GPU into MIG instances, numbered from 1."""
        self.gpus[index].is_cut = True
        for number, uuid in enumerate(uuids, 1):
            self.others.append(f"mig {index} {uuid} {total_mib} 0 {number} 0")
        return self.write()

    def say(self, line: str) -> "Machine":
        """Add a line of another kind."""
        self.others.append(line)
        return self.write()

    def change(self, index: int, **changes: object) -> "Machine":
        """Change a GPU."""
        for name, value in changes.items():
            setattr(self.gpus[index], name, value)
        return self.write()

    def event(self, index: int, kind: int, data: int = 0, instance: int = NO_INSTANCE) -> "Machine":
        """Have the driver report something of a GPU."""
        return self.say(f"event {self.gpus[index].uuid} {kind} {data} {instance}")

    def write(self) -> "Machine":
        """Write all of it, in one step."""
        draft = self.folder / "gpus.new"
        draft.write_text("\n".join([*(gpu.line() for gpu in self.gpus), *self.others, ""]))
        draft.replace(self.state)
        return self


class NoCompiler(Exception):
    """There is no C compiler here."""


def compile_driver(folder: Path) -> Path:
    """Compile the fake libraries into a folder, and return it. Raises NoCompiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler("there is no C compiler, so no fake driver")
    for source, library in LIBRARIES.items():
        target, name = folder / library, f"-Wl,-soname,{library}"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", target, name, SOURCES / source],
            check=True,
            capture_output=True,
            timeout=120,
        )
    return folder


@pytest.fixture(scope="session")
def fake_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return compile_driver(tmp_path_factory.mktemp("driver"))
    except NoCompiler as error:
        pytest.skip(str(error))


@pytest.fixture
def machine(
    fake_driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    # Once loaded from here, a library is found again by its name alone. Without the variable that
    # names a machine it says that there is no driver, which other tests see as before.
    ctypes.CDLL(str(fake_driver / LIBRARIES["nvml.c"]))
    folder = tmp_path / "machine"
    folder.mkdir()
    made = Machine(folder, fake_driver).write()
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert os.environ["FAKE_GPU_STATE"] == str(made.state)
    yield made
