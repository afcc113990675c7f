"""Batches over HTTP: a file of requests in, files of answers and of errors out."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx
import openai as stock
import pytest
from openai import OpenAI
from openai.types import Batch

from gateway.conftest import LIMIT_S, sentiment, write
from seqd_schemas import Classification
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: The worker is at the text `held`, and goes on behind it once it is cured.
HELD, CURED = threading.Event(), threading.Event()


def probable(text: str) -> Classification:
    if text == "held":
        HELD.set()
        CURED.wait(LIMIT_S)
    label = sentiment(text)
    scores = {"negative": 0.2, "positive": 0.2, label: 0.8}
    return Classification(label=label, score=0.8, truncated=False, probabilities=scores)


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": probable, "char_lstm": write}


@pytest.fixture(autouse=True)
def _cured() -> Iterator[None]:
    HELD.clear()
    CURED.clear()
    yield
    CURED.set()


def request(custom_id: str, text: object, **body: object) -> dict[str, object]:
    asked = {"input": text, **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/classify", "body": asked}


def uploaded(openai: OpenAI, lines: Iterable[object], purpose: str = "batch") -> str:
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return openai.files.create(file=("b.jsonl", content), purpose=purpose).id  # type: ignore[arg-type]


def created(openai: OpenAI, file_id: str, **options: Any) -> Batch:
    given: dict[str, Any] = {"endpoint": "/v1/classify", "completion_window": "24h", **options}
    return openai.batches.create(input_file_id=file_id, **given)


def waited_for(openai: OpenAI, batch: Batch, *statuses: str) -> Batch:
    """Return a batch once it has one of some statuses, by default one in which it has ended."""
    wanted = statuses or ("completed", "failed", "expired", "cancelled")
    found = [batch]

    def has_status() -> bool:
        found[0] = openai.batches.retrieve(batch.id)
        return found[0].status in wanted

    wait_until(has_status, f"the batch is {wanted}", LIMIT_S)
    return found[0]


def lines_of(openai: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in openai.files.content(file_id).text.splitlines()]


def test_a_batch_is_answered_in_the_order_of_its_lines(openai: OpenAI) -> None:
    texts = ["a fine film", "dreadful", "raise", ""]
    names = [f"review-{number}" for number in range(200)]
    requests = [request(name, texts[n % 4], top_k=1) for n, name in enumerate(names)]
    file_id = uploaded(openai, requests)

    batch = created(openai, file_id, metadata={"order": "17"})
    ended = waited_for(openai, batch)

    assert (batch.id, batch.input_file_id) == (ended.id, file_id)
    assert (batch.endpoint, batch.completion_window) == ("/v1/classify", "24h")
    assert (ended.status, ended.metadata, ended.errors) == ("completed", {"order": "17"}, None)
    assert ended.request_counts is not None
    assert ended.request_counts.model_dump() == {"total": 200, "completed": 100, "failed": 100}
    assert ended.completed_at is not None
    assert ended.created_at <= (ended.in_progress_at or 0) <= ended.completed_at
    assert (ended.expires_at or 0) - ended.created_at == 24 * 3_600
    answers = lines_of(openai, ended.output_file_id)
    assert [one["custom_id"] for one in answers] == [
        name for n, name in enumerate(names) if n % 4 < 2
    ]
    body = answers[1]["response"]["body"]
    assert (answers[1]["response"]["status_code"], answers[1]["error"]) == (200, None)
    assert (body["object"], body["model"]) == ("list", "imdb_lstm")
    (label,) = body["data"]
    assert (label["label"], list(label["probabilities"])) == ("negative", ["negative"])
    errors = lines_of(openai, ended.error_file_id)
    assert [one["custom_id"] for one in errors] == [
        name for n, name in enumerate(names) if n % 4 > 1
    ]
    assert [one["error"]["code"] for one in errors[:2]] == ["plugin_error", "invalid_input"]
    assert errors[0]["response"] is None
    assert len({one["id"] for one in answers + errors}) == 200


def test_an_answer_is_what_the_route_itself_gives(openai: OpenAI, web: httpx.Client) -> None:
    lines = [
        {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/completions",
            "body": {"model": "char_lstm", "prompt": "one", "n": 2, "max_tokens": 7},
        }
    ]

    ended = waited_for(openai, created(openai, uploaded(openai, lines), endpoint="/v1/completions"))

    (answer,) = lines_of(openai, ended.output_file_id)
    direct = web.post("/v1/completions", json=lines[0]["body"]).json()
    own = {"id", "created"}
    body = answer["response"]["body"]
    assert {k: v for k, v in body.items() if k not in own} == {
        k: v for k, v in direct.items() if k not in own
    }


def test_the_shorter_form_takes_the_model_of_the_batch(openai: OpenAI) -> None:
    lines = [{"custom_id": "a", "text": "one"}, {"text": "two"}]
    file_id = uploaded(openai, lines)

    ended = waited_for(
        openai,
        created(openai, file_id, endpoint="/v1/completions", extra_body={"model": "char_lstm@1"}),
    )

    answers = lines_of(openai, ended.output_file_id)
    assert ended.model == "char_lstm@1"
    assert [one["custom_id"] for one in answers] == ["a", "line-2"]
    texts = [one["response"]["body"]["choices"][0]["text"] for one in answers]
    assert texts == ["one and so on", "two and so on"]


def test_what_is_there_of_a_batch_is_read_while_it_runs_and_after_it_was_cancelled(
    openai: OpenAI,
) -> None:
    texts = [*["a fine film"] * 600, "held", "never"]
    names = [str(number) for number in range(602)]
    file_id = uploaded(openai, map(request, names, texts))
    batch = created(openai, file_id)
    assert HELD.wait(LIMIT_S)
    running = openai.batches.retrieve(batch.id)
    some = lines_of(openai, running.output_file_id)
    cancelled = openai.batches.cancel(batch.id)
    again = openai.batches.cancel(batch.id)

    assert running.status == "in_progress"
    assert [one["custom_id"] for one in some] == names[: len(some)]
    assert 0 < len(some) < 600
    assert (cancelled.status, again.status) == ("cancelled", "cancelled")
    assert cancelled.cancelled_at is not None
    left = lines_of(openai, cancelled.error_file_id)
    assert [one["custom_id"] for one in left] == names[len(some) :]
    assert {one["error"]["code"] for one in left} == {"cancelled"}


def test_batches_are_listed_newest_first_in_pages(openai: OpenAI) -> None:
    file_id = uploaded(openai, [request("a", "fine")])
    named = {"metadata": {"_top_k": "anything"}}
    made = [waited_for(openai, created(openai, file_id, **named)) for _ in range(3)]

    listed = [batch.id for batch in openai.batches.list(limit=2)]

    assert listed[:3] == [batch.id for batch in reversed(made)]
    page = openai.batches.list(limit=1, after=made[2].id)
    assert [batch.id for batch in page.data] == [made[1].id]


def test_a_batch_that_is_sent_again_with_its_key_is_the_same(openai: OpenAI) -> None:
    file_id = uploaded(openai, [request("a", "fine")])
    key = {"Idempotency-Key": "order-17"}

    first = created(openai, file_id, extra_headers=key)
    second = created(openai, file_id, extra_headers=key)

    assert first.id == second.id
    listed = [batch.id for batch in openai.batches.list() if batch.input_file_id == file_id]
    assert listed == [first.id]


def test_a_file_of_results_is_shown_and_goes_with_its_batch(openai: OpenAI) -> None:
    file_id, kept = uploaded(openai, [request("a", "fine")]), {"anchor": "created_at"}
    batch = waited_for(
        openai, created(openai, file_id, output_expires_after={**kept, "seconds": 3_600})
    )
    assert batch.output_file_id is not None

    file = openai.files.retrieve(batch.output_file_id)

    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert (file.expires_at or 0) - (batch.completed_at or 0) == 3_600
    with pytest.raises(stock.BadRequestError, match="is what a batch gave"):
        openai.files.delete(file.id)


def test_a_batch_whose_file_is_gone_before_it_is_read_fails_with_the_reason(
    openai: OpenAI, web: httpx.Client
) -> None:
    held = created(openai, uploaded(openai, [request("a", "held")]))
    assert HELD.wait(LIMIT_S)
    file_id = uploaded(openai, [request("a", "fine")])
    batch = created(openai, file_id)
    openai.files.delete(file_id)
    CURED.set()

    failed = waited_for(openai, batch, "failed")

    assert failed.errors is not None
    ((error,),) = (failed.errors.data,)
    assert (error.code, failed.failed_at is not None) == ("invalid_input", True)
    assert waited_for(openai, held).status == "completed"


def test_a_batch_of_two_lines_with_one_name_fails(openai: OpenAI) -> None:
    batch = created(openai, uploaded(openai, [request("a", "fine"), request("a", "dreadful")]))

    failed = waited_for(openai, batch)

    assert failed.status == "failed"
    assert failed.errors is not None
    assert [one.code for one in failed.errors.data or ()] == ["duplicate_custom_id"]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["no request"], {}, ", line 1: it is a text; allowed: "),
        ([request("a", ["x"])], {}, ", line 1: its body's input is a list"),
        (
            [request("a", "x", model="a"), request("b", "x", model="b")],
            {},
            ", line 2: its model is 'b', that of line 1 is 'a'; allowed: the same in all lines",
        ),
        (
            [request("a", "x")],
            {"endpoint": "/v1/completions"},
            "ask /v1/classify, and endpoint is /v1/completions; allowed: the same.",
        ),
        ([request("a", "x", topk=1)], {}, "There is no field 'topk' here"),
        (
            [request("a", "x", model="a")],
            {"extra_body": {"model": "b"}},
            "model is 'b', and that of the lines is 'a'",
        ),
        ([], {"purpose": "fine-tune"}, "is for fine-tune; allowed: a file for batch."),
        ([{"text": "x"}], {"completion_window": "soon"}, "completion_window is 'soon'"),
        ([{"text": "x"}], {"endpoint": "/v1/embeddings"}, "endpoint is '/v1/embeddings'"),
        ([{"text": "x"}], {"completion_window": "9000h"}, "expires_in_s is 32400000; allowed"),
        (
            [{"text": "x"}],
            {"output_expires_after": {"anchor": "created_at", "seconds": 59}},
            "is 59; allowed: 60 seconds to 366 days",
        ),
    ],
)
def test_what_is_no_batch_is_refused_with_the_reason(
    openai: OpenAI, lines: list[object], options: dict[str, Any], message: str
) -> None:
    file_id = uploaded(openai, lines or ["x"], options.pop("purpose", "batch"))

    with pytest.raises(stock.BadRequestError) as raised:
        created(openai, file_id, **options)

    assert raised.value.code == "invalid_request"
    assert message in raised.value.message, raised.value.message


def test_a_batch_of_an_unknown_model_or_file_is_not_found(openai: OpenAI) -> None:
    file_id = uploaded(openai, [request("a", "x", model="nobodys")])

    with pytest.raises(stock.NotFoundError) as of_model:
        created(openai, file_id)
    openai.files.delete(file_id)
    with pytest.raises(stock.NotFoundError) as of_file:
        created(openai, file_id)
    with pytest.raises(stock.NotFoundError) as of_batch:
        openai.batches.retrieve("batch_1")

    codes = [raised.value.code for raised in (of_model, of_file, of_batch)]
    assert codes == ["unknown_model", "unknown_file", "unknown_job"]
