"""Plugins that are broken or misbehave, each in the way of its name, as modules of a folder.

Those of `_MODULES` are whole files, in which a message may name a line. Those of `DESCRIBED` have
one model whose description is wrong; `saves_transposed` learns; those of `CALLED` are a sound
plugin with one mistake in the place of what is right.
"""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_HEAD: Final = '''"""A plugin that is broken as its name says."""

import os, random, re, time

from pydantic import BaseModel, ConfigDict, Field
from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import *

'''

_HOOKS: Final = "from seqd.hookspecs import hookimpl\n\n\n@hookimpl\n"

_MODULES: Final[Mapping[str, str]] = {
    "raises_on_import": '"""."""\n\nraise RuntimeError("libfoo 2 is needed, found libfoo 1")\n',
    "misses_a_module": '"""."""\n\nimport a_library_nobody_has.deep\n',
    "exits_on_import": '"""."""\n\nimport sys\n\nsys.exit("usage: exits_on_import FILE")\n',
    "no_hooks": "ANSWER = 42\n",
    "unmarked_hook": "def seqd_register_models():\n    return []\n",
    "unknown_hook": f'"""."""\n\n{_HOOKS}def seqd_register_model():\n    return []\n',
    "wrong_argument": f"{_HOOKS}def seqd_job_started(job, slot): ...\n",
    "observer_raises": f"{_HOOKS}def seqd_job_finished(job):\n"
    '    raise ConnectionError("no answer from the billing service")\n',
    "register_raises": f'"""."""\n\n{_HOOKS}def seqd_register_models():\n'
    '    """Fail."""\n    raise FileNotFoundError("no file named /opt/models/list.json")\n',
    "register_returns_nothing": f"{_HOOKS}def seqd_register_models(): ...\n",
    "not_a_model": f'{_HOOKS}def seqd_register_models():\n    return ["imdb_lstm"]\n',
}


@dataclass(frozen=True)
class Described:
    """A plugin with one model: what is said of it is said when it is loaded."""

    #: Fields of its parameters, or what stands before its model.
    fields: str = ""
    classes: str = ""
    task: str = "classify"
    spec: str = "Parameters"
    #: Names of the model and of its class, where they are not the plugin's.
    name: str = ""
    kind: str = ""
    #: What else the model has, and what is handed over.
    more: str = ""
    handed: str = "{}()"

    def source(self, plugin: str) -> str:
        """Return the module."""
        kind = self.kind or plugin.title().replace("_", "")
        tasks = f'{{"{self.task}": TaskSpec({self.spec})}}' if self.task else "{}"
        return (
            f"{_HEAD}class Parameters(PluginParameters):\n    {self.fields or '...'}\n\n"
            f"{self.classes}\n\n"
            f'class {kind}(Model):\n    name = "{self.name or plugin}"\n    summary = "A model."\n'
            f"    tasks = {tasks}\n    {self.more}\n\n"
            "    def load(self, artifact, device):\n        raise NotImplementedError\n\n\n"
            f"@hookimpl\ndef seqd_register_models():\n    return [{self.handed.format(kind)}]\n"
        )


_EPOCHS: Final = 'epochs: int = Field(default=3, ge=1, le=100, description="Passes.")'
_WRITES: Final = (
    'length: int = Field(default=1, ge=1, le=100, description="Characters.")\n'
    '    boldness: float = Field(default=1, ge=0, le=10, description="How bold it is.")'
)
_TRAINS: Final = "def train(self, parameters, context): ..."

DESCRIBED: Final[Mapping[str, Described]] = {
    "sound": Described(),
    "slow": Described(classes="time.sleep(0.05)"),
    "heavy": Described(classes="import jax"),
    "taken_name": Described(name="sound"),
    "bad_name": Described(name="IMDB-LSTM"),
    "newer_api": Described(name="newer", more="api_major = 2"),
    "older_api": Described(name="older", more="api_major = 0"),
    "no_tasks": Described(name="idle", task=""),
    "wrong_needs": Described(more='needs = {"device": "gpu"}'),
    "wrong_unit_items": Described(spec='Parameters, unit_items="64"'),
    "hands_over_a_class": Described(kind="Classy", handed="{}"),
    "cannot_train": Described(_EPOCHS, task="train"),
    "bad_preset": Described(
        _EPOCHS, task="train", more=f'presets = {{"tutorial": {{"epochs": 0}}}}\n    {_TRAINS}'
    ),
    "unbounded_text": Described(
        'prompt: str | None = Field(default=None, description="What to begin with.")'
    ),
    "unknown_factor": Described(
        _WRITES,
        task="generate",
        spec='Parameters, bound=OutputBound(factors=("lenght",), max_characters=100)',
    ),
    "broken_factor": Described(
        _WRITES,
        task="generate",
        spec='Parameters, bound=OutputBound(factors=("boldness",), max_characters=100)',
    ),
    "bound_by_a_number": Described(_WRITES, task="generate", spec="Parameters, output=100"),
}

_SOUND: Final = f"""{_HEAD}
class Lengths(Model):
    name = "NAME"
    summary = "Tells long texts from short ones."
    tasks = {{"classify": TaskSpec(PluginParameters)}}

    def load(self, artifact, device):
        return Loaded()


class Loaded(LoadedModel):
    memory_bytes = 1_000
    classes = ("long", "short")

    def warm_up(self):
        pass

    def classify(self, items, parameters, context):
        outcomes = []
        for item in items:
            if context.stop_requested():
                raise Stopped
            outcomes.append(one(item.text))
        return outcomes


def one(text):
    if any("\\ud800" <= character <= "\\udfff" for character in text):
        message = "The text has a lone surrogate, which is no character. Send valid text."
        return ItemError(code=ItemErrorCode.DECODE_ERROR, message=message)
    label = "long" if len(text) > 50 else "short"
    return Classification(label=label, score=1 / (1 + len(text)), truncated=False)


@hookimpl
def seqd_register_models():
    return [Lengths()]
"""

_FIRST: Final = "outcomes = []"

#: What stands in a sound plugin, and the mistake in its place.
CALLED: Final[Mapping[str, tuple[str, str]]] = {
    "exits_at_run": (_FIRST, "os._exit(3)"),
    "forks": (_FIRST, f"{_FIRST}\n        if os.fork() == 0: time.sleep(600); os._exit(0)"),
    "forks_and_returns": (_FIRST, f"{_FIRST}; os.fork()"),
    "hangs_in_c": (_FIRST, 're.match("(a+)+$", "a" * 64 + "b")'),
    "prints": (_FIRST, f'{_FIRST}; print(f"classifying {{len(items)}} texts")'),
    "reseeds": (_FIRST, f"{_FIRST}; random.seed(0)"),
    "leaks": (_FIRST, f'{_FIRST}; self.__dict__.setdefault("kept", []).append(b"x" * 2**19)'),
    "ignores_stop": (_FIRST, "return [one(item.text) for item in items]"),
    "returns_too_few": ("in items:", "in [one for one in items if len(one.text) > 40]:"),
    "wrong_order": ("in items:", "in sorted(items, key=lambda item: len(item.text)):"),
    # As of a softmax that overflows; without pydantic's checks, which would refuse it.
    "gives_nan": (
        "return Classification(label=label, score=1 / (1 + len(text)),",
        'return Classification.model_construct(label=label, score=float("nan"),',
    ),
}

#: Stores a table as it lies in memory: by columns, which is read as rows.
_SAVES_TRANSPOSED: Final = '''"""Classifies texts by the letters that its classes have."""

import json

import numpy as np
from safetensors.numpy import load_file, save_file

from seqd.plugin import BadItem, InvalidData, Label, LabelledRecord, model


@model("saves_transposed", summary="Counts letters.", example="a film")
class SavesTransposed:
    def __init__(self, shares, classes):
        self.shares, self.classes = shares, classes

    @classmethod
    def train(cls, records: list[LabelledRecord]):
        classes = sorted({record.label for record in records if record.label is not None})
        if len(classes) < 2:
            raise InvalidData("two classes are needed at least")
        counts = np.ones((26, len(classes)))
        for record in records:
            counts[:, classes.index(record.label)] += letters(record.text)
        return cls((counts / counts.sum(axis=0)).T, classes)

    def classify(self, text: str) -> Label:
        if not text.isprintable():
            raise BadItem("It has what is no character.")
        logs = np.log(self.shares) @ letters(text[:1_000])
        powers = np.exp(logs - logs.max())
        shares = dict(zip(self.classes, (powers / powers.sum()).tolist(), strict=True))
        label = max(shares, key=shares.get)
        return Label(label, shares[label], shares)

    def save(self, folder):
        save_file({"shares": self.shares}, folder / "weights.safetensors")
        (folder / "classes.json").write_text(json.dumps(self.classes))

    @classmethod
    def load(cls, folder):
        shares = load_file(folder / "weights.safetensors")["shares"]
        return cls(shares, json.loads((folder / "classes.json").read_text()))


def letters(text):
    codes = np.array([ord(one) - ord("a") for one in text.lower()], np.int64)
    return np.bincount(codes[(codes >= 0) & (codes < 26)], minlength=26)
'''


def sound_plugin(name: str) -> str:
    """Return the module of a plugin without fault, whose model has this name."""
    return _SOUND.replace("NAME", name)


def sources() -> dict[str, str]:
    """Return the module of each plugin, by name."""
    called = {name: sound_plugin(name).replace(*change) for name, change in CALLED.items()}
    described = {name: one.source(name) for name, one in DESCRIBED.items()}
    return {**_MODULES, **described, **called, "saves_transposed": _SAVES_TRANSPOSED}


@cache
def folder() -> Path:
    """Return a folder with all of them, made once, gone with this process."""
    made = Path(tempfile.mkdtemp(prefix="seqd-broken-"))
    atexit.register(shutil.rmtree, made)
    for name, source in sources().items():
        (made / f"{name}.py").write_text(source, encoding="utf-8")
    return made
