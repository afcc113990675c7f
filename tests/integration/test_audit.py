"""The audit: acts are written down before they are done, and read newest first."""

import os
from collections.abc import Iterator
from datetime import datetime

import pytest

from builders import a_catalog_entry, a_chunk, a_classify_job
from cli_builders import here, use_ledger
from ledger_fixtures import Environment, publish_entries
from seqd.client import Client, InvalidRequest, UnknownJob
from seqd.local.caller import user_name
from seqd_schemas import TenantLimits

pytestmark = pytest.mark.processes


@pytest.fixture
def client(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of a ledger that is also the one of commands."""
    use_ledger(monkeypatch, environment.settings, has_store=True)
    with Client(settings=environment.settings) as opened:
        yield opened


@pytest.fixture
def job(environment: Environment) -> str:
    return environment.submit(a_classify_job(tenant="acme"), chunk=a_chunk(1), sealed=True)


def acts(client: Client, **wanted: object) -> list[tuple[str, str, str]]:
    found = client.audit(**wanted)  # type: ignore[arg-type]
    return [(entry.action, entry.target, entry.outcome) for entry in found]


def test_each_act_on_a_job_is_written_down_with_who_did_it_and_one_that_is_refused_twice(
    environment: Environment, client: Client, job: str
) -> None:
    handle = client.job(job)
    for act in (handle.pause, handle.resume, handle.cancel, handle.remove):
        act()
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


def test_a_version_that_is_not_removed_has_a_second_line_with_the_code(
    environment: Environment, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])

    refused = here(capsys, "models", "rm", "imdb_lstm@1")

    assert refused.err.startswith("error[no_fit_worker]: no worker is up, and "), refused.err
    assert acts(client) == [
        ("models.remove", "imdb_lstm@1", "no_fit_worker"),
        ("models.remove", "imdb_lstm@1", ""),
    ]


def test_a_filter_is_one_act_that_has_its_numbers_afterwards_and_a_limit_its_value(
    client: Client, job: str
) -> None:
    client.set_tenant("trial", TenantLimits(jobs=0))
    for tenant in ("acme", "trial"):
        client.cancel_jobs(tenant=tenant, model="imdb_lstm@3")

    nothing, _, cancelled, begun, limited = client.audit(5)
    target = "model=imdb_lstm@3 tenant=acme"
    assert [(one.action, one.target, one.outcome) for one in (cancelled, begun)] == [
        ("jobs.cancel", target, "done"),
        ("jobs.cancel", target, ""),
    ]
    details = [one.details for one in (cancelled, nothing, limited)]
    assert details == [{"acted_on": "1"}, {"acted_on": "0"}, {"jobs": "0"}]


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


def test_the_command_shows_acts_of_commands_and_no_control_code_reaches_the_terminal(
    environment: Environment, client: Client, job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(capsys, "jobs", "cancel", job).status == 0
    environment.ledger.audit.note("models.pause", "evil\x1b[2J", {"reason": "\x1b]0;x\x07"})

    shown = here(capsys, "audit")
    nothing = here(capsys, "audit", "--who", "nobody")

    assert "\x1b" not in shown.out
    assert "evil\\x1b[2J" in shown.out
    assert "(seqd jobs cancel)" in shown.out
    assert nothing.out == "No act is written down that matches.\n"
