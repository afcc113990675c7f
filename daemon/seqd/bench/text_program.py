"""One process of `seqd bench generate`: trains, loads, writes and measures, with no daemon.

A program, run as peers are. It works as a worker's child does, one slot's environment, the plugins
of this installation, versions from a store, so that what the daemon costs is the difference.
"""

import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqd.bench.peers.protocol import serve
from seqd.hookspecs import Device, LoadedModel, Model, PluginParameters, WorkItem
from seqd.inputs import TextDataset
from seqd.registry import Registry
from seqd.settings import load_settings
from seqd.store import ModelStore
from seqd.testing import MemoryRunContext, MemoryTrainContext, train_to_artifact
from seqd_schemas import Generation


class _TimedContext(MemoryTrainContext):
    """Notes when steps and epochs are told, and asks for the end once the loss is low enough."""

    def __init__(self, folder: Path, data: TextDataset, device: Device, until: float) -> None:
        super().__init__(folder, data, device=device)
        self._until = until
        self._began = time.perf_counter()
        self.step_at: list[float] = []
        self.epoch_at: list[float] = []
        self.is_reached = False

    def stop_requested(self) -> bool:
        """True once the loss is reached."""
        return super().stop_requested() or self.is_reached

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Note the moment."""
        self.step_at.append(time.perf_counter() - self._began)

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Note the moment, and whether it is enough."""
        super().epoch(epoch, epochs, seconds, **metrics)
        self.epoch_at.append(time.perf_counter() - self._began)
        # Of the text learnt from, or of held-out text: nothing hides from the network there, as
        # dropout does in training, and what is reached on new text is reached.
        losses = (metrics.get(name, math.inf) for name in ("loss", "validation_loss"))
        self.is_reached = min(losses) <= self._until


class TextProgram:
    """The plugins, a store, and what was loaded of it."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Find the plugins and read the text; `store` has what was trained here, if anything."""
        self._registry = Registry.load(load_settings())
        starters = {
            name: model.starter
            for name, model in self._registry.models.items()
            if model.starter is not None
        }
        self._store_dir = Path(asked["store"])
        self._store = ModelStore(self._store_dir, starters)
        self._text = Path(asked["text"]).read_text(encoding="utf-8", errors="strict")
        self._device = Device(slot=asked["slot"], kind="cpu", threads=asked["threads"])
        self._loaded: dict[str, LoadedModel] = {}
        return {"characters": len(self._text), "models": sorted(self._registry.models)}

    def fit(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Train in a folder that goes again; `until` is a loss that is enough, see the context.

        Gives the seconds of the whole, those between the first step and the last, of which
        counting consists, and those until each epoch's end with the epoch's figures.
        """
        from seqd.errors import Stopped

        model, parameters = self._training(asked)
        until = asked.get("until")
        with tempfile.TemporaryDirectory(prefix="seqd-bench-fit-") as folder:
            data = TextDataset(self._text, "the bench's text")
            context = _TimedContext(
                Path(folder) / "version", data, self._device, -math.inf if until is None else until
            )
            began = time.perf_counter()
            try:
                model.train(parameters, context)
            except Stopped:
                if not context.is_reached:
                    raise
            seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "steps_s": context.step_at[-1] - context.step_at[0] if context.step_at else 0.0,
            "epochs_s": context.epoch_at,
            "epochs": [dict(epoch.metrics) for epoch in context.epochs],
            "is_reached": context.is_reached,
        }

    def publish(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Train a version into the store, on the first `characters` of the text."""
        model, parameters = self._training(asked)
        data = TextDataset(self._text[: asked["characters"]], "the bench's text")
        artifact = train_to_artifact(model, parameters, data, self._store_dir)
        return {"version": artifact.manifest.version}

    def write(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Continue the prompts, one batch; gives characters and seconds, loading not included."""
        name = asked["model"].partition("@")[0]
        loaded = self._load(asked["model"])
        parameters = self._parameters(self._registry.model(name), "generate", asked["parameters"])
        items = [WorkItem(*numbered) for numbered in enumerate(asked["prompts"], asked["first"])]
        context = MemoryRunContext(device=self._device)
        began = time.perf_counter()
        outcomes = loaded.generate(items, parameters, context)
        seconds = time.perf_counter() - began
        texts = [one for one in outcomes if isinstance(one, Generation)]
        characters = sum(len(sample.text) for one in texts for sample in one.samples)
        return {"seconds": seconds, "characters": characters, "errors": len(items) - len(texts)}

    def measure(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Measure a version on the last share of the text."""
        text = self._text[int(len(self._text) * (1.0 - asked["last"])) :]
        loaded = self._load(asked["model"])
        manifest = self._store.open(*self._store.resolve(asked["model"])).manifest
        figures = loaded.measure(text, MemoryRunContext(device=self._device))
        return {
            "bits_per_char": figures["bits_per_char"],
            "data_sha256": manifest.data.sha256,
            "own_sha256": TextDataset(self._text, "").fingerprint().sha256,
            "held_out": manifest.parameters.get("validation_share") or 0.0,
        }

    def _training(self, asked: Mapping[str, Any]) -> tuple[Model, PluginParameters]:
        model = self._registry.model(asked["model"])
        values = {**model.presets[asked["preset"]], **asked["parameters"]}
        return model, self._parameters(model, "train", values)

    def _parameters(
        self, model: Model, task: Any, values: Mapping[str, object]
    ) -> PluginParameters:
        return model.tasks[task].parameters.model_validate(dict(values))

    def _load(self, ref: str) -> LoadedModel:
        if ref not in self._loaded:
            artifact = self._store.open(*self._store.resolve(ref))
            model = self._registry.model(artifact.manifest.model)
            self._loaded[ref] = model.load(artifact, self._device)
            self._loaded[ref].warm_up()
        return self._loaded[ref]


if __name__ == "__main__":
    program = TextProgram()
    serve(
        {
            "prepare": program.prepare,
            "fit": program.fit,
            "publish": program.publish,
            "write": program.write,
            "measure": program.measure,
        }
    )
