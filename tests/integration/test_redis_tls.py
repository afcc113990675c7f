"""Redis over TLS: who is trusted, what a refusal says, and that none is waited for at a start."""

import ssl
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from clock_fixtures import HeldClock
from redis_fixtures import PrivateServer
from seqd.errors import InvalidSettings, RedisRefused, RedisUnreachable
from seqd.ledger import connect, redis_errors
from seqd.ledger.outage import Outage
from seqd.local.redis_access import RedisAccess
from tls_fixtures import TlsProxy, a_client_certificate, a_server_context
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SLOWLY = {"delay_ms": 10.0}


def ping(url: str, **files: Path) -> bool:
    """Ask a server; an outage would be waited for, by a clock that stands still."""
    outage = Outage(limit_s=60, has_answered=True, clock=HeldClock())
    with connect(url, outage=outage, access=RedisAccess(**files)) as redis, redis_errors(redis):
        return bool(redis.ping())


def refusal_of(url: str, **files: Path) -> str:
    with pytest.raises(RedisRefused) as refusal:
        ping(url, **files)
    return str(refusal.value)


def test_what_is_wrong_with_a_certificate_is_told_at_once_with_what_to_do(
    tls_proxy, private_server, authority, authority_file, tmp_path, caplog
):
    url, address = tls_proxy.url_of(private_server.url), f"Redis at 127.0.0.1:{tls_proxy.port}"
    cert_file, key_file = a_client_certificate(authority, tmp_path)

    assert ping(url, ca_file=authority_file)
    assert refusal_of(url) == (
        f"{address} has a certificate of an unknown authority: unable to get local issuer "
        "certificate. Set SEQD_REDIS_CA_FILE to the certificate of the authority that has signed "
        "it."
    )

    tls_proxy.context = a_server_context(authority, expired=True)

    assert refusal_of(url, ca_file=authority_file) == (
        f"{address} has a certificate that has expired. Renew it there."
    )

    tls_proxy.context = a_server_context(authority, clients_of=authority)

    assert refusal_of(url, ca_file=authority_file) == (
        f"{address} wants a certificate of its clients. Set SEQD_REDIS_CERT_FILE and "
        "SEQD_REDIS_KEY_FILE to one that its authority has signed."
    )
    assert ping(url, ca_file=authority_file, cert_file=cert_file, key_file=key_file)

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    foreign_cert_file, foreign_key_file = a_client_certificate(trustme.CA(), foreign)
    said = refusal_of(
        url, ca_file=authority_file, cert_file=foreign_cert_file, key_file=foreign_key_file
    )

    assert said.startswith(
        f"{address} refuses the certificate of SEQD_REDIS_CERT_FILE. Set it and "
        "SEQD_REDIS_KEY_FILE to one that its authority has signed ("
    )

    tls_proxy.context = a_server_context(authority, host="redis.example")

    assert refusal_of(url, ca_file=authority_file) == (
        f"{address} has a certificate of another host: IP address mismatch, certificate is not "
        "valid for '127.0.0.1'. Set SEQD_REDIS_URL to a name that is in the certificate, or give "
        "the server one with this name."
    )
    assert caplog.records == []

    # The host is left unchecked only with a warning.
    assert ping(f"{url}?ssl_check_hostname=false", ca_file=authority_file)

    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == (
        f"rediss://:***@127.0.0.1:{tls_proxy.port}/0?ssl_check_hostname=false does not check the "
        "host in the server's certificate: any server of the same authority passes for it. Leave "
        "ssl_check_hostname away."
    )


def test_a_port_without_tls_is_named_as_such(private_server):
    url = private_server.url.replace("redis://", "rediss://")
    redis = connect(url, retries=0, timeout_s=1)

    with pytest.raises(RedisUnreachable) as refusal, redis, redis_errors(redis):
        redis.ping()

    assert str(refusal.value) == (
        f"Redis at 127.0.0.1:{private_server.port} takes connections and does not answer as TLS "
        "does. Set SEQD_REDIS_URL to its TLS port (tls-port), or begin it with redis:// if it may "
        "go unencrypted; if the address is right, it hangs: try again later."
    )


def test_a_worker_starts_on_no_expired_certificate_and_waits_out_one_that_expires_at_work(
    tls_proxy: TlsProxy,
    private_server: PrivateServer,
    authority: trustme.CA,
    authority_file: Path,
    tmp_path: Path,
):
    tls_proxy.context = a_server_context(authority, expired=True, clients_of=authority)
    cert_file, key_file = a_client_certificate(authority, tmp_path)
    settings = live_settings(private_server, tmp_path).model_copy(
        update={
            "redis_url": tls_proxy.url_of(private_server.url),
            "redis_ca_file": authority_file,
            "redis_cert_file": cert_file,
            "redis_key_file": key_file,
        }
    )
    with closing(Cluster(settings, tmp_path)) as cluster:
        refused = cluster.start()

        assert refused.wait_for_end() == 78
        assert "error[redis_refused]" in refused.log()
        assert "has a certificate that has expired. Renew it there." in refused.log()

        tls_proxy.context = a_server_context(authority, clients_of=authority)
        worker = cluster.start_ready()
        texts = [f"text {number}" for number in range(200)]
        job = cluster.client().classify(texts, model="echo", parameters=SLOWLY)
        next(iter(job.results()))

        tls_proxy.context = a_server_context(authority, expired=True, clients_of=authority)
        tls_proxy.cut()
        wait_until(lambda: "is away" in worker.log(), "the worker says that Redis is away")
        tls_proxy.context = a_server_context(authority, clients_of=authority)
        record = job.wait(timeout_s=120)

        assert record.counts.succeeded == record.counts.total == 200
        assert "certificate has expired" in worker.log()
        assert worker.stop() == 0


def test_tls_is_asked_for_by_the_address_and_not_by_a_file_alone(authority_file):
    with pytest.raises(InvalidSettings) as refusal:
        connect("redis://:secret@host:6379/0", access=RedisAccess(ca_file=authority_file))

    assert str(refusal.value) == (
        "SEQD_REDIS_CA_FILE is set, but SEQD_REDIS_URL is 'redis://:***@host:6379/0', which is not "
        "encrypted: begin it with rediss://, or leave SEQD_REDIS_CA_FILE away."
    )


def test_the_oldest_protocol_that_a_server_may_speak_can_be_named(tls_proxy, private_server):
    url = f"{tls_proxy.url_of(private_server.url)}?ssl_cert_reqs=none&ssl_min_version="

    assert ping(f"{url}{ssl.TLSVersion.TLSv1_3.value}")
