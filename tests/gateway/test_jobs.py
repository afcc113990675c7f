"""Jobs by their own JSON, their results, and events as server-sent events."""

import json
from collections.abc import Iterator
from threading import Event, Thread

import httpx
import pytest

from seqd.testing import RunningServices

pytestmark = pytest.mark.processes


def of_texts(*texts: str, **more: object) -> dict[str, object]:
    items = [{"custom_id": f"r{number}", "text": text} for number, text in enumerate(texts)]
    source = {"type": "inline", "items": items}
    return {"kind": "classify", "model": "imdb_lstm", "source": source, **more}


def events_in(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield the kind, the id and the data of each event of a stream."""
    fields = dict[str, str]()
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields.get("data"):
            yield fields["event"], fields["id"], json.loads(fields["data"])
            fields.clear()


def test_a_job_sent_twice_is_one_job_whose_results_come_in_input_order(web: httpx.Client) -> None:
    job = of_texts("a fine film", "raise", "dreadful")

    first, again = (web.put("/v1/jobs/mine-1", json=job).json() for _ in range(2))

    assert (first["job_id"], first["created_at_ms"]) == ("mine-1", again["created_at_ms"])
    lines = web.get("/v1/jobs/mine-1/results", params={"wait": True}).text.splitlines()
    found = [json.loads(line) for line in lines]
    assert [one["custom_id"] for one in found] == ["r0", "r1", "r2"]
    assert found[0]["output"]["label"] == "positive"
    assert found[1]["error"]["code"] == "plugin_error"
    record = web.get("/v1/jobs/mine-1").json()
    assert (record["state"], record["counts"]["errored"]) == ("completed", 1)
    page = web.get("/v1/jobs/mine-1/results", params={"offset": 2, "limit": 1}).text
    assert json.loads(page)["custom_id"] == "r2"
    assert "mine-1" in [one["job_id"] for one in web.get("/v1/jobs").json()["data"]]
    assert web.delete("/v1/jobs/mine-1").status_code == 204
    assert web.get("/v1/jobs/mine-1").status_code == 404


@pytest.mark.parametrize("number", [2**31, 2**53, 2**63, 10**40])
def test_a_page_of_results_may_begin_anywhere_and_be_of_any_length(
    web: httpx.Client, number: int
) -> None:
    web.put("/v1/jobs/short-1", json=of_texts("a fine film", "dreadful"))
    web.get("/v1/jobs/short-1/results", params={"wait": True})

    behind = web.get("/v1/jobs/short-1/results", params={"offset": number})
    whole = web.get("/v1/jobs/short-1/results", params={"limit": number})

    assert (behind.status_code, behind.text) == (200, "")
    assert len(whole.text.splitlines()) == 2


def test_another_request_under_an_identifier_that_is_taken_is_refused(web: httpx.Client) -> None:
    web.put("/v1/jobs/mine-2", json=of_texts("a fine film"))

    reply = web.put("/v1/jobs/mine-2", json=of_texts("another"))

    assert (reply.status_code, reply.json()["code"]) == (409, "id_in_use")
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"kind": "classfy"}, "kind"),
        (of_texts("x") | {"priorty": "bulk"}, "priorty"),
        (of_texts("x") | {"source": {"type": "upload"}}, "allowed: inline"),
    ],
)
def test_a_job_that_cannot_be_one_or_reaches_beyond_its_request_is_refused(
    web: httpx.Client, job: dict[str, object], message: str
) -> None:
    reply = web.put("/v1/jobs/mine-3", json=job)

    assert (reply.status_code, web.get("/v1/jobs/mine-3").status_code) == (400, 404)
    assert message in reply.json()["detail"]


def test_a_job_reads_a_file_that_was_uploaded(web: httpx.Client) -> None:
    rows = b'{"id": "a", "review": "a fine film"}\n{"id": "b", "review": "dreadful"}\n'
    sent = web.post("/v1/files", files={"file": rows}, data={"purpose": "fine-tune"}).json()["id"]
    source = {"type": "file", "path": sent, "text_field": "review"}

    first, again = (
        web.put("/v1/jobs/filed-1", json=of_texts() | {"source": source}) for _ in range(2)
    )

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["job"]["source"]["path"] == sent
    lines = web.get("/v1/jobs/filed-1/results", params={"wait": True}).text.splitlines()
    labels = {one["custom_id"]: one["output"]["label"] for one in map(json.loads, lines)}
    assert labels == {"a": "positive", "b": "negative"}


@pytest.mark.parametrize("path", ["/etc/passwd", "file-none", "../files/file-none", "s3://all/x"])
@pytest.mark.parametrize("field", ["source", "held_out"])
def test_a_job_can_name_no_path_of_the_machine(web: httpx.Client, field: str, path: str) -> None:
    named = {
        "source": {"type": "named", "name": "keras:imdb"},
        field: {"type": "file", "path": path},
    }

    reply = web.put("/v1/jobs/mine-7", json={"kind": "train", "model": "imdb_lstm", **named})

    assert (reply.status_code, reply.json()["code"]) == (404, "unknown_file")
    assert web.get("/v1/jobs/mine-7").status_code == 404


def test_a_jobs_failed_items_are_retried_as_a_job_that_continues_it(web: httpx.Client) -> None:
    web.put("/v1/jobs/mine-4", json=of_texts("a fine film", "raise"))
    web.get("/v1/jobs/mine-4/results", params={"wait": True})

    retried = web.post("/v1/jobs/mine-4/retry").json()

    assert retried["job"]["continues"] == "mine-4"
    web.get(f"/v1/jobs/{retried['job_id']}/results", params={"wait": True})


def test_a_job_is_paused_resumed_and_cancelled(
    services: RunningServices, web: httpx.Client
) -> None:
    with services.hold():
        web.put("/v1/jobs/mine-5", json=of_texts("a fine film"))
        states = [web.post(f"/v1/jobs/mine-5/{act}").json()["state"] for act in ("pause", "resume")]
        states.append(web.post("/v1/jobs/mine-5/cancel").json()["state"])

    assert (states[0], states[2]) == ("paused", "cancelled")
    assert states[1] in ("queued", "running")


def test_a_jobs_events_are_read_to_its_end_and_behind_any_of_them(web: httpx.Client) -> None:
    web.put("/v1/jobs/mine-6", json=of_texts("a fine film", "dreadful"))

    with web.stream("GET", "/v1/jobs/mine-6/events") as reply:
        events = list(events_in(reply.iter_lines()))

    names, ids, bodies = zip(*events, strict=True)
    assert (names[0], names[-1]) == ("queued", "completed")
    assert bodies[-1]["counts"]["succeeded"] == 2
    later = web.get("/v1/jobs/mine-6/events", headers={"last-event-id": ids[0]})
    assert [one[1] for one in events_in(iter(later.text.split("\n")))] == list(ids[1:])
    # An EventSource that had them all connects again, and must not for ever.
    ended = web.get("/v1/jobs/mine-6/events", headers={"last-event-id": ids[-1]})
    assert (ended.status_code, ended.content) == (204, b"")
    chosen = web.get("/v1/jobs/mine-6/events", params={"events": "completed,failed"})
    assert [one[0] for one in events_in(iter(chosen.text.split("\n")))] == ["completed"]


def test_changes_of_all_jobs_are_followed_from_now_on(web: httpx.Client, gateway: str) -> None:
    seen, connected = list[tuple[str, object]](), Event()

    def follow() -> None:
        with httpx.stream("GET", f"{gateway}/v1/events", timeout=60) as reply:
            connected.set()
            for name, _, data in events_in(reply.iter_lines()):
                seen.append((name, data["job_id"]))
                if (name, data["job_id"]) == ("completed", "mine-8"):
                    return

    web.put("/v1/jobs/mine-7", json=of_texts("before"))
    web.get("/v1/jobs/mine-7/results", params={"wait": True})
    reader = Thread(target=follow)
    reader.start()
    connected.wait()
    web.put("/v1/jobs/mine-8", json=of_texts("after"))
    reader.join(60)

    assert seen[0] == ("queued", "mine-8")
    assert seen[-1] == ("completed", "mine-8")
