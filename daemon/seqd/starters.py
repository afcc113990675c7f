"""Makes the version 0 that ships with a plugin: `python -m seqd.starters MODEL`.

For whoever maintains a plugin; `make starters` calls it for ours. The version is trained in this
process, without Redis (`--data`), or taken as it is from a folder of weights, such as that of a
version in the model store (`--from`). It comes whole or not at all into the folder
`Model.starter_name` beside the model's module, or into that of `--out`. Not the way to make a
version to use: that is `seqd train`, or `seqd models add`.
"""

import argparse
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from seqd.errors import InvalidParameters, InvalidRequest, SeqdError
from seqd.hookspecs import Artifact, Device, Model
from seqd.inputs.datasets import FileDataset
from seqd.kinds import TRAIN
from seqd.local.slots import cores, parse_slot
from seqd.models.made_elsewhere import (
    Statement,
    Weights,
    check_can_serve,
    copy_weights,
    draft_of,
    read_weights,
)
from seqd.models.registry import Registry
from seqd.models.trial_load import trial_of
from seqd.models.version_files import (
    MANIFEST_NAME,
    check_sealed,
    refusal_of,
    seal_folder,
)
from seqd.settings import load_settings
from seqd.testing.contexts import MemoryTrainContext
from seqd.testing.training import parameters_of, train
from seqd.validation import did_you_mean, listed
from seqd_schemas import FileSource

#: Folders that installed distributions are in.
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


class _ConsoleContext(MemoryTrainContext):
    """Shows the training while it goes on."""

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"epoch {epoch}/{epochs}  {figures}  ({seconds:.0f} s)", flush=True)  # noqa: T201
        super().epoch(epoch, epochs, seconds, **metrics)


def make_starter(
    model: Model,
    plugin_version: str,
    preset: str,
    data: FileDataset,
    held_out: FileDataset | None,
    out: Path | None = None,
) -> Path:
    """Train `preset` on `data` and return the folder of the finished version.

    The folder that was there is replaced only once the new one is complete. Raises
    InvalidParameters for a preset that the model has not, and as `starter_folder` does.
    """
    if preset not in model.presets:
        raise InvalidParameters(
            f"model {model.name!r} has no preset named {preset!r}. Its presets: "
            f"{listed(model.presets)}.{did_you_mean(preset, model.presets)} Give --preset."
        )

    def write(staged: Path) -> None:
        device = Device(slot="train@cpu", kind="cpu", threads=cores())
        context = _ConsoleContext(staged, data, held_out, device=device)
        parameters = parameters_of(model, model.presets[preset])
        draft = train(model, parameters, context, plugin_version, preset)
        seal_folder(staged, draft, version=0)

    return _replace(starter_folder(model, out), write)


def take_starter(
    model: Model,
    plugin_version: str,
    weights: Weights,
    out: Path | None = None,
    check: Callable[[Artifact], None] | None = None,
) -> Path:
    """Make a folder of weights the starter, and return the folder of the finished version.

    `check` raises where the plugin cannot load it. Raises what reading and copying weights does,
    and as `starter_folder` does.
    """
    draft = draft_of(weights, model.name, model.name, plugin_version, Statement())
    # The version of the plugin that the starter ships with is the one that loads it.
    draft = replace(draft, plugin_version=plugin_version)

    def write(staged: Path) -> None:
        copy_weights(weights, staged)
        if check is None:
            seal_folder(staged, draft, version=0)
        else:
            check_sealed(staged, draft, 0, check)

    return _replace(starter_folder(model, out), write)


def starter_folder(model: Model, out: Path | None) -> Path:
    """Return the folder for a model's starter: `out`, or the one beside its module.

    Raises InvalidRequest where that module is installed, not checked out, and where a folder holds
    anything but a version, since it is replaced as a whole.
    """
    folder = out or Path(inspect.getfile(type(model))).parent / model.starter_name
    if out is None and _INSTALLED.intersection(folder.resolve().parts):
        raise InvalidRequest(
            f"the plugin of {model.name!r} is installed, in {folder.parent}: what is written there "
            "is gone with its next installation. Name a folder of its source: --out "
            f"src/{type(model).__module__.partition('.')[0]}/{model.starter_name}"
        )
    if folder.is_symlink() or (folder.exists() and not _is_version(folder)):
        raise InvalidRequest(
            f"{folder} is there and is no version's folder, which would be replaced as a whole. "
            "Remove it, or name another one: --out FOLDER"
        )
    return folder


def _is_version(folder: Path) -> bool:
    """Return True for an empty folder, and for one with a manifest and files of a version alone."""
    if not folder.is_dir():
        return False
    paths = list(folder.iterdir())
    is_sealed = (folder / MANIFEST_NAME).is_file()
    return not paths or (is_sealed and all(refusal_of(path) is None for path in paths))


def _replace(folder: Path, write: Callable[[Path], None]) -> Path:
    """Have a version written beside the folder, and put it there once it is complete."""
    with _placing(folder):
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    before = beside / "before"
    try:
        staged = beside / "new"
        staged.mkdir()
        write(staged)
        with _placing(folder):
            if folder.exists():
                folder.rename(before)
            staged.rename(folder)
    finally:
        if before.exists() and not folder.exists():  # Ctrl-C, or an error, between the two
            before.rename(folder)
        shutil.rmtree(beside, ignore_errors=True)
    return folder


@contextmanager
def _placing(folder: Path) -> Iterator[None]:
    """Raise InvalidRequest where a folder cannot be made or replaced."""
    try:
        yield
    except OSError as error:
        raise InvalidRequest(
            f"{folder} cannot be written: {error.strerror or error}. Make the folder that it is "
            "in, or name another one: --out FOLDER"
        ) from None


def main() -> int:
    """Read the command line; returns the exit status."""
    asked = _arguments()
    os.environ.update(parse_slot("train@cpu").environment())
    try:
        registry = Registry.load(load_settings())
        model = registry.model(asked.model)
        folder = _make(asked, model, registry)
    except SeqdError as error:
        print(f"error[{error.code}]: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{asked.model}: {size_bytes:,} bytes in {folder}")  # noqa: T201
    if folder.name != model.starter_name:
        print(  # noqa: T201
            f"warning: the model looks for its starter in a folder {model.starter_name!r} beside "
            "its module, by Model.starter_name",
            file=sys.stderr,
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m seqd.starters",
        description="Make the version 0 that ships with a plugin.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="name of the plugin's model, such as markov")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="FILE", help="train it on a file")
    source.add_argument(
        "--from", type=Path, metavar="FOLDER", dest="weights", help="take finished weights"
    )
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="file to validate on")
    parser.add_argument("--preset", default="tutorial", help="preset of the training")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where it goes, such as src/seqd_x/starter; beside the plugin's module, if not",
    )
    parser.add_argument(
        "--no-load", action="store_true", help="take weights that the plugin does not load here"
    )
    return parser.parse_args()


def _make(asked: argparse.Namespace, model: Model, registry: Registry) -> Path:
    version = registry.plugin_of(asked.model).version
    if asked.data is not None:
        if TRAIN not in model.tasks:
            raise InvalidRequest(
                f"model {model.name!r} has no task {TRAIN}: nothing is learnt from --data. Give "
                "its weights with --from FOLDER"
            )
        held_out = None if asked.held_out is None else _dataset(asked.held_out)
        data = _dataset(asked.data)
        return make_starter(model, version, asked.preset, data, held_out, asked.out)
    check_can_serve(registry, asked.model)
    return take_starter(
        model,
        version,
        read_weights(asked.weights),
        asked.out,
        None if asked.no_load else trial_of(registry, model.name),
    )


def _dataset(path: Path) -> FileDataset:
    return FileDataset(FileSource(path=str(path.absolute())))


if __name__ == "__main__":
    sys.exit(main())
