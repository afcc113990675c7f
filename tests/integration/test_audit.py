"""The audit: acts are written down before they are done, and read newest first."""

import asyncio
import logging
import os
from datetime import datetime

import pytest

from builders import a_chunk, a_classify_job
from cli_builders import here
from ledger_fixtures import Environment
from seqd.client import AsyncClient, Client, InvalidRequest, KeyDamaged, UnknownJob
from seqd.local.caller import user_name
from seqd_schemas import TenantLimits

pytestmark = pytest.mark.processes


@pytest.fixture
def client(environment: Environment) -> Client:
    with Client(settings=environment.settings) as opened:
        yield opened


@pytest.fixture
def job(environment: Environment) -> str:
    return environment.submit(a_classify_job(tenant="acme"), chunk=a_chunk(1), sealed=True)


def acts(client: Client, **wanted: object) -> list[tuple[str, str, str]]:
    found = client.audit(**wanted)  # type: ignore[arg-type]
    return [(entry.action, entry.target, entry.outcome) for entry in found]


def test_each_act_on_a_job_is_written_down_with_who_did_it_and_one_that_is_refused_twice(
    client: Client, job: str
) -> None:
    handle = client.job(job)
    handle.pause()
    handle.resume()
    handle.cancel()
    handle.remove()
    with pytest.raises(UnknownJob):
        client.job("nobody").cancel()

    assert acts(client) == [
        ("jobs.cancel", "nobody", "unknown_job"),
        ("jobs.cancel", "nobody", ""),
        ("jobs.remove", job, ""),
        ("jobs.cancel", job, ""),
        ("jobs.resume", job, ""),
        ("jobs.pause", job, ""),
    ]
    (entry,) = client.audit(1)
    assert (entry.who, entry.pid, entry.redis_user) == (user_name(), os.getpid(), "default")
    assert abs(entry.at_ms - datetime.now().timestamp() * 1000) < 60_000


def test_a_filter_is_one_act_that_has_its_numbers_afterwards(client: Client, job: str) -> None:
    client.cancel_jobs(tenant="acme", model="imdb_lstm@3")

    target = "model=imdb_lstm@3 tenant=acme"
    assert acts(client) == [("jobs.cancel", target, "done"), ("jobs.cancel", target, "")]
    assert client.audit(1)[0].details == {"acted_on": "1"}


def test_a_limit_of_0_and_an_act_on_no_job_are_written_down_as_such(client: Client) -> None:
    client.set_tenant("trial", TenantLimits(jobs=0))
    client.cancel_jobs(tenant="trial")

    cancelled, _, limited = client.audit(3)
    assert limited.details == {"jobs": "0"}
    assert cancelled.details == {"acted_on": "0"}


def test_acts_are_found_by_action_who_target_and_age(client: Client, job: str) -> None:
    client.job(job).pause()
    client.set_tenant("acme", TenantLimits(weight=2))

    assert [one[0] for one in acts(client, action="tenants")] == ["tenants.set"]
    assert [one[0] for one in acts(client, action="jobs.pause")] == ["jobs.pause"]
    assert acts(client, action="job") == acts(client, who="nobody") == []
    assert [one[0] for one in acts(client, target=job[:4])] == ["jobs.pause"]
    assert acts(client, since=datetime(2100, 1, 1)) == []
    with pytest.raises(InvalidRequest, match=r"action is 'Jobs'; allowed: one such as jobs\."):
        client.audit(action="Jobs")


def test_the_audit_keeps_no_more_than_it_may(environment: Environment) -> None:
    small = environment.with_settings(max_audit_entries=100)

    for number in range(400):
        small.ledger.audit.note("jobs.pause", f"job-{number}")

    assert environment.redis.xlen(environment.keys.audit()) <= 200


def test_an_act_is_done_where_redis_takes_no_entry(
    environment: Environment, client: Client, job: str, caplog: pytest.LogCaptureFixture
) -> None:
    environment.redis.set(environment.keys.audit(), "no stream")

    with caplog.at_level(logging.WARNING):
        state = client.job(job).cancel()

    assert state == "cancelled"
    assert f"jobs.cancel of '{job}' is not in the audit: Redis says WRONGTYPE" in caplog.text


def test_an_audit_that_somebody_has_written_over_is_told_of_in_one_sentence(
    environment: Environment,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", str(environment.settings.redis_url))
    monkeypatch.setenv("SEQD_PREFIX", environment.settings.prefix)
    key = environment.keys.audit()
    environment.redis.set(key, "no stream")

    shown = here(capsys, "audit")
    with pytest.raises(KeyDamaged):
        client.audit()

    assert (shown.status, shown.out) == (2, "")
    assert shown.err == (
        f"error[key_damaged]: The key {key} of the audit has a value of another type than seqd "
        f"writes, and no act is written down. Remove it, and seqd begins it anew: redis-cli del "
        f"{key}\n"
    )


def test_what_somebody_wrote_by_hand_is_left_out(environment: Environment, client: Client) -> None:
    for text in ("no JSON", "[]", "{}", '{"action": "jobs.pause", "target": 5}', "[" * 100_000):
        environment.redis.xadd(environment.keys.audit(), {"a": text})
    environment.redis.xadd(environment.keys.audit(), {"b": "x"})
    client.set_tenant("acme", TenantLimits(weight=2))

    assert [one[0] for one in acts(client)] == ["tenants.set"]


def test_an_entry_from_the_far_future_hides_none_that_come_later(
    environment: Environment, client: Client
) -> None:
    environment.redis.xadd(environment.keys.audit(), {"a": '{"action":"jobs.x"}'}, id=f"{10**18}-0")
    client.set_tenant("acme", TenantLimits(weight=2))

    assert [one[0] for one in acts(client)] == ["tenants.set", "jobs.x"]


def test_the_command_shows_acts_of_commands_and_no_control_code_reaches_the_terminal(
    environment: Environment,
    client: Client,
    job: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", str(environment.settings.redis_url))
    monkeypatch.setenv("SEQD_PREFIX", environment.settings.prefix)
    monkeypatch.setenv("SEQD_DATA_DIR", str(environment.settings.data_dir))
    monkeypatch.setenv("COLUMNS", "200")
    assert here(capsys, "jobs", "cancel", job).status == 0
    environment.ledger.audit.note("models.pause", "evil\x1b[2J", {"reason": "\x1b]0;x\x07"})

    shown = here(capsys, "audit")
    nothing = here(capsys, "audit", "--who", "nobody")

    assert "\x1b" not in shown.out
    assert "evil\\x1b[2J" in shown.out
    assert "(seqd jobs cancel)" in shown.out
    assert nothing.out == "No act is written down that matches.\n"


def test_the_client_of_asyncio_reads_and_writes_the_same_audit(
    environment: Environment, client: Client, job: str
) -> None:
    async def use() -> list[str]:
        async with AsyncClient(settings=environment.settings) as asynchronous:
            await asynchronous.job(job).cancel()
            return [entry.action for entry in await asynchronous.audit()]

    assert asyncio.run(use()) == ["jobs.cancel"]
    assert acts(client) == [("jobs.cancel", job, "")]
