"""Trainings as fine-tuning jobs, by the stock client."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import openai as stock
import pytest
from openai import OpenAI

from seqd.hookspecs import LabelledRecord
from seqd.testing import RunningServices, StubModel
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

RECORDS = b"".join(
    b'{"text": "%s film", "label": "%s"}\n' % pair
    for pair in [(b"a fine", b"pos"), (b"a bad", b"neg")] * 8
)


def trained(records: Sequence[LabelledRecord]) -> Mapping[str, float]:
    return {"validation_accuracy": 0.5, "records": float(len(records))}


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": StubModel(classify=lambda text: "positive", train=trained)}


def test_a_training_on_an_uploaded_file_makes_a_version_that_requests_may_name(
    openai: OpenAI,
) -> None:
    data = openai.files.create(file=("reviews.jsonl", RECORDS), purpose="fine-tune")

    job = openai.fine_tuning.jobs.create(
        model="imdb_lstm",
        training_file=data.id,
        suffix="My Topics",
        hyperparameters={"n_epochs": 2, "batch_size": "auto"},
        metadata={"order": "17"},
    )

    def ended() -> bool:
        return openai.fine_tuning.jobs.retrieve(job.id).status in ("succeeded", "failed")

    wait_until(ended, "the training ends")
    done = openai.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model) == ("succeeded", "imdb_lstm_my_topics@1")
    assert (done.model, done.training_file, done.metadata) == (
        "imdb_lstm",
        data.id,
        {"order": "17"},
    )
    assert done.hyperparameters.n_epochs == 2
    assert done.model_dump()["metrics"]["records"] == 16
    events = openai.fine_tuning.jobs.list_events(job.id).data
    assert (events[0].message, events[-1].message) == (
        "The training is completed.",
        "The training is queued.",
    )
    assert [one.id for one in openai.fine_tuning.jobs.list(limit=1)] == [job.id]
    # A client that turns the pages does not begin anew where one of them has gone meanwhile.
    assert openai.fine_tuning.jobs.list_events(job.id, after="ftevent-gone").data == []
    answer = openai.post(
        "/classify", body={"input": "x", "model": done.fine_tuned_model}, cast_to=object
    )
    assert answer["data"][0]["label"] == "positive"  # type: ignore[index]


def test_a_training_is_paused_resumed_and_cancelled(
    openai: OpenAI, services: RunningServices
) -> None:
    data = openai.files.create(file=("reviews.jsonl", RECORDS), purpose="fine-tune")
    with services.no_worker():
        job = openai.fine_tuning.jobs.create(model="imdb_lstm", training_file=data.id)

        paused = openai.fine_tuning.jobs.pause(job.id)
        resumed = openai.fine_tuning.jobs.resume(job.id)
        cancelled = openai.fine_tuning.jobs.cancel(job.id)

    states = (job.status, paused.status, resumed.status, cancelled.status)
    assert states == ("queued", "paused", "queued", "cancelled")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"training_file": "file-0"}, "unknown_file"),
        ({"model": "imdb_lst"}, "unknown_model"),
        ({"hyperparameters": {"epoch": 1}}, "invalid_parameters"),
        ({"extra_body": {"preset": "no_such"}}, "invalid_parameters"),
        ({"suffix": "x" * 40}, "invalid_request"),
    ],
)
def test_a_training_that_cannot_be_is_refused(
    openai: OpenAI, changes: dict[str, Any], code: str
) -> None:
    data = openai.files.create(file=("reviews.jsonl", RECORDS), purpose="fine-tune")
    asked = {"model": "imdb_lstm", "training_file": data.id, **changes}

    with pytest.raises(stock.APIStatusError) as raised:
        openai.fine_tuning.jobs.create(**asked)

    assert raised.value.code == code


def test_a_fine_tuning_job_that_there_is_not_is_unknown(openai: OpenAI) -> None:
    for name in ("ftjob-none", "none"):
        with pytest.raises(stock.NotFoundError) as raised:
            openai.fine_tuning.jobs.retrieve(name)
        assert raised.value.code == "unknown_job"


def test_a_version_is_put_in_service(openai: OpenAI, web: httpx.Client) -> None:
    data = openai.files.create(file=("reviews.jsonl", RECORDS), purpose="fine-tune")
    for _ in range(2):
        job = openai.fine_tuning.jobs.create(
            model="imdb_lstm", training_file=data.id, suffix="served"
        )
        wait_until(
            lambda name=job.id: openai.fine_tuning.jobs.retrieve(name).status == "succeeded",
            "the training ends",
        )
    asked = {"version": 2, "reason": "more accurate"}

    def promote(**body: object) -> httpx.Response:
        return web.post("/v1/models/imdb_lstm_served/promote", json=body)

    assert web.get("/v1/models/imdb_lstm_served").json()["in_service"] == 1
    done, again = promote(**asked), promote(**asked)
    assert (done.status_code, done.json()["in_service"], done.json()["notes"]) == (200, 2, [])
    assert (again.status_code, again.json()["error"]["code"]) == (409, "wrong_state")
    assert promote(version="production").status_code == 409
    assert promote(version=3).status_code == 404
