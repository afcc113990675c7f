"""`seqd keys`: what an operator sees of them, and what the gateway is told of requests with one."""

import hashlib
import json
import logging
import re

import pytest

from cli_builders import Ended, here, use_ledger
from clock_fixtures import ClockServer
from ledger_fixtures import Environment, open_environment
from seqd.ledger import connect

pytestmark = pytest.mark.processes

NOW_MS = 1_800_000_000_000


@pytest.fixture
def stopped(environment: Environment, clock_server: ClockServer) -> Environment:
    """A ledger on a server whose clock stands still."""
    clock_server.hold(NOW_MS)
    settings = environment.settings.model_copy(update={"redis_url": clock_server.url})
    return open_environment(connect(clock_server.url), settings)


def verdict(environment: Environment, secret: str | None) -> str:
    return str(environment.ledger.api_keys.admitted(secret).verdict)


def test_a_key_is_made_used_listed_and_revoked(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, environment.settings)
    assert here(capsys, "keys", "list").out == "No keys.\n"
    assert verdict(environment, None) == verdict(environment, "anything") == "open"

    made = here(capsys, "keys", "new", "--tenant", "reviews", "--role", "submit", "--name", "shop")

    (secret,) = made.out.splitlines()
    assert re.fullmatch(r"seqd-[0-9a-f]{64}", secret)
    assert made.err.endswith("Its secret is shown this once: Redis has no more than the hash.\n")
    assert "  never    never" in here(capsys, "keys", "list").out
    admission = environment.ledger.api_keys.admitted(secret)
    assert admission.verdict == "admitted"
    (listed,) = records(here(capsys, "keys", "list", "--json"))
    assert listed == admission.key.model_dump(mode="json") | {  # type: ignore[union-attr]
        "last_used_at_ms": listed["last_used_at_ms"]
    }
    assert (listed["tenant"], listed["role"], listed["name"]) == ("reviews", "submit", "shop")
    assert "0 s ago" in here(capsys, "keys", "list").out
    assert verdict(environment, None) == verdict(environment, f"{secret}0") == "unknown"

    assert here(capsys, "keys", "revoke", listed["id"]).out == (
        f"Revoked {listed['id']}, of the tenant reviews.\n"
    )

    assert verdict(environment, secret) == "unknown", "the gateway still asks for a key"
    assert records(here(capsys, "keys", "list", "--json")) == []
    refused = here(capsys, "keys", "revoke", listed["id"])
    assert (refused.status, refused.err) == (
        2,
        f"error[unknown_key]: There is no key '{listed['id']}'. `seqd keys list` lists those that "
        "there are.\n",
    )
    acts = [(act["action"], act["target"]) for act in records(here(capsys, "audit", "--json"))]
    assert acts == [("keys.revoke", listed["id"]), ("keys.new", listed["id"])]


def test_the_secret_is_in_no_record_audit_log_or_repr(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    use_ledger(monkeypatch, environment.settings)
    caplog.set_level(logging.DEBUG)

    made = json.loads(here(capsys, "keys", "new", "--tenant", "a", "--role", "admin", "--json").out)
    found = environment.ledger.api_keys.new("b", made["key"]["role"])
    admission = environment.ledger.api_keys.admitted(found.secret)

    secrets = [made["secret"], found.secret]
    told = [repr(found), repr(admission), str(admission), caplog.text]
    told += [here(capsys, *words).out for words in (("keys", "list"), ("audit", "--json"))]
    for key in environment.redis.keys(f"{environment.settings.prefix}*"):
        told += [repr(key), repr(environment.redis.dump(key))]
    assert [one for secret in secrets for one in told if secret[5:] in one] == []
    digests = {hashlib.sha256(secret.encode()).hexdigest().encode() for secret in secrets}
    assert digests < environment.redis.hgetall(environment.keys.api_keys()).keys()


def test_a_key_ends_when_it_expires_by_the_servers_clock(
    stopped: Environment,
    clock_server: ClockServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_ledger(monkeypatch, stopped.settings)
    words = ("keys", "new", "--tenant", "a", "--role", "read", "--expires", "90d")
    secret = here(capsys, *words).out.strip()

    clock_server.hold(NOW_MS + 90 * 86_400_000 - 1)
    assert verdict(stopped, secret) == "admitted"
    clock_server.hold(NOW_MS + 90 * 86_400_000)

    assert verdict(stopped, secret) == "expired"
    assert " expired " in here(capsys, "keys", "list").out


def test_a_rate_is_a_minutes_requests_at_once_and_then_one_at_a_time(
    stopped: Environment, clock_server: ClockServer
) -> None:
    keys = stopped.ledger.api_keys
    made = keys.new("a", "submit", requests_per_minute=7)  # type: ignore[arg-type]

    found = [keys.admitted(made.secret) for _ in range(8)]

    assert [one.verdict for one in found] == ["admitted"] * 7 + ["limited"]
    assert [one.left for one in found] == [6, 5, 4, 3, 2, 1, 0, 0]
    assert [one.retry_after_ms for one in found] == [0] * 7 + [8_572]
    assert [one.reset_ms for one in found[-2:]] == [60_000, 60_000]

    clock_server.hold(NOW_MS + 8_571)
    assert keys.admitted(made.secret).retry_after_ms == 1
    clock_server.hold(NOW_MS + 8_572)
    assert keys.admitted(made.secret).verdict == "admitted"
    assert keys.admitted(made.secret).verdict == "limited"

    clock_server.hold(NOW_MS - 3_600_000)
    assert keys.admitted(made.secret).retry_after_ms == 8_572, "a minute at most, as a rule"


def test_the_last_use_is_noted_once_a_minute(
    stopped: Environment, clock_server: ClockServer
) -> None:
    keys = stopped.ledger.api_keys
    made = keys.new("a", "read")  # type: ignore[arg-type]

    used = []
    for later_ms in (0, 59_999, 60_000):
        clock_server.hold(NOW_MS + later_ms)
        keys.admitted(made.secret)
        used += [key.last_used_at_ms for key in keys.all()]

    assert used == [NOW_MS, NOW_MS, NOW_MS + 60_000]


#: What is typed wrong, and what is said of it.
MISTAKES = [
    (("--role", "boss"), "--role is 'boss'; allowed: read, submit, operate, admin"),
    (("--expires", "soon"), "--expires is 'soon'; allowed: a span such as 30m, 12h or 90d, at"),
    (("--expires", "0d"), "--expires is '0d'; allowed: a span such as 30m, 12h or 90d, at most "),
    (("--rate", "100/s"), "--rate is '100/s'; allowed: whole numbers, 1 to 1,000,000"),
    (("--tenant", "a b"), "The tenant is 'a b'; allowed: 1 to 64 letters, digits, `_`, `.` and"),
    (("--name", "n" * 501), "name is 'nnn"),
]


def test_a_mistake_is_told_with_what_is_allowed_and_makes_no_key(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, environment.settings)
    right = {"--tenant": "a", "--role": "read"}

    for (option, value), message in MISTAKES:
        words = [word for pair in (right | {option: value}).items() for word in pair]
        ended = here(capsys, "keys", "new", *words)

        assert ended.status == 2, option
        assert ended.err.startswith(f"error[invalid_request]: {message}"), ended.err
    assert environment.ledger.api_keys.all() == []


def records(ended: Ended) -> list[dict[str, str]]:
    assert ended.status == 0, ended.err
    found: list[dict[str, str]] = json.loads(ended.out)
    return found
