"""A plugin with a model for each way to misbehave at run time; installed for a worker by a test."""

from pathlib import Path

from plugin_folders import install_plugin

SOURCE = '''"""Models that misbehave when they are loaded, called or trained."""

import os
import random
import re
import sys
import time

from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import Classification


def outcome(item, score=1.0):
    return Classification.model_construct(label=item.text, score=score, truncated=False)


def raises(items):
    raise ValueError(f"no word of {items[0].text!r} is known")


def returns_too_few(items):
    return [outcome(item) for item in items[1:]]


def gives_nan(items):
    return [outcome(item, float("nan")) for item in items]


def exits_at_run(items):
    os._exit(9)


def calls_exit(items):
    sys.exit(3)


def ignores_stop(items):
    while True:
        time.sleep(0.01)


def hangs_in_c(items):
    re.match("(a+)+$", "a" * 64 + "b")


def prints(items):
    print("half a line of", items[0].text)
    return [outcome(item) for item in items]


def wrong_order(items):
    return [outcome(item) for item in reversed(items)]


def reseeds(items):
    random.seed(0)
    return [outcome(item) for item in items]


def leaks(items):
    KEPT.append(bytes(1_000_000))
    return [outcome(item) for item in items]


def forks(items):
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    return [outcome(item) for item in items]


KEPT = []
CALLS = (
    raises, returns_too_few, gives_nan, exits_at_run, calls_exit, ignores_stop, hangs_in_c,
    prints, wrong_order, reseeds, leaks, forks,
)


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


@hookimpl
def seqd_register_models():
    models = [Misbehaving(call.__name__, call) for call in CALLS]
    models += [Misbehaving(name, name) for name in ("raises_in_load", "raises_in_warm_up")]
    models.append(ReportsNoNumber("reports_no_number", None))
    return [*models, RaisesInTraining("raises_in_training", None)]
'''


def install_misbehaving(folder: Path) -> Path:
    """Write the plugin `misbehaving` into a folder, for a `PYTHONPATH`; return the folder."""
    install_plugin(folder, "misbehaving", SOURCE)
    return folder
