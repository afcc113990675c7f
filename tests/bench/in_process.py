"""Text models in a process of their own, with no daemon: what a daemon costs is the difference.

Works as a worker's child does: one slot's environment, the plugins of this installation, versions
from a store.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from seqd.cli.options import open_local_models
from seqd.hookspecs import Device, LoadedModel, WorkItem
from seqd.inputs.datasets import TextDataset
from seqd.settings import Settings
from seqd.testing import MemoryRunContext, MemoryTrainContext
from seqd_schemas import Generation


class _TimedContext(MemoryTrainContext):
    """Notes when steps are reported."""

    def step(self, done: int, total: int, **metrics: float) -> None:
        self.step_at = [*getattr(self, "step_at", []), time.perf_counter()]


class Program:
    def __init__(self, text: str, slot: str, threads: int) -> None:
        self.text = Path(text).read_text(encoding="utf-8")
        self.device = Device(slot=slot, kind="cpu", threads=threads)
        self.workshop = open_local_models(Settings())
        self.loaded: dict[str, LoadedModel] = {}

    def fit(self, model: str, preset: str, parameters: dict[str, Any]) -> tuple[float, float]:
        """Train; returns the seconds of all of it, and of what lies between the steps: counting."""
        found = self.workshop.registry.model(model)
        values = {**found.presets[preset], **parameters}
        checked = found.tasks["train"].parameters.model_validate(values)
        with tempfile.TemporaryDirectory(prefix="seqd-bench-fit-") as folder:
            data = TextDataset(self.text, "the benchmark's text")
            context = _TimedContext(Path(folder) / "version", data, device=self.device)
            began = time.perf_counter()
            found.train(checked, context)
            return time.perf_counter() - began, context.step_at[-1] - context.step_at[0]

    def write(self, model: str, prompts: list[str], first: int, parameters: dict[str, Any]) -> int:
        """Continue the prompts as one batch; returns the characters."""
        found = self.workshop.registry.model(model.partition("@")[0])
        if model not in self.loaded:
            store = self.workshop.store
            self.loaded[model] = found.load(store.open(*store.resolve(model)), self.device)
            self.loaded[model].warm_up()
        checked = found.tasks["generate"].parameters.model_validate(parameters)
        items = [WorkItem(*numbered) for numbered in enumerate(prompts, first)]
        context = MemoryRunContext(device=self.device)
        outcomes = self.loaded[model].generate(items, checked, context)
        texts = [one for one in outcomes if isinstance(one, Generation)]
        assert len(texts) == len(items), outcomes
        return sum(len(sample.text) for one in texts for sample in one.samples)
