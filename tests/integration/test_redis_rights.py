"""Users of Redis with the least rights of their roles: enough for what they do, none to spare."""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis
from redis.exceptions import NoPermissionError

from builders import a_catalog_entry, a_chunk
from checkout import python_path
from cli_builders import Ended, clean_environment, here
from ledger_fixtures import open_environment, publish_entries
from readme_blocks import ROOT
from redis_fixtures import LOOPBACK, PrivateServer, servers
from seqd.client import Client
from seqd.errors import RedisNoPermission
from seqd.gateway.app import gateway_app
from seqd.ledger import Ledger, connect
from seqd.ledger.acl import KEY_ACCESS_SINCE, NEWEST, Role, Version, rights_of
from seqd.ledger.audit import AuditFilter
from seqd.ledger.rights import OPTIONAL, missing_rights
from seqd.ledger.uploaded_files import Place
from seqd.local.parent_death import launch_command
from seqd.settings import Settings
from seqd_schemas import FilePurpose, JobState, KeyRole, ModelPause, UploadedFile
from service_guide import serving
from worker_fixtures import PLUGIN, QUICK, READY_S, Cluster, wait_until

pytestmark = pytest.mark.processes

#: Not 0, so that each connection has to choose it.
DATABASE = 1


class Fleet:
    """A server whose users have the rights of their roles, and a cluster on it."""

    def __init__(self, server: PrivateServer, folder: Path) -> None:
        self.server = server
        self.admin = redis.Redis.from_url(server.url, db=DATABASE, protocol=2)
        self.prefix = f"test-{secrets.token_hex(4)}"
        base = {"prefix": self.prefix, "data_dir": folder / "seqd", "input_roots": (folder,)}
        self.settings = Settings(redis_url=self.url(Role.WORKER), **base, **QUICK)
        self.folder = folder
        self.cluster = Cluster(self.settings, folder)
        self._clients: list[Client] = []

    def url(self, role: Role) -> str:
        """Return the address with a role's user, who is called like the role."""
        return f"redis://{role}:secret-{role}@{LOOPBACK}:{self.server.port}/{DATABASE}"

    @property
    def version(self) -> Version:
        """The version of Redis that the server is compatible with."""
        major, minor = str(self.admin.info("server")["redis_version"]).split(".")[:2]
        return int(major), int(minor)

    def rules(self, role: Role) -> list[str]:
        """Return the rules that `seqd redis acl` prints for this server."""
        return rights_of(role, self.settings.keys).rules(self.version)

    def allow_exactly(self) -> None:
        """Give each user the rights of its role, and have the server forget what it denied."""
        for role in Role:
            self.allow(role, *self.rules(role))
        self.admin.execute_command("ACL", "LOG", "RESET")

    def allow(self, role: Role, *rules: str) -> None:
        """Give a role's user these rights and no others."""
        self.admin.execute_command("ACL", "SETUSER", role, "reset", "on", f">secret-{role}", *rules)

    def client(self) -> Client:
        url = self.url(Role.CLIENT)
        client = Client(settings=self.settings.model_copy(update={"redis_url": url}))
        self._clients.append(client)
        return client

    def variables(self, role: Role) -> dict[str, str]:
        """Return the environment of a command that connects as a role's user."""
        given = {
            "redis_url": self.url(role),
            "prefix": self.prefix,
            "data_dir": self.settings.data_dir,
            "enabled_plugins": "light",
            **{name: value for name, value in QUICK.items() if isinstance(value, float)},
        }
        named = {f"SEQD_{name.upper()}": str(value) for name, value in given.items()}
        return clean_environment(COLUMNS="250", PYTHONPATH=python_path(PLUGIN), **named)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.cluster.close()
        self.admin.close()


@contextmanager
def running_up(fleet: Fleet) -> Iterator[Path]:
    """Run `seqd up` as a worker's user until the block ends; its screen."""
    screen = fleet.folder / "up.log"
    with screen.open("wb") as output:
        program = subprocess.Popen(
            launch_command(
                [sys.executable, "-m", "seqd", "up", "--slots", "cpu:0"], signal.SIGTERM
            ),
            env=fleet.variables(Role.WORKER),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Ready after" in screen.read_text(), "it is ready", READY_S)
        yield screen
    finally:
        program.terminate()
        try:
            program.wait(120)
        finally:
            program.kill()
            program.wait()
    assert program.returncode == 0, screen.read_text()


#: Every role; those of `make test-all` are a client's, on the newest server.
ROLES = [pytest.param(role, marks=[] if role is Role.CLIENT else pytest.mark.long) for role in Role]

DENIED = "denies what worked before"

#: What a worker asks for and does without.
NOT_NEEDED = {"client|setinfo", "config|get"}

#: Where a right can be for reading alone, or for one command on one key.
on_servers_with_key_access = pytest.mark.parametrize(
    "each_server", servers(pytest.mark.slow, KEY_ACCESS_SINCE), indirect=True
)


@pytest.fixture
def fleet(each_server: PrivateServer, tmp_path: Path) -> Iterator[Fleet]:
    own = Fleet(each_server, tmp_path)
    try:
        own.allow_exactly()
        yield own
    finally:
        own.close()


@pytest.mark.slow
@pytest.mark.parametrize("each_server", servers(pytest.mark.long, newest_first=True), indirect=True)
@pytest.mark.parametrize("role", ROLES)
def test_each_right_that_is_missing_is_found(fleet: Fleet, role: Role) -> None:
    rules, found = fleet.rules(role), dict[str, list[str]]()
    with connect(fleet.url(role), role=role) as redis:
        for rule in rules:
            # Without the right to choose it, there is no connection to this database at all.
            if rule.startswith(("+", "~", "%")) and rule != "+select":
                fleet.allow(role, *(other for other in rules if other != rule))
                found[rule] = missing_rights(redis, role, fleet.settings.keys)

    commands = {rule: lacks for rule, lacks in found.items() if rule.startswith("+")}
    assert commands == {rule: [rule] for rule in commands}
    for pattern in found.keys() - commands.keys():
        assert f"~{pattern.partition('~')[2]}" in found[pattern]


def test_looking_for_rights_changes_nothing(fleet: Fleet) -> None:
    with connect(fleet.url(Role.WORKER)) as redis:
        assert missing_rights(redis, Role.WORKER, fleet.settings.keys) == []

    left = set(fleet.admin.scan_iter(f"{fleet.prefix}*"))
    assert left <= {fleet.settings.keys.durability_mark().encode()}


def test_a_worker_without_a_right_ends_with_78_and_names_all_that_are_missing(
    fleet: Fleet,
) -> None:
    kept = [rule for rule in fleet.rules(Role.WORKER) if rule not in ("+@write", "+time")]
    fleet.allow(Role.WORKER, *kept)

    worker = fleet.cluster.start()

    assert worker.wait_for_end() == 78
    assert worker.whole_log().splitlines()[-1] == (
        f"error[redis_no_permission]: The user 'worker' of Redis at 127.0.0.1:{fleet.server.port} "
        "lacks rights of the role worker: +@write +time. Give the user those that `seqd redis acl "
        "--role worker --user worker` prints."
    )


@pytest.mark.parametrize(
    ("lacks", "named"),
    [("+@read", "the command GET"), ("~format", "the key '{prefix}:format' for GET")],
)
def test_a_missing_right_is_named_and_what_it_hides_is_not_taken_for_nothing(
    fleet: Fleet, lacks: str, named: str
) -> None:
    rules = (
        [*fleet.rules(Role.CLIENT), "resetkeys", "~other:*"]
        if lacks.startswith("~")
        else [rule for rule in fleet.rules(Role.CLIENT) if rule != lacks]
    )
    fleet.allow(Role.CLIENT, *rules)

    with pytest.raises(RedisNoPermission) as refusal:
        fleet.client().catalog()

    assert str(refusal.value) == (
        f"Redis at 127.0.0.1:{fleet.server.port} does not permit the user 'client' "
        f"{named.format(prefix=fleet.prefix)}. Give the user the rights that `seqd redis acl "
        "--role client --user client` prints."
    )
    assert (refusal.value.code, refusal.value.exit_status) == ("redis_no_permission", 2)


def test_a_missing_right_inside_a_script_is_named_and_damages_no_job(fleet: Fleet) -> None:
    worker = connect(fleet.url(Role.WORKER))
    environment = open_environment(worker, fleet.settings)
    job_id = environment.submit(chunk=a_chunk(), sealed=True)
    fleet.allow(Role.CLIENT, *fleet.rules(Role.CLIENT), "-hmget")

    with connect(fleet.url(Role.CLIENT)) as redis, pytest.raises(RedisNoPermission) as refusal:
        Ledger(redis, fleet.settings).control.cancel(job_id)

    assert str(refusal.value).startswith(
        f"Redis at 127.0.0.1:{fleet.server.port} does not permit the user 'client' "
        f"{'a command' if fleet.version < KEY_ACCESS_SINCE else 'the command HMGET'} in the script "
        "'end_job'. "
    )
    assert environment.record(job_id).state is JobState.QUEUED
    worker.close()


@on_servers_with_key_access
@pytest.mark.parametrize("script", ["set_rules", "set_tenant"])
def test_a_client_that_would_do_what_an_operator_does_is_told_of_that_role(
    fleet: Fleet, script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "set_rules": ("workers", "cordon", "gpu:0@host7", "--ahead", "--yes"),
        "set_tenant": ("tenants", "set", "alice", "--weight", "3"),
    }[script]
    monkeypatch.setenv("SEQD_PREFIX", fleet.prefix)
    monkeypatch.setenv("SEQD_REDIS_URL", fleet.url(Role.CLIENT))

    refused = here(capsys, *arguments)
    monkeypatch.setenv("SEQD_REDIS_URL", fleet.url(Role.OPERATOR))
    done = here(capsys, *arguments)

    assert (refused.status, done.status) == (2, 0)
    assert f"in the script '{script}'. " in refused.err
    assert "`seqd redis acl --role operator --user client`" in refused.err
    with connect(fleet.url(Role.OPERATOR), role=Role.OPERATOR) as redis:
        ledger = Ledger(redis, fleet.settings)
        rules, records = ledger.cordons.rules(), ledger.tenants.all()
        acts = ledger.audit.newest(10, AuditFilter())
    assert (len(rules), len(records)) == ((1, 0) if script == "set_rules" else (0, 1))
    assert [one.outcome for one in acts] == ["", "redis_no_permission", ""]


@on_servers_with_key_access
@pytest.mark.parametrize("role", [Role.CLIENT, Role.OPERATOR])
def test_what_is_in_the_audit_is_neither_changed_nor_removed_by_who_adds_to_it(
    fleet: Fleet, role: Role
) -> None:
    key = fleet.settings.keys.audit()
    with (
        connect(fleet.url(Role.WORKER)) as worker,
        connect(fleet.url(role), role=role) as redis,
    ):
        environment = open_environment(redis, fleet.settings)
        environment.ledger.audit.note("jobs.cancel", "j1")
        ((entry, _),) = worker.xrange(key)
        for words in (
            ("UNLINK", key), ("XTRIM", key, "MAXLEN", 0), ("SET", key, "x"), ("EXPIRE", key, 1),
            ("RENAME", key, "other"), ("XDEL", key, entry),
        ):  # fmt: skip
            with pytest.raises(NoPermissionError):
                redis.execute_command(*words)
        read = lambda: environment.ledger.audit.newest(5, AuditFilter())  # noqa: E731
        if role is Role.CLIENT:
            with pytest.raises(RedisNoPermission):
                read()
        else:
            assert [one.action for one in read()] == ["jobs.cancel"]
            environment.ledger.model_pauses.pause(ModelPause(model="echo", at_ms=1))
            assert environment.ledger.model_pauses.resume("echo")
        assert [
            one.redis_user
            for one in open_environment(worker, fleet.settings).ledger.audit.newest(
                5, AuditFilter()
            )
        ] == [str(role)]


@on_servers_with_key_access
def test_operators_and_the_gateway_make_its_keys_and_clients_do_not_even_look_them_up(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(role: Role, *words: str) -> Ended:
        monkeypatch.setenv("SEQD_REDIS_URL", fleet.url(role))
        return here(capsys, "keys", *words)

    monkeypatch.setenv("SEQD_PREFIX", fleet.prefix)
    new = ("new", "--tenant", "a", "--role", "read", "--rate", "10")
    secret = typed(Role.OPERATOR, *new).out.strip()

    refused = typed(Role.CLIENT, *new)
    assert refused.status == 2 and "error[redis_no_permission]" in refused.err
    assert "`seqd redis acl --role operator --user client`" in typed(Role.CLIENT, "list").err
    with connect(fleet.url(Role.GATEWAY), role=Role.GATEWAY) as redis:
        keys = Ledger(redis, fleet.settings).api_keys
        assert keys.admitted(secret).left == 9
        keys.revoke(keys.new("b", KeyRole.READ).key.id)
    with connect(fleet.url(Role.CLIENT)) as redis, pytest.raises(RedisNoPermission):
        Ledger(redis, fleet.settings).api_keys.admitted(secret)
    (listed,) = json.loads(typed(Role.OPERATOR, "list", "--json").out)
    assert listed["last_used_at_ms"] is not None
    assert typed(Role.OPERATOR, "revoke", listed["id"]).status == 0


@on_servers_with_key_access
def test_clients_jobs_tell_webhooks_whose_secrets_only_operators_and_gateways_read(
    fleet: Fleet,
) -> None:
    with connect(fleet.url(Role.OPERATOR)) as redis:
        webhooks = Ledger(redis, fleet.settings).webhooks
        webhooks.add("default", "https://a.test/", event_types=["batch.queued", "batch.cancelled"])
    with connect(fleet.url(Role.CLIENT)) as redis:
        client = open_environment(redis, fleet.settings)
        client.ledger.control.cancel(client.submit())
        with pytest.raises(RedisNoPermission):
            client.ledger.webhooks.all()
    told = []
    with connect(fleet.url(Role.GATEWAY)) as redis:
        webhooks = Ledger(redis, fleet.settings).webhooks
        while claimed := webhooks.claim(10):
            told += [json.loads(one.message)["type"] for one in claimed]
            webhooks.settle(claimed[0], "")
        (listed,) = webhooks.all()

    assert told == ["batch.queued", "batch.cancelled"]
    assert listed.delivered == 2


#: Pages of the console, and forms on them.
PAGES = ("/", "/jobs", "/jobs/mine", "/models", "/models/imdb_lstm", "/try", "/workers", "/plugins",
         "/failures", "/webhooks", "/keys")  # fmt: skip
FORMS = (
    ("/models/imdb_lstm/pause", {}),
    ("/models/imdb_lstm/resume", {}),
    ("/jobs/mine/remove", {}),
    ("/failures/purge", {}),
)


@on_servers_with_key_access
def test_a_gateway_needs_the_rights_of_its_role_alone(fleet: Fleet) -> None:
    with connect(fleet.url(Role.WORKER)) as worker, connect(fleet.url(Role.OPERATOR)) as operator:
        publish_entries(Ledger(worker, fleet.settings).fleet, [a_catalog_entry()])
        keys = Ledger(operator, fleet.settings).api_keys
        made = keys.new("acme", KeyRole.ADMIN, requests_per_minute=1_000)
    settings = fleet.settings.model_copy(update={"redis_url": fleet.url(Role.GATEWAY)})
    source = {"type": "inline", "items": [{"custom_id": "a", "text": "a"}]}
    job = {"kind": "classify", "model": "imdb_lstm", "source": source}
    bearer = {"authorization": f"Bearer {made.secret}"}

    with serving(gateway_app(settings)) as address, httpx.Client(base_url=address) as web:
        web.headers.update(bearer)
        web.cookies.set("seqd_key", made.secret)
        put = web.put("/v1/jobs/mine", json=job)
        acts = [web.post(f"/v1/jobs/mine/{act}") for act in ("pause", "resume", "cancel")]
        read = [web.get(path) for path in ("/v1/models", "/v1/jobs", "/v1/jobs/mine/results")]
        web.cookies.set("seqd_token", "t")
        pages = [web.get(path) for path in PAGES]
        forms = [
            web.post(path, data={"token": "t", "sure": "yes", **fields}) for path, fields in FORMS
        ]

    assert [one.status_code for one in (put, *acts, *read)] == [200] * 7, put.text
    assert {one.url.path: one.status_code for one in pages} == dict.fromkeys(PAGES, 200)
    assert {one.url.path: one.status_code for one in forms} == {path: 303 for path, _ in FORMS}
    with connect(fleet.url(Role.GATEWAY)) as gateway:
        ledger = Ledger(gateway, settings)
        assert ledger.minutes.last_hour(ledger.fleet.now_ms()) != []
    assert {row["object"] for row in fleet.admin.acl_log()} <= NOT_NEEDED


def test_a_user_for_backups_needs_no_more_than_the_guide_says(fleet: Fleet, tmp_path: Path) -> None:
    tool = shutil.which("redis-cli", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert tool is not None, "the extra `dev` brings one"
    guide = (ROOT / "docker" / "backup.md").read_text(encoding="utf-8")
    (rights,) = re.findall(r"a user of its own with the rights `([^`]+)`", guide)
    fleet.admin.execute_command(
        "ACL", "SETUSER", "backup", "reset", "on", ">secret", *rights.split()
    )
    fleet.admin.set("kept", 1)
    target = tmp_path / "ledger.rdb"

    done = subprocess.run(
        [tool, "-p", str(fleet.server.port), "--user", "backup", "--rdb", str(target)],
        env=os.environ | {"REDISCLI_AUTH": "secret"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert target.read_bytes()[:5] in (b"REDIS", b"VALKE")


@pytest.mark.slow
def test_a_seqd_up_needs_a_workers_rights_alone_and_goes_on_when_they_are_taken_away(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_PREFIX", fleet.prefix)
    monkeypatch.setenv("SEQD_REDIS_URL", fleet.url(Role.OPERATOR))
    with running_up(fleet) as screen:
        restarted = here(capsys, "workers", "restart", "--wait", "--timeout-s", "120")
        assert restarted.status == 0, restarted.err
        assert {row["object"] for row in fleet.admin.acl_log()} <= NOT_NEEDED

        fleet.allow(Role.WORKER)
        wait_until(lambda: "rules of operators not followed" in screen.read_text(), "it says so")
        fleet.allow(Role.WORKER, *fleet.rules(Role.WORKER))

        job = fleet.client().classify(["a"], model="echo")
        assert job.wait(timeout_s=120).state is JobState.COMPLETED
        said = screen.read_text().count("rules of operators not followed")

    assert said == 1


def test_what_no_role_needs_is_refused_to_each(fleet: Fleet) -> None:
    other = "somebody-elses-key"
    fleet.admin.set(other, "theirs")
    commands = [
        ["KEYS", "*"], ["FLUSHALL"], ["FLUSHDB"], ["CONFIG", "GET", "requirepass"],
        ["ACL", "LIST"], ["EVAL", "return 1", "0"], ["SCRIPT", "FLUSH"], ["SHUTDOWN"], ["MONITOR"],
        ["CLIENT", "LIST"], ["PUBLISH", "a", "b"], ["GET", other], ["SWAPDB", "0", "1"],
        ["SCAN", "0"], ["RANDOMKEY"], ["DBSIZE"], ["SORT", other],
    ]  # fmt: skip

    allowed = []
    for role in Role:
        for command in commands:
            with connect(fleet.url(role)) as redis:
                try:
                    redis.execute_command(*command)
                except Exception as error:  # noqa: BLE001 - its kind differs among the servers
                    assert "permission" in str(error)
                else:
                    allowed.append((role, command))
    assert allowed == []


@pytest.mark.slow
def test_what_is_taken_away_costs_one_line_and_no_work(fleet: Fleet) -> None:
    worker = fleet.cluster.start_ready()
    client = fleet.client()
    rules = fleet.rules(Role.WORKER)
    for taken, given in {
        "the broker's alone": (*rules, "-brpop"),
        "all rights": (),
        "the password": (*rules, "resetpass", ">another"),
    }.items():
        assert client.classify(["a"], model="echo").wait(timeout_s=120).state is JobState.COMPLETED
        worker.wait_until_idle()
        before = len(worker.whole_log())

        fleet.allow(Role.WORKER, *given)
        for connection in fleet.admin.client_list():
            if connection["user"] == Role.WORKER:
                fleet.admin.client_kill_filter(_id=connection["id"])
        job = client.classify(["b", "c"], model="echo")
        wait_until(lambda: DENIED in worker.whole_log()[before:], f"the log says {taken}")  # noqa: B023
        fleet.allow(Role.WORKER, *rules)

        assert job.wait(timeout_s=120).state is JobState.COMPLETED
        assert worker.is_up()
        said = re.findall(r".*(?:permission|denies|password).*", worker.whole_log()[before:])
        # One of each process: the parent, which listens, and the child, which works.
        assert 1 <= len(said) <= 2, "\n".join([taken, *said])
        assert all("`seqd redis acl --role worker --check` says which" in line for line in said)


def test_the_command_says_which_rights_are_missing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", fleet.url(Role.CLIENT))
    monkeypatch.setenv("SEQD_PREFIX", fleet.prefix)

    whole = here(capsys, "redis", "acl", "--role", "client", "--check")
    kept = [rule for rule in fleet.rules(Role.CLIENT) if rule not in ("+@read", "+info")]
    fleet.allow(Role.CLIENT, *kept)
    lacking = here(capsys, "redis", "acl", "--role", "client", "--check")

    assert (whole.status, whole.out) == (0, "Missing: none\n")
    assert (lacking.status, lacking.out) == (
        1,
        "Missing: +@read\nMissing, and not needed: +info\n",
    )
    assert "info" in OPTIONAL


def test_the_command_prints_rules_that_the_server_knows(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_PREFIX", fleet.prefix)
    printed = dict[Role, list[str]]()

    for asked_as in (Role.CLIENT, Role.INBOX):
        monkeypatch.setenv("SEQD_REDIS_URL", fleet.url(asked_as))
        ended = here(capsys, "redis", "acl", "--role", "client", "--json")
        printed[asked_as] = json.loads(ended.out)["rules"]

    assert printed[Role.CLIENT] == fleet.rules(Role.CLIENT)
    # Who may not ask for the version gets the rules of the newest.
    assert printed[Role.INBOX] == rights_of(Role.CLIENT, fleet.settings.keys).rules(NEWEST)


@on_servers_with_key_access
def test_gateways_keep_records_of_files_which_clients_cannot_read(fleet: Fleet) -> None:
    file = UploadedFile(
        file_id="file-1",
        tenant="default",
        filename="reviews.jsonl",
        purpose=FilePurpose.BATCH,
        bytes=10,
        created_at_ms=1,
        expires_at_ms=1,
    )
    with connect(fleet.url(Role.CLIENT)) as redis:
        records = Ledger(redis, fleet.settings).uploaded_files
        for denied in (lambda: records.keep(file), lambda: records.get("file-1")):
            with pytest.raises(RedisNoPermission):
                denied()
    with connect(fleet.url(Role.GATEWAY)) as redis:
        records = Ledger(redis, fleet.settings).uploaded_files
        records.keep(file)
        records.note_batch("default", "j1")

        assert records.due(10) == ["file-1"]
        assert records.drop(["file-1"]) == 1
        assert records.batches("default", Place(10)) == ["j1"]
