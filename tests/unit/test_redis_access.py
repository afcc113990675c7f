"""Certificates and logins that cannot be used are named before anything is connected."""

from typing import TYPE_CHECKING

import pytest

from seqd.errors import InvalidSettings
from seqd.local.redis_access import RedisAccess
from tls_fixtures import a_client_certificate

if TYPE_CHECKING:
    pass

URL = "rediss://:secret@host:6380/0"


def refusal_of(access: RedisAccess, url: str = URL) -> str:
    with pytest.raises(InvalidSettings) as refusal:
        access.check(url)
    return str(refusal.value)


#: The files that are set, by the names of `files` below, and the beginning of what is said.
FILES: list[tuple[dict[str, str], str]] = [
    (
        {"ca_file": "missing"},
        "SEQD_REDIS_CA_FILE is {missing}, which cannot be read (No such file or directory): it "
        "must be a file that the user with the id ",
    ),
    (
        {"cert_file": "cert", "key_file": "folder"},
        "SEQD_REDIS_KEY_FILE is {folder}, which cannot be read (Is a directory): it must be a "
        "file that the user with the id ",
    ),
    (
        {"ca_file": "text"},
        "SEQD_REDIS_CA_FILE is {text}, which holds no certificate in PEM form "
        "(-----BEGIN CERTIFICATE-----).",
    ),
    (
        {"cert_file": "cert"},
        "{cert} (SEQD_REDIS_CERT_FILE) and {cert} (SEQD_REDIS_KEY_FILE) must hold a certificate "
        "and its key in PEM form (-----BEGIN …-----); one of them does not.",
    ),
    (
        {"key_file": "key"},
        "SEQD_REDIS_KEY_FILE is {key}, but there is no SEQD_REDIS_CERT_FILE: set the certificate "
        "that belongs to the key, too.",
    ),
    (
        {"cert_file": "cert", "key_file": "other_key"},
        "The key in {other_key} (SEQD_REDIS_KEY_FILE) is not that of the certificate in {cert} "
        "(SEQD_REDIS_CERT_FILE). Set the two that belong together.",
    ),
    # Nobody is asked for the passphrase.
    (
        {"cert_file": "cert", "key_file": "locked"},
        "The key in {locked} has a passphrase, and seqd takes none: set SEQD_REDIS_KEY_FILE to a "
        "key without one, which its user alone may read.",
    ),
]


@pytest.fixture
def files(authority, tmp_path):
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    folders = {name: tmp_path / name for name in ("folder", "own", "others")}
    for folder in folders.values():
        folder.mkdir()
    cert, key = a_client_certificate(authority, folders["own"])
    _, other_key = a_client_certificate(authority, folders["others"])
    text, locked = tmp_path / "ca.pem", tmp_path / "locked.pem"
    text.write_text("no certificate")
    encryption = BestAvailableEncryption(b"passphrase")
    private = load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    made = {"cert": cert, "key": key, "other_key": other_key, "text": text, "locked": locked}
    return made | {"missing": tmp_path / "missing.pem", "folder": folders["folder"]}


@pytest.mark.parametrize(("given", "said"), FILES, ids=str)
def test_files_that_cannot_be_used_are_named_with_what_is_wrong(files, given, said):
    access = RedisAccess(**{setting: files[name] for setting, name in given.items()})

    assert refusal_of(access).startswith(said.format(**files))


def test_a_login_of_sentinels_needs_sentinels():
    access = RedisAccess(sentinel_password="sentinel-secret")

    assert refusal_of(access, "redis://:secret@host/0") == (
        "SEQD_REDIS_SENTINEL_USERNAME or SEQD_REDIS_SENTINEL_PASSWORD is set, but SEQD_REDIS_URL "
        "is 'redis://:***@host/0', which names no Sentinels: begin it with redis+sentinel://, or "
        "leave the two away."
    )


@pytest.mark.parametrize("option", ["ssl_cert_reqs=perhaps", "ssl_min_version=x", "ssl_magic=1"])
def test_an_option_of_tls_that_is_none_is_refused(option):
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
