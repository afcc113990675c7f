"""The stock `openai` clients of Python and Node run every flow on a fresh `seqd up --gateway`.

Their two programs do the same, and print the same JSON. Node's client comes from npm's registry.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli_builders import Installation, clean_environment
from deploy_files import tool
from downloads import install_for_node
from guides.daemons import Daemon
from guides.daemons import gateway as running_gateway
from readme_blocks import ROOT, blocks_of

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.processes]

#: The major version whose whole API the gateway is held against.
NODE_CLIENT = "openai@7"

#: Seconds for a program with all flows.
_PROGRAM_S = 400.0

TEXTS = (
    "A wonderful film, moving and beautifully acted, number %d.",
    "Dull, badly written, a waste of two hours, number %d.",
)
REVIEWS = {
    f"r{number}": "" if number % 1_000 == 999 else TEXTS[number % 2] % number
    for number in range(10_000)
}

#: Beside the ten reviews without a text.
LABELS = [
    [name, "positive" if text.startswith("A") else "negative"]
    for name, text in REVIEWS.items()
    if text
]

#: Together they write for minutes where nobody ends them.
PROMPTS = [
    {
        "custom_id": f"p{number}",
        "method": "POST",
        "url": "/v1/completions",
        "body": {"model": "char_lstm", "prompt": "one ", "max_tokens": 100_000},
    }
    for number in range(64)
]

FILM = {"good": "a fine film, number %d", "bad": "a dull film, number %d"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_gateway(tmp_path_factory.mktemp("up")) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the programs upload."""
    folder = tmp_path_factory.mktemp("flows")
    files: Mapping[str, list[Any]] = {
        "reviews.jsonl": [{"custom_id": name, "text": text} for name, text in REVIEWS.items()],
        "prompts.jsonl": PROMPTS,
        "train.jsonl": [
            {"text": text % number, "label": label}
            for number in range(40)
            for label, text in FILM.items()
        ],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def node_folder(folder: Path) -> Path:
    """That folder, with Node's client in it."""
    install_for_node(folder, NODE_CLIENT)
    return folder


@pytest.fixture(scope="module", params=["python", "node"])
def language(request: pytest.FixtureRequest) -> str:
    language: str = request.param
    return language


def run(language: str, program: Path, daemon: Daemon) -> Any:
    """Run a program in its folder, with keys of the tenant LANGUAGE; returns what it printed."""
    seqd = Installation(Path(daemon.variables["SEQD_DATA_DIR"]))

    def key(role: str, *more: str) -> str:
        return seqd.seqd("keys", "new", "--tenant", language, "--role", role, *more).out.strip()

    keys = {"KEY": key("operate"), "READ_KEY": key("read")}
    keys["LIMITED_KEY"] = key("read", "--rate", "1")
    command = {"python": [sys.executable, "-P"], "node": [tool("node", "nodejs")]}[language]
    ended = subprocess.run(
        [*command, program.name],
        cwd=program.parent,
        env=clean_environment(GATEWAY=daemon.variables["GATEWAY"], TENANT=language, **keys),
        capture_output=True,
        text=True,
        timeout=_PROGRAM_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def told(language: str, daemon: Daemon, folder: Path, request: pytest.FixtureRequest) -> Any:
    """What came of the flows, by a client."""
    if language == "node":
        request.getfixturevalue("node_folder")
    name = {"python": "openai_flows.py", "node": "openai_flows.mjs"}[language]
    program = Path(shutil.copy(Path(__file__).with_name(name), folder))
    return run(language, program, daemon)


@pytest.mark.timeout(600)
def test_files_are_kept_listed_read_and_removed(told: Any) -> None:
    content = '{"text": "a fine film"}\n'

    assert told["files"] == {
        "file": {
            "bytes": len(content),
            "filename": "one.jsonl",
            "purpose": "batch",
            "status": "processed",
        },
        "listed": ["two.jsonl", "one.jsonl"],
        "content": content,
        "is_removed": True,
    }


def test_a_batch_answers_ten_thousand_reviews_in_their_order(told: Any) -> None:
    batches = told["batches"]

    assert batches["batch"] == {
        "status": "completed",
        "request_counts": {"total": 10_000, "completed": 9_990, "failed": 10},
        "metadata": {"order": "17"},
    }
    assert batches["answers"] == LABELS
    without = [[name, "invalid_input"] for name, text in REVIEWS.items() if not text]
    assert batches["errors"] == without
    assert batches["kept_s"] == 3_600
    assert (batches["cancelled"], batches["is_newest_first"]) == ("cancelled", True)


def test_a_stream_gives_in_parts_what_is_else_given_at_once_and_ends_where_it_is_left(
    told: Any,
) -> None:
    completions = told["completions"]
    usage = {"prompt_tokens": 9, "completion_tokens": 200, "total_tokens": 209}
    whole = {"text": completions["text"], "finish_reason": "length", "usage": usage}

    assert len(completions["text"]) == 200
    assert {**whole, "is_in_parts": True} == completions["streamed"]
    assert whole.items() <= completions.items()
    assert completions["several"] == [[index, 200] for index in range(4)]
    assert completions["left"] == "cancelled"


def test_a_route_of_ours_is_asked_by_the_clients_own_post(told: Any) -> None:
    assert told["classify"] == [
        [0, "positive", None],
        [1, None, "invalid_input"],
        [2, "negative", None],
    ]


def test_a_training_tells_its_events_and_makes_a_model_of_its_tenant(
    told: Any, language: str
) -> None:
    tuned = told["fine_tuning"]

    assert (tuned["status"], tuned["owner"]) == ("succeeded", language)
    assert tuned["model"] == f"imdb_lstm_{language}@1"
    metrics = [message for _, kind, message in tuned["events"] if kind == "metrics"]
    assert [one for one in metrics if one.startswith("Epoch")] == ["Epoch 2 of 2", "Epoch 1 of 2"]
    assert tuned["events"][0] == ["info", "message", "The training is completed."]
    assert tuned["events"][-1] == ["info", "message", "The training is queued."]
    assert (tuned["steps"], tuned["label"]) == ([2, 1], "good")
    paused, resumed, cancelled = tuned["steered"]
    assert (paused, cancelled, tuned["is_newest_first"]) == ("paused", "cancelled", True)
    assert resumed in ("queued", "running")


def test_errors_are_the_clients_own_with_our_codes(told: Any) -> None:
    not_found, bad = ("NotFoundError", 404, "not_found_error"), ("BadRequestError", 400)
    due = {
        "model": (*not_found, "unknown_model", None),
        "file": (*not_found, "unknown_file", None),
        "batch": (*not_found, "unknown_job", None),
        "training": (*not_found, "unknown_job", None),
        "type": (*bad, "invalid_request_error", "invalid_request", "temperature"),
        "purpose": (*bad, "invalid_request_error", "invalid_request", None),
        "parameter": (*bad, "invalid_request_error", "invalid_parameters", None),
        "state": ("ConflictError", 409, "conflict_error", "wrong_state", None),
        "key": ("AuthenticationError", 401, "authentication_error", "invalid_api_key", None),
        "role": ("PermissionDeniedError", 403, "permission_error", "not_allowed", None),
        "rate": ("RateLimitError", 429, "rate_limit_error", "rate_limit_exceeded", None),
    }
    names = ("kind", "status", "type", "code", "param")

    assert told["errors"] == {
        case: {**dict(zip(names, one, strict=True)), "has_id": True} for case, one in due.items()
    }


def test_the_guides_program_in_node_runs(daemon: Daemon, node_folder: Path) -> None:
    (block,) = blocks_of(ROOT / "schemas" / "http.md", "js")
    program = node_folder / block.file
    program.write_text(block.text)

    assert run("node", program, daemon) == ["positive", "negative"]
