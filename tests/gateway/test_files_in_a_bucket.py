"""Uploaded files in a bucket of S3: gateways and workers share no folder."""

import gzip
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai as stock
import pytest
from openai import OpenAI

from gateway_builders import running_gateway
from s3_fixtures import Bucket, S3Server
from seqd.gateway.app import gateway_app
from seqd.ledger import Ledger, connect
from seqd.testing import RunningServices, StubModel, running_services
from seqd_schemas import UploadedFile
from service_guide import serving
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

MIB = 1024**2

#: A form whose boundary is `b`, up to the content of its file.
HEADS = {"content-type": "multipart/form-data; boundary=b"}
BEGIN = b'--b\r\nContent-Disposition: form-data; name="file"; filename="r.txt"\r\n\r\n'

#: States in which a batch or a training has not ended.
OPEN = ("validating", "in_progress", "validating_files", "queued", "running")


def write(prompt: str) -> str:
    return f"{prompt} and so on"


def classified(text: str) -> str:
    return "positive" if "fine" in text else "negative"


def trained(records: Any) -> Mapping[str, float]:
    return {"records": float(len(records))}


@pytest.fixture(scope="module")
def place(s3_server: S3Server) -> Iterator[Bucket]:
    """The bucket, which the gateway and the worker of this file find by the environment."""
    with pytest.MonkeyPatch.context() as env:
        for name, value in s3_server.environment.items():
            env.setenv(name, value)
        yield s3_server.bucket(f"uploads-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def services(place: Bucket) -> Iterator[RunningServices]:
    with running_services() as services:
        services.settings = services.settings.model_copy(update={"gateway_files": place.url})
        services.serve(
            {"imdb_lstm": StubModel(classify=classified, train=trained), "char_lstm": write}
        )
        yield services


@pytest.fixture(autouse=True)
def _no_files(openai: OpenAI) -> Iterator[None]:
    yield
    for file in openai.files.list():
        openai.files.delete(file.id)


def begun(place: Bucket) -> list[str]:
    """Return the objects of which parts were sent, and that are not finished."""
    found = place.s3.list_multipart_uploads(Bucket=place.name)
    return [one["Key"] for one in found.get("Uploads", ())]


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_file_is_kept_read_by_range_and_removed(
    openai: OpenAI, web: httpx.Client, place: Bucket
) -> None:
    content = os.urandom(20 * MIB + 7)  # several parts

    file = openai.files.create(file=("a.txt", content), purpose="fine-tune")
    part = web.get(
        f"/v1/files/{file.id}/content", headers={"range": f"bytes={8 * MIB - 5}-{9 * MIB}"}
    )

    assert place.names() == [f"{file.id}.txt"]
    assert begun(place) == []
    assert openai.files.content(file.id).content == content
    assert (part.status_code, part.content) == (206, content[8 * MIB - 5 : 9 * MIB + 1])
    openai.files.delete(file.id)
    assert place.names() == []


def test_a_batch_is_answered_in_the_order_of_its_lines(openai: OpenAI) -> None:
    texts = [("a fine film" if n % 3 else "dreadful") for n in range(400)]
    rows = [{"custom_id": f"r{n}", "text": text} for n, text in enumerate(texts)]
    asked: list[tuple[Any, str]] = [("/v1/classify", "imdb_lstm"), ("/v1/completions", "char_lstm")]
    # Of JSON Lines whatever its name says.
    file = openai.files.create(file=("reviews.csv", lines(*rows)), purpose="batch")

    batches = [
        openai.batches.create(
            input_file_id=file.id,
            endpoint=endpoint,
            completion_window="24h",
            extra_body={"model": model},
        )
        for endpoint, model in asked
    ]

    answers = list[list[Any]]()
    for batch in batches:
        wait_until(
            lambda made=batch.id: openai.batches.retrieve(made).status not in OPEN, "it ends"
        )
        done = openai.batches.retrieve(batch.id)
        assert (done.status, done.input_file_id) == ("completed", file.id), done.errors
        assert done.output_file_id is not None
        output = openai.files.content(done.output_file_id).text
        answers.append([json.loads(line) for line in output.splitlines()])
    for found in answers:
        assert [one["custom_id"] for one in found] == [f"r{n}" for n in range(400)]
    labels, completions = ([one["response"]["body"] for one in found] for found in answers)
    expected = ["positive" if "fine" in text else "negative" for text in texts]
    assert [one["data"][0]["label"] for one in labels] == expected
    assert [one["choices"][0]["text"] for one in completions] == [write(text) for text in texts]


def test_a_training_reads_what_it_learns_from_and_what_it_is_validated_on(openai: OpenAI) -> None:
    rows = b"label,text\n" + b"pos,a fine film\nneg,a bad film\n" * 8
    data = openai.files.create(file=("r.csv.gz", gzip.compress(rows)), purpose="fine-tune")
    held_out = openai.files.create(
        file=("r.jsonl", lines({"text": "a", "label": "pos"})), purpose="fine-tune"
    )

    job = openai.fine_tuning.jobs.create(
        model="imdb_lstm", training_file=data.id, validation_file=held_out.id, suffix="films"
    )

    wait_until(
        lambda: openai.fine_tuning.jobs.retrieve(job.id).status not in OPEN, "the training ends"
    )
    done = openai.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model) == ("succeeded", "imdb_lstm_films@1"), done.error
    assert (done.training_file, done.validation_file) == (data.id, held_out.id)
    assert done.model_dump()["metrics"]["records"] == 16


def test_a_job_of_its_own_json_reads_a_file_and_shows_its_name_alone(
    openai: OpenAI, web: httpx.Client
) -> None:
    file = openai.files.create(file=("r.txt", b"a fine film\ndreadful\n"), purpose="fine-tune")
    source = {"type": "file", "path": file.id}

    job = web.put(
        "/v1/jobs/filed", json={"kind": "classify", "model": "imdb_lstm", "source": source}
    )

    assert (job.status_code, job.json()["job"]["source"]["path"]) == (200, file.id)
    results = web.get("/v1/jobs/filed/results", params={"wait": True}).text.splitlines()
    labels = [json.loads(line)["output"]["label"] for line in results]
    assert labels == ["positive", "negative"]


def test_what_a_killed_gateway_left_half_and_what_has_expired_is_swept(
    services: RunningServices, openai: OpenAI, place: Bucket
) -> None:
    kept = openai.files.create(file=("kept.txt", b"x"), purpose="fine-tune")
    over = openai.files.create(file=("over.txt", b"x"), purpose="fine-tune")
    with running_gateway(services, SEQD_GATEWAY_FILES=place.url) as gateway:

        def half() -> Iterator[bytes]:
            yield BEGIN
            yield b"x" * (12 * MIB)
            wait_until(lambda: len(begun(place)) == 1, "a part is sent")
            gateway.kill()
            yield b"x" * (12 * MIB)

        with pytest.raises(httpx.TransportError):
            httpx.post(f"{gateway.address}/v1/files", content=half(), headers=HEADS, timeout=60)
    assert len(place.names()) == 2
    with connect(services.redis_url) as redis:
        records = Ledger(redis, services.settings).uploaded_files
        for row in redis.hvals(services.settings.keys.files()):
            file = UploadedFile.model_validate_json(row)
            if file.file_id != kept.id:
                records.keep(file.model_copy(update={"expires_at_ms": 1}))
        assert len(records.due(10)) == 2
        assert [file.id for file in openai.files.list()] == [kept.id]

        with serving(gateway_app(services.settings)):
            wait_until(lambda: records.due(10) == [], "they are swept")

    assert (place.names(), begun(place)) == ([f"{kept.id}.txt"], [])
    with pytest.raises(stock.NotFoundError):
        openai.files.content(over.id)


def test_an_upload_that_breaks_off_leaves_nothing(
    gateway: str, place: Bucket, services: RunningServices
) -> None:
    address = urlsplit(gateway)
    head = b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 40000000\r\n"

    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        content_type = f"content-type: {HEADS['content-type']}\r\n\r\n".encode()
        connection.sendall(head + content_type + BEGIN + b"x" * (12 * MIB))
        wait_until(lambda: len(begun(place)) == 1, "the upload has begun")

    with connect(services.redis_url) as redis:
        keys = services.settings.keys
        wait_until(lambda: redis.hlen(keys.files()) == 0, "its record is gone")
    assert (place.names(), begun(place)) == ([], [])


def test_a_download_whose_object_goes_breaks_off(
    services: RunningServices, place: Bucket, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    content = b"x" * (40 * MIB)  # more than the machine keeps of what nobody has read yet
    with (
        running_gateway(services, log, SEQD_GATEWAY_FILES=place.url) as gateway,
        httpx.Client(base_url=gateway.address, timeout=60) as web,
    ):
        form = {"files": {"file": content}, "data": {"purpose": "fine-tune"}}
        file = web.post("/v1/files", **form).json()["id"]  # type: ignore[arg-type]

        with (
            pytest.raises(httpx.RemoteProtocolError),
            web.stream("GET", f"/v1/files/{file}/content") as reply,
        ):
            pieces = reply.iter_raw(MIB)
            next(pieces)
            place.remove(place.names()[0])
            list(pieces)
        away = web.get(f"/v1/files/{file}/content")

    assert (away.status_code, away.json()["error"]["code"]) == (503, "files_unusable")
    said = log.read_text()
    assert f"{file} breaks off as it is read: s3://" in said
    assert "does not exist. Check the URL. Is SEQD_GATEWAY_FILES the same" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("variables", "reads", "said"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, False, "does not answer (Endpoint"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, False, "may not be written with the credentials of"),
        ("reader", True, "the gateway needs s3:PutObject and s3:DeleteObject"),
        ({"SEQD_GATEWAY_FILES": "s3://no-such-bucket/files"}, False, "has no bucket: make it, or"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_plainly(
    services: RunningServices,
    openai: OpenAI,
    place: Bucket,
    tmp_path: Path,
    variables: dict[str, str] | str,
    reads: bool,
    said: str,
) -> None:
    kept = openai.files.create(file=("kept.txt", b"x"), purpose="fine-tune")
    given = place.server.reader if isinstance(variables, str) else variables
    log = tmp_path / "log"
    with (
        running_gateway(services, log, **{"SEQD_GATEWAY_FILES": place.url, **given}) as gateway,
        httpx.Client(base_url=gateway.address, timeout=120) as web,
    ):
        refused = web.post("/v1/files", files={"file": b"x"}, data={"purpose": "fine-tune"})
        read = web.get(f"/v1/files/{kept.id}/content")

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "files_unusable")
    assert read.status_code == (200 if reads else 503)
    text = log.read_text()
    assert said in text
    assert "Traceback" not in text
