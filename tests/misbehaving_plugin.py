"""Plugins that misbehave at run time, installed for a worker by a test.

Those of `broken_plugins` that `seqd plugins check` finds when it calls them, each with a model of
its name, and `misbehaving`, with a model for each fault that needs a worker to be seen.
"""

from pathlib import Path

from broken_plugins import CALLED, sources
from plugin_folders import install_plugin

SOURCE = '''"""Models that misbehave when they are loaded, called or trained."""

import json
import sys
import time

from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, TrainedModel, hookimpl
from seqd_schemas import Classification


def raises(items):
    raise ValueError(f"no word of {items[0].text!r} is known")


def calls_exit(items):
    sys.exit(3)


def never_returns(items):
    while True:
        time.sleep(0.01)


class Loaded(LoadedModel):
    memory_bytes = 1_000

    def __init__(self, call):
        self._call = call

    def warm_up(self):
        if self._call == "raises_in_warm_up":
            raise RuntimeError("the words are not there")

    def classify(self, items, parameters, context):
        return self._call(items)


class Misbehaving(Model):
    tasks = {"classify": TaskSpec(PluginParameters, unit_items=8)}

    def __init__(self, name, call):
        self.name, self.call = name, call
        self.summary = "Misbehaves."

    def load(self, artifact, device):
        if self.name == "raises_in_load":
            raise KeyError("vocabulary")
        return Loaded(self.call)


class RaisesInTraining(Misbehaving):
    tasks = {"train": TaskSpec(PluginParameters)}

    def train(self, parameters, context):
        raise ZeroDivisionError("no epochs")


class ReportsNoNumber(RaisesInTraining):
    def train(self, parameters, context):
        context.epoch(1, 1, seconds=0.0, loss="high")


class SavesAnother(RaisesInTraining):
    tasks = {"classify": TaskSpec(PluginParameters), "train": TaskSpec(PluginParameters)}

    def train(self, parameters, context):
        (context.folder / "label.json").write_text('"saved"')
        return TrainedModel({}, in_memory=Loaded(labels_all("trained")))

    def load(self, artifact, device):
        return Loaded(labels_all(json.loads((artifact.folder / "label.json").read_text())))


def labels_all(label):
    return lambda items: [Classification(label=label, score=1.0, truncated=False) for _ in items]


@hookimpl
def seqd_register_models():
    models = [Misbehaving(call.__name__, call) for call in (raises, calls_exit, never_returns)]
    models += [Misbehaving(name, name) for name in ("raises_in_load", "raises_in_warm_up")]
    models.append(ReportsNoNumber("reports_no_number", None))
    models.append(SavesAnother("saves_another", None))
    return [*models, RaisesInTraining("raises_in_training", None)]
'''


def install_misbehaving(folder: Path) -> tuple[str, ...]:
    """Write the plugins into a folder, for a `PYTHONPATH`; return their names."""
    install_plugin(folder, "misbehaving", SOURCE)
    for name in CALLED:
        install_plugin(folder, name, sources()[name])
    return ("misbehaving", *CALLED)
