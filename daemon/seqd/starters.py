"""Trains the version 0 that ships with a plugin: `python -m seqd.starters MODEL --data FILE`.

For whoever maintains a plugin; `make starters` calls it for ours. It trains in this process,
without Redis, and puts the finished version into the model's folder beside the plugin's code,
`starter` as a rule, whole or not at all. Not the way to train a version to use: that is
`seqd train`.
"""

import argparse
import inspect
import os
import shutil
import sys
import time
from pathlib import Path

from seqd.errors import InvalidParameters, SeqdError
from seqd.hookspecs import Device, Model
from seqd.inputs.datasets import FileDataset
from seqd.kinds import TRAIN
from seqd.local.slots import cores, parse_slot
from seqd.models.registry import Registry
from seqd.models.version_files import VersionDraft, seal_folder
from seqd.settings import load_settings
from seqd.testing import MemoryTrainContext
from seqd.validation import did_you_mean, listed
from seqd_schemas import FileSource


class _ConsoleContext(MemoryTrainContext):
    """Shows the training while it goes on."""

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"epoch {epoch}/{epochs}  {figures}  ({seconds:.0f} s)", flush=True)  # noqa: T201
        super().epoch(epoch, epochs, seconds, **metrics)


def make_starter(
    model: Model, plugin_version: str, preset: str, data: FileDataset, held_out: FileDataset | None
) -> Path:
    """Train `preset` on `data` and give the folder of the finished version.

    The folder that was there is replaced only once the new one is complete. Raises
    InvalidParameters for a preset that the model has not.
    """
    if preset not in model.presets:
        raise InvalidParameters(
            f"model {model.name!r} has no preset named {preset!r}. Its presets: "
            f"{listed(model.presets)}.{did_you_mean(preset, model.presets)} Give --preset."
        )
    folder = Path(inspect.getfile(type(model))).parent / model.starter_name
    staged = folder.with_name(f".{model.starter_name}-in-the-making")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    try:
        draft = _train(model, plugin_version, preset, data, held_out, staged)
        seal_folder(staged, draft, version=0)
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def _train(
    model: Model,
    plugin_version: str,
    preset: str,
    data: FileDataset,
    held_out: FileDataset | None,
    staged: Path,
) -> VersionDraft:
    parameters = model.tasks[TRAIN].parameters.model_validate(model.presets[preset])
    device = Device(slot="train@cpu", kind="cpu", threads=cores())
    context = _ConsoleContext(staged, data, held_out, device=device)
    trained = model.train(parameters, context)
    values = parameters.model_dump(mode="json")
    seed = values.get("seed")
    return VersionDraft(
        model=model.name,
        plugin_version=plugin_version,
        preset=preset,
        parameters=values,
        metrics=trained.metrics,
        epochs=context.curve.epochs,
        seed=seed if isinstance(seed, int) else None,
        data=data.fingerprint(),
        held_out=None if held_out is None else held_out.fingerprint_if_read(),
        libraries=trained.libraries,
        created_at_ms=time.time_ns() // 1_000_000,
    )


def main() -> int:
    """Read the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m seqd.starters", description=__doc__)
    parser.add_argument("model", help="name of the model, such as markov")
    parser.add_argument("--data", type=Path, required=True, help="file to learn from")
    parser.add_argument("--held-out", type=Path, help="file to validate on")
    parser.add_argument("--preset", default="tutorial", help="preset of the model")
    asked = parser.parse_args()
    os.environ.update(parse_slot("train@cpu").environment())
    try:
        registry = Registry.load(load_settings())
        model = registry.model(asked.model)
        version = registry.plugin_of(asked.model).version
        held_out = None if asked.held_out is None else _dataset(asked.held_out)
        folder = make_starter(model, version, asked.preset, _dataset(asked.data), held_out)
    except SeqdError as error:
        print(f"error[{error.code}]: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{asked.model}: {size_bytes:,} bytes in {folder}")  # noqa: T201
    return 0


def _dataset(path: Path) -> FileDataset:
    return FileDataset(FileSource(path=str(path.absolute())))


if __name__ == "__main__":
    sys.exit(main())
