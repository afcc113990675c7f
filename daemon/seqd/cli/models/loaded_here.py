"""A version in this process, on this machine's cores: for commands that need no daemon."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from seqd.errors import PluginFault, SeqdError
from seqd.hookspecs import Artifact, Device, LoadedModel, Model
from seqd.local.kernel_folder import keep_kernels
from seqd.local.slots import cores, parse_slot
from seqd.settings import load_settings


def load_here(model: Model, artifact: Artifact) -> tuple[LoadedModel, Device]:
    """Load a version, and return it with the device share that it is on: all cores."""
    # Before the model brings its libraries in, which read these once.
    os.environ.update(parse_slot("cpu:0").environment() | {"OMP_NUM_THREADS": str(cores())})
    keep_kernels(load_settings().data_dir)
    device = Device(slot="cpu:0", kind="cpu", threads=cores())
    return model.load(artifact, device), device


@contextmanager
def plugin_faults(doing: str, no_method: SeqdError) -> Iterator[None]:
    """Raise PluginFault for what a plugin raises, `no_method` where it has no such method."""
    try:
        yield
    except NotImplementedError:
        raise no_method from None
    except SeqdError:
        raise
    except Exception as error:
        raise PluginFault(f"{doing} failed: {type(error).__name__}: {error}") from error
