"""Keys over HTTP: who is served, whose jobs they see, and what is told of their requests."""

import json
import logging
from collections.abc import Callable

import httpx
import openai as stock
import pytest
from openai import OpenAI

from cli_builders import Ended
from seqd.client import Client
from seqd.gateway.app import gateway_app
from seqd.testing import RunningServices
from seqd_schemas import JobState
from service_guide import serving
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

Send = Callable[..., httpx.Response]

JOB = {
    "kind": "classify",
    "model": "imdb_lstm",
    "source": {"type": "inline", "items": [{"custom_id": "r0", "text": "a fine film"}]},
}

#: Where no job is under the prefix, and no key.
ELSEWHERE = "no-keys"


@pytest.fixture
def holder(web: httpx.Client, new_key: Callable[..., tuple[str, str]]) -> Callable[..., Send]:
    """What makes a key, and gives what sends requests with it."""

    def made(tenant: str, role: str, *more: str) -> Send:
        secret, _ = new_key(tenant, role, *more)
        bearer = {"authorization": f"Bearer {secret}"}
        return lambda method, path, **body: web.request(method, path, headers=bearer, **body)

    return made


def told(reply: httpx.Response) -> tuple[int, str]:
    body = reply.json()
    return reply.status_code, body.get("error", body)["code"]


#: What requests bear that come from elsewhere, though by loopback.
FROM_ELSEWHERE = [
    {"x-forwarded-for": "203.0.113.7"},
    {"forwarded": "for=203.0.113.7"},
    {"host": "rebound.example:8080"},
    {"host": "[::1"},
    {"sec-fetch-site": "cross-site"},
]


def test_without_keys_programs_of_this_machine_are_served_and_nobody_else(
    services: RunningServices,
) -> None:
    settings = services.settings.model_copy(update={"prefix": ELSEWHERE})
    with serving(gateway_app(settings)) as address, httpx.Client(base_url=address) as web:
        for served in ({}, {"host": "localhost:1"}, {"authorization": "Bearer any"}):
            assert web.get("/v1/jobs", headers=served).status_code == 200, served
        for headers in FROM_ELSEWHERE:
            refused = web.get("/v1/jobs", headers=headers)
            assert told(refused) == (403, "not_allowed"), headers
            assert "seqd keys new --tenant NAME" in refused.text

    behind = settings.model_copy(update={"gateway_proxies": ("127.0.0.1",)})
    with serving(gateway_app(behind)) as address:
        assert told(httpx.get(f"{address}/v1/jobs")) == (403, "not_allowed")


def test_a_gateway_for_others_does_not_start_without_a_key(
    seqd: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQD_PREFIX", ELSEWHERE)

    for words in (("--host", "0.0.0.0"), ("--proxy-headers", "127.0.0.1")):
        ended = seqd("gateway", "--port", "0", *words)
        assert ended.status == 2
        assert (
            "There is no key, and without one the gateway serves programs of its own" in ended.err
        )
        assert "Make a key first: seqd keys new --tenant NAME --role submit" in ended.err
    wrong = seqd("gateway", "--proxy-headers", "10.0.0.1,proxy")
    assert "'proxy' is no address; allowed: addresses and networks" in wrong.err


@pytest.mark.parametrize("given", [None, "", "Bearer", "Basic abc", "Bearer seqd-00", "seqd-00"])
def test_a_request_without_a_key_that_there_is_gets_401_and_its_body_is_not_read(
    web: httpx.Client, new_key: Callable[..., tuple[str, str]], given: str | None
) -> None:
    new_key("acme", "read")
    headers = {"content-type": "application/json"}
    headers |= {} if given is None else {"authorization": given}

    refused = web.put("/v1/jobs/none", content=b"{broken", headers=headers)

    assert told(refused) == (401, "invalid_api_key")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["x-should-retry"] == "false"
    assert refused.headers["x-request-id"].startswith("req_")


def is_refused(gateway: str, secret: str) -> bool:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.get(f"{gateway}/v1/models", headers=headers).status_code == 401


def test_a_key_that_is_revoked_is_told_from_one_that_holds(
    gateway: str, seqd: Callable[..., Ended], new_key: Callable[..., tuple[str, str]]
) -> None:
    secret, key_id = new_key("acme", "read")
    with OpenAI(base_url=f"{gateway}/v1", api_key=secret, max_retries=0) as openai:
        assert openai.models.list().data

        seqd("keys", "revoke", key_id)

        wait_until(lambda: is_refused(gateway, secret), "the gateway has forgotten the key")
        with pytest.raises(stock.AuthenticationError) as refused:
            openai.models.list()
    assert refused.value.code == "invalid_api_key"
    assert "There is no such key, or no more." in str(refused.value)


#: The least role that may do it.
ROUTES = [
    ("read", "GET", "/v1/jobs/mine-1"),
    ("submit", "PUT", "/v1/jobs/mine-1"),
    ("submit", "POST", "/v1/jobs/mine-1/cancel"),
    ("operate", "POST", "/v1/jobs/mine-1/pause"),
]
ROLES = ["read", "submit", "operate", "admin"]


def test_a_role_may_do_what_it_says_and_what_those_before_it_may(
    holder: Callable[..., Send],
) -> None:
    send = {role: holder("acme", role) for role in ROLES}
    send["submit"]("PUT", "/v1/jobs/mine-1", json=JOB)
    send["read"]("GET", "/v1/jobs/mine-1/results", params={"wait": True})

    for least, method, path in ROUTES:
        body = {"json": JOB} if method == "PUT" else {}
        for role in ROLES:
            reply = send[role](method, path, **body)
            may = ROLES.index(role) >= ROLES.index(least)
            assert reply.status_code == (200 if may else 403), (role, method, path, reply.text)
            if not may:
                allowed = ", ".join(ROLES[ROLES.index(least) :])
                assert f"has the role {role}; allowed here: {allowed}." in reply.text


def test_what_another_tenant_has_does_not_exist_and_an_admin_sees_all(
    holder: Callable[..., Send],
) -> None:
    ours, theirs, admin = (
        holder("acme", "operate"),
        holder("other", "operate"),
        holder("x", "admin"),
    )
    ours("PUT", "/v1/jobs/ours-1", json=JOB)

    asked = [
        ("GET", ""), ("GET", "/results"), ("GET", "/events"), ("POST", "/cancel"),
        ("POST", "/pause"), ("POST", "/resume"), ("POST", "/retry"), ("DELETE", ""),
    ]  # fmt: skip
    for method, path in asked:
        of_ours = theirs(method, f"/v1/jobs/ours-1{path}")
        of_nobody = theirs(method, f"/v1/jobs/none-1{path}")
        assert told(of_ours) == told(of_nobody) == (404, "unknown_job"), (method, path)
        assert of_ours.text == of_nobody.text.replace("none-1", "ours-1")

    for job in (JOB, training_of("their_topics") | {"plugin": "imdb_lstm"}):
        replies = [
            theirs("PUT", "/v1/jobs/goes-on-1", json=job | {"continues": name})
            for name in ("ours-1", "none-1")
        ]
        assert [told(reply) for reply in replies] == [(404, "unknown_job")] * 2, job
        assert replies[0].text == replies[1].text.replace("none-1", "ours-1")
    assert "continued_by" not in ours("GET", "/v1/jobs/ours-1").json()

    def listed(send: Send) -> set[str]:
        return {job["job_id"] for job in send("GET", "/v1/jobs").json()["data"]}

    assert "ours-1" in listed(ours) & listed(admin)
    assert "ours-1" not in listed(theirs)
    assert ours("GET", "/v1/jobs/ours-1").json()["job"]["tenant"] == "acme"
    named = theirs("PUT", "/v1/jobs/theirs-1", json=JOB | {"tenant": "acme"})
    assert told(named) == (403, "not_allowed")
    taken = theirs("PUT", "/v1/jobs/ours-1", json=JOB)
    assert taken.status_code == 409, "the name is taken, which is all that is told"
    assert "acme" not in taken.text


def training_of(model: str) -> dict[str, object]:
    return {"kind": "train", "model": model, "source": {"type": "named", "name": "my:own"}}


def test_a_model_is_the_tenants_whose_training_made_it_and_what_is_nobodys_is_only_used(
    services: RunningServices, holder: Callable[..., Send]
) -> None:
    ours, theirs = holder("acme", "operate"), holder("other", "operate")
    admin = holder("operators", "admin")

    data = [{"text": text, "label": text} for text in ("positive", "negative")]
    with Client(settings=services.settings) as client:
        job = client.train(data, model="topics", plugin="imdb_lstm", tenant="acme")
        assert job.wait(timeout_s=120).state is JobState.COMPLETED

    def listed(send: Send) -> dict[str, str]:
        found = send("GET", "/v1/models").json()["data"]
        return {model["id"]: model["owned_by"] for model in found}

    assert listed(ours)["topics"] == listed(admin)["topics"] == "acme"
    assert listed(theirs).keys() == {"imdb_lstm", "char_lstm"}
    for send in (ours, admin):
        reply = send("POST", "/v1/classify", json={"input": "fine", "model": "topics"})
        assert reply.json()["data"][0]["label"] == "positive"
    first = {"json": {"version": 1}}
    own, by_submitter = (
        send("POST", "/v1/models/topics/promote", **first)
        for send in (ours, holder("acme", "submit"))
    )
    shared = ours("POST", "/v1/models/imdb_lstm/promote", **first)
    assert told(own) == (409, "wrong_state")
    assert told(by_submitter) == told(shared) == (403, "not_allowed")
    line = {"custom_id": "a", "text": "fine"}
    given = {"files": {"file": json.dumps(line)}, "data": {"purpose": "batch"}}
    file_id = theirs("POST", "/v1/files", **given).json()["id"]
    batch = {"input_file_id": file_id, "endpoint": "/v1/classify"}
    for method, path, body in (
        ("GET", "/v1/models/{}", None),
        ("POST", "/v1/models/{}/promote", {"version": 1}),
        ("POST", "/v1/classify", {"input": "fine", "model": "{}"}),
        ("POST", "/v1/completions", {"prompt": "fine", "model": "{}@1"}),
        ("PUT", "/v1/jobs/use-1", JOB | {"model": "{}"}),
        ("POST", "/v1/batches", batch | {"model": "{}"}),
    ):
        replies = [
            theirs(method, path.format(name), json=json.loads(json.dumps(body).replace("{}", name)))
            for name in ("topics", "nobody")
        ]
        assert [told(reply) for reply in replies] == [(404, "unknown_model")] * 2, path
        of_ours, of_nobodys = (reply.text for reply in replies)
        assert of_ours == of_nobodys.replace("nobody", "topics"), path
    taken = theirs("PUT", "/v1/jobs/train-1", json=training_of("topics"))
    shared = theirs("PUT", "/v1/jobs/train-1", json=training_of("imdb_lstm"))
    assert told(taken) == (400, "model_name_taken")
    assert told(shared) == (403, "not_allowed")
    for send in (ours, admin):
        checked = send("PUT", "/v1/jobs/train-1", json=training_of("topics"))
        assert "knows no data set" in checked.text, "whose model it is was no reason"


def test_a_key_beyond_its_rate_gets_429_with_when_to_come_again(
    gateway: str, holder: Callable[..., Send], new_key: Callable[..., tuple[str, str]]
) -> None:
    send = holder("acme", "read", "--rate", "2")

    replies = [send("GET", "/v1/jobs") for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    said = [reply.headers["x-ratelimit-remaining-requests"] for reply in replies]
    assert said == ["1", "0", "0"]
    headers = replies[2].headers
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert 0 < int(headers["retry-after-ms"]) <= 30_000
    assert 0 < int(headers["retry-after"]) <= 30
    assert 30_000 < int(headers["x-ratelimit-reset-requests"].removesuffix("ms")) <= 60_000
    assert (headers["x-should-retry"], told(replies[2])) == ("true", (429, "rate_limit_exceeded"))
    secret, _ = new_key("acme", "read", "--rate", "1")
    with OpenAI(base_url=f"{gateway}/v1", api_key=secret, max_retries=0) as openai:
        openai.models.list()
        with pytest.raises(stock.RateLimitError):
            openai.models.list()


def test_what_was_changed_for_a_key_is_in_the_audit_and_its_secret_is_nowhere(
    services: RunningServices,
    web: httpx.Client,
    seqd: Callable[..., Ended],
    new_key: Callable[..., tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secret, key_id = new_key("acme", "operate")
    headers = {"authorization": f"Bearer {secret}", "x-request-id": "order-17"}

    with services.hold():
        web.put("/v1/jobs/told-1", json=JOB, headers=headers)
        web.put("/v1/jobs/told-2", json={**JOB, "priority": "interactive"}, headers=headers)
        for act in ("pause", "cancel"):
            web.post(f"/v1/jobs/told-1/{act}", headers=headers)
    web.post("/v1/classify", json={"input": 7}, headers=headers)

    acts = json.loads(seqd("audit", "--who", key_id, "--json").out)
    assert {(act["action"], act["target"]) for act in acts} == {
        ("jobs.new", "told-1"), ("jobs.pause", "told-1"), ("jobs.cancel", "told-1"),
    }  # fmt: skip
    assert acts[0]["details"] == {"key": key_id, "tenant": "acme", "request": "order-17"}
    shown = seqd("audit").out
    assert f"key={key_id} tenant=acme request=order-17" in " ".join(shown.split())
    assert secret not in caplog.text + shown + seqd("keys", "list", "--json").out


def test_what_a_key_has_handed_in_is_in_the_audit(
    web: httpx.Client, seqd: Callable[..., Ended], new_key: Callable[..., tuple[str, str]]
) -> None:
    secret, key_id = new_key("acme", "submit")
    headers = {"authorization": f"Bearer {secret}"}
    form = {"files": {"file": b'{"text": "a fine film"}\n'}, "data": {"purpose": "batch"}}

    file = web.post("/v1/files", headers=headers, **form).json()["id"]
    asked = {"input_file_id": file, "endpoint": "/v1/classify", "model": "imdb_lstm"}
    batch = web.post("/v1/batches", json=asked, headers=headers).json()["id"]
    again = {**headers, "idempotency-key": "once"}
    first, same = (web.post("/v1/batches", json=asked, headers=again).json()["id"] for _ in "12")
    web.post("/v1/classify", json={"input": "a fine film", "model": "imdb_lstm"}, headers=headers)
    web.delete(f"/v1/files/{file}", headers=headers)

    acts = json.loads(seqd("audit", "--who", key_id, "--json").out)
    jobs = [name.removeprefix("batch_") for name in (batch, first, same)]
    assert [(act["action"], act["target"]) for act in reversed(acts)] == [
        ("files.new", file), *(("jobs.new", job) for job in jobs), ("files.remove", file),
    ]  # fmt: skip
    assert {act["details"].get("model") for act in acts} == {"imdb_lstm", None}


def test_a_tenant_sees_its_own_files_and_batches_alone(holder: Callable[..., Send]) -> None:
    own, other, admin = (
        holder(name, role)
        for name, role in (("shop", "submit"), ("rival", "submit"), ("ops", "admin"))
    )
    form = {"files": {"file": b'{"text": "a fine film"}\n'}, "data": {"purpose": "batch"}}
    file = own("POST", "/v1/files", **form).json()["id"]
    asked = {"input_file_id": file, "endpoint": "/v1/classify"}
    batch = own("POST", "/v1/batches", json=asked).json()["id"]

    there = [("GET", f"/v1/files/{file}"), ("GET", f"/v1/files/{file}/content")]
    there += [("GET", f"/v1/batches/{batch}"), ("POST", f"/v1/batches/{batch}/cancel")]
    there += [("GET", f"/v1/files/{batch.replace('batch_', 'file-')}-output/content")]
    for method, path in [*there, ("DELETE", f"/v1/files/{file}")]:
        assert other(method, path).status_code == 404
    assert told(other("POST", "/v1/batches", json=asked)) == (404, "unknown_file")
    reading = {**JOB, "source": {"type": "file", "path": file}}
    assert told(other("PUT", "/v1/jobs/rivals", json=reading)) == (404, "unknown_file")
    for path in ("/v1/files", "/v1/batches"):
        assert other("GET", path).json()["data"] == []
        assert [one["id"] for one in own("GET", path).json()["data"]] == [
            {"/v1/files": file, "/v1/batches": batch}[path]
        ]
    assert [admin(method, path).status_code for method, path in there] == [200] * 5
