"""Answers at once: models, classification and completions, by the stock client and by HTTP."""

import re
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import httpx
import openai as stock
import pytest
from openai import NotFoundError, OpenAI

from gateway.conftest import LIMIT_S, sentiment, write
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: Prompts behind the first part of whose texts the worker waits, each until its event is set.
HELD = dict[str, threading.Event]()


def write_or_wait(prompt: str) -> Iterator[str]:
    for part in write(prompt):
        yield part
        if prompt in HELD:
            HELD[prompt].wait(LIMIT_S)


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": sentiment, "char_lstm": write_or_wait}


def test_models_are_listed_with_their_tasks_and_versions(openai: OpenAI) -> None:
    found = {model.id: model for model in openai.models.list()}

    assert set(found) == {"char_lstm", "imdb_lstm"}
    one = openai.models.retrieve("imdb_lstm").model_dump()
    versions = [openai.models.retrieve(name).id for name in ("imdb_lstm@1", "imdb_lstm@latest")]
    with pytest.raises(stock.NotFoundError, match="no version 7"):
        openai.models.retrieve("imdb_lstm@7")
    assert (one["tasks"], one["versions"], one["in_service"]) == (["classify", "train"], [1], 1)
    assert "probabilities" in one["parameters"]["classify"]["properties"]
    assert versions == ["imdb_lstm@1", "imdb_lstm@latest"]


def test_one_text_is_classified(web: httpx.Client) -> None:
    reply = web.post("/v1/classify", json={"input": "a fine film"}).json()

    assert (reply["object"], reply["model"]) == ("list", "imdb_lstm")
    (found,) = reply["data"]
    assert (found["index"], found["label"], found["score"]) == (0, "positive", 1.0)


def test_of_many_texts_a_bad_one_has_its_error_in_its_place(web: httpx.Client) -> None:
    texts = ["a fine film", "raise", "", "dreadful"]

    data = web.post("/v1/classify", json={"input": texts}).json()["data"]

    assert [one["index"] for one in data] == [0, 1, 2, 3]
    assert [one.get("label") for one in data] == ["positive", None, None, "negative"]
    assert [one["error"]["code"] for one in data[1:3]] == ["plugin_error", "invalid_input"]


def test_a_prompt_is_continued(openai: OpenAI) -> None:
    reply = openai.completions.create(model="char_lstm", prompt="one", max_tokens=7, n=2)

    assert [choice.text for choice in reply.choices] == ["one and so on"] * 2
    assert reply.choices[0].finish_reason in ("length", "stop")
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 26)


def test_texts_are_streamed_while_they_are_written(openai: OpenAI) -> None:
    texts, ends = {0: "", 1: ""}, dict[int, str]()

    for chunk in openai.completions.create(model="char_lstm", prompt=["one", "two"], stream=True):
        (choice,) = chunk.choices
        texts[choice.index] += choice.text
        if choice.finish_reason:
            ends[choice.index] = choice.finish_reason

    assert texts == {0: "one and so on", 1: "two and so on"}
    assert ends.keys() == {0, 1}


def test_a_stream_goes_on_for_an_hour_and_what_is_waited_for_expires_after_a_minute(
    openai: OpenAI, web: httpx.Client
) -> None:
    times = []
    for is_streamed in (True, False):
        reply = openai.completions.create(
            model="char_lstm", prompt=["one", "two"], stream=is_streamed
        )
        list(reply)
        (job,) = web.get("/v1/jobs", params={"limit": 1}).json()["data"]
        times.append(job["job"]["expires_in_s"])

    assert times == [3_600, 61]


@pytest.fixture
def held() -> Iterator[str]:
    """A prompt whose text stops behind its first part until the test ends."""
    prompt = f"held {len(HELD)}"
    HELD[prompt] = threading.Event()
    yield prompt
    HELD[prompt].set()


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/completions"), ("GET", "/v1/events")])
def test_a_stream_in_which_nothing_comes_says_that_it_lives(
    web: httpx.Client, monkeypatch: pytest.MonkeyPatch, held: str, method: str, path: str
) -> None:
    monkeypatch.setattr("seqd.gateway.server_sent._PING_S", 0.02)
    body = {"prompt": held, "stream": True} if method == "POST" else None

    with web.stream(method, path, json=body) as reply:
        assert ": ping" in reply.iter_lines()


def test_a_caller_that_leaves_a_stream_ends_its_job(
    openai: OpenAI, web: httpx.Client, held: str
) -> None:
    def newest() -> Any:
        return web.get("/v1/jobs", params={"limit": 1}).json()["data"][0]["state"]

    with openai.completions.create(model="char_lstm", prompt=held, stream=True) as stream:
        first = next(iter(stream))
        state = newest()

    wait_until(lambda: newest() == "cancelled", "the job is cancelled", LIMIT_S)
    assert (first.choices[0].text, state) == (f"{held} and ", "running")


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "message"),
    [
        ("/v1/classify", {}, 400, "invalid_request", "input is missing"),
        ("/v1/classify", {"input": 7}, 400, "invalid_request", "input is 7"),
        ("/v1/classify", {"input": ["x", 7]}, 400, "invalid_request", "input.1 is 7"),
        (
            "/v1/classify",
            {"input": ["x"] * 1_001},
            400,
            "invalid_request",
            "more than 1,000 entries",
        ),
        ("/v1/classify", {"input": ""}, 400, "invalid_input", "text is empty"),
        ("/v1/classify", {"input": "x", "inputt": 1}, 400, "invalid_request", "'inputt'"),
        ("/v1/classify", {"input": "x", "model": "imdb_lst"}, 404, "unknown_model", "imdb_lst"),
        (
            "/v1/completions",
            {"prompt": "x", "parameters": {"temprature": 1}},
            400,
            "invalid_parameters",
            "temprature",
        ),
        (
            "/v1/completions",
            {"prompt": "x", "n": 1, "parameters": {"samples": 2}},
            400,
            "invalid_request",
            "'samples' is given twice",
        ),
    ],
)
def test_a_bad_request_is_refused_with_what_is_allowed(
    web: httpx.Client, path: str, body: object, status: int, code: str, message: str
) -> None:
    reply = web.post(path, json=body)

    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code)
    assert message in error["message"]
    assert reply.headers["x-should-retry"] == "false"


def test_a_body_that_is_no_json_and_a_url_that_there_is_not_are_refused(
    web: httpx.Client,
) -> None:
    broken = web.post(
        "/v1/classify", content=b'{"input": ', headers={"content-type": "application/json"}
    )
    unnamed = web.post("/v1/classify", content=b'{"input": "x"}')
    nowhere = web.get("/v1/nowhere")

    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_json")
    assert "content-type: application/json" in unnamed.json()["error"]["message"]
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "unknown_url")


def test_a_client_whose_address_lacks_v1_gets_no_page_of_the_console(gateway: str) -> None:
    with OpenAI(base_url=gateway, api_key="none") as openai, pytest.raises(NotFoundError) as error:
        openai.models.list()

    assert error.value.code == "unknown_url"


def test_a_browser_at_a_url_that_there_is_not_gets_a_page(web: httpx.Client) -> None:
    reply = web.get("/nowhere", headers={"accept": "text/html,*/*;q=0.8"})

    assert reply.status_code == 404
    assert "There is no such URL here." in reply.text
    assert reply.headers["content-type"].startswith("text/html")


MANY = {f"a{number}": 0 for number in range(1_001)}
WIDE = {"input": {f"a{number}": 0 for number in range(70)}}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/classify", MANY),
        ("POST", "/v1/classify", {"input": "fine", "parameters": MANY}),
        ("POST", "/v1/completions", {"prompt": "fine", "stop": [0] * 1_001}),
        ("POST", "/v1/webhook_endpoints", {"url": "https://shop.example", "metadata": MANY}),
        ("POST", "/v1/batches", {"metadata": MANY}),
        ("PUT", "/v1/jobs/many-1", {"kind": "classify", "source": {"items": [{}] * 1_001}}),
        ("PUT", "/v1/jobs/many-1", {"kind": "run", "source": {"items": [WIDE] * 1_000}}),
    ],
)
def test_a_body_with_too_many_entries_is_refused_before_each_of_them_is_judged(
    web: httpx.Client, method: str, path: str, body: object
) -> None:
    reply = web.request(method, path, json=body)

    assert reply.status_code == 400
    assert "has more than 1,000 entries, or all have more than 68,000." in reply.text


def test_a_record_may_hold_a_long_list(web: httpx.Client) -> None:
    items = [{"custom_id": "a", "input": {"vector": [0.5] * 5_000}}]
    job = {"kind": "run", "task": "embed", "model": "imdb_lstm"}

    reply = web.put("/v1/jobs/long-1", json=job | {"source": {"type": "records", "items": items}})

    assert "has no task 'embed'" in reply.text, "what follows when the body has been read"


def test_the_stock_client_raises_its_own_error_with_our_code(openai: OpenAI) -> None:
    with pytest.raises(stock.NotFoundError) as raised:
        openai.completions.create(model="char_lst", prompt="x")

    assert raised.value.code == "unknown_model"


def test_a_response_bears_the_requests_own_name_or_a_new_one(web: httpx.Client) -> None:
    named = web.get("/v1/models", headers={"x-request-id": "order-17"})
    unnamed = web.get("/v1/models", headers={"x-request-id": "a b"})

    assert named.headers["x-request-id"] == "order-17"
    assert unnamed.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(
    web: httpx.Client, is_told: bool
) -> None:
    body = b'{"input": "' + b"x" * 17 * 1024**2 + b'"}'
    sent = body if is_told else iter([body[:1_000], body[1_000:]])

    reply = web.post("/v1/classify", content=sent, headers={"content-type": "application/json"})

    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")


def test_the_page_of_the_api_has_all_routes_and_fields_and_needs_nothing_from_elsewhere(
    web: httpx.Client,
) -> None:
    reply, api = web.get("/docs"), web.get("/openapi.json").json()
    page = reply.text

    for path, methods in api["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in page
    for name, schema in api["components"]["schemas"].items():
        assert f'id="{name}"' in page
        for field in schema.get("properties", ()):
            assert f"<code>{field}</code>" in page
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))
    assert not re.search(r"<script|<link|<img|@import|src=|style=|url\(", page)
    (style,) = re.findall(r"<style>(.*)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = reply.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
