"""Two gateways, one of which is killed: whoever follows the protocol loses nothing."""

import json
from collections.abc import Iterator

import httpx
import pytest
from openai import OpenAI

from gateway_builders import Gateway, running_gateway
from seqd.testing import RunningServices
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def pair(services: RunningServices) -> Iterator[tuple[Gateway, Gateway]]:
    with running_gateway(services) as one, running_gateway(services) as other:
        yield one, other


def lines_of(count: int) -> bytes:
    rows = ({"custom_id": f"r{number}", "text": f"a fine film {number}"} for number in range(count))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_an_upload_whose_gateway_is_killed_is_sent_again_to_the_other(
    pair: tuple[Gateway, Gateway],
) -> None:
    one, other = pair

    def half() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="r.jsonl"\r\n\r\n'
        yield lines_of(20_000)
        one.kill()
        yield lines_of(20_000)

    with pytest.raises(httpx.TransportError):
        kind = {"content-type": "multipart/form-data; boundary=b"}
        httpx.post(f"{one.address}/v1/files", content=half(), headers=kind, timeout=60)
    with OpenAI(base_url=f"{other.address}/v1", api_key="none") as openai:
        file = openai.files.create(file=("r.jsonl", lines_of(200)), purpose="batch")
        listed = [known.id for known in openai.files.list()]

    assert listed == [file.id]  # what was sent half is not there


def test_a_batch_goes_on_without_the_gateway_that_took_it_and_any_other_has_its_results(
    pair: tuple[Gateway, Gateway], services: RunningServices
) -> None:
    one, other = pair
    with OpenAI(base_url=f"{one.address}/v1", api_key="none") as openai, services.no_worker():
        file = openai.files.create(file=("r.jsonl", lines_of(2_000)), purpose="batch")
        batch = openai.batches.create(
            input_file_id=file.id,
            endpoint="/v1/classify",  # type: ignore[arg-type]
            completion_window="24h",
        )
        one.kill()

    with OpenAI(base_url=f"{other.address}/v1", api_key="none") as openai:
        wait_until(
            lambda: openai.batches.retrieve(batch.id).status == "completed", "the batch is done"
        )
        done = openai.batches.retrieve(batch.id)
        assert done.output_file_id is not None
        # Cut off half-way, a reader reads again: the same, from any gateway.
        with httpx.stream(
            "GET", f"{other.address}/v1/files/{done.output_file_id}/content"
        ) as reply:
            next(reply.iter_bytes(1_000))
        rows = openai.files.content(done.output_file_id).text.splitlines()

    names = [json.loads(row)["custom_id"] for row in rows]
    assert names == [f"r{number}" for number in range(2_000)]


def test_a_reader_of_events_whose_gateway_is_killed_goes_on_at_the_other(
    pair: tuple[Gateway, Gateway], services: RunningServices
) -> None:
    one, other = pair
    items = [{"custom_id": "r1", "text": "a fine film"}]
    job = {"kind": "classify", "model": "imdb_lstm", "source": {"type": "inline", "items": items}}
    seen = list[tuple[str, str]]()

    def read(gateway: Gateway, after: str | None) -> None:
        headers = {} if after is None else {"last-event-id": after}
        where = f"{gateway.address}/v1/jobs/followed/events"
        fields = dict[str, str]()
        with httpx.stream("GET", where, headers=headers, timeout=60) as reply:
            for line in reply.iter_lines():
                name, _, value = line.partition(": ")
                fields[name] = value
                if not line and "event" in fields:
                    seen.append((fields["event"], fields["id"]))
                    fields.clear()
                    if gateway is one:
                        one.kill()

    with services.no_worker():
        httpx.put(f"{one.address}/v1/jobs/followed", json=job)
        with pytest.raises(httpx.TransportError):
            read(one, None)
    read(other, seen[-1][1])

    with services.client() as client:
        all_of_them = [(event.event, event.id) for event in client.job("followed").events()]
    assert seen == all_of_them
