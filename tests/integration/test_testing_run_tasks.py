"""Given functions for tasks of a plugin's own, what the tests of a service get of `client.run`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from checkout import python_path
from example_plugin import installed_example
from seqd.client import Client
from seqd.errors import InvalidRequest
from seqd.testing import RunningServices, StubModel
from seqd_schemas import Embedding, ItemError, ItemErrorCode, Score, Text, Vector

pytest_plugins = ["seqd.testing.services"]

pytestmark = pytest.mark.processes


class Pair(BaseModel):
    model_config = ConfigDict(extra="forbid")

    left: str = Field(max_length=100, description="One text.")
    right: str = Field(max_length=100, description="The other one.")


def embed(text: str) -> Embedding | ItemError:
    if not text:
        return ItemError(code=ItemErrorCode.INVALID_INPUT, message="The text is empty.")
    return Embedding(vector=Vector([float(len(text)), 1.0]))


def translate(text: str) -> Iterator[str]:
    yield text.upper()
    yield "!"


@pytest.fixture
def seqd_models():
    return {
        "mine": StubModel(
            run={
                "embed": (embed, Embedding),
                "score": (lambda text: {"score": len(text)}, Score),
                "translate": (translate, Text),
                "compare": (lambda pair: {"score": pair.left == pair.right}, Score, Pair),
            }
        )
    }


def test_a_task_gives_what_its_function_returns_of_texts_and_records_and_fails_by_order(
    seqd_client: Client, seqd_services: RunningServices
):
    seqd_services.fail_item("b", "by order", times=1)

    job = seqd_client.run(["ab", "", "abcd"], model="mine", task="embed", output=Embedding)
    records = [{"left": "a", "right": "a"}, {"left": "a"}]
    compared = seqd_client.run(records, model="mine", task="compare", output=Score)
    scored = seqd_client.run(["abc", "b"], model="mine", task="score", output=Score)

    first, empty, last = job.results()
    assert [list(one.unwrap().vector) for one in (first, last)] == [[2, 1], [4, 1]]
    assert (empty.error.code, empty.error.message) == ("invalid_input", "The text is empty.")
    same, bad = compared.results()
    assert same.unwrap().score == 1
    assert bad.error.message == "row 2: it has no field 'right'; allowed: the fields left, right."
    by_dictionary, by_order = scored.results()
    assert by_dictionary.unwrap() == Score(score=3)
    assert by_order.error.message == "by order"


def test_a_task_without_a_function_and_a_function_without_an_output_are_refused(
    seqd_client: Client, seqd_services: RunningServices
):
    with pytest.raises(InvalidRequest, match="Did you mean 'embed'"):
        seqd_client.run(["a"], model="mine", task="embedd")

    with pytest.raises(TypeError) as raised:
        seqd_services.serve({"other": StubModel(run={"embed": len})})

    assert str(raised.value) == (
        "The task 'embed' of a StubModel is <built-in function len>, and no installed plugin says "
        'what it gives. Add its output: run={"embed": (function, Embedding)}.'
    )


def test_the_texts_that_a_function_yields_are_streamed_and_are_its_output(seqd_client: Client):
    job = seqd_client.run(["abc"], model="mine", task="translate", output=Text, stream=True)

    assert "".join(delta.text for delta in job.stream()) == "ABC!"
    assert [result.unwrap() for result in job.results()] == [Text(text="ABC!")]


#: The test of a service that has the example plugin installed: requests are checked by it.
SUITE = """
import pytest

from seqd.errors import InvalidParameters
from seqd.testing import StubModel
from seqd_schemas import Embedding

pytest_plugins = ["seqd.testing.services"]

@pytest.fixture
def seqd_models():
    return {
        "ngrams": StubModel(
            run={
                "embed": lambda text: {"vector": [1.0] * (255 if text == "short" else 256)},
                "similar": lambda query: {"matches": [{"index": 0, "cosine": 0.5}]},
            }
        )
    }

def test_a_function_alone_will_do_since_the_plugin_says_what_comes_out(seqd_client):
    job = seqd_client.run(["a", "short"], model="ngrams", task="embed", output=Embedding)

    first, short = job.results()
    assert len(first.unwrap().vector) == 256
    assert short.error.code == "plugin_error"

def test_parameters_and_records_are_checked_by_the_plugins_schemas(seqd_client):
    with pytest.raises(InvalidParameters, match="'top' is 1000; allowed: 1 to 100"):
        seqd_client.run(
            [{"query": "a", "candidates": ["b"]}], model="ngrams", task="similar",
            parameters={"top": 1000},
        )

    job = seqd_client.run(
        [{"query": "a", "candidates": ["b"]}, {"query": "a"}], model="ngrams", task="similar"
    )

    sound, bad = job.results()
    assert sound.unwrap() == {"matches": [{"index": 0, "cosine": 0.5}]}
    assert "candidates" in bad.error.message
"""


@pytest.mark.slow
def test_the_tests_of_a_service_have_the_tasks_of_an_installed_plugin(tmp_path: Path):
    (tmp_path / "test_service.py").write_text(SUITE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEQD_")}
    environment = kept | {"PYTHONPATH": python_path(installed_example())}

    ended = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:anyio"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout
