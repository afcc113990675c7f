"""Each Python example of the guides passes mypy, in its strict mode, and pyright.

basedpyright is pyright in a wheel that brings its own Node.js; it takes nothing from the network.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from example_plugin import EXAMPLE
from readme_blocks import READMES, ROOT, blocks_of

# Each reads all of seqd's types anew.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: What a service writes; each line that is wrong without `ok` is marked.
SERVICE = """
from typing import assert_type

from seqd.client import (
    AsyncClient, AsyncJob, Classification, Client, Generation, ItemOutput, ItemSuccess, Job,
    Embedding, JobHandle, Result, TrainedVersion,
)

def label_of(result: Result[Classification]) -> str:
    return result.output.label if result.ok else result.error.message

def read(client: Client) -> None:
    job = client.classify(["a"])
    assert_type(job, Job[Classification])
    any_job: JobHandle = job
    for result in job.results():
        if result.ok:
            print(result.output.label, label_of(result))
        else:
            print(result.error.message)
        assert_type(result.unwrap(), Classification)
    for result in job.results():
        if result.ok is True:
            assert_type(result, ItemSuccess[Classification])
    assert_type(client.generate(["a"]), Job[Generation])
    assert_type(client.train(["a"], model="markov").trained_version(), TrainedVersion)
    assert_type(client.job("j1", output=Generation), Job[Generation])
    assert_type(client.job("j1"), Job[ItemOutput])
    embedded = client.run(["a"], model="m", task="embed", output=Embedding)
    assert_type(embedded, Job[Embedding])
    assert_type(client.retry(embedded, items={"row-1": {"left": "a"}}), Job[Embedding])
    assert_type(client.run_one("a", model="m", task="embed", output=Embedding), Embedding)
    each = client.run_each(["a"], model="m", task="embed", output=Embedding)
    assert_type(each, list[Job[Embedding]])
    for embedding in embedded.results():
        if embedding.ok:
            print(embedding.output.vector[0], embedded.to_numpy("vector").shape)
    for ended in client.as_completed([job]):
        for result in ended.results():
            print(label_of(result), any_job)

async def read_on(client: AsyncClient) -> None:
    job = await client.classify(["a"])
    assert_type(job, AsyncJob[Classification])
    async for result in job.results():
        print(result.output.label if result.ok else result.error.message)
    made = await (await client.train(["a"], model="markov")).trained_version()
    assert_type(made, TrainedVersion)
"""

#: What no service should write.
CARELESS = """
from seqd.client import Client

def read(client: Client) -> None:
    for result in client.classify(["a"]).results():
        print(result.output.label)
    client.classify(["a"]).trained_version()
"""


def examples(folder: Path) -> Path:
    """Write the examples of all READMEs into a folder, those that name their file under it."""
    for page in READMES:
        name = re.sub(r"\W+", "_", str(page.relative_to(ROOT)).lower())
        for number, block in enumerate(blocks_of(page, "python")):
            (folder / (block.file or f"{name}_{number}.py")).write_text(block.text)
    return folder


def by_mypy(folder: Path) -> str:
    """Return what mypy says of the programs of a folder."""
    path = python_path(folder, EXAMPLE)
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml"),
        *("--follow-imports=silent", "--cache-dir", folder / "cache", *folder.glob("*.py")),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=os.environ | {"MYPYPATH": path}
    )
    return done.stdout + done.stderr


def by_pyright(folder: Path) -> str:
    """Return what pyright says of the programs of a folder."""
    settings = {
        "typeCheckingMode": "standard",
        # Examples import torch and ONNX Runtime, which are not installed here.
        "reportMissingImports": "none",
        "extraPaths": python_path(folder, EXAMPLE).split(os.pathsep),
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["-m", "basedpyright", "-p", folder, "--pythonpath", sys.executable]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=folder)
    return done.stdout + done.stderr


def test_each_example_of_the_guides_passes_mypy(tmp_path: Path) -> None:
    said = by_mypy(examples(tmp_path))

    written = len(list(tmp_path.glob("*.py")))
    assert written >= 15
    assert said == f"Success: no issues found in {written} source files\n"


def test_each_example_of_the_guides_passes_pyright(tmp_path: Path) -> None:
    said = by_pyright(examples(tmp_path))

    assert said.endswith("0 errors, 0 warnings, 0 notes\n"), said


def test_a_service_knows_what_a_jobs_results_hold(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE)

    by = by_mypy(tmp_path), by_pyright(tmp_path)

    assert by[0] == "Success: no issues found in 1 source file\n"
    assert by[1].endswith("0 errors, 0 warnings, 0 notes\n"), by[1]


def test_mypy_refuses_an_output_that_may_not_be_there_and_the_version_of_no_training(
    tmp_path: Path,
) -> None:
    (tmp_path / "careless.py").write_text(CARELESS)

    said = by_mypy(tmp_path)

    assert '| ItemFailure" has no attribute "output"' in said
    assert 'Invalid self argument "JobHandle[Classification]" to attribute function' in said
    assert "Found 2 errors in 1 file" in said
