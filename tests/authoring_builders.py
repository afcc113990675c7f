"""A plugin as its author has it, not installed: a folder with a pyproject.toml and a module."""

from pathlib import Path

PYPROJECT = """
[project]
name = "seqd-hello"
version = "0.1"

[project.entry-points.seqd]
hello = "seqd_hello"
"""

#: Answers each text with a word; some texts are what goes wrong. It has a starter.
PLUGIN = '''
"""A plugin that answers each text with a word."""

import json
import os
import time
from typing import ClassVar

from pydantic import Field

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, TrainedModel, hookimpl
from seqd_schemas import Classification


class Parameters(PluginParameters):
    word: str = Field(default="hello", max_length=20, description="The answer.")


class TrainParameters(PluginParameters):
    pass


class Hello(Model):
    name = "hello"
    summary = "Answers with a word."
    tasks: ClassVar = {"classify": TaskSpec(Parameters), "train": TaskSpec(TrainParameters)}

    def load(self, artifact, device):
        return LoadedHello()

    def train(self, parameters, context):
        labels = [record.label for record in context.data.records()]
        (context.folder / "labels.json").write_text(json.dumps(labels))
        context.epoch(1, 1, seconds=0.1, loss=0.5)
        return TrainedModel(metrics={"loss": 0.5})


class LoadedHello(LoadedModel):
    memory_bytes = 1

    def warm_up(self):
        pass

    def classify(self, items, parameters, context):
        outcomes = []
        for item in items:
            if context.stop_requested():
                raise Stopped
            if item.text == "boom":
                raise ValueError("no boom")
            if item.text == "die":
                os.kill(os.getpid(), 11)
            if item.text == "hang":
                print("hanging")
                while True:
                    time.sleep(60)
            if item.text == "wait":
                print("waiting")
                while not context.stop_requested():
                    time.sleep(0.02)
                raise Stopped
            outcomes.append(Classification(label=parameters.word, score=1.0, truncated=False))
        if items[0].text == "wrong":
            return ["wrong"]
        return outcomes[:1] if len(items) == 3 and items[1].text == "fewer" else outcomes


@hookimpl
def seqd_register_models():
    return [Hello()]
'''.lstrip()

_MANIFEST = """{
  "model": "hello", "version": 0, "plugin_version": "0.1", "parameters": {}, "metrics": {},
  "data": {"description": "none", "records": 0, "sha256": "%s"}, "libraries": {},
  "created_at_ms": 1, "files": {"labels.json": {"sha256": "%s", "size_bytes": 2}}
}
"""
_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_OF_A_LIST = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def write_plugin(folder: Path) -> Path:
    """Write the plugin `hello` into a folder, which is returned."""
    starter = folder / "starter"
    starter.mkdir(parents=True)
    (starter / "labels.json").write_text("[]")
    (starter / "manifest.json").write_text(_MANIFEST % (_OF_NOTHING, _OF_A_LIST))
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "seqd_hello.py").write_text(PLUGIN)
    return folder
