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
from readme_blocks import PAGES, ROOT, blocks_of

# The first reads all of seqd's types where `make check` has not, the other anew.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: What a service writes; each line that is wrong without `ok` is marked.
SERVICE = """
from typing import Any, assert_type

import numpy as np
import pandas
from numpy.typing import NDArray

from seqd.batch import Predictor
from seqd.client import (
    AsyncClient, AsyncJob, Classification, Client, Generation, ItemOutput, ItemSuccess, Job,
    Embedding, JobHandle, JsonOutput, Result, TrainedVersion,
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

def label(texts: list[str], frame: pandas.DataFrame) -> None:
    predictor = Predictor("imdb_lstm@3", parameters={"probabilities": True})
    assert_type(predictor(frame), pandas.DataFrame)
    assert_type(predictor(texts), list[Result[Classification]])
    assert_type(Predictor("m", task="classify"), Predictor[Classification])
    assert_type(Predictor("m", task="embed"), Predictor[JsonOutput])
    arrays = {"text": np.array(texts, dtype=np.str_)}
    assert_type(predictor(arrays), dict[str, NDArray[Any]])

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
    client.predict("a", min_score="0.8", lable_map={})
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples of all READMEs, those that name their file under it, and ours."""
    folder = tmp_path_factory.mktemp("programs")
    for page in PAGES:
        name = re.sub(r"\W+", "_", str(page.relative_to(ROOT)).lower())
        for number, block in enumerate(blocks_of(page, "python")):
            (folder / (block.file or f"{name}_{number}.py")).write_text(block.text)
    (folder / "a_service.py").write_text(SERVICE)
    (folder / "careless.py").write_text(CARELESS)
    return folder


def test_each_example_and_a_service_pass_mypy_which_refuses_what_no_service_should_write(
    programs: Path,
) -> None:
    files = sorted(programs.glob("*.py"))
    command = [
        *(sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"),
        # What `make check` has kept of seqd's own modules.
        *("--cache-dir", ROOT / ".mypy_cache", *files),
    ]
    path = python_path(programs, EXAMPLE)
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=programs, env=os.environ | {"MYPYPATH": path}
    )

    *said, count = (done.stdout + done.stderr).splitlines()
    assert len(files) >= 17
    assert [line for line in said if not line.startswith("careless.py:")] == []
    refused = "\n".join(said)
    assert '| ItemFailure" has no attribute "output"' in refused
    assert 'Invalid self argument "JobHandle[Classification]" to attribute function' in refused
    assert 'Unexpected keyword argument "lable_map" for "predict" of "Client"' in refused
    assert 'Argument "min_score" to "predict" of "Client" has incompatible type "str"' in refused
    assert count == f"Found 4 errors in 1 file (checked {len(files)} source files)"


def test_each_example_and_a_service_pass_pyright(programs: Path) -> None:
    settings = {
        "typeCheckingMode": "standard",
        # Examples import torch and ONNX Runtime, which are not installed here.
        "reportMissingImports": "none",
        "extraPaths": python_path(programs, EXAMPLE).split(os.pathsep),
        "exclude": ["careless.py"],
    }
    (programs / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["-m", "basedpyright", "-p", programs, "--pythonpath", sys.executable]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=programs)

    said = done.stdout + done.stderr
    assert said.endswith("0 errors, 0 warnings, 0 notes\n"), said
