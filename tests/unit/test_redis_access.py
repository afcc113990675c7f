"""Certificates and logins that cannot be used are named before anything is connected."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from seqd.errors import InvalidSettings
from seqd.local.redis_access import RedisAccess
from tls_fixtures import a_client_certificate

URL = "rediss://:secret@host:6380/0"


def refusal_of(access: RedisAccess, url: str = URL) -> str:
    with pytest.raises(InvalidSettings) as refusal:
        access.check(url)
    return str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    missing = tmp_path / "ca.pem"

    said = refusal_of(RedisAccess(ca_file=missing))

    assert said.startswith(
        f"SEQD_REDIS_CA_FILE is {missing}, which cannot be read (No such file or directory): it "
        "must be a file that the user with the id "
    )


def test_a_key_that_cannot_be_read_is_named(authority: trustme.CA, tmp_path: Path):
    cert_file, _ = a_client_certificate(authority, tmp_path)

    said = refusal_of(RedisAccess(cert_file=cert_file, key_file=tmp_path))

    assert said.startswith(
        f"SEQD_REDIS_KEY_FILE is {tmp_path}, which cannot be read (Is a directory): it must be a "
        "file that the user with the id "
    )


def test_a_file_without_a_certificate_is_refused(tmp_path: Path):
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")

    assert refusal_of(RedisAccess(ca_file=path)) == (
        f"SEQD_REDIS_CA_FILE is {path}, which holds no certificate in PEM form "
        "(-----BEGIN CERTIFICATE-----)."
    )


def test_a_certificate_without_a_key_is_refused(authority: trustme.CA, tmp_path: Path):
    cert_file, _ = a_client_certificate(authority, tmp_path)

    assert refusal_of(RedisAccess(cert_file=cert_file)) == (
        f"{cert_file} (SEQD_REDIS_CERT_FILE) and {cert_file} (SEQD_REDIS_KEY_FILE) must hold a "
        "certificate and its key in PEM form (-----BEGIN …-----); one of them does not."
    )


def test_a_key_without_a_certificate_is_refused(authority: trustme.CA, tmp_path: Path):
    _, key_file = a_client_certificate(authority, tmp_path)

    assert refusal_of(RedisAccess(key_file=key_file)) == (
        f"SEQD_REDIS_KEY_FILE is {key_file}, but there is no SEQD_REDIS_CERT_FILE: set the "
        "certificate that belongs to the key, too."
    )


def test_a_key_of_another_certificate_is_refused(authority: trustme.CA, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    cert_file, _ = a_client_certificate(authority, tmp_path)
    _, key_file = a_client_certificate(authority, other)

    assert refusal_of(RedisAccess(cert_file=cert_file, key_file=key_file)) == (
        f"The key in {key_file} (SEQD_REDIS_KEY_FILE) is not that of the certificate in "
        f"{cert_file} (SEQD_REDIS_CERT_FILE). Set the two that belong together."
    )


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(
    authority: trustme.CA, tmp_path: Path
):
    cert_file, key_file = a_client_certificate(authority, tmp_path)
    key = load_pem_private_key(key_file.read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
    )
    key_file.write_bytes(locked)

    assert refusal_of(RedisAccess(cert_file=cert_file, key_file=key_file)) == (
        f"The key in {key_file} has a passphrase, and seqd takes none: set SEQD_REDIS_KEY_FILE to "
        "a key without one, which its user alone may read."
    )


def test_a_login_of_sentinels_needs_sentinels():
    access = RedisAccess(sentinel_password="sentinel-secret")

    assert refusal_of(access, "redis://:secret@host/0") == (
        "SEQD_REDIS_SENTINEL_USERNAME or SEQD_REDIS_SENTINEL_PASSWORD is set, but SEQD_REDIS_URL "
        "is 'redis://:***@host/0', which names no Sentinels: begin it with redis+sentinel://, or "
        "leave the two away."
    )


@pytest.mark.parametrize("option", ["ssl_cert_reqs=perhaps", "ssl_min_version=x", "ssl_magic=1"])
def test_an_option_of_tls_that_is_none_is_refused(option: str):
    said = refusal_of(RedisAccess(), f"{URL}?{option}")

    assert said.endswith(
        "Of TLS there may be ssl_cert_reqs, ssl_check_hostname, ssl_ca_certs, ssl_ca_path, "
        "ssl_certfile, ssl_ciphers, ssl_keyfile, ssl_min_version behind the ?, where "
        "ssl_cert_reqs is required, optional or none, and ssl_min_version a number, such as 771 "
        "for TLS 1.2."
    )


def test_certificate_and_host_are_checked_unless_the_address_says_otherwise():
    options = [RedisAccess().tls_options(f"{URL}{more}") for more in ("", "?ssl_cert_reqs=none")]

    checks = [(one["ssl_cert_reqs"], one["ssl_check_hostname"]) for one in options]
    assert checks == [("required", True), ("none", False)]
    assert RedisAccess().tls_options("redis://host/0") == {}
