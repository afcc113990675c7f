"""TLS of the gateway, by a certificate and a key in files."""

import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trustme

from cli_builders import Ended, here, use_ledger
from gateway_builders import running_gateway
from seqd.testing import RunningServices
from tls_fixtures import LOOPBACK

pytestmark = pytest.mark.processes


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """The settings of a certificate for loopback, and of its key."""
    certificate = authority.issue_cert(LOOPBACK)
    named = {f"gateway_{name}_file": tmp_path / f"{name}.pem" for name in ("cert", "key")}
    certificate.cert_chain_pems[0].write_to_path(named["gateway_cert_file"])
    certificate.private_key_pem.write_to_path(named["gateway_key_file"])
    return named


def test_a_gateway_with_a_certificate_speaks_https_alone(
    services: RunningServices, authority: trustme.CA, files: dict[str, Path]
) -> None:
    variables = {f"SEQD_{name.upper()}": str(path) for name, path in files.items()}
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    asked = {"input": "a fine film", "model": "imdb_lstm"}

    with running_gateway(services, trusting=trusting, **variables) as gateway:
        url = f"{gateway.address}/v1/classify"
        answer = httpx.post(url, json=asked, verify=trusting, timeout=60).json()
        assert answer["data"][0]["label"] == "positive"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.post(url, json=asked)
        with pytest.raises(httpx.TransportError):
            httpx.post(url.replace("https:", "http:"), json=asked)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda cert, key: cert.unlink(), "SEQD_GATEWAY_CERT_FILE is {cert}, which cannot be read"),
        (lambda cert, key: key.write_text("none"), "must hold a certificate and its key in PEM"),
        (
            lambda cert, key: trustme.CA().private_key_pem.write_to_path(key),
            "The key in {key} (SEQD_GATEWAY_KEY_FILE) is not that of the certificate in {cert}",
        ),
    ],
)
def test_a_gateway_with_files_that_are_no_certificate_and_its_key_does_not_start(
    services: RunningServices,
    files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path, Path], object],
    told: str,
) -> None:
    use_ledger(monkeypatch, services.settings)
    cert, key = files.values()
    monkeypatch.setenv("SEQD_GATEWAY_CERT_FILE", str(cert))
    monkeypatch.setenv("SEQD_GATEWAY_KEY_FILE", str(key))
    spoil(cert, key)

    ended: Ended = here(capsys, "gateway", "--port", "0")

    assert ended.status == 2
    assert told.format(cert=cert, key=key) in " ".join(ended.err.split())
