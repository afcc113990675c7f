"""Webhooks: what a receiver is told, in which order, again and again; and whom nobody is told."""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from openai import OpenAI

from builders import a_classify_job, a_train_job
from cli_builders import here
from clock_fixtures import ClockServer
from gateway.webhook_receiver import HANG, REDIRECT, Receiver, a_receiver
from ledger_fixtures import TRAIN, Environment, open_environment
from seqd.errors import InvalidRequest, QuotaExceeded, UnknownWebhook
from seqd.gateway.app import gateway_app
from seqd.ledger import connect
from seqd.settings import Settings
from seqd.testing import RunningServices
from seqd_schemas import MAX_TENANT_WEBHOOKS, WEBHOOK_EVENTS, Priority
from service_guide import serving
from tls_fixtures import a_server_context
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: Seconds for which a gateway holds what it sends, and after which it sends again what was refused.
LEASE_S = 30.0
RETRY_AFTER_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 28_800.0, 28_800.0)


@contextmanager
def a_gateway(settings: Settings, *, may_be_private: bool = True) -> Iterator[str]:
    """Serve a gateway, which gives its address; at the end of the block it is gone at once."""
    changes = {"gateway_private_webhooks": may_be_private}
    with serving(gateway_app(settings.model_copy(update=changes))) as address:
        yield address


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def clocked(clock_server: ClockServer, tmp_path: Path) -> Iterator[Environment]:
    """A ledger on a server whose clock the test steps."""
    with connect(clock_server.url) as redis:
        yield open_environment(redis, Settings(redis_url=clock_server.url, data_dir=tmp_path))


def a_cancelled_job(environment: Environment, **changes: object) -> str:
    job_id = environment.submit(a_classify_job(**changes))
    environment.ledger.control.cancel(job_id)
    return job_id


def add(environment: Environment, url: str, **changes: Any) -> str:
    return environment.ledger.webhooks.add("default", url, **changes).webhook_id


def taken(environment: Environment) -> list[tuple[str, str]]:
    """Take all that is due, as a receiver would; returns each job with the type of its event."""
    found = []
    while claimed := environment.ledger.webhooks.claim(100):
        for delivery in claimed:
            found.append((delivery.job_id, json.loads(delivery.message)["type"]))
            environment.ledger.webhooks.settle(delivery, "")
    return found


def only(environment: Environment) -> Any:
    """Return how the only webhook stands."""
    (status,) = environment.ledger.webhooks.all()
    return status


def claimed_one(environment: Environment) -> Any:
    (delivery,) = environment.ledger.webhooks.claim(100)
    return delivery


@pytest.fixture(scope="module")
def gateway(services: RunningServices) -> Iterator[str]:
    with a_gateway(services.settings) as address:
        yield address


def test_a_receiver_is_told_what_openais_client_reads_and_verifies(
    web: httpx.Client, openai: OpenAI, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = openai.webhooks.create(name="orders", url=receiver.url, event_types=["batch.completed"])
    job = {
        "kind": "classify",
        "model": "imdb_lstm",
        "metadata": {"order": "7"},
        "source": {"type": "inline", "items": [{"custom_id": "a", "text": "a fine film"}]},
    }

    web.put("/v1/jobs/told-1", json=job).raise_for_status()
    message = receiver.next()

    event = openai.webhooks.unwrap(message.body, message.headers, secret=made.signing_secret)
    assert (event.type, event.data.id) == ("batch.completed", "batch_told-1")
    data = message.told["data"]
    assert (data["job_id"], data["kind"], data["model"]) == ("told-1", "classify", "imdb_lstm")
    assert data["metadata"] == {"order": "7"}
    assert (data["event"]["event"], data["event"]["counts"]["succeeded"]) == ("completed", 1)
    at = datetime.fromtimestamp(data["event"]["at_ms"] / 1000, UTC)
    assert message.told["timestamp"] == at.isoformat().replace("+00:00", "Z")
    wait_until(lambda: status(web, made.id)["delivered"] == 1, "it is settled")
    openai.webhooks.delete(made.id)
    assert receiver.messages.empty()
    assert receiver.url not in caplog.text  # whose path may be a secret


def status(web: httpx.Client, webhook_id: str) -> Any:
    return web.get(f"/v1/webhook_endpoints/{webhook_id}").json()


def test_the_routes_list_replay_and_remove_endpoints_and_show_a_secret_once(
    web: httpx.Client, openai: OpenAI
) -> None:
    made = openai.webhooks.create(name="x", url="https://a.test/", event_types=["batch.failed"])

    (listed,) = openai.webhooks.list().data
    replayed = web.post(f"/v1/webhook_endpoints/{made.id}/replay").json()
    removed = openai.webhooks.delete(made.id)

    assert (listed.id, listed.url, listed.event_types) == (made.id, made.url, ["batch.failed"])
    assert made.signing_secret.startswith("whsec_")
    assert made.signing_secret not in repr(listed)
    assert replayed == {"id": made.id, "jobs": 0}
    assert removed.deleted and openai.webhooks.list().data == []
    assert web.get(f"/v1/webhook_endpoints/{made.id}").status_code == 404


def test_a_webhook_is_told_of_the_events_and_jobs_that_it_names_and_no_others(
    environment: Environment,
) -> None:
    url = "https://a.test/"
    every = add(environment, url, event_types=WEBHOOK_EVENTS)
    ends = add(environment, url)
    noted = add(environment, url, metadata={"webhook": "orders"})
    environment.ledger.webhooks.add("others", url)

    plain = environment.submit_units(1)
    environment.ledger.control.pause(plain)
    environment.ledger.control.resume(plain)
    environment.commit(environment.claim_unit())
    with_note = a_cancelled_job(environment, metadata={"webhook": "orders", "more": "x"})
    a_cancelled_job(environment, priority=Priority.INTERACTIVE)
    waited_for = a_cancelled_job(
        environment, priority=Priority.INTERACTIVE, metadata={"webhook": "orders"}
    )
    training = environment.submit(a_train_job(), version=None)
    environment.complete_training(environment.claim_unit(routes=(TRAIN,)))

    found = dict[str, list[tuple[str, str]]]()
    while claimed := environment.ledger.webhooks.claim(100):
        for delivery in claimed:
            told = delivery.job_id, json.loads(delivery.message)["type"]
            found.setdefault(delivery.webhook.webhook_id, []).append(told)
            environment.ledger.webhooks.settle(delivery, "")
    states = ["queued", "paused", "resumed", "started", "completed"]
    assert [name for job, name in found[every] if job == plain] == [f"batch.{s}" for s in states]
    assert sorted(found[ends]) == sorted(
        [
            (plain, "batch.completed"),
            (with_note, "batch.cancelled"),
            (training, "fine_tuning.job.succeeded"),
        ]
    )
    assert sorted(found[noted]) == sorted(
        [(with_note, "batch.cancelled"), (waited_for, "batch.cancelled")]
    )
    assert found.keys() == {every, ends, noted}


def test_what_no_receiver_can_be_is_refused(environment: Environment) -> None:
    webhooks = environment.ledger.webhooks

    for url in ("ftp://a.test/", "https:///x", "https://a.test/ x", "https://a.test:port/"):
        with pytest.raises(InvalidRequest, match="allowed: https://HOST/PATH"):
            webhooks.add("default", url)
    with pytest.raises(InvalidRequest, match="a password or a fragment") as refused:
        webhooks.add("default", "https://me:hidden@a.test/")
    assert "hidden" not in str(refused.value)
    with pytest.raises(InvalidRequest, match=r"Did you mean 'batch\.completed'"):
        webhooks.add("default", "https://a.test/", event_types=["batch.complete"])
    for _ in range(MAX_TENANT_WEBHOOKS):
        webhooks.add("default", "https://a.test/")
    with pytest.raises(QuotaExceeded):
        webhooks.add("default", "https://a.test/")


def test_another_tenants_webhook_is_not_there(environment: Environment) -> None:
    webhook = add(environment, "https://a.test/")
    webhooks = environment.ledger.webhooks

    for act in (webhooks.show, webhooks.remove, webhooks.replay):
        with pytest.raises(UnknownWebhook):
            act(webhook, "others")

    assert webhooks.all("others") == []
    assert webhooks.show(webhook, "default").webhook_id == webhook


def test_what_was_refused_is_sent_again_and_a_jobs_messages_stay_in_order(
    clocked: Environment, clock_server: ClockServer, receiver: Receiver
) -> None:
    add(clocked, receiver.url, event_types=WEBHOOK_EVENTS)
    receiver.will(500)

    with a_gateway(clocked.settings):
        job_id = a_cancelled_job(clocked)
        first = receiver.next()
        wait_until(lambda: only(clocked).error, "it is settled")
        stood, others = only(clocked), receiver.messages.empty()
        clock_server.step(RETRY_AFTER_S[0])
        again, last = receiver.next(), receiver.next()
        wait_until(lambda: only(clocked).delivered == 2, "both are settled")

    assert (stood.error, stood.waiting, others) == ("The answer was 500.", 1, True)
    assert [one.told["type"] for one in (first, again, last)] == [
        "batch.queued", "batch.queued", "batch.cancelled",
    ]  # fmt: skip
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert last.told["data"]["job_id"] == job_id
    assert (only(clocked).error, only(clocked).waiting) == ("", 0)


def test_a_receiver_that_hangs_holds_up_no_other(
    environment: Environment, receiver: Receiver
) -> None:
    receiver.will(HANG)
    with a_receiver() as other, a_gateway(environment.settings):
        add(environment, receiver.url)
        a_cancelled_job(environment)
        receiver.next()
        add(environment, other.url)

        told = [a_cancelled_job(environment) for _ in range(3)]

        assert {other.next().told["data"]["job_id"] for _ in told} == set(told)


def test_all_that_is_due_is_sent_without_a_pause_between(
    environment: Environment, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway looks at what is due by itself once in an hour here."""
    monkeypatch.setattr("seqd.gateway.receivers._LOOK_S", 3_600.0)
    add(environment, receiver.url)
    told = {a_cancelled_job(environment) for _ in range(100)}

    with a_gateway(environment.settings):
        found = {receiver.next().told["data"]["job_id"] for _ in told}

    assert found == told


def test_what_a_gateway_sends_as_it_dies_another_one_sends_again(
    clocked: Environment, clock_server: ClockServer, receiver: Receiver
) -> None:
    add(clocked, receiver.url)
    receiver.will(HANG)
    job_id = a_cancelled_job(clocked)

    with a_gateway(clocked.settings):
        first = receiver.next()
    clock_server.step(LEASE_S)
    with a_gateway(clocked.settings):
        again = receiver.next()
        wait_until(lambda: only(clocked).delivered == 1, "it is settled")

    assert first.told == again.told
    assert again.told["data"]["job_id"] == job_id
    assert only(clocked).waiting == 0


def test_what_is_sent_late_settles_nothing_that_another_gateway_holds(
    clocked: Environment, clock_server: ClockServer
) -> None:
    add(clocked, "https://a.test/")
    a_cancelled_job(clocked)
    late = claimed_one(clocked)
    clock_server.step(LEASE_S)
    held = claimed_one(clocked)

    clocked.ledger.webhooks.settle(late, "")
    stood = only(clocked)
    clocked.ledger.webhooks.settle(held, "")

    assert (stood.waiting, stood.delivered) == (1, 0)
    assert (only(clocked).waiting, only(clocked).delivered) == (0, 1)


def test_a_message_is_given_up_after_a_day_and_goes_with_the_next_or_a_replay(
    clocked: Environment, clock_server: ClockServer
) -> None:
    webhook = add(clocked, "https://a.test/", event_types=WEBHOOK_EVENTS)
    webhooks = clocked.ledger.webhooks

    def fail_for_a_day() -> list[float]:
        delays = []
        while (after_s := webhooks.settle(claimed_one(clocked), "no")) is not None:
            assert webhooks.claim(100) == []
            assert (only(clocked).next_at_ms or 0) > clocked.ledger.fleet.now_ms()
            delays.append(after_s)
            clock_server.step(after_s)
        return delays

    job_id = clocked.submit()
    delays = fail_for_a_day()
    failed = only(clocked)
    clocked.ledger.control.cancel(job_id)
    fail_for_a_day()
    replayed = webhooks.replay(webhook), webhooks.replay(webhook)

    assert tuple(delays) == RETRY_AFTER_S and sum(delays) == pytest.approx(86_400, rel=0.02)
    assert (failed.waiting, failed.failed, failed.error, failed.next_at_ms) == (0, 1, "no", None)
    assert replayed == (1, 0)
    assert taken(clocked) == [(job_id, "batch.queued"), (job_id, "batch.cancelled")]
    assert (only(clocked).failed, only(clocked).error) == (0, "")


def test_what_failed_is_forgotten_after_a_week(
    clocked: Environment, clock_server: ClockServer
) -> None:
    add(clocked, "https://a.test/")
    a_cancelled_job(clocked)
    while (after_s := clocked.ledger.webhooks.settle(claimed_one(clocked), "no")) is not None:
        clock_server.step(after_s)
    before = only(clocked)

    clock_server.step(7 * 86_400)

    assert clocked.ledger.webhooks.claim(100) == []
    assert (before.failed, only(clocked).failed) == (1, 0)
    assert not clocked.redis.exists(clocked.keys.webhook_messages(before.webhook_id))
    assert not clocked.redis.exists(clocked.keys.webhooks_due())


def test_an_endpoint_with_much_that_is_overdue_comes_behind_one_with_little(
    clocked: Environment, clock_server: ClockServer
) -> None:
    behind = add(clocked, "https://behind.test/")
    for _ in range(3):
        a_cancelled_job(clocked)
    clock_server.step(1.0)
    prompt = add(clocked, "https://prompt.test/")
    a_cancelled_job(clocked)
    clock_server.step(1.0)

    turns = list[str]()
    for _ in range(2):
        (delivery,) = clocked.ledger.webhooks.claim(1)
        turns.append(delivery.webhook.webhook_id)
        clocked.ledger.webhooks.settle(delivery, "There was no answer.")

    assert turns == [behind, prompt]


def test_an_endpoint_that_failed_is_asked_for_one_message_at_a_time(
    environment: Environment,
) -> None:
    add(environment, "https://a.test/")
    for _ in range(5):
        a_cancelled_job(environment)
    webhooks = environment.ledger.webhooks

    first, *others = webhooks.claim(100)
    busy = webhooks.claim(100, [first.webhook.webhook_id])
    webhooks.settle(first, "no")
    a_cancelled_job(environment)
    a_cancelled_job(environment)
    probe = webhooks.claim(100)
    webhooks.settle(probe[0], "")

    assert (len(others), busy, len(probe), len(webhooks.claim(100))) == (4, [], 1, 1)


def test_what_an_endpoint_cannot_hold_any_more_is_dropped_and_counted(
    environment: Environment,
) -> None:
    webhook = add(environment, "https://a.test/", event_types=WEBHOOK_EVENTS)
    job_id = environment.submit()
    messages = environment.keys.webhook_messages(webhook)
    others = {f"j{number}": "0\n{}" for number in range(99_999)}
    environment.redis.hset(messages, mapping=others)

    a_cancelled_job(environment)
    environment.ledger.control.cancel(job_id)

    assert only(environment).dropped == 2
    assert taken(environment) == [(job_id, "batch.queued"), (job_id, "batch.cancelled")]


def test_a_removed_webhook_leaves_nothing_behind(environment: Environment) -> None:
    webhook = add(environment, "https://a.test/")
    a_cancelled_job(environment)
    (held,) = environment.ledger.webhooks.claim(100)

    environment.ledger.webhooks.remove(webhook)
    environment.ledger.webhooks.settle(held, "no")
    a_cancelled_job(environment)

    assert environment.ledger.webhooks.claim(100) == []
    names = {key.decode() for key in environment.redis.keys(f"{environment.keys.prefix}:*")}
    assert not [name for name in names if "webhook" in name]


def test_a_full_redis_still_has_messages_delivered(environment: Environment) -> None:
    add(environment, "https://a.test/", event_types=WEBHOOK_EVENTS)
    job_id = environment.submit()

    with environment.full_redis():
        environment.ledger.control.cancel(job_id)
        found = taken(environment)

    assert found == [(job_id, "batch.queued"), (job_id, "batch.cancelled")]


def test_a_redirect_is_not_followed(environment: Environment, receiver: Receiver) -> None:
    add(environment, receiver.url)
    receiver.will(REDIRECT)
    a_cancelled_job(environment)

    with a_gateway(environment.settings):
        receiver.next()
        wait_until(lambda: only(environment).error, "it is settled")

    assert only(environment).error == "The answer was 302, and redirects are not followed."
    assert receiver.messages.empty()


def errors(environment: Environment) -> dict[str, str]:
    """Return what went wrong by the names of webhooks."""
    return {one.name: one.error for one in environment.ledger.webhooks.all() if one.error}


def test_a_private_receiver_is_asked_nothing_unless_allowed(
    environment: Environment, receiver: Receiver
) -> None:
    add(environment, receiver.url.replace("http:", "https:"), name="private")
    add(environment, receiver.url, name="plain")
    a_cancelled_job(environment)

    with a_gateway(environment.settings, may_be_private=False):
        wait_until(lambda: len(errors(environment)) == 2, "both are settled")

    assert errors(environment) == {
        "private": "127.0.0.1 stands for 127.0.0.1, which is no address of the public internet. "
        "An operator may allow such: SEQD_GATEWAY_PRIVATE_WEBHOOKS.",
        "plain": "The URL is http; a receiver outside has to have https.",
    }
    assert receiver.messages.empty()


def test_a_receiver_that_is_never_asked_is_refused_as_it_is_named(
    environment: Environment,
) -> None:
    told = []
    with a_gateway(environment.settings, may_be_private=False) as address:
        for url in ("http://a.test/", "http://127.0.0.1/", "https://localhost/"):
            reply = httpx.post(f"{address}/v1/webhook_endpoints", json={"url": url})
            told.append((reply.status_code, reply.json()["error"]["message"]))

    unsafe = "is no address of the public internet. An operator may allow such: "
    assert told == [
        (400, "The URL is http; a receiver outside has to have https."),
        (400, f"127.0.0.1 {unsafe}SEQD_GATEWAY_PRIVATE_WEBHOOKS."),
        (400, f"localhost {unsafe}SEQD_GATEWAY_PRIVATE_WEBHOOKS."),
    ]


def test_only_addresses_that_were_checked_are_connected_to_under_the_receivers_name(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The name stands for a private address, a public one that is down, and one that is up."""
    authority, asked, looked_up = trustme.CA(), list[object](), list[str]()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = a_server_context(authority, host="hooks.test")
    context.sni_callback = lambda _, name, __: asked.append(name)
    monkeypatch.setattr("seqd.gateway.receivers.is_public", lambda one: one != "127.0.0.1")
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        if host != "hooks.test":
            return real(host, port, *rest, **more)
        looked_up.append(host)
        return [(0, 0, 0, "", (one, port)) for one in ("127.0.0.1", "127.0.0.3", "127.0.0.2")]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with a_receiver("127.0.0.1", context) as inner:
        port = int(inner.address.rpartition(":")[2])  # which nobody has at the other address
        add(environment, f"https://hooks.test:{port}/hook?a=b")
        a_cancelled_job(environment)
        gateway = a_gateway(environment.settings, may_be_private=False)
        with a_receiver("127.0.0.2", context, port) as outer, gateway:
            message = outer.next()
            wait_until(lambda: only(environment).delivered == 1, "it is settled")

    assert message.headers["host"] == f"hooks.test:{port}"
    assert (asked, looked_up) == (["hooks.test"], ["hooks.test"])
    assert inner.messages.empty()


#: Addresses by which a gateway would ask its own machine or network, or nobody in particular.
NOT_PUBLIC = (
    "127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1",
    "0.0.0.0", "224.0.0.1", "255.255.255.255", "2130706433", "0x7f.1",
    "[::1]", "[::]", "[::7f00:1]", "[fe80::1]", "[fd00::1]", "[fec0::1]", "[ff02::1]",
    "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b:1::1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::]",
)  # fmt: skip


def test_no_address_but_those_of_the_public_internet_is_asked(environment: Environment) -> None:
    for number, host in enumerate(NOT_PUBLIC):
        tenant = f"t{number}"
        environment.ledger.webhooks.add(tenant, f"https://{host}:9/", name=host)
        a_cancelled_job(environment, tenant=tenant)

    with a_gateway(environment.settings, may_be_private=False):
        wait_until(lambda: len(errors(environment)) == len(NOT_PUBLIC), "all are settled")

    asked = {
        host
        for host, error in errors(environment).items()
        if "which is no address of the public internet" not in error
    }
    assert asked == set()


def test_commands_add_list_replay_and_remove_webhooks(
    environment: Environment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert environment.settings.redis_url is not None
    monkeypatch.setenv("SEQD_REDIS_URL", environment.settings.redis_url)
    monkeypatch.setenv("SEQD_PREFIX", environment.settings.prefix)
    url, events = "https://a.test/secret-path", "batch.completed,batch.failed"

    empty = here(capsys, "webhooks", "list")
    made = here(
        capsys, "webhooks", "new", url, "--tenant", "shop", "--events", events,
        "--metadata", "webhook=orders",
    )  # fmt: skip
    webhook_id, secret = made.out.split()
    listed = here(capsys, "webhooks", "list", "--json")
    replayed = here(capsys, "webhooks", "replay", webhook_id, "--since", "2h")
    removed = here(capsys, "webhooks", "remove", webhook_id)
    unknown = here(capsys, "webhooks", "remove", webhook_id)
    acts = here(capsys, "audit", "--json")

    assert empty.out == "No webhooks.\n"
    assert secret.startswith("whsec_") and secret not in listed.out
    (row,) = json.loads(listed.out)
    assert (row["tenant"], row["url"], row["event_types"], row["metadata"]) == (
        "shop", url, events.split(","), {"webhook": "orders"},
    )  # fmt: skip
    assert replayed.out == "Messages of 0 jobs are sent again.\n"
    assert (removed.out, unknown.status) == ("Removed.\n", 2)
    assert f"There is no webhook '{webhook_id}'" in unknown.err
    assert "webhooks.new" in acts.out
    assert "secret-path" not in acts.out and secret not in acts.out


def test_a_webhook_that_a_later_release_has_written_is_left_to_it(
    environment: Environment,
) -> None:
    webhook = add(environment, "https://a.test/")
    environment.redis.hset(environment.keys.webhooks(), webhook, '{"url": 7}')
    a_cancelled_job(environment)

    found = environment.ledger.webhooks.claim(100), environment.ledger.webhooks.all()

    assert found == ([], [])
