"""The primary that Sentinels watch: found, lost in a failover, and not there for reasons."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli_builders import here
from redis_fixtures import PrivateServer, installed_servers, servers
from sentinel_fixtures import (
    FAILOVER_S,
    MASTER_NAME,
    SENTINEL_PASSWORD,
    SentinelGroup,
)
from seqd.client import Client
from seqd.errors import InvalidSettings, RedisRefused, RedisUnreachable, UploadLost
from seqd.ledger import connect, redis_errors
from seqd.ledger.acl import Role, rights_of
from seqd.ledger.exchange import Durable
from seqd.ledger.outage import Outage
from seqd.ledger.rights import check_server, missing_rights
from seqd.ledger.transport import Transport
from seqd.local.redis_access import RedisAccess
from seqd.local.redis_binaries import ServerBinary
from tls_fixtures import TlsProxy, a_server_context
from worker_fixtures import Cluster, live_settings, wait_until

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.processes

#: Nothing that is written there matters.
ALLOWED = {"allow_eviction": True, "allow_volatile": True}


def ping(url: str, access: RedisAccess | None = None) -> bool:
    """Ask a primary; an outage would be waited for."""
    outage = Outage(limit_s=60)
    with connect(url, outage=outage, access=access) as redis, redis_errors(redis):
        return bool(redis.ping())


@pytest.mark.slow
def test_a_primary_that_came_back_as_a_replica_is_left_for_the_new_one(sentinels: SentinelGroup):
    with connect(sentinels.url, outage=Outage(limit_s=FAILOVER_S)) as redis, redis_errors(redis):
        redis.set("before", 1)
        sentinels.wait_until_replicated()
        former = sentinels.primary()
        former.freeze()
        sentinels.wait_for_failover(former)
        former.thaw()
        # The connection to it is open, and it takes itself for the primary for seconds to come.
        assert former.role() == "master"
        wait_until(lambda: former.good_replicas() == 0, "it sees that its replicas have gone")
        for number in range(100):
            redis.set(f"after-{number}", 1)

        with sentinels.primary().client() as primary:
            assert primary.dbsize() == 101


def test_a_name_that_no_sentinel_watches_is_a_wrong_setting(lone_sentinel: SentinelGroup):
    with pytest.raises(InvalidSettings) as refusal:
        ping(lone_sentinel.url_of("other"))

    (sentinel,) = lone_sentinel.sentinels
    assert str(refusal.value) == (
        f"There is no Redis to use: the Sentinels 127.0.0.1:{sentinel.port} watch no primary "
        "'other'; they watch mymaster. End SEQD_REDIS_URL with /NAME/0, where NAME is what "
        "`sentinel monitor NAME …` calls it."
    )


def test_without_any_sentinel_it_is_said_which_were_asked():
    with pytest.raises(RedisUnreachable) as refusal:
        ping("redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:2/mymaster/0")

    assert str(refusal.value) == (
        "There is no Redis to use: none of the Sentinels 127.0.0.1:1, 127.0.0.1:2 answers; the "
        "first says: Error 111 connecting to 127.0.0.1:1. Connection refused. Start them, or set "
        "SEQD_REDIS_URL to those that run. Try again later."
    )


@pytest.mark.slow
def test_a_primary_that_dies_after_most_sentinels_is_said_to_have_no_quorum(
    sentinels: SentinelGroup,
):
    for sentinel in sentinels.sentinels[:2]:
        sentinel.kill()
    sentinels.primary().kill()
    sentinels.wait_until_known_as_down(sentinels.sentinels[2], others=2)

    with pytest.raises(RedisUnreachable) as refusal:
        ping(sentinels.url)

    said = str(refusal.value)
    assert said.startswith(
        "There is no Redis to use: the primary 'mymaster' is down, and too few Sentinels answer to "
        "choose another: NOQUORUM 1 usable Sentinels. "
    )
    assert said.endswith("Start the Sentinels that are gone, or the primary. Try again later.")


@pytest.mark.slow
def test_what_is_set_about_sentinels_is_shown_without_the_password_refused_and_warned_of(
    sentinels: SentinelGroup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setenv("SEQD_REDIS_URL", sentinels.url)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))

    shown = here(capsys, "status", "--json")

    assert shown.status == 0, shown.err
    assert json.loads(shown.out)["server"] == sentinels.url.replace("primary-secret", "***")

    settings = live_settings(sentinels, tmp_path)
    named = settings.model_copy(update={"redis_url": sentinels.url_of("other")})
    with closing(Cluster(named, tmp_path)) as cluster:
        worker = cluster.start()

        assert worker.wait_for_end() == 78
        assert "error[invalid_settings]" in worker.log()
        assert "watch no primary 'other'; they watch mymaster" in worker.log()

    caplog.clear()
    with connect(sentinels.url) as redis:
        check_server(redis, **ALLOWED)
        assert not [text for text in caplog.messages if "min-replicas" in text]
        with sentinels.primary().client() as primary:
            primary.config_set("min-replicas-to-write", 0)

        check_server(redis, **ALLOWED)

    (warning,) = [text for text in caplog.messages if "min-replicas" in text]
    hosts = ", ".join(f"127.0.0.1:{one.port}" for one in sentinels.sentinels)
    assert warning == (
        f"Redis at mymaster (Sentinels {hosts}) has min-replicas-to-write 0: a primary that is cut "
        "off goes on taking writes, and a failover loses them. Set min-replicas-to-write to 1 and "
        "min-replicas-max-lag to 10 on it and on its replicas."
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_commits_that_no_replica_had_are_done_again_and_counted_once(
    sentinels: SentinelGroup, tmp_path: Path
):
    for server in sentinels.servers:
        with server.client() as client:
            client.config_set("min-replicas-to-write", 0)
    with closing(Cluster(live_settings(sentinels, tmp_path), tmp_path)) as cluster:
        # So long that no lease runs out on a busy machine but that of a commit which was lost.
        cluster.start_ready(lease_s=10.0)
        client = cluster.client()
        texts = [f"text {number}" for number in range(400)]
        job = client.classify(texts, model="echo", parameters={"delay_ms": 15.0})

        def done() -> int:
            return job.record().counts.succeeded

        wait_until(lambda: done() >= 50, "a part is done")
        for replica in sentinels.replicas():
            replica.freeze()
        with sentinels.primary().client() as primary:
            primary.execute_command("CLIENT", "KILL", "TYPE", "replica")
        before = done()
        wait_until(lambda: done() >= before + 100, "more is done, which no replica gets")
        seen = done()
        former = sentinels.primary()
        former.kill()
        for server in sentinels.servers:
            if server is not former:
                server.thaw()

        assert done() < seen
        record = job.wait(timeout_s=240)

        assert record.counts.succeeded == record.counts.total == 400
        labels = {result.custom_id: result.output.label for result in job.results()}
        assert labels == {f"row-{n}": f"text {n - 1}" for n in range(1, 401)}
        assert max(cluster.starts_of_units(job.job_id)) <= 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("binary", servers(pytest.mark.long, newest_first=True))
def test_a_job_completes_though_its_primary_goes_while_it_is_sent_by_who_has_its_rights_alone(
    binary: ServerBinary, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    group = SentinelGroup(binary, tmp_path, sentinel_password=SENTINEL_PASSWORD)
    group.start()
    settings = live_settings(group, tmp_path).model_copy(
        update={"redis_sentinel_password": SENTINEL_PASSWORD}
    )
    with pytest.raises(RedisRefused) as refusal:
        ping(group.url)
    version = (6, 2) if binary.version < (7, 0) else (7, 2)
    is_told_what_is_durable = version >= (7, 2)  # of 6.2 nobody can tell
    urls = {}
    for role in (Role.WORKER, Role.CLIENT):
        urls[role] = group.url.replace("://:primary-secret", f"://{role}:secret-{role}")
        rules = rights_of(role, settings.keys).rules(version)
        for server in group.servers:  # a primary does not pass its users on
            with server.client() as admin:
                admin.execute_command("ACL", "SETUSER", role, "on", f">secret-{role}", *rules)
                # Whoever begins with HELLO is asked for the rights of the default user.
                admin.execute_command("ACL", "SETUSER", "default", "-hello")
    cluster = Cluster(settings.model_copy(update={"redis_url": urls[Role.WORKER]}), tmp_path)
    client = Client(settings=settings.model_copy(update={"redis_url": urls[Role.CLIENT]}))
    access = RedisAccess(sentinel_password=SENTINEL_PASSWORD)

    def texts() -> Iterator[str]:
        for number in range(800):
            if number == 400:
                group.primary().kill()
            yield f"text {number}"

    try:
        worker = cluster.start_ready()
        job = client.classify([f"text {n}" for n in range(40)], model="echo", durable=True)
        assert job.wait(timeout_s=120).counts.succeeded == 40
        assert job.durable == is_told_what_is_durable
        with connect(urls[Role.WORKER], role=Role.WORKER, access=access) as redis:
            caplog.clear()
            check_server(redis, **ALLOWED)  # it may not ask for a setting, and passes quietly
            assert not [text for text in caplog.messages if "min-replicas" in text]
            assert missing_rights(redis, Role.WORKER, settings.keys) == []
        with connect(urls[Role.CLIENT], access=access) as redis:
            transport = Transport(redis, "test")
            assert transport.send(Durable(settings.keys, 2.0)) == is_told_what_is_durable
            for replica in group.replicas():
                replica.freeze()
            assert not transport.send(Durable(settings.keys, 1.0))  # on no replica
            for replica in group.replicas():
                replica.thaw()

        group.wait_until_replicated()
        job = client.classify(texts(), model="echo", durable=False)
        try:
            job.wait(timeout_s=240)
        except UploadLost:  # what the primary had acknowledged, and no replica had yet
            job = client.classify((f"text {number}" for number in range(800)), model="echo")
            job.wait(timeout_s=240)

        labels = [(result.custom_id, result.output.label) for result in job.results()]
        assert labels == [(f"row-{n}", f"text {n - 1}") for n in range(1, 801)]
        assert worker.is_up()
        assert "denies" not in worker.whole_log() and "permission" not in worker.whole_log()
    finally:
        client.close()
        cluster.close()
        group.kill()
    hosts = ", ".join(f"127.0.0.1:{one.port}" for one in group.sentinels)
    assert str(refusal.value) == (
        f"There is no Redis to use: the Sentinels {hosts} refuse the login: Authentication "
        "required. Set SEQD_REDIS_SENTINEL_PASSWORD, and SEQD_REDIS_SENTINEL_USERNAME where they "
        "have users; it needs the right to `SENTINEL MASTERS`."
    )


@pytest.mark.slow
def test_sentinels_and_their_primary_are_reached_over_tls_by_ledger_and_worker(
    private_server: PrivateServer,
    authority: "trustme.CA",
    authority_file: Path,
    tmp_path: Path,
):
    context = a_server_context(authority)
    group = SentinelGroup(installed_servers()[0], tmp_path)
    primary, sentinel = group.servers[0], group.sentinels[0]
    try:
        primary.start()
        sentinel.start()
        with primary.client() as client:
            client.config_set("min-replicas-to-write", 0)  # it has none
        with TlsProxy(primary.port, context) as front, TlsProxy(sentinel.port, context) as door:
            _monitor(sentinel, front.port)
            url = f"rediss+sentinel://:primary-secret@127.0.0.1:{door.port}/tls/0"
            settings = live_settings(private_server, tmp_path).model_copy(
                update={"redis_url": url, "redis_ca_file": authority_file}
            )
            assert ping(url, RedisAccess(ca_file=authority_file))
            with pytest.raises(RedisRefused) as refusal:
                ping(url)
            with closing(Cluster(settings, tmp_path)) as cluster:
                cluster.start_ready()
                job = cluster.client().classify(["a", "b"], model="echo")
                assert job.wait(timeout_s=120).counts.succeeded == 2
    finally:
        group.kill()
    assert str(refusal.value).startswith(
        f"A Sentinel of tls (Sentinels 127.0.0.1:{door.port}) has a certificate of an unknown "
        "authority: "
    )


def _monitor(sentinel, port: int) -> None:
    """Have a Sentinel watch the primary `tls` on a port."""
    with sentinel.client() as client:
        client.sentinel_remove(MASTER_NAME)
        client.sentinel_monitor("tls", "127.0.0.1", port, 1)
        client.sentinel_set("tls", "auth-pass", "primary-secret")
